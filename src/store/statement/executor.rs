//! Connections that wait for an answer, and connections that block the thread until it is there, behind one trait: statements on the
//! connections of callers are written once for both.

use diesel::{
    QueryResult, backend::Backend, connection::LoadConnection, deserialize::FromSqlRow, expression::QueryMetadata,
    query_dsl::CompatibleType, result::Error as DieselError,
};
use diesel_async::AsyncConnectionCore;
use futures_util::{FutureExt, future::BoxFuture};

use super::prepared::{Binds, Prepared};

/// Something that runs statements on a database.
pub(in crate::store) trait Executor<DB: Backend + 'static>: Send {
    /// The rows with which a statement answers.
    fn load<'a, B, ST, U, T>(&'a mut self, statement: Prepared<B, ST>) -> BoxFuture<'a, QueryResult<Vec<U>>>
    where
        B: Binds<DB> + Send + 'a,
        ST: CompatibleType<U, DB, SqlType = T> + Send + 'static,
        T: 'static,
        DB: QueryMetadata<ST>,
        U: FromSqlRow<T, DB> + Send + 'static;

    /// How many rows a statement has changed.
    #[cfg(any(feature = "sqlite", feature = "mysql"))]
    fn execute<'a, B: Binds<DB> + Send + 'a>(&'a mut self, statement: Prepared<B>)
    -> BoxFuture<'a, QueryResult<usize>>;
}

/// A connection of diesel-async.
pub(in crate::store) struct Async<'a, C>(pub(in crate::store) &'a mut C);

/// A connection of diesel. Its futures block the thread when they are made, and are ready at once.
pub(in crate::store) struct Blocking<'a, C>(pub(in crate::store) &'a mut C);

impl<DB, C> Executor<DB> for Async<'_, C>
where
    DB: Backend + 'static,
    C: AsyncConnectionCore<Backend = DB>,
{
    fn load<'a, B, ST, U, T>(&'a mut self, statement: Prepared<B, ST>) -> BoxFuture<'a, QueryResult<Vec<U>>>
    where
        B: Binds<DB> + Send + 'a,
        ST: CompatibleType<U, DB, SqlType = T> + Send + 'static,
        T: 'static,
        DB: QueryMetadata<ST>,
        U: FromSqlRow<T, DB> + Send + 'static,
    {
        diesel_async::RunQueryDsl::load(statement, &mut *self.0).boxed()
    }

    #[cfg(any(feature = "sqlite", feature = "mysql"))]
    fn execute<'a, B: Binds<DB> + Send + 'a>(
        &'a mut self,
        statement: Prepared<B>,
    ) -> BoxFuture<'a, QueryResult<usize>> {
        diesel_async::RunQueryDsl::execute(statement, &mut *self.0).boxed()
    }
}

impl<DB, C> Executor<DB> for Blocking<'_, C>
where
    DB: Backend + 'static,
    C: LoadConnection<Backend = DB>,
{
    fn load<'a, B, ST, U, T>(&'a mut self, statement: Prepared<B, ST>) -> BoxFuture<'a, QueryResult<Vec<U>>>
    where
        B: Binds<DB> + Send + 'a,
        ST: CompatibleType<U, DB, SqlType = T> + Send + 'static,
        T: 'static,
        DB: QueryMetadata<ST>,
        U: FromSqlRow<T, DB> + Send + 'static,
    {
        std::future::ready(diesel::RunQueryDsl::load(statement, &mut *self.0)).boxed()
    }

    #[cfg(any(feature = "sqlite", feature = "mysql"))]
    fn execute<'a, B: Binds<DB> + Send + 'a>(
        &'a mut self,
        statement: Prepared<B>,
    ) -> BoxFuture<'a, QueryResult<usize>> {
        std::future::ready(diesel::RunQueryDsl::execute(statement, &mut *self.0)).boxed()
    }
}

/// The result of work on a [`Blocking`] connection, which waits for nothing.
pub(in crate::store) fn at_once<T, E: From<DieselError>>(work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    let waits = || DieselError::QueryBuilderError("a connection that blocks has left a statement undone".into());
    work.now_or_never().unwrap_or_else(|| Err(waits().into()))
}
