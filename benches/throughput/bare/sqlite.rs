//! SQLite, by rusqlite. Tried besides: adding, claiming and recording row by row, and recording by one INSERT of all values.

use std::iter::repeat_n;

use chrono::NaiveDateTime;
use rusqlite::{
    Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params, params_from_iter, types::Value,
};

use super::{ARG, Batch, Claimed, Ended, METHOD, NAME, OWNER, RETRIES, Result, SERVICE, THEME, many, now, run};

const INSERT: &str = "INSERT INTO asynctasks (system_name, service_name, method_name, task_name, arg, max_retry_time, \
    task_status, queued, create_time, update_time) VALUES ";
const INSERT_ROW: &str = "(?, ?, ?, ?, ?, ?, 'Wait', 1, ?, ?)";

/// The tasks of one insert are a segment.
const QUEUE: &str = "INSERT INTO gaia_due (theme, service, method, priority, n, ids) VALUES (?1, ?2, ?3, 0, ?4, ?5)";

/// A segment has as many tasks as a claim takes.
const TAKE: &str = "DELETE FROM gaia_due WHERE id = (SELECT id FROM gaia_due WHERE theme = ?1 ORDER BY priority DESC, id LIMIT 1) \
    RETURNING ids";

const NOTE: &str = "INSERT INTO gaia_claims (theme, node_id, mark, claimed_at, ids) VALUES (?1, ?2, ?3, ?4, ?5)";

/// The rows stay as they are.
const CLAIM: &str = "SELECT id, service_name, method_name, arg, retry_time, max_retry_time, timeout_ms FROM asynctasks \
    WHERE id IN (SELECT value FROM json_each(?1))";

/// One row: to join all rows with a list takes no less time, and a thousand times as long by the wrong index.
const FINISH: &str = "UPDATE asynctasks SET task_status = 'Success', last_run_time = ?2, last_run_end_time = ?3, \
    last_run_duration = ?4, last_result = ?5, update_time = ?3, lease_token = ?6, log_id = ?7 || '-' || id, queued = 0 WHERE id = ?1";

const RECORD: &str = "INSERT INTO asynctask_exec_row (task_id, task_status, last_result, last_run_time, last_run_end_time, \
      last_run_duration, log_id, create_time, attempt, node_id, lease_token) \
    SELECT t.id, t.task_status, t.last_result, t.last_run_time, t.last_run_end_time, t.last_run_duration, t.log_id, \
      t.last_run_end_time, t.retry_time + 1, ?1, t.lease_token \
    FROM json_each(?2) i CROSS JOIN asynctasks t ON t.id = i.value";

pub(crate) struct Bare {
    conn: Connection,
    /// Number and mark of the last claim.
    claim: (i64, String),
}

#[expect(clippy::unused_async, reason = "the servers wait")]
impl Bare {
    pub(super) fn connect(url: &str) -> Result<Self> {
        let conn = Connection::open(url.strip_prefix("sqlite:").unwrap_or(url))?;
        conn.pragma_update(None, "busy_timeout", 20_000)?;
        conn.pragma_update(None, "synchronous", "FULL")?;
        let claim = (0, String::new());
        Ok(Self { conn, claim })
    }

    pub(super) async fn insert(&mut self, count: usize) -> Result<Vec<i64>> {
        let transaction = self.transaction("FULL")?;
        let at = text(now());
        let values = repeat_n((), count).flat_map(|()| new_task(&at));
        let mut insert = transaction.prepare_cached(&many(INSERT, INSERT_ROW, count))?;
        insert.execute(params_from_iter(values))?;
        drop(insert);
        let last = transaction.last_insert_rowid();
        let ids: Vec<i64> = (last + 1 - i64::try_from(count)?..=last).collect();
        let mut queue = transaction.prepare_cached(QUEUE)?;
        queue.execute(params![THEME, SERVICE, METHOD, count, serde_json::to_string(&ids)?])?;
        drop(queue);
        transaction.commit()?;
        Ok(ids)
    }

    pub(super) async fn insert_one(&mut self) -> Result<i64> {
        Ok(self.insert(1).await?[0])
    }

    pub(super) async fn claim(&mut self) -> Result<Batch> {
        let (run, at) = (run(), now());
        let transaction = self.transaction("NORMAL")?;
        let mut take = transaction.prepare_cached(TAKE)?;
        let ids: Option<String> = take.query_row(params![THEME], |row| row.get(0)).optional()?;
        drop(take);
        let Some(ids) = ids else {
            return Ok(Batch { at, tasks: Vec::new() });
        };
        let mut note = transaction.prepare_cached(NOTE)?;
        let token = note.insert(params![THEME, OWNER, run, text(at), ids])?;
        drop(note);
        let mut claim = transaction.prepare_cached(CLAIM)?;
        let tasks = claim.query_map(params![ids], claimed)?;
        let tasks = tasks.collect::<rusqlite::Result<_>>()?;
        drop(claim);
        transaction.commit()?;
        self.claim = (token, run);
        Ok(Batch { at, tasks })
    }

    pub(super) async fn finish(&mut self, runs: &[Ended]) -> Result<()> {
        let (token, mark) = self.claim.clone();
        let transaction = self.transaction("FULL")?;
        let mut finish = transaction.prepare_cached(FINISH)?;
        for run in runs {
            let (started, ended) = (text(run.started), text(run.ended));
            finish.execute(params![run.id, started, ended, run.duration, run.result, token, mark])?;
        }
        drop(finish);
        let ids: Vec<i64> = runs.iter().map(|run| run.id).collect();
        let mut record = transaction.prepare_cached(RECORD)?;
        record.execute(params![OWNER, serde_json::to_string(&ids)?])?;
        drop(record);
        Ok(transaction.commit()?)
    }

    fn transaction(&mut self, synchronous: &str) -> Result<Transaction<'_>> {
        self.conn.pragma_update(None, "synchronous", synchronous)?;
        Ok(self.conn.transaction_with_behavior(TransactionBehavior::Immediate)?)
    }
}

fn new_task(at: &str) -> [Value; 8] {
    let text = |text: &str| Value::from(text.to_owned());
    let (retries, at) = (Value::from(RETRIES), text(at));
    [
        text(THEME),
        text(SERVICE),
        text(METHOD),
        text(NAME),
        text(ARG),
        retries,
        at.clone(),
        at,
    ]
}

fn claimed(row: &Row<'_>) -> rusqlite::Result<Claimed> {
    Ok(Claimed {
        id: row.get(0)?,
        service: row.get(1)?,
        method: row.get(2)?,
        arg: row.get(3)?,
        retry_time: row.get(4)?,
        max_retry_time: row.get(5)?,
        timeout_ms: row.get(6)?,
    })
}

/// As diesel writes times.
fn text(at: NaiveDateTime) -> String {
    at.format("%F %T%.6f").to_string()
}
