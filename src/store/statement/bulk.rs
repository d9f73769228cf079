//! `INSERT`s of many tasks at once, for databases that take no arrays: one text for each of a few sizes, so that all of them
//! stay prepared.

use crate::store::time::StoredTime;
use std::sync::LazyLock;

use diesel::{
    QueryResult,
    backend::Backend,
    query_builder::AstPass,
    serialize::ToSql,
    sql_types::{BigInt, HasSqlType, Integer, Nullable, Text, Timestamp},
};

use super::{
    chunks::{chunks, runs_of},
    prepared::Binds,
};
use crate::store::tasks::new_row::{EXTRA_COLUMNS, NewTaskRow, push_extras};

/// Rows of one statement.
const SIZES: [usize; 7] = [1_000, 300, 100, 30, 10, 3, 1];

/// What all tasks of one call have in common.
const COMMON: [&str; 3] = ["system_name", "create_time", "update_time"];
const COLUMNS: [&str; 5] = ["service_name", "method_name", "task_name", "arg", "max_retry_time"];
/// Says whether the task is due: then it gets into a segment.
const QUEUED: &str = "queued";

/// How a database names parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Parameters {
    /// The common values are bound once.
    #[cfg(feature = "sqlite")]
    Numbered,
    #[cfg(feature = "mysql")]
    Positional,
}

/// Tasks without a unique key that one statement adds: as many as one of the sizes, all of them plain or none, added by one call.
#[derive(Clone, Copy)]
pub(in crate::store) struct Bulk<'a> {
    rows: &'a [NewTaskRow],
    parameters: Parameters,
    /// Whether those that are due are put into segments, too.
    is_queued: bool,
}

/// Cuts tasks without unique keys into what statements take, in order.
pub(in crate::store) fn bulks(
    rows: &[NewTaskRow],
    parameters: Parameters,
    is_queued: bool,
) -> impl Iterator<Item = Bulk<'_>> {
    let bulk = move |rows| Bulk {
        rows,
        parameters,
        is_queued,
    };
    let runs = runs_of(rows, NewTaskRow::has_defaults_only);
    runs.flat_map(chunks).flat_map(sized).map(bulk)
}

fn sized(mut rows: &[NewTaskRow]) -> impl Iterator<Item = &[NewTaskRow]> {
    std::iter::from_fn(move || {
        let size = SIZES.into_iter().find(|size| *size <= rows.len())?;
        let bulk;
        (bulk, rows) = rows.split_at(size);
        Some(bulk)
    })
}

impl Bulk<'_> {
    /// The statement. Its parameters are what this binds.
    pub(in crate::store) fn sql(self) -> &'static str {
        match self.parameters {
            #[cfg(feature = "sqlite")]
            Parameters::Numbered => {
                static OF_PLAIN: LazyLock<Texts> = LazyLock::new(|| texts(&["?1", "?2", "?2"], &[]));
                static FULL: LazyLock<Texts> = LazyLock::new(|| texts(&["?1", "?2", "?2"], &EXTRA_COLUMNS));
                self.of(if self.has_defaults_only() { &OF_PLAIN } else { &FULL })
            }
            #[cfg(feature = "mysql")]
            Parameters::Positional => {
                static OF_PLAIN: LazyLock<Texts> = LazyLock::new(|| texts(&["?"; 3], &[]));
                static FULL: LazyLock<Texts> = LazyLock::new(|| texts(&["?"; 3], &EXTRA_COLUMNS));
                self.of(if self.has_defaults_only() { &OF_PLAIN } else { &FULL })
            }
        }
    }

    fn of(self, texts: &Texts) -> &str {
        let place = SIZES.iter().position(|size| *size == self.rows.len());
        &texts[place.unwrap_or(SIZES.len() - 1)]
    }

    /// 1 if the task gets into a segment.
    fn queued(&self, row: &NewTaskRow) -> &'static i32 {
        if self.is_queued && row.run_at.is_none() { &1 } else { &0 }
    }

    /// At most the largest size.
    #[expect(clippy::cast_possible_wrap, reason = "it is small")]
    pub(in crate::store) fn len(self) -> i64 {
        self.rows.len() as i64
    }

    fn has_defaults_only(self) -> bool {
        self.rows.first().is_some_and(NewTaskRow::has_defaults_only)
    }

    /// How often the common values are bound.
    fn common(self) -> usize {
        match self.parameters {
            #[cfg(feature = "sqlite")]
            Parameters::Numbered => 1,
            #[cfg(feature = "mysql")]
            Parameters::Positional => self.rows.len(),
        }
    }
}

