//! One run from its first attempt to its verdict, without database and actors.

use std::{pin::pin, time::Duration};

use futures_util::future::select;

use super::run::{ATTEMPT_TIMED_OUT, JobRun, Stop, Verdict};
use crate::{
    domain::{Failure, Hook, PARAM_ERROR, Target, TaskError},
    hook::{HookCall, HookError},
    registry::{InvokeError, TaskContext},
    run::{Attempt, StoppableRun, attempt},
    traces::Span,
};

/// The pause after an attempt that could not begin.
const NOT_BEGUN_PAUSE: Duration = Duration::from_secs(1);

/// Makes attempts until one succeeds, none is left, or the run is asked to stop. `None`: no attempt could begin, and the run has no end.
pub(super) async fn execute(run: &JobRun, generation: u32) -> Option<Verdict> {
    let mut asked = None;
    while let Some(ctx) = next_attempt(run, generation).await {
        run.tell_start(ctx.attempt());
        let asked_at = *asked.get_or_insert_with(|| run.context.clock.elapsed());
        let verdict = verdict_of(run, &ctx).await;
        if verdict.is_no_attempt() {
            run.take_back_attempt(generation);
            let waited = run.context.clock.elapsed().saturating_sub(asked_at);
            if verdict == Verdict::NoThread && waited >= run.spec.timeout {
                return Some(verdict);
            }
            // If the node did not own the run any more, the next attempt begins only if it owns the run again.
            run.pause_before_next(generation, NOT_BEGUN_PAUSE);
            continue;
        }
        if !run.is_run_by(generation) || !verdict.may_be_tried_again() {
            return Some(verdict);
        }
        let Some(retries) = run.retries_so_far() else {
            return Some(verdict);
        };
        let delay = run.spec.retry.delay(retries, fastrand::f64() * 2.0 - 1.0);
        if run.pause_before_next(generation, delay) {
            run.tell_retry(ctx.attempt(), verdict.error(), delay);
        }
        asked = None;
    }
    match run.why() {
        // A run that has not begun may begin in a later term of the lease.
        None | Some(Stop::Node) if !run.has_begun() => None,
        why => Some(Verdict::Stopped(why.unwrap_or(Stop::Node))),
    }
}

/// Begins the next attempt once the pause before it is over. `None`: it must not begin.
async fn next_attempt(run: &JobRun, generation: u32) -> Option<TaskContext> {
    if let Some(until) = run.next_attempt_from() {
        let rested = pin!(run.context.clock.sleep_until(until));
        select(rested, pin!(run.stop_requested())).await;
    }
    run.begin(generation)
}

/// Calls the target, within the timeout, until the run is asked to stop. If the handler answers within the grace after a stop, a result
/// counts; an error counts as the handler's way to stop.
async fn verdict_of(run: &JobRun, ctx: &TaskContext) -> Verdict {
    ctx.enter(run.context.traces.of_job(&run.info, ctx.attempt(), ctx.traceparent()));
    let verdict = match attempt(run, ctx, ctx.log_scope(answer(run, ctx))).await {
        Attempt::AnsweredAfterStop(Verdict::Failed { .. }, why) | Attempt::CutOff(why) => Verdict::Stopped(why),
        Attempt::Answered(verdict) | Attempt::AnsweredAfterStop(verdict, _) => verdict,
        Attempt::TimedOut => Verdict::TimedOut,
    };
    tell_end(&ctx.leave(), &verdict, &run.spec.target);
    verdict
}

/// Tells the span of an attempt how the attempt has ended. The error of a hook may hold a part of its answer, and an address with a secret.
fn tell_end(span: &Span, verdict: &Verdict, target: &Target) {
    if matches!(verdict, Verdict::Failed { .. } | Verdict::TimedOut) {
        span.failed(match target {
            Target::Service { .. } => verdict.error(),
            Target::Hook(_) => "the hook failed",
        });
    }
    span.ended(verdict.name());
}

