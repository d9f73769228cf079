//! Settings from the integration guide's `config.json`, and from the environment.

mod alerts;
mod compat;
mod databases;
mod error;
mod http;
mod jobs;
mod limits;
mod load;
mod services;
mod shape;
mod strict;
mod themes;

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Deserializer, Serialize};

pub use alerts::{AlertsConfig, WebhookConfig, WebhookFormat};
pub use compat::Compat;
pub use error::ConfigError;
pub(crate) use error::nearest;
pub use http::{
    AccessConfig, AccessHeaderConfig, AccessUserConfig, EnvironmentColourConfig, EnvironmentConfig, HttpConfig,
};
pub use jobs::{DeclaredJob, JobsConfig};
pub use limits::LimitConfig;
pub use services::ServiceConfig;
pub use themes::{KeepLogsLevel, ThemeConfig};

/// The settings of one process.
///
/// The shape is the guide's: sections in `PascalCase`. `AsyncTask` and `Framework` name an entry of `Databases` by the key `Mysql`
/// (whichever database that entry is), or have a URL or a DSN of Go's driver there, or the place of one in the file, as `Reports.Mysql`. An
/// entry of `Databases` is one too, or an object with its parts: `Driver` (default `mysql`), `Host`, `Port`, `User`, `Password`, `Database` and
/// `Params`.
///
/// The file may hold comments and commas behind the last entry, as files of the Go framework do. Sections that are not of this crate, and
/// keys of `Framework` other than `Mysql`, are [left alone](Self::left_alone). Any other unknown key is an error that names the nearest known key.
///
/// ```json
/// {
///   "Databases": { "default": "sqlite:gaia.db" },
///   "AsyncTask": { "Mysql": "default", "WorkerNum": 30 },
///   "Framework": { "Mysql": "default" },
///   "Jobs": { "BanEnvList": ["test", "local"], "TimeZone": "Asia/Shanghai" }
/// }
/// ```
///
/// [`with_env`](Self::with_env) puts the environment over these settings: `DATABASE_URL` replaces the URL of the database that
/// `AsyncTask` names, and `GAIA__SECTION__KEY` (in any case, as in `GAIA__ASYNCTASK__WORKERNUM=50`) replaces any one key.
///
/// ```
/// use gaia_actors::Config;
///
/// let config = Config::from_json(r#"{
///     // As it is in the field.
///     "AsyncTask": {"Mysql": "ann:secret@tcp(db:3306)/shop?parseTime=true", "WorkerNum": 8},
///     "Server": {"Port": ":8080"},
/// }"#)?;
/// assert_eq!(config.async_task.worker_num, 8);
/// assert!(config.async_task_url()?.starts_with("ann:"));
/// assert_eq!(config.left_alone(), ["Server"]);
///
/// let typo = Config::from_json(r#"{"AsyncTask": {"WorkerNumber": 8}}"#).unwrap_err();
/// assert!(typo.to_string().contains("the nearest known key is \"WorkerNum\""));
/// # Ok::<(), gaia_actors::config::ConfigError>(())
/// ```
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[non_exhaustive]
pub struct Config {
    /// URLs of databases, by name. Default: one entry, `default`, with the URL `sqlite:gaia.db`; none if the file names a database elsewhere.
    pub databases: BTreeMap<String, String>,
    /// Asynchronous tasks.
    pub async_task: AsyncTaskConfig,
    /// The jobs' database, where the guide has it. In a process that runs both tasks and jobs it must be the tasks' database.
    pub framework: FrameworkConfig,
    /// Cron jobs.
    pub jobs: JobsConfig,
    /// This process.
    pub node: NodeConfig,
    /// Alerts, and where they are sent.
    pub alerts: AlertsConfig,
    /// Themes that [`GaiaBuilder::configured`](crate::GaiaBuilder::configured) starts, by name. Default: none.
    pub themes: BTreeMap<String, ThemeConfig>,
    /// Remote services that [`GaiaBuilder::configured`](crate::GaiaBuilder::configured) registers, by name. Default: none.
    pub services: BTreeMap<String, ServiceConfig>,
    /// Limits of methods that [`GaiaBuilder::configured`](crate::GaiaBuilder::configured) sets, unless the method has one. Default: none.
    pub limits: Vec<LimitConfig>,
    /// The dashboard and the HTTP API of `gaia serve`.
    pub http: HttpConfig,
    #[serde(skip)]
    left_alone: Vec<String>,
}

