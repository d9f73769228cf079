//! The connection that awc gets. It corrects four faults of awc 3.11:
//!
//! * awc takes an interim answer (`103 Early Hints`) for the answer. The wire leaves interim heads out.
//! * awc misreads where some bodies end. The wire writes the final head anew in a form that awc understands ([`head`](super::head)).
//! * awc does not tell a body that ended from a body that was cut off. The wire notes the end of the connection.
//! * awc reads nothing before it has written the whole request, so it would miss the answer of a service that does not read a large body.
//!   The wire drops the rest of the request as soon as the service has refused it (RFC 9112, section 9.5), or has answered and takes no
//!   more.

use std::{
    cell::{Cell, RefCell},
    fmt, io, mem,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use actix_rt::net::{ActixStream, Ready};
use httparse::Status;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    connection::Connection,
    head::{End, Head, MAX_HEAD_BYTES},
};

/// What the wire has noted about the answer.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Another exchange begins, which the wire has not noticed yet.
    is_renewed: Cell<bool>,
    /// A byte of the answer has come.
    began: Cell<bool>,
    closed: Cell<bool>,
    answer: Cell<Answer>,
    /// Where the body ends; known with the head.
    end: Cell<Option<End>>,
    /// Bytes that have come after the head.
    came: Cell<u64>,
    /// Bytes that have come and that awc has not read.
    unread: Cell<usize>,
    /// By its head the answer leaves the connection open, and it came after the whole request.
    stays_open: Cell<bool>,
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
    /// Forgets the answer before: the same wire carries another request.
    fn renew(&self) {
        self.is_renewed.set(true);
        self.began.set(false);
        self.closed.set(false);
        self.answer.set(Answer::None);
        self.end.set(None);
        self.came.set(0);
        self.unread.set(0);
        self.stays_open.set(false);
    }

    /// Whether the connection has ended, though the body should have ended before it.
    pub(super) fn cut_off(&self) -> bool {
        self.closed.get() && !self.until_close()
    }

    /// Whether the body lasts until the connection ends.
    pub(super) fn until_close(&self) -> bool {
        self.end.get() == Some(End::Close)
    }

    fn count(&self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.came.set(self.came.get().saturating_add(bytes));
    }

    /// Whether nothing at all has come.
    pub(super) fn is_silent(&self) -> bool {
        !self.began.get()
    }

    /// Whether the peer has sent the answer and nothing else. The caller has read the answer to its end.
    fn is_exact(&self) -> bool {
        match self.end.get() {
            Some(End::Length(length)) => self.came.get() == length,
            Some(End::Chunked) => self.unread.get() == 0,
            Some(End::None) => self.came.get() == 0,
            Some(End::Close | End::Unknown) | None => false,
        }
    }
}

/// A connection for one request and its answer after the other. Once the wire and its [`Watch`] are dropped, the connection is closed.
pub(super) struct Wire {
    connection: Rc<RefCell<Connection>>,
    stage: Stage,
    seen: Rc<Seen>,
}

/// The view of a wire for the caller who has given it to awc.
pub(super) struct Watch {
    connection: Rc<RefCell<Connection>>,
    pub(super) seen: Rc<Seen>,
}

impl Watch {
    /// Whether the wire can carry another request. The caller has read the answer to its end.
    pub(super) fn may_go_on(&self) -> bool {
        let seen = &self.seen;
        seen.stays_open.get() && !seen.closed.get() && seen.is_exact()
    }

    /// Another request follows.
    pub(super) fn renew(&self) {
        self.seen.renew();
    }

    pub(super) fn age(&self) -> Duration {
        self.connection.borrow().age()
    }

    /// Whether the peer has neither closed the connection nor sent anything since the last answer.
    pub(super) fn is_quiet(&self) -> bool {
        self.connection.borrow_mut().is_quiet()
    }
}

enum Stage {
    /// The bytes so far of a head that is not complete.
    Head(Vec<u8>),
    /// The final head and the bytes that came with it, as far as awc has not read them. Then awc reads straight from the socket.
    Rest(Vec<u8>),
}

impl Wire {
    pub(super) fn new(connection: Connection) -> (Self, Watch) {
        let connection = Rc::new(RefCell::new(connection));
        let seen = Rc::new(Seen::default());
        let wire = Self {
            connection: Rc::clone(&connection),
            stage: Stage::Head(Vec::new()),
            seen: Rc::clone(&seen),
        };
        (wire, Watch { connection, seen })
    }

    fn poll_socket(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection.borrow_mut().socket).poll_read(cx, buf)
    }

    /// Reads on until the final head is there, or can no longer come.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.seen.is_renewed.take() {
            self.stage = Stage::Head(Vec::new());
        }
        while matches!(self.stage, Stage::Head(_)) {
            let mut chunk = [0; 4096];
            let mut read = ReadBuf::new(&mut chunk);
            ready!(self.poll_socket(cx, &mut read))?;
            let Stage::Head(bytes) = &mut self.stage else { break };
            bytes.extend_from_slice(read.filled());
            match read.filled().is_empty() {
                true => self.seen.closed.set(true),
                false => self.seen.began.set(true),
            }
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
        // An answer that has come by now came before the end of the request.
        self.seen.stays_open.set(false);
        match self.seen.answer.get() {
            Answer::None => false,
            Answer::Success => matches!(written, Poll::Ready(Err(_))),
            Answer::Refusal => true,
        }
    }

    fn poll_rest(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(self.poll_socket(cx, buf))?;
        match buf.filled().len() - before {
            0 => self.seen.closed.set(true),
            read => self.seen.count(read),
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
        seen.end.set(Some(head.end));
        seen.stays_open.set(head.stays_open);
        seen.count(bytes.len() - head.bytes);
        if let Some(shown) = head.shown {
            bytes.splice(..head.bytes, shown);
        }
        return true;
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
                drop(taken);
                this.seen.unread.set(bytes.len());
                Poll::Ready(Ok(()))
            }
            _ => this.poll_rest(cx, buf),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.connection.borrow_mut().socket).poll_write(cx, bytes);
        match written {
            Poll::Ready(Ok(written)) => Poll::Ready(Ok(written)),
            stuck if self.needs_no_more(cx, &stuck) => Poll::Ready(Ok(bytes.len())),
            stuck => stuck,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.connection.borrow_mut().socket).poll_flush(cx);
        match flushed {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(())),
            stuck if self.needs_no_more(cx, &stuck) => Poll::Ready(Ok(())),
            stuck => stuck,
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.seen.stays_open.set(false);
        Pin::new(&mut self.connection.borrow_mut().socket).poll_shutdown(cx)
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
