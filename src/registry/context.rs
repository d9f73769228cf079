//! The context of a run: what its handler knows about the run, and by which it reports progress.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
#[cfg(all(feature = "hooks", feature = "web"))]
use futures_util::future::LocalBoxFuture;
use tokio::sync::SetOnce;

#[cfg(all(feature = "hooks", feature = "web"))]
use super::{InvokeError, Ticket};
use super::{
    scope::Scope,
    shared::{Given, Shared, missing},
};
use crate::{
    clock::Clock,
    domain::{NOTE_LIMIT, TaskError, truncated},
    lease::Hold,
    logs::{RunLines, ServedRun},
    traces::Span,
};

/// The context of a run, for its handler. Cloning is cheap; a clone belongs to the same run.
///
/// In a direct call ([`Registry::call`](super::Registry::call)) the id is 0, the theme is empty, and no caller can cancel.
///
/// ```
/// use gaia_actors::{Registry, TaskContext, TaskError, async_fn};
///
/// /// Ends early if the task is cancelled or out of time, or if its node stops.
/// async fn export(ctx: TaskContext, pages: u32) -> Result<u32, TaskError> {
///     log::info!("{}: attempt {} of {}", ctx.log_id(), ctx.attempt(), ctx.max_attempts());
///     for page in 0..pages {
///         tokio::select! {
///             written = write_page(page) => written?,
///             () = ctx.cancelled() => return Err(TaskError::failed("stopped")),
///         }
///         let percent = u8::try_from(100 * (page + 1) / pages)?;
///         ctx.progress(percent, format!("page {page} is written"));
///     }
///     Ok(pages)
/// }
/// # async fn write_page(_: u32) -> std::io::Result<()> { Ok(()) }
///
/// # #[actix_rt::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let registry = Registry::start();
/// registry.register("Report", "Export", async_fn(export)).await?;
/// assert_eq!(registry.call::<u32>("Report", "Export", &3).await?, 3);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TaskContext {
    inner: Arc<Inner>,
    /// What layers have given.
    given: Option<Arc<Given>>,
}

struct Inner {
    id: i64,
    /// A direct call has none.
    kind: Option<RunKind>,
    /// A direct call has none.
    theme: Option<Arc<str>>,
    attempt: u32,
    max_attempts: u32,
    /// A direct call gets one when its handler first asks for it.
    log_id: OnceLock<Arc<str>>,
    scheduled_at: Option<DateTime<Utc>>,
    stop: SetOnce<CancelReason>,
    /// A clock, and its reading at which the run is out of time. Set when the run begins.
    deadline: OnceLock<(Clock, Duration)>,
    run: Option<Weak<dyn RunOfContext>>,
    /// A direct call has none.
    hold: Option<Hold>,
    /// What its handler logs, if that is kept.
    lines: Option<Arc<RunLines>>,
    traceparent: Option<Arc<str>>,
    /// While an attempt is made.
    span: Mutex<Span>,
    shared: Shared,
}

/// Why a run is asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CancelReason {
    /// The task was cancelled.
    Request,
    /// The run is out of time.
    Timeout,
    /// The node stops, or has lost its lease.
    Node,
}

/// Whose run it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RunKind {
    Task,
    Job,
}

/// What a context asks of its run.
pub(crate) trait RunOfContext: Send + Sync {
    /// Takes a report of progress.
    fn report(self: Arc<Self>, percent: u8, note: String);

    /// The token by which a service may end the run later, if it parks the run.
    #[cfg(all(feature = "hooks", feature = "web"))]
    fn token(&self, ticket: &Ticket) -> String;

    /// Gives the task of the run to its service, which has parked the run. The answer: how the call ends.
    #[cfg(all(feature = "hooks", feature = "web"))]
    fn park(self: Arc<Self>, ticket: Ticket, lease: Option<Duration>) -> LocalBoxFuture<'static, InvokeError>;
}

/// The facts about a run that are known before it begins.
pub(crate) struct RunFacts {
    pub(crate) kind: RunKind,
    pub(crate) id: i64,
    pub(crate) theme: Arc<str>,
    pub(crate) attempt: u32,
    pub(crate) max_attempts: u32,
    pub(crate) log_id: Arc<str>,
    /// The second at which the job was due.
    pub(crate) scheduled_at: Option<DateTime<Utc>>,
    pub(crate) hold: Hold,
    /// What its handler logs, if that is kept.
    pub(crate) lines: Option<Arc<RunLines>>,
    /// The trace to which it belongs, and the span that has caused it.
    pub(crate) traceparent: Option<Arc<str>>,
    /// What all handlers of the process share.
    pub(crate) shared: Shared,
}

/// The facts about a run that a test makes up.
#[derive(Debug, Clone)]
pub(crate) struct TestFacts {
    pub(crate) id: i64,
    pub(crate) theme: Arc<str>,
    pub(crate) attempt: u32,
    pub(crate) max_attempts: u32,
    pub(crate) timeout: Option<Duration>,
}

