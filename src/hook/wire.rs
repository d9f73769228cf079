//! The connection as awc sees it: what the peer sends, without what awc would misread.
//!
//! awc 3.11 knows two rules of RFC 9112 not: an interim answer (`103 Early Hints`) is not the answer, and the body of an
//! answer without a length lasts until the connection is closed. It takes the first for the answer and drops the second.
//! So interim heads are left out here, and a head without a length is shown as HTTP/1.0, for which awc does read on.
//! Nor does awc tell a body that ended from one that was cut off: here the end of the connection is noted. And it reads
//! nothing before all is written, so that a service that refuses a large body without reading it would not be heard: here
//! the rest of the request is dropped as soon as there is such an answer (RFC 9112, section 9.5).

use std::{
    cell::Cell,
    fmt, io, mem,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
};

use actix_rt::net::{ActixStream, Ready};
use httparse::{EMPTY_HEADER, Header, Response, Status};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Most headers and most bytes of a head: awc's own limits, beyond which it refuses what it is given.
const MAX_HEADERS: usize = 96;
const MAX_HEAD_BYTES: usize = 128 << 10;

/// A connection, encrypted or not.
pub(super) trait Socket: AsyncRead + AsyncWrite + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Unpin + 'static> Socket for T {}

/// What was seen of the answer.
#[derive(Debug, Default)]
pub(super) struct Seen {
    closed: Cell<bool>,
    until_close: Cell<bool>,
    /// The status is no success: the service wants no more of the request.
    refuses: Cell<bool>,
}

impl Seen {
    /// Whether the connection ended where the body should not.
    pub(super) fn cut_off(&self) -> bool {
        self.closed.get() && !self.until_close.get()
    }
}

/// One connection, for one request and its answer. Dropping it closes it.
pub(super) struct Wire {
    socket: Box<dyn Socket>,
    stage: Stage,
    seen: Rc<Seen>,
}

enum Stage {
    /// Bytes of a head that is not complete.
    Head(Vec<u8>),
    /// The final head and what came with it; then all the rest as it comes.
    Rest(Vec<u8>),
}

impl Wire {
    pub(super) fn new(socket: Box<dyn Socket>) -> (Self, Rc<Seen>) {
        let seen = Rc::new(Seen::default());
        let stage = Stage::Head(Vec::new());
        let wire = Self {
            socket,
            stage,
            seen: Rc::clone(&seen),
        };
        (wire, seen)
    }

    /// Reads on until the final head is there, or there will be none.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Stage::Head(bytes) = &mut self.stage {
            let mut chunk = [0; 4096];
            let mut read = ReadBuf::new(&mut chunk);
            ready!(Pin::new(&mut self.socket).poll_read(cx, &mut read))?;
            bytes.extend_from_slice(read.filled());
            if read.filled().is_empty() || final_head(bytes, &self.seen) {
                self.stage = Stage::Rest(mem::take(bytes));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Whether a refusal is there, now that writing does not go on.
    fn is_refused(&mut self, cx: &mut Context<'_>) -> bool {
        self.poll_head(cx).is_ready() && self.seen.refuses.get()
    }

    fn poll_rest(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(cx, buf))?;
        if buf.filled().len() == before {
            self.seen.closed.set(true);
        }
        Poll::Ready(Ok(()))
    }
}

/// Removes interim heads from `bytes`. Whether what is left begins with the final head, or with what awc will refuse.
fn final_head(bytes: &mut Vec<u8>, seen: &Seen) -> bool {
    loop {
        let head = match Head::parse(bytes) {
            Ok(Status::Complete(head)) => head,
            Ok(Status::Partial) => return bytes.len() >= MAX_HEAD_BYTES,
            Err(_) => return true,
        };
        if head.is_interim() {
            bytes.drain(..head.bytes);
            continue;
        }
        seen.refuses.set(head.code >= 300);
        if head.lasts_until_close() {
            seen.until_close.set(true);
            show_as_http_1_0(bytes, &head);
        }
        return true;
    }
}

/// What has to be known of the head of an answer.
struct Head {
    bytes: usize,
    minor_version: u8,
    code: u16,
    has_length: bool,
}

impl Head {
    fn parse(bytes: &[u8]) -> httparse::Result<Self> {
        let mut headers = [EMPTY_HEADER; MAX_HEADERS];
        let mut response = Response::new(&mut headers);
        let parsed = httparse::ParserConfig::default()
            .allow_spaces_after_header_name_in_responses(true) // as awc does
            .parse_response(&mut response, bytes)?;
        let Status::Complete(bytes) = parsed else {
            return Ok(Status::Partial);
        };
        Ok(Status::Complete(Self {
            bytes,
            minor_version: response.version.unwrap_or_default(),
            code: response.code.unwrap_or_default(),
            has_length: response.headers.iter().any(tells_length),
        }))
    }

