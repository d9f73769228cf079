//! Puts all parts together: the only module that names every actor.

mod builder;
mod configured;
mod gone;
mod messages;
mod parts;
mod services;
mod signal;
mod stop;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use actix::Addr;
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

pub use builder::GaiaBuilder;
pub use messages::{DrainGaia, GetAllSchedulerStatus, GetNodes, StopGaia};
pub use stop::StopReport;

use self::parts::started;
#[cfg(feature = "web")]
use crate::remote::Remote;
use crate::{
    admin::{Admin, AdminParts, BulkActor, SetLimit, too_many_limits},
    alerts::RunningAlerts,
    asynctask::{
        LimitActor, ReleaseActor, Scheduler, SchedulerOptions, SchedulerStatus, ThemeRuntime, ThemeRuntimeConfig,
        ThemeRuntimes,
    },
    definition::Schedulers,
    domain::{Faults, NewJob},
    error::{Error, ask},
    events::{Events, Tally},
    held_runs::HeldRuns,
    jobs::{self, Jobs, JobsSlot},
    lease::NodeLease,
    logs::LogWriter,
    node::{BeatNow, HasBegun, LogActor, NodeActor, NodeInfo, PruneActor},
    registry::Registry,
    store::{MOST_LIMITS, Store, StoreError, StoredLimit},
    threads::{Control, Threads},
};

/// How long a database may take to answer before it counts as away.
const READY_WITHIN: Duration = Duration::from_secs(3);

/// Cloneable handle on the runtime of this process: its registry, its schedulers, its node.
///
#[cfg_attr(feature = "sqlite", doc = "```")]
#[cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
/// use gaia_actors::prelude::*;
///
/// #[actix_rt::main]
/// async fn main() -> Result<(), Box<dyn std::error::Error>> {
///     let gaia = Gaia::builder()
///         .database("sqlite::memory:")
///         .handler("Math", "Double", async_fn(async |_: TaskContext, n: i64| Ok(2 * n)))
///         .scheduler(SchedulerOptions::new("demo"))
///         .start()
///         .await?;
///
///     let demo = gaia.scheduler("demo")?;
///     let added = demo.add_task(NewTask::new("Math", "Double").args(&21)).await?;
///     let task = demo.wait_for(added.id, std::time::Duration::from_secs(10)).await?;
///     assert_eq!(task.last_result.as_deref(), Some("42"));
///
///     gaia.stop().await?;
///     Ok(())
/// }
/// ```
///
/// It is an actor, too: its [address](Self::addr) takes [`GetAllSchedulerStatus`], [`GetNodes`], [`StopGaia`] and [`DrainGaia`].
///
/// If a process drops its last handle without [`stop`](Self::stop), other nodes take over its runs once the lease is over, or the process
/// does at its next start.
#[derive(Clone)]
pub struct Gaia(Arc<Inner>);

struct Inner {
    #[cfg(feature = "web")]
    remote: Remote,
    store: Store,
    events: Events,
    registry: Registry,
    themes: ThemeRuntimes,
    jobs: Jobs,
    jobs_slot: JobsSlot,
    node_id: Arc<str>,
    node: Addr<NodeActor>,
    lease: NodeLease,
    held: HeldRuns,
    pruner: Addr<PruneActor>,
    bulk: Addr<BulkActor>,
    release: Addr<ReleaseActor>,
    logs: LogWriter,
    log_actor: Addr<LogActor>,
    /// `None`: this process sends no messages about alerts.
    alerts: Option<RunningAlerts>,
    tally: Tally,
    threads: Threads,
    control: Arc<Control>,
    grace: Duration,
    options: SchedulerOptions,
    draining: AtomicBool,
    stopping: AtomicBool,
    stopped: OnceCell<StopReport>,
}

/// Whether a process can take work, and if not, why: [`Gaia::readiness`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "web", derive(utoipa::ToSchema))]
#[non_exhaustive]
#[expect(clippy::struct_excessive_bools, reason = "each is a check of its own")]
pub struct Readiness {
    /// The database answers.
    pub database: bool,
    /// Its tables are those of this version.
    pub schema: bool,
    /// The node has written a heartbeat within its lease.
    pub beats: bool,
    /// The process neither drains nor stops.
    pub takes_work: bool,
}

impl Readiness {
    /// Whether nothing is amiss.
    #[must_use]
    pub const fn is_ready(self) -> bool {
        self.database && self.schema && self.beats && self.takes_work
    }
}

impl std::fmt::Debug for Gaia {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gaia")
            .field("node", &self.0.node_id)
            .field("store", &self.0.store)
            .finish_non_exhaustive()
    }
}

