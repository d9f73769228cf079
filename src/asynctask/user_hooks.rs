//! The functions of users before and after an attempt.

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures_util::{FutureExt, future::LocalBoxFuture};

use crate::{
    domain::{Outcome, PARAM_ERROR, TaskError},
    events::TaskEnded,
    panic_text::panic_text,
    registry::{Answer, InvokeError, Layer, Rest, TaskContext},
};

type Hook = LocalBoxFuture<'static, Result<(), TaskError>>;
pub(super) type PostHandler = dyn Fn(TaskEnded, Outcome) -> Hook + Send + Sync;

/// A function after each attempt.
pub(super) fn post_handler<F>(hook: F) -> Arc<PostHandler>
where
    F: AsyncFn(TaskEnded, Outcome) -> Result<(), TaskError> + Send + Sync + 'static,
{
    let hook = Arc::new(hook);
    Arc::new(move |ended, outcome| {
        let hook = Arc::clone(&hook);
        async move { hook(ended, outcome).await }.boxed_local()
    })
}

/// A function before each attempt: the innermost layer of a scheduler.
pub(super) struct PreHandler<F>(pub(super) F);

impl<F> Layer for PreHandler<F>
where
    F: AsyncFn(TaskContext) -> Result<(), TaskError> + Send + Sync,
{
    fn call(&self, ctx: TaskContext, rest: Rest) -> LocalBoxFuture<'_, Answer> {
        let before = async {
            let done = caught(|| (self.0)(ctx.clone())).await;
            done.map_err(in_pre_handler)?;
            rest.run(ctx).await
        };
        before.boxed_local()
    }
}

/// Calls a pre-handler or post-handler of the user; a panic becomes an error.
pub(super) async fn caught<F>(hook: impl FnOnce() -> F) -> Result<(), InvokeError>
where
    F: Future<Output = Result<(), TaskError>>,
{
    match AssertUnwindSafe(async { hook().await }).catch_unwind().await {
        Ok(done) => done.map_err(InvokeError::Handler),
        Err(payload) => Err(InvokeError::Panicked(panic_text(&*payload))),
    }
}

fn in_pre_handler(error: InvokeError) -> InvokeError {
    match error {
        InvokeError::Handler(TaskError::Failed(message)) if !message.starts_with(PARAM_ERROR) => {
            InvokeError::Handler(TaskError::Failed(format!("pre_handler: {message}")))
        }
        InvokeError::Panicked(message) => InvokeError::Panicked(format!("in pre_handler: {message}")),
        other => other,
    }
}
