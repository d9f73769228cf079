//! Claiming and adding tasks.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashSet},
    fmt::Write as _,
};

use chrono::NaiveDateTime;
use diesel::{
    prelude::*,
    sql_types::{BigInt, Integer, Nullable, Text, Timestamp},
    sqlite::{Sqlite, SqliteConnection},
};

use super::runs::show;
use crate::{
    domain::AddedTask,
    store::{
        Claim, RunKey, Wanted,
        bulk::{Bulk, Parameters, bulks},
        lenient::{AnyInt, AnyText, AnyTime, narrow, time},
        parts::runs_of,
        prepared::{Prepared, prepared},
        queue::{HEADS, Head, QUEUED_FROM, SEGMENT, Share, Shares, shares},
        rows::{
            ClaimMark, ClaimedColumns, ClaimedRow, NewTaskRow, PROMOTED_AT_ONCE, TRIES_OF_A_KEY, adding, key_is_elusive,
        },
    },
};

// ---- claiming ----

/// What waits.
pub(super) struct Look {
    /// For the methods of the claim, as far as that is known before stray tasks are taken in.
    pub(super) due: bool,
    pub(super) next_due: Option<NaiveDateTime>,
}

/// A task that waits and is in no segment. The statuses stand in the text, not in parameters: only so can SQLite prove that the
/// partial index serves.
macro_rules! stray {
    () => {
        "queued <> 1 AND task_status IN ('Wait', 'Retry') AND run_at IS NULL"
    };
}

/// A `run_at` that is no time is compared as SQLite compares: numbers, and texts that come before today's date, are due; other
/// texts (`infinity`, `now`) and blobs never are. What comes after now as a text and lies before it as a time is passed over
/// here, so that the look neither ends a sleep for it again and again nor hides what comes behind it.
const LOOK: &str = concat!(
    "SELECT EXISTS (SELECT 1 FROM asynctasks INDEXED BY gaia_tasks_stray WHERE system_name = ?1 AND ",
    stray!(),
    ") OR EXISTS (SELECT 1 FROM asynctasks \
         WHERE system_name = ?1 AND task_status IN ('Wait', 'Retry') AND run_at IS NOT NULL AND run_at <= ?2) AS due, \
       (SELECT strftime('%Y-%m-%d %H:%M:%f', run_at) FROM asynctasks \
         WHERE system_name = ?1 AND task_status IN ('Wait', 'Retry') AND run_at IS NOT NULL AND run_at > ?2 \
         AND run_at GLOB '[0-9]*' AND julianday(run_at) >= julianday(?2) ORDER BY run_at LIMIT 1) AS next_due"
);

pub(super) fn look(conn: &mut SqliteConnection, claim: &Claim, now: NaiveDateTime) -> QueryResult<Look> {
    let (due, next_due): (i64, Option<AnyTime>) = prepared(LOOK)
        .bind::<Text, _>(&claim.theme)
        .bind::<Timestamp, _>(now)
        .columns::<(BigInt, Nullable<Timestamp>)>()
        .get_result(conn)?;
    Ok(Look {
        due: due != 0 || !claim.first.is_empty() || is_any_due(conn, claim)?,
        // SQLite has rounded it to a millisecond, perhaps into the past.
        next_due: time(next_due).map(|due| due.naive_utc().max(now)),
    })
}

/// The first segments of one method, or of all.
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

/// Id, priority and tasks of each.
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

