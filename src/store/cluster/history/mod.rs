//! The table of what ended: rows are added by the nodes, folded by their pruners, and read for people.

mod fold;
mod insert;

#[cfg(feature = "web")]
use std::collections::BTreeMap;
use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

pub(crate) use self::fold::Folding;
use self::insert::{NewRow, NewRows};
use crate::{
    domain::{Counted, Figures, GetHistory, Histogram, HistoryRow, Series, Times},
    store::{
        ClusterStore, StoreError,
        db::on_backend,
        lenient::{AnyInt, AnyText, AnyTime, number, time},
        schema::gaia_history,
        statement::transaction::transact,
        time::StoredTime,
    },
};

/// The most rows that one answer reads: it has to be one statement, since another node may fold rows between two statements.
pub(crate) const MOST_ROWS: usize = 100_000;

/// How many rows one transaction folds or deletes.
const PIECE: i64 = 1_000;

/// The lengths of all spans, in seconds.
const WIDTHS: [i32; 3] = [10, 60, 3_600];

/// A row as it is read. Plain SQL may have spoilt it.
#[derive(Queryable, Selectable)]
#[diesel(table_name = gaia_history)]
struct StoredRow {
    width: AnyInt,
    at: AnyTime,
    number: AnyInt,
    kind: AnyText,
    theme: AnyText,
    service: AnyText,
    method: AnyText,
    succeeded: AnyInt,
    failed: AnyInt,
    retried: AnyInt,
    snoozed: AnyInt,
    cancelled: AnyInt,
    lost: AnyInt,
    waited_ms: AnyInt,
    waited: AnyText,
    ran_ms: AnyInt,
    ran: AnyText,
}

impl StoredRow {
    /// The beginning of its span; `None`: the row has no time that can be read.
    fn at(&self) -> Option<DateTime<Utc>> {
        time(self.at)
    }

    fn figures(&self) -> Figures {
        Figures {
            succeeded: count(self.succeeded),
            failed: count(self.failed),
            retried: count(self.retried),
            snoozed: count(self.snoozed),
            cancelled: count(self.cancelled),
            lost: count(self.lost),
            waited: times(self.waited_ms, &self.waited),
            ran: times(self.ran_ms, &self.ran),
        }
    }

    fn into_counted(self) -> Option<Counted> {
        Some(Counted {
            at: self.at()?,
            width: u32::try_from(count(self.width)).unwrap_or(u32::MAX),
            figures: self.figures(),
            series: self.into_series(),
        })
    }

    fn into_series(self) -> Series {
        Series {
            kind: self.kind.0,
            theme: self.theme.0,
            service: self.service.0,
            method: self.method.0,
        }
    }
}

fn count(column: AnyInt) -> u64 {
    number(column).and_then(|count| u64::try_from(count).ok()).unwrap_or(0)
}

fn times(total: AnyInt, spread: &AnyText) -> Times {
    Times {
        total: Duration::from_millis(count(total)),
        spread: Histogram::from_json(&spread.0),
    }
}

/// What tasks of a theme ended on a node.
#[cfg(feature = "web")]
#[derive(Debug, Clone, Default)]
pub(crate) struct OnNode {
    pub(crate) node: String,
    pub(crate) theme: String,
    pub(crate) figures: Figures,
}

