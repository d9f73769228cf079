//! The segments of due tasks.

use std::{cmp::Reverse, collections::BTreeMap};

use diesel::{
    OptionalExtension, QueryResult,
    sql_types::{BigInt, Integer, Text},
};
use diesel_async::{AsyncMysqlConnection, RunQueryDsl};

use crate::store::{
    lenient::{AnyInt, AnyText, narrow},
    statement::prepared::prepared,
    tasks::queue::SEGMENT,
};

/// The rows `t` of a table with these keys. The parameter is a JSON list of the keys.
macro_rules! picked {
    ($table:literal) => {
        concat!(
            "JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$')) picked STRAIGHT_JOIN ",
            $table,
            " t FORCE INDEX (PRIMARY) ON t.id = picked.id"
        )
    };
}
pub(super) use picked;

const DROP_SEGMENTS: &str = concat!("DELETE t FROM ", picked!("gaia_due"));

const CUT_SEGMENT: &str = "UPDATE gaia_due SET ids = ?, n = ? WHERE id = ?";

const ADD_SEGMENT: &str = "INSERT INTO gaia_due (theme, service, method, priority, n, ids) VALUES (?, ?, ?, ?, ?, ?)";

/// The most strays that one claim puts into segments, the highest priority first.
const MAX_STRAYS_PER_CLAIM: i64 = 2_000;

const STRAYS: &str = "SELECT id, service_name, method_name, priority FROM asynctasks FORCE INDEX (gaia_tasks_stray) \
    WHERE stray = CONCAT('due ', ?) ORDER BY priority DESC, id LIMIT ? FOR UPDATE SKIP LOCKED";

/// `update_time` stays, since nothing has changed that people see of the task.
const QUEUED: &str = concat!(
    "UPDATE ",
    picked!("asynctasks"),
    " SET t.queued = ?, t.update_time = t.update_time"
);

/// Notes that tasks are in a segment. Raises their lease tokens, so that no earlier claim holds them any more, even if plain SQL has written
/// the tokens.
const TAKEN_IN: &str = concat!(
    "UPDATE ",
    picked!("asynctasks"),
    " SET t.queued = 1, t.lease_token = GREATEST(t.lease_token, ?), t.update_time = t.update_time"
);

pub(super) const THERE: &str = concat!(
    "SELECT t.id, t.service_name, t.method_name, t.priority FROM ",
    picked!("asynctasks"),
    " WHERE t.queued = 1"
);

pub(super) const LAST_CLAIM: &str = "SELECT COALESCE(MAX(id), 0) AS last FROM gaia_claims";

const SEGMENTS_WITH: &str = "SELECT id, ids FROM gaia_due WHERE theme = ? AND INSTR(ids, ?) > 0 FOR UPDATE SKIP LOCKED";

const IS_QUEUED: &str = "SELECT EXISTS (SELECT 1 FROM gaia_due WHERE theme = ? AND INSTR(ids, ?) > 0 AND JSON_CONTAINS(ids, ?)) AS is_queued";

/// Whether a task was taken out of its segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unqueued {
    Done,
    /// A claim takes tasks out of the segment.
    Locked,
    /// The task is in no segment: a claim has it.
    NotThere,
}

pub(super) async fn unqueue(conn: &mut AsyncMysqlConnection, theme: &str, task: i64) -> QueryResult<Unqueued> {
    let text = task.to_string();
    let segments: Vec<(i64, String)> = prepared(SEGMENTS_WITH)
        .bind::<Text, _>(theme)
        .bind::<Text, _>(&text)
        .columns::<(BigInt, Text)>()
        .load(conn)
        .await?;
    for (segment, ids) in segments {
        let (with, rest): (Vec<i64>, Vec<i64>) = list(&ids).into_iter().partition(|id| *id == task);
        if !with.is_empty() {
            match rest.is_empty() {
                true => drop_segments(conn, &[segment]).await?,
                false => cut(conn, segment, &rest).await?,
            };
            return Ok(Unqueued::Done);
        }
    }
    let is_queued: i64 = prepared(IS_QUEUED)
        .bind::<Text, _>(theme)
        .bind::<Text, _>(&text)
        .bind::<Text, _>(&text)
        .columns::<BigInt>()
        .get_result(conn)
        .await?;
    Ok(match is_queued {
        0 => Unqueued::NotThere,
        _ => Unqueued::Locked,
    })
}

/// Reads a list of ids. A text that is no such list counts as an empty one: only this crate writes the column.
pub(super) fn list(ids: &str) -> Vec<i64> {
    serde_json::from_str(ids).unwrap_or_default()
}

pub(super) async fn cut(conn: &mut AsyncMysqlConnection, segment: i64, rest: &[i64]) -> QueryResult<usize> {
    prepared(CUT_SEGMENT)
        .bind::<Text, _>(json(rest))
        .bind::<BigInt, _>(count(rest))
        .bind::<BigInt, _>(segment)
        .execute(conn)
        .await
}

