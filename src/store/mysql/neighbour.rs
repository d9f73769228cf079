//! Workers of the Go framework on the same database.
//!
//! Such a worker keeps a row of `async_task_heartbeat` for each task that it runs, and writes it anew every 5 s. Every 5 s it also sets Running
//! tasks of *every* theme back to Wait: those whose row there is older than 30 s, and those without a row whose `update_time` is older than
//! 30 s. So where that table is, a node of this crate keeps rows for its Running tasks, too. Tasks that a claim holds unseen are at Wait, and
//! need none: but a worker of Go that works on their theme may take them.
//!
//! The other way round, a node of this crate sets tasks of its themes back to Wait that a dead worker of Go has left at Running, by the same rule.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use diesel::{
    QueryResult, QueryableByName,
    mysql::Mysql,
    sql_query,
    sql_types::{BigInt, Integer, Text},
};
use diesel_async::{AsyncMysqlConnection, RunQueryDsl};

use super::connect::Connector;
use crate::store::{
    Neighbours, StoreError,
    error::is_of_one_statement,
    server::pool::{Connections, on_server},
    statement::prepared::prepared,
};

/// Whether the table is there.
#[derive(Clone, Default)]
pub(super) struct Neighbour(Arc<AtomicBool>);

const IS_THERE: &str = "SELECT COUNT(*) FROM information_schema.tables \
    WHERE table_schema = DATABASE() AND table_name = 'async_task_heartbeat'";

/// Nanoseconds since 1970, as the framework has them.
macro_rules! nanos {
    () => {
        "CAST(UNIX_TIMESTAMP(CURRENT_TIMESTAMP(6)) * 1000000000 AS SIGNED)"
    };
}

/// Writes heartbeats of the tasks `t` of a query.
macro_rules! keep {
    ($tasks:literal) => {
        concat!(
            "INSERT INTO async_task_heartbeat (task_id, heart_beat_time, heart_beat_nano_time) SELECT t.id, CURRENT_TIMESTAMP(3), ",
            nanos!(),
            $tasks,
            " ON DUPLICATE KEY UPDATE heart_beat_time = VALUES(heart_beat_time), heart_beat_nano_time = VALUES(heart_beat_nano_time)"
        )
    };
}

/// The tasks that a node holds, and those of remote workers: any node keeps their heartbeats.
const KEEP: &str = keep!(
    " FROM gaia_claims c STRAIGHT_JOIN JSON_TABLE(c.ids, '$[*]' COLUMNS (id BIGINT PATH '$')) i \
     STRAIGHT_JOIN asynctasks t FORCE INDEX (PRIMARY) ON t.id = i.id AND t.lease_owner = c.node_id AND t.task_status = 'Running' \
     WHERE c.node_id = ? OR c.node_id LIKE 'remote:%'"
);

/// Tasks whose rows are set to Running in the same transaction: a row that an earlier run has left would make them look abandoned.
const BEGIN: &str = keep!(
    " FROM JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$')) i STRAIGHT_JOIN asynctasks t FORCE INDEX (PRIMARY) \
     ON t.id = i.id AND t.task_status = 'Running'"
);

/// Whether a worker of Go counts the task `t` as abandoned.
macro_rules! is_abandoned {
    () => {
        concat!(
            "IF(h.task_id IS NULL, t.update_time < CURRENT_TIMESTAMP(6) - INTERVAL 30 SECOND, COALESCE(h.heart_beat_nano_time, 0) < ",
            nanos!(),
            " - 30000000000)"
        )
    };
}

/// The Running tasks of so many themes that no node of this crate runs.
fn foreign(themes: usize) -> String {
    let names = vec!["?"; themes].join(", ");
    format!(
        "SELECT t.id, t.system_name AS theme, {} AS abandoned, h.task_id IS NOT NULL AS beats FROM asynctasks t \
         LEFT JOIN async_task_heartbeat h ON h.task_id = t.id \
         WHERE t.system_name IN ({names}) AND t.task_status = 'Running' AND t.lease_owner IS NULL LIMIT 10000",
        is_abandoned!()
    )
}

