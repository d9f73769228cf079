//! MySQL and MariaDB, by `mysql_async`.

use mysql_async::{Conn, Opts, OptsBuilder, Params, Row, Statement, TxOpts, Value, prelude::Queryable};

use super::{ARG, Batch, Claimed, Ended, METHOD, NAME, OWNER, RETRIES, Result, SERVICE, THEME, now, run};

const INSERT: &str = "INSERT INTO asynctasks \
      (system_name, service_name, method_name, task_name, arg, max_retry_time, task_status, create_time, update_time) VALUES ";
const INSERT_ROW: &str = "(?, ?, ?, ?, ?, ?, 'Wait', ?, ?)";

const CLAIM: &str = "UPDATE asynctasks SET task_status = 'Running', lease_owner = ?, lease_token = lease_token + 1, \
      last_run_time = ?, update_time = ?, log_id = CONCAT(?, '-', id) \
    WHERE due_theme = ? ORDER BY priority DESC, id LIMIT ?";

const CLAIMED: &str = "SELECT id, service_name, method_name, arg, retry_time, max_retry_time, timeout_ms, lease_token \
    FROM asynctasks WHERE lease_owner = ? AND task_status = 'Running'";

const PICK: &str = "SELECT id, service_name, method_name, arg, retry_time, max_retry_time, timeout_ms, lease_token + 1 \
    FROM asynctasks FORCE INDEX (gaia_tasks_claim) WHERE due_theme = ? ORDER BY priority DESC, id LIMIT ?";

const CLAIM_IDS: &str = "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$')) picked \
    STRAIGHT_JOIN asynctasks t FORCE INDEX (PRIMARY) ON t.id = picked.id \
    SET t.task_status = 'Running', t.lease_owner = ?, t.lease_token = t.lease_token + 1, t.last_run_time = ?, \
    t.update_time = ?, t.log_id = CONCAT(?, '-', t.id)";

const FINISH: &str = "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$[0]', started DATETIME(6) PATH '$[1]', \
      ended DATETIME(6) PATH '$[2]', duration BIGINT PATH '$[3]', result MEDIUMTEXT PATH '$[4]')) i \
      STRAIGHT_JOIN asynctasks t FORCE INDEX (PRIMARY) ON t.id = i.id \
    SET t.task_status = 'Success', t.last_run_time = i.started, t.last_run_end_time = i.ended, \
      t.last_run_duration = i.duration, t.last_result = i.result, t.update_time = i.ended, t.lease_owner = NULL";

const FINISH_ONE: &str = "UPDATE asynctasks SET task_status = 'Success', last_run_time = ?, last_run_end_time = ?, \
      last_run_duration = ?, last_result = ?, update_time = ?, lease_owner = NULL WHERE id = ?";

const RECORD: &str = "INSERT INTO asynctask_exec_row (task_id, task_status, last_result, last_run_time, last_run_end_time, \
      last_run_duration, log_id, create_time, attempt, node_id, lease_token) VALUES ";
const RECORD_ROW: &str = "(?, 'Success', ?, ?, ?, ?, ?, ?, ?, ?, ?)";

const RECORD_SELECT: &str = "INSERT INTO asynctask_exec_row (task_id, task_status, last_result, last_run_time, \
      last_run_end_time, last_run_duration, log_id, create_time, attempt, node_id, lease_token) \
    SELECT t.id, t.task_status, t.last_result, t.last_run_time, t.last_run_end_time, t.last_run_duration, t.log_id, \
      t.last_run_end_time, t.retry_time + 1, ?, t.lease_token \
    FROM JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$[0]')) i \
      STRAIGHT_JOIN asynctasks t FORCE INDEX (PRIMARY) ON t.id = i.id";

pub(crate) struct Bare {
    conn: Conn,
    insert_one: Statement,
    finish: Statement,
}

impl Bare {
    pub(super) async fn connect(url: &str) -> Result<Self> {
        let opts = OptsBuilder::from_opts(Opts::from_url(url)?)
            .stmt_cache_size(64)
            .init(vec!["SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"]);
        let mut conn = Conn::new(opts).await?;
        Ok(Self {
            insert_one: conn.prep(format!("{INSERT}{INSERT_ROW}")).await?,
            finish: conn.prep(FINISH).await?,
            conn,
        })
    }

