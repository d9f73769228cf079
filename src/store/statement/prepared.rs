//! Statements that a connection keeps prepared.
//!
//! diesel prepares plain SQL, and every `UPDATE` that it builds, anew for each execution: on SQLite that costs more than the
//! statement itself, on a server another round trip. The texts here are constants, so that the cache stays small.

use std::marker::PhantomData;

use diesel::{
    QueryResult,
    backend::Backend,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    serialize::ToSql,
    sql_types::{HasSqlType, Untyped},
};

/// Plain SQL that is prepared once for each connection.
pub(in crate::store) struct Prepared<B, ST = Untyped> {
    sql: &'static str,
    binds: B,
    columns: PhantomData<ST>,
}

/// The value of one parameter, after those `before` it.
pub(in crate::store) struct Bound<B, ST, V> {
    before: B,
    value: V,
    sql_type: PhantomData<ST>,
}

/// Values of parameters, in the order of their numbers.
pub(in crate::store) trait Binds<DB: Backend> {
    fn push<'b>(&'b self, out: &mut AstPass<'_, 'b, DB>) -> QueryResult<()>;
}

pub(in crate::store) fn prepared(sql: &'static str) -> Prepared<()> {
    Prepared::new(sql, ())
}

impl<B> Prepared<B> {
    /// With all its values at once.
    pub(in crate::store) fn new(sql: &'static str, binds: B) -> Self {
        Self {
            sql,
            binds,
            columns: PhantomData,
        }
    }

    pub(in crate::store) fn bind<ST, V>(self, value: V) -> Prepared<Bound<B, ST, V>> {
        let bound = Bound {
            before: self.binds,
            value,
            sql_type: PhantomData,
        };
        Prepared::new(self.sql, bound)
    }

    /// The types of the columns that it answers with. They are read by their places: to look for names takes longer than to
    /// read the values.
    pub(in crate::store) fn columns<ST>(self) -> Prepared<B, ST> {
        Prepared {
            sql: self.sql,
            binds: self.binds,
            columns: PhantomData,
        }
    }
}

impl<DB: Backend> Binds<DB> for () {
    fn push<'b>(&'b self, _: &mut AstPass<'_, 'b, DB>) -> QueryResult<()> {
        Ok(())
    }
}

impl<DB, B, ST, V> Binds<DB> for Bound<B, ST, V>
where
    DB: Backend + HasSqlType<ST>,
    B: Binds<DB>,
    V: ToSql<ST, DB>,
{
    fn push<'b>(&'b self, out: &mut AstPass<'_, 'b, DB>) -> QueryResult<()> {
        self.before.push(out)?;
        out.push_bind_param_value_only(&self.value)
    }
}

impl<DB: Backend, B: Binds<DB>, ST> QueryFragment<DB> for Prepared<B, ST> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        out.push_sql(self.sql);
        self.binds.push(&mut out)
    }
}

/// The text names it.
impl<B, ST> QueryId for Prepared<B, ST> {
    type QueryId = ();

    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<B, ST> Query for Prepared<B, ST> {
    type SqlType = ST;
}

impl<B, ST, Conn> diesel::RunQueryDsl<Conn> for Prepared<B, ST> {}
