//! One run from its arguments to its outcome, without actors: the steps around the handler, in their order.

use std::time::Duration;

use super::{
    run::{Run, Stop},
    theme::ThemeContext,
};
use crate::{
    domain::{Failure, Json, Outcome, PARAM_ERROR, TaskError},
    registry::{Answer, InvokeError},
    run::{Attempt, Overdue, StoppableRun, attempt},
};

/// Runs the handler of a task: resolve → layers → pre-handler → call, within the timeout, until cancelled. `None`: a service has parked the
/// run, and will end it.
pub(super) async fn execute(theme: &ThemeContext, run: &Run, args: Json) -> Option<Outcome> {
    if let Some(why) = run.why() {
        return Some(cut_off(why));
    }
    if let Some(timeout) = run.timeout() {
        run.ctx.set_deadline(theme.clock(), timeout);
    }
    run.tell_started();
    run.ctx.enter(theme.traces.of_task(&run.info, run.ctx.traceparent()));
    let attempted = attempt(run, &run.ctx, run.ctx.log_scope(answer(theme, run, args))).await;
    #[cfg(all(feature = "hooks", feature = "web"))]
    if run.is_parked() {
        run.ctx.leave().ended("parked");
        return None;
    }
    let outcome = match attempted {
        Attempt::Answered(answer) => judged(theme, answer),
        Attempt::AnsweredAfterStop(answer, why) => told_to_stop(why, judged(theme, answer)),
        Attempt::CutOff(why) => cut_off(why),
        Attempt::TimedOut => timed_out(run.timeout()),
    };
    run.ctx.leave().task_ended(&outcome);
    Some(outcome)
}

/// What to record for a run that was asked to stop and did not end by itself.
pub(super) fn cut_off(why: Stop) -> Outcome {
    match why {
        Stop::Request => Outcome::Cancelled,
        Stop::Node => Outcome::HandedBack { started: true },
    }
}

/// What to record for an overdue run, which its worker did not end.
pub(super) fn overdue(why: Overdue<Stop>, timeout: Option<Duration>) -> Outcome {
    match why {
        Overdue::Stop(why) => cut_off(why),
        Overdue::Time => timed_out(timeout),
    }
}

async fn answer(theme: &ThemeContext, run: &Run, args: Json) -> Answer {
    let route = theme.route(&run.task)?;
    let call = route.invoke_within(&theme.layers, run.ctx.clone(), args.into_text());
    call.await
}

fn judged(theme: &ThemeContext, answer: Answer) -> Outcome {
    match answer {
        // There was a handler when the scanner claimed the task; it was removed since.
        Err(InvokeError::Missing(error)) => theme.without_handler(&error),
        Err(InvokeError::Handler(TaskError::Snooze(delay))) => Outcome::Snoozed(theme.options.snooze(delay)),
        other => classify(other),
    }
}

fn classify(answer: Answer) -> Outcome {
    let failed = |failure, error| Outcome::Failed { error, failure };
    match answer {
        Ok(result) => Outcome::Succeeded(result),
        Err(InvokeError::Handler(TaskError::Snooze(delay))) => Outcome::Snoozed(delay),
        Err(InvokeError::Handler(TaskError::Discard(error))) => failed(Failure::Discarded, error),
        Err(InvokeError::Handler(TaskError::Failed(error))) if error.starts_with(PARAM_ERROR) => {
            failed(Failure::Discarded, error)
        }
        Err(InvokeError::Handler(TaskError::Failed(error))) => failed(Failure::Error, error),
        Err(error @ (InvokeError::Panicked(_) | InvokeError::LayerPanicked(_))) => {
            failed(Failure::Panicked, error.to_string())
        }
        Err(InvokeError::Gone(error)) => failed(Failure::Lost, error),
        Err(InvokeError::Missing(error)) => failed(Failure::Error, error.to_string()),
        Err(InvokeError::Stopped(error)) => failed(Failure::Error, error.to_owned()),
        #[cfg(all(feature = "hooks", feature = "web"))]
        Err(InvokeError::Parked(..)) => Outcome::HandedBack { started: false },
        // If another node has taken the task over, that node keeps it; otherwise the task waits again.
        Err(InvokeError::Withdrawn | InvokeError::NoThread) => Outcome::HandedBack { started: false },
    }
}

/// The outcome if the handler answered within the grace after a stop. A result counts. An error counts as the handler's way to stop.
fn told_to_stop(why: Stop, outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Failed { .. } => cut_off(why),
        other => other,
    }
}

fn timed_out(timeout: Option<Duration>) -> Outcome {
    let timeout = timeout.unwrap_or_default();
    Outcome::Failed {
        error: format!("timed out after {timeout:?}"),
        failure: Failure::TimedOut,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handler(error: TaskError) -> Answer {
        Err(InvokeError::Handler(error))
    }

    #[test]
    fn answers_are_classified() {
        let failure = |answer| match classify(answer) {
            Outcome::Failed { failure, .. } => Some(failure),
            _ => None,
        };
        assert_eq!(failure(Ok(Json::null())), None);
        assert_eq!(failure(handler(TaskError::failed("no"))), Some(Failure::Error));
        assert_eq!(
            failure(handler(TaskError::failed("PARAM_ERROR: no amount"))),
            Some(Failure::Discarded)
        );
        assert_eq!(failure(handler(TaskError::discard("no"))), Some(Failure::Discarded));
        assert_eq!(
            failure(Err(InvokeError::Panicked("x".to_owned()))),
            Some(Failure::Panicked)
        );
        assert_eq!(
            failure(Err(InvokeError::LayerPanicked("x".to_owned()))),
            Some(Failure::Panicked)
        );
        assert_eq!(failure(Err(InvokeError::Gone("x".to_owned()))), Some(Failure::Lost));
        assert_eq!(failure(Err(InvokeError::Stopped("x"))), Some(Failure::Error));
        let snoozed = classify(handler(TaskError::Snooze(Duration::from_secs(3))));
        assert_eq!(snoozed, Outcome::Snoozed(Duration::from_secs(3)));
    }

    #[test]
    fn a_handler_that_obeys_a_stop_is_handed_back_and_one_that_finishes_is_not() {
        let obeyed = classify(handler(TaskError::failed("interrupted")));
        assert_eq!(
            told_to_stop(Stop::Node, obeyed.clone()),
            Outcome::HandedBack { started: true }
        );
        assert_eq!(told_to_stop(Stop::Request, obeyed), Outcome::Cancelled);
        let finished = Outcome::Succeeded(Json::null());
        assert_eq!(told_to_stop(Stop::Request, finished.clone()), finished);
    }
}
