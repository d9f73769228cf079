//! Starts a [`Gaia`] from its settings.

use std::{
    num::NonZeroUsize,
    sync::{Arc, atomic::AtomicBool},
    thread,
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::sync::OnceCell;

use super::{
    Gaia, Inner, configured,
    parts::{logs, open, register, registry, shared, start_alerts, started},
    services::NamedService,
};
#[cfg(feature = "web")]
use crate::remote::Remote;
use crate::{
    admin::{AdminParts, BulkActor, SetLimit},
    alerts::{AlertOptions, AlertSettings, Alerts, Listener},
    asynctask::{ReleaseActor, SchedulerOptions, ThemeRuntimes},
    clock::Clock,
    config::{Compat, Config, ConfigError},
    domain::{Alert, Faults, Limit, NewJob},
    error::Error,
    events::{Event, Events, Observer, Tally},
    held_runs::HeldRuns,
    jobs::{Jobs, JobsOptions, JobsSlot, Settings as JobSettings},
    lease::NodeLease,
    node::{NodeActor, NodeParts, PruneActor, PruneParts, SettledClaims, describe},
    registry::{Endpoint, Registration, RegistryActor, SharedValues},
    threads::{Control, Threads},
    traces::Traces,
};

/// With a shorter lease a node would lose its lease whenever the disk is busy.
const SHORTEST_LEASE: Duration = Duration::from_millis(500);

/// Most threads for workers: a guard against a typing error.
const MAX_ARBITERS: usize = 1_024;

/// Collects the settings of a [`Gaia`]. [`start`](Self::start) checks them, and its error names all faults at once.
///
#[cfg_attr(feature = "sqlite", doc = "```")]
#[cfg_attr(not(feature = "sqlite"), doc = "```no_run")]
/// use std::time::Duration;
///
/// use gaia_actors::{Config, prelude::*};
///
/// # #[actix_rt::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let send = async_fn(async |_: TaskContext, to: String| Ok(format!("sent to {to}")));
/// let delete = blocking_fn(|_: TaskContext, path: String| Ok(std::fs::remove_file(path)?));
/// let gaia = Gaia::builder()
///     .config(Config::from_env()?) // DATABASE_URL, GAIA__ASYNCTASK__WORKERNUM and others
///     .database("sqlite::memory:") // wins over DATABASE_URL
///     .handler("Mail", "Send", send)
///     .handler("Files", "Delete", delete)
///     .scheduler(SchedulerOptions::new("mail").worker_num(8))
///     .theme("files") // with the options of the configuration
///     .jobs(JobsOptions::default().time_zone("Asia/Shanghai"))
///     .retention(Duration::from_secs(30 * 86_400))
///     .start()
///     .await?;
/// # gaia.stop().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
#[must_use = "nothing runs until `start` is called"]
pub struct GaiaBuilder {
    config: Config,
    url: Option<Url>,
    arbiters: Option<usize>,
    lease: Option<Duration>,
    grace: Option<Duration>,
    migrate: Option<bool>,
    /// Zero: for ever.
    retention: Option<Duration>,
    prune_foreign_history: Option<bool>,
    clock: Clock,
    handlers: Vec<Registration>,
    data: SharedValues,
    services: Vec<NamedService>,
    limits: Vec<SetLimit>,
    themes: Vec<String>,
    schedulers: Vec<SchedulerOptions>,
    jobs: Option<JobsOptions>,
    configured: bool,
    compat: Option<Compat>,
    observers: Observers,
    alerts: AlertOptions,
    listeners: Listeners,
    traces: Traces,
}

#[derive(Default)]
struct Observers(Vec<Observer>);

#[derive(Default)]
struct Listeners(Vec<Listener>);

impl std::fmt::Debug for Listeners {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Listeners").field(&self.0.len()).finish()
    }
}

impl std::fmt::Debug for Observers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Observers").field(&self.0.len()).finish()
    }
}

/// A database URL as the caller wrote it. It may hold a password: it is not shown.
struct Url(String);