/// The tasks, and whether more are due than the room of their methods is for.
pub(super) fn claim_due(
    conn: &mut SqliteConnection,
    claim: &Claim,
    mark: &ClaimMark,
) -> QueryResult<(Vec<ClaimedRow>, bool)> {
    promote(conn, claim, mark.now)?;
    take_in(conn, &claim.theme, claim.limit)?;
    if !may_claim(conn, claim)? {
        return Ok((Vec::new(), false));
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
    let Shares { all: shares, more } = shares(all, &wanted, room);
    for share in shares {
        let method = &wanted[share.method];
        let ids = take(conn, claim, method, share)?;
        taken.push((claim.methods.is_some().then_some(method), ids));
    }
    let count: usize = taken.iter().map(|(_, ids)| ids.len()).sum();
    let rows = hold(conn, claim, mark, &taken)?;
    // Behind tasks that do not wait any more there may be others.
    let more = more || rows.len() < count;
    Ok((rows, more))
}

const FIRST: &str = "SELECT id, queued = 1 FROM asynctasks WHERE id IN (SELECT value FROM json_each(?1)) \
    AND system_name = ?2 AND task_status IN ('Wait', 'Retry') AND run_at IS NULL";

/// Those of the tasks that are wanted before others that wait and are due, out of their segments.
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

/// Tasks are in a segment from now on, or in the claim that takes them out of the segment. No earlier claim has these tasks any more, even if
/// plain SQL has written their lease tokens.
fn is_queued(conn: &mut SqliteConnection, tasks: &[i64]) -> QueryResult<usize> {
    prepared(
        "UPDATE asynctasks SET queued = 1, lease_token = iif(typeof(lease_token) = 'integer', \
           max(lease_token, (SELECT IFNULL(MAX(id), 0) FROM gaia_claims)), lease_token) \
         WHERE id IN (SELECT value FROM json_each(?))",
    )
    .bind::<Text, _>(json(tasks))
    .execute(conn)
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

fn cut(conn: &mut SqliteConnection, segment: i64, rest: &[i64]) -> QueryResult<usize> {
    prepared("UPDATE gaia_due SET ids = ?1, n = ?2 WHERE id = ?3")
        .bind::<Text, _>(json(rest))
        .bind::<BigInt, _>(count(rest))
        .bind::<BigInt, _>(segment)
        .execute(conn)
}

const SEGMENTS_WITH: &str = "SELECT id, ids FROM gaia_due WHERE theme = ?1 AND instr(ids, ?2) > 0";

/// Takes tasks out of the segments that they are in. Answers with those that were in one: of the others a claim has the task.
fn unqueue(conn: &mut SqliteConnection, theme: &str, tasks: &[i64]) -> QueryResult<Vec<i64>> {
    let mut found = Vec::new();
    for task in tasks {
        let segments: Vec<(i64, String)> = prepared(SEGMENTS_WITH)
            .bind::<Text, _>(theme)
            .bind::<Text, _>(task.to_string())
            .columns::<(BigInt, Text)>()
            .load(conn)?;
        for (segment, ids) in segments {
            let (with, rest): (Vec<i64>, Vec<i64>) = list(&ids).into_iter().partition(|id| id == task);
            if with.is_empty() {
                continue;
            }
            found.push(*task);
            match rest.is_empty() {
                true => drop_segments(conn, &[segment])?,
                false => cut(conn, segment, &rest)?,
            };
        }
    }
    Ok(found)
}

fn drop_segments(conn: &mut SqliteConnection, segments: &[i64]) -> QueryResult<usize> {
    prepared("DELETE FROM gaia_due WHERE id IN (SELECT value FROM json_each(?))")
        .bind::<Text, _>(json(segments))
        .execute(conn)
}

/// Drops a segment whose tasks do not wait. One that comes to wait again is found as a stray.
pub(super) fn drop_segment(conn: &mut SqliteConnection, segment: i64) -> QueryResult<()> {
    let tasks: Option<String> = prepared("DELETE FROM gaia_due WHERE id = ? RETURNING ids")
        .bind::<BigInt, _>(segment)
        .columns::<Text>()
        .get_result(conn)
        .optional()?;
    if let Some(tasks) = tasks {
        prepared("UPDATE asynctasks SET queued = 0 WHERE id IN (SELECT value FROM json_each(?)) AND queued = 1")
            .bind::<Text, _>(json(&list(&tasks)))
            .execute(conn)?;
    }
    Ok(())
}

/// Nobody but this crate writes the column.
fn list(ids: &str) -> Vec<i64> {
    serde_json::from_str(ids).unwrap_or_default()
}

fn json(ids: &[i64]) -> String {
    let mut text = String::with_capacity(8 * ids.len() + 2);
    text.push('[');
    for (at, id) in ids.iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        // Writing to a text does not fail.
        let _ = write!(text, "{id}");
    }
    text.push(']');
    text
}

fn count(ids: &[i64]) -> i64 {
    i64::try_from(ids.len()).unwrap_or(i64::MAX)
}

const CLAIM: &str =
    "INSERT INTO gaia_claims (theme, node_id, mark, claimed_at, ids) VALUES (?1, ?2, ?3, ?4, ?5) RETURNING id";

/// A task of a segment that may be run under the claim. What a segment says of a task may be out of date, the task's row is not.
macro_rules! may_run {
    ($of_method:literal) => {
        concat!(
            "queued = 1 AND system_name = ?1 AND task_status IN ('Wait', 'Retry') AND run_at IS NULL ",
            $of_method
        )
    };
}

/// Columns of [`ClaimedRow`].
macro_rules! claimed_columns {
    () => {
        "id, service_name, method_name, retry_time, max_retry_time, priority, timeout_ms, retry_delay_ms, \
         ?2 + 0 AS token, CASE WHEN octet_length(arg) <= ?4 THEN arg END, octet_length(arg)"
    };
}

/// The rows stay as they are. The token is a sum, so that it has no type of a column.
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

/// The rows say at once that their tasks run.
macro_rules! hold_sql {
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
const HOLD_OF: &str = hold_sql!("AND service_name = ?8 AND method_name = ?9");
const HOLD_AT_ALL: &str = hold_sql!("");

/// Tasks are in no segment and in no claim from now on. Neither this claim nor an earlier one can have these tasks again.
const LET_OUT: &str = "UPDATE asynctasks SET queued = 0, lease_token = iif(task_status = 'Running', lease_token, ?1) \
    WHERE queued = 1 AND id IN (SELECT value FROM json_each(?2))";

/// Makes a claim of the tasks that wait. All other tasks are in no segment any more; a task that waits with another method is taken in
/// again.
fn hold(
    conn: &mut SqliteConnection,
    claim: &Claim,
    mark: &ClaimMark,
    taken: &[(Option<&Wanted>, Vec<i64>)],
) -> QueryResult<Vec<ClaimedRow>> {
    let ids: Vec<i64> = taken.iter().flat_map(|(_, ids)| ids).copied().collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let token: i64 = prepared(CLAIM)
        .bind::<Text, _>(&claim.theme)
        .bind::<Text, _>(&claim.node)
        .bind::<Text, _>(&*mark.run)
        .bind::<Timestamp, _>(mark.now)
        .bind::<Text, _>(json(&ids))
        .columns::<BigInt>()
        .get_result(conn)?;
    let mut rows: Vec<ClaimedRow> = Vec::with_capacity(ids.len());
    for (method, ids) in taken.iter().filter(|(_, ids)| !ids.is_empty()) {
        let read = prepared(if method.is_some() { READ_OF } else { READ_AT_ALL })
            .bind::<Text, _>(&claim.theme)
            .bind::<BigInt, _>(token)
            .bind::<Text, _>(json(ids))
            .bind::<BigInt, _>(claim.arg_limit(mark));
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
        rows.extend(hold_odd(conn, claim, mark, token, taken, &rows)?);
    }
    if rows.is_empty() {
        prepared("DELETE FROM gaia_claims WHERE id = ?")
            .bind::<BigInt, _>(token)
            .execute(conn)?;
    }
    Ok(rows)
}

/// What the claim has not read of its tasks: those that wait with a lease token that plain SQL has written are marked as running at
/// once. The others do not wait, or not so.
fn hold_odd(
    conn: &mut SqliteConnection,
    claim: &Claim,
    mark: &ClaimMark,
    token: i64,
    taken: &[(Option<&Wanted>, Vec<i64>)],
    read: &[ClaimedRow],
) -> QueryResult<Vec<ClaimedRow>> {
    let read: HashSet<i64> = read.iter().map(ClaimedRow::id).collect();
    let (mut rows, mut out) = (Vec::new(), Vec::new());
    for (method, ids) in taken {
        let odd: Vec<i64> = ids.iter().copied().filter(|id| !read.contains(id)).collect();
        let hold = prepared(if method.is_some() { HOLD_OF } else { HOLD_AT_ALL })
            .bind::<Text, _>(&claim.theme)
            .bind::<BigInt, _>(token)
            .bind::<Text, _>(json(&odd))
            .bind::<BigInt, _>(claim.arg_limit(mark))
            .bind::<Text, _>(&claim.node)
            .bind::<Timestamp, _>(mark.now)
            .bind::<Text, _>(&*mark.run);
        rows.extend(match method {
            Some(wanted) => hold
                .bind::<Text, _>(&wanted.service)
                .bind::<Text, _>(&wanted.method)
                .columns::<ClaimedColumns<Sqlite>>()
                .load::<ClaimedRow>(conn)?,
            None => hold.columns::<ClaimedColumns<Sqlite>>().load::<ClaimedRow>(conn)?,
        });
        out.extend(odd);
    }
    prepared(LET_OUT)
        .bind::<BigInt, _>(token)
        .bind::<Text, _>(json(&out))
        .execute(conn)?;
    Ok(rows)
}

/// Moves scheduled tasks whose time has come to the due ones: at least as many as are to be claimed. They are strays then.
fn promote(conn: &mut SqliteConnection, claim: &Claim, now: NaiveDateTime) -> QueryResult<usize> {
    let most = PROMOTED_AT_ONCE.max(i64::try_from(claim.limit).unwrap_or(i64::MAX));
    prepared(
        "UPDATE asynctasks SET run_at = NULL WHERE id IN ( \
           SELECT id FROM asynctasks \
           WHERE system_name = ? AND task_status IN ('Wait', 'Retry') AND run_at IS NOT NULL AND run_at <= ? \
           ORDER BY run_at LIMIT ? + 0)",
    )
    .bind::<Text, _>(&claim.theme)
    .bind::<Timestamp, _>(now)
    .bind::<BigInt, _>(most)
    .execute(conn)
}

// ---- segments ----

/// Strays that one claim takes in at most, the most urgent first.
const TAKEN_IN_AT_ONCE: i64 = 2_000;

/// The limit is a sum: for one that is a parameter and nothing else SQLite prepares the statement anew with each value.
const STRAYS: &str = concat!(
    "SELECT id, service_name, method_name, priority FROM asynctasks INDEXED BY gaia_tasks_stray \
     WHERE system_name = ?1 AND ",
    stray!(),
    " ORDER BY priority DESC, id LIMIT ?2 + 0"
);

const IS_ANY_STRAY: &str = concat!(
    "SELECT EXISTS (SELECT 1 FROM asynctasks INDEXED BY gaia_tasks_stray WHERE system_name = ?1 AND ",
    stray!(),
    ")"
);

pub(super) fn is_any_stray(conn: &mut SqliteConnection, theme: &str) -> QueryResult<bool> {
    let any: i64 = prepared(IS_ANY_STRAY)
        .bind::<Text, _>(theme)
        .columns::<BigInt>()
        .get_result(conn)?;
    Ok(any != 0)
}

/// Puts strays into segments: what plain SQL has written, and what went back to the queue.
pub(super) fn take_in(conn: &mut SqliteConnection, theme: &str, limit: usize) -> QueryResult<()> {
    let most = TAKEN_IN_AT_ONCE.max(i64::try_from(limit).unwrap_or(i64::MAX));
    let strays: Vec<(i64, AnyText, AnyText, AnyInt)> = prepared(STRAYS)
        .bind::<Text, _>(theme)
        .bind::<BigInt, _>(most)
        .columns::<(BigInt, Text, Text, Integer)>()
        .load(conn)?;
    if strays.is_empty() {
        return Ok(());
    }
    let ids: Vec<i64> = strays.iter().map(|(id, ..)| *id).collect();
    let mut segments = Segments::default();
    for (id, service, method, priority) in &strays {
        segments.add(*id, &service.0, &method.0, narrow(*priority).unwrap_or(0));
    }
    segments.write(conn, theme)?;
    is_queued(conn, &ids)?;
    Ok(())
}

/// Due tasks on their way into segments.
#[derive(Default)]
struct Segments<'a>(BTreeMap<(Reverse<i32>, &'a str, &'a str), Vec<i64>>);

impl<'a> Segments<'a> {
    fn add(&mut self, id: i64, service: &'a str, method: &'a str, priority: i32) {
        self.0.entry((Reverse(priority), service, method)).or_default().push(id);
    }

    fn write(self, conn: &mut SqliteConnection, theme: &str) -> QueryResult<()> {
        for ((Reverse(priority), service, method), ids) in self.0 {
            for ids in ids.chunks(SEGMENT) {
                prepared("INSERT INTO gaia_due (theme, service, method, priority, n, ids) VALUES (?, ?, ?, ?, ?, ?)")
                    .bind::<Text, _>(theme)
                    .bind::<Text, _>(service)
                    .bind::<Text, _>(method)
                    .bind::<Integer, _>(priority)
                    .bind::<BigInt, _>(count(ids))
                    .bind::<Text, _>(json(ids))
                    .execute(conn)?;
            }
        }
        Ok(())
    }
}

// ---- claims of rows that plain SQL has written ----

/// A task that runs under a node and is in no claim.
macro_rules! unheld {
    () => {
        "queued <> 2 AND task_status = 'Running' AND lease_owner IS NOT NULL"
    };
}

/// A row that no write could name: only as a text can a node be named. A text may hold bytes that are no characters: names with other
/// characters than those of ASCII are taken for such, unless a node has that name.
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

const DISOWN: &str = concat!(
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

/// Those of them that are in segments, too.
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

/// Makes claims of running tasks that are in none, so that their nodes are looked after. Answers how many there were: a thousand at
/// most.
pub(super) fn hold_unheld(conn: &mut SqliteConnection, now: NaiveDateTime) -> QueryResult<usize> {
    prepared(NAME_UNHELD).execute(conn)?;
    let queued: Vec<(String, i64)> = prepared(QUEUED_UNHELD).columns::<(Text, BigInt)>().load(conn)?;
    for (theme, task) in queued {
        unqueue(conn, &theme, &[task])?;
    }
    prepared(HOLD_UNHELD).bind::<Timestamp, _>(now).execute(conn)?;
    prepared(IS_HELD).execute(conn)
}

/// Tasks that a claim of a node does not have any more, in none from now on: running ones that plain SQL has put elsewhere, and those
/// that have come to an end by plain SQL before their rows said that they ran.
pub(super) fn disown(conn: &mut SqliteConnection, node: &str, claim: i64, ids: &[i64]) -> QueryResult<usize> {
    prepared(
        "UPDATE asynctasks SET queued = 0, lease_token = ?1 WHERE id IN (SELECT value FROM json_each(?2)) \
         AND queued = 1 AND lease_token < ?1 AND task_status NOT IN ('Wait', 'Retry', 'Running')",
    )
    .bind::<BigInt, _>(claim)
    .bind::<Text, _>(json(ids))
    .execute(conn)?;
    prepared(DISOWN)
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

/// Whether any task of any theme runs.
pub(in crate::store) const ANY_RUNS: &str = concat!("EXISTS (SELECT 1 FROM gaia_claims) OR ", any_unheld!());

/// Whether any task of any theme is due.
pub(in crate::store) const ANY_DUE: &str = concat!(
    "EXISTS (SELECT 1 FROM gaia_due) OR EXISTS (SELECT 1 FROM asynctasks INDEXED BY gaia_tasks_stray WHERE ",
    stray!(),
    ")"
);

// ---- by hand ----

/// The last claim that names a task.
const CLAIM_WITH: &str = "SELECT id, node_id, mark FROM gaia_claims WHERE theme = ?1 \
    AND instr(ids, ?2) > 0 AND EXISTS (SELECT 1 FROM json_each(ids) WHERE value = ?2 + 0) ORDER BY id DESC LIMIT 1";

const CANCEL: &str = "UPDATE asynctasks SET task_status = 'Cancelled', run_at = NULL, update_time = ?3, finished_at = ?3 \
    WHERE id = ?2 AND system_name = ?1 AND (task_status IN ('Wait', 'Retry') OR task_status = 'Running' AND lease_owner IS NULL)";

/// Ends a task that waits, or that another framework left as Running without a node. If a claim has it unseen, its row says from then
/// on that it runs.
pub(super) fn cancel_waiting(
    conn: &mut SqliteConnection,
    theme: &str,
    id: i64,
    now: NaiveDateTime,
) -> QueryResult<bool> {
    let claim: Option<(i64, String, String)> = prepared(CLAIM_WITH)
        .bind::<Text, _>(theme)
        .bind::<Text, _>(id.to_string())
        .columns::<(BigInt, Text, Text)>()
        .get_result(conn)
        .optional()?;
    if let Some((token, node, mark)) = claim
        && show(conn, &RunKey::unseen(id, &node, token, &mark))?
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

// ---- adding ----

const INSERT_KEYED: &str = "INSERT INTO asynctasks \
      (system_name, service_name, method_name, task_name, arg, max_retry_time, task_status, create_time, update_time, \
       priority, run_at, timeout_ms, retry_delay_ms, unique_key) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'Wait', ?7, ?7, ?8, ?9, ?10, ?11, ?12) \
    ON CONFLICT DO NOTHING RETURNING id";

const LAST_ID: &str = "SELECT last_insert_rowid() AS id";

const HOLDER_OF_KEY: &str = "SELECT id FROM asynctasks \
    WHERE system_name = ?1 AND unique_key = ?2 AND task_status IN ('Wait', 'Retry', 'Running')";

/// Claimed as by [`claim_due`], unless that would give nothing. The next number of a claim is read here: there is one writer at a
/// time.
const INSERT_CLAIMED: &str = "INSERT INTO asynctasks \
      (system_name, service_name, method_name, task_name, arg, max_retry_time, create_time, priority, timeout_ms, \
       retry_delay_ms, update_time, task_status, lease_owner, lease_token, last_run_time, log_id, queued) \
    SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, iif(may, 'Running', 'Wait'), iif(may, ?12, NULL), \
      iif(may, (SELECT seq + 1 FROM sqlite_sequence WHERE name = 'gaia_claims'), 0), \
      iif(may, ?11, NULL), iif(may, ?13, NULL), iif(may, 2, 0) \
    FROM (SELECT EXISTS (SELECT 1 FROM gaia_nodes WHERE id = ?12) \
      AND NOT EXISTS (SELECT 1 FROM gaia_themes WHERE theme = ?1 AND paused <> 0) AS may) \
    RETURNING id, lease_token";

/// The id and the lease token, which is 0 if it was not claimed.
pub(super) fn insert_claimed(
    conn: &mut SqliteConnection,
    row: &NewTaskRow,
    mark: &ClaimMark,
) -> QueryResult<(i64, i64)> {
    let (id, token): (i64, i64) = adding!(INSERT_CLAIMED, row)
        .bind::<Integer, _>(row.priority)
        .bind::<Nullable<BigInt>, _>(row.timeout_ms)
        .bind::<Nullable<BigInt>, _>(row.retry_delay_ms)
        .bind::<Timestamp, _>(mark.now)
        .bind::<Text, _>(&*mark.node)
        .bind::<Text, _>(&*mark.run)
        .columns::<(BigInt, BigInt)>()
        .get_result(conn)?;
    if token != 0 {
        prepared("INSERT INTO gaia_claims (id, theme, node_id, mark, claimed_at, ids) VALUES (?, ?, ?, ?, ?, ?)")
            .bind::<BigInt, _>(token)
            .bind::<Text, _>(&*row.system_name)
            .bind::<Text, _>(&*mark.node)
            .bind::<Text, _>(&*mark.run)
            .bind::<Timestamp, _>(mark.now)
            .bind::<Text, _>(json(&[id]))
            .execute(conn)?;
    }
    Ok((id, token))
}

/// Puts rows that were inserted with these ids into segments, as far as they are due.
fn queue(conn: &mut SqliteConnection, rows: &[NewTaskRow], ids: &[i64]) -> QueryResult<()> {
    let mut segments = Segments::default();
    for (row, id) in rows.iter().zip(ids).filter(|(row, _)| row.run_at.is_none()) {
        segments.add(*id, &row.service_name, &row.method_name, row.priority);
    }
    let theme = rows.first().map_or("", |row| &row.system_name);
    segments.write(conn, theme)
}

/// Tasks and segments. On a connection without a transaction they would be two commits: there `may_queue` is false. The next claim takes
/// in what is in no segment, and few tasks at less cost than a segment of their own.
pub(super) fn insert(conn: &mut SqliteConnection, rows: &[NewTaskRow], may_queue: bool) -> QueryResult<Vec<AddedTask>> {
    let mut added = Vec::with_capacity(rows.len());
    for run in runs_of(rows, |row| row.unique_key.is_some()) {
        if run[0].unique_key.is_some() {
            for row in run {
                added.push(insert_keyed(conn, row)?);
            }
        } else {
            let is_queued = may_queue && run.len() >= QUEUED_FROM;
            for bulk in bulks(run, Parameters::Numbered, is_queued) {
                let ids = insert_bulk(conn, bulk)?;
                if is_queued {
                    queue(conn, bulk.rows(), &ids)?;
                }
                added.extend(ids.into_iter().map(AddedTask::new));
            }
        }
    }
    Ok(added)
}

fn insert_bulk(conn: &mut SqliteConnection, bulk: Bulk<'_>) -> QueryResult<Vec<i64>> {
    Prepared::new(bulk.sql(), bulk).execute(conn)?;
    let last: i64 = prepared(LAST_ID).columns::<BigInt>().get_result(conn)?;
    // One writer at a time, and AUTOINCREMENT: the ids of one statement are consecutive.
    Ok((last + 1 - bulk.len()..=last).collect())
}

fn insert_keyed(conn: &mut SqliteConnection, row: &NewTaskRow) -> QueryResult<AddedTask> {
    for _ in 0..TRIES_OF_A_KEY {
        if let Some(id) = insert_unless_taken(conn, row)? {
            return Ok(AddedTask::new(id));
        }
        let holder: Option<i64> = prepared(HOLDER_OF_KEY)
            .bind::<Text, _>(&*row.system_name)
            .bind::<Nullable<Text>, _>(&row.unique_key)
            .columns::<BigInt>()
            .get_result(conn)
            .optional()?;
        if let Some(holder) = holder {
            return Ok(AddedTask::duplicate_of(holder));
        }
        // On a connection without a transaction the task that was in the way may have ended in between.
    }
    Err(key_is_elusive())
}

fn insert_unless_taken(conn: &mut SqliteConnection, row: &NewTaskRow) -> QueryResult<Option<i64>> {
    adding!(INSERT_KEYED, row)
        .bind::<Integer, _>(row.priority)
        .bind::<Nullable<Timestamp>, _>(row.run_at)
        .bind::<Nullable<BigInt>, _>(row.timeout_ms)
        .bind::<Nullable<BigInt>, _>(row.retry_delay_ms)
        .bind::<Nullable<Text>, _>(&row.unique_key)
        .columns::<BigInt>()
        .get_result(conn)
        .optional()
}
