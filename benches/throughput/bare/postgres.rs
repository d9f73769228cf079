//! PostgreSQL, by tokio-postgres. Tried besides: COPY, `id IN (SELECT …)`, `FOR UPDATE SKIP LOCKED`, durable claims, and the next
//! claim sent before the answer to a finish; none was faster.

use chrono::NaiveDateTime;
use tokio_postgres::{Client, NoTls, Row, Statement, types::ToSql};

use super::{ARG, Batch, Claimed, Ended, METHOD, NAME, OWNER, RETRIES, Result, SERVICE, THEME, now, run};

/// Nobody has to be told, and ids are given in the order of the rows.
const INSERT: &str = "WITH added AS (INSERT INTO asynctasks \
      (system_name, service_name, method_name, task_name, arg, max_retry_time, task_status, queued, create_time, update_time) \
    SELECT $1, service, method, name, arg, retries, 'Wait', 1, $2, $2 \
    FROM unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::int[]) AS i (service, method, name, arg, retries) \
    RETURNING id, service_name, method_name), \
    queue AS (INSERT INTO gaia_due (theme, service, method, priority, n, ids, min_id, max_id) \
      SELECT $1, min(service_name), min(method_name), 0, count(*), array_agg(id), min(id), max(id) FROM added) \
    SELECT id FROM added";

const INSERT_ONE: &str = "WITH added AS (INSERT INTO asynctasks \
      (system_name, service_name, method_name, task_name, arg, max_retry_time, task_status, queued, create_time, update_time) \
    VALUES ($1, $2, $3, $4, $5, $6, 'Wait', 1, $7, $7) RETURNING id), \
    queue AS (INSERT INTO gaia_due (theme, service, method, priority, n, ids, min_id, max_id) \
      SELECT $1, $2, $3, 0, 1, ARRAY[id], id, id FROM added) \
    SELECT id FROM added";

/// One plan is left, and kept: the client has the connection for itself.
const SETTINGS: &str = "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET enable_sort = off; \
    SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off";

/// The first segment, which has as many tasks as a claim takes. Its commit is not waited for: the setting is the transaction's own,
/// and this is the whole of it. The rows stay as they are.
const CLAIM: &str = "WITH taken AS (DELETE FROM gaia_due WHERE id = (SELECT id FROM gaia_due \
      WHERE theme = $4 AND (SELECT set_config('synchronous_commit', 'off', true)) IS NOT NULL \
      ORDER BY priority DESC, id LIMIT 1) RETURNING ids), \
    mine AS MATERIALIZED (SELECT unnest(ids) AS id FROM taken), \
    claim AS (INSERT INTO gaia_claims (theme, node_id, mark, claimed_at, ids) \
      SELECT $4, $1, $3, $2, ids FROM taken RETURNING id) \
    SELECT t.id, service_name, method_name, arg, retry_time, max_retry_time, timeout_ms, (SELECT id FROM claim) \
    FROM mine JOIN asynctasks t ON t.id = mine.id";

const FINISH: &str = "WITH done AS ( \
      UPDATE asynctasks t SET task_status = 'Success', last_run_time = i.started, last_run_end_time = i.ended, \
        last_run_duration = i.duration, last_result = i.result, update_time = i.ended, lease_token = $7, \
        log_id = $8 || '-' || t.id, queued = 0 \
      FROM unnest($1::bigint[], $2::timestamp[], $3::timestamp[], $4::bigint[], $5::text[]) \
        AS i (id, started, ended, duration, result) \
      WHERE t.id = i.id \
      RETURNING t.id, t.task_status, i.result, i.started, i.ended, i.duration, t.log_id, t.retry_time, t.lease_token) \
    INSERT INTO asynctask_exec_row (task_id, task_status, last_result, last_run_time, last_run_end_time, \
      last_run_duration, log_id, create_time, attempt, node_id, lease_token) \
    SELECT id, task_status, result, started, ended, duration, log_id, ended, retry_time + 1, $6, lease_token FROM done";

pub(crate) struct Bare {
    client: Client,
    insert: Statement,
    insert_one: Statement,
    claim: Statement,
    finish: Statement,
    /// Number and mark of the last claim.
    claimed: (i64, String),
}

impl Bare {
    pub(super) async fn connect(url: &str) -> Result<Self> {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
        actix_rt::spawn(connection);
        client.batch_execute(SETTINGS).await?;
        Ok(Self {
            insert: client.prepare(INSERT).await?,
            insert_one: client.prepare(INSERT_ONE).await?,
            claim: client.prepare(CLAIM).await?,
            finish: client.prepare(FINISH).await?,
            claimed: (0, String::new()),
            client,
        })
    }

    pub(super) async fn insert(&mut self, count: usize) -> Result<Vec<i64>> {
        let (at, services, methods) = (now(), vec![SERVICE; count], vec![METHOD; count]);
        let (names, args, retries) = (vec![NAME; count], vec![ARG; count], vec![RETRIES; count]);
        let values: [&(dyn ToSql + Sync); 7] = [&THEME, &at, &services, &methods, &names, &args, &retries];
        let rows = self.client.query(&self.insert, &values).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    pub(super) async fn insert_one(&mut self) -> Result<i64> {
        let at = now();
        let values: [&(dyn ToSql + Sync); 7] = [&THEME, &SERVICE, &METHOD, &NAME, &ARG, &RETRIES, &at];
        Ok(self.client.query_one(&self.insert_one, &values).await?.get(0))
    }

    pub(super) async fn claim(&mut self) -> Result<Batch> {
        let (run, at) = (run(), now());
        let rows = self.client.query(&self.claim, &[&OWNER, &at, &run, &THEME]).await?;
        self.claimed = (rows.first().map_or(0, |row| row.get(7)), run);
        let tasks = rows.iter().map(claimed).collect();
        Ok(Batch { at, tasks })
    }

    pub(super) async fn finish(&mut self, runs: &[Ended]) -> Result<()> {
        let ids: Vec<i64> = runs.iter().map(|run| run.id).collect();
        let started: Vec<NaiveDateTime> = runs.iter().map(|run| run.started).collect();
        let ended: Vec<NaiveDateTime> = runs.iter().map(|run| run.ended).collect();
        let durations: Vec<i64> = runs.iter().map(|run| run.duration).collect();
        let results: Vec<&str> = runs.iter().map(|run| run.result).collect();
        let (token, mark) = &self.claimed;
        let values: [&(dyn ToSql + Sync); 8] = [&ids, &started, &ended, &durations, &results, &OWNER, token, mark];
        self.client.execute(&self.finish, &values).await?;
        Ok(())
    }
}

fn claimed(row: &Row) -> Claimed {
    Claimed {
        id: row.get(0),
        service: row.get(1),
        method: row.get(2),
        arg: row.get(3),
        retry_time: row.get(4),
        max_retry_time: row.get(5),
        timeout_ms: row.get(6),
    }
}