impl std::fmt::Debug for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(not shown)")
    }
}

impl GaiaBuilder {
    /// Settings from a file or the environment. The methods below win over them.
    pub fn config(self, config: Config) -> Self {
        Self { config, ..self }
    }

    /// The database's URL. Default: the URL of the configuration, or `sqlite:gaia.db` without one.
    ///
    /// | URL | where |
    /// |---|---|
    /// | `sqlite:path/to/file.db`, `sqlite::memory:` | a file, or the memory of this process |
    /// | `postgres://user:password@host:port/database`, `postgresql:` | `PostgreSQL` |
    /// | `mysql://user:password@host:port/database`, `mariadb:` | `MySQL`, `MariaDB` |
    /// | `user:password@tcp(host:port)/database`, `user:password@unix(/path/of/the/socket)/database` | the same, as a DSN of Go's driver: nothing in the user's name and the password is encoded |
    ///
    /// In a user name, a password and a parameter of a URL `#` is written as `%23`, `%` as `%25`, `/` as `%2F`, `:` as `%3A`, `?` as `%3F` and `@`
    /// as `%40`. A text that can be taken apart in two ways is refused. Parameters follow a `?`, as in `?name=value&name=value`:
    ///
    /// | parameter | of | meaning |
    /// |---|---|---|
    /// | `busy_timeout` | SQLite | how long to wait for another process's lock, in ms; default 5000 |
    /// | `synchronous` | SQLite | `full`, the default: a commit survives a power cut; `normal`: it survives a killed process |
    /// | `pool_size` | servers | most connections at a time; default 10 |
    /// | `pool_timeout` | servers | how long to wait for a connection of the pool; default `10s` |
    /// | `connect_timeout` | servers | how long to wait for a new connection; default `10s` |
    /// | `start_timeout` | servers | how long a start waits for a server that is full; default `60s` |
    /// | `idle_timeout` | servers | connections that are unused for this time are closed, except one; default `60s` |
    /// | `max_lifetime` | servers | connections that are older are replaced, up to a tenth of this time earlier; default `30m` |
    /// | `sslmode` | servers | `disable` (`MySQL`'s default), `prefer` (`PostgreSQL`'s), `require`, `verify-ca`, `verify-full` |
    /// | `sslrootcert` | servers | a file of certificates in PEM; default: the authorities that browsers trust |
    /// | `search_path`, `statement_timeout` | `PostgreSQL` | of each session |
    /// | `channel_binding`, `application_name`, `options`, `target_session_attrs`, `load_balance_hosts`, `hostaddr` | `PostgreSQL` | as libpq has them |
    /// | `pgbouncer` | `PostgreSQL` | `true`: a pooler gives each transaction another session, so this process does not listen |
    /// | `socket` | `MySQL` | the path of a socket |
    /// | `time_zone` | `MySQL` | the zone in which the columns of time stand, such as `+08:00` or `Asia/Shanghai`; default UTC. So has `loc` of Go's driver |
    ///
    /// A time may have a unit (`ms`, `s`, `m`). Without a unit, a number below 100 means seconds, as in libpq and most drivers, and a
    /// number from 1000 on means milliseconds; a number in between means milliseconds in `pool_timeout`, and is refused in the others. 0
    /// means an hour.
    ///
    /// `prefer` and `require` encrypt (`prefer` if the server can); the certificate is checked only if `sslrootcert` is given. `verify-ca`
    /// checks which authority issued the certificate, and `verify-full` also whether it names the host. On `MySQL` every mode that checks
    /// the certificate checks both; so does `verify-ca` without `sslrootcert`, since every server can get a certificate from some
    /// authority.
    ///
    /// Other drivers' names for these parameters work, too (`ssl-mode=REQUIRED`, `tls`, `useSSL`, `connection_limit`, `currentSchema` and
    /// others; of several demands for encryption the strictest holds). Parameters that hosters and other drivers add and that have no
    /// effect here (`charset`, `parseTime`, `keepalives` and others) are ignored, and named in one warning at the start. Parameters that
    /// would be unsafe to ignore (client certificates, lists of revoked certificates and others) are refused, as is an unknown parameter.
    ///
    /// Beside its pool a process has one connection for its heartbeat and, on `PostgreSQL`, a connection that listens: 12 connections at
    /// most by default, 11 on `MySQL`. An idle process has 3 (2 on `MySQL`). A start needs 2 connections, and a server that could give a
    /// third; otherwise it waits, up to `start_timeout`. If the server refuses a further connection, callers wait for one that the process
    /// has.
    pub fn database(self, url: impl Into<String>) -> Self {
        Self {
            url: Some(Url(url.into())),
            ..self
        }
    }

