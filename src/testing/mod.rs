//! Helpers for the tests of applications: a runtime on a separate database, a clock that the test moves by hand, assertions about the
//! queue, and contexts for calls of handlers alone.
//!
#![cfg_attr(feature = "sqlite", doc = "```")]
#![cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
//! use std::time::Duration;
//! use gaia_actors::{prelude::*, testing::TestGaia};
//!
//! #[actix_rt::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let flaky = async_fn(async |ctx: TaskContext, _: serde_json::Value| match ctx.attempt() {
//!         1 => Err(TaskError::failed("not yet")),
//!         _ => Ok("done"),
//!     });
//!     let test = TestGaia::start(
//!         Gaia::builder()
//!             .handler("Mail", "Send", flaky)
//!             .scheduler(SchedulerOptions::new("mail")),
//!     )
//!     .await?;
//!     let mail = test.scheduler("mail")?;
//!     mail.add_task(NewTask::new("Mail", "Send").args(&serde_json::json!({"to": "ann", "copy": true}))).await?;
//!     test.assert_enqueued("mail", "Mail", "Send", &serde_json::json!({"to": "ann"})).await;
//!
//!     // The first attempt fails; the second is due about a second later.
//!     assert_eq!(test.drain("mail").await[&TaskStatus::Retry], 1);
//!     test.advance(Duration::from_secs(2));
//!     assert_eq!(test.drain("mail").await[&TaskStatus::Success], 1);
//!     Ok(())
//! }
//! ```

mod context;
mod own_database;
mod typed;