pub(super) async fn drop_segments(conn: &mut AsyncMysqlConnection, segments: &[i64]) -> QueryResult<usize> {
    prepared(DROP_SEGMENTS)
        .bind::<Text, _>(json(segments))
        .execute(conn)
        .await
}

/// Drops a segment whose tasks do not wait, unless a claim has locked it. A task that waits again later is a stray. Runs inside a
/// transaction.
pub(super) async fn drop_segment(conn: &mut AsyncMysqlConnection, segment: i64) -> QueryResult<()> {
    let tasks: Option<String> = prepared("SELECT ids FROM gaia_due WHERE id = ? FOR UPDATE SKIP LOCKED")
        .bind::<BigInt, _>(segment)
        .columns::<Text>()
        .get_result(conn)
        .await
        .optional()?;
    let Some(tasks) = tasks else {
        return Ok(());
    };
    drop_segments(conn, &[segment]).await?;
    let queued: Vec<(i64, AnyText, AnyText, AnyInt)> = prepared(THERE)
        .bind::<Text, _>(json(&list(&tasks)))
        .columns::<(BigInt, Text, Text, Integer)>()
        .load(conn)
        .await?;
    let queued: Vec<i64> = queued.into_iter().map(|(id, ..)| id).collect();
    set_queued(conn, &queued, 0).await
}

pub(super) async fn set_queued(conn: &mut AsyncMysqlConnection, ids: &[i64], queued: i32) -> QueryResult<()> {
    if !ids.is_empty() {
        prepared(QUEUED)
            .bind::<Text, _>(json(ids))
            .bind::<Integer, _>(queued)
            .execute(conn)
            .await?;
    }
    Ok(())
}

/// Puts strays into segments: tasks that plain SQL has written, tasks that went back to the queue, and tasks that were added one by one.
/// Answers how many there were.
pub(super) async fn queue_strays(conn: &mut AsyncMysqlConnection, theme: &str, limit: usize) -> QueryResult<usize> {
    let most = MAX_STRAYS_PER_CLAIM.max(i64::try_from(limit).unwrap_or(i64::MAX));
    let strays: Vec<(i64, AnyText, AnyText, AnyInt)> = prepared(STRAYS)
        .bind::<Text, _>(theme)
        .bind::<BigInt, _>(most)
        .columns::<(BigInt, Text, Text, Integer)>()
        .load(conn)
        .await?;
    let mut segments = Segments::default();
    for (id, service, method, priority) in &strays {
        segments.add(*id, &service.0, &method.0, narrow(*priority).unwrap_or(0));
    }
    segments.write(conn, theme).await?;
    if strays.is_empty() {
        return Ok(0);
    }
    let ids: Vec<i64> = strays.iter().map(|(id, ..)| *id).collect();
    let last: i64 = prepared(LAST_CLAIM).columns::<BigInt>().get_result(conn).await?;
    prepared(TAKEN_IN)
        .bind::<Text, _>(json(&ids))
        .bind::<BigInt, _>(last)
        .execute(conn)
        .await?;
    Ok(ids.len())
}

/// Due tasks on their way into segments.
#[derive(Default)]
pub(super) struct Segments<'a>(BTreeMap<(Reverse<i32>, &'a str, &'a str), Vec<i64>>);

impl<'a> Segments<'a> {
    pub(super) fn add(&mut self, id: i64, service: &'a str, method: &'a str, priority: i32) {
        self.0.entry((Reverse(priority), service, method)).or_default().push(id);
    }

    pub(super) async fn write(self, conn: &mut AsyncMysqlConnection, theme: &str) -> QueryResult<()> {
        for ((Reverse(priority), service, method), ids) in self.0 {
            for ids in ids.chunks(SEGMENT) {
                prepared(ADD_SEGMENT)
                    .bind::<Text, _>(theme)
                    .bind::<Text, _>(service)
                    .bind::<Text, _>(method)
                    .bind::<Integer, _>(priority)
                    .bind::<BigInt, _>(count(ids))
                    .bind::<Text, _>(json(ids))
                    .execute(conn)
                    .await?;
            }
        }
        Ok(())
    }
}

pub(super) fn count(ids: &[i64]) -> i64 {
    i64::try_from(ids.len()).unwrap_or(i64::MAX)
}

/// A JSON list of ids, sorted: rows are locked in this order.
pub(super) fn json(ids: &[i64]) -> String {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    let ids: Vec<String> = ids.into_iter().map(|id| id.to_string()).collect();
    format!("[{}]", ids.join(","))
}

pub(super) async fn is_any_stray(conn: &mut AsyncMysqlConnection, theme: &str) -> QueryResult<bool> {
    let any: i64 = prepared("SELECT EXISTS (SELECT 1 FROM asynctasks WHERE stray = CONCAT('due ', ?)) AS any_stray")
        .bind::<Text, _>(theme)
        .columns::<BigInt>()
        .get_result(conn)
        .await?;
    Ok(any != 0)
}
