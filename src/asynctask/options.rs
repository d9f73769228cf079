//! How one theme is worked on.

use std::{sync::Arc, time::Duration};

use super::user_hooks::{self, Before, PostHandler, PreHandler};
use crate::{
    config::{Compat, MissingHandler},
    domain::{
        DEFAULT_MAX_RETRY, Faults, Json, MAX_THEME_CHARS, MAX_WORKERS, Outcome, RetryPolicy, TaskError, check_max_retry,
    },
    events::TaskEnded,
    logs::KeepLogs,
    registry::{Layers, Next, TaskContext},
};

/// The options of a scheduler, with the integration guide's names and defaults.
///
/// ```
/// use std::time::Duration;
/// use gaia_actors::{SchedulerOptions, TaskContext};
///
/// let options = SchedulerOptions::new("order-task")
///     .worker_num(30)
///     .scan_interval(Duration::from_secs(5))
///     .timeout(Duration::from_secs(60))
///     .post_handler(async |ended, outcome| {
///         log::info!("task {} ended: {outcome:?}", ended.run.task_id);
///         Ok(())
///     });
/// ```
#[derive(Clone)]
#[must_use = "options do nothing until a scheduler is started with them"]
pub struct SchedulerOptions {
    pub(crate) theme: String,
    pub(crate) worker_num: usize,
    pub(crate) scan_interval: Duration,
    pub(crate) shortest_scan_interval: Duration,
    pub(crate) task_id_chan_length: usize,
    pub(crate) scan_task_num: usize,
    /// `None`, here and below: the default, which [`Self::compat`] decides.
    pub(crate) retry: Option<RetryPolicy>,
    pub(crate) max_retry: Option<i64>,
    pub(crate) retry_succeeded: Option<bool>,
    pub(crate) missing_handler: Option<MissingHandler>,
    pub(crate) pre_handler_fails_task: Option<bool>,
    /// `None`: as the node.
    pub(crate) compat: Option<Compat>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) cancel_grace: Duration,
    pub(crate) keep_logs: Option<KeepLogs>,
    pub(crate) layers: Layers,
    pub(crate) pre_handler: Option<Arc<PreHandler>>,
    pub(crate) post_handler: Option<Arc<PostHandler>>,
}

/// The options of a theme that hold for each change of one of its tasks, whichever process makes it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ThemeRules {
    pub(crate) retry: RetryPolicy,
    pub(crate) max_retry: i64,
    pub(crate) retry_succeeded: bool,
}

impl std::fmt::Debug for SchedulerOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SchedulerOptions")
            .field("theme", &self.theme)
            .field("worker_num", &self.worker_num)
            .field("scan_interval", &self.scan_interval)
            .field("shortest_scan_interval", &self.shortest_scan_interval)
            .field("task_id_chan_length", &self.task_id_chan_length)
            .field("scan_task_num", &self.scan_task_num)
            .field("retry", &self.retry)
            .field("max_retry", &self.max_retry)
            .field("retry_succeeded", &self.retry_succeeded)
            .field("missing_handler", &self.missing_handler)
            .field("pre_handler_fails_task", &self.pre_handler_fails_task)
            .field("compat", &self.compat)
            .field("timeout", &self.timeout)
            .field("cancel_grace", &self.cancel_grace)
            .field("keep_logs", &self.keep_logs)
            .field("layers", &self.layers)
            .finish_non_exhaustive()
    }
}

impl SchedulerOptions {
    /// The defaults for `theme` (1 to 100 characters), which tells one business from another.
    pub fn new(theme: impl Into<String>) -> Self {
        Self {
            theme: theme.into(),
            worker_num: 30,
            scan_interval: Duration::from_secs(5),
            shortest_scan_interval: Duration::from_millis(100),
            task_id_chan_length: 1_000,
            scan_task_num: 50,
            retry: None,
            max_retry: None,
            retry_succeeded: None,
            missing_handler: None,
            pre_handler_fails_task: None,
            compat: None,
            timeout: None,
            cancel_grace: Duration::from_secs(5),
            keep_logs: None,
            layers: Layers::default(),
            pre_handler: None,
            post_handler: None,
        }
    }

