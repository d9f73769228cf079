//! The columns of the tables, and the values that plain SQL may leave in them although no program of ours would.

use crate::support::{Database, Kind};

/// What a column is meant to hold.
#[derive(Debug, Clone, Copy)]
pub enum Holds {
    Text,
    Int,
    BigInt,
    Time,
    /// The number of a row.
    Key,
}
use Holds::{BigInt, Int, Key, Text, Time};

/// A table with all of its columns, but for those that the database computes.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    pub name: &'static str,
    pub columns: &'static [(&'static str, Holds)],
}

pub const TASKS: Table = Table {
    name: "asynctasks",
    columns: &[
        ("id", Key),
        ("service_name", Text),
        ("method_name", Text),
        ("task_name", Text),
        ("arg", Text),
        ("max_retry_time", Int),
        ("system_name", Text),
        ("task_status", Text),
        ("last_run_time", Time),
        ("last_run_end_time", Time),
        ("last_run_duration", BigInt),
        ("create_time", Time),
        ("update_time", Time),
        ("retry_time", Int),
        ("last_result", Text),
        ("last_err_msg", Text),
        ("log_id", Text),
        ("priority", Int),
        ("run_at", Time),
        ("timeout_ms", BigInt),
        ("retry_delay_ms", BigInt),
        ("unique_key", Text),
        ("lease_owner", Text),
        ("lease_token", BigInt),
        ("cancel_requested", Int),
        ("began", Int),
        ("progress", Int),
        ("progress_note", Text),
        ("finished_at", Time),
        ("traceparent", Text),
        ("limit_key", Text),
        ("tenant_id", Text),
    ],
};

pub const RECORDS: Table = Table {
    name: "asynctask_exec_row",
    columns: &[
        ("id", Key),
        ("task_id", BigInt),
        ("task_status", Text),
        ("last_result", Text),
        ("last_err_msg", Text),
        ("last_run_time", Time),
        ("last_run_end_time", Time),
        ("last_run_duration", BigInt),
        ("log_id", Text),
        ("create_time", Time),
        ("attempt", Int),
        ("node_id", Text),
        ("lease_token", BigInt),
    ],
};

pub const NODES: Table = Table {
    name: "gaia_nodes",
    columns: &[
        ("id", Text),
        ("host", Text),
        ("pid", BigInt),
        ("version", Text),
        ("started_at", Time),
        ("heartbeat", Time),
        ("beat", BigInt),
        ("lease_ms", BigInt),
        ("themes", Text),
        ("methods", Text),
        ("protocol", Int),
    ],
};

pub const THEMES: Table = Table {
    name: "gaia_themes",
    columns: &[
        ("theme", Text),
        ("paused", Int),
        ("workers", Int),
        ("size_order", BigInt),
        ("update_time", Time),
        ("paused_by", Text),
        ("paused_reason", Text),
        ("paused_at", Time),
        ("resized_by", Text),
        ("resized_reason", Text),
        ("resized_at", Time),
        ("first_paused_by", Text),
        ("first_paused_reason", Text),
        ("first_paused_at", Time),
    ],
};

pub const REQUESTS: Table = Table {
    name: "gaia_requests",
    columns: &[
        ("id", Key),
        ("kind", Text),
        ("open_for", Text),
        ("node_id", Text),
        ("theme", Text),
        ("job_id", BigInt),
        ("workers", Int),
        ("asked_by", Text),
        ("reason", Text),
        ("created_at", Time),
        ("taken_by", Text),
        ("taken_at", Time),
        ("done_at", Time),
        ("result", Text),
    ],
};

pub const NODE_STATUS: Table = Table {
    name: "gaia_node_status",
    columns: &[("node_id", Text), ("written_at", Time), ("status", Text)],
};

pub const RETENTION: Table = Table {
    name: "gaia_retention",
    columns: &[("scope", Text), ("since", Time), ("seen", Time)],
};

pub const JOBS: Table = Table {
    name: "job_center",
    columns: &[
        ("id", Key),
        ("job_name", Text),
        ("job_type", Text),
        ("cron_expr", Text),
        ("hook_url", Text),
        ("service_name", Text),
        ("service_method", Text),
        ("args", Text),
        ("timeout", Int),
        ("enabled", Int),
        ("run_status", Text),
        ("last_run_time", Time),
        ("create_time", Time),
        ("update_time", Time),
        ("time_zone", Text),
        ("overlap_policy", Text),
        ("misfire_policy", Text),
        ("misfire_grace", Int),
        ("max_retry", Int),
        ("retry_delay_ms", BigInt),
        ("hook_method", Text),
        ("hook_headers", Text),
        ("hook_secret", Text),
        ("scheduled_from", Time),
        ("scheduled_by", Text),
        ("unique_name", Text),
        ("version", BigInt),
        ("system_name", Text),
        ("lease_owner", Text),
        ("lease_expire_at", Time),
        ("last_heartbeat_time", Time),
    ],
};

pub const RUNS: Table = Table {
    name: "job_record",
    columns: &[
        ("id", Key),
        ("job_name", Text),
        ("job_type", Text),
        ("cron_expr", Text),
        ("hook_url", Text),
        ("service_name", Text),
        ("service_method", Text),
        ("args", Text),
        ("job_result_flag", Text),
        ("run_result", Text),
        ("run_err", Text),
        ("create_time", Time),
        ("update_time", Time),
        ("job_id", BigInt),
        ("scheduled_at", Time),
        ("previous_at", Time),
        ("started_at", Time),
        ("ended_at", Time),
        ("duration_ms", BigInt),
        ("attempt", Int),
        ("node_id", Text),
        ("log_id", Text),
        ("cancel_reason", Text),
        ("system_name", Text),
    ],
};

