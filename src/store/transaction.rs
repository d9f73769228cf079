//! Transactions whose statements are the same on every database, written once: on SQLite they run as one blocking piece, on
//! the servers statement by statement.

/// Makes a function for each database of the build, `sqlite`, `postgres` and `mysql`, out of statements in a macro that
/// takes a connection, the input, a macro that locks what a query picks, and what waits for an answer.
macro_rules! on_each_connection {
    ($statements:ident, $input:ty, $answer:ty) => {
        #[cfg(feature = "sqlite")]
        pub(in crate::store) fn sqlite(
            conn: &mut diesel::sqlite::SqliteConnection,
            input: &$input,
        ) -> diesel::QueryResult<$answer> {
            use diesel::RunQueryDsl;
            /// SQLite has one writer at a time.
            macro_rules! locked {
                ($query:expr) => {
                    $query
                };
            }
            $statements!(conn, input, locked, [])
        }

        #[cfg(feature = "postgres")]
        pub(in crate::store) async fn postgres(
            conn: &mut diesel_async::AsyncPgConnection,
            input: &$input,
        ) -> diesel::QueryResult<$answer> {
            use diesel_async::RunQueryDsl;
            macro_rules! locked {
                ($query:expr) => {
                    $query.for_update()
                };
            }
            $statements!(conn, input, locked, [.await])
        }

        #[cfg(feature = "mysql")]
        pub(in crate::store) async fn mysql(
            conn: &mut diesel_async::AsyncMysqlConnection,
            input: &$input,
        ) -> diesel::QueryResult<$answer> {
            use diesel_async::RunQueryDsl;
            macro_rules! locked {
                ($query:expr) => {
                    $query.for_update()
                };
            }
            $statements!(conn, input, locked, [.await])
        }
    };
}
pub(super) use on_each_connection;

/// Runs such a function of `$module` in a transaction, with an input behind an `Arc`.
macro_rules! transact {
    ($db:expr, $module:ident, $input:expr) => {
        match $db {
            #[cfg(feature = "sqlite")]
            $crate::store::db::Db::Sqlite(db) => {
                let input = std::sync::Arc::clone($input);
                db.transaction(move |conn| $module::sqlite(conn, &input)).await
            }
            #[cfg(feature = "postgres")]
            $crate::store::db::Db::Postgres(db) => {
                let mut lease = db.connections.lease().await?;
                Ok($crate::store::pool::in_transaction!(lease, |conn| {
                    $module::postgres(conn, $input).await
                })?)
            }
            #[cfg(feature = "mysql")]
            $crate::store::db::Db::Mysql(db) => {
                let mut lease = db.connections.lease().await?;
                Ok($crate::store::pool::in_transaction!(lease, |conn| {
                    $module::mysql(conn, $input).await
                })?)
            }
        }
    };
}
pub(super) use transact;
