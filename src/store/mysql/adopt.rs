//! Tables of later versions of the Go framework. They differ from the tables of its guide, with which the migrations begin: some columns are
//! narrower, some are not there, and the letters are those of `utf8mb3`. Before the first migration they get what the guide's tables have.
//!
//! Each table gets all of it in one statement, so that the server copies it once, and a run that is killed leaves whole tables.

use std::collections::HashMap;

use diesel::{
    QueryableByName,
    sql_types::{BigInt, Nullable, Text},
};
use diesel_async::{AsyncMysqlConnection, RunQueryDsl};

use super::plain::{execute, number};
use crate::store::migrations::SchemaError;

/// What a column of the guide's tables can hold.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// A text of so many characters.
    Characters(i64),
    /// A number of 64 bits.
    Long,
    Time,
}

struct Column {
    name: &'static str,
    kind: Kind,
    definition: &'static str,
    /// Rows of this crate leave it out.
    may_be_null: bool,
    /// If it is not there, a migration makes it.
    is_made_later: bool,
}

const fn text(name: &'static str, characters: i64, definition: &'static str) -> Column {
    Column {
        name,
        kind: Kind::Characters(characters),
        definition,
        may_be_null: false,
        is_made_later: false,
    }
}

const fn optional(name: &'static str, kind: Kind, definition: &'static str) -> Column {
    Column {
        name,
        kind,
        definition,
        may_be_null: true,
        is_made_later: false,
    }
}

const fn long(name: &'static str, definition: &'static str) -> Column {
    Column {
        name,
        kind: Kind::Long,
        definition,
        may_be_null: false,
        is_made_later: false,
    }
}

/// The columns that the migrations take as they are. Those that a migration defines anew may be as they like.
const COLUMNS: [(&str, &[Column]); 5] = [
    (
        "asynctasks",
        &[
            text(
                "task_name",
                255,
                "varchar(255) CHARACTER SET utf8mb4 NOT NULL DEFAULT '' COMMENT '任务名'",
            ),
            text(
                "log_id",
                100,
                "varchar(100) CHARACTER SET utf8mb4 DEFAULT NULL COMMENT '日志追踪ID'",
            ),
            long("last_run_duration", "bigint DEFAULT '0' COMMENT '执行耗时(ms)'"),
        ],
    ),
    (
        "asynctask_exec_row",
        &[
            text(
                "task_status",
                50,
                "varchar(50) CHARACTER SET utf8mb4 DEFAULT NULL COMMENT '任务状态'",
            ),
            text(
                "log_id",
                100,
                "varchar(128) CHARACTER SET utf8mb4 DEFAULT NULL COMMENT '日志追踪ID'",
            ),
            long("last_run_duration", "bigint DEFAULT '0' COMMENT '执行耗时(ms)'"),
            // NULL in the rows that are there: when they were written is not known.
            optional("create_time", Kind::Time, "datetime(6) DEFAULT NULL"),
        ],
    ),
    // Ids of tasks do not fit into less. Each heartbeat uses up an id of its own, even if it only renews a row.
    (
        "async_task_heartbeat",
        &[
            long("id", "bigint NOT NULL AUTO_INCREMENT"),
            long("task_id", "bigint NOT NULL"),
        ],
    ),
    (
        "job_center",
        &[
            long("id", "bigint NOT NULL AUTO_INCREMENT"),
            text(
                "cron_expr",
                100,
                "varchar(100) CHARACTER SET utf8mb4 NOT NULL DEFAULT '' COMMENT 'Cron表达式'",
            ),
            optional(
                "hook_url",
                Kind::Characters(500),
                "varchar(512) CHARACTER SET utf8mb4 DEFAULT NULL COMMENT 'Hook URL（cron_hook类型）'",
            ),
            optional(
                "service_name",
                Kind::Characters(255),
                "varchar(255) CHARACTER SET utf8mb4 DEFAULT NULL COMMENT '服务名（cron_job类型）'",
            ),
            optional(
                "service_method",
                Kind::Characters(255),
                "varchar(255) CHARACTER SET utf8mb4 DEFAULT NULL COMMENT '方法名（cron_job类型）'",
            ),
        ],
    ),
    (
        "job_record",
        &[
            long("id", "bigint NOT NULL AUTO_INCREMENT"),
            text(
                "job_name",
                255,
                "varchar(255) CHARACTER SET utf8mb4 NOT NULL DEFAULT '' COMMENT '任务名称'",
            ),
            text(
                "cron_expr",
                100,
                "varchar(100) CHARACTER SET utf8mb4 NOT NULL DEFAULT '' COMMENT 'Cron表达式'",
            ),
            optional(
                "hook_url",
                Kind::Characters(500),
                "varchar(512) CHARACTER SET utf8mb4 DEFAULT NULL COMMENT 'Hook URL'",
            ),
            optional(
                "service_name",
                Kind::Characters(255),
                "varchar(255) CHARACTER SET utf8mb4 DEFAULT NULL COMMENT '服务名'",
            ),
            optional(
                "service_method",
                Kind::Characters(255),
                "varchar(255) CHARACTER SET utf8mb4 DEFAULT NULL COMMENT '方法名'",
            ),
            optional(
                "job_result_flag",
                Kind::Characters(32),
                "varchar(50) CHARACTER SET utf8mb4 DEFAULT NULL COMMENT '执行结果标记: success/failed'",
            ),
            Column {
                is_made_later: true,
                ..optional("duration_ms", Kind::Long, "bigint DEFAULT NULL COMMENT '执行耗时(ms)'")
            },
        ],
    ),
];