    /// How many tasks run at once at most. Default 30; 0 takes no work until [`ResizeWorkers`](super::ResizeWorkers) says
    /// otherwise.
    pub fn worker_num(self, worker_num: usize) -> Self {
        Self { worker_num, ..self }
    }

    /// How long an idle scanner waits at most before it looks again without having been woken. Default 5 s; at least 1 ms.
    pub fn scan_interval(self, scan_interval: Duration) -> Self {
        Self { scan_interval, ..self }
    }

    /// How long a scanner waits that has just found work, on a database that cannot tell it of more (SQLite, MySQL): each
    /// look in vain doubles the wait, up to [`scan_interval`](Self::scan_interval). Default 100 ms; at least 1 ms. On
    /// PostgreSQL other processes are heard at once.
    pub fn shortest_scan_interval(self, shortest_scan_interval: Duration) -> Self {
        Self {
            shortest_scan_interval,
            ..self
        }
    }

    /// How many claimed tasks may wait in memory for a worker. Default 1000. As few as half a second's work are kept there,
    /// so that other nodes get their share.
    pub fn task_id_chan_length(self, task_id_chan_length: usize) -> Self {
        Self {
            task_id_chan_length,
            ..self
        }
    }

    /// How many tasks one scan claims, to begin with: under load it doubles up to
    /// [`task_id_chan_length`](Self::task_id_chan_length). Default 50.
    pub fn scan_task_num(self, scan_task_num: usize) -> Self {
        Self { scan_task_num, ..self }
    }

    /// Delays between the attempts of a failing task. Default: 1 s, doubling up to 10 min, ± 20 %. With [`Compat::Go`]: always
    /// [`scan_interval`](Self::scan_interval), since there a failed task waits for the next scan.
    pub fn retry(self, retry: RetryPolicy) -> Self {
        Self {
            retry: Some(retry),
            ..self
        }
    }

    /// How often a task is tried again, at most, that this process adds without a number
    /// ([`NewTask::max_retry`](crate::NewTask::max_retry)). Default 3; with [`Compat::Go`] 0. A process that does not run the theme goes by
    /// `AsyncTask.MaxRetry` of its configuration.
    pub fn max_retry(self, times: i64) -> Self {
        Self {
            max_retry: Some(times),
            ..self
        }
    }

    /// Whether [`retry_task`](crate::Scheduler::retry_task) of this process also queues a task again that is Success. Default false; with
    /// [`Compat::Go`] true. A process that does not run the theme goes by `AsyncTask.RetrySucceeded` of its configuration. Bulk operations
    /// retry only tasks that are Failed or Cancelled.
    pub fn retry_succeeded(self, retry: bool) -> Self {
        Self {
            retry_succeeded: Some(retry),
            ..self
        }
    }

    /// Whose defaults hold for this theme: see [`Compat`]. Default: those of [`GaiaBuilder::compat`](crate::GaiaBuilder::compat).
    ///
    /// ```
    /// use gaia_actors::{Compat, RetryPolicy, SchedulerOptions};
    ///
    /// // As in the Go framework, but with a backoff.
    /// let options = SchedulerOptions::new("order-task").compat(Compat::Go).retry(RetryPolicy::default());
    /// ```
    pub fn compat(self, compat: Compat) -> Self {
        Self {
            compat: Some(compat),
            ..self
        }
    }

