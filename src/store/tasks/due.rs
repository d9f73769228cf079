//! Which methods have due tasks. For people: a claim asks only for the methods that its node serves.

use diesel::{QueryableByName, prelude::*, sql_types::BigInt};
use diesel_async::RunQueryDsl;

use crate::store::{
    StoreError, TaskStore,
    backend::{Backend, ReadKind},
    db::{Conn, on_backend, on_each},
    lenient::AnyText,
    schema::gaia_due,
};

/// The most segments of a method that are counted.
const COUNTED: i64 = 10_000;

/// The most segments of a method that are checked for tasks that do not wait any more.
const SIFTED: i64 = 100;

/// A service and one of its methods.
type Name = (String, String);

/// The segments of a method.
macro_rules! of_method {
    ($theme:expr, $service:expr, $method:expr) => {
        gaia_due::table
            .filter(gaia_due::theme.eq($theme))
            .filter(gaia_due::service.eq($service))
            .filter(gaia_due::method.eq($method))
    };
}

/// The names of the methods that meet these conditions, in alphabetical order.
macro_rules! first_method {
    ($theme:expr, $($condition:expr),+) => {
        gaia_due::table
            .filter(gaia_due::theme.eq($theme))
            $(.filter($condition))+
            .order((gaia_due::service, gaia_due::method))
            .select((gaia_due::service, gaia_due::method))
    };
}

#[derive(QueryableByName)]
struct Segment {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

impl TaskStore<'_> {
    /// The methods with due tasks of a theme, sorted, at most `most` of them.
    pub(crate) async fn due_methods(&self, theme: &str, most: usize) -> Result<Vec<Name>, StoreError> {
        self.queue_strays(theme).await?;
        let mut conn = self.db.read_as(ReadKind::List).await?;
        let mut found: Vec<Name> = Vec::new();
        while found.len() < most
            && let Some(next) = next_method(&mut conn, theme, found.last()).await?
        {
            found.push(next);
        }
        Ok(found)
    }

    /// The methods of one service with due tasks of a theme, sorted, at most `most` of them.
    pub(crate) async fn due_methods_of(
        &self,
        theme: &str,
        service: &str,
        most: usize,
    ) -> Result<Vec<String>, StoreError> {
        self.queue_strays(theme).await?;
        let mut conn = self.db.read_as(ReadKind::List).await?;
        let mut found: Vec<String> = Vec::new();
        while found.len() < most {
            let after = found.last().map_or("", String::as_str);
            let next: Option<(AnyText, AnyText)> = on_backend!(conn, |conn| {
                first_method!(theme, gaia_due::service.eq(service), gaia_due::method.gt(after))
                    .first(conn)
                    .await
                    .optional()
            })?;
            let Some((_, method)) = next else { break };
            found.push(method.0);
        }
        Ok(found)
    }

    /// The first methods with due tasks of a theme, and how many tasks of each are due.
    pub(crate) async fn due_by_method(
        &self,
        theme: &str,
        most: usize,
    ) -> Result<Vec<(String, String, u64)>, StoreError> {
        let mut counts = Vec::new();
        for (service, method) in self.due_methods(theme, most).await? {
            let due = self.count_due(theme, &service, &method).await?;
            counts.push((service, method, due));
        }
        Ok(counts)
    }

    /// Puts strays into segments, up to some thousand of them. On PostgreSQL triggers do that.
    async fn queue_strays(&self, theme: &str) -> Result<(), StoreError> {
        on_each!(&self.db, |db| db.queue_strays(theme.to_owned()).await)
    }

    /// How many tasks of a method are due, by its first 10,000 segments. Before that, this removes segments (of the first 100) that are out of
    /// date: all their tasks were cancelled, or finished by other programs; or plain SQL has moved a task of theirs to another method or theme,
    /// and then the waiting tasks are queued again. Claims do the same, but no claim reads the segments of a method that no node serves.
    pub(crate) async fn count_due(&self, theme: &str, service: &str, method: &str) -> Result<u64, StoreError> {
        self.sift(theme, service, method).await?;
        let mut conn = self.db.read_as(ReadKind::List).await?;
        let counts: Vec<i32> = on_backend!(conn, |conn| {
            of_method!(theme, service, method)
                .limit(COUNTED)
                .select(gaia_due::n)
                .load(conn)
                .await
        })?;
        Ok(counts.into_iter().map(|count| u64::try_from(count).unwrap_or(0)).sum())
    }

    async fn sift(&self, theme: &str, service: &str, method: &str) -> Result<(), StoreError> {
        let mut conn = self.db.read_as(ReadKind::List).await?;
        let first: Vec<i64> = on_backend!(conn, |conn| {
            of_method!(theme, service, method)
                .order((gaia_due::priority.desc(), gaia_due::id))
                .limit(SIFTED)
                .select(gaia_due::id)
                .load(conn)
                .await
        })?;
        if first.is_empty() {
            return Ok(());
        }
        let list = first.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
        let tasks = (self.db.dialect().tasks_of)("gaia_due");
        let stale = format!(
            "SELECT id FROM gaia_due WHERE id IN ({list}) AND (NOT EXISTS (SELECT 1 FROM {tasks} \
             WHERE t.task_status IN ('Wait', 'Retry')) OR EXISTS (SELECT 1 FROM {tasks} \
             WHERE t.task_status IN ('Wait', 'Retry') AND (t.system_name <> gaia_due.theme \
               OR t.service_name <> gaia_due.service OR t.method_name <> gaia_due.method)))"
        );
        let stale: Vec<Segment> = on_backend!(conn, |conn| diesel::sql_query(&stale).load(conn).await)?;
        drop(conn);
        for Segment { id } in stale {
            let drop = || async { on_each!(&self.db, |db| db.drop_segment(id).await) };
            self.retrying(drop).await?;
        }
        Ok(())
    }
}

/// The first method after this one: two short queries by the index, however many segments there are.
async fn next_method(conn: &mut Conn, theme: &str, after: Option<&Name>) -> Result<Option<Name>, StoreError> {
    let name = |(service, method): (AnyText, AnyText)| (service.0, method.0);
    if let Some((service, method)) = after {
        let same = on_backend!(*conn, |conn| {
            first_method!(theme, gaia_due::service.eq(service), gaia_due::method.gt(method))
                .first(conn)
                .await
                .optional()
        })?;
        if let Some(same) = same {
            return Ok(Some(name(same)));
        }
    }
    let service = after.map_or("", |(service, _)| service);
    let next = on_backend!(*conn, |conn| {
        first_method!(theme, gaia_due::service.gt(service))
            .first(conn)
            .await
            .optional()
    })?;
    Ok(next.map(name))
}