impl Schedulers for Gaia {
    fn scheduler(&self, theme: &str) -> Result<Scheduler, Error> {
        Self::scheduler(self, theme)
    }
}

impl Gaia {
    /// A builder with the default settings.
    pub fn builder() -> GaiaBuilder {
        GaiaBuilder::default()
    }

    /// The handle on a theme, whether its workers are in this process or not.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a theme that is empty, is longer than 100 characters or holds a control character.
    pub fn scheduler(&self, theme: &str) -> Result<Scheduler, Error> {
        let inner = &self.0;
        Ok(Scheduler::new(theme, inner.store.clone(), inner.themes.clone())?)
    }

    /// Options for `theme` with the defaults of the configuration.
    pub fn scheduler_options(&self, theme: impl Into<String>) -> SchedulerOptions {
        SchedulerOptions {
            theme: theme.into(),
            ..self.0.options.clone()
        }
    }

    /// Starts workers for one more theme.
    ///
    /// # Errors
    /// [`Error::Invalid`] with every fault of the options, [`Error::AlreadyScheduled`], [`Error::Stopped`] (also while this Gaia drains or
    /// stops), [`Error::Store`].
    pub async fn start_scheduler(&self, options: SchedulerOptions) -> Result<Scheduler, Error> {
        let is_ending = || self.0.stopping.load(Ordering::SeqCst) || self.0.draining.load(Ordering::SeqCst);
        if is_ending() {
            return Err(Error::Stopped);
        }
        let options = options.or_compat(self.0.options.compat.unwrap_or_default());
        let mut faults = Faults::default();
        options.check(&mut faults);
        faults.into_result()?;
        let theme = options.theme.clone();
        let name = theme.clone();
        let settings = ask(
            &self.0.store,
            |store| async move { store.cluster().settings(&name).await },
        )
        .await?;
        let runtime = ThemeRuntime::start(ThemeRuntimeConfig {
            options,
            store: self.0.store.clone(),
            events: self.0.events.clone(),
            registry: self.0.registry.clone(),
            node: Arc::clone(&self.0.node_id),
            lease: self.0.lease.clone(),
            held: self.0.held.clone(),
            limits: self.0.themes.limits().clone(),
            control: Arc::clone(&self.0.control),
            threads: self.0.threads.clone(),
            settings,
            logs: self.0.logs.clone(),
            traces: self.0.themes.traces().clone(),
        })?;
        self.0.themes.add(runtime.clone());
        self.0.node.do_send(BeatNow);
        if is_ending() {
            runtime.drain().await?;
        }
        self.prune_more();
        self.scheduler(&theme)
    }

    /// Has the scanner of a theme look for due tasks, if this process runs it.
    pub(crate) fn wake(&self, theme: &str) {
        if let Some(runtime) = self.0.themes.get(theme) {
            runtime.wake();
        }
    }

    /// The handle for operators, on all themes of the database.
    #[must_use]
    pub fn admin(&self) -> Admin {
        Admin::new(AdminParts {
            store: self.0.store.clone(),
            bulk: self.0.bulk.clone(),
            themes: self.0.themes.clone(),
            jobs: self.0.jobs.clone(),
            node: Arc::clone(&self.0.node_id),
        })
    }

    /// The handle on cron jobs, whether they run in this process or not.
    #[must_use]
    pub fn jobs(&self) -> Jobs {
        self.0.jobs.clone()
    }

    async fn start_all(
        &self,
        schedulers: Vec<SchedulerOptions>,
        settings: jobs::Settings,
        runs_jobs: bool,
        declared: Vec<NewJob>,
        limits: Vec<SetLimit>,
    ) -> Result<(), Error> {
        // The database may refuse them: before anything runs.
        self.declare(declared).await?;
        self.keep_limits(limits).await?;
        self.start_limiter();
        for options in schedulers {
            self.start_scheduler(options).await?;
        }
        match &settings.banned {
            Some(environment) if runs_jobs => {
                say!(
                    Warn,
                    "jobs do not run in this process: its environment {environment:?} is in Jobs.BanEnvList"
                );
            }
            None if runs_jobs => self.start_jobs(settings)?,
            _ => {}
        }
        Ok(())
    }

