//! Changes of tasks by callers and by plain SQL, and what nodes do about the latter.

use std::collections::{BTreeMap, HashSet};

use diesel::{
    OptionalExtension, QueryResult,
    sql_types::{BigInt, Integer, Text, Timestamp},
};
use diesel_async::{AsyncMysqlConnection, RunQueryDsl};

use super::{
    claim::NOTE_CLAIM,
    finish::note_running,
    queue::{Unqueued, json, picked, set_queued, unqueue},
};
use crate::store::{
    RunKey,
    lenient::{AnyInt, AnyText, narrow},
    statement::{id_row::Id, prepared::prepared},
    tasks::held::{
        Released,
        release::{self, Ended},
    },
    time::StoredTime,
};

/// The most Running tasks for which one call makes claims.
const MAX_TASKS: i64 = 1_000;

const UNHELD: &str = "SELECT id, queued, system_name, lease_owner FROM asynctasks FORCE INDEX (gaia_tasks_stray) \
    WHERE stray = 'unheld' ORDER BY priority DESC, id LIMIT ? FOR UPDATE SKIP LOCKED";

/// Passes over rows that other sessions have locked: the next look finds them.
const DETACHED: &str = concat!(
    "SELECT t.id FROM ",
    picked!("asynctasks"),
    " WHERE t.queued = 2 AND t.task_status = 'Running' AND t.lease_owner IS NOT NULL AND t.lease_owner <> ? \
     FOR UPDATE SKIP LOCKED"
);

macro_rules! any_unheld {
    () => {
        "EXISTS (SELECT 1 FROM asynctasks WHERE stray = 'unheld')"
    };
}

/// The condition that any task of any theme runs.
pub(in crate::store) const ANY_RUNS: &str = concat!("EXISTS (SELECT 1 FROM gaia_claims) OR ", any_unheld!());

/// The condition that any task of any theme is due.
pub(in crate::store) const ANY_DUE: &str =
    "EXISTS (SELECT 1 FROM gaia_due) OR EXISTS (SELECT 1 FROM asynctasks WHERE stray LIKE 'due %')";

pub(super) async fn is_any_unheld(conn: &mut AsyncMysqlConnection) -> QueryResult<bool> {
    let any: i64 = prepared(concat!("SELECT ", any_unheld!(), " AS any_unheld"))
        .columns::<BigInt>()
        .get_result(conn)
        .await?;
    Ok(any != 0)
}

/// Makes claims for at most [`MAX_TASKS`] Running tasks that no claim holds. Runs inside a transaction. Answers for how many tasks.
pub(super) async fn make_missing_claims(conn: &mut AsyncMysqlConnection, now: StoredTime) -> QueryResult<usize> {
    let mut unheld: Vec<(i64, AnyInt, AnyText, AnyText)> = prepared(UNHELD)
        .bind::<BigInt, _>(MAX_TASKS)
        .columns::<(BigInt, Integer, Text, Text)>()
        .load(conn)
        .await?;
    let mut busy = HashSet::new();
    for (id, queued, theme, _) in &unheld {
        // If a claim has locked the segment of a task, the next look finds the task.
        if narrow(*queued) == Some(1) && unqueue(conn, &theme.0, *id).await? == Unqueued::Locked {
            busy.insert(*id);
        }
    }
    unheld.retain(|(id, ..)| !busy.contains(id));
    let mut claims: BTreeMap<(&str, &str), Vec<i64>> = BTreeMap::new();
    for (id, _, theme, node) in &unheld {
        claims.entry((&node.0, &theme.0)).or_default().push(*id);
    }
    for ((node, theme), ids) in claims {
        prepared(NOTE_CLAIM)
            .bind::<Text, _>(theme)
            .bind::<Text, _>(node)
            .bind::<Text, _>("plain")
            .bind::<Timestamp, _>(now)
            .bind::<Text, _>(json(&ids))
            .execute(conn)
            .await?;
    }
    let ids: Vec<i64> = unheld.iter().map(|(id, ..)| *id).collect();
    set_queued(conn, &ids, 2).await?;
    Ok(ids.len())
}

/// Tasks that plain SQL has ended while they were unseen.
const ENDED: &str = concat!(
    "SELECT t.id FROM ",
    picked!("asynctasks"),
    " WHERE t.queued = 1 AND t.lease_token < ? AND t.task_status NOT IN ('Wait', 'Retry', 'Running') FOR UPDATE SKIP LOCKED"
);

const DETACH_ENDED: &str = concat!(
    "UPDATE ",
    picked!("asynctasks"),
    " SET t.queued = 0, t.lease_token = ?, t.update_time = t.update_time"
);

