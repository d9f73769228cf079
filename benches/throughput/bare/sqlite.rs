//! SQLite, by rusqlite.
//!
//! Tried: claiming by one statement with RETURNING or row by row; records row by row, by INSERT … SELECT, from json_each.

use chrono::NaiveDateTime;
use rusqlite::{Connection, Row, Transaction, TransactionBehavior, params};

use super::{ARG, Batch, Claimed, Ended, METHOD, NAME, OWNER, RETRIES, Result, SERVICE, THEME, now, run};

const INSERT: &str = "INSERT INTO asynctasks \
      (system_name, service_name, method_name, task_name, arg, max_retry_time, task_status, create_time, update_time) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'Wait', ?7, ?7)";

const PICK: &str = "SELECT id, service_name, method_name, arg, retry_time, max_retry_time, timeout_ms, lease_token + 1 \
    FROM asynctasks INDEXED BY gaia_tasks_claim \
    WHERE system_name = ?1 AND task_status IN ('Wait', 'Retry') AND run_at IS NULL ORDER BY priority DESC, id LIMIT ?2";

const CLAIM: &str = "UPDATE asynctasks SET task_status = 'Running', lease_owner = ?2, lease_token = lease_token + 1, \
    last_run_time = ?3, update_time = ?3, log_id = ?4 || '-' || id WHERE id = ?1";

const CLAIM_ALL: &str = "UPDATE asynctasks SET task_status = 'Running', lease_owner = ?1, lease_token = lease_token + 1, \
    last_run_time = ?2, update_time = ?2, log_id = ?3 || '-' || id WHERE id IN (SELECT id \
    FROM asynctasks INDEXED BY gaia_tasks_claim \
    WHERE system_name = ?4 AND task_status IN ('Wait', 'Retry') AND run_at IS NULL ORDER BY priority DESC, id LIMIT ?5) \
    RETURNING id, service_name, method_name, arg, retry_time, max_retry_time, timeout_ms, lease_token";

const FINISH: &str = "UPDATE asynctasks SET task_status = 'Success', last_run_time = ?2, last_run_end_time = ?3, \
    last_run_duration = ?4, last_result = ?5, update_time = ?3, lease_owner = NULL WHERE id = ?1";

const RECORD: &str = "INSERT INTO asynctask_exec_row (task_id, task_status, last_result, last_run_time, last_run_end_time, \
      last_run_duration, log_id, create_time, attempt, node_id, lease_token) \
    VALUES (?1, 'Success', ?5, ?2, ?3, ?4, ?6, ?3, ?7, ?8, ?9)";

const RECORD_ALL: &str = "INSERT INTO asynctask_exec_row (task_id, task_status, last_result, last_run_time, last_run_end_time, \
      last_run_duration, log_id, create_time, attempt, node_id, lease_token) \
    SELECT id, task_status, last_result, last_run_time, last_run_end_time, last_run_duration, log_id, last_run_end_time, \
      retry_time + 1, ?1, lease_token FROM json_each(?2) CROSS JOIN asynctasks ON asynctasks.id = json_each.value";

pub(crate) struct Bare(Connection);

impl Bare {
    pub(super) fn connect(url: &str) -> Result<Self> {
        let conn = Connection::open(url.strip_prefix("sqlite:").unwrap_or(url))?;
        conn.pragma_update(None, "busy_timeout", 20_000)?;
        conn.set_prepared_statement_cache_capacity(32);
        Ok(Self(conn))
    }

    fn transaction(&mut self, synchronous: &str) -> Result<Transaction<'_>> {
        self.0.pragma_update(None, "synchronous", synchronous)?;
        Ok(self.0.transaction_with_behavior(TransactionBehavior::Immediate)?)
    }

    #[expect(clippy::unused_async, reason = "the servers wait")]
    pub(super) async fn insert(&mut self, count: usize) -> Result<Vec<i64>> {
        let transaction = self.transaction("FULL")?;
        let ids = (0..count).map(|_| insert(&transaction)).collect::<Result<_>>()?;
        transaction.commit()?;
        Ok(ids)
    }

    #[expect(clippy::unused_async, reason = "the servers wait")]
    pub(super) async fn insert_one(&mut self) -> Result<i64> {
        insert(&self.0)
    }

    #[expect(clippy::unused_async, reason = "the servers wait")]
    pub(super) async fn claim(&mut self, limit: usize) -> Result<Batch> {
        let (run, at) = (run(), now());
        let transaction = self.transaction("NORMAL")?;
        let tasks = if std::env::var("V_CLAIM").is_ok() {
            let mut claim = transaction.prepare_cached(CLAIM_ALL)?;
            let rows = claim.query_map(params![OWNER, text(at), run, THEME, limit], claimed)?;
            rows.collect::<rusqlite::Result<Vec<_>>>()?
        } else {
            let mut pick = transaction.prepare_cached(PICK)?;
            let tasks: Vec<_> = pick
                .query_map(params![THEME, limit], claimed)?
                .collect::<rusqlite::Result<_>>()?;
            let mut claim = transaction.prepare_cached(CLAIM)?;
            let text = text(at);
            for task in &tasks {
                claim.execute(params![task.id, OWNER, text, run])?;
            }
            tasks
        };
        transaction.commit()?;
        Ok(Batch::new(tasks, run, at))
    }

    #[expect(clippy::unused_async, reason = "the servers wait")]
    pub(super) async fn finish(&mut self, runs: &[Ended]) -> Result<()> {
        let transaction = self.transaction("FULL")?;
        if std::env::var("V_FINISH").is_ok() {
            let mut finish = transaction.prepare_cached(FINISH)?;
            for run in runs {
                let (started, ended) = (text(run.started), text(run.ended));
                finish.execute(params![run.id, started, ended, run.duration, run.result])?;
            }
            let ids = serde_json::to_string(&runs.iter().map(|run| run.id).collect::<Vec<_>>())?;
            transaction.prepare_cached(RECORD_ALL)?.execute(params![OWNER, ids])?;
        } else if std::env::var("V_TWO").is_ok() {
            let mut finish = transaction.prepare_cached(FINISH)?;
            for run in runs {
                let (started, ended) = (text(run.started), text(run.ended));
                finish.execute(params![run.id, started, ended, run.duration, run.result])?;
            }
            let mut record = transaction.prepare_cached(RECORD)?;
            for run in runs {
                let (started, ended) = (text(run.started), text(run.ended));
                let params = params![
                    run.id,
                    started,
                    ended,
                    run.duration,
                    run.result,
                    run.log_id,
                    run.attempt,
                    OWNER,
                    run.token
                ];
                record.execute(params)?;
            }
        } else {
            let mut finish = transaction.prepare_cached(FINISH)?;
            let mut record = transaction.prepare_cached(RECORD)?;
            for run in runs {
                let (started, ended) = (text(run.started), text(run.ended));
                finish.execute(params![run.id, started, ended, run.duration, run.result])?;
                let params = params![
                    run.id,
                    started,
                    ended,
                    run.duration,
                    run.result,
                    run.log_id,
                    run.attempt,
                    OWNER,
                    run.token
                ];
                record.execute(params)?;
            }
        }
        transaction.commit()?;
        Ok(())
    }
}

fn insert(conn: &Connection) -> Result<i64> {
    let params = params![THEME, SERVICE, METHOD, NAME, ARG, RETRIES, text(now())];
    conn.prepare_cached(INSERT)?.execute(params)?;
    Ok(conn.last_insert_rowid())
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
        token: row.get(7)?,
    })
}

/// As diesel writes times.
fn text(at: NaiveDateTime) -> String {
    at.format("%F %T%.6f").to_string()
}
