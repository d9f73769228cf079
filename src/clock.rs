//! Where the time comes from: the machine, or a test that moves it by hand.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::watch;

use crate::uptime::Uptime;

/// Source of time for everything that people can see: due times, backoff, timeouts, time stamps. Clones share one time.
///
/// Heartbeats and leases do not follow this time: they follow the time since the machine was started, so that a test which moves this
/// clock by a day does not look like a node that was away for a day. Only [`suspend`](Self::suspend) moves both.
///
/// ```
/// use std::time::Duration;
///
/// use gaia_actors::Clock;
///
/// # #[actix_rt::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // A test hands this clock to `GaiaBuilder::clock`, and moves it by hand.
/// let clock = Clock::manual("2026-01-01T00:00:00Z".parse()?);
/// let an_hour = clock.sleep(Duration::from_secs(3_600));
/// clock.advance(Duration::from_secs(3_600));
/// an_hour.await; // at once
/// assert_eq!(clock.now().to_rfc3339(), "2026-01-01T01:00:00+00:00");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Clock {
    source: Source,
    uptime: Uptime,
}

#[derive(Debug, Clone)]
enum Source {
    System(Arc<System>),
    Manual(Arc<Manual>),
}

/// The time is read for each run and for each line that a handler logs: without a lock.
#[derive(Debug)]
struct System {
    began: Instant,
    /// How far the machine's clock is made to be wrong, in tests: microseconds.
    skew: AtomicI64,
    /// What the followed clock is ahead of [`Clock::uptime`]: microseconds, or [`NOT_FOLLOWED`].
    ahead: AtomicI64,
    followed: Mutex<Option<Reading>>,
}

const NOT_FOLLOWED: i64 = i64::MIN;

/// The time that another clock has said.
#[derive(Debug, Clone, Copy)]
struct Reading {
    said: DateTime<Utc>,
    /// When the other clock said so, by [`Clock::uptime`]: like the other clock, it goes on while this machine is suspended.
    at: Duration,
    /// The other clock may have said so this much before or after `at`.
    error: Duration,
}

/// A new reading replaces a more exact one only if they differ by more than this, and by more than their errors explain.
const TOLERANCE: TimeDelta = TimeDelta::milliseconds(50);

#[derive(Debug)]
struct Manual {
    began: Mutex<DateTime<Utc>>,
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
        Self::skewed(TimeDelta::zero())
    }

    /// The machine's clock, but ahead (or behind) by `skew`: for tests of a wrong clock.
    #[must_use]
    pub fn skewed(skew: TimeDelta) -> Self {
        Self::of(Source::System(Arc::new(System {
            began: Instant::now(),
            skew: AtomicI64::new(micros(skew)),
            ahead: AtomicI64::new(NOT_FOLLOWED),
            followed: Mutex::default(),
        })))
    }

    fn of(source: Source) -> Self {
        let uptime = Uptime::new();
        Self { source, uptime }
    }

    /// Real time since this clock was made, with the time for which the machine slept. Moving a manual clock does not change it.
    pub(crate) fn uptime(&self) -> Duration {
        self.uptime.read()
    }

    /// For tests: acts as if the machine had been suspended for so long up to now. The time of day moves on, and a lease shorter
    /// than that is over; [`elapsed`](Self::elapsed) and sleepers by this clock do not notice.
    pub fn suspend(&self, by: Duration) {
        self.uptime.suspend(by);
    }

    /// Goes on from `now`, which the clock of a database said between `asked` (a reading of [`uptime`](Self::uptime)) and this call.
    /// So all processes that share the database have one time, whatever their machines say. A manual clock ignores this call.
    pub(crate) fn follow(&self, now: DateTime<Utc>, asked: Duration) {
        if let Source::System(system) = &self.source {
            // The database said `now` at some moment between the question and the answer, which may be far apart on a busy machine.
            let error = self.uptime().saturating_sub(asked) / 2;
            let reading = Reading {
                said: now,
                at: asked + error,
                error,
            };
            let mut followed = lock(&system.followed);
            if followed.is_none_or(|old| reading.is_better_than(old)) {
                *followed = Some(reading);
                system.ahead.store(reading.ahead(), Ordering::Relaxed);
            }
        }
    }

    /// A clock that stands at `start` until [`advance`](Self::advance) moves it.
    #[must_use]
    pub fn manual(start: DateTime<Utc>) -> Self {
        Self::of(Source::Manual(Arc::new(Manual {
            began: Mutex::new(start),
            elapsed: Mutex::new(Duration::ZERO),
            moved: watch::Sender::new(Duration::ZERO),
        })))
    }

    /// Sets the time of day forward (or back) by so much, while no time passes: for tests of a clock that jumps. No sleeper wakes.
    /// A clock that follows the clock of a database server ignores this call.
    pub fn jump(&self, by: TimeDelta) {
        match &self.source {
            Source::System(system) => {
                let add = |skew: i64| Some(skew.saturating_add(micros(by)));
                // It always answers with a new value.
                let _ = system.skew.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
            }
            Source::Manual(manual) => {
                let mut began = lock(&manual.began);
                *began = began.checked_add_signed(by).unwrap_or(*began);
            }
        }
    }

    /// The time of day.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        match &self.source {
            // Databases keep microseconds: so a time that is written there is read unchanged.
            Source::System(system) => DateTime::from_timestamp_micros(system.now(&self.uptime)).unwrap_or_default(),
            Source::Manual(manual) => TimeDelta::from_std(self.elapsed() + self.uptime.slept())
                .ok()
                .and_then(|elapsed| lock(&manual.began).checked_add_signed(elapsed))
                .unwrap_or(DateTime::<Utc>::MAX_UTC),
        }
    }

    /// As [`now`](Self::now), in microseconds since 1970. For each line that a handler logs: no date is made.
    pub(crate) fn now_micros(&self) -> i64 {
        match &self.source {
            Source::System(system) => system.now(&self.uptime),
            Source::Manual(_) => self.now().timestamp_micros(),
        }
    }

    /// Time since this clock was made. It never goes back, whatever happens to the time of day.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        match &self.source {
            Source::System(system) => system.began.elapsed(),
            Source::Manual(manual) => *lock(&manual.elapsed),
        }
    }

    /// As [`elapsed`](Self::elapsed), with the time for which the machine slept. A node compares the time of day with this to notice jumps.
    pub(crate) fn steady(&self) -> Duration {
        match &self.source {
            Source::System(_) => self.uptime(),
            Source::Manual(_) => self.elapsed() + self.uptime.slept(),
        }
    }

    /// Ends when this clock has moved on by `duration` from the moment of this call.
    pub fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + use<> {
        self.sleep_until(self.elapsed().saturating_add(duration))
    }

    /// Ends when [`elapsed`](Self::elapsed) has come to `until`, at once if it has. A caller that has worked out a moment from an earlier
    /// reading must use this, not [`sleep`](Self::sleep): a manual clock may have moved since the reading, and may never move again.
    pub fn sleep_until(&self, until: Duration) -> impl Future<Output = ()> + use<> {
        let source = self.source.clone();
        async move {
            match source {
                Source::System(system) => {
                    let left = until.saturating_sub(system.began.elapsed());
                    actix_rt::time::sleep(left).await;
                }
                Source::Manual(manual) => {
                    // This future holds `manual`, and so the sender: the wait ends only when the time is reached.
                    let _ = manual.moved.subscribe().wait_for(|now| *now >= until).await;
                }
            }
        }
    }

    /// Moves a manual clock on and wakes the sleepers that wait for that time. The machine's clock cannot be moved: nothing happens.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(manual) = &self.source {
            let mut elapsed = lock(&manual.elapsed);
            *elapsed = elapsed.saturating_add(by);
            manual.moved.send_replace(*elapsed);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Microseconds. A time of more than 290,000 years counts as none.