    pub(super) async fn insert(&mut self, count: usize) -> Result<Vec<i64>> {
        let insert = self.conn.prep(rows(INSERT, INSERT_ROW, count)).await?;
        let at = now();
        let params: Vec<Value> = (0..count).flat_map(|_| new_task(at)).collect();
        self.conn.exec_drop(&insert, Params::Positional(params)).await?;
        let first = i64::try_from(self.conn.last_insert_id().ok_or("no id was given")?)?;
        Ok((first..).take(count).collect())
    }

    pub(super) async fn insert_one(&mut self) -> Result<i64> {
        let params = Params::Positional(new_task(now()).into());
        self.conn.exec_drop(&self.insert_one, params).await?;
        Ok(i64::try_from(self.conn.last_insert_id().ok_or("no id was given")?)?)
    }

    pub(super) async fn claim(&mut self, limit: usize) -> Result<Batch> {
        let (run, at) = (run(), now());
        let mut transaction = self.conn.start_transaction(TxOpts::new()).await?;
        let tasks: Vec<Claimed> = if std::env::var("V_CLAIM").is_ok() {
            let tasks: Vec<Claimed> = transaction.exec_map(PICK, (THEME, limit), claimed).await?;
            let ids = serde_json::to_string(&tasks.iter().map(|task| task.id).collect::<Vec<_>>())?;
            transaction.exec_drop(CLAIM_IDS, (ids, OWNER, at, at, &run)).await?;
            tasks
        } else {
            transaction
                .exec_drop(CLAIM, (OWNER, at, at, &run, THEME, limit))
                .await?;
            transaction.exec_map(CLAIMED, (OWNER,), claimed).await?
        };
        transaction.commit().await?;
        Ok(Batch::new(tasks, run, at))
    }

    pub(super) async fn finish(&mut self, runs: &[Ended]) -> Result<()> {
        let mut transaction = self.conn.start_transaction(TxOpts::new()).await?;
        if std::env::var("V_ONE").is_ok() {
            let params = runs
                .iter()
                .map(|run| (run.started, run.ended, run.duration, run.result, run.ended, run.id));
            transaction.exec_batch(FINISH_ONE, params).await?;
        } else {
            let format = "%F %T%.6f";
            let ends: Vec<_> = runs
                .iter()
                .map(|run| {
                    (
                        run.id,
                        run.started.format(format).to_string(),
                        run.ended.format(format).to_string(),
                        run.duration,
                        run.result,
                    )
                })
                .collect();
            transaction
                .exec_drop(&self.finish, (serde_json::to_string(&ends)?,))
                .await?;
        }
        if std::env::var("V_SELECT").is_ok() {
            let ids: Vec<_> = runs.iter().map(|run| (run.id,)).collect();
            transaction
                .exec_drop(RECORD_SELECT, (OWNER, serde_json::to_string(&ids)?))
                .await?;
        } else {
            let params = runs.iter().flat_map(record).collect();
            transaction
                .exec_drop(rows(RECORD, RECORD_ROW, runs.len()), Params::Positional(params))
                .await?;
        }
        transaction.commit().await?;
        Ok(())
    }
}

fn rows(start: &str, row: &str, count: usize) -> String {
    format!("{start}{}", vec![row; count].join(", "))
}

fn new_task(at: chrono::NaiveDateTime) -> [Value; 8] {
    [
        THEME.into(),
        SERVICE.into(),
        METHOD.into(),
        NAME.into(),
        ARG.into(),
        RETRIES.into(),
        at.into(),
        at.into(),
    ]
}

fn record(run: &Ended) -> [Value; 10] {
    [
        run.id.into(),
        run.result.into(),
        run.started.into(),
        run.ended.into(),
        run.duration.into(),
        (&run.log_id).into(),
        run.ended.into(),
        run.attempt.into(),
        OWNER.into(),
        run.token.into(),
    ]
}

fn claimed(row: Row) -> Claimed {
    let (id, service, method, arg, retry_time, max_retry_time, timeout_ms, token) = mysql_async::from_row(row);
    Claimed {
        id,
        service,
        method,
        arg,
        retry_time,
        max_retry_time,
        timeout_ms,
        token,
    }
}
