//! One theme's actors put together, and the table of all themes of this process.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use actix::{Actor, Addr};
use futures_util::future::join;

use super::{
    SchedulerOptions,
    bells::Bells,
    completion::Completions,
    ledger::{TaskCounts, TaskLedger},
    limits::Limits,
    options::ThemeRules,
    pool::{CancelRun, Dispatch, GetPoolSnapshot, Reserve, Resize, StopWork, WorkerPool},
    run::{Run, RunContext, RunParts},
    scanner::{ClaimedByInsert, GetScannerSnapshot, QuickQueue, ScannerActor, ServedElsewhere, StopScanning},
    status::SchedulerStatus,
    theme::ThemeContext,
    unattended::Unattended,
    wake::Wake,
};
use crate::{
    domain::AddedTask,
    error::Error,
    events::Events,
    held_runs::HeldRuns,
    lease::NodeLease,
    logs::LogWriter,
    registry::{MethodName, Registry},
    run::{Drain, Gate, GateChange, GetRecorderCounts, Recorder, RecorderCounts},
    store::{NewTaskRow, Store, StoreError, ThemeSettings},
    threads::{Control, Threads},
    traces::Traces,
};

/// What a [`ThemeRuntime`] is built from.
pub(crate) struct ThemeRuntimeConfig {
    pub(crate) options: SchedulerOptions,
    pub(crate) store: Store,
    pub(crate) events: Events,
    pub(crate) registry: Registry,
    pub(crate) node: Arc<str>,
    pub(crate) lease: NodeLease,
    pub(crate) held: HeldRuns,
    pub(crate) limits: Limits,
    pub(crate) control: Arc<Control>,
    pub(crate) threads: Threads,
    pub(crate) settings: ThemeSettings,
    pub(crate) logs: LogWriter,
    pub(crate) traces: Traces,
}

/// The running actors of one theme.
#[derive(Clone)]
pub(crate) struct ThemeRuntime {
    theme: Arc<ThemeContext>,
    node: Arc<str>,
    wake: Arc<Wake>,
    completions: Completions,
    scanner: Addr<ScannerActor>,
    pool: Addr<WorkerPool>,
    recorder: Addr<Recorder<TaskLedger>>,
    rescued: Arc<AtomicU64>,
    own_size: usize,
    /// The number of the last call of `resize_theme` that this process has followed.
    size_order: Arc<AtomicI64>,
    _claim: Arc<ThemeClaim>,
}

impl ThemeRuntime {
    /// Starts recorder, pool and scanner on the control thread; the workers are spread over the others.
    pub(crate) fn start(parts: ThemeRuntimeConfig) -> Result<Self, Error> {
        let claim = ThemeClaim::of(&parts.store, &parts.options.theme)?;
        let wake = Arc::new(Wake::default());
        let completions = Completions::default();
        let control = parts.control.handle();
        let ledger = TaskLedger::new(
            parts.options.theme.as_str().into(),
            parts.store.clone(),
            parts.events.clone(),
            parts.options.rules().retry,
            Arc::clone(&wake),
            completions.clone(),
        );
        let recorder = Recorder::start_in_arbiter(&control, |_| Recorder::new(ledger));
        let own_size = parts.options.worker_num;
        let ThemeSettings { paused, size } = parts.settings;
        let gate = Gate {
            paused,
            // Until the node has looked.
            shared: parts.store.has_neighbours(),
            ..Gate::default()
        };
        let process = RunParts {
            clock: parts.store.clock().clone(),
            lease: parts.lease,
            held: parts.held,
            limits: parts.limits,
            events: parts.events,
            logs: parts.logs,
            shared: parts.registry.shared().clone(),
            #[cfg(all(feature = "hooks", feature = "web"))]
            store: parts.store.clone(),
        };
        let runs = RunContext::new(&parts.options, process, recorder.clone().recipient());
        let theme = Arc::new(ThemeContext::new(
            parts.options,
            Arc::new(runs),
            parts.registry,
            parts.store.clone(),
            parts.traces,
        ));
        let workers = size.workers.unwrap_or(own_size);
        let pool = WorkerPool::new(Arc::clone(&theme), parts.threads, Arc::clone(&wake), workers, gate);
        let pool = WorkerPool::start_in_arbiter(&control, |_| pool);
        let node = Arc::clone(&parts.node);
        let scanner = ScannerActor::new(
            Arc::clone(&theme),
            parts.store,
            parts.node,
            pool.clone(),
            Arc::clone(&wake),
            gate,
        );
        let scanner = ScannerActor::start_in_arbiter(&control, |_| scanner);
        Ok(Self {
            theme,
            node,
            wake,
            completions,
            scanner,
            pool,
            recorder,
            rescued: Arc::default(),
            own_size,
            size_order: Arc::new(AtomicI64::new(size.order)),
            _claim: Arc::new(claim),
        })
    }

