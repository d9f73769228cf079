//! The audit: what operators have changed, a row for each change. The row is written before the change, and gets its result afterwards.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use crate::{
    domain::{AuditEntry, ListAudit, NewAudit, changes_text},
    store::{
        ClusterStore, StoreError,
        db::on_backend,
        lenient::{AnyInt, AnyText, AnyTime, key, text, time},
        schema::gaia_audit,
        time::StoredTime,
    },
};

/// How many old rows one statement deletes.
const PIECE: i64 = 500;

#[derive(Queryable, Selectable)]
#[diesel(table_name = gaia_audit)]
struct AuditRow {
    id: AnyInt,
    at: AnyTime,
    author: AnyText,
    action: AnyText,
    target: AnyText,
    theme: Option<AnyText>,
    reason: Option<AnyText>,
    result: Option<AnyText>,
    target_name: Option<AnyText>,
    changes: Option<AnyText>,
}

impl From<AuditRow> for AuditEntry {
    fn from(row: AuditRow) -> Self {
        Self {
            id: key(row.id),
            at: time(row.at).unwrap_or_default(),
            author: row.author.0,
            action: row.action.0,
            target: row.target.0,
            theme: text(row.theme),
            reason: text(row.reason),
            result: text(row.result),
            target_name: text(row.target_name),
            // Plain SQL may have written anything.
            changes: text(row.changes)
                .and_then(|changes| serde_json::from_str(&changes).ok())
                .unwrap_or_default(),
        }
    }
}

impl ClusterStore<'_> {
    /// Adds an entry without a result; answers with its id.
    pub(crate) async fn begin_audit(&self, audit: &NewAudit) -> Result<i64, StoreError> {
        let changes = changes_text(&audit.changes);
        let (now, token) = (StoredTime::from(self.clock().now()), uuid::Uuid::now_v7().to_string());
        let insert = || async {
            let mut conn = self.db.write().await?;
            on_backend!(conn, |conn| {
                diesel::insert_into(gaia_audit::table)
                    .values((
                        gaia_audit::token.eq(&token),
                        gaia_audit::at.eq(now),
                        gaia_audit::author.eq(&audit.author),
                        gaia_audit::action.eq(&audit.action),
                        gaia_audit::target.eq(&audit.target),
                        gaia_audit::theme.eq(&audit.theme),
                        gaia_audit::reason.eq(&audit.reason),
                        gaia_audit::target_name.eq(&audit.target_name),
                        gaia_audit::changes.eq(&changes),
                    ))
                    .execute(conn)
                    .await
            })?;
            Ok(on_backend!(conn, |conn| {
                gaia_audit::table
                    .filter(gaia_audit::token.eq(&token))
                    .select(gaia_audit::id)
                    .first(conn)
                    .await
            })?)
        };
        self.retrying(insert).await
    }

    /// Notes the result of a change. False: there is no such entry, or it has a result.
    pub(crate) async fn end_audit(&self, id: i64, result: &str) -> Result<bool, StoreError> {
        let update = || async {
            let mut conn = self.db.write().await?;
            Ok(on_backend!(conn, |conn| {
                diesel::update(gaia_audit::table.filter(gaia_audit::id.eq(id)))
                    .filter(gaia_audit::result.is_null())
                    .set(gaia_audit::result.eq(result))
                    .execute(conn)
                    .await
            })?)
        };
        Ok(self.retrying(update).await? > 0)
    }

    pub(crate) async fn audit(&self, list: &ListAudit) -> Result<Vec<AuditEntry>, StoreError> {
        let mut conn = self.db.look().await?;
        let rows: Vec<AuditRow> = on_backend!(conn, |conn| {
            let mut query = gaia_audit::table.select(AuditRow::as_select()).into_boxed();
            if let Some(before) = list.before {
                query = query.filter(gaia_audit::id.lt(before));
            }
            if !list.themes.is_empty() {
                query = query.filter(gaia_audit::theme.eq_any(&list.themes));
            }
            if let Some(author) = &list.author {
                query = query.filter(gaia_audit::author.eq(author));
            }
            if let Some(action) = &list.action {
                query = query.filter(gaia_audit::action.eq(action));
            }
            query
                .order(gaia_audit::id.desc())
                .limit(i64::from(list.limit))
                .load(conn)
                .await
        })?;
        Ok(rows.into_iter().map(AuditEntry::from).collect())
    }

    /// Deletes some entries of changes that began before this time; answers how many entries there were.
    pub(crate) async fn delete_audit(&self, before: StoredTime) -> Result<usize, StoreError> {
        let mut conn = self.db.read().await?;
        let ids: Vec<i64> = on_backend!(conn, |conn| {
            gaia_audit::table
                .filter(gaia_audit::at.lt(before))
                .order(gaia_audit::at)
                .limit(PIECE)
                .select(gaia_audit::id)
                .load(conn)
                .await
        })?;
        drop(conn);
        if ids.is_empty() {
            return Ok(0);
        }
        let delete = || async {
            let mut conn = self.db.write().await?;
            Ok(on_backend!(conn, |conn| {
                let old = gaia_audit::table.filter(gaia_audit::at.lt(before));
                diesel::delete(old.filter(gaia_audit::id.eq_any(&ids)))
                    .execute(conn)
                    .await
            })?)
        };
        self.retrying(delete).await
    }
}
