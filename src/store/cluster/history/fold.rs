//! Adding up rows of short spans: one transaction that takes the rows away and adds their sums.

use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{BoolExpressionMethods, ExpressionMethods, QueryDsl, SelectableHelper};

use super::{PIECE, StoredRow, insert::NewRow};
use crate::{
    domain::{Figures, HistoryRow, Series, span_of},
    store::{lenient::number, schema::gaia_history, statement::transaction::on_each_connection, time::StoredTime},
};

/// Which rows to fold.
#[derive(Debug, Clone)]
pub(crate) struct Folding {
    /// The length of their spans, in seconds.
    pub(crate) from: i64,
    /// The length of the longer spans.
    pub(crate) to: i64,
    /// Spans that began before this time, which is the beginning of a longer span.
    pub(crate) before: StoredTime,
    /// The node that folds.
    pub(crate) node: Arc<str>,
}

#[cfg(feature = "sqlite")]
impl Folding {
    #[expect(clippy::unused_self, reason = "what a transaction may be asked")]
    pub(in crate::store) fn rows(&self) -> usize {
        usize::try_from(PIECE).unwrap_or(usize::MAX)
    }
}

/// Rows that go, and the sums that take their place.
struct Sums {
    /// The numbers of the rows, and their first and last times: short spans and long ones.
    goes: [Gone; 2],
    sums: Vec<NewRow>,
}

#[derive(Default)]
struct Gone {
    width: i32,
    numbers: Vec<i64>,
    first: StoredTime,
    last: StoredTime,
}

impl Folding {
    fn short(&self) -> i32 {
        i32::try_from(self.from).unwrap_or(i32::MAX)
    }

    fn long(&self) -> i32 {
        i32::try_from(self.to).unwrap_or(i32::MAX)
    }

    /// From which time on, and before which one, the longer spans begin that the short ones belong to.
    fn long_spans(&self, short: &[StoredRow]) -> Option<(StoredTime, StoredTime)> {
        let first = short.iter().filter_map(StoredRow::at).min()?;
        let last = short.iter().filter_map(StoredRow::at).max()?;
        let end = span_of(last, self.to).checked_add_signed(TimeDelta::seconds(self.to))?;
        Some((StoredTime::from(span_of(first, self.to)), StoredTime::from(end)))
    }

    fn sums(&self, short: Vec<StoredRow>, long: Vec<StoredRow>) -> Sums {
        let mut sums: BTreeMap<(DateTime<Utc>, Series), Figures> = BTreeMap::new();
        let goes = [(self.short(), short), (self.long(), long)].map(|(width, rows)| {
            let mut gone = Gone {
                width,
                first: StoredTime::MAX,
                last: StoredTime::MIN,
                ..Gone::default()
            };
            for row in rows {
                // Rows that plain SQL has spoilt stay.
                let (Some(at), Some(number)) = (row.at(), number(row.number)) else {
                    continue;
                };
                gone.numbers.push(number);
                gone.first = gone.first.min(StoredTime::from(at));
                gone.last = gone.last.max(StoredTime::from(at));
                let figures = row.figures();
                let sum = sums.entry((span_of(at, self.to), row.into_series())).or_default();
                sum.add(&figures);
            }
            gone
        });
        let row = |((at, series), figures)| {
            let row = HistoryRow {
                at,
                number: fastrand::i64(0..),
                series,
                figures,
            };
            NewRow::new(self.long(), &self.node, &row)
        };
        Sums {
            goes,
            sums: sums.into_iter().map(row).collect(),
        }
    }
}

/// Takes rows that no other session has locked, deletes them, and adds their sums. Rows of the longer spans that are there already are taken
/// and added up, too. If fewer rows go than were read, nothing is changed: they would count twice.
macro_rules! fold_rows {
    ($conn:ident, $folding:ident, $lock:ident, $open:ident, [$($wait:tt)*]) => {{
        let short: Vec<StoredRow> = $lock!(
            gaia_history::table
                .filter(gaia_history::width.eq($folding.short()).and(gaia_history::at.lt($folding.before)))
                .order((gaia_history::at, gaia_history::number))
                .limit(PIECE)
                .select(StoredRow::as_select())
        )
        .load($conn)$($wait)*?;
        let Some((from, end)) = $folding.long_spans(&short) else {
            return Ok(0);
        };
        let long: Vec<StoredRow> = $lock!(
            gaia_history::table
                .filter(gaia_history::width.eq($folding.long()))
                .filter(gaia_history::at.ge(from).and(gaia_history::at.lt(end)))
                .order((gaia_history::at, gaia_history::number))
                .limit(PIECE)
                .select(StoredRow::as_select())
        )
        .load($conn)$($wait)*?;
        let Sums { goes, sums } = $folding.sums(short, long);
        let folded = goes[0].numbers.len();
        for gone in goes.iter().filter(|gone| !gone.numbers.is_empty()) {
            let rows = gaia_history::table
                .filter(gaia_history::width.eq(gone.width))
                .filter(gaia_history::at.ge(gone.first).and(gaia_history::at.le(gone.last)))
                .filter(gaia_history::number.eq_any(&gone.numbers));
            let deleted = diesel::delete(rows).execute($conn)$($wait)*?;
            if deleted != gone.numbers.len() {
                return Err(diesel::result::Error::RollbackTransaction);
            }
        }
        diesel::insert_into(gaia_history::table)
            .values(&sums)
            .execute($conn)$($wait)*?;
        Ok(folded)
    }};
}

on_each_connection!(fold_rows, Folding, usize);
