//! Changes of tasks by callers and by plain SQL, and what nodes do about the latter.

use diesel::{
    OptionalExtension, QueryResult,
    sql_types::{Array, BigInt, Text, Timestamp},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};

use super::{by_key::SETTINGS, finish::note_running, segments::may_hold};
use crate::store::{
    RunKey,
    statement::{id_row::Id, prepared::prepared},
    tasks::held::{
        Released,
        release::{self, Ended},
    },
    time::StoredTime,
};

/// Locks the task's row, before its segment is locked: plain SQL and its trigger lock them in this order, too.
const LOCK: &str =
    "SELECT count(*) FROM (SELECT id FROM asynctasks WHERE id = $2 AND system_name = $1 FOR UPDATE) AS locked";

/// Takes a task out of its segment. Waits if a claim has locked the segment.
macro_rules! unqueue {
    ($of_theme:literal) => {
        concat!(
            "WITH cut AS (UPDATE gaia_due SET ids = array_remove(ids, $2), n = cardinality(array_remove(ids, $2)) WHERE ",
            $of_theme,
            " AND ",
            may_hold!("$2", "$2"),
            " AND ids @> ARRAY[$2] RETURNING id, n::bigint) SELECT id, n FROM cut"
        )
    };
}

const UNQUEUE: &str = unqueue!("theme = $1");

/// The task may be in a segment of another theme, if plain SQL has given the task this theme.
const UNQUEUE_ELSEWHERE: &str =
    unqueue!("theme <> $1 AND EXISTS (SELECT 1 FROM asynctasks WHERE asynctasks.id = $2 AND queued = 1)");

/// The last claim that names a task.
const CLAIM_WITH: &str = "SELECT id, node_id, mark FROM gaia_claims WHERE ids @> ARRAY[$1] ORDER BY id DESC LIMIT 1";

const CANCEL: &str = "UPDATE asynctasks SET task_status = 'Cancelled', queued = 0, run_at = NULL, live_key = NULL, \
      update_time = $3, finished_at = $3 \
    WHERE id = $2 AND system_name = $1 \
      AND (task_status IN ('Wait', 'Retry') OR task_status = 'Running' AND lease_owner IS NULL)";

const QUEUE_AGAIN: &str = "UPDATE asynctasks SET queued = 0 WHERE id = $1 AND queued = 1";

/// Takes a task out of its segment, and drops the segment if it has no other task. Answers whether the task was in a segment.
async fn unqueue(mut conn: &AsyncPgConnection, text: &'static str, theme: &str, id: i64) -> QueryResult<bool> {
    let cut: Option<(i64, i64)> = prepared(text)
        .bind::<Text, _>(theme)
        .bind::<BigInt, _>(id)
        .columns::<(BigInt, BigInt)>()
        .get_result(&mut conn)
        .await
        .optional()?;
    if let Some((segment, 0)) = cut {
        drop_segment(conn, segment).await?;
    }
    Ok(cut.is_some())
}

/// Ends a task that waits, or that another framework left as Running without a node. An unseen task is not ended: its row is set to
/// Running. Runs inside a transaction.
pub(super) async fn cancel_waiting(
    mut conn: &AsyncPgConnection,
    theme: &str,
    id: i64,
    now: StoredTime,
) -> QueryResult<bool> {
    let there: i64 = prepared(LOCK)
        .bind::<Text, _>(theme)
        .bind::<BigInt, _>(id)
        .columns::<BigInt>()
        .get_result(&mut conn)
        .await?;
    if there == 0 {
        return Ok(false);
    }
    let was_queued = unqueue(conn, UNQUEUE, theme, id).await? || unqueue(conn, UNQUEUE_ELSEWHERE, theme, id).await?;
    if !was_queued {
        // A task that is in no claim either is scheduled for later, or plain SQL has taken it out of its segment.
        let claim: Option<(i64, String, String)> = prepared(CLAIM_WITH)
            .bind::<BigInt, _>(id)
            .columns::<(BigInt, Text, Text)>()
            .get_result(&mut conn)
            .await
            .optional()?;
        if let Some((token, node, mark)) = claim
            && note_running(conn, RunKey::unseen(id, &node, token, &mark)).await?
        {
            return Ok(false);
        }
    }
    let cancelled = prepared(CANCEL)
        .bind::<Text, _>(theme)
        .bind::<BigInt, _>(id)
        .bind::<Timestamp, _>(now)
        .execute(&mut conn)
        .await?;
    if was_queued && cancelled == 0 {
        // Plain SQL has ended the task.
        prepared(QUEUE_AGAIN).bind::<BigInt, _>(id).execute(&mut conn).await?;
    }
    Ok(cancelled > 0)
}

/// Locks the rows of those tasks that wait.
const LOCK_MANY: &str =
    "SELECT id FROM asynctasks WHERE id = ANY ($1) AND task_status IN ('Wait', 'Retry') ORDER BY id FOR UPDATE";

/// Drops the segments that hold none but these tasks. Waits for claims that have locked the segments.
const DROP_WHOLE: &str = concat!(
    "DELETE FROM gaia_due WHERE ",
    may_hold!("$2", "$3"),
    " AND NOT EXISTS (SELECT 1 FROM unnest(ids) AS u (id) WHERE u.id <> ALL ($1))"
);

