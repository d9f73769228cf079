//! Adding rows to the history: one transaction.

use std::time::Duration;

use diesel::Insertable;

use crate::{
    domain::{Figures, HistoryRow, Series},
    store::{schema::gaia_history, statement::transaction::on_each_connection, time::StoredTime},
};

/// A row as it is written.
#[derive(Debug, Clone, Insertable)]
#[diesel(table_name = gaia_history)]
pub(super) struct NewRow {
    width: i32,
    at: StoredTime,
    number: i64,
    node: String,
    kind: String,
    theme: String,
    service: String,
    method: String,
    succeeded: i64,
    failed: i64,
    retried: i64,
    snoozed: i64,
    cancelled: i64,
    lost: i64,
    waited_ms: i64,
    waited: String,
    ran_ms: i64,
    ran: String,
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
    /// The row of a span of so many seconds.
    pub(super) fn new(width: i32, node: &str, row: &HistoryRow) -> Self {
        let Series {
            kind,
            theme,
            service,
            method,
        } = row.series.clone();
        let Figures {
            succeeded,
            failed,
            retried,
            snoozed,
            cancelled,
            lost,
            waited,
            ran,
        } = &row.figures;
        Self {
            width,
            at: StoredTime::from(row.at),
            number: row.number,
            node: node.to_owned(),
            kind,
            theme,
            service,
            method,
            succeeded: column(*succeeded),
            failed: column(*failed),
            retried: column(*retried),
            snoozed: column(*snoozed),
            cancelled: column(*cancelled),
            lost: column(*lost),
            waited_ms: millis(waited.total),
            waited: waited.spread.to_json(),
            ran_ms: millis(ran.total),
            ran: ran.spread.to_json(),
        }
    }
}

fn column(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

macro_rules! insert_rows {
    ($conn:ident, $rows:ident, $lock:ident, $open:ident, [$($wait:tt)*]) => {
        diesel::insert_into(gaia_history::table)
            .values(&$rows.0)
            .execute($conn)$($wait)*
    };
}

on_each_connection!(insert_rows, NewRows, usize);
