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
pub(super) type PreHandler = dyn Fn(TaskContext) -> Hook + Send + Sync;
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

/// A function before each attempt.
pub(super) fn pre_handler<F>(hook: F) -> Arc<PreHandler>
where
    F: AsyncFn(TaskContext) -> Result<(), TaskError> + Send + Sync + 'static,
{
    let hook = Arc::new(hook);
    Arc::new(move |ctx| {
        let hook = Arc::clone(&hook);
        async move { hook(ctx).await }.boxed_local()
    })
}

/// The innermost layer of a scheduler: its pre-handler.
pub(super) struct Before {
    pub(super) hook: Arc<PreHandler>,
    /// Whether an error of the hook ends the task, whatever attempts are left.
    pub(super) fails_task: bool,
}

impl Layer for Before {
    fn call(&self, ctx: TaskContext, rest: Rest) -> LocalBoxFuture<'_, Answer> {
        let before = async {
            let done = caught(|| (self.hook)(ctx.clone())).await;
            done.map_err(|error| in_pre_handler(error, self.fails_task))?;
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

fn in_pre_handler(error: InvokeError, fails_task: bool) -> InvokeError {
    let named = match error {
        InvokeError::Handler(TaskError::Failed(message)) if !message.starts_with(PARAM_ERROR) => {
            InvokeError::Handler(TaskError::Failed(format!("pre_handler: {message}")))
        }
        InvokeError::Panicked(message) => InvokeError::Panicked(format!("in pre_handler: {message}")),
        other => other,
    };
    match named {
        InvokeError::Handler(TaskError::Failed(message)) if fails_task => {
            InvokeError::Handler(TaskError::Discard(message))
        }
        InvokeError::Panicked(_) if fails_task => InvokeError::Handler(TaskError::Discard(named.to_string())),
        named => named,
    }
}