fn micros(delta: TimeDelta) -> i64 {
    delta.num_microseconds().unwrap_or_default()
}

fn micros_of(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

impl System {
    /// Microseconds since 1970.
    fn now(&self, uptime: &Uptime) -> i64 {
        match self.ahead.load(Ordering::Relaxed) {
            NOT_FOLLOWED => {
                let now = match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
                    Ok(since) => micros_of(since),
                    Err(before) => -micros_of(before.duration()),
                };
                now.saturating_add(self.skew.load(Ordering::Relaxed))
                    .saturating_add(micros_of(uptime.slept()))
            }
            ahead => ahead.saturating_add(micros_of(uptime.read())),
        }
    }
}

impl Reading {
    /// What the other clock is ahead of [`Clock::uptime`], in microseconds.
    fn ahead(&self) -> i64 {
        self.said.timestamp_micros().saturating_sub(micros_of(self.at))
    }

    /// What the other clock says at another moment, if it goes on steadily.
    fn time_at(&self, at: Duration) -> Option<DateTime<Utc>> {
        let since = TimeDelta::from_std(at.saturating_sub(self.at)).ok()?;
        self.said.checked_add_signed(since)
    }

    /// Whether this reading is more exact than an older one, or shows that the other clock was set, or that the two have drifted apart.
    fn is_better_than(&self, old: Self) -> bool {
        let error = TimeDelta::from_std(self.error).unwrap_or(TimeDelta::MAX);
        let off = old.time_at(self.at).map(|expected| (self.said - expected).abs());
        self.error < old.error || off.is_none_or(|off| off > TOLERANCE.max(error + error))
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

    #[actix_rt::test]
    async fn a_moment_that_is_past_is_not_waited_for() {
        let clock = Clock::manual(DateTime::<Utc>::UNIX_EPOCH);
        let read = clock.elapsed();
        clock.advance(Duration::from_secs(60));
        clock.sleep_until(read + Duration::from_secs(60)).await;
    }

    #[test]
    fn a_wrong_clock_is_right_once_it_follows_another() {
        let clock = Clock::skewed(TimeDelta::hours(1));
        assert!((clock.now() - Utc::now()).num_minutes() >= 59);
        let said = DateTime::<Utc>::UNIX_EPOCH;
        clock.follow(said, clock.uptime());
        assert!((clock.now() - said).num_seconds() < 30);
        // A little later or earlier is the network.
        clock.follow(said + TimeDelta::milliseconds(20), clock.uptime());
        assert!((clock.now() - said).num_seconds() < 30);
        clock.follow(said + TimeDelta::days(1), clock.uptime());
        assert_eq!((clock.now() - said).num_days(), 1);
    }

    #[test]
    fn a_suspension_moves_the_time_of_day_and_stops_no_clock_that_is_followed() {
        let hour = Duration::from_secs(3_600);
        let followed = Clock::system();
        followed.follow(DateTime::<Utc>::UNIX_EPOCH, followed.uptime());
        for clock in [Clock::system(), Clock::manual(DateTime::<Utc>::UNIX_EPOCH), followed] {
            let (now, elapsed, uptime) = (clock.now(), clock.elapsed(), clock.uptime());
            clock.suspend(hour);
            assert!(clock.now() - now >= TimeDelta::hours(1) && clock.uptime() >= uptime + hour);
            assert!(clock.elapsed() < elapsed + hour);
        }
    }
}