/// Section `AsyncTask`: the database, and the options of schedulers that are started with
/// [`GaiaBuilder::theme`](crate::GaiaBuilder::theme) or [`Gaia::scheduler_options`](crate::Gaia::scheduler_options).
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[non_exhaustive]
pub struct AsyncTaskConfig {
    /// Name of an entry of `Databases`, or a URL. Default `default`; without such an entry, the database of [`FrameworkConfig::mysql`].
    pub mysql: String,
    /// See [`SchedulerOptions::worker_num`](crate::SchedulerOptions::worker_num). Default 30.
    pub worker_num: usize,
    /// Seconds; see [`SchedulerOptions::scan_interval`](crate::SchedulerOptions::scan_interval). Default 5.
    pub scan_task_interval: f64,
    /// Seconds; see [`SchedulerOptions::shortest_scan_interval`](crate::SchedulerOptions::shortest_scan_interval).
    /// Default 0.1.
    pub shortest_scan_interval: f64,
    /// See [`SchedulerOptions::task_id_chan_length`](crate::SchedulerOptions::task_id_chan_length). Default 1000.
    pub task_id_chan_length: usize,
    /// See [`SchedulerOptions::scan_task_num`](crate::SchedulerOptions::scan_task_num). Default 50.
    pub scan_task_num: usize,
    /// Seconds; see [`SchedulerOptions::timeout`](crate::SchedulerOptions::timeout). Default: none.
    pub timeout: Option<f64>,
    /// `Wait` or `Fail`; see [`SchedulerOptions::missing_handler`](crate::SchedulerOptions::missing_handler). Default: as [`NodeConfig::compat`]
    /// says, `Wait` without it.
    pub missing_handler: Option<MissingHandler>,
    /// See [`SchedulerOptions::max_retry`](crate::SchedulerOptions::max_retry). Default: as [`NodeConfig::compat`] says, 3 without it.
    pub max_retry: Option<i64>,
    /// See [`SchedulerOptions::retry_succeeded`](crate::SchedulerOptions::retry_succeeded). Default: as [`NodeConfig::compat`] says, false
    /// without it.
    pub retry_succeeded: Option<bool>,
}

/// What a node does with a task whose method none of its handlers serves. An actor that has died or was stopped serves no method.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum MissingHandler {
    /// The task waits for a node that serves the method, or for a handler that is registered later.
    #[default]
    Wait,
    /// The attempt fails, as in the integration guide: the task is tried again while attempts are left, then it is Failed.
    Fail,
}

/// Section `Framework`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[non_exhaustive]
pub struct FrameworkConfig {
    /// Name of an entry of `Databases`, or a URL. Default `default`; without such an entry, the database of [`AsyncTaskConfig::mysql`].
    pub mysql: String,
}

/// Section `Node`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[non_exhaustive]
pub struct NodeConfig {
    /// Number of worker threads; 0 (the default) means one for each core.
    pub arbiters: usize,
    /// Seconds without a heartbeat after which this node counts as dead. Default 20.
    pub lease: f64,
    /// Seconds that running tasks and jobs get to end when the process is asked to stop. Default 10.
    pub grace: f64,
    /// Whether to bring the tables to the version of this crate at start. Default true.
    pub migrate: bool,
    /// Seconds for which finished tasks and the records of runs are kept; 0 means for ever. Default 604800, a week.
    pub retention: f64,
    /// Whether the retention holds for tasks and records that other programs have finished, too: see
    /// [`GaiaBuilder::prune_foreign_history`](crate::GaiaBuilder::prune_foreign_history). Default false.
    pub prune_foreign_history: bool,
    /// `Off` or `Go`: whose defaults hold. Default `Off`: this crate's.
    pub compat: Compat,
}

