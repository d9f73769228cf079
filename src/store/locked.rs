//! Rows that other sessions have locked.
//!
//! A write waits for a locked row for as long as its session allows (5 s), and the rest of its batch waits, too. So a caller
//! that changes many rows asks first which of them are locked, and leaves those for later.

use std::collections::BTreeSet;

use diesel::sql_types::Text;
use diesel_async::RunQueryDsl;

use super::{RecordKey, Store, StoreError, db::on_backend, statement::id_row::Id};

/// Rows whose key is a number.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Rows {
    Tasks,
    JobRecords,
}

impl Rows {
    fn table(self) -> &'static str {
        match self {
            Self::Tasks => "asynctasks",
            Self::JobRecords => "job_record",
        }
    }
}

impl Store {
    /// Which of these rows another session has locked at this moment. SQLite locks no rows.
    pub(crate) async fn locked(&self, rows: Rows, ids: &[i64]) -> Result<BTreeSet<i64>, StoreError> {
        if !self.db.is_server() || ids.is_empty() {
            return Ok(BTreeSet::new());
        }
        let list = ids.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
        let (table, by_key) = (rows.table(), self.by_key());
        let these = format!("SELECT id FROM {table}{by_key} WHERE id IN ({list})");
        self.locked_of(&these, ids.len()).await
    }

    /// The same of records of tasks; answers with their ids.
    pub(crate) async fn locked_records(&self, records: &[RecordKey]) -> Result<BTreeSet<i64>, StoreError> {
        if !self.db.is_server() || records.is_empty() {
            return Ok(BTreeSet::new());
        }
        let list = |of: fn(&RecordKey) -> i64| {
            let numbers = records.iter().map(|record| of(record).to_string());
            numbers.collect::<Vec<_>>().join(",")
        };
        let (task_ids, ids) = (list(|record| record.task_id), list(|record| record.id));
        let by_key = self.by_key();
        let these =
            format!("SELECT id FROM asynctask_exec_row{by_key} WHERE task_id IN ({task_ids}) AND id IN ({ids})");
        self.locked_of(&these, records.len()).await
    }

    async fn locked_of(&self, these: &str, count: usize) -> Result<BTreeSet<i64>, StoreError> {
        let free = self.ids(&format!("{these} FOR UPDATE SKIP LOCKED")).await?;
        if free.len() == count {
            return Ok(BTreeSet::new());
        }
        // A row that does not exist any more is not locked.
        let there = self.ids(these).await?;
        Ok(&there - &free)
    }

    /// The statement must lock no other row: a claim passes over locked rows.
    fn by_key(&self) -> &'static str {
        self.db.dialect().by_key
    }

    async fn ids(&self, query: &str) -> Result<BTreeSet<i64>, StoreError> {
        let mut conn = self.db.read().await?;
        let rows: Vec<Id> = on_backend!(conn, |conn| diesel::sql_query(query).load(conn).await)?;
        Ok(rows.into_iter().map(|row| row.id).collect())
    }

    /// Whether another session has locked the row of this node.
    pub(crate) async fn is_node_locked(&self, node: &str) -> Result<bool, StoreError> {
        if !self.db.is_server() {
            return Ok(false);
        }
        let (by_key, id) = (self.by_key(), (self.db.dialect().parameter)(1));
        let row = format!("SELECT beat AS id FROM gaia_nodes{by_key} WHERE id = {id}");
        let is_free = self.is_any(&format!("{row} FOR UPDATE SKIP LOCKED"), node).await?;
        Ok(!is_free && self.is_any(&row, node).await?)
    }

    async fn is_any(&self, query: &str, text: &str) -> Result<bool, StoreError> {
        let mut conn = self.db.read().await?;
        let rows: Vec<Id> = on_backend!(conn, |conn| {
            diesel::sql_query(query).bind::<Text, _>(text).load(conn).await
        })?;
        Ok(!rows.is_empty())
    }
}
