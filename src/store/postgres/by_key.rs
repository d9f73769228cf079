//! Statements with one plan: each row by its key, or in the order of an index.
//!
//! The planner goes by statistics, and those of a queue are wrong soon after they were taken: it takes a table for empty, or a
//! join of a thousand runs with all running tasks for cheap. A new plan for each statement does not help, and to make it takes
//! longer than to claim ten tasks. Under these settings one plan is left, whatever the statistics say, so that the server keeps it.
//!
//! They hold for one transaction: behind a pooler of transactions a session serves other clients too.

use diesel::QueryResult;
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use futures_util::future::join3;

use crate::store::pool::lost_answer;

macro_rules! settings {
    ($before:literal) => {
        concat!(
            $before,
            "SET LOCAL plan_cache_mode = force_generic_plan; SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off; \
             SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL jit = off"
        )
    };
}

/// In a transaction that is open: for the statements that follow.
pub(super) const SETTINGS: &str = settings!("");

const BEGIN: &str = settings!("BEGIN; ");

/// Runs one statement under the settings, in a transaction of its own. All is sent at once and answered in one round trip. A
/// statement that the connection has yet to prepare may come after the end of the transaction: it does the same, by any plan.
pub(super) async fn by_key<T>(
    mut conn: &AsyncPgConnection,
    statement: impl Future<Output = QueryResult<T>>,
) -> QueryResult<T> {
    let mut same = conn;
    let begin = conn.batch_execute(BEGIN);
    let commit = same.batch_execute("COMMIT");
    // All of them, whatever one says: the server does what was sent.
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
