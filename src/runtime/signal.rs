//! Runs until a signal asks the process to stop.

use std::io;

use tokio::runtime::Handle;

use super::{Gaia, StopReport};
use crate::error::Error;

impl Gaia {
    /// Runs until SIGINT (Ctrl-C) or SIGTERM, then [`stop`](Self::stop)s. A second signal cuts the grace period short.
    ///
    /// The process listens for the signals from this call on, before the future is awaited: a supervisor may send a signal as soon as the
    /// process has said that it is ready.
    ///
    #[cfg_attr(all(feature = "sqlite", unix), doc = "```")]
    #[cfg_attr(not(all(feature = "sqlite", unix)), doc = "```ignore")]
    /// # use gaia_actors::prelude::*;
    /// # #[actix_rt::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let gaia = Gaia::builder().database("sqlite::memory:").start().await?;
    /// let until_signal = gaia.run_until_signal();
    /// println!("ready");
    /// # let pid = std::process::id().to_string();
    /// # assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status()?.success());
    /// let report = until_signal.await?;
    /// assert_eq!(report.unwritten, 0);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::ActorsGone`] or [`Error::Store`] as soon as nothing can run here any more ([`gone`](Self::gone)); [`Error::Start`] if the
    /// process cannot listen for signals; otherwise as for [`stop`](Self::stop).
    pub fn run_until_signal(&self) -> impl Future<Output = Result<StopReport, Error>> {
        // Outside of a tokio runtime this process can listen only from the first poll on.
        let listening = Handle::try_current().is_ok().then(Signals::listen);
        async move {
            let signals = listening.unwrap_or_else(Signals::listen)?;
            self.stop_at_signal(signals).await
        }
    }

    async fn stop_at_signal(&self, mut signals: Signals) -> Result<StopReport, Error> {
        let name = tokio::select! {
            name = signals.next() => name,
            error = self.gone() => return Err(error),
        };
        say!(Info, "{name}: stopping; running tasks have {:?} to end", self.0.grace);
        let stop = self.stop();
        tokio::pin!(stop);
        tokio::select! {
            report = &mut stop => report,
            name = signals.next() => {
                say!(Warn, "{name} again: running tasks are cut off");
                let (report, ()) = tokio::join!(stop, self.cut_short());
                report
            }
        }
    }
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    #[expect(clippy::unnecessary_wraps, reason = "listening can fail on unix")]
    fn listen() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> &'static str {
        // After an error this process never hears of Ctrl-C.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        "Ctrl-C"
    }
}
