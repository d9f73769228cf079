//! MySQL and MariaDB, by `mysql_async`. Tried besides: claiming by `UPDATE … ORDER BY … LIMIT`, ends row by row, records by one
//! INSERT of all values, new tasks from JSON. The servers write every commit to the disk, or none: a claim waits for it, too.

use chrono::NaiveDateTime;
use mysql_async::{Conn, Opts, OptsBuilder, Params, Row, TxOpts, Value, prelude::Queryable};
use serde::Serialize;

use super::{ARG, Batch, Claimed, Ended, METHOD, NAME, OWNER, RETRIES, Result, SERVICE, THEME, many, now, run};

const INSERT: &str = "INSERT INTO asynctasks (system_name, service_name, method_name, task_name, arg, max_retry_time, \
    task_status, queued, create_time, update_time) VALUES ";
const INSERT_ROW: &str = "(?, ?, ?, ?, ?, ?, 'Wait', 1, ?, ?)";

/// The tasks of one insert are a segment.
const QUEUE: &str = "INSERT INTO gaia_due (theme, service, method, priority, n, ids) VALUES (?, ?, ?, 0, ?, ?)";

/// A segment has as many tasks as a claim takes.
const TAKE: &str = "SELECT id, ids FROM gaia_due FORCE INDEX (gaia_due_order) WHERE theme = ? \
    ORDER BY priority DESC, id LIMIT 1 FOR UPDATE";

const TAKEN: &str = "DELETE FROM gaia_due WHERE id = ?";

const NOTE: &str = "INSERT INTO gaia_claims (theme, node_id, mark, claimed_at, ids) VALUES (?, ?, ?, ?, ?)";

/// The rows stay as they are.
const PICK: &str = "SELECT t.id, service_name, method_name, arg, retry_time, max_retry_time, timeout_ms \
    FROM JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$')) i \
      STRAIGHT_JOIN asynctasks t FORCE INDEX (PRIMARY) ON t.id = i.id";

const FINISH: &str = "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$[0]', started DATETIME(6) PATH '$[1]', \
      ended DATETIME(6) PATH '$[2]', duration BIGINT PATH '$[3]', result MEDIUMTEXT PATH '$[4]')) i \
      STRAIGHT_JOIN asynctasks t FORCE INDEX (PRIMARY) ON t.id = i.id \
    SET t.task_status = 'Success', t.last_run_time = i.started, t.last_run_end_time = i.ended, \
      t.last_run_duration = i.duration, t.last_result = i.result, t.update_time = i.ended, t.lease_token = ?, \
      t.log_id = CONCAT(?, '-', t.id), t.queued = 0";

const RECORD: &str = "INSERT INTO asynctask_exec_row (task_id, task_status, last_result, last_run_time, last_run_end_time, \
      last_run_duration, log_id, create_time, attempt, node_id, lease_token) \
    SELECT t.id, t.task_status, t.last_result, t.last_run_time, t.last_run_end_time, t.last_run_duration, t.log_id, \
      t.last_run_end_time, t.retry_time + 1, ?, t.lease_token \
    FROM JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$')) i \
      STRAIGHT_JOIN asynctasks t FORCE INDEX (PRIMARY) ON t.id = i.id";

/// The driver keeps each statement prepared.
pub(crate) struct Bare {
    conn: Conn,
    /// Number and mark of the last claim.
    claim: (u64, String),
}

impl Bare {
    pub(super) async fn connect(url: &str) -> Result<Self> {
        let session = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED";
        let opts = OptsBuilder::from_opts(Opts::from_url(url)?);
        let opts = opts.prefer_socket(false).init(vec![session]);
        Ok(Self {
            conn: Conn::new(opts).await?,
            claim: (0, String::new()),
        })
    }

    /// The ids of one statement are consecutive.
    pub(super) async fn insert(&mut self, count: usize) -> Result<Vec<i64>> {
        let at = now();
        let values = (0..count).flat_map(|_| new_task(at)).collect();
        let insert = many(INSERT, INSERT_ROW, count);
        let mut transaction = self.conn.start_transaction(TxOpts::new()).await?;
        transaction.exec_drop(insert, Params::Positional(values)).await?;
        let first = i64::try_from(transaction.last_insert_id().ok_or("no id was given")?)?;
        let ids: Vec<i64> = (first..).take(count).collect();
        let queue = (THEME, SERVICE, METHOD, count, json(ids.iter())?);
        transaction.exec_drop(QUEUE, queue).await?;
        transaction.commit().await?;
        Ok(ids)
    }

    /// In no segment: the next claim takes it in.
    pub(super) async fn insert_one(&mut self) -> Result<i64> {
        let insert = many(INSERT, &INSERT_ROW.replace("'Wait', 1", "'Wait', 0"), 1);
        let values = new_task(now()).into();
        self.conn.exec_drop(insert, Params::Positional(values)).await?;
        Ok(i64::try_from(self.conn.last_insert_id().ok_or("no id was given")?)?)
    }

    pub(super) async fn claim(&mut self) -> Result<Batch> {
        let (run, at) = (run(), now());
        let mut transaction = self.conn.start_transaction(TxOpts::new()).await?;
        let taken: Option<(i64, String)> = transaction.exec_first(TAKE, (THEME,)).await?;
        let Some((segment, ids)) = taken else {
            return Ok(Batch { at, tasks: Vec::new() });
        };
        transaction.exec_drop(TAKEN, (segment,)).await?;
        let tasks = transaction.exec_map(PICK, (&ids,), claimed).await?;
        transaction.exec_drop(NOTE, (THEME, OWNER, &run, at, &ids)).await?;
        let token = transaction.last_insert_id().ok_or("no number was given")?;
        transaction.commit().await?;
        self.claim = (token, run);
        Ok(Batch { at, tasks })
    }

    pub(super) async fn finish(&mut self, runs: &[Ended]) -> Result<()> {
        let end = |run: &Ended| (run.id, text(run.started), text(run.ended), run.duration, run.result);
        let (ends, ids) = (json(runs.iter().map(end))?, json(runs.iter().map(|run| run.id))?);
        let mut transaction = self.conn.start_transaction(TxOpts::new()).await?;
        let (token, mark) = &self.claim;
        transaction.exec_drop(FINISH, (ends, token, mark)).await?;
        transaction.exec_drop(RECORD, (OWNER, ids)).await?;
        Ok(transaction.commit().await?)
    }
}

fn new_task(at: NaiveDateTime) -> [Value; 8] {
    let (retries, at) = (RETRIES.into(), at.into());
    [
        THEME.into(),
        SERVICE.into(),
        METHOD.into(),
        NAME.into(),
        ARG.into(),
        retries,
        Value::clone(&at),
        at,
    ]
}

fn claimed(row: Row) -> Claimed {
    let (id, service, method, arg, retry_time, max_retry_time, timeout_ms) = mysql_async::from_row(row);
    Claimed {
        id,
        service,
        method,
        arg,
        retry_time,
        max_retry_time,
        timeout_ms,
    }
}

fn json(items: impl Iterator<Item = impl Serialize>) -> Result<String> {
    Ok(serde_json::to_string(&items.collect::<Vec<_>>())?)
}

fn text(at: NaiveDateTime) -> String {
    at.format("%F %T%.6f").to_string()
}
