//! The connection that awc gets. It corrects four faults of awc 3.11:
//!
//! * awc takes an interim answer (`103 Early Hints`) for the answer. The wire leaves interim heads out.
//! * awc misreads where some bodies end. The wire writes the final head anew in a form that awc understands ([`head`](super::head)).
//! * awc does not tell a body that ended from a body that was cut off. The wire notes the end of the connection.
//! * awc reads nothing before it has written the whole request, so it would miss the answer of a service that does not read a large body.
//!   The wire drops the rest of the request as soon as the service has refused it (RFC 9112, section 9.5), or has answered and takes no
//!   more.

use std::{
    cell::Cell,
    fmt, io, mem,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
};

use actix_rt::net::{ActixStream, Ready};
use httparse::Status;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::head::{Head, MAX_HEAD_BYTES};

/// A connection, encrypted or not.
pub(super) trait Socket: AsyncRead + AsyncWrite + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Unpin + 'static> Socket for T {}

/// What the wire has noted about the answer.
#[derive(Debug, Default)]
pub(super) struct Seen {
    closed: Cell<bool>,
    until_close: Cell<bool>,
    answer: Cell<Answer>,
}

/// What the head of the answer means for a request that has not been sent to its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Answer {
    /// There is no head yet.
    #[default]
    None,
    /// The service may read on.
    Success,
    /// The service wants no more of the request.
    Refusal,
}

impl Seen {
    /// Whether the connection has ended, though the body should have ended before it.
    pub(super) fn cut_off(&self) -> bool {
        self.closed.get() && !self.until_close()
    }

    /// Whether the body lasts until the connection ends.
    pub(super) fn until_close(&self) -> bool {
        self.until_close.get()
    }
}

/// A connection for one request and its answer. Dropping the wire closes the connection.
pub(super) struct Wire {
    socket: Box<dyn Socket>,
    stage: Stage,
    seen: Rc<Seen>,
}

enum Stage {
    /// The bytes so far of a head that is not complete.
    Head(Vec<u8>),
    /// The final head and the bytes that came with it, as far as awc has not read them. Then awc reads straight from the socket.
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

    /// Reads on until the final head is there, or can no longer come.
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

    /// Whether an answer makes the rest of the request needless. `written` is the result of the last write: an error if the service has
    /// answered and closed without having read the request.
    fn needs_no_more<T>(&mut self, cx: &mut Context<'_>, written: &Poll<io::Result<T>>) -> bool {
        let _ = self.poll_head(cx);
        match self.seen.answer.get() {
            Answer::None => false,
            Answer::Success => matches!(written, Poll::Ready(Err(_))),
            Answer::Refusal => true,
        }
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

/// Removes interim heads from `bytes`, and writes the final head in the form that awc understands. Returns whether `bytes` now begin with
/// the final head, or with a text that awc will refuse.
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
        seen.answer.set(match head.code {
            ..300 => Answer::Success,
            _ => Answer::Refusal,
        });
        seen.until_close.set(head.lasts_until_close());
        if let Some(shown) = head.shown {
            bytes.splice(..head.bytes, shown);
        }
        return true;
    }
}

/// Tells the peer that the end is meant: over TLS by its closing message. A message that would have to wait is left out.
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
            stuck if self.needs_no_more(cx, &stuck) => Poll::Ready(Ok(bytes.len())),
            stuck => stuck,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.socket).poll_flush(cx) {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(())),
            stuck if self.needs_no_more(cx, &stuck) => Poll::Ready(Ok(())),
            stuck => stuck,
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

/// awc requires the trait and never calls it. The answer "may be ready" is always right.
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

    /// What awc would see of `bytes`, and whether they suffice.
    fn seen_of(bytes: &str) -> (String, bool) {
        let mut bytes = bytes.as_bytes().to_vec();
        let done = final_head(&mut bytes, &Seen::default());
        (String::from_utf8(bytes).unwrap(), done)
    }

    #[test]
    fn interim_heads_are_left_out() {
        let last = "HTTP/1.1 200 \r\ncontent-length: 2\r\n\r\nhi";
        let early = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
        assert_eq!(seen_of(&format!("{early}{early}{last}")), (last.to_owned(), true));
        assert_eq!(seen_of(&format!("{early}HTTP/1.1 2")), ("HTTP/1.1 2".to_owned(), false));
        let upgrade = "HTTP/1.1 101 Switching Protocols\r\n\r\n";
        assert_eq!(seen_of(upgrade), (upgrade.to_owned(), true));
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