    /// Limits methods that have no limit, and reads all limits.
    async fn keep_limits(&self, limits: Vec<SetLimit>) -> Result<(), Error> {
        let most = usize::try_from(MOST_LIMITS).unwrap_or(usize::MAX);
        let all = ask(&self.0.store, |store| async move {
            let mut there = store.cluster().limits().await?;
            for limit in limits {
                let is_there = |other: &StoredLimit| limit.is_of(&other.service, &other.method);
                if there.iter().any(is_there) {
                    continue;
                }
                if there.len() >= most {
                    return Ok(None);
                }
                let limit = limit.stored();
                store.cluster().keep_limit(&limit).await?;
                there.push(limit);
            }
            store.cluster().limits().await.map(Some)
        });
        let all = all.await?.ok_or_else(|| too_many_limits(most))?;
        self.0.themes.limits().follow(all);
        Ok(())
    }

    /// Starts the actor that shares out slots with other nodes.
    fn start_limiter(&self) {
        let inner = &self.0;
        let limiter = LimitActor::new(inner.themes.clone(), inner.store.clone(), Arc::clone(&inner.node_id));
        // It ends with the control thread.
        started(&inner.control, limiter);
    }

    fn start_jobs(&self, settings: jobs::Settings) -> Result<(), Error> {
        let runtime = jobs::JobsRuntime::start(jobs::JobsRuntimeConfig {
            settings,
            store: self.0.store.clone(),
            events: self.0.events.clone(),
            registry: self.0.registry.clone(),
            node: Arc::clone(&self.0.node_id),
            lease: self.0.lease.clone(),
            control: Arc::clone(&self.0.control),
            threads: self.0.threads.clone(),
            logs: self.0.logs.clone(),
            traces: self.0.themes.traces().clone(),
        })?;
        self.0.jobs_slot.set(runtime);
        self.prune_more();
        Ok(())
    }

    /// Tells the pruner that this process runs another theme, or jobs, whose history it may prune.
    fn prune_more(&self) {
        self.0.pruner.do_send(HasBegun);
    }

    /// The registry, which registers and calls handlers.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.0.registry
    }

    /// The database.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// The id of this process among the nodes of the database.
    #[must_use]
    pub fn node_id(&self) -> &str {
        &self.0.node_id
    }

    /// The processes that share the database, this one among them, in the order in which they started.
    ///
    /// # Errors
    /// [`Error::Store`], [`Error::Stopped`].
    pub async fn nodes(&self) -> Result<Vec<NodeInfo>, Error> {
        let nodes = ask(&self.0.store, |store| async move { store.cluster().nodes().await }).await?;
        Ok(NodeInfo::all(nodes))
    }

    /// Whether this process can take work: for the probe of an orchestrator. Asks the database, so do not call it more often than once a
    /// second; a database that has not answered after 3 s counts as away.
    ///
    #[cfg_attr(feature = "sqlite", doc = "```")]
    #[cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
    /// # #[actix_rt::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let gaia = gaia_actors::Gaia::builder().database("sqlite::memory:").start().await?;
    /// assert!(gaia.readiness().await.is_ready());
    /// # gaia.stop().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn readiness(&self) -> Readiness {
        let checked = ask(&self.0.store, |store| async move {
            store.check_files()?;
            store.check_schema().await
        });
        let (database, schema) = match tokio::time::timeout(READY_WITHIN, checked).await {
            Ok(Ok(())) => (true, true),
            Ok(Err(Error::Store(StoreError::SchemaMissing { .. } | StoreError::SchemaTooNew { .. }))) => (true, false),
            Ok(Err(error)) => {
                say!(Debug, "this process is not ready: {error}");
                (false, false)
            }
            Err(_) => (false, false),
        };
        Readiness {
            database,
            schema,
            beats: !self.0.lease.has_expired(),
            takes_work: !self.0.draining.load(Ordering::SeqCst) && !self.0.stopping.load(Ordering::SeqCst),
        }
    }

    /// What remote workers do through this process.
    #[cfg(feature = "web")]
    pub(crate) fn remote(&self) -> &Remote {
        &self.0.remote
    }

    #[cfg(feature = "web")]
    pub(crate) fn events(&self) -> &Events {
        &self.0.events
    }

    #[cfg(feature = "web")]
    pub(crate) fn lease(&self) -> &NodeLease {
        &self.0.lease
    }

    /// Whether this process stops, or has stopped.
    #[cfg(feature = "web")]
    pub(crate) fn stops(&self) -> bool {
        self.0.stopping.load(Ordering::SeqCst)
    }

    /// The counters of every theme of this process, by theme.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub async fn all_scheduler_status(&self) -> Result<BTreeMap<String, SchedulerStatus>, Error> {
        let mut all = BTreeMap::new();
        for runtime in self.0.themes.all() {
            let status = self.scheduler(runtime.theme())?.status().await?;
            all.insert(status.theme.clone(), status);
        }
        Ok(all)
    }
}