    pub(crate) fn theme(&self) -> &str {
        self.theme.name()
    }

    fn rules(&self) -> ThemeRules {
        self.theme.options.rules()
    }

    /// Whether scanner, pool and recorder live.
    pub(crate) fn is_alive(&self) -> bool {
        self.scanner.connected() && self.pool.connected() && self.recorder.connected()
    }

    pub(crate) fn cancel_grace(&self) -> Duration {
        self.theme.options.cancel_grace
    }

    /// Claims nothing more and hands back the tasks that wait in memory; runs go on. Answers when both actors know.
    pub(crate) async fn drain(&self) -> Result<(), Error> {
        let scanner = self.scanner.send(GateChange::Draining);
        let (scanner, pool) = join(scanner, self.pool.send(GateChange::Draining)).await;
        Ok(scanner.and(pool)?)
    }

    /// Has the scanner begin a scan.
    pub(crate) fn wake(&self) {
        self.wake.ring();
    }

    /// Notes that this node has taken so many tasks of the theme from dead nodes, and wakes the scanner for them.
    pub(crate) fn rescued(&self, count: u64) {
        self.rescued.fetch_add(count, Ordering::Relaxed);
        self.wake();
    }

    /// Whether this node claims tasks that call this method.
    pub(super) fn takes(&self, (service, method): (&str, &str)) -> bool {
        self.theme.takes(service, method)
    }

    /// Notes which methods other living nodes of the theme serve, and whether tasks of any theme are due.
    pub(crate) fn served_elsewhere(&self, methods: BTreeSet<MethodName>, any_due: bool) {
        self.scanner.do_send(ServedElsewhere { methods, any_due });
    }

    /// Adds a task that is [claimable by its insert](NewTaskRow::claimable_on_insert). If a worker is free and no task waits, the insert claims
    /// the task, and the pool gets it (`true`); otherwise the task waits in the database (`false`).
    pub(super) async fn add(&self, store: &Store, row: NewTaskRow) -> Result<(AddedTask, bool), StoreError> {
        // A task of a limited method waits for its scanner, which has permits.
        let (service, method) = row.names();
        let is_limited = self.theme.limits().is_limited(service, method);
        let reservation = match is_limited {
            true => None,
            false => self.pool.send(Reserve).await.ok().flatten(),
        };
        let Some(_reservation) = reservation else {
            return Ok((store.add_one(row).await?, false));
        };
        // Read before the claim: if the lease is lost during the insert, the task may already belong to another node.
        let (term, claim_id) = (self.theme.lease().term(), store.tasks().new_claim_id(&self.node));
        let open = self.theme.held().begin_claim(claim_id.mark());
        let began = Instant::now();
        let (added, claimed) = store.tasks().add_claimed(row, &claim_id).await?;
        let is_claimed = claimed.is_some();
        if let Some(task) = claimed {
            self.theme.runs.tell_claimed(1, began.elapsed());
            self.pool
                .do_send(Dispatch(vec![Run::new(task, None, term, &self.theme.runs)]));
            self.scanner.do_send(ClaimedByInsert);
        }
        open.answered();
        Ok((added, is_claimed))
    }

    pub(super) fn quick_queue(&self, task_id: i64) {
        self.scanner.do_send(QuickQueue(task_id));
    }

    /// A caller has ended this task while it waited: wakes the callers that wait for its end.
    pub(crate) fn ended_by_caller(&self, task_id: i64) {
        self.completions.tell(std::iter::once(task_id));
    }

    pub(crate) fn name(&self) -> &str {
        self.theme.name()
    }

    pub(super) fn completions(&self) -> &Completions {
        &self.completions
    }

    pub(crate) async fn resize(&self, workers: usize) -> Result<(), Error> {
        Ok(self.pool.send(Resize(workers)).await?)
    }