/// Takes tasks out of a claim that does not hold them any more: Running tasks that plain SQL has given to another node, and tasks that
/// plain SQL has ended while they were unseen. Runs inside a transaction.
pub(super) async fn detach(conn: &mut AsyncMysqlConnection, node: &str, claim: i64, ids: &[i64]) -> QueryResult<()> {
    let ended: Vec<i64> = prepared(ENDED)
        .bind::<Text, _>(json(ids))
        .bind::<BigInt, _>(claim)
        .columns::<BigInt>()
        .load(conn)
        .await?;
    if !ended.is_empty() {
        prepared(DETACH_ENDED)
            .bind::<Text, _>(json(&ended))
            .bind::<BigInt, _>(claim)
            .execute(conn)
            .await?;
    }
    let detached: Vec<i64> = prepared(DETACHED)
        .bind::<Text, _>(json(ids))
        .bind::<Text, _>(node)
        .columns::<BigInt>()
        .load(conn)
        .await?;
    set_queued(conn, &detached, 0).await
}

/// Waits for a transaction that has locked the row, such as a claim. The statements after this one see its changes.
const LOCK_ONE: &str = "SELECT id FROM asynctasks WHERE id = ? AND system_name = ? FOR UPDATE";

/// The last claim that names a task.
const CLAIM_WITH: &str = "SELECT id, node_id, mark, claimed_at FROM gaia_claims \
    WHERE theme = ? AND INSTR(ids, ?) > 0 AND JSON_CONTAINS(ids, ?) ORDER BY id DESC LIMIT 1";

const CANCEL: &str = "UPDATE asynctasks SET task_status = 'Cancelled', run_at = NULL, update_time = ?, finished_at = ? \
    WHERE id = ? AND system_name = ? AND (task_status IN ('Wait', 'Retry') OR task_status = 'Running' AND lease_owner IS NULL)";

/// Ends a task that waits, or that another framework left as Running without a node. An unseen task is not ended: its row is set to
/// Running. Runs inside a transaction.
pub(super) async fn cancel_waiting(
    conn: &mut AsyncMysqlConnection,
    theme: &str,
    id: i64,
    now: StoredTime,
) -> QueryResult<bool> {
    prepared(LOCK_ONE)
        .bind::<BigInt, _>(id)
        .bind::<Text, _>(theme)
        .columns::<BigInt>()
        .get_result::<i64>(conn)
        .await
        .optional()?;
    let text = id.to_string();
    let claim: Option<(i64, String, String, StoredTime)> = prepared(CLAIM_WITH)
        .bind::<Text, _>(theme)
        .bind::<Text, _>(&text)
        .bind::<Text, _>(&text)
        .columns::<(BigInt, Text, Text, Timestamp)>()
        .get_result(conn)
        .await
        .optional()?;
    if let Some((token, node, mark, since)) = claim {
        let run = RunKey::unseen(id, &node, token, &mark);
        if note_running(conn, &[(&run, since)]).await? > 0 {
            return Ok(false);
        }
    }
    let cancelled = prepared(CANCEL)
        .bind::<Timestamp, _>(now)
        .bind::<Timestamp, _>(now)
        .bind::<BigInt, _>(id)
        .bind::<Text, _>(theme)
        .execute(conn)
        .await?;
    Ok(cancelled > 0)
}

/// Waits for transactions that have locked the rows, such as claims. The statements after this one see their changes.
const LOCK_MANY: &str = concat!(
    "SELECT t.id FROM ",
    picked!("asynctasks"),
    " WHERE t.task_status IN ('Wait', 'Retry') FOR UPDATE"
);

const CLAIMED_OF: &str = "SELECT claimed.id FROM gaia_claims \
      CROSS JOIN JSON_TABLE(gaia_claims.ids, '$[*]' COLUMNS (id BIGINT PATH '$')) claimed \
      JOIN JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$')) asked ON asked.id = claimed.id";

const CANCEL_MANY: &str = concat!(
    "UPDATE ",
    picked!("asynctasks"),
    " SET t.task_status = 'Cancelled', t.run_at = NULL, t.update_time = ?, t.finished_at = ? \
      WHERE t.task_status IN ('Wait', 'Retry')"
);

/// Ends those of these tasks that wait and that no claim names; answers with their ids. Runs inside a transaction.
pub(super) async fn cancel_many(
    conn: &mut AsyncMysqlConnection,
    ids: &[i64],
    now: StoredTime,
) -> QueryResult<Vec<i64>> {
    let mut waiting: Vec<i64> = prepared(LOCK_MANY)
        .bind::<Text, _>(json(ids))
        .columns::<BigInt>()
        .load(conn)
        .await?;
    if waiting.is_empty() {
        return Ok(waiting);
    }
    let claimed: Vec<i64> = prepared(CLAIMED_OF)
        .bind::<Text, _>(json(&waiting))
        .columns::<BigInt>()
        .load(conn)
        .await?;
    waiting.retain(|id| !claimed.contains(id));
    prepared(CANCEL_MANY)
        .bind::<Text, _>(json(&waiting))
        .bind::<Timestamp, _>(now)
        .bind::<Timestamp, _>(now)
        .execute(conn)
        .await?;
    Ok(waiting)
}

pub(super) async fn ids(conn: &mut AsyncMysqlConnection, query: &str) -> QueryResult<Vec<i64>> {
    let rows: Vec<Id> = diesel::sql_query(query).load(conn).await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// Releases held tasks, inside a transaction.
pub(super) async fn release(conn: &mut AsyncMysqlConnection, ended: &Ended) -> QueryResult<Released> {
    release::mysql(conn, ended).await
}