/// Every table of which a node reads columns.
pub const TABLES: &[Table] = &[
    TASKS,
    RECORDS,
    NODES,
    THEMES,
    REQUESTS,
    NODE_STATUS,
    RETENTION,
    JOBS,
    RUNS,
];

/// Values that nobody means, as plain SQL. Which of them a column takes is up to the database.
pub fn odd_values(kind: Kind, holds: Holds) -> Vec<&'static str> {
    let mut values = match holds {
        Text => vec!["NULL", "''", "' x '", "'é 🎉 \u{202e}'"],
        Int => vec!["NULL", "0", "-1", "2147483647", "-2147483648"],
        BigInt => vec!["NULL", "0", "-1", "9223372036854775807", "-9223372036854775808"],
        Time => vec!["NULL"],
        Key => return vec!["-9223372036854775807", "-1"],
    };
    match (kind, holds) {
        (_, Key) => {}
        #[cfg(feature = "sqlite")]
        (Kind::Sqlite, Time) => values.extend([
            "'infinity'",
            "'-infinity'",
            "'now'",
            "''",
            "'0000-00-00 00:00:00'",
            "'2026-13-45 99:00:00'",
            "'99999-01-01 00:00:00'",
            "'2026-11-27T08:00:00Z'",
            "X'ff00'",
            "1750000000",
            "-9223372036854775808",
            "9e999",
        ]),
        #[cfg(feature = "sqlite")]
        (Kind::Sqlite, Text) => values.extend(["X'ff41'", "X''", "CAST(X'610062' AS TEXT)", "7", "1.5"]),
        #[cfg(feature = "sqlite")]
        (Kind::Sqlite, Int | BigInt) => {
            values.extend(["'abc'", "''", "X'ff'", "1.5", "9e999", "9223372036854775807"]);
        }
        #[cfg(feature = "postgres")]
        (Kind::Postgres, Time) => values.extend([
            "'infinity'",
            "'-infinity'",
            "'294000-01-01'",
            "'262142-12-31 23:59:59'",
            "'4713-01-01 BC'",
        ]),
        #[cfg(feature = "mysql")]
        (Kind::Mysql, Time) => values.extend([
            "'0000-00-00'",
            "'2026-00-00'",
            "'2026-02-31'",
            "'0001-01-01'",
            "'9999-12-31 23:59:59'",
        ]),
        #[cfg(feature = "mysql")]
        (Kind::Mysql, Text) => values.push("CHAR(97, 0, 98)"),
        #[cfg(any(feature = "postgres", feature = "mysql"))]
        _ => {}
    }
    values
}

impl Database {
    /// Runs statements of plain SQL that this database may refuse, under the loosest rules that its sessions may have. Answers
    /// how many it took.
    pub fn write_odd(&self, statements: &[String]) -> usize {
        match self.kind() {
            #[cfg(feature = "mysql")]
            Kind::Mysql => self.try_each("SET SESSION sql_mode = 'ALLOW_INVALID_DATES'", statements),
            #[cfg(any(feature = "sqlite", feature = "postgres"))]
            _ => self.try_each("SELECT 1", statements),
        }
    }

    /// Inserts rows with these values, but for one column, which has each of its odd values in turn.
    pub fn insert_odd(&self, table: Table, good: &[(&str, &str)], column: &str, holds: Holds) {
        let insert = |(place, value): (usize, &str)| {
            let mut row: Vec<(&str, String)> = good
                .iter()
                .filter(|(name, _)| *name != column)
                .map(|(name, value)| (*name, value.replace("{n}", &format!("{column}{place}"))))
                .collect();
            row.push((column, value.to_owned()));
            let (names, values): (Vec<&str>, Vec<String>) = row.into_iter().unzip();
            let (names, values) = (names.join(", "), values.join(", "));
            format!("INSERT INTO {} ({names}) VALUES ({values})", table.name)
        };
        let values = odd_values(self.kind(), holds);
        let taken = self.write_odd(&values.into_iter().enumerate().map(insert).collect::<Vec<_>>());
        assert!(taken > 0, "{} takes no odd value in {column}", table.name);
    }
}

/// A column that is added to the tables has to be added here, too.
#[actix_rt::test]
async fn every_column_has_its_odd_values() {
    let database = Database::fresh();
    let gaia = database.builder().start().await.expect("makes the tables");
    gaia.stop().await.expect("stops");
    for table in TABLES {
        let names: Vec<String> = table.columns.iter().map(|(name, _)| format!("'{name}'")).collect();
        let (name, known) = (table.name, names.join(", "));
        let unknown = match database.kind() {
            #[cfg(feature = "sqlite")]
            Kind::Sqlite => {
                format!("SELECT COUNT(*) FROM pragma_table_info('{name}') WHERE name NOT IN ({known}, 'queued')")
            }
            #[cfg(feature = "postgres")]
            Kind::Postgres => format!(
                "SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = current_schema() \
                 AND table_name = '{name}' AND column_name NOT IN ({known}, 'queued', 'live_key')"
            ),
            #[cfg(feature = "mysql")]
            Kind::Mysql => format!(
                "SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = DATABASE() \
                 AND table_name = '{name}' AND column_name NOT IN ({known}, 'queued') AND extra NOT LIKE '%GENERATED%'"
            ),
        };
        assert_eq!(
            database.number(&unknown),
            0,
            "columns of {name} that are not listed here"
        );
    }
}
