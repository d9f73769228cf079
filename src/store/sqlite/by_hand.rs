//! Changes of tasks by callers and by plain SQL, and what nodes do about the latter.

use diesel::{
    prelude::*,
    sql_types::{BigInt, Text, Timestamp},
    sqlite::SqliteConnection,
};

use super::{
    finish::note_running,
    queue::{json, stray, unqueue},
};
use crate::store::{
    RunKey,
    backend::ThemesOf,
    statement::prepared::prepared,
    tasks::held::{
        Released,
        release::{self, Ended},
    },
    time::StoredTime,
};

/// The condition that a task is Running under a node and in no claim.
macro_rules! unheld {
    () => {
        "queued <> 2 AND task_status = 'Running' AND lease_owner IS NOT NULL"
    };
}

/// The condition that no write can name the run by this row: owner, token or log id has a wrong type, or may hold bytes that are no
/// characters. An owner with characters beyond ASCII counts as such, unless a node has that name.
macro_rules! unnamed {
    () => {
        "(typeof(lease_owner) <> 'text' \
         OR lease_owner GLOB '*[^ -~]*' AND NOT EXISTS (SELECT 1 FROM gaia_nodes WHERE gaia_nodes.id = lease_owner) \
         OR typeof(lease_token) <> 'integer' OR typeof(log_id) NOT IN ('text', 'null') OR log_id GLOB '*[^ -~]*')"
    };
}

const NAME_UNHELD: &str = concat!(
    "UPDATE asynctasks SET lease_owner = 'unreadable', lease_token = 0, log_id = NULL WHERE id IN ( \
       SELECT id FROM asynctasks INDEXED BY gaia_tasks_unheld WHERE ",
    unheld!(),
    ") AND ",
    unnamed!()
);

const DETACH: &str = concat!(
    "UPDATE asynctasks SET queued = 0 WHERE id IN (SELECT value FROM json_each(?2)) \
     AND queued = 2 AND task_status = 'Running' AND lease_owner IS NOT NULL AND (lease_owner <> ?1 OR ",
    unnamed!(),
    ")"
);

const HOLD_UNHELD: &str = concat!(
    "INSERT INTO gaia_claims (theme, node_id, mark, claimed_at, ids) \
     SELECT MIN(system_name), lease_owner, 'plain', ?1, json_group_array(id) FROM ( \
       SELECT id, system_name, lease_owner FROM asynctasks INDEXED BY gaia_tasks_unheld WHERE ",
    unheld!(),
    " ORDER BY id LIMIT 1000) GROUP BY lease_owner"
);

/// The unheld tasks that are in segments, too.
const QUEUED_UNHELD: &str = concat!(
    "SELECT CAST(system_name AS TEXT), id FROM asynctasks INDEXED BY gaia_tasks_unheld WHERE ",
    unheld!(),
    " AND queued = 1"
);

const IS_HELD: &str = concat!(
    "UPDATE asynctasks SET queued = 2 WHERE id IN ( \
       SELECT id FROM asynctasks INDEXED BY gaia_tasks_unheld WHERE ",
    unheld!(),
    " ORDER BY id LIMIT 1000)"
);

/// Makes claims for at most 1,000 Running tasks that no claim holds, so that other nodes rescue the tasks if their node dies. Answers how
/// many tasks there were.
pub(super) fn make_missing_claims(conn: &mut SqliteConnection, now: StoredTime) -> QueryResult<usize> {
    prepared(NAME_UNHELD).execute(conn)?;
    let queued: Vec<(String, i64)> = prepared(QUEUED_UNHELD).columns::<(Text, BigInt)>().load(conn)?;
    for (theme, task) in queued {
        unqueue(conn, &theme, &[task])?;
    }
    prepared(HOLD_UNHELD).bind::<Timestamp, _>(now).execute(conn)?;
    prepared(IS_HELD).execute(conn)
}

/// Takes tasks out of a claim that does not hold them any more: Running tasks that plain SQL has given to another node, or to an owner that
/// no write can name, and tasks that plain SQL has ended while they were unseen.
pub(super) fn detach(conn: &mut SqliteConnection, node: &str, claim: i64, ids: &[i64]) -> QueryResult<usize> {
    prepared(
        "UPDATE asynctasks SET queued = 0, lease_token = ?1 WHERE id IN (SELECT value FROM json_each(?2)) \
         AND queued = 1 AND lease_token < ?1 AND task_status NOT IN ('Wait', 'Retry', 'Running')",
    )
    .bind::<BigInt, _>(claim)
    .bind::<Text, _>(json(ids))
    .execute(conn)?;
    prepared(DETACH)
        .bind::<Text, _>(node)
        .bind::<Text, _>(json(ids))
        .execute(conn)
}

