//! A task to add, as a row.

use crate::store::time::StoredTime;
use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};

use crate::{domain::NewTask, store::statement::chunks::ByteSize};

/// How often an insert may be refused because of a unique key although the task that has the key is not found a moment later.
pub(in crate::store) const TRIES_OF_A_KEY: usize = 20;

/// The error after so many tries: the table has another unique index, or another program adds and ends tasks with this key all the time.
pub(in crate::store) fn key_is_elusive() -> diesel::result::Error {
    let text = "the table refused the task as a duplicate, but no unfinished task has its unique key; \
                look for other unique indexes of asynctasks";
    diesel::result::Error::DatabaseError(
        diesel::result::DatabaseErrorKind::UniqueViolation,
        Box::new(text.to_owned()),
    )
}

/// A task to add, with the status Wait.
#[derive(Debug, Clone)]
pub(crate) struct NewTaskRow {
    pub(in crate::store) system_name: Arc<str>,
    pub(in crate::store) service_name: String,
    pub(in crate::store) method_name: String,
    pub(in crate::store) task_name: String,
    pub(in crate::store) arg: String,
    pub(in crate::store) max_retry_time: i32,
    pub(in crate::store) create_time: StoredTime,
    pub(in crate::store) priority: i32,
    pub(in crate::store) run_at: Option<StoredTime>,
    pub(in crate::store) timeout_ms: Option<i64>,
    pub(in crate::store) retry_delay_ms: Option<i64>,
    pub(in crate::store) unique_key: Option<String>,
    pub(in crate::store) limit_key: Option<String>,
    pub(in crate::store) traceparent: Option<String>,
}

/// A statement that adds one task, with the parameters that all such statements begin with.
macro_rules! adding {
    ($sql:expr, $row:expr) => {{
        let row: &$crate::store::tasks::new_row::NewTaskRow = $row;
        $crate::store::statement::prepared::prepared($sql)
            .bind::<diesel::sql_types::Text, _>(&*row.system_name)
            .bind::<diesel::sql_types::Text, _>(&row.service_name)
            .bind::<diesel::sql_types::Text, _>(&row.method_name)
            .bind::<diesel::sql_types::Text, _>(&row.task_name)
            .bind::<diesel::sql_types::Text, _>(&row.arg)
            .bind::<diesel::sql_types::Integer, _>(row.max_retry_time)
            .bind::<diesel::sql_types::Timestamp, _>(row.create_time)
    }};
}
pub(in crate::store) use adding;

/// The columns that only some tasks need, as far as inserts of many tasks write them.
#[cfg(any(feature = "sqlite", feature = "mysql"))]
pub(in crate::store) const EXTRA_COLUMNS: [&str; 6] = [
    "priority",
    "run_at",
    "timeout_ms",
    "retry_delay_ms",
    "limit_key",
    "traceparent",
];

/// Binds the values of [`EXTRA_COLUMNS`], in their order.
#[cfg(any(feature = "sqlite", feature = "mysql"))]
macro_rules! push_extras {
    ($out:expr, $row:expr) => {{
        use diesel::sql_types::{BigInt, Integer, Nullable, Text, Timestamp};
        $out.push_bind_param_value_only::<Integer, _>(&$row.priority)?;
        $out.push_bind_param_value_only::<Nullable<Timestamp>, _>(&$row.run_at)?;
        $out.push_bind_param_value_only::<Nullable<BigInt>, _>(&$row.timeout_ms)?;
        $out.push_bind_param_value_only::<Nullable<BigInt>, _>(&$row.retry_delay_ms)?;
        $out.push_bind_param_value_only::<Nullable<Text>, _>(&$row.limit_key)?;
        $out.push_bind_param_value_only::<Nullable<Text>, _>(&$row.traceparent)?;
    }};
}
#[cfg(any(feature = "sqlite", feature = "mysql"))]
pub(in crate::store) use push_extras;

impl NewTaskRow {
    /// Its service and its method.
    pub(crate) fn names(&self) -> (&str, &str) {
        (&self.service_name, &self.method_name)
    }

    /// The row of a task that has passed its check. `max_retry`: for a task that does not say so itself.
    pub(crate) fn new(theme: &Arc<str>, mut task: NewTask, max_retry: i64, now: DateTime<Utc>) -> Self {
        let as_millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self {
            system_name: Arc::clone(theme),
            task_name: task.take_name(),
            service_name: task.service,
            method_name: task.method,
            arg: task.arg.unwrap_or_default(),
            max_retry_time: i32::try_from(task.max_retry.unwrap_or(max_retry)).unwrap_or(i32::MAX),
            create_time: StoredTime::from(now),
            priority: task.priority,
            run_at: task.run_at.filter(|at| *at > now).map(StoredTime::from),
            timeout_ms: task.timeout.map(as_millis),
            retry_delay_ms: task.retry_delay.map(as_millis),
            unique_key: task.unique_key,
            limit_key: task.limit_key,
            traceparent: task.traceparent,
        }
    }

    /// The service and the method that it calls.
    pub(crate) fn calls(&self) -> (&str, &str) {
        (&self.service_name, &self.method_name)
    }

    /// Whether its insert may claim it: it is due, no other task can have its unique key, since it has none, and it waits for no others with its
    /// limit key.
    pub(crate) fn claimable_on_insert(&self) -> bool {
        self.run_at.is_none() && self.unique_key.is_none() && self.limit_key.is_none()
    }

    /// Whether all columns that only some tasks need have their defaults.
    pub(in crate::store) fn has_defaults_only(&self) -> bool {
        let (numbers, texts) = (
            [self.timeout_ms, self.retry_delay_ms],
            [&self.unique_key, &self.limit_key, &self.traceparent],
        );
        self.priority == 0 && self.run_at.is_none() && numbers == [None; 2] && texts == [&None; 3]
    }
}

impl ByteSize for NewTaskRow {
    fn bytes(&self) -> usize {
        self.arg.len()
    }
}