/// Columns that a migration makes `mediumtext`, which holds 16 MB.
const TEXTS: [(&str, &[&str]); 4] = [
    ("asynctasks", &["arg", "last_result", "last_err_msg"]),
    ("asynctask_exec_row", &["last_result", "last_err_msg"]),
    ("job_center", &["args"]),
    ("job_record", &["args", "run_result", "run_err"]),
];

const FOUND: &str = "SELECT c.table_name AS tab, c.column_name AS name, LOWER(c.data_type) AS data_type, \
      CAST(c.character_maximum_length AS SIGNED) AS characters, c.is_nullable AS nullable, \
      c.character_set_name AS charset, COALESCE(t.table_collation, '') AS collation \
    FROM information_schema.columns c JOIN information_schema.tables t \
      ON t.table_schema = c.table_schema AND t.table_name = c.table_name \
    WHERE c.table_schema = DATABASE() AND t.table_type = 'BASE TABLE' \
      AND c.table_name IN ('asynctasks', 'asynctask_exec_row', 'async_task_heartbeat', 'job_center', 'job_record')";

#[derive(Debug, QueryableByName)]
struct Found {
    #[diesel(sql_type = Text)]
    tab: String,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    data_type: String,
    #[diesel(sql_type = Nullable<BigInt>)]
    characters: Option<i64>,
    #[diesel(sql_type = Text)]
    nullable: String,
    #[diesel(sql_type = Nullable<Text>)]
    charset: Option<String>,
    #[diesel(sql_type = Text)]
    collation: String,
}

impl Column {
    fn is_met_by(&self, found: &Found) -> bool {
        let is_wide = match self.kind {
            Kind::Characters(characters) => found.characters.is_some_and(|found| found >= characters),
            Kind::Long => found.data_type == "bigint",
            Kind::Time => true,
        };
        is_wide && (!self.may_be_null || found.nullable.eq_ignore_ascii_case("YES"))
    }
}

/// The statements that tables of later versions of the framework need before the first migration. None where the tables are those of the
/// guide, or not there. An error if the migrations could not take a row.
pub(super) async fn statements(conn: &mut AsyncMysqlConnection) -> Result<Vec<String>, SchemaError> {
    let found: Vec<Found> = diesel::sql_query(FOUND).load(conn).await?;
    let mut tables: HashMap<&str, Vec<&Found>> = HashMap::new();
    for column in &found {
        tables.entry(&column.tab).or_default().push(column);
    }
    refuse_long_texts(conn, &tables).await?;
    let statement = |(table, wanted): &(&str, &[Column])| {
        let columns = tables.get(table)?;
        let mut changes = Vec::new();
        changes.extend(letters(columns));
        changes.extend(wanted.iter().filter_map(|wanted| change(wanted, columns)));
        (!changes.is_empty()).then(|| format!("ALTER TABLE {table} {}", changes.join(", ")))
    };
    Ok(COLUMNS.iter().filter_map(statement).collect())
}

/// `utf8mb3` and what came before it lack letters. A table in which the case of letters counts keeps that: its unique names may differ in
/// nothing else.
fn letters(columns: &[&Found]) -> Option<String> {
    let is_narrow = |column: &&&Found| column.charset.as_deref().is_some_and(|charset| charset != "utf8mb4");
    let column = columns.iter().find(is_narrow)?;
    let collation = match column.collation.ends_with("_bin") {
        true => " COLLATE utf8mb4_bin",
        false => "",
    };
    Some(format!("CONVERT TO CHARACTER SET utf8mb4{collation}"))
}

fn change(wanted: &Column, columns: &[&Found]) -> Option<String> {
    let Column { name, definition, .. } = wanted;
    match columns.iter().find(|found| found.name == *name) {
        None if wanted.is_made_later => None,
        None => Some(format!("ADD COLUMN {name} {definition}")),
        Some(found) if wanted.is_met_by(found) => None,
        Some(_) => Some(format!("MODIFY {name} {definition}")),
    }
}

/// Makes the tables ready for the migrations.
pub(super) async fn adopt(conn: &mut AsyncMysqlConnection) -> Result<(), SchemaError> {
    for statement in statements(conn).await? {
        say!(Info, "tables of the Go framework are made ready: {statement}");
        execute(conn, &statement).await?;
    }
    Ok(())
}

async fn refuse_long_texts(
    conn: &mut AsyncMysqlConnection,
    tables: &HashMap<&str, Vec<&Found>>,
) -> Result<(), SchemaError> {
    for (table, columns) in TEXTS {
        let there = tables.get(table).map_or(&[][..], Vec::as_slice);
        let is_long = |column: &&&str| {
            let mut there = there.iter().filter(|found| found.name == **column);
            there.any(|found| found.data_type == "longtext")
        };
        let too_long: Vec<String> = columns
            .iter()
            .filter(is_long)
            .map(|column| format!("OCTET_LENGTH({column}) > 16777215"))
            .collect();
        if too_long.is_empty() {
            continue;
        }
        let sql = format!("SELECT MIN(id) AS number FROM {table} WHERE {}", too_long.join(" OR "));
        if let Some(id) = number(conn, &sql).await? {
            return Err(SchemaError::Failed(format!(
                "the row {id} of {table} has a text of more than 16 MB, and the columns of this crate hold no longer ones; nothing was \
                 changed; shorten or delete the row"
            )));
        }
    }
    Ok(())
}