macro_rules! any_unheld {
    () => {
        concat!(
            "EXISTS (SELECT 1 FROM asynctasks INDEXED BY gaia_tasks_unheld WHERE ",
            unheld!(),
            ")"
        )
    };
}

pub(super) fn is_any_unheld(conn: &mut SqliteConnection) -> QueryResult<bool> {
    let any: i64 = prepared(concat!("SELECT ", any_unheld!()))
        .columns::<BigInt>()
        .get_result(conn)?;
    Ok(any != 0)
}

/// The condition that any task of any theme runs.
pub(in crate::store) const ANY_RUNS: &str = concat!("EXISTS (SELECT 1 FROM gaia_claims) OR ", any_unheld!());

/// The condition that any task of any theme is due.
pub(in crate::store) const ANY_DUE: &str = concat!(
    "EXISTS (SELECT 1 FROM gaia_due) OR EXISTS (SELECT 1 FROM asynctasks INDEXED BY gaia_tasks_stray WHERE ",
    stray!(),
    ")"
);

/// Tasks that wait or run, and that no segment and no claim need hold, each kind by its index.
pub(in crate::store) const UNFINISHED: &[&str] = &[
    "asynctasks INDEXED BY gaia_tasks_scheduled WHERE task_status IN ('Wait', 'Retry') AND run_at IS NOT NULL",
    concat!("asynctasks INDEXED BY gaia_tasks_stray WHERE ", stray!()),
    concat!("asynctasks INDEXED BY gaia_tasks_unheld WHERE ", unheld!()),
];

pub(in crate::store) const UNPLACED_THEMES: &[ThemesOf] = &[
    ThemesOf {
        column: "system_name",
        prefix: "",
        tasks: UNFINISHED[0],
        are_due: false,
    },
    ThemesOf {
        column: "system_name",
        prefix: "",
        tasks: UNFINISHED[1],
        are_due: true,
    },
];

/// The last claim that names a task.
const CLAIM_WITH: &str = "SELECT id, node_id, mark FROM gaia_claims WHERE theme = ?1 \
    AND instr(ids, ?2) > 0 AND EXISTS (SELECT 1 FROM json_each(ids) WHERE value = ?2 + 0) ORDER BY id DESC LIMIT 1";

const CANCEL: &str = "UPDATE asynctasks SET task_status = 'Cancelled', run_at = NULL, update_time = ?3, finished_at = ?3 \
    WHERE id = ?2 AND system_name = ?1 AND (task_status IN ('Wait', 'Retry') OR task_status = 'Running' AND lease_owner IS NULL)";

/// Ends a task that waits, or that another framework left as Running without a node. An unseen task is not ended: its row is set to
/// Running.
pub(super) fn cancel_waiting(conn: &mut SqliteConnection, theme: &str, id: i64, now: StoredTime) -> QueryResult<bool> {
    let claim: Option<(i64, String, String)> = prepared(CLAIM_WITH)
        .bind::<Text, _>(theme)
        .bind::<Text, _>(id.to_string())
        .columns::<(BigInt, Text, Text)>()
        .get_result(conn)
        .optional()?;
    if let Some((token, node, mark)) = claim
        && note_running(conn, &RunKey::unseen(id, &node, token, &mark))?
    {
        return Ok(false);
    }
    let cancelled = prepared(CANCEL)
        .bind::<Text, _>(theme)
        .bind::<BigInt, _>(id)
        .bind::<Timestamp, _>(now)
        .execute(conn)?;
    Ok(cancelled > 0)
}

const CLAIMED_OF: &str = "SELECT value FROM gaia_claims CROSS JOIN json_each(gaia_claims.ids) \
    WHERE value IN (SELECT value FROM json_each(?1))";

const CANCEL_MANY: &str = "UPDATE asynctasks SET task_status = 'Cancelled', run_at = NULL, update_time = ?2, finished_at = ?2 \
    WHERE id IN (SELECT value FROM json_each(?1)) AND task_status IN ('Wait', 'Retry') RETURNING id";

/// Ends those of these tasks that wait and that no claim names; answers with their ids.
pub(super) fn cancel_many(conn: &mut SqliteConnection, ids: &[i64], now: StoredTime) -> QueryResult<Vec<i64>> {
    let claimed: Vec<i64> = prepared(CLAIMED_OF)
        .bind::<Text, _>(json(ids))
        .columns::<BigInt>()
        .load(conn)?;
    let free: Vec<i64> = ids.iter().copied().filter(|id| !claimed.contains(id)).collect();
    prepared(CANCEL_MANY)
        .bind::<Text, _>(json(&free))
        .bind::<Timestamp, _>(now)
        .columns::<BigInt>()
        .load(conn)
}

/// Releases held tasks, inside a transaction.
pub(super) fn release(conn: &mut SqliteConnection, ended: &Ended) -> QueryResult<Released> {
    release::sqlite(conn, ended)
}