impl std::fmt::Debug for TaskContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TaskContext")
            .field("id", &self.inner.id)
            .field("theme", &self.theme())
            .field("attempt", &self.inner.attempt)
            .field("log_id", &self.log_id())
            .finish_non_exhaustive()
    }
}

impl TaskContext {
    pub(crate) fn new(facts: RunFacts, run: Option<Weak<dyn RunOfContext>>) -> Self {
        Self::of(Inner {
            id: facts.id,
            kind: Some(facts.kind),
            theme: Some(facts.theme),
            attempt: facts.attempt,
            max_attempts: facts.max_attempts,
            log_id: facts.log_id.into(),
            scheduled_at: facts.scheduled_at,
            stop: SetOnce::new(),
            deadline: OnceLock::new(),
            run,
            hold: Some(facts.hold),
            lines: facts.lines,
            traceparent: facts.traceparent,
            span: Mutex::default(),
            shared: facts.shared,
        })
    }

    /// The context of a direct call, without a task.
    pub(crate) fn direct(shared: Shared) -> Self {
        Self::of(Inner {
            id: 0,
            kind: None,
            theme: None,
            attempt: 1,
            max_attempts: 1,
            log_id: OnceLock::new(),
            scheduled_at: None,
            stop: SetOnce::new(),
            deadline: OnceLock::new(),
            run: None,
            hold: None,
            lines: None,
            traceparent: None,
            span: Mutex::default(),
            shared,
        })
    }

    fn of(inner: Inner) -> Self {
        let (inner, given) = (Arc::new(inner), None);
        Self { inner, given }
    }

    /// The context of a run that no node makes. `run` takes its reports of progress.
    pub(crate) fn for_test(facts: &TestFacts, run: Weak<dyn RunOfContext>, shared: Shared) -> Self {
        let mut context = Self::direct(shared);
        if let Some(inner) = Arc::get_mut(&mut context.inner) {
            inner.id = facts.id;
            inner.kind = Some(RunKind::Task);
            inner.theme = Some(Arc::clone(&facts.theme));
            inner.attempt = facts.attempt;
            inner.max_attempts = facts.max_attempts;
            inner.run = Some(run);
        }
        context
    }

    /// The id of the task; in a job, the id of the run (and of its record).
    #[must_use]
    pub fn id(&self) -> i64 {
        self.inner.id
    }

    /// The id of the task. `None` in a job and in a direct call.
    pub(crate) fn task_id(&self) -> Option<i64> {
        (self.inner.kind == Some(RunKind::Task)).then_some(self.inner.id)
    }

    /// The theme of the task; in a job, the name of the job.
    #[must_use]
    pub fn theme(&self) -> &str {
        self.inner.theme.as_deref().unwrap_or_default()
    }

