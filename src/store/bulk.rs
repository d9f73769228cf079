//! `INSERT`s of many tasks at once, for databases that take no arrays: one text for each of a few sizes, so that all of them
//! stay prepared.

use std::sync::LazyLock;

use diesel::{
    QueryResult,
    backend::Backend,
    query_builder::AstPass,
    serialize::ToSql,
    sql_types::{BigInt, HasSqlType, Integer, Nullable, Text, Timestamp},
};

use super::{
    parts::{parts, runs_of},
    prepared::Binds,
    rows::NewTaskRow,
};

/// Rows of one statement.
const SIZES: [usize; 4] = [1_000, 100, 10, 1];

const COLUMNS: &str =
    "system_name, service_name, method_name, task_name, arg, max_retry_time, create_time, update_time";
/// Of tasks that are not plain.
const EXTRA: &str = "priority, run_at, timeout_ms, retry_delay_ms";

/// Tasks without a unique key that one statement adds: as many as one of the sizes, all of them plain or none.
#[derive(Clone, Copy)]
pub(super) struct Bulk<'a>(&'a [NewTaskRow]);

/// Cuts tasks without unique keys into what statements take, in order.
pub(super) fn bulks(rows: &[NewTaskRow]) -> impl Iterator<Item = Bulk<'_>> {
    runs_of(rows, NewTaskRow::is_plain).flat_map(parts).flat_map(sized)
}

fn sized(mut rows: &[NewTaskRow]) -> impl Iterator<Item = Bulk<'_>> {
    std::iter::from_fn(move || {
        let size = SIZES.into_iter().find(|size| *size <= rows.len())?;
        let bulk;
        (bulk, rows) = rows.split_at(size);
        Some(Bulk(bulk))
    })
}

impl<'a> Bulk<'a> {
    /// The statement. Its parameters are what this binds.
    pub(super) fn sql(self) -> &'static str {
        static PLAIN: LazyLock<[String; 4]> = LazyLock::new(|| SIZES.map(|size| insert(size, &[COLUMNS])));
        static FULL: LazyLock<[String; 4]> = LazyLock::new(|| SIZES.map(|size| insert(size, &[COLUMNS, EXTRA])));
        let texts = if self.is_plain() { &*PLAIN } else { &*FULL };
        let place = SIZES.iter().position(|size| *size == self.0.len());
        &texts[place.unwrap_or(SIZES.len() - 1)]
    }

    /// At most the largest size.
    #[expect(clippy::cast_possible_wrap, reason = "it is small")]
    pub(super) fn len(self) -> i64 {
        self.0.len() as i64
    }

    fn is_plain(self) -> bool {
        self.0.first().is_some_and(NewTaskRow::is_plain)
    }
}

fn insert(size: usize, columns: &[&str]) -> String {
    let columns = columns.join(", ");
    let parameters = vec!["?"; columns.split(", ").count()].join(", ");
    let rows = vec![format!("('Wait', {parameters})"); size].join(", ");
    format!("INSERT INTO asynctasks (task_status, {columns}) VALUES {rows}")
}

impl<DB> Binds<DB> for Bulk<'_>
where
    DB: Backend
        + HasSqlType<Text>
        + HasSqlType<Integer>
        + HasSqlType<Timestamp>
        + HasSqlType<Nullable<Timestamp>>
        + HasSqlType<Nullable<BigInt>>,
    String: ToSql<Text, DB>,
    i32: ToSql<Integer, DB>,
    chrono::NaiveDateTime: ToSql<Timestamp, DB>,
    Option<chrono::NaiveDateTime>: ToSql<Nullable<Timestamp>, DB>,
    Option<i64>: ToSql<Nullable<BigInt>, DB>,
{
    fn push<'b>(&'b self, out: &mut AstPass<'_, 'b, DB>) -> QueryResult<()> {
        let is_plain = self.is_plain();
        for row in self.0 {
            out.push_bind_param_value_only::<Text, _>(&row.system_name)?;
            out.push_bind_param_value_only::<Text, _>(&row.service_name)?;
            out.push_bind_param_value_only::<Text, _>(&row.method_name)?;
            out.push_bind_param_value_only::<Text, _>(&row.task_name)?;
            out.push_bind_param_value_only::<Text, _>(&row.arg)?;
            out.push_bind_param_value_only::<Integer, _>(&row.max_retry_time)?;
            out.push_bind_param_value_only::<Timestamp, _>(&row.create_time)?;
            out.push_bind_param_value_only::<Timestamp, _>(&row.create_time)?;
            if !is_plain {
                out.push_bind_param_value_only::<Integer, _>(&row.priority)?;
                out.push_bind_param_value_only::<Nullable<Timestamp>, _>(&row.run_at)?;
                out.push_bind_param_value_only::<Nullable<BigInt>, _>(&row.timeout_ms)?;
                out.push_bind_param_value_only::<Nullable<BigInt>, _>(&row.retry_delay_ms)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::NewTask;

    #[test]
    fn tasks_are_cut_into_a_few_sizes_and_kinds() {
        let now = chrono::Utc::now();
        let row = |priority| NewTaskRow::new("demo", NewTask::new("A", "b").priority(priority), now);
        let rows: Vec<_> = std::iter::repeat_n(0, 1_112).chain([7, 7, 0]).map(row).collect();
        let cut: Vec<_> = bulks(&rows).map(|bulk| (bulk.0.len(), bulk.is_plain())).collect();
        let kinds = [
            (1_000, true),
            (100, true),
            (10, true),
            (1, true),
            (1, true),
            (1, false),
            (1, false),
            (1, true),
        ];
        assert_eq!(cut, kinds);
        let parameters = |bulk: Bulk<'_>| bulk.sql().matches('?').count();
        assert_eq!(parameters(Bulk(&rows[..100])), 800);
        assert_eq!(parameters(Bulk(&rows[1_112..1_113])), 12);
    }
}
