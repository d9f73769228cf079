//! Claiming tasks.

use std::collections::HashSet;

use diesel::{
    prelude::*,
    sql_types::{BigInt, Nullable, Text, Timestamp},
    sqlite::{Sqlite, SqliteConnection},
};

use super::queue::{cut, drop_segments, is_queued, json, list, queue_strays, stray, unqueue};
use crate::store::{
    Claim, Wanted,
    lenient::{AnyTime, time},
    statement::prepared::prepared,
    tasks::{
        claimed::{ClaimId, ClaimedColumns, ClaimedRow, MAX_PROMOTED_PER_CLAIM, held_columns},
        queue::{HEADS, Head, Share, Shares, shares},
    },
    time::StoredTime,
};

/// The answer to [`PEEK`]: what a claim would find.
pub(super) struct Peek {
    /// Whether the claim may find tasks: its methods have segments, the quick queue has ids, or there are strays or scheduled tasks whose time
    /// has come (whatever their methods).
    pub(super) due: bool,
    pub(super) next_due: Option<StoredTime>,
}

/// Reads whether a claim would find tasks, and when the next scheduled task is due.
///
/// A `run_at` that is no time is compared as SQLite compares values: numbers, and texts that come before today's date, are due; other
/// texts (`infinity`, `now`) and blobs never are. A `run_at` that comes after now as a text but lies before now as a time is ignored
/// here: it must neither end the scanner's sleep again and again nor hide the times behind it.
const PEEK: &str = concat!(
    "SELECT EXISTS (SELECT 1 FROM asynctasks INDEXED BY gaia_tasks_stray WHERE system_name = ?1 AND ",
    stray!(),
    ") OR EXISTS (SELECT 1 FROM asynctasks \
         WHERE system_name = ?1 AND task_status IN ('Wait', 'Retry') AND run_at IS NOT NULL AND run_at <= ?2) AS due, \
       (SELECT strftime('%Y-%m-%d %H:%M:%f', run_at) FROM asynctasks \
         WHERE system_name = ?1 AND task_status IN ('Wait', 'Retry') AND run_at IS NOT NULL AND run_at > ?2 \
         AND run_at GLOB '[0-9]*' AND julianday(run_at) >= julianday(?2) ORDER BY run_at LIMIT 1) AS next_due"
);

pub(super) fn peek(conn: &mut SqliteConnection, claim: &Claim, now: StoredTime) -> QueryResult<Peek> {
    let (due, next_due): (i64, Option<AnyTime>) = prepared(PEEK)
        .bind::<Text, _>(&claim.theme)
        .bind::<Timestamp, _>(now)
        .columns::<(BigInt, Nullable<Timestamp>)>()
        .get_result(conn)?;
    Ok(Peek {
        due: due != 0 || !claim.first.is_empty() || is_any_due(conn, claim)?,
        // SQLite has rounded the time to a millisecond, perhaps into the past.
        next_due: time(next_due).map(|due| now.max(due.into())),
    })
}

/// The first segments of one method, or of all methods.
macro_rules! heads_sql {
    ($columns:literal, $of_method:literal) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM gaia_due WHERE theme = ?1 AND priority > ?2 ",
            $of_method,
            " ORDER BY priority DESC, id LIMIT ?3 + 0"
        )
    };
}

const HEADS_OF: &str = heads_sql!("id, priority, n", "AND service = ?4 AND method = ?5");

const HEADS_AT_ALL: &str = heads_sql!("id, priority, n", "");

const SEGMENTS_OF: &str = heads_sql!("id, n, ids", "AND service = ?4 AND method = ?5");

const SEGMENTS_AT_ALL: &str = heads_sql!("id, n, ids", "");

/// The first segments: id, priority and number of tasks of each.
fn heads(conn: &mut SqliteConnection, claim: &Claim, wanted: &Wanted, most: i64) -> QueryResult<Vec<(i64, i64, i64)>> {
    let by_method = claim.methods.is_some();
    let heads = prepared(if by_method { HEADS_OF } else { HEADS_AT_ALL })
        .bind::<Text, _>(&claim.theme)
        .bind::<BigInt, _>(claim.above())
        .bind::<BigInt, _>(most);
    match by_method {
        true => heads
            .bind::<Text, _>(&wanted.service)
            .bind::<Text, _>(&wanted.method)
            .columns::<(BigInt, BigInt, BigInt)>()
            .load(conn),
        false => heads.columns::<(BigInt, BigInt, BigInt)>().load(conn),
    }
}