/// One for each size.
type Texts = [String; SIZES.len()];

fn texts(common: &[&str; 3], extra: &[&str]) -> Texts {
    SIZES.map(|size| {
        let columns = [&COMMON[..], &COLUMNS, extra, &[QUEUED]].concat().join(", ");
        let own = vec!["?"; COLUMNS.len() + extra.len() + 1].join(", ");
        let rows = vec![format!("('Wait', {}, {own})", common.join(", ")); size].join(", ");
        format!("INSERT INTO asynctasks (task_status, {columns}) VALUES {rows}")
    })
}

impl<DB> Binds<DB> for Bulk<'_>
where
    DB: Backend
        + HasSqlType<Text>
        + HasSqlType<Integer>
        + HasSqlType<Timestamp>
        + HasSqlType<Nullable<Timestamp>>
        + HasSqlType<Nullable<BigInt>>
        + HasSqlType<Nullable<Text>>,
    str: ToSql<Text, DB>,
    String: ToSql<Text, DB>,
    i32: ToSql<Integer, DB>,
    StoredTime: ToSql<Timestamp, DB>,
    Option<StoredTime>: ToSql<Nullable<Timestamp>, DB>,
    Option<i64>: ToSql<Nullable<BigInt>, DB>,
    Option<String>: ToSql<Nullable<Text>, DB>,
{
    fn push<'b>(&'b self, out: &mut AstPass<'_, 'b, DB>) -> QueryResult<()> {
        let has_defaults_only = self.has_defaults_only();
        for (at, row) in self.rows.iter().enumerate() {
            if at < self.common() {
                out.push_bind_param_value_only::<Text, _>(&*row.system_name)?;
                out.push_bind_param_value_only::<Timestamp, _>(&row.create_time)?;
                #[cfg(feature = "mysql")]
                if self.parameters == Parameters::Positional {
                    out.push_bind_param_value_only::<Timestamp, _>(&row.create_time)?;
                }
            }
            out.push_bind_param_value_only::<Text, _>(&row.service_name)?;
            out.push_bind_param_value_only::<Text, _>(&row.method_name)?;
            out.push_bind_param_value_only::<Text, _>(&row.task_name)?;
            out.push_bind_param_value_only::<Text, _>(&row.arg)?;
            out.push_bind_param_value_only::<Integer, _>(&row.max_retry_time)?;
            if !has_defaults_only {
                push_extras!(out, row);
            }
            out.push_bind_param_value_only::<Integer, _>(self.queued(row))?;
        }
        Ok(())
    }
}

#[cfg(all(test, feature = "sqlite", feature = "mysql"))]
mod tests {
    use super::*;
    use crate::domain::NewTask;

    fn rows(priorities: impl Iterator<Item = i32>) -> Vec<NewTaskRow> {
        let now = chrono::Utc::now();
        let row = |priority| NewTaskRow::new(&"demo".into(), NewTask::new("A", "b").priority(priority), 3, now);
        priorities.map(row).collect()
    }

    #[test]
    fn tasks_are_cut_into_a_few_sizes_and_kinds() {
        let rows = rows(std::iter::repeat_n(0, 1_335).chain([7, 7, 0]));
        let bulks = bulks(&rows, Parameters::Numbered, true);
        let cut: Vec<_> = bulks.map(|bulk| (bulk.len(), bulk.has_defaults_only())).collect();
        let plain = [1_000, 300, 30, 3, 1, 1].map(|size| (size, true));
        assert_eq!(cut, [&plain[..], &[(1, false), (1, false), (1, true)]].concat());
    }

    #[test]
    fn a_text_has_a_parameter_for_each_value() {
        let (plain, full) = (rows([0; 10].into_iter()), rows([1; 10].into_iter()));
        let parameters = |rows: &[NewTaskRow], parameters| {
            let bulk = Bulk {
                rows,
                parameters,
                is_queued: true,
            };
            bulk.sql().matches('?').count()
        };
        assert_eq!(parameters(&plain, Parameters::Positional), 90);
        assert_eq!(parameters(&full, Parameters::Positional), 150);
        assert_eq!(parameters(&plain, Parameters::Numbered), 90);
    }
}