    /// Applies the settings of the theme that operators have stored for all nodes. Each call of `resize_theme` is followed once: a size that
    /// is set in this process afterwards holds until the next call.
    pub(crate) fn follow(&self, settings: ThemeSettings) {
        self.change_gate(GateChange::Paused(settings.paused));
        let size = settings.size;
        if self.size_order.fetch_max(size.order, Ordering::SeqCst) < size.order {
            self.pool.do_send(Resize(size.workers.unwrap_or(self.own_size)));
        }
    }

    /// Asks the run of this task to stop, if this process has it.
    pub(crate) fn cancel_run(&self, task_id: i64) {
        self.pool.do_send(CancelRun(task_id));
    }

    /// Closes or opens the gate of both the scanner and the pool.
    pub(crate) fn change_gate(&self, change: GateChange) {
        self.scanner.do_send(change);
        self.pool.do_send(change);
    }

    /// Stops claiming and starting, and hands back runs that have not begun; the others may end within `grace`. Answers when no run
    /// is left; the outcomes may not be written yet.
    pub(crate) async fn stop_work(&self, grace: Duration) {
        let scanner = self.scanner.send(StopScanning);
        let pool = self.pool.send(StopWork { grace });
        if let (_, Err(_)) = join(scanner, pool).await {
            say!(
                Error,
                "theme {}: the pool is gone; its runs are taken over by other nodes",
                self.theme.name()
            );
        }
        // The scanner sent the tasks of its last claim to the pool before it answered. Once the pool answers this, they are handed back, too.
        let _ = self.pool.send(GetPoolSnapshot).await;
    }

    /// Answers when every outcome is written.
    pub(crate) async fn drained(&self) {
        let _ = self.recorder.send(Drain).await;
    }

    /// What the recorder has written, and has not.
    pub(crate) async fn recorded(&self) -> Result<RecorderCounts<TaskCounts>, Error> {
        Ok(self.recorder.send(GetRecorderCounts::new()).await?)
    }

    pub(crate) async fn status(&self) -> Result<SchedulerStatus, Error> {
        // In a stop the scanner is the first to go.
        let scanner = self.scanner.send(GetScannerSnapshot).await.unwrap_or_default();
        let pool = self.pool.send(GetPoolSnapshot).await?;
        let recorder = self.recorded().await?;
        let counts = recorder.counts;
        Ok(SchedulerStatus {
            theme: self.theme.name().to_string(),
            paused: pool.gate.paused,
            shared: pool.gate.shared,
            fenced: pool.gate.fenced,
            draining: pool.gate.draining,
            scans: scanner.scans,
            pushed: pool.pushed,
            pulled: pool.pulled,
            executed: counts.executed,
            succeeded: counts.succeeded,
            failed: counts.failed,
            retried: counts.retried,
            panicked: counts.panicked,
            timed_out: counts.timed_out,
            cancelled: counts.cancelled,
            snoozed: counts.snoozed,
            handed_back: counts.handed_back,
            stale: counts.stale,
            running_workers: pool.running,
            all_workers: pool.workers,
            replaced_workers: pool.replaced,
            queue_depth: pool.queued,
            unwritten: recorder.unwritten,
            refused: recorder.refused,
            database_errors: scanner.database_errors + recorder.database_errors,
            rescued: self.rescued.load(Ordering::Relaxed),
            unserved: self.theme.list_unserved(),
        })
    }
}

/// The themes this process works on, by name. Shared by the handles, the node and the runtime.
#[derive(Clone)]
pub(crate) struct ThemeRuntimes {
    table: Arc<Mutex<BTreeMap<String, ThemeRuntime>>>,
    bells: Bells,
    unattended: Unattended,
    limits: Limits,
    events: Events,
    traces: Traces,
    /// Of themes that do not run in this process.
    default_rules: ThemeRules,
}

impl ThemeRuntimes {
    pub(crate) fn new(events: Events, traces: Traces, default_rules: ThemeRules) -> Self {
        Self {
            table: Arc::default(),
            bells: Bells::default(),
            unattended: Unattended::default(),
            limits: Limits::default(),
            events,
            traces,
            default_rules,
        }
    }