    /// The longest one attempt may take, unless the task sets its timeout itself. Default: no limit, as in the guide.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self {
            timeout: Some(timeout),
            ..self
        }
    }

    /// How long a cancelled handler may take to end by itself before it is dropped. Default 5 s.
    pub fn cancel_grace(self, cancel_grace: Duration) -> Self {
        Self { cancel_grace, ..self }
    }

    /// What becomes of a task whose method no handler of this node serves. Default [`MissingHandler::Wait`]: the node
    /// leaves the task alone, [`SchedulerStatus::unserved`](crate::SchedulerStatus::unserved) lists its method, and a warning names the
    /// method at most once a minute if no living node serves it. [`MissingHandler::Fail`] is what the guide does, and the default with [`Compat::Go`].
    pub fn missing_handler(self, missing_handler: MissingHandler) -> Self {
        Self {
            missing_handler: Some(missing_handler),
            ..self
        }
    }

    /// Keeps what handlers and layers log, with each run: see [`logs`](crate::logs). Default: lines are not kept.
    pub fn keep_logs(self, keep: KeepLogs) -> Self {
        Self {
            keep_logs: Some(keep),
            ..self
        }
    }

    /// Calls this function around each attempt of this theme's tasks: what should happen before, after or around every handler, such as a
    /// measurement, a span, or a transaction. Of several layers the first that is added is the outermost; inside of them come the
    /// [`pre_handler`](Self::pre_handler), then the layers of [the handler](crate::Endpoint::layer), then the handler.
    ///
    /// A layer sees the call ([`Next`]), gives it other [arguments](Next::with_args) or [more data](TaskContext::with_data), and changes the
    /// answer. Its answer is the attempt's, by the rules for a handler's; it need not call the handler at all. It is within the timeout,
    /// the log lines and the span of the run. If the run ends without an answer of the handler (the handler panicked, its actor is gone, the
    /// node has lost the run), the layer sees an error, and the attempt ends for that reason whatever the layer answers. A layer that panics
    /// fails the attempt; layers outside of it see an error. A layer sees an error, too, if a remote service has parked the run (it answered
    /// 202): the service ends the run later, and layers do not see that end. A run that is out of time, or does not end within the cancel grace, drops its layers with
    /// its handler. A task whose method has no handler reaches no layer.
    ///
    /// ```
    /// use std::time::Instant;
    /// use gaia_actors::{Next, SchedulerOptions, TaskContext};
    ///
    /// let options = SchedulerOptions::new("order-task")
    ///     .layer(async |ctx: TaskContext, next: Next| {
    ///         let (method, began) = (next.method().to_owned(), Instant::now());
    ///         let answer = next.run(ctx).await;
    ///         log::info!("{method} took {:?}, and {}", began.elapsed(), if answer.is_ok() { "succeeded" } else { "failed" });
    ///         answer
    ///     })
    ///     .layer(async |ctx: TaskContext, next: Next| {
    ///         if ctx.attempt() > 1 {
    ///             log::warn!("attempt {} of {}", ctx.attempt(), ctx.max_attempts());
    ///         }
    ///         next.run(ctx).await
    ///     });
    /// ```
    pub fn layer<F>(mut self, layer: F) -> Self
    where
        F: AsyncFn(TaskContext, Next) -> Result<Json, TaskError> + Send + Sync + 'static,
    {
        self.layers.add_fn(layer);
        self
    }

    /// Runs before every attempt; an error is the attempt's failure, by the rules for a handler's errors. It is the innermost
    /// [layer](Self::layer) of the scheduler. A second call replaces the first. [`pre_handler_fails_task`](Self::pre_handler_fails_task) makes
    /// its error the end of the task.
    pub fn pre_handler<F>(self, hook: F) -> Self
    where
        F: AsyncFn(TaskContext) -> Result<(), TaskError> + Send + Sync + 'static,
    {
        Self {
            pre_handler: Some(user_hooks::pre_handler(hook)),
            ..self
        }
    }

    /// Whether an error or a panic of the [`pre_handler`](Self::pre_handler) ends the task as Failed, whatever attempts are left. Default false;
    /// with [`Compat::Go`] true. A pre-handler that snoozes the task ends nothing.
    ///
    /// ```
    /// use gaia_actors::{SchedulerOptions, TaskError};
    ///
    /// let options = SchedulerOptions::new("order-task")
    ///     .pre_handler(async |ctx| match ctx.attempt() {
    ///         1 => Ok(()),
    ///         _ => Err(TaskError::failed("this theme runs nothing twice")),
    ///     })
    ///     .pre_handler_fails_task(true);
    /// ```
    pub fn pre_handler_fails_task(self, fails: bool) -> Self {
        Self {
            pre_handler_fails_task: Some(fails),
            ..self
        }
    }

    /// Runs after every attempt that came to its end here, once its outcome is in the database (not after an attempt that was lost
    /// with its thread or its process). It gets the event that observers get, and the outcome with the handler's result. Its error is logged and changes nothing. It holds its
    /// worker while it runs; if the process dies in between, it is not called again. Unlike what a [layer](Self::layer) does after the
    /// handler, it comes after the end of the run: it also hears of runs that were cut off, and can change no outcome. A second call
    /// replaces the first.
    pub fn post_handler<F>(self, hook: F) -> Self
    where
        F: AsyncFn(TaskEnded, Outcome) -> Result<(), TaskError> + Send + Sync + 'static,
    {
        Self {
            post_handler: Some(user_hooks::post_handler(hook)),
            ..self
        }
    }

    /// All that is around an attempt, the outermost first.
    pub(super) fn around(&self) -> Layers {
        let mut layers = self.layers.clone();
        if let Some(pre_handler) = &self.pre_handler {
            layers.add(Arc::new(Before {
                hook: Arc::clone(pre_handler),
                fails_task: self.pre_handler_fails_task.unwrap_or(self.is_as_in_go()),
            }));
        }
        layers
    }

    /// These options in a node with those defaults.
    pub(crate) fn or_compat(self, compat: Compat) -> Self {
        Self {
            compat: self.compat.or(Some(compat)),
            ..self
        }
    }

    fn is_as_in_go(&self) -> bool {
        self.compat == Some(Compat::Go)
    }

    pub(super) fn missing(&self) -> MissingHandler {
        self.missing_handler.unwrap_or(match self.is_as_in_go() {
            true => MissingHandler::Fail,
            false => MissingHandler::Wait,
        })
    }

    pub(crate) fn rules(&self) -> ThemeRules {
        let is_as_in_go = self.is_as_in_go();
        let retry = match is_as_in_go {
            true => RetryPolicy::constant(self.scan_interval),
            false => RetryPolicy::default(),
        };
        ThemeRules {
            retry: self.retry.unwrap_or(retry),
            max_retry: self
                .max_retry
                .unwrap_or(if is_as_in_go { 0 } else { DEFAULT_MAX_RETRY.into() }),
            retry_succeeded: self.retry_succeeded.unwrap_or(is_as_in_go),
        }
    }

    /// How long a run is put off that asks to be snoozed for `delay`. A run that asks for no delay, or for hardly any, must not
    /// come back at once for ever: that would keep its worker and the database busy.
    pub(super) fn snooze(&self, delay: Duration) -> Duration {
        match delay.is_zero() {
            true => self.scan_interval,
            false => delay.max(self.shortest_scan_interval),
        }
    }

    pub(crate) fn check(&self, faults: &mut Faults) {
        let theme = &self.theme;
        faults.name("theme", theme, MAX_THEME_CHARS);
        faults.require(self.worker_num <= MAX_WORKERS, || {
            let workers = self.worker_num;
            format!("theme {theme:?}: worker_num is {workers}, expected at most {MAX_WORKERS}")
        });
        faults.require(self.scan_interval >= Duration::from_millis(1), || {
            format!("theme {theme:?}: scan_interval is below 1 ms")
        });
        faults.require(self.shortest_scan_interval >= Duration::from_millis(1), || {
            format!("theme {theme:?}: shortest_scan_interval is below 1 ms")
        });
        faults.require(self.task_id_chan_length > 0, || {
            format!("theme {theme:?}: task_id_chan_length is 0, expected at least 1")
        });
        faults.require(self.scan_task_num > 0, || {
            format!("theme {theme:?}: scan_task_num is 0, expected at least 1")
        });
        if let Some(RetryPolicy { jitter, .. }) = self.retry {
            faults.require((0.0..=1.0).contains(&jitter), || {
                format!("theme {theme:?}: retry.jitter is {jitter}, expected 0 to 1")
            });
        }
        faults.include(check_max_retry(self.rules().max_retry).map_err(|input| input.of(&format!("theme {theme:?}"))));
        faults.require(self.timeout.is_none_or(|timeout| !timeout.is_zero()), || {
            format!("theme {theme:?}: timeout is 0; leave it out for no limit")
        });
        if let Some(keep) = self.keep_logs {
            keep.check(&format!("theme {theme:?}"), faults);
        }
    }
}