    /// 101 is final: nothing of HTTP comes after it (RFC 9110, section 15.2).
    fn is_interim(&self) -> bool {
        matches!(self.code, 100 | 102..=199)
    }

    /// RFC 9112, section 6.3.
    fn lasts_until_close(&self) -> bool {
        !self.has_length && !matches!(self.code, 101 | 204 | 304)
    }
}

fn tells_length(header: &Header<'_>) -> bool {
    ["content-length", "transfer-encoding"]
        .iter()
        .any(|name| header.name.eq_ignore_ascii_case(name))
}

fn show_as_http_1_0(bytes: &mut [u8], head: &Head) {
    const VERSION: &[u8] = b"HTTP/1.1";
    if head.minor_version != 1 {
        return; // and what looks like a version is something else
    }
    let found = bytes.windows(VERSION.len()).position(|window| window == VERSION);
    if let Some(minor) = found.and_then(|at| bytes.get_mut(at + VERSION.len() - 1)) {
        *minor = b'0';
    }
}

/// The peer is told that the end is meant: TLS has a word for it. What cannot be written at once is not waited for.
impl Drop for Wire {
    fn drop(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        let _ = Pin::new(&mut self.socket).poll_shutdown(&mut cx);
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_head(cx))?;
        match &mut this.stage {
            Stage::Rest(bytes) if !bytes.is_empty() => {
                let taken = bytes.drain(..bytes.len().min(buf.remaining()));
                buf.put_slice(taken.as_slice());
                Poll::Ready(Ok(()))
            }
            _ => this.poll_rest(cx, buf),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.socket).poll_write(cx, bytes) {
            Poll::Ready(Ok(written)) => Poll::Ready(Ok(written)),
            _ if self.is_refused(cx) => Poll::Ready(Ok(bytes.len())),
            stuck => stuck,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.socket).poll_flush(cx) {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(())),
            _ if self.is_refused(cx) => Poll::Ready(Ok(())),
            stuck => stuck,
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

/// awc wants the trait and never asks it; "may be ready" is always true.
impl ActixStream for Wire {
    fn poll_read_ready(&self, _: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        Poll::Ready(Ok(Ready::READABLE))
    }

    fn poll_write_ready(&self, _: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        Poll::Ready(Ok(Ready::WRITABLE))
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What awc would see of `bytes`, and whether more is needed.
    fn seen_of(bytes: &str) -> (String, bool) {
        let mut bytes = bytes.as_bytes().to_vec();
        let done = final_head(&mut bytes, &Seen::default());
        (String::from_utf8(bytes).unwrap(), done)
    }

    #[test]
    fn interim_heads_are_left_out() {
        let last = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";
        let early = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
        assert_eq!(seen_of(&format!("{early}{early}{last}")), (last.to_owned(), true));
        assert_eq!(seen_of(&format!("{early}HTTP/1.1 2")), ("HTTP/1.1 2".to_owned(), false));
        let upgrade = "HTTP/1.1 101 Switching Protocols\r\n\r\n";
        assert_eq!(seen_of(upgrade), (upgrade.to_owned(), true));
    }

    #[test]
    fn a_head_without_length_is_shown_as_http_1_0() {
        let (text, done) = seen_of("HTTP/1.1 200 OK\r\nserver: HTTP/1.1\r\n\r\nbody");
        assert_eq!(text, "HTTP/1.0 200 OK\r\nserver: HTTP/1.1\r\n\r\nbody");
        assert!(done);
        let old = "HTTP/1.0 200 OK\r\nserver: HTTP/1.1\r\n\r\nHTTP/1.1";
        assert_eq!(seen_of(old).0, old);
        for framed in ["content-length: 1", "Transfer-Encoding: chunked"] {
            let text = format!("HTTP/1.1 200 OK\r\n{framed}\r\n\r\n");
            assert_eq!(seen_of(&text).0, text);
        }
        let text = "HTTP/1.1 204 No Content\r\n\r\n";
        assert_eq!(seen_of(text).0, text);
    }

    #[test]
    fn what_is_no_head_is_left_to_awc() {
        for text in ["SSH-2.0-OpenSSH\r\n", &"x".repeat(MAX_HEAD_BYTES)] {
            assert_eq!(seen_of(text), (text.to_owned(), true));
        }
        let endless = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(MAX_HEAD_BYTES));
        assert!(seen_of(&endless).1);
    }
}
