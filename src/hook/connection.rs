//! A connection to a service, which one exchange after the other may use.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection is closed when it is so old: then the name of the host is looked up anew, and may lead elsewhere.
pub(super) const LIFETIME: Duration = Duration::from_secs(60);

/// A stream, encrypted or not.
pub(super) trait Socket: AsyncRead + AsyncWrite + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Unpin + 'static> Socket for T {}

/// A connection. Dropping it closes it.
pub(super) struct Connection {
    pub(super) socket: Box<dyn Socket>,
    pub(super) made_at: Instant,
}

impl Connection {
    pub(super) fn new(socket: Box<dyn Socket>) -> Self {
        let made_at = Instant::now();
        Self { socket, made_at }
    }

    pub(super) fn age(&self) -> Duration {
        self.made_at.elapsed()
    }

    /// Whether the peer has neither closed the connection nor sent anything since the last answer.
    pub(super) fn is_quiet(&mut self) -> bool {
        let mut byte = [0];
        let mut read = ReadBuf::new(&mut byte);
        let mut cx = Context::from_waker(Waker::noop());
        matches!(Pin::new(&mut self.socket).poll_read(&mut cx, &mut read), Poll::Pending)
    }
}

/// Tells the peer that the end is meant: over TLS by its closing message. A message that would have to wait is left out.
impl Drop for Connection {
    fn drop(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        let _ = Pin::new(&mut self.socket).poll_shutdown(&mut cx);
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("age", &self.age())
            .finish_non_exhaustive()
    }
}