    /// Which attempt this is, from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.inner.attempt
    }

    /// How many attempts the task or the job's run may make in all.
    #[must_use]
    pub fn max_attempts(&self) -> u32 {
        self.inner.max_attempts
    }

    /// The name of this run, which every log line of this crate about the run and its record hold.
    /// [`LogCapture::with_log_ids`](crate::logs::LogCapture::with_log_ids) puts it into the application's own lines.
    #[must_use]
    pub fn log_id(&self) -> &str {
        self.named()
    }

    fn named(&self) -> &Arc<str> {
        self.inner
            .log_id
            .get_or_init(|| uuid::Uuid::now_v7().simple().to_string().into())
    }

    /// The second at which the job was due, even if it runs late: a nightly report counts "yesterday" from here. `None` for tasks, and for
    /// a job that is run by hand.
    #[must_use]
    pub fn scheduled_at(&self) -> Option<DateTime<Utc>> {
        self.inner.scheduled_at
    }

    /// The trace to which the run belongs, and the span that has caused it, as the W3C's
    /// [Trace Context](https://www.w3.org/TR/trace-context/) writes them: what the task was added with (see
    /// [`NewTask::traceparent`](crate::NewTask::traceparent)), or the span that ran the job by hand. A handler gives it to the services that
    /// it calls, as the header `traceparent`, unless its own spans do.
    ///
    /// ```
    /// use gaia_actors::{TaskContext, TaskError, async_fn};
    ///
    /// let handler = async_fn(async |ctx: TaskContext, order: u64| {
    ///     let header = ctx.traceparent().map(|value| ("traceparent", value.to_owned()));
    ///     // … a request about the order, with this header
    /// #   let _ = (order, header);
    ///     Ok::<_, TaskError>(())
    /// });
    /// ```
    #[must_use]
    pub fn traceparent(&self) -> Option<&str> {
        self.inner.traceparent.as_deref()
    }

    /// The value of this type that the application has given to its handlers by [`GaiaBuilder::data`](crate::GaiaBuilder::data), or a
    /// layer by [`with_data`](Self::with_data); a layer's comes first. The handler of a direct call finds the data of the Gaia whose
    /// registry is called.
    ///
    #[cfg_attr(feature = "sqlite", doc = "```")]
    #[cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
    /// use gaia_actors::prelude::*;
    ///
    /// struct Prices {
    ///     tea: u64,
    /// }
    ///
    /// async fn price(ctx: TaskContext, cups: u64) -> Result<u64, TaskError> {
    ///     Ok(cups * ctx.data::<Prices>()?.tea)
    /// }
    ///
    /// # #[actix_rt::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let gaia = Gaia::builder()
    ///     .database("sqlite::memory:")
    ///     .data(Prices { tea: 3 })
    ///     .handler("Shop", "Price", async_fn(price))
    ///     .start()
    ///     .await?;
    /// assert_eq!(gaia.registry().call::<u64>("Shop", "Price", &2).await?, 6);
    /// # gaia.stop().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`TaskError::Failed`] if there is none, or none any more because the Gaia has stopped. The message names the type.
    pub fn data<T: Send + Sync + 'static>(&self) -> Result<Arc<T>, TaskError> {
        let given = self.given.as_ref().and_then(|given| given.get());
        let found = given.or_else(|| self.shared());
        found.ok_or_else(|| missing::<T>(self.inner.shared.is_cleared()))
    }

    /// This context with one more value for [`data`](Self::data), instead of an outer value of the same type: how a
    /// [layer](crate::SchedulerOptions::layer) hands something to the handler.
    ///
    /// ```
    /// use gaia_actors::{Next, SchedulerOptions, TaskContext, TaskError, async_fn};
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Tenant {
    ///     tenant: String,
    /// }
    ///
    /// let options = SchedulerOptions::new("mail").layer(async |ctx: TaskContext, next: Next| {
    ///     let tenant: Tenant = next.parse_args()?;
    ///     next.run(ctx.with_data(tenant)).await
    /// });
    /// let handler = async_fn(async |ctx: TaskContext, _: serde_json::Value| {
    ///     let tenant = ctx.data::<Tenant>()?;
    ///     Ok::<_, TaskError>(tenant.tenant.clone())
    /// });
    /// # let _ = (options, handler);
    /// ```
    #[must_use]
    pub fn with_data<T: Send + Sync + 'static>(self, value: T) -> Self {
        let given = Some(Arc::new(Given::new(value, self.given)));
        Self { given, ..self }
    }

    /// The value of this type that all handlers of the process share.
    pub(crate) fn shared<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.inner.shared.get()
    }

    /// Whether its Gaia has stopped.
    pub(crate) fn is_orphaned(&self) -> bool {
        self.inner.shared.is_cleared()
    }

    /// Whether the run should end: the task was cancelled, the run is out of time, or its node stops or has lost its lease.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancel_reason().is_some()
    }

    /// Completes when the run should end. If the handler does not end within the scheduler's cancel grace, it is dropped (a blocking
    /// function cannot be dropped: it must ask [`is_cancelled`](Self::is_cancelled) now and then).
    pub async fn cancelled(&self) {
        self.inner.stop.wait().await;
    }

    /// How much time the run has left; `None` without a timeout.
    #[must_use]
    pub fn time_left(&self) -> Option<Duration> {
        let (clock, deadline) = self.inner.deadline.get()?;
        Some(deadline.saturating_sub(clock.elapsed()))
    }

    /// Reports how far the run is, in percent (more than 100 counts as 100), with a note. A note longer than 65,535 bytes is cut, and says
    /// so at its end. Frequent reports cost little: the recorder writes them together with the ends of runs, and of each task only the last
    /// report since the last write. In a direct call a report does nothing.
    pub fn progress(&self, percent: u8, note: impl Into<String>) {
        if let Some(sink) = self.inner.run.as_ref().and_then(Weak::upgrade) {
            sink.report(percent.min(100), truncated(note.into(), NOTE_LIMIT));
        }
    }

    /// The future, whose log lines are lines of this run: they have its [log id](crate::logs::current_log_id), and are kept with the run, if
    /// its lines are [kept](crate::logs) at all. With the feature `tracing` it is also within the span of the run. The future of an async function and the thread of a blocking function are within this scope
    /// already: it is for what a handler spawns, and for actors.
    ///
    /// ```
    /// use gaia_actors::{TaskContext, TaskError, async_fn};
    ///
    /// let handler = async_fn(async |ctx: TaskContext, pages: u32| {
    ///     let fetch = async move { log::info!("fetches {pages} pages") };
    ///     actix_rt::spawn(ctx.log_scope(fetch)).await?;
    ///     Ok::<_, TaskError>(pages)
    /// });
    /// ```
    pub fn log_scope<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        self.scope().around(future)
    }

    pub(super) fn scope(&self) -> Scope {
        // A direct call is no run.
        let served = self.inner.kind.is_some().then(|| ServedRun {
            log_id: Arc::clone(self.named()),
            lines: self.lines(),
        });
        Scope {
            served,
            span: self.span().clone(),
        }
    }

    /// An attempt begins: its calls are within this span.
    pub(crate) fn enter(&self, span: Span) {
        *self.span() = span;
    }

    /// The attempt is over: nothing that begins later is within its span.
    pub(crate) fn leave(&self) -> Span {
        mem::take(&mut self.span())
    }

    fn span(&self) -> MutexGuard<'_, Span> {
        self.inner.span.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn lines(&self) -> Option<Arc<RunLines>> {
        self.inner.lines.clone()
    }

    pub(crate) fn set_deadline(&self, clock: &Clock, timeout: Duration) {
        let at = clock.elapsed().saturating_add(timeout);
        // A context gets its deadline once. A second call would be a fault of this crate, and would change nothing.
        let _ = self.inner.deadline.set((clock.clone(), at));
    }

    /// The time at which the run is out of time, by the clock of the run.
    #[cfg_attr(not(feature = "hooks"), expect(dead_code, reason = "no service is told"))]
    pub(crate) fn deadline(&self) -> Option<DateTime<Utc>> {
        let (clock, _) = self.inner.deadline.get()?;
        clock
            .now()
            .checked_add_signed(TimeDelta::from_std(self.time_left()?).ok()?)
    }

    /// `None`: it is a direct call.
    #[cfg_attr(not(feature = "hooks"), expect(dead_code, reason = "no service is told"))]
    pub(crate) fn kind(&self) -> Option<RunKind> {
        self.inner.kind
    }

    /// The proof that this node owns the run. A direct call has none.
    #[cfg_attr(not(feature = "hooks"), expect(dead_code, reason = "no service is called"))]
    pub(crate) fn hold(&self) -> Option<&Hold> {
        self.inner.hold.as_ref()
    }

    /// A ticket with its token, for a service that may park the run. `None`: the run belongs to no task, and cannot be parked.
    #[cfg(all(feature = "hooks", feature = "web"))]
    pub(crate) fn ticket(&self) -> Option<(Ticket, String)> {
        let run = self.inner.run.as_ref().and_then(Weak::upgrade)?;
        let ticket = Ticket::new();
        let token = run.token(&ticket);
        Some((ticket, token))
    }

    /// Gives the task to its service, which has parked the run. The answer: how the call ends.
    #[cfg(all(feature = "hooks", feature = "web"))]
    pub(super) async fn park(&self, ticket: Ticket, lease: Option<Duration>) -> InvokeError {
        match self.inner.run.as_ref().and_then(Weak::upgrade) {
            Some(run) => run.park(ticket, lease).await,
            None => InvokeError::Withdrawn,
        }
    }

    /// Asks the run to stop. If it is asked several times, the first reason stays.
    pub(crate) fn cancel(&self, reason: CancelReason) {
        let _ = self.inner.stop.set(reason);
    }

    /// Whether this node still owns the run: other nodes take over the runs of a node that does not beat. The caller asks right before it
    /// calls the handler.
    pub(crate) fn is_ours(&self) -> bool {
        self.inner.hold.as_ref().is_none_or(Hold::is_valid)
    }

    pub(crate) fn cancel_reason(&self) -> Option<CancelReason> {
        self.inner.stop.get().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_rt::test]
    async fn the_first_reason_to_stop_stays() {
        let ctx = TaskContext::direct(Shared::default());
        let listener = actix_rt::spawn({
            let ctx = ctx.clone();
            async move { ctx.cancelled().await }
        });
        actix_rt::task::yield_now().await;
        assert!(!ctx.is_cancelled() && !listener.is_finished());
        ctx.cancel(CancelReason::Request);
        ctx.cancel(CancelReason::Node);
        listener.await.expect("hears of it");
        // A later call completes at once.
        ctx.cancelled().await;
        assert_eq!(ctx.cancel_reason(), Some(CancelReason::Request));
    }

    #[test]
    fn a_run_has_time_left_by_the_clock_that_it_began_with() {
        let clock = Clock::manual(DateTime::<Utc>::UNIX_EPOCH);
        let ctx = TaskContext::direct(Shared::default());
        assert_eq!(ctx.time_left(), None);
        ctx.set_deadline(&clock, Duration::from_secs(10));
        clock.advance(Duration::from_secs(4));
        assert_eq!(ctx.time_left(), Some(Duration::from_secs(6)));
        clock.advance(Duration::from_secs(60));
        assert_eq!(ctx.time_left(), Some(Duration::ZERO));
    }
}
