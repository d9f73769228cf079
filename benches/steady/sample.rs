//! What is looked at every few seconds.

use std::{fs, time::Duration};

use crate::{
    database::{Kind, Plain, Result},
    load::Load,
    report,
};

pub(crate) struct Measure {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    /// Delays and dead rows go up and down; what a row takes may not go up.
    pub(crate) may_not_grow: bool,
}

const fn measure(name: &'static str, unit: &'static str, may_not_grow: bool) -> Measure {
    Measure {
        name,
        unit,
        may_not_grow,
    }
}

pub(crate) const MEASURES: [Measure; 10] = [
    measure("tasks", "rows", false),
    measure("records", "rows", false),
    measure("dead rows", "rows", false),
    measure("tasks, table", "bytes a row", true),
    measure("tasks, indexes", "bytes a row", true),
    measure("records, table and indexes", "bytes a row", true),
    measure("memory", "MB", true),
    measure("pickup, median", "ms", true),
    measure("pickup, 99 %", "ms", false),
    measure("not begun", "tasks", false),
];

/// In the order of the measures; what cannot be known is left out.
pub(crate) struct Sample {
    at: Duration,
    pub(crate) values: [Option<f64>; MEASURES.len()],
}

/// What a database says of its tables, as one line of numbers: rows of tasks, rows of records, dead rows, bytes of tasks, bytes
/// of their indexes, bytes of records with their indexes; `-` for what it does not know.
fn sizes(kind: Kind) -> &'static str {
    match kind {
        // One file, which does not get smaller: all of it counts for the tasks.
        Kind::Sqlite => {
            "SELECT (SELECT COUNT(*) FROM asynctasks) || ' ' || (SELECT COUNT(*) FROM asynctask_exec_row) || ' - ' || \
             (page_count * page_size) || ' - -' AS line FROM pragma_page_count, pragma_page_size"
        }
        Kind::Postgres => {
            "SELECT CONCAT_WS(' ', (SELECT COUNT(*) FROM asynctasks), (SELECT COUNT(*) FROM asynctask_exec_row), \
             (SELECT SUM(n_dead_tup) FROM pg_stat_user_tables WHERE relname IN ('asynctasks', 'asynctask_exec_row')), \
             pg_table_size('asynctasks'), pg_indexes_size('asynctasks'), \
             pg_total_relation_size('asynctask_exec_row')) AS line"
        }
        Kind::Mysql => {
            "SELECT CONCAT_WS(' ', (SELECT COUNT(*) FROM asynctasks), (SELECT COUNT(*) FROM asynctask_exec_row), '-', \
             MAX(IF(table_name = 'asynctasks', data_length, 0)), MAX(IF(table_name = 'asynctasks', index_length, 0)), \
             MAX(IF(table_name = 'asynctask_exec_row', data_length + index_length, 0))) AS line \
             FROM information_schema.tables WHERE table_schema = DATABASE()"
        }
    }
}

impl Sample {
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    pub(crate) async fn take(kind: Kind, plain: &mut Plain, load: &Load, at: Duration) -> Result<Self> {
        let line = plain.lines(sizes(kind)).await?.join("");
        let numbers: Vec<Option<f64>> = line.split(' ').map(|number| number.parse().ok()).collect();
        let [tasks, records, dead, table, indexes, others] = numbers[..] else {
            return Err(format!("six numbers were expected: {line}").into());
        };
        let each = |bytes: Option<f64>, rows: Option<f64>| bytes.zip(rows).map(|(bytes, rows)| bytes / rows.max(1.0));
        let pickups = load.pickups();
        let millis = |quantile| Some(pickups.value_at_quantile(quantile) as f64 / 1_000.0);
        let values = [
            tasks,
            records,
            dead,
            each(table, tasks),
            each(indexes, tasks),
            each(others, records),
            memory(),
            millis(0.5),
            millis(0.99),
            Some(load.waiting() as f64),
        ];
        Ok(Self { at, values })
    }

    /// One line, so that one who waits sees how it goes.
    pub(crate) fn print(&self) {
        let values = MEASURES.iter().zip(self.values);
        let shown = values.filter_map(|(measure, value)| Some(format!("{}={}", measure.name, report::number(value?))));
        println!("{:>4} s  {}", self.at.as_secs(), shown.collect::<Vec<_>>().join("  "));
    }
}

/// Megabytes of this process; only Linux says.
fn memory() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes / 1_024.0)
}