impl ClusterStore<'_> {
    /// Adds the rows of a node, all or none. Rows that are there already, since an earlier write of them was done after all, are no error.
    pub(crate) async fn write_history(&self, node: &str, rows: &[HistoryRow]) -> Result<(), StoreError> {
        let rows = rows.iter().map(|row| NewRow::new(WIDTHS[0], node, row)).collect();
        let rows = Arc::new(NewRows(rows));
        match self.retrying(|| async { self.insert_history(&rows).await }).await {
            Ok(_) | Err(StoreError::Duplicate(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn insert_history(&self, rows: &Arc<NewRows>) -> Result<usize, StoreError> {
        transact!(&self.db, insert, rows)
    }

    /// Adds up some rows of short spans to rows of longer ones; answers how many rows of short spans there were. Rows that another node folds
    /// at the same time are passed over.
    pub(crate) async fn fold_history(&self, folding: Folding) -> Result<usize, StoreError> {
        let folding = Arc::new(folding);
        self.retrying(|| async { self.fold_once(&folding).await }).await
    }

    async fn fold_once(&self, folding: &Arc<Folding>) -> Result<usize, StoreError> {
        transact!(&self.db, fold, folding)
    }

    /// Deletes some rows of spans of so many seconds that began before this time; answers how many rows there were.
    pub(crate) async fn delete_history(&self, width: i64, before: StoredTime) -> Result<usize, StoreError> {
        let width = i32::try_from(width).unwrap_or(i32::MAX);
        let mut conn = self.db.read().await?;
        let numbers: Vec<AnyInt> = on_backend!(conn, |conn| {
            gaia_history::table
                .filter(gaia_history::width.eq(width).and(gaia_history::at.lt(before)))
                .limit(PIECE)
                .select(gaia_history::number)
                .load(conn)
                .await
        })?;
        drop(conn);
        let numbers: Vec<i64> = numbers.into_iter().filter_map(number).collect();
        if numbers.is_empty() {
            return Ok(0);
        }
        let delete = || async {
            let mut conn = self.db.write().await?;
            Ok(on_backend!(conn, |conn| {
                let old = gaia_history::table.filter(gaia_history::width.eq(width).and(gaia_history::at.lt(before)));
                diesel::delete(old.filter(gaia_history::number.eq_any(&numbers)))
                    .execute(conn)
                    .await
            })?)
        };
        self.retrying(delete).await
    }

    /// What tasks have ended since then, by node and theme. Rows of the shortest spans alone name the node on which they ended, so this must be
    /// less than two hours ago. `None`: that are too many rows.
    #[cfg(feature = "web")]
    pub(crate) async fn ended_by_node(&self, since: DateTime<Utc>) -> Result<Option<Vec<OnNode>>, StoreError> {
        let most = i64::try_from(MOST_ROWS).unwrap_or(i64::MAX);
        let mut conn = self.db.look().await?;
        let rows: Vec<(AnyText, StoredRow)> = on_backend!(conn, |conn| {
            gaia_history::table
                .filter(gaia_history::width.eq(WIDTHS[0]))
                .filter(gaia_history::at.ge(StoredTime::from(since)))
                .filter(gaia_history::kind.eq(crate::domain::HistoryKind::Task.as_str()))
                .limit(most.saturating_add(1))
                .select((gaia_history::node, StoredRow::as_select()))
                .load(conn)
                .await
        })?;
        drop(conn);
        if rows.len() > MOST_ROWS {
            return Ok(None);
        }
        let mut sums: BTreeMap<(String, String), Figures> = BTreeMap::new();
        for (node, row) in rows {
            let figures = row.figures();
            sums.entry((node.0, row.theme.0)).or_default().add(&figures);
        }
        let on_node = |((node, theme), figures)| OnNode { node, theme, figures };
        Ok(Some(sums.into_iter().map(on_node).collect()))
    }

    /// What ended in a time, as it was counted. `None`: that are too many rows.
    pub(crate) async fn counted(&self, get: &GetHistory) -> Result<Option<Vec<Counted>>, StoreError> {
        let (from, to) = get.range();
        let most = i64::try_from(MOST_ROWS).unwrap_or(i64::MAX);
        let mut conn = self.db.look().await?;
        let rows: Vec<StoredRow> = on_backend!(conn, |conn| {
            let mut query = gaia_history::table
                .filter(gaia_history::width.eq_any(WIDTHS))
                .filter(gaia_history::at.ge(StoredTime::from(from)))
                .filter(gaia_history::at.lt(StoredTime::from(to)))
                .filter(gaia_history::kind.eq(get.kind.as_str()))
                .into_boxed();
            if let Some(theme) = &get.theme {
                query = query.filter(gaia_history::theme.eq(theme));
            }
            if let Some(service) = &get.service {
                query = query.filter(gaia_history::service.eq(service));
            }
            if let Some(method) = &get.method {
                query = query.filter(gaia_history::method.eq(method));
            }
            query
                .limit(most.saturating_add(1))
                .select(StoredRow::as_select())
                .load(conn)
                .await
        })?;
        drop(conn);
        if rows.len() > MOST_ROWS {
            return Ok(None);
        }
        Ok(Some(rows.into_iter().filter_map(StoredRow::into_counted).collect()))
    }
}
