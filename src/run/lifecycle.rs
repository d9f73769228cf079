//! The life of one claimed run, as plain values: begun, stopped by request, ended.
//!
//! Its worker, the pool or cron actor that supervises the worker, and the caller who cancels the run may all act at the same moment;
//! each takes a lock around this value. A run has one end: the first of them brings it about, and the others learn that they came
//! too late.

use std::time::Duration;

/// Where a run stands. `W` is the reason of a stop. Moments are readings of the clock.
#[derive(Debug)]
pub(crate) struct Lifecycle<W> {
    /// When it began, or its present attempt did.
    began: Option<Duration>,
    /// Why it is to stop, and since when.
    stop: Option<(W, Duration)>,
    ended: bool,
}

/// Why a run that has not ended should have ended long ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overdue<W> {
    /// A stop was asked for.
    Stop(W),
    /// Its time is over.
    Time,
}

impl<W> Default for Lifecycle<W> {
    fn default() -> Self {
        Self {
            began: None,
            stop: None,
            ended: false,
        }
    }
}

impl<W: Clone> Lifecycle<W> {
    /// It begins, or its next attempt does.
    pub(crate) fn begin(&mut self, now: Duration) {
        self.began = Some(now);
    }

    /// Its attempt is over, and the next one has not begun: no time runs out until then.
    pub(crate) fn rest(&mut self) {
        self.began = None;
    }

    pub(crate) fn began(&self) -> Option<Duration> {
        self.began
    }

    /// Notes that it is to stop. False: it has ended, or was to stop before; the first reason stays.
    pub(crate) fn stop(&mut self, why: W, now: Duration) -> bool {
        let is_new = !self.ended && self.stop.is_none();
        if is_new {
            self.stop = Some((why, now));
        }
        is_new
    }

    /// Why it is to stop.
    pub(crate) fn why(&self) -> Option<&W> {
        self.stop.as_ref().map(|(why, _)| why)
    }

    /// The end of the `grace` since the stop was asked for; since `now` if none was.
    pub(crate) fn end_of_grace(&self, now: Duration, grace: Duration) -> Duration {
        let since = self.stop.as_ref().map_or(now, |(_, at)| *at);
        since.saturating_add(grace)
    }

    /// Ends it. False: it had ended before.
    pub(crate) fn end(&mut self) -> bool {
        !std::mem::replace(&mut self.ended, true)
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether its end is overdue by more than `patience`: after its `time_limit`, or after the `grace` since the stop. Only
    /// a worker whose thread is blocked lets it come to that.
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
        if let Some((why, told)) = &self.stop
            && is_over(*told, grace)
        {
            return Some(Overdue::Stop(why.clone()));
        }
        let (began, limit) = self.began.zip(time_limit)?;
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
        assert!(run.stop("first", Duration::ZERO) && !run.stop("second", Duration::ZERO));
        assert_eq!(run.why(), Some(&"first"));
        assert!(run.end() && !run.end());
        assert!(!Lifecycle { ended: true, ..run }.stop("late", Duration::ZERO));
    }

    #[test]
    fn it_is_overdue_after_its_time_limit_and_the_patience() {
        let mut run = Lifecycle::default();
        assert_eq!(overdue(&run, 1_000), None);
        run.begin(Duration::from_secs(100));
        assert_eq!(overdue(&run, 112), None);
        assert_eq!(overdue(&run, 113), Some(Overdue::Time));
        run.rest();
        assert_eq!(overdue(&run, 1_000), None);
        run.begin(Duration::from_secs(1_000));
        assert_eq!(overdue(&run, 1_000), None);
        run.end();
        assert_eq!(overdue(&run, 2_000), None);
    }

    #[test]
    fn once_told_it_is_overdue_after_the_grace_even_if_it_never_began() {
        let mut run = Lifecycle::default();
        run.stop("stop", Duration::from_secs(100));
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
        run.stop("stop", Duration::ZERO);
        assert_eq!(overdue(&run), Some(Overdue::Stop("stop")));
    }
}
