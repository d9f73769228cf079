//! Plain SQL of migrations.

use diesel::{
    QueryResult, QueryableByName,
    sql_types::{BigInt, Nullable},
};
use diesel_async::{AsyncMysqlConnection, RunQueryDsl};

#[derive(QueryableByName)]
pub(super) struct Number {
    #[diesel(sql_type = Nullable<BigInt>)]
    pub(super) number: Option<i64>,
}

pub(super) async fn number(conn: &mut AsyncMysqlConnection, sql: &str) -> QueryResult<Option<i64>> {
    let row: Number = diesel::sql_query(sql).get_result(conn).await?;
    Ok(row.number)
}

pub(super) async fn execute(conn: &mut AsyncMysqlConnection, sql: &str) -> QueryResult<()> {
    diesel::sql_query(sql).execute(conn).await.map(drop)
}