impl Default for Config {
    fn default() -> Self {
        let default = ("default".to_owned(), "sqlite:gaia.db".to_owned());
        Self {
            databases: BTreeMap::from([default]),
            async_task: AsyncTaskConfig::default(),
            framework: FrameworkConfig::default(),
            jobs: JobsConfig::default(),
            node: NodeConfig::default(),
            alerts: AlertsConfig::default(),
            themes: BTreeMap::new(),
            services: BTreeMap::new(),
            limits: Vec::new(),
            http: HttpConfig::default(),
            left_alone: Vec::new(),
        }
    }
}

impl Default for AsyncTaskConfig {
    fn default() -> Self {
        Self {
            mysql: "default".to_owned(),
            worker_num: 30,
            scan_task_interval: 5.0,
            shortest_scan_interval: 0.1,
            task_id_chan_length: 1_000,
            scan_task_num: 50,
            timeout: None,
            missing_handler: None,
            max_retry: None,
            retry_succeeded: None,
        }
    }
}

impl Default for FrameworkConfig {
    fn default() -> Self {
        Self {
            mysql: "default".to_owned(),
        }
    }
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            arbiters: 0,
            lease: 20.0,
            grace: 10.0,
            migrate: true,
            retention: 604_800.0,
            prune_foreign_history: false,
            compat: Compat::Off,
        }
    }
}

/// Shows the names of the databases, but no URL, which may hold a password, and no name that may be a URL.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.databases.keys().map(|text| error::name(text)).collect();
        f.debug_struct("Config")
            .field("databases", &names)
            .field("async_task", &self.async_task)
            .field("framework", &self.framework)
            .field("jobs", &self.jobs)
            .field("node", &self.node)
            .field("alerts", &self.alerts)
            .field("themes", &self.themes)
            .field("services", &self.services)
            .field("limits", &self.limits)
            .field("http", &self.http)
            .field("left_alone", &self.left_alone)
            .finish()
    }
}

impl fmt::Debug for AsyncTaskConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncTaskConfig")
            .field("mysql", &error::name(&self.mysql))
            .field("worker_num", &self.worker_num)
            .field("scan_task_interval", &self.scan_task_interval)
            .field("shortest_scan_interval", &self.shortest_scan_interval)
            .field("task_id_chan_length", &self.task_id_chan_length)
            .field("scan_task_num", &self.scan_task_num)
            .field("timeout", &self.timeout)
            .field("missing_handler", &self.missing_handler)
            .field("max_retry", &self.max_retry)
            .field("retry_succeeded", &self.retry_succeeded)
            .finish()
    }
}

impl fmt::Debug for FrameworkConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameworkConfig")
            .field("mysql", &error::name(&self.mysql))
            .finish()
    }
}

impl Config {
    /// The sections and keys of the file that are not of this crate, such as `Server` and `Framework.Redis`.
    #[must_use]
    pub fn left_alone(&self) -> &[String] {
        &self.left_alone
    }

    /// Refuses a configuration in which something is [left alone](Self::left_alone): for files that are of this crate only, and for checks in CI.
    ///
    /// ```
    /// use gaia_actors::Config;
    ///
    /// let config = Config::from_json(r#"{"Theems": {"mail": {"WorkerNum": 8}}}"#)?;
    /// let error = config.strict().unwrap_err();
    /// assert!(error.to_string().contains("Theems, the nearest known key is \"Themes\""));
    /// # Ok::<(), gaia_actors::config::ConfigError>(())
    /// ```
    ///
    /// # Errors
    /// [`ConfigError`] that names the first such key and the nearest known one.
    pub fn strict(self) -> Result<Self, ConfigError> {
        match self.left_alone.first() {
            Some(place) => Err(shape::unknown_place(place)?),
            None => Ok(self),
        }
    }

