//! The life of one claimed run, as plain values: its attempt has begun, it was asked to stop, it has ended.
//!
//! The worker of the run, the pool or cron actor that supervises the worker, and the caller who cancels the run may all act at the same
//! moment; each takes a lock around this value. A run has one end: the first of them brings it about, and the others learn that they
//! came too late.

use std::time::Duration;

/// The state of a run. `W` is the type of the reason for a stop. Moments are readings of the clock.
#[derive(Debug)]
pub(crate) struct Lifecycle<W> {
    /// When the present attempt began. `None`: no attempt is being made, since none has begun yet or the run waits for the next one.
    attempt_began: Option<Duration>,
    /// Why the run was asked to stop, and when.
    stop: Option<(W, Duration)>,
    ended: bool,
}

/// The limit that a run has passed without ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overdue<W> {
    /// The grace after a request to stop, which had this reason.
    Stop(W),
    /// The time limit of its attempt.
    Time,
}

impl<W> Default for Lifecycle<W> {
    fn default() -> Self {
        Self {
            attempt_began: None,
            stop: None,
            ended: false,
        }
    }
}

impl<W: Clone> Lifecycle<W> {
    /// An attempt begins.
    pub(crate) fn begin(&mut self, now: Duration) {
        self.attempt_began = Some(now);
    }

    /// The attempt is over and the run has not ended. No time limit runs until the next attempt begins.
    pub(crate) fn attempt_over(&mut self) {
        self.attempt_began = None;
    }

    pub(crate) fn attempt_began(&self) -> Option<Duration> {
        self.attempt_began
    }

    /// Notes the request to stop. False: the run has ended, or was asked before; the first reason stays.
    pub(crate) fn request_stop(&mut self, why: W, now: Duration) -> bool {
        let is_new = !self.ended && self.stop.is_none();
        if is_new {
            self.stop = Some((why, now));
        }
        is_new
    }

    /// Why the run was asked to stop.
    pub(crate) fn why(&self) -> Option<&W> {
        self.stop.as_ref().map(|(why, _)| why)
    }

    /// The end of the `grace` since the stop was asked for; since `now` if none was.
    pub(crate) fn end_of_grace(&self, now: Duration, grace: Duration) -> Duration {
        let since = self.stop.as_ref().map_or(now, |(_, at)| *at);
        since.saturating_add(grace)
    }

    /// Ends the run. False: it had ended before.
    pub(crate) fn end(&mut self) -> bool {
        !std::mem::replace(&mut self.ended, true)
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    /// The limit that the run has passed by more than `patience`, if any: the `grace` since the request to stop, or the `time_limit` of its
    /// attempt. That happens only if the thread of the worker is blocked.
    pub(crate) fn overdue(
        &self,
        now: Duration,
        time_limit: Option<Duration>,
        grace: Duration,
        patience: Duration,
    ) -> Option<Overdue<W>> {
        if self.ended {
            return None;
        }
        let is_over = |since: Duration, limit: Duration| now > since.saturating_add(limit).saturating_add(patience);
        if let Some((why, since)) = &self.stop
            && is_over(*since, grace)
        {
            return Some(Overdue::Stop(why.clone()));
        }
        let (began, limit) = self.attempt_began.zip(time_limit)?;
        is_over(began, limit).then_some(Overdue::Time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Option<Duration> = Some(Duration::from_secs(10));
    const GRACE: Duration = Duration::from_secs(5);
    const PATIENCE: Duration = Duration::from_secs(2);

    fn overdue(run: &Lifecycle<&'static str>, second: u64) -> Option<Overdue<&'static str>> {
        run.overdue(Duration::from_secs(second), LIMIT, GRACE, PATIENCE)
    }

    #[test]
    fn it_has_one_end_and_one_reason_to_stop() {
        let mut run = Lifecycle::default();
        assert!(run.request_stop("first", Duration::ZERO) && !run.request_stop("second", Duration::ZERO));
        assert_eq!(run.why(), Some(&"first"));
        assert!(run.end() && !run.end());
        assert!(!Lifecycle { ended: true, ..run }.request_stop("late", Duration::ZERO));
    }

    #[test]
    fn it_is_overdue_after_its_time_limit_and_the_patience() {
        let mut run = Lifecycle::default();
        assert_eq!(overdue(&run, 1_000), None);
        run.begin(Duration::from_secs(100));
        assert_eq!(overdue(&run, 112), None);
        assert_eq!(overdue(&run, 113), Some(Overdue::Time));
        run.attempt_over();
        assert_eq!(overdue(&run, 1_000), None);
        run.begin(Duration::from_secs(1_000));
        assert_eq!(overdue(&run, 1_000), None);
        run.end();
        assert_eq!(overdue(&run, 2_000), None);
    }

    #[test]
    fn once_told_it_is_overdue_after_the_grace_even_if_it_never_began() {
        let mut run = Lifecycle::default();
        run.request_stop("stop", Duration::from_secs(100));
        assert_eq!(overdue(&run, 107), None);
        assert_eq!(overdue(&run, 108), Some(Overdue::Stop("stop")));
        run.begin(Duration::from_secs(100));
        assert_eq!(overdue(&run, 200), Some(Overdue::Stop("stop")));
    }

    #[test]
    fn without_a_time_limit_only_a_stop_makes_it_overdue() {
        let mut run = Lifecycle::default();
        run.begin(Duration::ZERO);
        let overdue = |run: &Lifecycle<_>| run.overdue(Duration::from_secs(10_000), None, GRACE, PATIENCE);
        assert_eq!(overdue(&run), None);
        run.request_stop("stop", Duration::ZERO);
        assert_eq!(overdue(&run), Some(Overdue::Stop("stop")));
    }
}