    /// On how many threads the workers run, at most 1024. Default: one thread for each core; 0 means the same.
    pub fn arbiters(self, arbiters: usize) -> Self {
        Self {
            arbiters: Some(arbiters),
            ..self
        }
    }

    /// How long this node may go without a heartbeat before other nodes take over its work. It writes four heartbeats in that time. Default
    /// 20 s, at least 0.5 s.
    pub fn lease(self, lease: Duration) -> Self {
        Self {
            lease: Some(lease),
            ..self
        }
    }

    /// How long running tasks may take to end when this process is asked to stop. Default 10 s; [`Gaia::stop`] says how much longer a stop
    /// may take.
    pub fn grace(self, grace: Duration) -> Self {
        Self {
            grace: Some(grace),
            ..self
        }
    }

    /// Whether the start brings the tables to this version. Default true. If false, the tables must have this version already.
    pub fn migrate(self, migrate: bool) -> Self {
        Self {
            migrate: Some(migrate),
            ..self
        }
    }

    /// How long finished tasks, and records of runs, are kept. Default a week; `None` keeps them for ever. Older rows are deleted in small
    /// batches; the process looks for them every five minutes, or ten times in a retention that is shorter than 50 minutes.
    ///
    /// This process deletes only tasks and records that this crate has finished, on any node; those of other programs are kept, unless
    /// [`prune_foreign_history`](Self::prune_foreign_history) says otherwise. It deletes tasks only of themes that it runs, and records of
    /// jobs only if it runs [`jobs`](Self::jobs). The records of a task are deleted with the task; if the task is not finished, its records
    /// that are older than the retention are deleted.
    ///
    /// Nothing is deleted while the time is not certain. If the clock jumps, or no node has looked for more than half of the retention, a
    /// warning says so, and nothing is deleted until the clock has gone on for a whole retention (or has come back from a jump ahead).
    pub fn retention(self, retention: impl Into<Option<Duration>>) -> Self {
        Self {
            retention: Some(retention.into().unwrap_or_default()),
            ..self
        }
    }

    /// Whether the retention also holds for tasks and records that another program has finished: another framework on the same tables, or
    /// plain SQL. Default false: they are kept for ever.
    ///
    /// At the first start on a database with such rows, a warning says how many are kept, and how many are pruned.
    pub fn prune_foreign_history(self, prune: bool) -> Self {
        Self {
            prune_foreign_history: Some(prune),
            ..self
        }
    }

    /// The clock by which tasks and jobs are due. Default: the machine's clock; with a database server, the clock of that server.
    pub fn clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// Registers a handler before any worker starts: a `Recipient<Invoke>` of any actor,
    /// [`async_fn`](crate::async_fn) or [`blocking_fn`](crate::blocking_fn).
    pub fn handler(self, service: impl Into<String>, method: impl Into<String>, handler: impl Into<Endpoint>) -> Self {
        self.handlers(Registration::new(service, method, handler))
    }

