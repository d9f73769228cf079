//! Layers: functions around the calls of handlers.

use std::{borrow::Cow, cell::Cell, fmt, panic::AssertUnwindSafe, rc::Rc, sync::Arc};

use futures_util::{FutureExt, future::LocalBoxFuture};
use serde::de::DeserializeOwned;

use super::{InvokeError, MethodName, TaskContext};
use crate::{
    domain::{Json, TaskError, parsed_args},
    panic_text::panic_text,
};

pub(crate) type Answer = Result<Json, InvokeError>;

/// Makes the call inside of all layers.
type Innermost = Box<dyn FnOnce(TaskContext, Cow<'static, str>) -> LocalBoxFuture<'static, Answer>>;

/// Something around a call.
pub(crate) trait Layer: Send + Sync {
    fn call(&self, ctx: TaskContext, rest: Rest) -> LocalBoxFuture<'_, Answer>;
}

/// Layers around a call, the outermost first. Cloning is cheap.
#[derive(Clone, Default)]
pub(crate) struct Layers(Arc<Vec<Arc<dyn Layer>>>);

impl fmt::Debug for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Layers").field(&self.0.len()).finish()
    }
}

impl Layers {
    /// Adds a layer inside of the present ones.
    pub(crate) fn add(&mut self, layer: Arc<dyn Layer>) {
        Arc::make_mut(&mut self.0).push(layer);
    }

    /// Adds a function of the application inside of the present layers.
    pub(crate) fn add_fn<F>(&mut self, function: F)
    where
        F: AsyncFn(TaskContext, Next) -> Result<Json, TaskError> + Send + Sync + 'static,
    {
        self.add(Arc::new(Function(function)));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Makes a call of this method within the layers.
    pub(super) async fn around(
        &self,
        name: &MethodName,
        ctx: TaskContext,
        args: Cow<'_, str>,
        innermost: impl FnOnce(TaskContext, Cow<'static, str>) -> LocalBoxFuture<'static, Answer> + 'static,
    ) -> Answer {
        if !ctx.is_ours() {
            return Err(InvokeError::Withdrawn);
        }
        let rest = Rest {
            name: name.clone(),
            args: Json::from_text(args),
            layers: self.clone(),
            next: 0,
            innermost: Box::new(innermost),
        };
        rest.run(ctx).await
    }
}

/// What a layer is around: the layers inside of it, and the handler.
pub(crate) struct Rest {
    name: MethodName,
    args: Json,
    layers: Layers,
    /// The place of the next layer.
    next: usize,
    innermost: Innermost,
}

impl Rest {
    pub(crate) async fn run(mut self, ctx: TaskContext) -> Answer {
        match self.layers.0.get(self.next).cloned() {
            Some(layer) => {
                self.next += 1;
                layer.call(ctx, self).await
            }
            None => (self.innermost)(ctx, self.args.into_text()).await,
        }
    }
}

/// What a layer is around: the layers inside of it, and the handler. See [`SchedulerOptions::layer`](crate::SchedulerOptions::layer).
#[must_use = "the handler is not called unless `run` is"]
pub struct Next {
    rest: Rest,
    /// Where the layer leaves the reason why there is no answer of the handler.
    no_answer: Rc<Cell<Option<InvokeError>>>,
}

impl fmt::Debug for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Next")
            .field("service", &self.service())
            .field("method", &self.method())
            .finish_non_exhaustive()
    }
}

impl Next {
    /// The service that is called.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.rest.name.service
    }

    /// The method that is called.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.rest.name.method
    }

    /// The arguments of the call.
    #[must_use]
    pub fn args(&self) -> &Json {
        &self.rest.args
    }

    /// The arguments of the call as a value of type `T`.
    ///
    /// # Errors
    /// [`TaskError::Discard`] with `PARAM_ERROR` if the arguments do not fit `T`: another attempt would read the same arguments.
    pub fn parse_args<T: DeserializeOwned>(&self) -> Result<T, TaskError> {
        parsed_args(self.args().as_str())
    }

    /// The same call with other arguments. The arguments that are stored with the task do not change.
    pub fn with_args(mut self, args: Json) -> Self {
        self.rest.args = args;
        self
    }

    /// Calls the layers inside of this one, and the handler. The context is the layer's, or the layer's with [more
    /// data](TaskContext::with_data) for the handler.
    ///
    /// # Errors
    /// The error of the handler, or of a layer. If there is no answer, because the handler panicked, its actor is gone, or the node has lost
    /// the run, the error says so; whatever the layer answers then, the attempt ends for that reason. So it is with a run that is told to
    /// stop before the handler has ended, and with one that a remote service has parked (it answered 202): the service ends the run later, and
    /// no layer sees that end.
    pub async fn run(self, ctx: TaskContext) -> Result<Json, TaskError> {
        self.rest.run(ctx).await.map_err(|error| match error {
            InvokeError::Handler(error) => error,
            other => {
                let seen = TaskError::Failed(other.to_string());
                self.no_answer.set(Some(other));
                seen
            }
        })
    }
}

/// A function of the application.
struct Function<F>(F);

impl<F> Layer for Function<F>
where
    F: AsyncFn(TaskContext, Next) -> Result<Json, TaskError> + Send + Sync,
{
    fn call(&self, ctx: TaskContext, rest: Rest) -> LocalBoxFuture<'_, Answer> {
        let no_answer = Rc::new(Cell::new(None));
        let next = Next {
            rest,
            no_answer: Rc::clone(&no_answer),
        };
        // The call may panic, too, not only the future that it returns.
        let call = AssertUnwindSafe(async { (self.0)(ctx, next).await }).catch_unwind();
        async move {
            let answer = call.await;
            match (no_answer.take(), answer) {
                (Some(reason), _) => Err(reason),
                (None, Ok(answer)) => answer.map_err(InvokeError::Handler),
                (None, Err(payload)) => Err(InvokeError::LayerPanicked(panic_text(&*payload))),
            }
        }
        .boxed_local()
    }
}
