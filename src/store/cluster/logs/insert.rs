//! Adding lines of runs: one transaction.

use diesel::Insertable;

use crate::{
    logs::LogRow,
    store::{schema::gaia_run_logs, statement::transaction::on_each_connection, time::StoredTime},
};

/// A row as it is written.
#[derive(Debug, Clone, Insertable)]
#[diesel(table_name = gaia_run_logs)]
pub(super) struct NewRow {
    id: String,
    scope: String,
    log_id: String,
    first_at: StoredTime,
    last_at: StoredTime,
    content: Vec<u8>,
}

/// Rows that are added together, or not at all.
pub(in crate::store) struct NewRows(pub(super) Vec<NewRow>);

#[cfg(feature = "sqlite")]
impl NewRows {
    pub(in crate::store) fn rows(&self) -> usize {
        self.0.len()
    }
}

impl NewRow {
    pub(super) fn of(row: &LogRow) -> Self {
        Self {
            id: row.id.clone(),
            scope: row.scope.to_string(),
            log_id: row.log_id.as_deref().unwrap_or_default().to_owned(),
            first_at: StoredTime::from(row.first_at),
            last_at: StoredTime::from(row.last_at),
            content: row.content.clone(),
        }
    }
}

macro_rules! insert_rows {
    ($conn:ident, $rows:ident, $lock:ident, $open:ident, [$($wait:tt)*]) => {
        diesel::insert_into(gaia_run_logs::table)
            .values(&$rows.0)
            .execute($conn)$($wait)*
    };
}

on_each_connection!(insert_rows, NewRows, usize);
