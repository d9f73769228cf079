//! One call of a handler. The call is dropped when its time limit is over, or when the grace after a request to stop the run is over.

use std::{pin::pin, time::Duration};

use futures_util::future::{Either, select};

use crate::{
    clock::Clock,
    registry::{CancelReason, TaskContext},
};

/// What [`attempt`] must know of the run that makes the attempt: its clock, its time limit, and whether it is asked to stop.
pub(crate) trait StoppableRun {
    /// The reason for a stop.
    type Why;

    fn clock(&self) -> &Clock;

    /// How long the call may take.
    fn time_limit(&self) -> Option<Duration>;

    /// Completes, with the reason, when the run is asked to stop.
    fn stop_requested(&self) -> impl Future<Output = Self::Why>;

    /// The reason why the run was asked to stop. `None`: it was not asked.
    fn why(&self) -> Option<Self::Why>;

    /// The reading of the clock at which the call is dropped if the run was asked to stop.
    fn end_of_grace(&self) -> Duration;
}

/// How a call ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Attempt<A, W> {
    /// The handler answered.
    Answered(A),
    /// The handler answered after the run was asked to stop. It need not have listened: the answer may be a full result.
    AnsweredAfterStop(A, W),
    /// The handler did not answer within the grace after the request to stop; the call was dropped.
    CutOff(W),
    /// The handler did not answer within the time limit; the call was dropped.
    TimedOut,
}

/// Waits for the answer of `call`, a call of a handler that got `ctx`. If the run is asked to stop at the very moment at which its time is
/// over, the stop counts.
pub(crate) async fn attempt<R: StoppableRun, A>(
    run: &R,
    ctx: &TaskContext,
    call: impl Future<Output = A>,
) -> Attempt<A, R::Why> {
    // The time limit starts here, not at the first `.await` of the handler.
    let (told, time_is_over) = (pin!(run.stop_requested()), pin!(time_is_over(run)));
    match select(pin!(call), select(told, time_is_over)).await {
        // A handler that listens for the stop may answer before this function sees the stop.
        Either::Left((answer, _)) => match run.why() {
            Some(why) => Attempt::AnsweredAfterStop(answer, why),
            None => Attempt::Answered(answer),
        },
        Either::Right((Either::Left((why, _)), call)) => {
            let grace = pin!(run.clock().sleep_until(run.end_of_grace()));
            match select(call, grace).await {
                Either::Left((answer, _)) => Attempt::AnsweredAfterStop(answer, why),
                Either::Right(_) => Attempt::CutOff(why),
            }
        }
        Either::Right((Either::Right(_), _)) => {
            // Dropping the call does not stop a blocking function: cancel its context, so that it can notice. Only the context of this
            // attempt: if the thread was blocked, the cron actor may have begun the job's next attempt on another thread.
            ctx.cancel(CancelReason::Timeout);
            Attempt::TimedOut
        }
    }
}

fn time_is_over(run: &impl StoppableRun) -> impl Future<Output = ()> {
    let limit = run.time_limit().map(|limit| run.clock().sleep(limit));
    async {
        match limit {
            Some(limit) => limit.await,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use chrono::{DateTime, Utc};
    use futures_util::FutureExt;
    use tokio::sync::{SetOnce, oneshot};

    use super::*;
    use crate::registry::Shared;

    const LIMIT: Duration = Duration::from_secs(10);
    const GRACE: Duration = Duration::from_secs(5);
    const IN_TIME: Duration = Duration::from_secs(4);

    struct Run {
        clock: Clock,
        told: SetOnce<&'static str>,
        told_at: Cell<Duration>,
        ctx: TaskContext,
    }

    impl Run {
        fn new() -> Self {
            Self {
                clock: Clock::manual(DateTime::<Utc>::UNIX_EPOCH),
                told: SetOnce::new(),
                told_at: Cell::new(Duration::ZERO),
                ctx: TaskContext::direct(Shared::default()),
            }
        }

        fn stop(&self) {
            self.told_at.set(self.clock.elapsed());
            self.told.set("stop").expect("is told once");
        }
    }

    impl StoppableRun for Run {
        type Why = &'static str;

        fn clock(&self) -> &Clock {
            &self.clock
        }

        fn time_limit(&self) -> Option<Duration> {
            Some(LIMIT)
        }

        async fn stop_requested(&self) -> &'static str {
            self.told.wait().await
        }

        fn why(&self) -> Option<&'static str> {
            self.told.get().copied()
        }

        fn end_of_grace(&self) -> Duration {
            self.told_at.get() + GRACE
        }
    }

    type Ended = Option<Attempt<u8, &'static str>>;

    /// Makes an attempt; `happens` does something while the call is under way. `None`: the attempt goes on.
    fn make(happens: impl FnOnce(&Run, oneshot::Sender<u8>)) -> (Ended, Run) {
        let run = Run::new();
        let (tx, rx) = oneshot::channel();
        let ended = {
            let mut attempt = pin!(attempt(&run, &run.ctx, async { rx.await.expect("is answered") }));
            assert_eq!(attempt.as_mut().now_or_never(), None);
            happens(&run, tx);
            attempt.now_or_never()
        };
        (ended, run)
    }

    #[test]
    fn an_answer_in_time_is_the_end() {
        let (ended, run) = make(|run, call| {
            run.clock.advance(IN_TIME);
            call.send(7).expect("waits");
        });
        assert_eq!(ended, Some(Attempt::Answered(7)));
        assert!(!run.ctx.is_cancelled());
    }

    #[test]
    fn a_call_that_takes_too_long_is_dropped_and_the_handler_is_told() {
        let mut call = None;
        let (ended, run) = make(|run, open| {
            run.clock.advance(LIMIT);
            call = Some(open);
        });
        assert_eq!(ended, Some(Attempt::TimedOut));
        assert!(run.ctx.is_cancelled() && call.expect("was made").is_closed());
    }

    #[test]
    fn a_stop_at_the_moment_of_the_time_out_counts_and_leaves_the_grace() {
        let mut call = None;
        let (ended, run) = make(|run, open| {
            run.clock.advance(LIMIT);
            run.stop();
            call = Some(open);
        });
        assert_eq!(ended, None);
        assert!(!run.ctx.is_cancelled());
    }

    #[test]
    fn an_answer_at_the_moment_of_the_time_out_counts() {
        let (ended, _) = make(|run, call| {
            run.clock.advance(LIMIT);
            call.send(7).expect("waits");
        });
        assert_eq!(ended, Some(Attempt::Answered(7)));
    }

    #[test]
    fn an_answer_within_the_grace_has_obeyed() {
        let (ended, _) = make(|run, call| {
            run.stop();
            run.clock.advance(IN_TIME);
            call.send(7).expect("waits");
        });
        assert_eq!(ended, Some(Attempt::AnsweredAfterStop(7, "stop")));
    }

    #[test]
    fn a_call_that_does_not_obey_is_cut_off_after_the_grace() {
        let mut call = None;
        let (ended, _) = make(|run, open| {
            run.stop();
            run.clock.advance(GRACE);
            call = Some(open);
        });
        assert_eq!(ended, Some(Attempt::CutOff("stop")));
    }
}
