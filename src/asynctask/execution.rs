//! One run from its arguments to its outcome. No database, no actor: what happens around the handler, in the order in
//! which it happens.

use std::{future::Future, panic::AssertUnwindSafe, pin::pin, time::Duration};

use futures_util::{
    FutureExt,
    future::{Either, select},
};

use super::{run::Run, theme::Theme};
use crate::{
    domain::{Failure, Json, Outcome, PARAM_ERROR, TaskError},
    registry::{CancelReason, InvokeError, TaskContext, panic_text},
};

type Answer = Result<Json, InvokeError>;

/// Runs the handler of a task: pre-handler → resolve → call, within the timeout, until cancelled.
pub(super) async fn execute(theme: &Theme, run: &Run, args: Json) -> Outcome {
    if let Some(reason) = run.ctx.cancel_reason() {
        return cut_off(reason, run.timeout());
    }
    if let Some(timeout) = run.timeout() {
        run.ctx.set_deadline(&theme.clock, timeout);
    }
    // Its time runs from here, not from when the handler first waits.
    let out_of_time = run.timeout().map(|timeout| theme.clock.sleep(timeout));
    let answer = pin!(answer(theme, run, args));
    let stopped = pin!(stopped(run, out_of_time));
    match select(answer, stopped).await {
        // A handler that listens may be quicker than we are.
        Either::Left((answer, _)) => match run.ctx.cancel_reason() {
            Some(reason) => told_to_stop(reason, judged(theme, answer)),
            None => judged(theme, answer),
        },
        Either::Right((CancelReason::Timeout, _)) => timed_out(run.timeout()),
        Either::Right((reason, answer)) => {
            let grace = pin!(theme.clock.sleep_until(run.end_of_grace()));
            match select(answer, grace).await {
                Either::Left((answer, _)) => told_to_stop(reason, judged(theme, answer)),
                Either::Right(_) => cut_off(reason, run.timeout()),
            }
        }
    }
}

/// What to record for a run that did not end by itself.
pub(super) fn cut_off(reason: CancelReason, timeout: Option<Duration>) -> Outcome {
    match reason {
        CancelReason::Timeout => timed_out(timeout),
        CancelReason::Request => Outcome::Cancelled,
        CancelReason::Node => Outcome::HandedBack { started: true },
    }
}

async fn answer(theme: &Theme, run: &Run, args: Json) -> Answer {
    if let Some(pre_handler) = &theme.options.pre_handler {
        // The mark of a last attempt may have taken long to write.
        if !run.ctx.is_ours() {
            return Err(InvokeError::Withdrawn);
        }
        caught(|| pre_handler(run.ctx.clone()))
            .await
            .map_err(|error| in_hook("pre_handler", error))?;
    }
    theme.route(&run.task)?.invoke(run.ctx.clone(), args.into_text()).await
}

/// Ends when the run must stop, and says why.
async fn stopped(run: &Run, out_of_time: Option<impl Future<Output = ()>>) -> CancelReason {
    let told = pin!(told(&run.ctx));
    let Some(out_of_time) = out_of_time else {
        return told.await;
    };
    match select(told, pin!(out_of_time)).await {
        Either::Left((reason, _)) => reason,
        Either::Right(_) => {
            run.cancel(CancelReason::Timeout);
            CancelReason::Timeout
        }
    }
}

async fn told(ctx: &TaskContext) -> CancelReason {
    ctx.cancelled().await;
    ctx.cancel_reason().unwrap_or(CancelReason::Node)
}

/// Calls a hook of the user's; a panic becomes an error.
pub(super) async fn caught<F>(hook: impl FnOnce() -> F) -> Result<(), InvokeError>
where
    F: Future<Output = Result<(), TaskError>>,
{
    match AssertUnwindSafe(async { hook().await }).catch_unwind().await {
        Ok(done) => done.map_err(InvokeError::Handler),
        Err(payload) => Err(InvokeError::Panicked(panic_text(&*payload))),
    }
}

fn in_hook(hook: &str, error: InvokeError) -> InvokeError {
    match error {
        InvokeError::Handler(TaskError::Failed(message)) if !message.starts_with(PARAM_ERROR) => {
            InvokeError::Handler(TaskError::Failed(format!("{hook}: {message}")))
        }
        InvokeError::Panicked(message) => InvokeError::Panicked(format!("in {hook}: {message}")),
        other => other,
    }
}

fn judged(theme: &Theme, answer: Answer) -> Outcome {
    match answer {
        // The scanner has seen a handler, which has gone since.
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
        Err(InvokeError::Panicked(message)) => failed(Failure::Panicked, format!("the handler panicked: {message}")),
        Err(InvokeError::Gone(error)) => failed(Failure::Lost, error),
        Err(InvokeError::Missing(error)) => failed(Failure::Error, error.to_string()),
        // A node that has taken the task over keeps it; if there is none, the task waits again.
        Err(InvokeError::Withdrawn | InvokeError::NoThread) => Outcome::HandedBack { started: false },
    }
}

/// A handler that was told to stop and ended in time: its result counts, its error is taken for obedience.
fn told_to_stop(reason: CancelReason, outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Failed { .. } => cut_off(reason, None),
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
        assert_eq!(failure(Err(InvokeError::Gone("x".to_owned()))), Some(Failure::Lost));
        let snoozed = classify(handler(TaskError::Snooze(Duration::from_secs(3))));
        assert_eq!(snoozed, Outcome::Snoozed(Duration::from_secs(3)));
    }

    #[test]
    fn a_handler_that_obeys_a_stop_is_handed_back_and_one_that_finishes_is_not() {
        let obeyed = classify(handler(TaskError::failed("interrupted")));
        assert_eq!(
            told_to_stop(CancelReason::Node, obeyed.clone()),
            Outcome::HandedBack { started: true }
        );
        assert_eq!(told_to_stop(CancelReason::Request, obeyed), Outcome::Cancelled);
        let finished = Outcome::Succeeded(Json::null());
        assert_eq!(told_to_stop(CancelReason::Request, finished.clone()), finished);
    }
}