/// Takes tasks out of their segments. Waits for claims that have locked the segments, and may leave a segment without tasks.
const UNQUEUE_MANY: &str = concat!(
    "UPDATE gaia_due SET ids = ARRAY(SELECT u.id FROM unnest(ids) AS u (id) WHERE u.id <> ALL ($1)), \
       n = (SELECT count(*) FROM unnest(ids) AS u (id) WHERE u.id <> ALL ($1)) \
     WHERE ",
    may_hold!("$2", "$3"),
    " AND EXISTS (SELECT 1 FROM unnest(ids) AS u (id) WHERE u.id = ANY ($1)) RETURNING id, n::bigint"
);

const DROP_EMPTY: &str = "DELETE FROM gaia_due WHERE id = ANY ($1) AND n = 0";

/// Those of these tasks that a claim names.
const CLAIMED_OF: &str = "SELECT u.id FROM gaia_claims CROSS JOIN unnest(ids) AS u (id) WHERE u.id = ANY ($1)";

const CANCEL_MANY: &str = "UPDATE asynctasks SET task_status = 'Cancelled', queued = 0, run_at = NULL, live_key = NULL, \
      update_time = $2, finished_at = $2 \
    WHERE id = ANY ($1) AND task_status IN ('Wait', 'Retry')";

/// Ends those of these tasks that wait and that no claim names; answers with their ids. Runs inside a transaction. Like a claim, it may wait
/// for a segment: a claim that takes one of the tasks out of it is then seen in the next statement.
pub(super) async fn cancel_many(mut conn: &AsyncPgConnection, ids: &[i64], now: StoredTime) -> QueryResult<Vec<i64>> {
    let mut waiting: Vec<i64> = prepared(LOCK_MANY)
        .bind::<Array<BigInt>, _>(ids)
        .columns::<BigInt>()
        .load(&mut conn)
        .await?;
    let (first, last) = match waiting[..] {
        [] => return Ok(waiting),
        [one] => (one, one),
        [first, .., last] => (first, last),
    };
    prepared(DROP_WHOLE)
        .bind::<Array<BigInt>, _>(&waiting)
        .bind::<BigInt, _>(first)
        .bind::<BigInt, _>(last)
        .execute(&mut conn)
        .await?;
    let cut: Vec<(i64, i64)> = prepared(UNQUEUE_MANY)
        .bind::<Array<BigInt>, _>(&waiting)
        .bind::<BigInt, _>(first)
        .bind::<BigInt, _>(last)
        .columns::<(BigInt, BigInt)>()
        .load(&mut conn)
        .await?;
    let empty: Vec<i64> = cut.into_iter().filter(|(_, n)| *n == 0).map(|(id, _)| id).collect();
    if !empty.is_empty() {
        prepared(DROP_EMPTY)
            .bind::<Array<BigInt>, _>(&empty)
            .execute(&mut conn)
            .await?;
    }
    let claimed: Vec<i64> = prepared(CLAIMED_OF)
        .bind::<Array<BigInt>, _>(&waiting)
        .columns::<BigInt>()
        .load(&mut conn)
        .await?;
    waiting.retain(|id| !claimed.contains(id));
    prepared(CANCEL_MANY)
        .bind::<Array<BigInt>, _>(&waiting)
        .bind::<Timestamp, _>(now)
        .execute(&mut conn)
        .await?;
    Ok(waiting)
}

/// Drops a segment. A trigger queues its tasks that wait again.
const DROP_SEGMENT: &str = "WITH gone AS (DELETE FROM gaia_due WHERE id = $1 RETURNING ids) \
    UPDATE asynctasks SET queued = 0 WHERE id = ANY (ARRAY(SELECT unnest(ids) FROM gone)) AND queued = 1";

pub(super) async fn drop_segment(mut conn: &AsyncPgConnection, segment: i64) -> QueryResult<usize> {
    prepared(DROP_SEGMENT)
        .bind::<BigInt, _>(segment)
        .execute(&mut conn)
        .await
}

/// Takes tasks out of a claim that does not hold them any more: tasks that plain SQL has ended, or left Running without a node, while they
/// were unseen, and tasks whose lease tokens plain SQL has written.
const DETACH: &str = "UPDATE asynctasks SET queued = 0, lease_token = $1 WHERE id = ANY ($2) AND queued = 1 AND ( \
      lease_token < $1 AND COALESCE(task_status, '') NOT IN ('Wait', 'Retry') \
      OR lease_token > (SELECT nextval('gaia_claims_id_seq')))";

pub(super) async fn detach(mut conn: &AsyncPgConnection, claim: i64, tasks: &[i64]) -> QueryResult<usize> {
    prepared(DETACH)
        .bind::<BigInt, _>(claim)
        .bind::<Array<BigInt>, _>(tasks)
        .execute(&mut conn)
        .await
}

/// Releases held tasks, inside a transaction.
pub(super) async fn release(conn: &mut AsyncPgConnection, ended: &Ended) -> QueryResult<Released> {
    conn.batch_execute(SETTINGS).await?;
    release::postgres(conn, ended).await
}

/// The ids that a query finds, inside a transaction.
pub(super) async fn ids(conn: &mut AsyncPgConnection, query: &str) -> QueryResult<Vec<i64>> {
    conn.batch_execute(SETTINGS).await?;
    let rows: Vec<Id> = diesel::sql_query(query).load(conn).await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}