async fn answer(run: &JobRun, ctx: &TaskContext) -> Verdict {
    match &run.spec.target {
        Target::Service { service, method, args } => {
            let route = match run.context.registry.route(service, method) {
                Ok(route) => route,
                Err(error) => return failed(error.to_string()),
            };
            let call = route.invoke_within(&run.context.layers, ctx.clone(), args.as_str().into());
            match call.await {
                Ok(result) => Verdict::Succeeded(result.into_string()),
                Err(error) => judged(error),
            }
        }
        Target::Hook(hook) => of_hook(run, hook).await,
    }
}

async fn of_hook(run: &JobRun, hook: &Hook) -> Verdict {
    let began = run.context.clock.elapsed();
    let tell = |status| run.tell_hook(status, run.context.clock.elapsed().saturating_sub(began));
    match run.context.hooks.call(call(hook, run)).await {
        Ok(answer) => {
            tell(Some(answer.status));
            Verdict::Succeeded(answer.body)
        }
        Err(HookError::Withdrawn) => Verdict::Withdrawn,
        Err(HookError::NoThread) => Verdict::NoThread,
        Err(error) => {
            tell(error.status());
            failed(error.to_string())
        }
    }
}

fn call(hook: &Hook, run: &JobRun) -> HookCall {
    HookCall {
        method: hook.method,
        url: hook.url.clone(),
        headers: hook.headers.clone(),
        body: hook.body.clone(),
        secret: hook.secret.clone(),
        traceparent: None,
        run_id: run.log_id.to_string(),
        sent_at: run.context.clock.now(),
        hold: Some(run.hold().clone()),
    }
}

fn judged(error: InvokeError) -> Verdict {
    let failed = |failure, error| Verdict::Failed { error, failure };
    let for_good = |error| failed(Failure::Discarded, error);
    match error {
        InvokeError::Handler(TaskError::Discard(error)) => for_good(error),
        InvokeError::Handler(TaskError::Failed(error)) if error.starts_with(PARAM_ERROR) => for_good(error),
        InvokeError::Handler(TaskError::Snooze(delay)) => for_good(format!(
            "the handler asked to be snoozed for {delay:?}, which only tasks can be; a job comes again by its schedule"
        )),
        InvokeError::Handler(TaskError::Failed(error)) => failed(Failure::Error, error),
        InvokeError::Gone(error) => failed(Failure::Lost, error),
        error @ (InvokeError::Panicked(_) | InvokeError::LayerPanicked(_)) => {
            failed(Failure::Panicked, error.to_string())
        }
        InvokeError::Missing(error) => failed(Failure::Error, error.to_string()),
        InvokeError::Stopped(error) => failed(Failure::Error, error.to_owned()),
        #[cfg(all(feature = "hooks", feature = "web"))]
        InvokeError::Parked(..) => for_good(crate::registry::ONLY_TASKS.to_owned()),
        InvokeError::Withdrawn => Verdict::Withdrawn,
        InvokeError::NoThread => Verdict::NoThread,
    }
}

fn failed(error: String) -> Verdict {
    Verdict::Failed {
        error,
        failure: Failure::Error,
    }
}

impl Verdict {
    /// Whether the attempt does not count: the handler was not called, and no request was sent.
    fn is_no_attempt(&self) -> bool {
        matches!(self, Self::NoThread | Self::Withdrawn)
    }

    fn may_be_tried_again(&self) -> bool {
        match self {
            Self::Failed { failure, .. } => failure.is_retryable(),
            Self::TimedOut => true,
            _ => false,
        }
    }

    /// The name that it has in spans.
    fn name(&self) -> &'static str {
        match self {
            Self::Succeeded(_) => "succeeded",
            Self::Failed { failure, .. } => failure.as_str(),
            Self::TimedOut => Failure::TimedOut.as_str(),
            Self::Stopped(Stop::Cancelled(_)) => "cancelled",
            Self::Stopped(Stop::Node) | Self::NoThread | Self::Withdrawn => "handed_back",
        }
    }

    /// Why an attempt failed.
    fn error(&self) -> &str {
        match self {
            Self::Failed { error, .. } => error,
            _ => ATTEMPT_TIMED_OUT,
        }
    }
}