    /// Registers handlers before any worker starts: of a [`TaskDef`](crate::TaskDef), of all methods of a
    /// [service object](crate::ServiceMethods), or an array or a `Vec` of such registrations.
    ///
    /// If neither this process nor another living node runs the theme of such a definition, a warning in the log says so.
    ///
    /// ```
    /// use gaia_actors::prelude::*;
    ///
    /// const SEND: TaskDef<String, ()> = TaskDef::new("Mail", "Send").theme("mail");
    /// const DELETE: TaskDef<String, ()> = TaskDef::new("Files", "Delete");
    ///
    /// let builder = Gaia::builder()
    ///     .handlers([
    ///         SEND.handler(async |_, to| Ok(log::info!("sends a mail to {to}"))),
    ///         DELETE.blocking_handler(|_, path| Ok(std::fs::remove_file(path)?)),
    ///     ])
    ///     .theme("mail")
    ///     .theme("default"); // the theme of a definition that names none
    /// # drop(builder);
    /// ```
    pub fn handlers(mut self, handlers: impl IntoIterator<Item = Registration>) -> Self {
        self.handlers.extend(handlers);
        self
    }

    /// Gives a value to all handlers and layers of this Gaia: [`TaskContext::data`](crate::TaskContext::data) finds it by its type. Two
    /// values of one type are refused at the start: give each a type of its own.
    /// Give the value itself, which is put into an `Arc`: an `Arc<T>` or a `web::Data<T>` is a type of its own, which a handler would have to ask
    /// for. The values are dropped once [`Gaia::stop`] has ended all runs; until then a [`Registry`](crate::Registry), a
    /// [`Route`](crate::Route) or a context that is kept keeps them, too.
    ///
    /// A handler reaches its schedulers and jobs without it, by [`TaskContext::scheduler`](crate::TaskContext::scheduler) and
    /// [`TaskContext::jobs`](crate::TaskContext::jobs).
    ///
    /// ```
    /// use gaia_actors::{Gaia, TaskContext, TaskError, async_fn};
    ///
    /// struct Sender(String);
    ///
    /// let send = async_fn(async |ctx: TaskContext, to: String| {
    ///     let sender = ctx.data::<Sender>()?;
    ///     Ok::<_, TaskError>(format!("from {} to {to}", sender.0))
    /// });
    /// let builder = Gaia::builder().data(Sender("shop@example.org".to_owned())).handler("Mail", "Send", send);
    /// # drop(builder);
    /// ```
    pub fn data<T: Send + Sync + 'static>(mut self, value: T) -> Self {
        self.data.add(value);
        self
    }

    /// Limits how many tasks of a method run at once in the whole cluster, and how many start in a time, if the method has no limit yet. A limit that
    /// is in the database stays: an operator may have changed it ([`Admin::set_limit`](crate::Admin::set_limit)). Nodes of the cluster that
    /// run already follow within 10 s.
    ///
    /// ```
    /// use std::time::Duration;
    /// use gaia_actors::{Gaia, Limit};
    ///
    /// let builder = Gaia::builder()
    ///     .limit("Mail", "Send", Limit::running(5))
    ///     .limit("Maps", "Locate", Limit::starts(100, Duration::from_secs(60)));
    /// # drop(builder);
    /// ```
    pub fn limit(mut self, service: impl Into<String>, method: impl Into<String>, limit: Limit) -> Self {
        self.limits.push(SetLimit::new(service, method, limit));
        self
    }

    /// Registers a [remote service](crate::RemoteService) before any worker starts. It serves every method of this name, so that no method of
    /// the name can have a [`handler`](Self::handler).
    #[cfg(feature = "hooks")]
    pub fn service(mut self, name: impl Into<String>, service: crate::RemoteService) -> Self {
        self.services.push(NamedService::in_code(name.into(), service));
        self
    }

    /// Calls this function for each [`Event`]: a task has started or ended, a fire was claimed, a node was lost, the database has failed.
    /// Several observers are called one after the other.
    ///
    /// An observer is called on the thread of the actor that tells the event, before the actor goes on: it may count, or send a clone of
    /// the event to a channel, but must not wait. A panic of the observer is caught and logged; later events still reach it.
    ///
    /// ```
    /// use std::sync::{Arc, atomic::{AtomicU64, Ordering}};
    /// use gaia_actors::{Event, Gaia};
    ///
    /// let failures = Arc::new(AtomicU64::new(0));
    /// let count = Arc::clone(&failures);
    /// let builder = Gaia::builder().observe(move |event: &Event| {
    ///     if matches!(event, Event::TaskEnded(ended) if ended.error.is_some()) {
    ///         count.fetch_add(1, Ordering::Relaxed);
    ///     }
    /// });
    /// # drop(builder);
    /// ```
    pub fn observe(mut self, observer: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.observers.0.push(Box::new(observer));
        self
    }

    /// Calls this function for each message about an [`Alert`]: a task has failed for good, tasks wait too long, a node has died, a job has
    /// failed, the database is away. Of all nodes of a database one sends each message, so give all of them the same function and the same
    /// [options](Self::alerts). Several functions are called one after the other.
    ///
    /// A function is called on a separate thread, which also sends to webhooks: it should not wait for long. A panic of the function is
    /// caught and logged; later messages still reach it.
    ///
    /// ```
    /// use gaia_actors::{Alert, AlertState, Gaia};
    ///
    /// let builder = Gaia::builder().on_alert(|alert: &Alert| match alert.state {
    ///     AlertState::Recovered => println!("over: {}", alert.text_en),
    ///     _ => println!("{}: {}", alert.severity, alert.text_en),
    /// });
    /// # drop(builder);
    /// ```
    pub fn on_alert(mut self, listener: impl Fn(&Alert) + Send + 'static) -> Self {
        self.listeners.0.push(Box::new(listener));
        self
    }

    /// Which alerts there are, and the webhooks to which their messages are sent. Without a webhook and without
    /// [`on_alert`](Self::on_alert) the process sends no messages and looks for nothing.
    pub fn alerts(self, options: AlertOptions) -> Self {
        Self {
            alerts: options,
            ..self
        }
    }

    /// Traces go on through tasks: a task that is added within a span belongs to the trace of that span, and so do the spans of its attempts,
    /// the tasks that its handler adds, and the requests of hooks, which get the header `traceparent`. Without this call the spans of runs
    /// are there, too, but each begins a trace of its own, unless a task has a [`traceparent`](crate::NewTask::traceparent) of its own.
    #[cfg(feature = "tracing")]
    pub fn tracing(self, propagation: crate::Propagation) -> Self {
        Self {
            traces: Traces::linked(propagation),
            ..self
        }
    }

    /// Whose defaults hold in this process, where no option is set: see [`Compat`]. Default: as the key `Node.Compat` of the configuration says,
    /// and without it those of this crate.
    pub fn compat(self, compat: Compat) -> Self {
        Self {
            compat: Some(compat),
            ..self
        }
    }

    /// Starts workers for a theme with the options of the configuration's section `AsyncTask`.
    pub fn theme(mut self, theme: impl Into<String>) -> Self {
        self.themes.push(theme.into());
        self
    }

    /// Starts workers for a theme with these options, whatever the configuration says. A process without any theme is a client: it can add
    /// tasks and read their state, and runs no task.
    pub fn scheduler(mut self, options: SchedulerOptions) -> Self {
        self.schedulers.push(options);
        self
    }

    /// Runs cron jobs in this process: all jobs of the database, whichever process adds them. Without this call the process runs no job,
    /// but [`Gaia::jobs`] can still add, change and read jobs. In a banned environment (`Jobs.BanEnvList`) the process runs no job either;
    /// a warning and [`Jobs::status`](crate::Jobs::status) say so.
    pub fn jobs(self, options: JobsOptions) -> Self {
        Self {
            jobs: Some(options),
            ..self
        }
    }

    /// Starts what the configuration names: workers for each theme of the section `Themes`, and cron jobs unless `Jobs.Run` is false; registers
    /// the remote services of the section `Services`. Jobs of `Jobs.Declared` are added, or updated if they differ, before the start ends, and
    /// methods of the section `Limits` are limited that have no limit, as by [`limit`](Self::limit). Themes, jobs, services and limits that
    /// this builder has been given, too, are as it was given them.
    ///
    #[cfg_attr(feature = "sqlite", doc = "```")]
    #[cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
    /// use gaia_actors::{Config, Gaia};
    ///
    /// # #[actix_rt::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let config = Config::from_json(
    ///     r#"{"Databases": {"default": "sqlite::memory:"},
    ///         "Themes": {"mail": {"WorkerNum": 4}},
    ///         "Jobs": {"Declared": [{"job_name": "sync", "job_type": "cron_hook", "cron_expr": "@hourly",
    ///                                "hook_url": "http://localhost:8080/api/sync"}]}}"#,
    /// )?;
    /// let gaia = Gaia::builder().config(config).configured().start().await?;
    /// assert_eq!(gaia.scheduler("mail")?.status().await?.all_workers, 4);
    /// # gaia.stop().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn configured(self) -> Self {
        Self {
            configured: true,
            ..self
        }
    }

    /// Checks every setting as [`start`](Self::start) does, and starts nothing. The database's URL is not among them.
    ///
    /// # Errors
    /// [`Error::Config`] and [`Error::Invalid`], as of `start`.
    pub fn check(mut self) -> Result<(), Error> {
        self.plan().map(drop)
    }

    /// Opens the database, registers this node and starts the actors, on separate threads and in a separate actix system: the actors run
    /// until [`Gaia::stop`], whatever becomes of the caller's system.
    ///
    /// # Errors
    /// [`Error::Invalid`] with every fault of the settings, [`Error::Store`] if the database cannot be opened or its tables
    /// are not this version's, [`Error::Registry`] for a method registered twice, [`Error::AlreadyScheduled`],
    /// [`Error::Start`].
    pub async fn start(self) -> Result<Gaia, Error> {
        // Boxed, to keep the drivers' large futures out of the caller's future and its compile time.
        let start: BoxFuture<'_, _> = Box::pin(self.build());
        start.await
    }

    async fn build(mut self) -> Result<Gaia, Error> {
        let plan = self.plan()?;
        let control = Control::start()?;
        let tally = Tally::new(self.clock.clone());
        let node_id: Arc<str> = uuid::Uuid::now_v7().to_string().into();
        let alerts = Alerts::new(Arc::clone(&node_id), self.clock.clone(), plan.alerts, self.listeners.0)?;
        let ear = alerts.as_ref().map(Alerts::ear);
        let events = Events::new(self.observers.0, tally.clone(), ear);
        let threads = Threads::start(&control, plan.arbiters, events.clone()).await?;
        // The store works on the control thread, so that it does not depend on the threads of callers.
        let store = control
            .run(Box::pin(open(plan.url, self.clock, plan.migrate)))
            .await??
            .of_system(&plan.jobs.system);
        let defined: Vec<&str> = self.handlers.iter().filter_map(Registration::theme).collect();
        let themes = ThemeRuntimes::new(events.clone(), self.traces.clone(), plan.defaults.rules());
        let jobs_slot = JobsSlot::default();
        let jobs = Jobs::new(store.clone(), &plan.jobs, jobs_slot.clone(), self.traces.clone());
        let values = shared(self.data, &store, &themes, &jobs);
        let actor = RegistryActor::calling_on(threads.clone(), store.clock().clone(), self.traces, values);
        let registry = registry(&control, actor, self.handlers, self.services).await?;

        let row = describe(&node_id, plan.lease, &registry);
        let (lease, held) = (NodeLease::new(plan.lease, store.clock().clone()), HeldRuns::default());
        register(&store, row.clone()).await?;
        let settled = SettledClaims::default();
        let node = NodeActor::new(NodeParts {
            row,
            lease: lease.clone(),
            held: held.clone(),
            store: store.clone(),
            events: events.clone(),
            themes: themes.clone(),
            jobs_slot: jobs_slot.clone(),
            registry: registry.clone(),
            tally: tally.clone(),
            settled: settled.clone(),
        });
        let node = started(&control, node);
        let pruner = PruneActor::new(PruneParts {
            store: store.clone(),
            node: Arc::clone(&node_id),
            themes: themes.clone(),
            jobs_slot: jobs_slot.clone(),
            retention: plan.retention,
            foreign: plan.foreign,
        });
        let pruner = started(&control, pruner);
        let bulk = BulkActor::new(store.clone(), Arc::clone(&node_id), themes.clone());
        let bulk = started(&control, bulk);
        let release = started(&control, ReleaseActor::new(store.clone(), themes.clone()));
        let (logs, log_actor) = logs(&control, &store);
        let admin = AdminParts {
            store: store.clone(),
            bulk: bulk.clone(),
            themes: themes.clone(),
            jobs: jobs.clone(),
            node: Arc::clone(&node_id),
        };
        let alerts = start_alerts(alerts, &control, admin, tally.clone(), lease.clone()).await?;
        say!(Info, "node {node_id} works on {}", store.url());

        #[cfg(feature = "web")]
        let remote = Remote::new(store.clone(), &node_id, events.clone(), themes.clone(), settled);
        let gaia = Gaia(Arc::new(Inner {
            #[cfg(feature = "web")]
            remote,
            store: store.clone(),
            events,
            registry,
            themes,
            jobs,
            jobs_slot,
            node_id,
            node,
            lease,
            held,
            pruner,
            bulk,
            release,
            logs,
            log_actor,
            alerts,
            tally,
            threads,
            control,
            grace: plan.grace,
            options: plan.defaults,
            draining: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            stopped: OnceCell::new(),
        }));
        let started = gaia.start_all(plan.schedulers, plan.jobs, plan.runs_jobs, plan.declared, plan.limits);
        if let Err(error) = started.await {
            // Nothing half-started is left behind.
            gaia.stop().await?;
            return Err(error);
        }
        for theme in defined {
            gaia.0.themes.note_use(theme);
        }
        Ok(gaia)
    }

    /// Checks every setting, and takes from the configuration what the caller has not set.
    fn plan(&mut self) -> Result<Plan, Error> {
        self.config.check()?;
        for warning in self.config.warnings() {
            say!(Warn, "configuration: {warning}");
        }
        let compat = self.compat.unwrap_or(self.config.node.compat);
        let defaults = configured::scheduler("", &self.config.async_task).or_compat(compat);
        let of_theme = |theme| SchedulerOptions {
            theme,
            ..defaults.clone()
        };
        let themes = std::mem::take(&mut self.themes);
        self.schedulers.extend(themes.into_iter().map(of_theme));
        if self.configured {
            self.add_configured();
        }
        let schedulers = std::mem::take(&mut self.schedulers).into_iter();
        self.schedulers = schedulers.map(|options| options.or_compat(compat)).collect();
        let node = &self.config.node;
        let arbiters = self.arbiters.unwrap_or(node.arbiters);
        let lease = self.lease.unwrap_or(Duration::from_secs_f64(node.lease));
        let grace = self.grace.unwrap_or(Duration::from_secs_f64(node.grace));
        let migrate = self.migrate.unwrap_or(node.migrate);
        let retention = self.retention.unwrap_or(Duration::from_secs_f64(node.retention));
        let foreign = self.prune_foreign_history.unwrap_or(node.prune_foreign_history);
        let runs_jobs = self.jobs.is_some();
        let (jobs, alerts, declared) = self.checked(arbiters, lease, compat)?;
        let cores = || thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Ok(Plan {
            url: self.url(runs_jobs)?,
            arbiters: if arbiters == 0 { cores() } else { arbiters },
            lease,
            grace,
            migrate,
            retention: Some(retention).filter(|retention| !retention.is_zero()),
            foreign,
            defaults,
            schedulers: std::mem::take(&mut self.schedulers),
            jobs,
            declared,
            runs_jobs,
            limits: std::mem::take(&mut self.limits),
            alerts,
        })
    }

    /// Adds themes, services and jobs that the configuration names, but for those that the caller has named.
    fn add_configured(&mut self) {
        let named = |theme: &str| self.schedulers.iter().any(|options| options.theme == theme);
        let mut further = configured::schedulers(&self.config);
        further.retain(|options| !named(&options.theme));
        self.schedulers.extend(further);
        let mut services = NamedService::configured(&self.config);
        services.retain(|service| self.services.iter().all(|other| other.name != service.name));
        self.services.extend(services);
        self.jobs = self.jobs.take().or_else(|| configured::jobs(&self.config));
    }

    /// The URL of the database. A Gaia works on one database.
    fn url(&self, runs_jobs: bool) -> Result<String, Error> {
        if let Some(Url(url)) = &self.url {
            return Ok(url.clone());
        }
        if !runs_jobs {
            return Ok(self.config.async_task_url()?.to_owned());
        }
        let jobs = self.config.jobs_url()?;
        match self.schedulers.is_empty() {
            false if self.config.async_task_url()? != jobs => Err(ConfigError::new(
                "AsyncTask.Mysql and Framework.Mysql name two databases, and one Gaia works on one; \
                 start one for the tasks and another for the jobs"
                    .to_owned(),
            )
            .into()),
            _ => Ok(jobs.to_owned()),
        }
    }

    fn checked(
        &mut self,
        arbiters: usize,
        lease: Duration,
        compat: Compat,
    ) -> Result<(JobSettings, AlertSettings, Vec<NewJob>), Error> {
        let mut faults = Faults::default();
        faults.require(arbiters <= MAX_ARBITERS, || {
            format!("{arbiters} arbiters, expected at most {MAX_ARBITERS}")
        });
        faults.require(lease >= SHORTEST_LEASE, || {
            format!("the lease is {lease:?}, expected at least {SHORTEST_LEASE:?}")
        });
        for (at, options) in self.schedulers.iter().enumerate() {
            options.check(&mut faults);
            let theme = &options.theme;
            let twice = self.schedulers[..at].iter().any(|other| other.theme == *theme);
            faults.require(!twice, || format!("two schedulers of theme {theme:?}"));
        }
        for handler in &self.handlers {
            faults.include(handler.check());
        }
        NamedService::check_all(&self.services, &self.handlers, &mut faults);
        self.data.check(&mut faults);
        for (at, limit) in self.limits.iter().enumerate() {
            let (service, method) = (&limit.service, &limit.method);
            faults.include(
                limit
                    .check()
                    .map_err(|faults| faults.of(&format!("the limit of {service}.{method}"))),
            );
            let is_twice = self.limits[..at].iter().any(|other| other.is_of(service, method));
            faults.require(!is_twice, || format!("two limits of {service}.{method}"));
        }
        if self.configured {
            let mut further = configured::limits(&self.config, &mut faults);
            further.retain(|limit| {
                let mut own = self.limits.iter();
                !own.any(|own| own.is_of(&limit.service, &limit.method))
            });
            self.limits.extend(further);
        }
        let settings = self
            .jobs
            .take()
            .unwrap_or_default()
            .settings(&self.config.jobs, compat, &mut faults);
        let alerts = std::mem::take(&mut self.alerts).settings(&self.config.alerts, &mut faults);
        let declared = match self.configured {
            true => configured::declared(&self.config, &settings.rules, &mut faults),
            false => Vec::new(),
        };
        faults.into_result()?;
        Ok((settings, alerts, declared))
    }
}

/// Settings that have passed their check.
struct Plan {
    url: String,
    arbiters: usize,
    lease: Duration,
    grace: Duration,
    migrate: bool,
    /// `None`: for ever.
    retention: Option<Duration>,
    /// Whether the retention holds for the history of other programs, too.
    foreign: bool,
    /// The options of schedulers that are started later.
    defaults: SchedulerOptions,
    schedulers: Vec<SchedulerOptions>,
    jobs: JobSettings,
    /// The jobs of `Jobs.Declared`.
    declared: Vec<NewJob>,
    runs_jobs: bool,
    limits: Vec<SetLimit>,
    alerts: AlertSettings,
}