const SET_BACK: &str = concat!(
    "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$')) i STRAIGHT_JOIN asynctasks t FORCE INDEX (PRIMARY) \
     ON t.id = i.id AND t.task_status = 'Running' AND t.lease_owner IS NULL \
     LEFT JOIN async_task_heartbeat h ON h.task_id = t.id \
     SET t.task_status = 'Wait', t.update_time = CURRENT_TIMESTAMP(6) WHERE ",
    is_abandoned!()
);

#[derive(QueryableByName)]
struct Foreign {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    theme: String,
    #[diesel(sql_type = Integer)]
    abandoned: i32,
    /// Whether it has a heartbeat.
    #[diesel(sql_type = Integer)]
    beats: i32,
}

impl Neighbour {
    /// Looks whether workers of Go may be there.
    pub(super) async fn look(&self, conn: &mut AsyncMysqlConnection) -> QueryResult<bool> {
        match self.may_be_there() {
            true => Ok(true),
            false => self.look_again(conn).await,
        }
    }

    /// A team that has left the framework drops its table while nodes run.
    async fn look_again(&self, conn: &mut AsyncMysqlConnection) -> QueryResult<bool> {
        let tables: i64 = prepared(IS_THERE).columns::<BigInt>().get_result(conn).await?;
        AtomicBool::store(&self.0, tables > 0, Ordering::Relaxed);
        Ok(tables > 0)
    }

    pub(super) fn may_be_there(&self) -> bool {
        AtomicBool::load(&self.0, Ordering::Relaxed)
    }

    /// Writes heartbeats of tasks whose rows were set to Running in this transaction. The transaction goes on without them where the table
    /// takes none: [`Self::meet`] fails then, too, and the node says so.
    pub(super) async fn begin(
        &self,
        conn: &mut AsyncMysqlConnection,
        ids: impl Iterator<Item = i64>,
    ) -> QueryResult<()> {
        if !self.may_be_there() {
            return Ok(());
        }
        let ids: Vec<i64> = ids.collect();
        if ids.is_empty() {
            return Ok(());
        }
        let ids = serde_json::Value::from(ids).to_string();
        match prepared(BEGIN).bind::<Text, _>(ids).execute(conn).await {
            Err(error) if is_of_one_statement(&error) => {
                say!(Debug, "no heartbeats for workers of the Go framework: {error}");
                Ok(())
            }
            written => written.map(drop),
        }
    }

    /// Keeps the rows of the tasks of `node`, sets back the tasks of these themes that a dead worker of Go has left, and answers in which
    /// themes living workers of Go run tasks.
    pub(super) async fn meet(
        &self,
        connections: &Connections<Connector>,
        node: &str,
        themes: &[String],
    ) -> Result<Neighbours, StoreError> {
        let mut conn = connections.acquire().await?;
        if !on_server!(conn, |conn| self.look(conn).await)? {
            return Ok(Neighbours::default());
        }
        if let Err(error) = on_server!(conn, |conn| prepared(KEEP).bind::<Text, _>(node).execute(conn).await) {
            return match on_server!(conn, |conn| self.look_again(conn).await)? {
                true => Err(error.into()),
                false => Ok(Neighbours::default()),
            };
        }
        if themes.is_empty() {
            return Ok(Neighbours::default());
        }
        let query = foreign(themes.len());
        let foreign: Vec<Foreign> = on_server!(conn, |conn| {
            let mut query = sql_query(&query).into_boxed::<Mysql>();
            for theme in themes {
                query = query.bind::<Text, _>(theme);
            }
            query.load(conn).await
        })?;
        let mut met = Neighbours::default();
        let (abandoned, alive): (Vec<_>, Vec<_>) = foreign.into_iter().partition(|task| task.abandoned != 0);
        for task in alive.into_iter().filter(|task| task.beats != 0) {
            *met.alive.entry(task.theme).or_default() += 1;
        }
        if !abandoned.is_empty() {
            let mut ids: Vec<i64> = abandoned.into_iter().map(|task| task.id).collect();
            ids.sort_unstable();
            let ids = serde_json::Value::from(ids).to_string();
            met.set_back = on_server!(conn, |conn| prepared(SET_BACK)
                .bind::<Text, _>(&ids)
                .execute(conn)
                .await)?;
        }
        Ok(met)
    }
}
