//! What an application may add to the tables, so that they refuse some rows.

use super::{Database, Kind};

impl Database {
    /// Has a table refuse rows for which this holds: SQL in which `@` stands before each column.
    pub fn refuse(&self, table: &str, name: &str, condition: &str) {
        match self.kind() {
            #[cfg(feature = "sqlite")]
            Kind::Sqlite => {
                let condition = condition.replace('@', "NEW.");
                for event in ["INSERT", "UPDATE"] {
                    self.execute(&format!(
                        "CREATE TRIGGER {name}_{event} BEFORE {event} ON {table} WHEN {condition} \
                         BEGIN SELECT RAISE(ABORT, '{name} refuses this row'); END"
                    ));
                }
            }
            #[cfg(any(feature = "postgres", feature = "mysql"))]
            _ => {
                let condition = condition.replace('@', "");
                self.execute(&format!(
                    "ALTER TABLE {table} ADD CONSTRAINT {name} CHECK (({condition}) IS NOT TRUE)"
                ));
            }
        }
    }

    /// Takes that back.
    #[cfg_attr(
        not(any(feature = "postgres", feature = "mysql")),
        allow(unused_variables, reason = "SQLite finds a trigger without its table")
    )]
    pub fn allow(&self, table: &str, name: &str) {
        match self.kind() {
            #[cfg(feature = "sqlite")]
            Kind::Sqlite => self.execute(&format!("DROP TRIGGER {name}_INSERT; DROP TRIGGER {name}_UPDATE")),
            #[cfg(any(feature = "postgres", feature = "mysql"))]
            _ => self.execute(&format!("ALTER TABLE {table} DROP CONSTRAINT {name}")),
        }
    }

    /// Has a column of texts take no characters beyond ASCII (on MySQL: beyond Latin 1, as in tables with that charset).
    pub fn narrow(&self, table: &str, column: &str) {
        match self.kind() {
            #[cfg(feature = "sqlite")]
            Kind::Sqlite => self.refuse(
                table,
                &format!("narrow_{table}_{column}"),
                &format!("length(CAST(@{column} AS BLOB)) > length(@{column})"),
            ),
            #[cfg(feature = "postgres")]
            Kind::Postgres => self.refuse(
                table,
                &format!("narrow_{table}_{column}"),
                &format!("octet_length(@{column}) > char_length(@{column})"),
            ),
            #[cfg(feature = "mysql")]
            Kind::Mysql => {
                self.execute(&format!(
                    "ALTER TABLE {table} MODIFY {column} mediumtext CHARACTER SET latin1"
                ));
            }
        }
    }
}
