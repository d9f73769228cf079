//! The lines that handlers have logged: rows of single runs, and packs of many runs.

mod insert;

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{prelude::*, sql_types::Binary};
use diesel_async::RunQueryDsl;

use self::insert::{NewRow, NewRows};
use crate::{
    logs::{LONGEST_ROW, LogRow, PACK_SPAN},
    store::{
        ClusterStore, StoreError,
        db::on_backend,
        lenient::{AnyTime, time},
        schema::{asynctask_exec_row, gaia_run_logs},
        statement::transaction::transact,
        time::StoredTime,
    },
};

/// The most rows of one run: a run has about one in a second while it logs, until it has logged all that may be kept.
const MOST_ROWS: i64 = 2_000;

/// The most packs that may hold a run: of each node those that were open when it ended, which are few.
const MOST_PACKS: i64 = 200;

/// What is longer is no row of this crate, and is not loaded.
const MOST_BYTES: i32 = LONGEST_ROW.cast_signed();

diesel::define_sql_function! {
    /// The bytes of a column.
    fn length(column: Binary) -> Integer;
}

/// Times in the database are rounded or cut.
const ROUNDING: TimeDelta = TimeDelta::milliseconds(1);

/// How many old rows one statement deletes.
const PIECE: i64 = 200;

impl ClusterStore<'_> {
    /// Adds rows. Rows that are there already stay as they are: the answer to an earlier write of them was lost. Others may have come to
    /// them since, so then each row is added alone.
    pub(crate) async fn add_logs(&self, rows: &[LogRow]) -> Result<(), StoreError> {
        if self.add_new_logs(rows).await? {
            return Ok(());
        }
        for row in rows {
            self.add_new_logs(std::slice::from_ref(row)).await?;
        }
        Ok(())
    }

    /// Adds rows, all or none. False: one of them is there already.
    async fn add_new_logs(&self, rows: &[LogRow]) -> Result<bool, StoreError> {
        let rows = Arc::new(NewRows(rows.iter().map(NewRow::of).collect()));
        match self.retrying(|| self.insert_logs(&rows)).await {
            Ok(_) => Ok(true),
            Err(StoreError::Duplicate(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn insert_logs(&self, rows: &Arc<NewRows>) -> Result<usize, StoreError> {
        transact!(&self.db, insert, rows)
    }

    /// The contents of rows that may hold lines of a run, the oldest first: those that were written while it ran, then the pack that was written when it
    /// ended.
    pub(crate) async fn logs_of(
        &self,
        scope: &str,
        log_id: &str,
        ended_at: Option<DateTime<Utc>>,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut conn = self.db.look().await?;
        let mut contents: Vec<Vec<u8>> = on_backend!(conn, |conn| {
            gaia_run_logs::table
                // The second condition lets partial indexes serve, and keeps packs out.
                .filter(gaia_run_logs::log_id.eq(log_id).and(gaia_run_logs::log_id.ne("")))
                .filter(length(gaia_run_logs::content).le(MOST_BYTES))
                .order(gaia_run_logs::id)
                .limit(MOST_ROWS)
                .select(gaia_run_logs::content)
                .load(conn)
                .await
        })?;
        if let Some(ended_at) = ended_at {
            let [from, to, latest] = [-ROUNDING, ROUNDING, PACK_SPAN + ROUNDING]
                .map(|by| StoredTime::from(ended_at.checked_add_signed(by).unwrap_or(ended_at)));
            let packs: Vec<Vec<u8>> = on_backend!(conn, |conn| {
                gaia_run_logs::table
                    .filter(gaia_run_logs::scope.eq(scope))
                    .filter(gaia_run_logs::last_at.between(from, latest))
                    .filter(gaia_run_logs::first_at.le(to))
                    .filter(gaia_run_logs::log_id.eq(""))
                    .filter(length(gaia_run_logs::content).le(MOST_BYTES))
                    .order(gaia_run_logs::last_at)
                    .limit(MOST_PACKS)
                    .select(gaia_run_logs::content)
                    .load(conn)
                    .await
            })?;
            contents.extend(packs);
        }
        Ok(contents)
    }

    /// When this run of a task ended. `None`: no record says so.
    pub(crate) async fn end_of_run(&self, task_id: i64, log_id: &str) -> Result<Option<DateTime<Utc>>, StoreError> {
        let mut conn = self.db.look().await?;
        let ended: Option<Option<AnyTime>> = on_backend!(conn, |conn| {
            asynctask_exec_row::table
                .filter(asynctask_exec_row::task_id.eq(task_id))
                .filter(asynctask_exec_row::log_id.eq(log_id))
                .select(asynctask_exec_row::last_run_end_time)
                .first(conn)
                .await
                .optional()
        })?;
        Ok(ended.flatten().and_then(time))
    }

    /// Deletes some rows of a theme, or of jobs, whose runs ended before this time; answers how many.
    pub(crate) async fn delete_logs(&self, scope: &str, before: StoredTime) -> Result<usize, StoreError> {
        let mut conn = self.db.read().await?;
        let ids: Vec<String> = on_backend!(conn, |conn| {
            gaia_run_logs::table
                .filter(gaia_run_logs::scope.eq(scope))
                .filter(gaia_run_logs::last_at.lt(before))
                .order(gaia_run_logs::last_at)
                .limit(PIECE)
                .select(gaia_run_logs::id)
                .load(conn)
                .await
        })?;
        drop(conn);
        if ids.is_empty() {
            return Ok(0);
        }
        let delete = || async {
            let mut conn = self.db.write().await?;
            Ok(on_backend!(conn, |conn| {
                diesel::delete(gaia_run_logs::table.filter(gaia_run_logs::id.eq_any(&ids)))
                    .execute(conn)
                    .await
            })?)
        };
        self.retrying(delete).await
    }
}
