//! Helpers for the tests of applications: a runtime in memory, a clock that the test moves by hand, and assertions about the queue.
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

use std::{collections::BTreeMap, ops::Deref, time::Duration};

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

use crate::{
    Clock, Error, Gaia, GaiaBuilder, MAX_PAGE_SIZE, PageRequest, Scheduler, Schedulers, Task, TaskStatus,
    messages::ListTasks,
};

/// How long [`TestGaia::drain`] waits, in real time, before it panics because something hangs.
const DRAIN: Duration = Duration::from_secs(30);

/// A [`Gaia`] on a database in memory (or any other database), whose time stands still until the test [`advance`](Self::advance)s it:
/// scheduled tasks, retries, snoozes and timeouts wait until then. In all else it is a normal [`Gaia`].
#[derive(Debug, Clone)]
pub struct TestGaia {
    gaia: Gaia,
    clock: Clock,
}

impl TestGaia {
    /// Starts a Gaia with the builder's settings, but on a database in memory, and with the time standing at 2026-01-01 00:00 UTC.
    ///
    /// # Errors
    /// As for [`GaiaBuilder::start`].
    #[cfg(feature = "sqlite")]
    pub async fn start(builder: GaiaBuilder) -> Result<Self, Error> {
        Self::start_on("sqlite::memory:", builder).await
    }

    /// Starts a Gaia with the builder's settings, but on the database with this URL, and with the time standing at 2026-01-01 00:00 UTC. For
    /// tests of behaviour that only this kind of database has.
    ///
    /// # Errors
    /// As for [`GaiaBuilder::start`].
    pub async fn start_on(url: impl Into<String>, builder: GaiaBuilder) -> Result<Self, Error> {
        let start = DateTime::<Utc>::from_timestamp(1_767_225_600, 0).unwrap_or_default();
        let clock = Clock::manual(start);
        let builder = builder.database(url).clock(clock.clone());
        Ok(Self {
            gaia: builder.start().await?,
            clock,
        })
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

    /// Waits until no task of the theme runs or is due at this time, and answers with how many tasks have each status.
    ///
    /// # Panics
    /// If a task still runs or is due after 30 seconds of real time: no scheduler runs the theme, the theme is paused or has no workers, or
    /// a handler hangs. Or if the database does not answer.
    pub async fn drain(&self, theme: &str) -> BTreeMap<TaskStatus, i64> {
        let drained = tokio::time::timeout(DRAIN, async {
            while self.unsettled(theme).await > 0 {
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
            statuses: vec![TaskStatus::Wait, TaskStatus::Retry, TaskStatus::Running],
            service: Some(service.to_owned()),
            method: Some(method.to_owned()),
            ..ListTasks::default()
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