use std::{collections::BTreeMap, env::VarError, fmt, ops::Deref, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

pub use context::TestContext;
use own_database::OwnDatabase;

use crate::{
    Clock, Error, Gaia, GaiaBuilder, InvalidInput, MAX_PAGE_SIZE, PageRequest, Scheduler, Schedulers, Task, TaskStatus,
    admin::TaskFilter, messages::ListTasks,
};

/// How long [`TestGaia::drain`] waits, in real time, before it panics because something hangs.
const DRAIN: Duration = Duration::from_secs(30);

/// The variable of the environment that names the database on which [`TestGaia::start`] starts.
const URL_VARIABLE: &str = "GAIA_TEST_DATABASE_URL";

/// A [`Gaia`] on a database of its own, whose time stands still until the test [`advance`](Self::advance)s it: scheduled tasks, retries,
/// snoozes and timeouts wait until then. In all else it is a normal [`Gaia`]. Cloning is cheap.
#[derive(Clone)]
pub struct TestGaia {
    gaia: Gaia,
    clock: Clock,
    url: Arc<str>,
    /// Dropped with the last clone.
    _own: Option<Arc<OwnDatabase>>,
}

impl TestGaia {
    /// Starts a Gaia with the builder's settings, but on a database of its own, and with the time standing at 2026-01-01 00:00 UTC.
    ///
    /// If the environment variable `GAIA_TEST_DATABASE_URL` names a server, the database is [one of its own](Self::start_in) there; if it names
    /// a file of SQLite, all tests share that file. If it is empty or not set, the database is in memory, which needs the feature `sqlite`.
    ///
    /// # Errors
    /// As for [`start_in`](Self::start_in), and [`Error::Invalid`] without the variable and the feature `sqlite`, or if the variable is not
    /// UTF-8.
    pub async fn start(builder: GaiaBuilder) -> Result<Self, Error> {
        match url_of_environment()? {
            Some(url) => Self::start_in(url, builder).await,
            None => Self::start_on("sqlite::memory:", builder).await,
        }
    }

    /// The same for an application that has tables of its own in that database: `make` gets the URL before the Gaia starts, opens the application's
    /// connections with it, and makes the builder with the values and handlers that need them. What it answers beside the builder comes back beside the
    /// `TestGaia`.
    ///
    /// If the environment names no server, the database is a file of SQLite in the folder for temporary files, for a database in memory
    /// belongs to its connections. The file is removed with the last clone of the `TestGaia`.
    ///
    #[cfg_attr(feature = "sqlite", doc = "```")]
    #[cfg_attr(not(feature = "sqlite"), doc = "```no_run")]
    /// use gaia_actors::{prelude::*, testing::TestGaia};
    ///
    /// /// What the application does in its own tables.
    /// #[derive(Clone)]
    /// struct Orders { url: String }
    ///
    /// fn builder(orders: Orders) -> GaiaBuilder {
    ///     Gaia::builder().data(orders).scheduler(SchedulerOptions::new("mail"))
    /// }
    ///
    /// # #[actix_rt::main]
    /// # async fn main() -> Result<(), Error> {
    /// let (test, orders) = TestGaia::start_with(async |url| {
    ///     let orders = Orders { url: url.to_owned() };
    ///     Ok::<_, Error>((builder(orders.clone()), orders))
    /// })
    /// .await?;
    /// assert_eq!(test.url(), orders.url);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As for [`start`](Self::start), and what `make` answers.
    pub async fn start_with<T, E: From<Error>>(
        make: impl AsyncFnOnce(&str) -> Result<(GaiaBuilder, T), E>,
    ) -> Result<(Self, T), E> {
        let url = url_of_environment()?;
        let own = match &url {
            Some(url) => OwnDatabase::on(url).await.map_err(Error::from)?,
            None => Some(OwnDatabase::file()),
        };
        // Without one, it is a file of SQLite that the environment names.
        let url = own.as_ref().map_or(url.unwrap_or_default(), OwnDatabase::url);
        let (builder, value) = make(&url).await?;
        let test = match own {
            Some(own) => Self::start_within(own, builder).await?,
            None => Self::start_on(url, builder).await?,
        };
        Ok((test, value))
    }

    /// Starts a Gaia with the builder's settings, but in a database of its own on the server of this URL, and with the time standing at
    /// 2026-01-01 00:00 UTC.
    ///
    /// On PostgreSQL it is a new schema in the URL's database, on MySQL a new database; the URL's user must be allowed to make it. Its name
    /// is `gaia_actors_scratch_`, the time and a random number. When the last clone of the `TestGaia` is dropped, also by a panic, the Gaia is stopped,
    /// which takes up to a second if a handler hangs, and the schema or database is dropped. A test that is killed leaves it behind; a test
    /// that starts a day later drops it. A URL of SQLite is taken as it is.
    ///
    /// ```no_run
    /// use gaia_actors::{prelude::*, testing::TestGaia};
    ///
    /// # async fn test() -> Result<(), Error> {
    /// let builder = Gaia::builder().scheduler(SchedulerOptions::new("mail"));
    /// let test = TestGaia::start_in("postgres://app:secret@localhost/app", builder).await?;
    /// test.scheduler("mail")?.add_task(NewTask::new("Mail", "Send")).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As for [`GaiaBuilder::start`], and [`Error::Store`] if the schema or database cannot be made, or if a session with the URL is not in
    /// it (behind a pooler, for example).
    pub async fn start_in(url: impl Into<String>, builder: GaiaBuilder) -> Result<Self, Error> {
        let url = url.into();
        match OwnDatabase::on(&url).await? {
            Some(own) => Self::start_within(own, builder).await,
            None => Self::start_on(url, builder).await,
        }
    }

    /// If the start fails, the database is dropped here.
    async fn start_within(mut own: OwnDatabase, builder: GaiaBuilder) -> Result<Self, Error> {
        let test = Self::start_on(own.url(), builder).await?;
        own.gaia = Some(test.gaia.clone());
        Ok(Self {
            _own: Some(Arc::new(own)),
            ..test
        })
    }

    /// Starts a Gaia with the builder's settings, but on the database with this URL, and with the time standing at 2026-01-01 00:00 UTC. For
    /// tests with several Gaias on one database.
    ///
    /// # Errors
    /// As for [`GaiaBuilder::start`].
    pub async fn start_on(url: impl Into<String>, builder: GaiaBuilder) -> Result<Self, Error> {
        let start = DateTime::<Utc>::from_timestamp(1_767_225_600, 0).unwrap_or_default();
        let (url, clock) = (url.into(), Clock::manual(start));
        let builder = builder.database(url.as_str()).clock(clock.clone());
        Ok(Self {
            gaia: builder.start().await?,
            clock,
            url: url.into(),
            _own: None,
        })
    }

    /// The URL of the test's database, with its password: for further connections. A database in memory cannot be reached by it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Moves the time forward.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// The time as the runtime sees it.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Waits until no task of the theme runs or is due at this time, and answers with how many tasks of the theme have each status, those
    /// included that have none: `[&TaskStatus::Failed]` is 0.
    ///
    /// # Panics
    /// If the theme is paused. If a task still runs or is due after 30 seconds of real time: no scheduler runs the theme, the theme has no workers,
    /// or a handler hangs. Or if the database does not answer.
    pub async fn drain(&self, theme: &str) -> BTreeMap<TaskStatus, i64> {
        let is_paused = match self.scheduler(theme) {
            Ok(scheduler) => scheduler.status().await.is_ok_and(|status| status.paused),
            Err(error) => panic!("theme {theme:?} cannot be drained: {error}"),
        };
        assert!(
            !is_paused,
            "theme {theme:?} is paused, so its tasks wait: resume it before drain"
        );
        let drained = tokio::time::timeout(DRAIN, async {
            while self.unsettled(theme).await > 0 {
                // The application may have added tasks on other connections, and the scanner looks for them at times that do not come.
                self.gaia.wake(theme);
                actix_rt::time::sleep(Duration::from_millis(2)).await;
            }
        });
        let in_time = drained.await.is_ok();
        let counts = self.counts(theme).await;
        assert!(
            in_time,
            "theme {theme:?} is not idle after {DRAIN:?}; tasks by status: {counts:?}"
        );
        counts
    }

    /// The unfinished tasks of the theme that call this method, newest first, at most 1000.
    ///
    /// # Panics
    /// If the database does not answer.
    pub async fn enqueued(&self, theme: &str, service: &str, method: &str) -> Vec<Task> {
        let list = ListTasks {
            page: PageRequest::new(1, MAX_PAGE_SIZE),
            filter: TaskFilter {
                statuses: vec![TaskStatus::Wait, TaskStatus::Retry, TaskStatus::Running],
                service: Some(service.to_owned()),
                method: Some(method.to_owned()),
                ..TaskFilter::default()
            },
        };
        let scheduler = self.gaia.scheduler(theme).unwrap_or_else(|error| panic!("{error}"));
        match scheduler.list_tasks(list).await {
            Ok(page) => page.items,
            Err(error) => panic!("cannot list the tasks of theme {theme:?}: {error}"),
        }
    }

    /// Asserts that an unfinished task calls this method with these arguments; an expected object also matches an object with further
    /// members. Answers with the newest such task.
    ///
    /// # Panics
    /// If there is no such task; the message shows the calls that there are. Or if the database does not answer.
    pub async fn assert_enqueued(
        &self,
        theme: &str,
        service: &str,
        method: &str,
        args: &(impl Serialize + Sync),
    ) -> Task {
        let expected = serde_json::to_value(args).unwrap_or_else(|error| panic!("{error}"));
        let mut tasks = self.enqueued(theme, service, method).await;
        let found = tasks
            .iter()
            .position(|task| serde_json::from_str(&task.arg).is_ok_and(|arg| contains(&arg, &expected)));
        if let Some(at) = found {
            return tasks.swap_remove(at);
        }
        let calls: Vec<&str> = tasks.iter().map(|task| task.arg.as_str()).collect();
        panic!(
            "no unfinished task of theme {theme:?} calls {service}.{method} with {expected}; \
             the calls there are: {calls:?}"
        )
    }

    /// Asserts that no unfinished task calls this method.
    ///
    /// # Panics
    /// If there is such a task, or if the database does not answer.
    pub async fn refute_enqueued(&self, theme: &str, service: &str, method: &str) {
        let tasks = self.enqueued(theme, service, method).await;
        assert!(
            tasks.is_empty(),
            "expected no unfinished task of theme {theme:?} that calls {service}.{method}, found {tasks:?}"
        );
    }

    async fn unsettled(&self, theme: &str) -> i64 {
        match self.gaia.store().tasks().unsettled(theme).await {
            Ok(count) => count,
            Err(error) => panic!("cannot count the tasks of theme {theme:?}: {error}"),
        }
    }

    async fn counts(&self, theme: &str) -> BTreeMap<TaskStatus, i64> {
        match self.gaia.store().tasks().count_by_status(theme).await {
            Ok(counts) => counts,
            Err(error) => panic!("cannot count the tasks of theme {theme:?}: {error}"),
        }
    }
}

/// The URL in the environment. `None`: there is none, and SQLite is in this build.
fn url_of_environment() -> Result<Option<String>, Error> {
    let url = match std::env::var(URL_VARIABLE) {
        Ok(url) => Some(url).filter(|url| !url.trim().is_empty()),
        Err(VarError::NotPresent) => None,
        Err(error) => {
            return Err(InvalidInput::one(format!("the environment variable {URL_VARIABLE}: {error}")).into());
        }
    };
    if url.is_none() && cfg!(not(feature = "sqlite")) {
        return Err(InvalidInput::one(format!(
            "the environment variable {URL_VARIABLE} is not set; set it to the URL of a server on which the tests may make databases or \
             schemas, or enable the feature \"sqlite\""
        ))
        .into());
    }
    Ok(url)
}

/// Without the URL, which has a password.
impl fmt::Debug for TestGaia {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestGaia")
            .field("gaia", &self.gaia)
            .field("now", &self.now())
            .finish_non_exhaustive()
    }
}

impl Schedulers for TestGaia {
    fn scheduler(&self, theme: &str) -> Result<Scheduler, Error> {
        self.gaia.scheduler(theme)
    }
}

impl Deref for TestGaia {
    type Target = Gaia;

    fn deref(&self) -> &Gaia {
        &self.gaia
    }
}

/// Whether `value` is `expected`, or an object with at least its members.
fn contains(value: &Value, expected: &Value) -> bool {
    match (value, expected) {
        (Value::Object(value), Value::Object(expected)) => expected
            .iter()
            .all(|(key, expected)| value.get(key).is_some_and(|value| contains(value, expected))),
        (value, expected) => value == expected,
    }
}
