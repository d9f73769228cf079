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
    QueryResult,
    sql_types::{BigInt, Text},
};
use diesel_async::{AsyncMysqlConnection, RunQueryDsl};

use super::connect::Connector;
use crate::store::{
    Neighbours, StoreError,
    server::pool::{Connections, in_transaction, on_server},
    statement::prepared::prepared,
};

/// Whether the table is there. It does not go while a process runs.
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

/// When a worker of Go counts a task as abandoned.
macro_rules! is_abandoned {
    () => {
        concat!(
            "t.task_status = 'Running' AND t.lease_owner IS NULL \
             AND (h.heart_beat_nano_time < ",
            nanos!(),
            " - 30000000000 OR h.task_id IS NULL AND t.update_time < CURRENT_TIMESTAMP(6) - INTERVAL 30 SECOND)"
        )
    };
}

/// The tasks of a node, and those of remote workers: any node keeps their rows.
const KEEP: &str = concat!(
    "INSERT INTO async_task_heartbeat (task_id, heart_beat_time, heart_beat_nano_time) \
     SELECT t.id, CURRENT_TIMESTAMP(3), ",
    nanos!(),
    " FROM asynctasks t FORCE INDEX (gaia_tasks_running) \
     WHERE (t.lease_owner = ? OR t.lease_owner LIKE 'remote:%') AND t.task_status = 'Running' \
     ON DUPLICATE KEY UPDATE heart_beat_time = VALUES(heart_beat_time), heart_beat_nano_time = VALUES(heart_beat_nano_time)"
);

/// Rows that an earlier run of these tasks has left would make them look abandoned.
pub(super) const RENEW: &str = concat!(
    "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$')) i STRAIGHT_JOIN async_task_heartbeat h ON h.task_id = i.id \
     SET h.heart_beat_time = CURRENT_TIMESTAMP(3), h.heart_beat_nano_time = ",
    nanos!()
);

const ABANDONED: &str = concat!(
    "SELECT t.id FROM asynctasks t LEFT JOIN async_task_heartbeat h ON h.task_id = t.id \
     WHERE t.system_name IN (SELECT name FROM JSON_TABLE(?, '$[*]' COLUMNS (name VARCHAR(100) PATH '$')) n) AND ",
    is_abandoned!(),
    " ORDER BY t.id LIMIT 500 FOR UPDATE SKIP LOCKED"
);

const SET_BACK: &str = "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$')) i STRAIGHT_JOIN asynctasks t ON t.id = i.id \
     SET t.task_status = 'Wait', t.update_time = CURRENT_TIMESTAMP(6)";

const ALIVE: &str = concat!(
    "SELECT t.system_name, COUNT(*) FROM asynctasks t JOIN async_task_heartbeat h ON h.task_id = t.id \
     WHERE t.task_status = 'Running' AND t.lease_owner IS NULL AND h.heart_beat_nano_time >= ",
    nanos!(),
    " - 30000000000 GROUP BY t.system_name"
);

impl Neighbour {
    /// Whether workers of Go may be there.
    pub(super) fn may_be_there(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Keeps the rows of the tasks of `node`, sets back the tasks of these themes that a dead worker of Go has left, and answers which themes
    /// living workers of Go work on.
    pub(super) async fn meet(
        &self,
        connections: &Connections<Connector>,
        node: &str,
        themes: &[String],
    ) -> Result<Neighbours, StoreError> {
        let mut conn = connections.acquire().await?;
        if !self.may_be_there() {
            if !on_server!(conn, |conn| is_there(conn).await)? {
                return Ok(Neighbours::default());
            }
            self.0.store(true, Ordering::Relaxed);
        }
        on_server!(conn, |conn| prepared(KEEP).bind::<Text, _>(node).execute(conn).await)?;
        let themes = serde_json::Value::from(themes).to_string();
        let set_back = in_transaction!(conn, |conn| set_back(conn, &themes).await)?;
        let alive = on_server!(conn, |conn| {
            prepared(ALIVE).columns::<(Text, BigInt)>().load(conn).await
        })?;
        Ok(Neighbours { set_back, alive })
    }
}

async fn is_there(conn: &mut AsyncMysqlConnection) -> QueryResult<bool> {
    let tables: i64 = prepared(IS_THERE).columns::<BigInt>().get_result(conn).await?;
    Ok(tables > 0)
}

async fn set_back(conn: &mut AsyncMysqlConnection, themes: &str) -> QueryResult<Vec<i64>> {
    let ids: Vec<i64> = prepared(ABANDONED).bind::<Text, _>(themes).columns::<BigInt>().load(conn).await?;
    if !ids.is_empty() {
        let list = serde_json::Value::from(&*ids).to_string();
        prepared(SET_BACK).bind::<Text, _>(list).execute(conn).await?;
    }
    Ok(ids)
}
