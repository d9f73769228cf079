//! Transactions whose statements are the same on every database, written once: on SQLite they run as one blocking piece, on
//! the servers statement by statement.

/// Makes a function for each database of the build, `sqlite`, `postgres` and `mysql`, from a macro with the statements. That macro takes
/// a connection, the input, two macros, and the tokens that wait for an answer (`.await`, or nothing on SQLite). The two macros are
/// `$lock!(query)`, which locks the rows of a query and passes over rows that other sessions have locked, and `$open!(ids)`, the condition
/// of open runs of these jobs, spelled so that the index over open runs serves.
macro_rules! on_each_connection {
    ($statements:ident, $input:ty, $answer:ty) => {
        #[cfg(feature = "sqlite")]
        pub(in crate::store) fn sqlite(
            conn: &mut diesel::sqlite::SqliteConnection,
            input: &$input,
        ) -> diesel::QueryResult<$answer> {
            use diesel::RunQueryDsl;
            #[allow(unused_imports, reason = "not each of them locks and looks for open runs")]
            use $crate::store::statement::transaction::{locked_by_the_file as lock, open_by_job as open};
            $statements!(conn, input, lock, open, [])
        }

        #[cfg(feature = "postgres")]
        pub(in crate::store) async fn postgres(
            conn: &mut diesel_async::AsyncPgConnection,
            input: &$input,
        ) -> diesel::QueryResult<$answer> {
            use diesel_async::RunQueryDsl;
            #[allow(unused_imports, reason = "not each of them locks and looks for open runs")]
            use $crate::store::statement::transaction::{locked_by_row as lock, open_by_job as open};
            $statements!(conn, input, lock, open, [.await])
        }

        #[cfg(feature = "mysql")]
        pub(in crate::store) async fn mysql(
            conn: &mut diesel_async::AsyncMysqlConnection,
            input: &$input,
        ) -> diesel::QueryResult<$answer> {
            use diesel_async::RunQueryDsl;
            #[allow(unused_imports, reason = "not each of them locks and looks for open runs")]
            use $crate::store::statement::transaction::{locked_by_row as lock, open_by_column as open};
            $statements!(conn, input, lock, open, [.await])
        }
    };
}
pub(in crate::store) use on_each_connection;

/// SQLite needs no row locks: it has one writer at a time.
#[cfg(feature = "sqlite")]
macro_rules! locked_by_the_file {
    ($query:expr) => {
        $query
    };
}
#[cfg(feature = "sqlite")]
pub(in crate::store) use locked_by_the_file;

#[cfg(feature = "_server")]
macro_rules! locked_by_row {
    ($query:expr) => {
        $query.for_update().skip_locked()
    };
}
#[cfg(feature = "_server")]
pub(in crate::store) use locked_by_row;

/// The condition of open runs on a database with partial indexes.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
macro_rules! open_by_job {
    ($ids:expr) => {
        diesel::BoolExpressionMethods::and(
            job_record::job_id.eq_any($ids),
            diesel::BoolExpressionMethods::and(
                job_record::job_result_flag.is_null(),
                job_record::node_id.is_not_null(),
            ),
        )
    };
}
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(in crate::store) use open_by_job;

/// The condition of open runs on MySQL, which has a generated column for it: the job's id while the run is open.
#[cfg(feature = "mysql")]
macro_rules! open_by_column {
    ($ids:expr) => {
        diesel::dsl::sql::<diesel::sql_types::Nullable<diesel::sql_types::BigInt>>("open_job").eq_any($ids)
    };
}
#[cfg(feature = "mysql")]
pub(in crate::store) use open_by_column;

/// Runs such a function of `$module` in a transaction. The input is in an `Arc`, and has a method `rows` for how many rows it changes.
macro_rules! transact {
    ($db:expr, $module:ident, $input:expr) => {
        match $db {
            #[cfg(feature = "sqlite")]
            $crate::store::db::Db::Sqlite(db) => {
                let input = std::sync::Arc::clone($input);
                db.transaction(input.rows(), move |conn| $module::sqlite(conn, &input))
                    .await
            }
            #[cfg(feature = "postgres")]
            $crate::store::db::Db::Postgres(db) => {
                let mut conn = db.connections.acquire().await?;
                Ok($crate::store::server::pool::in_transaction!(conn, |conn| {
                    $module::postgres(conn, $input).await
                })?)
            }
            #[cfg(feature = "mysql")]
            $crate::store::db::Db::Mysql(db) => {
                let mut conn = db.connections.acquire().await?;
                Ok($crate::store::server::pool::in_transaction!(conn, |conn| {
                    $module::mysql(conn, $input).await
                })?)
            }
        }
    };
}
pub(in crate::store) use transact;