    /// What to tell the person who wrote the file: keys that are [left alone](Self::left_alone), and differ from keys of this crate by a slip
    /// of the fingers. The start of a node logs them as warnings.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let slips = self.left_alone.iter().map(|place| shape::slip_in(place));
        slips.filter_map(Result::ok).flatten().collect()
    }

    /// The URL of the database of the tasks: `AsyncTask.Mysql`, or the entry of `Databases` that it names. Where there is no entry `default`
    /// for it, the database of the jobs.
    ///
    /// # Errors
    /// [`ConfigError`] if `Databases` has no such entry.
    pub fn async_task_url(&self) -> Result<&str, ConfigError> {
        self.url_of("AsyncTask.Mysql", &self.async_task.mysql, &self.framework.mysql)
    }

    /// The URL of the database of the jobs: `Framework.Mysql`, in the same way.
    ///
    /// # Errors
    /// [`ConfigError`] if `Databases` has no such entry.
    pub fn jobs_url(&self) -> Result<&str, ConfigError> {
        self.url_of("Framework.Mysql", &self.framework.mysql, &self.async_task.mysql)
    }

    fn url_of<'a>(&'a self, key: &str, name: &'a str, other: &'a str) -> Result<&'a str, ConfigError> {
        if let Some(url) = self.url_at(name) {
            return Ok(url);
        }
        if name == DEFAULT
            && let Some(url) = self.url_at(other)
        {
            return Ok(url);
        }
        let shown = |text: &str| error::name(text).to_owned();
        let names: Vec<_> = self.databases.keys().map(|name| shown(name)).collect();
        let place = match names.is_empty() {
            true => "there is no section Databases that says where it is".to_owned(),
            false => format!("Databases has only {names:?}"),
        };
        Err(ConfigError::new(format!(
            "{key} names the database {:?}, but {place}; write a URL there, or an entry of Databases, or set DATABASE_URL",
            shown(name)
        )))
    }

    fn url_at<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        let entry = self.databases.get(name).map(String::as_str);
        entry.or_else(|| is_url(name).then_some(name))
    }

    /// Whether one of the sections has a URL in the place of a name.
    fn names_a_url(&self) -> bool {
        is_url(&self.async_task.mysql) || is_url(&self.framework.mysql)
    }

    /// Puts another URL in the place of the tasks' database, and of the jobs' where it is the same.
    fn replace_url(&mut self, url: String) {
        let is_named = self.url_at(&self.async_task.mysql).is_some() || self.url_at(&self.framework.mysql).is_none();
        let name = match is_named || self.async_task.mysql != DEFAULT {
            true => self.async_task.mysql.clone(),
            false => self.framework.mysql.clone(),
        };
        if self.databases.contains_key(&name) || !is_url(&name) {
            self.databases.insert(name, url);
            return;
        }
        for place in [&mut self.async_task.mysql, &mut self.framework.mysql] {
            if *place == name {
                place.clone_from(&url);
            }
        }
    }
}

/// The name of the database where none is given.
const DEFAULT: &str = "default";

/// Whether a text in the place of a database's name is a URL, or a DSN of Go's driver.
fn is_url(text: &str) -> bool {
    text.starts_with("sqlite:") || ["://", "tcp(", "unix("].iter().any(|mark| text.contains(mark))
}

fn list_or_commas<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a list of texts, or one text with commas")]
    enum Either {
        List(Vec<String>),
        Text(String),
    }
    Ok(match Either::deserialize(deserializer)? {
        Either::List(list) => list,
        Either::Text(text) => text
            .split(',')
            .map(|item| item.trim().to_owned())
            .filter(|item| !item.is_empty())
            .collect(),
    })
}