fn is_any_due(conn: &mut SqliteConnection, claim: &Claim) -> QueryResult<bool> {
    for wanted in claim.wanted().iter().filter(|wanted| wanted.most > 0) {
        if !heads(conn, claim, wanted, 1)?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What a claim has taken.
#[derive(Default)]
pub(super) struct Taken {
    pub(super) rows: Vec<ClaimedRow>,
    /// Whether more tasks may be due, which the claim has left.
    pub(super) more: bool,
    /// The due tasks that it has left because of limits of methods.
    pub(super) left: Vec<(usize, usize)>,
}

/// Claims due tasks.
pub(super) fn claim_due(conn: &mut SqliteConnection, claim: &Claim, claim_id: &ClaimId) -> QueryResult<Taken> {
    promote(conn, claim, claim_id.now)?;
    queue_strays(conn, &claim.theme, claim.limit)?;
    if !may_claim(conn, claim)? {
        return Ok(Taken::default());
    }
    let mut taken = vec![(None, first(conn, claim)?)];
    let wanted = claim.wanted();
    let mut all = Vec::new();
    for (method, wanted) in wanted.iter().enumerate() {
        let heads = heads(conn, claim, wanted, HEADS)?.into_iter();
        all.extend(heads.map(|(id, priority, tasks)| Head {
            method,
            priority,
            id,
            tasks: usize::try_from(tasks).unwrap_or(0),
        }));
    }
    let room = claim.limit - taken[0].1.len();
    let Shares {
        all: shares,
        more,
        left,
    } = shares(all, &wanted, room);
    for share in shares {
        let method = &wanted[share.method];
        let ids = take(conn, claim, method, share)?;
        taken.push((claim.methods.is_some().then_some(method), ids));
    }
    let count: usize = taken.iter().map(|(_, ids)| ids.len()).sum();
    let rows = make_claim(conn, claim, claim_id, &taken)?;
    // Some of the ids were of tasks that do not wait any more; there may be due tasks behind them.
    let more = more || rows.len() < count;
    Ok(Taken { rows, more, left })
}

const FIRST: &str = "SELECT id, queued = 1 FROM asynctasks WHERE id IN (SELECT value FROM json_each(?1)) \
    AND system_name = ?2 AND task_status IN ('Wait', 'Retry') AND run_at IS NULL";

/// Takes the quick queue's tasks out of their segments, if they wait and are due. Answers with their ids.
fn first(conn: &mut SqliteConnection, claim: &Claim) -> QueryResult<Vec<i64>> {
    if claim.first.is_empty() {
        return Ok(Vec::new());
    }
    let first = &claim.first[..claim.first.len().min(claim.limit)];
    let first: Vec<(i64, i64)> = prepared(FIRST)
        .bind::<Text, _>(json(first))
        .bind::<Text, _>(&claim.theme)
        .columns::<(BigInt, BigInt)>()
        .load(conn)?;
    let (queued, strays): (Vec<_>, Vec<_>) = first.into_iter().partition(|(_, is_queued)| *is_queued != 0);
    let ids = |tasks: Vec<(i64, i64)>| tasks.into_iter().map(|(id, _)| id).collect::<Vec<_>>();
    let (strays, mut first) = (ids(strays), unqueue(conn, &claim.theme, &ids(queued))?);
    is_queued(conn, &strays)?;
    first.extend(strays);
    Ok(first)
}

const MAY_CLAIM: &str = "SELECT EXISTS (SELECT 1 FROM gaia_nodes WHERE id = ?1) \
    AND NOT EXISTS (SELECT 1 FROM gaia_themes WHERE theme = ?2 AND paused <> 0) AS may";

fn may_claim(conn: &mut SqliteConnection, claim: &Claim) -> QueryResult<bool> {
    let may: i64 = prepared(MAY_CLAIM)
        .bind::<Text, _>(&claim.node)
        .bind::<Text, _>(&claim.theme)
        .columns::<BigInt>()
        .get_result(conn)?;
    Ok(may != 0)
}

/// Takes the ids of a share out of its segments.
fn take(conn: &mut SqliteConnection, claim: &Claim, wanted: &Wanted, share: Share) -> QueryResult<Vec<i64>> {
    let by_method = claim.methods.is_some();
    let segments = prepared(if by_method { SEGMENTS_OF } else { SEGMENTS_AT_ALL })
        .bind::<Text, _>(&claim.theme)
        .bind::<BigInt, _>(claim.above())
        .bind::<BigInt, _>(i64::try_from(share.segments).unwrap_or(i64::MAX));
    let segments: Vec<(i64, i64, String)> = match by_method {
        true => segments
            .bind::<Text, _>(&wanted.service)
            .bind::<Text, _>(&wanted.method)
            .columns::<(BigInt, BigInt, Text)>()
            .load(conn)?,
        false => segments.columns::<(BigInt, BigInt, Text)>().load(conn)?,
    };
    let (mut taken, mut whole) = (Vec::with_capacity(share.tasks), Vec::new());
    for (id, _, ids) in segments {
        let mut ids = list(&ids);
        let left = share.tasks - taken.len();
        if left == 0 {
            break;
        }
        if ids.len() > left {
            cut(conn, id, &ids[left..])?;
            ids.truncate(left);
        } else {
            whole.push(id);
        }
        taken.extend(ids);
    }
    drop_segments(conn, &whole)?;
    Ok(taken)
}

const CLAIM: &str =
    "INSERT INTO gaia_claims (theme, node_id, mark, claimed_at, ids) VALUES (?1, ?2, ?3, ?4, ?5) RETURNING id";

/// The condition that a task from a segment may run under the claim. The segment may be out of date; the task's row is not.
macro_rules! may_run {
    ($of_method:literal) => {
        concat!(
            "queued = 1 AND system_name = ?1 AND task_status IN ('Wait', 'Retry') AND run_at IS NULL ",
            $of_method
        )
    };
}

/// The columns of [`ClaimedRow`].
macro_rules! claimed_columns {
    () => {
        concat!(
            "id, ",
            held_columns!(),
            ", ?2 + 0 AS token, CASE WHEN octet_length(arg) <= ?4 THEN arg END, octet_length(arg)"
        )
    };
}

/// Reads tasks of the claim and leaves their rows as they are: the tasks are unseen. The token is a sum, so that the result column does not
/// get the type of a table's column.
macro_rules! read_sql {
    ($of_method:literal) => {
        concat!(
            "SELECT ",
            claimed_columns!(),
            " FROM asynctasks WHERE id IN (SELECT value FROM json_each(?3)) AND ",
            may_run!($of_method),
            " AND typeof(lease_token) = 'integer' AND lease_token < ?2"
        )
    };
}

/// Reads tasks of the claim and sets their rows to Running.
macro_rules! claim_odd_sql {
    ($of_method:literal) => {
        concat!(
            "UPDATE OR FAIL asynctasks SET task_status = 'Running', queued = 2, lease_owner = ?5, lease_token = ?2, \
             last_run_time = ?6, update_time = ?6, log_id = ?7 || '-' || id, \
             cancel_requested = 0, began = 0, progress = NULL, progress_note = NULL \
             WHERE id IN (SELECT value FROM json_each(?3)) AND ",
            may_run!($of_method),
            " RETURNING ",
            claimed_columns!()
        )
    };
}

const READ_OF: &str = read_sql!("AND service_name = ?5 AND method_name = ?6");

const READ_AT_ALL: &str = read_sql!("");

const CLAIM_ODD_OF: &str = claim_odd_sql!("AND service_name = ?8 AND method_name = ?9");

const CLAIM_ODD_AT_ALL: &str = claim_odd_sql!("");

/// Takes tasks out of the claim; the tasks are in no segment either. Raises their tokens, so that neither this claim nor an earlier claim
/// can hold them again.
const DETACH_UNREAD: &str = "UPDATE asynctasks SET queued = 0, lease_token = iif(task_status = 'Running', lease_token, ?1) \
    WHERE queued = 1 AND id IN (SELECT value FROM json_each(?2))";

/// Makes the claim of the tasks that wait. The other tasks are in no segment any more; a task that waits with another method is then a
/// stray, and is queued again.
fn make_claim(
    conn: &mut SqliteConnection,
    claim: &Claim,
    claim_id: &ClaimId,
    taken: &[(Option<&Wanted>, Vec<i64>)],
) -> QueryResult<Vec<ClaimedRow>> {
    let ids: Vec<i64> = taken.iter().flat_map(|(_, ids)| ids).copied().collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let token: i64 = prepared(CLAIM)
        .bind::<Text, _>(&claim.theme)
        .bind::<Text, _>(&claim.node)
        .bind::<Text, _>(&*claim_id.mark)
        .bind::<Timestamp, _>(claim_id.now)
        .bind::<Text, _>(json(&ids))
        .columns::<BigInt>()
        .get_result(conn)?;
    let mut rows: Vec<ClaimedRow> = Vec::with_capacity(ids.len());
    for (method, ids) in taken.iter().filter(|(_, ids)| !ids.is_empty()) {
        let read = prepared(if method.is_some() { READ_OF } else { READ_AT_ALL })
            .bind::<Text, _>(&claim.theme)
            .bind::<BigInt, _>(token)
            .bind::<Text, _>(json(ids))
            .bind::<BigInt, _>(claim.arg_limit(claim_id));
        rows.extend(match method {
            Some(wanted) => read
                .bind::<Text, _>(&wanted.service)
                .bind::<Text, _>(&wanted.method)
                .columns::<ClaimedColumns<Sqlite>>()
                .load::<ClaimedRow>(conn)?,
            None => read.columns::<ClaimedColumns<Sqlite>>().load::<ClaimedRow>(conn)?,
        });
    }
    if rows.len() < ids.len() {
        rows.extend(claim_odd(conn, claim, claim_id, token, taken, &rows)?);
    }
    if rows.is_empty() {
        prepared("DELETE FROM gaia_claims WHERE id = ?")
            .bind::<BigInt, _>(token)
            .execute(conn)?;
    }
    Ok(rows)
}

/// Handles the tasks that the claim has not read. A task that waits with a lease token that plain SQL has written is claimed, and its row
/// is set to Running. The other tasks do not wait, or wait with another method or for a time: they are taken out of the claim.
fn claim_odd(
    conn: &mut SqliteConnection,
    claim: &Claim,
    claim_id: &ClaimId,
    token: i64,
    taken: &[(Option<&Wanted>, Vec<i64>)],
    read: &[ClaimedRow],
) -> QueryResult<Vec<ClaimedRow>> {
    let read: HashSet<i64> = read.iter().map(ClaimedRow::id).collect();
    let (mut rows, mut out) = (Vec::new(), Vec::new());
    for (method, ids) in taken {
        let odd: Vec<i64> = ids.iter().copied().filter(|id| !read.contains(id)).collect();
        let odd_rows = prepared(if method.is_some() {
            CLAIM_ODD_OF
        } else {
            CLAIM_ODD_AT_ALL
        })
        .bind::<Text, _>(&claim.theme)
        .bind::<BigInt, _>(token)
        .bind::<Text, _>(json(&odd))
        .bind::<BigInt, _>(claim.arg_limit(claim_id))
        .bind::<Text, _>(&claim.node)
        .bind::<Timestamp, _>(claim_id.now)
        .bind::<Text, _>(&*claim_id.mark);
        rows.extend(match method {
            Some(wanted) => odd_rows
                .bind::<Text, _>(&wanted.service)
                .bind::<Text, _>(&wanted.method)
                .columns::<ClaimedColumns<Sqlite>>()
                .load::<ClaimedRow>(conn)?,
            None => odd_rows.columns::<ClaimedColumns<Sqlite>>().load::<ClaimedRow>(conn)?,
        });
        out.extend(odd);
    }
    prepared(DETACH_UNREAD)
        .bind::<BigInt, _>(token)
        .bind::<Text, _>(json(&out))
        .execute(conn)?;
    Ok(rows)
}

/// Makes scheduled tasks due if their time has come, up to a limit that is at least the claim's. These tasks are then strays.
fn promote(conn: &mut SqliteConnection, claim: &Claim, now: StoredTime) -> QueryResult<usize> {
    let most = MAX_PROMOTED_PER_CLAIM.max(i64::try_from(claim.limit).unwrap_or(i64::MAX));
    prepared(
        "UPDATE asynctasks SET run_at = NULL, \
           update_time = nullif(max(coalesce(update_time, ''), coalesce(strftime('%Y-%m-%d %H:%M:%f', run_at), '')), '') \
         WHERE id IN ( \
           SELECT id FROM asynctasks \
           WHERE system_name = ? AND task_status IN ('Wait', 'Retry') AND run_at IS NOT NULL AND run_at <= ? \
           ORDER BY run_at LIMIT ? + 0)",
    )
    .bind::<Text, _>(&claim.theme)
    .bind::<Timestamp, _>(now)
    .bind::<BigInt, _>(most)
    .execute(conn)
}
