//! The limit: the same rows through the same tables by the best statements there are, in a loop over one connection.
//!
//! Nothing of the crate is used but its tables. There is no scheduler, no fence, no lease to check, nobody to meet. As on our
//! side, each run has times, a duration and a result of its own, a batch is claimed in one transaction and finished in another
//! one, and what is added and what is finished is durable. A claim need not be: one that is lost with the machine was not run
//! to its end.

#![cfg_attr(
    not(any(feature = "postgres", feature = "mysql")),
    allow(clippy::unused_async, reason = "SQLite answers at once")
)]

#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::time::{Duration, Instant};

use chrono::{NaiveDateTime, Utc};

use crate::{
    THEME,
    database::{Kind, Result},
};

/// As long as the id of a node.
const OWNER: &str = "0193f0a1b2c37d8e9f00112233445566";
/// Rows of one claim, as ours at most. 100 and 500 were slower, 2,000 was not faster but on SQLite, by a fifth at best.
pub(crate) const BATCH: usize = 1_000;
const SERVICE: &str = "Bench";
const METHOD: &str = "Noop";
const NAME: &str = "Bench.Noop";
const ARG: &str = "null";
const RESULT: &str = "null";
const RETRIES: i32 = 3;

/// A task that was claimed: what one needs to run it.
#[expect(dead_code, reason = "nothing is run, but it must be known what would be")]
struct Claimed {
    id: i64,
    service: String,
    method: String,
    arg: Option<String>,
    retry_time: i32,
    max_retry_time: i32,
    timeout_ms: Option<i64>,
}

/// A batch of them.
struct Batch {
    at: NaiveDateTime,
    tasks: Vec<Claimed>,
}

/// What became of one. What its record needs besides, the task's row has.
struct Ended {
    id: i64,
    started: NaiveDateTime,
    ended: NaiveDateTime,
    duration: i64,
    result: &'static str,
}

impl Batch {
    fn end(self) -> Vec<Ended> {
        let started = self.at;
        let end = |task: Claimed| {
            let ended = now();
            Ended {
                id: task.id,
                started,
                ended,
                duration: (ended - started).num_milliseconds(),
                result: RESULT,
            }
        };
        self.tasks.into_iter().map(end).collect()
    }
}

/// A statement for so many rows of values.
#[cfg(any(feature = "sqlite", feature = "mysql"))]
fn many(start: &str, row: &str, count: usize) -> String {
    format!("{start}{}", vec![row; count].join(", "))
}

fn now() -> NaiveDateTime {
    Utc::now().naive_utc()
}

fn run() -> String {
    format!("{:032x}", fastrand::u128(..))
}

/// The connection.
pub(crate) enum Bare {
    #[cfg(feature = "sqlite")]
    Sqlite(Box<sqlite::Bare>),
    #[cfg(feature = "postgres")]
    Postgres(Box<postgres::Bare>),
    #[cfg(feature = "mysql")]
    Mysql(Box<mysql::Bare>),
}

/// What each database does in its own way.
macro_rules! on_each {
    ($bare:expr, |$one:ident| $work:expr) => {
        match $bare {
            #[cfg(feature = "sqlite")]
            Bare::Sqlite($one) => $work,
            #[cfg(feature = "postgres")]
            Bare::Postgres($one) => $work,
            #[cfg(feature = "mysql")]
            Bare::Mysql($one) => $work,
        }
    };
}

impl Bare {
    pub(crate) async fn connect(kind: Kind, url: &str) -> Result<Self> {
        Ok(match kind {
            #[cfg(feature = "sqlite")]
            Kind::Sqlite => Self::Sqlite(Box::new(sqlite::Bare::connect(url)?)),
            #[cfg(feature = "postgres")]
            Kind::Postgres => Self::Postgres(Box::new(postgres::Bare::connect(url).await?)),
            #[cfg(feature = "mysql")]
            Kind::Mysql => Self::Mysql(Box::new(mysql::Bare::connect(url).await?)),
            #[cfg(not(all(feature = "sqlite", feature = "postgres", feature = "mysql")))]
            _ => return Err(format!("this build has no {}", kind.name()).into()),
        })
    }

    /// Adds so many tasks by one statement or transaction, and answers with their ids.
    pub(crate) async fn insert(&mut self, count: usize) -> Result<Vec<i64>> {
        on_each!(self, |bare| bare.insert(count).await)
    }

    /// Adds one task, durably, and answers with its id.
    pub(crate) async fn insert_one(&mut self) -> Result<i64> {
        on_each!(self, |bare| bare.insert_one().await)
    }

    /// Claims a batch and finishes it; answers with how many tasks these were.
    pub(crate) async fn turn(&mut self) -> Result<usize> {
        on_each!(self, |bare| {
            let batch = bare.claim().await?;
            let ended = batch.end();
            if !ended.is_empty() {
                bare.finish(&ended).await?;
            }
            Ok(ended.len())
        })
    }

    /// Adds so many tasks, a batch at once.
    pub(crate) async fn add(&mut self, tasks: usize) -> Result<()> {
        for from in (0..tasks).step_by(BATCH) {
            self.insert(BATCH.min(tasks - from)).await?;
        }
        Ok(())
    }

    /// So many turns as there are tasks for.
    pub(crate) async fn drain(&mut self, tasks: usize) -> Result<Duration> {
        let began = Instant::now();
        let mut done = 0;
        while done < tasks {
            done += self.turn().await?;
        }
        Ok(began.elapsed())
    }
}
