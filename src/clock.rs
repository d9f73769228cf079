//! Where the time comes from: the machine, or a hand that moves it (tests).

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use tokio::sync::watch;

/// Cloneable source of time for everything that people can see: due times, backoff, timeouts, time stamps.
///
/// Heartbeats and leases are not driven by it: they follow the machine's monotonic clock, so that a test which moves the
/// time by a day does not look like a node that was away for a day.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    System(Instant),
    Manual(Arc<Manual>),
}

#[derive(Debug)]
struct Manual {
    began: DateTime<Utc>,
    elapsed: Mutex<Duration>,
    moved: watch::Sender<Duration>,
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System(Instant::now()))
    }

    /// A clock that stands at `start` until [`advance`](Self::advance) moves it.
    #[must_use]
    pub fn manual(start: DateTime<Utc>) -> Self {
        Self(Source::Manual(Arc::new(Manual {
            began: start,
            elapsed: Mutex::new(Duration::ZERO),
            moved: watch::Sender::new(Duration::ZERO),
        })))
    }

    /// The time of day.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        match &self.0 {
            // Databases keep microseconds: what is written is what is read.
            Source::System(_) => Utc::now().trunc_subsecs(6),
            Source::Manual(manual) => TimeDelta::from_std(self.elapsed())
                .ok()
                .and_then(|elapsed| manual.began.checked_add_signed(elapsed))
                .unwrap_or(DateTime::<Utc>::MAX_UTC),
        }
    }

    /// Time since this clock was made. It never goes back, whatever happens to the time of day.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        match &self.0 {
            Source::System(began) => began.elapsed(),
            Source::Manual(manual) => *manual.elapsed.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Ends when this clock has moved on by `duration` from the moment of this call.
    pub fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + use<> {
        let source = self.0.clone();
        let until = self.elapsed().saturating_add(duration);
        async move {
            match source {
                Source::System(began) => {
                    let left = until.saturating_sub(began.elapsed());
                    actix_rt::time::sleep(left).await;
                }
                Source::Manual(manual) => {
                    // The sender lives in `manual`, which we hold: the wait can only end by the time being reached.
                    let _ = manual.moved.subscribe().wait_for(|now| *now >= until).await;
                }
            }
        }
    }

    /// Moves a manual clock on and wakes whoever waits for that time. The machine's clock cannot be moved: nothing happens.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(manual) = &self.0 {
            let mut elapsed = manual.elapsed.lock().unwrap_or_else(PoisonError::into_inner);
            *elapsed = elapsed.saturating_add(by);
            manual.moved.send_replace(*elapsed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_rt::test]
    async fn a_manual_clock_stands_until_it_is_moved() {
        let clock = Clock::manual(DateTime::<Utc>::UNIX_EPOCH);
        let sleeper = actix_rt::spawn({
            let (clock, sleep) = (clock.clone(), clock.sleep(Duration::from_secs(60)));
            async move {
                sleep.await;
                clock.now()
            }
        });
        clock.advance(Duration::from_secs(59));
        actix_rt::task::yield_now().await;
        assert!(!sleeper.is_finished());
        clock.advance(Duration::from_secs(1));
        assert_eq!(sleeper.await.expect("joins").timestamp(), 60);
    }
}
