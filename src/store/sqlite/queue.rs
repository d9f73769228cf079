//! The segments of due tasks.

use std::{cmp::Reverse, collections::BTreeMap, fmt::Write as _};

use diesel::{
    prelude::*,
    sql_types::{BigInt, Integer, Text},
    sqlite::SqliteConnection,
};

use crate::store::{
    lenient::{AnyInt, AnyText, narrow},
    statement::prepared::prepared,
    tasks::queue::SEGMENT,
};

/// The condition that a task is a stray: it waits, is due, and is in no segment. The statuses are written in the text, not bound as
/// parameters: only then can SQLite prove that the partial index serves.
macro_rules! stray {
    () => {
        "queued <> 1 AND task_status IN ('Wait', 'Retry') AND run_at IS NULL"
    };
}
pub(super) use stray;

pub(super) fn cut(conn: &mut SqliteConnection, segment: i64, rest: &[i64]) -> QueryResult<usize> {
    prepared("UPDATE gaia_due SET ids = ?1, n = ?2 WHERE id = ?3")
        .bind::<Text, _>(json(rest))
        .bind::<BigInt, _>(count(rest))
        .bind::<BigInt, _>(segment)
        .execute(conn)
}

const SEGMENTS_WITH: &str = "SELECT id, ids FROM gaia_due WHERE theme = ?1 AND instr(ids, ?2) > 0";

/// Takes tasks out of their segments. Answers with the tasks that were in one; the others are in a claim.
pub(super) fn unqueue(conn: &mut SqliteConnection, theme: &str, tasks: &[i64]) -> QueryResult<Vec<i64>> {
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

pub(super) fn drop_segments(conn: &mut SqliteConnection, segments: &[i64]) -> QueryResult<usize> {
    prepared("DELETE FROM gaia_due WHERE id IN (SELECT value FROM json_each(?))")
        .bind::<Text, _>(json(segments))
        .execute(conn)
}

/// Drops a segment whose tasks do not wait. A task that waits again later is a stray.
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

/// Reads a list of ids. A text that is no such list counts as an empty one: only this crate writes the column.
pub(super) fn list(ids: &str) -> Vec<i64> {
    serde_json::from_str(ids).unwrap_or_default()
}

pub(super) fn json(ids: &[i64]) -> String {
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

pub(super) fn count(ids: &[i64]) -> i64 {
    i64::try_from(ids.len()).unwrap_or(i64::MAX)
}

/// The most strays that one claim puts into segments, the highest priority first.
const MAX_STRAYS_PER_CLAIM: i64 = 2_000;

/// The limit is a sum, because SQLite prepares a statement again for each value of a limit that is just a parameter.
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

/// Puts strays into segments: tasks that plain SQL has written, and tasks that went back to the queue.
pub(super) fn queue_strays(conn: &mut SqliteConnection, theme: &str, limit: usize) -> QueryResult<()> {
    let most = MAX_STRAYS_PER_CLAIM.max(i64::try_from(limit).unwrap_or(i64::MAX));
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
pub(super) struct Segments<'a>(BTreeMap<(Reverse<i32>, &'a str, &'a str), Vec<i64>>);

impl<'a> Segments<'a> {
    pub(super) fn add(&mut self, id: i64, service: &'a str, method: &'a str, priority: i32) {
        self.0.entry((Reverse(priority), service, method)).or_default().push(id);
    }

    pub(super) fn write(self, conn: &mut SqliteConnection, theme: &str) -> QueryResult<()> {
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

/// Notes that these tasks are in a segment, or in the claim that takes them out of the segment. Raises their lease tokens, so that no
/// earlier claim holds them any more, even if plain SQL has written the tokens.
pub(super) fn is_queued(conn: &mut SqliteConnection, tasks: &[i64]) -> QueryResult<usize> {
    prepared(
        "UPDATE asynctasks SET queued = 1, lease_token = iif(typeof(lease_token) = 'integer', \
           max(lease_token, (SELECT IFNULL(MAX(id), 0) FROM gaia_claims)), lease_token) \
         WHERE id IN (SELECT value FROM json_each(?))",
    )
    .bind::<Text, _>(json(tasks))
    .execute(conn)
}