    pub(crate) fn downgrade(&self) -> WeakThemeRuntimes {
        WeakThemeRuntimes {
            table: Arc::downgrade(&self.table),
            bells: self.bells.clone(),
            unattended: self.unattended.clone(),
            limits: self.limits.clone(),
            events: self.events.clone(),
            traces: self.traces.clone(),
            default_rules: self.default_rules,
        }
    }

    pub(crate) fn traces(&self) -> &Traces {
        &self.traces
    }

    /// The limits of methods, and the permits of this process.
    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Notes that this process has added tasks.
    pub(crate) fn note_added(&self, theme: &Arc<str>, added: &[AddedTask]) {
        let new = added.iter().filter(|task| !task.duplicate);
        self.events.added(theme, new.count());
        self.ring(theme);
        self.note_use(theme);
    }

    /// Notes that this process adds tasks to this theme, or has handlers for it: the node warns if no living node runs it.
    pub(crate) fn note_use(&self, theme: &str) {
        if !self.table().contains_key(theme) {
            self.unattended.note(theme, Instant::now());
        }
    }

    /// Takes the themes that were noted and not looked at.
    pub(crate) fn take_unattended(&self) -> BTreeSet<String> {
        self.unattended.take()
    }

    /// A bell that rings when tasks of this theme come due in this process, or another process announces some.
    #[cfg(feature = "web")]
    pub(crate) fn bell(&self, theme: &str) -> Arc<tokio::sync::Notify> {
        self.bells.of(theme)
    }

    /// Wakes the remote workers that wait for tasks of this theme.
    pub(crate) fn ring(&self, theme: &str) {
        self.bells.ring(theme);
    }

    /// Wakes all remote workers that wait.
    pub(crate) fn ring_all(&self) {
        self.bells.ring_all();
    }

    pub(crate) fn add(&self, runtime: ThemeRuntime) {
        let theme = runtime.theme.name().to_string();
        self.table().insert(theme, runtime);
    }

    pub(crate) fn get(&self, theme: &str) -> Option<ThemeRuntime> {
        self.table().get(theme).cloned()
    }

    /// The rules of this theme: those of its scheduler, if it runs here.
    pub(crate) fn rules(&self, theme: &str) -> ThemeRules {
        let runtime = self.get(theme);
        runtime.map_or(self.default_rules, |runtime| runtime.rules())
    }

    pub(crate) fn all(&self) -> Vec<ThemeRuntime> {
        self.table().values().cloned().collect()
    }

    pub(crate) fn clear(&self) {
        self.table().clear();
    }

    fn table(&self) -> MutexGuard<'_, BTreeMap<String, ThemeRuntime>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The themes of this process, for a holder that must not keep them alive.
#[derive(Clone)]
pub(crate) struct WeakThemeRuntimes {
    table: Weak<Mutex<BTreeMap<String, ThemeRuntime>>>,
    bells: Bells,
    unattended: Unattended,
    limits: Limits,
    events: Events,
    traces: Traces,
    default_rules: ThemeRules,
}

impl WeakThemeRuntimes {
    /// `None`: this process has given them up.
    pub(super) fn upgrade(&self) -> Option<ThemeRuntimes> {
        Some(ThemeRuntimes {
            table: self.table.upgrade()?,
            bells: self.bells.clone(),
            unattended: self.unattended.clone(),
            limits: self.limits.clone(),
            events: self.events.clone(),
            traces: self.traces.clone(),
            default_rules: self.default_rules,
        })
    }
}

/// Keeps a second runtime of the same theme and database out of this process while the first one lives: the process would have twice the
/// workers that either of them was given as its limit.
struct ThemeClaim(String, String);

static CLAIMED: Mutex<BTreeSet<(String, String)>> = Mutex::new(BTreeSet::new());

impl ThemeClaim {
    fn of(store: &Store, theme: &str) -> Result<Self, Error> {
        let key = (store.identity(), theme.to_owned());
        let mut claimed = CLAIMED.lock().unwrap_or_else(PoisonError::into_inner);
        if !claimed.insert(key.clone()) {
            return Err(Error::AlreadyScheduled {
                theme: theme.to_owned(),
            });
        }
        Ok(Self(key.0, key.1))
    }
}

impl Drop for ThemeClaim {
    fn drop(&mut self) {
        let key = (std::mem::take(&mut self.0), std::mem::take(&mut self.1));
        CLAIMED.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
    }
}
