//! Statements with one plan: each row by its key or in the order of an index, or the rows of a list of keys.
//!
//! The planner goes by statistics, and statistics of a queue are soon wrong: the planner takes a table for empty, or a join of a
//! thousand runs with all running tasks for cheap. A new plan for each statement is no better informed, and costs 0.3 ms for a
//! batch. Under these settings one plan is left for any statistics, so that the server may keep that plan.
//!
//! The settings hold for one transaction: behind a pooler of transactions a session serves other clients too.

use diesel::QueryResult;
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use futures_util::future::join3;

use crate::store::server::pool::lost_answer;

macro_rules! settings {
    ($before:literal, $joins:literal) => {
        concat!(
            $before,
            "SET LOCAL plan_cache_mode = force_generic_plan; SET LOCAL enable_seqscan = off; \
             SET LOCAL enable_mergejoin = off; SET LOCAL jit = off; ",
            $joins
        )
    };
}

/// One row after the other, or in the order of an index.
macro_rules! key_by_key {
    ($before:literal) => {
        settings!($before, "SET LOCAL enable_sort = off; SET LOCAL enable_hashjoin = off")
    };
}

/// In a transaction that is open: for the statements that follow.
pub(super) const SETTINGS: &str = key_by_key!("");

const BEGIN: &str = key_by_key!("BEGIN; ");

/// The rows of a list of keys at once, which are joined with the list: an update cannot have its own table looked up row by row, and for
/// a table that the statistics take for tiny the planner would read all of it for each key.
const BEGIN_LIST: &str = settings!(
    "BEGIN; ",
    "SET LOCAL enable_indexscan = off; SET LOCAL enable_nestloop = off"
);

/// Runs one statement under the settings, in a transaction that begins and ends with the statement. The three are sent together and
/// answered in one round trip. A statement that the connection has yet to prepare may come after the COMMIT: then the statement
/// commits alone, with a plan that the server makes under the session's settings.
pub(super) async fn by_key<T>(
    conn: &AsyncPgConnection,
    statement: impl Future<Output = QueryResult<T>>,
) -> QueryResult<T> {
    between(conn, BEGIN, statement).await
}

/// The same for a statement that finds its rows by `id = ANY (…)`.
pub(super) async fn by_keys<T>(
    conn: &AsyncPgConnection,
    statement: impl Future<Output = QueryResult<T>>,
) -> QueryResult<T> {
    between(conn, BEGIN_LIST, statement).await
}

async fn between<T>(
    mut conn: &AsyncPgConnection,
    begin: &str,
    statement: impl Future<Output = QueryResult<T>>,
) -> QueryResult<T> {
    let mut same = conn;
    let begin = conn.batch_execute(begin);
    let commit = same.batch_execute("COMMIT");
    // All three are awaited, also after an error: the server does all the statements that were sent.
    let (begun, done, committed) = join3(begin, statement, commit).await;
    if done.is_err() || committed.is_err() {
        // A server that has ended the connection says so in its own language, and perhaps after the commit.
        same.batch_execute("ROLLBACK").await.map_err(lost_answer)?;
    }
    let done = done?;
    // Without its transaction the statement has committed by itself.
    begun.map_err(lost_answer)?;
    committed.map(|()| done)
}
