//! The limits of keys: of the tasks of a method that work for one tenant, for example.
//!
//! A claim takes tasks whatever their keys. The node then settles which of them may run: one transaction for all keys of the claim. Tasks
//! beyond the limit of their key are *set aside*: like held tasks they are scheduled for the end of the year 9999, so that no claim takes
//! them again, and `gaia_aside` says for which key they wait. When runs of the key have ended, a settlement *releases* as many of them.

pub(in crate::store) mod free;
mod settle;
mod share;

use std::sync::Arc;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

pub(crate) use self::settle::{KeyTask, SettleKeys, SettledKeys};
use super::holder_lives;
use crate::store::{
    ClusterStore, StoreError,
    backend::ReadKind,
    db::on_backend,
    lenient::{AnyInt, AnyText, number},
    schema::{asynctasks, gaia_aside, gaia_key_slots, gaia_keys, gaia_nodes, gaia_remote_claims},
    statement::transaction::transact,
};
use diesel::dsl::exists;

/// How many keys one question is about, and how many a page of a look has.
pub(crate) const KEYS: usize = 1_000;

/// A key of a method.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct KeyOfMethod {
    pub(crate) service: String,
    pub(crate) method: String,
    pub(crate) key: String,
}

impl From<(AnyText, AnyText, AnyText)> for KeyOfMethod {
    fn from((service, method, key): (AnyText, AnyText, AnyText)) -> Self {
        Self {
            service: service.0,
            method: method.0,
            key: key.0,
        }
    }
}

/// How many rows of a list are read, as the databases want it.
fn page() -> i64 {
    i64::try_from(KEYS).unwrap_or(i64::MAX)
}

impl ClusterStore<'_> {
    /// The keys of those of these tasks that have one.
    pub(crate) async fn keys_of(&self, ids: &[i64]) -> Result<Vec<(i64, String)>, StoreError> {
        let mut conn = self.db.read().await?;
        let keys: Vec<(i64, Option<AnyText>)> = on_backend!(conn, |conn| {
            asynctasks::table
                .filter(asynctasks::id.eq_any(ids))
                .filter(asynctasks::limit_key.is_not_null())
                .select((asynctasks::id, asynctasks::limit_key))
                .load(conn)
                .await
        })?;
        Ok(keys.into_iter().filter_map(|(id, key)| Some((id, key?.0))).collect())
    }

    /// Settles which claimed tasks may run, and releases tasks that waited for their keys.
    pub(crate) async fn settle_keys(&self, settle: &Arc<SettleKeys>) -> Result<SettledKeys, StoreError> {
        let settle = || async { transact!(&self.db, settle, settle) };
        self.retrying(settle).await
    }

    /// Has some of the tasks run that wait for a key of a method without a limit for keys. Answers with their themes, and with whether more may
    /// be left.
    pub(crate) async fn free_aside(&self, service: &str, method: &str) -> Result<(Vec<String>, bool), StoreError> {
        let method = Arc::new(free::FreeAside::new(service, method));
        let free = || async { transact!(&self.db, free, &method) };
        self.retrying(free).await
    }

    /// The slots of this holder, by key.
    pub(crate) async fn key_slots_of(&self, holder: &str) -> Result<Vec<(KeyOfMethod, usize)>, StoreError> {
        let mut conn = self.db.read().await?;
        let rows: Vec<(AnyText, AnyText, AnyText, AnyInt)> = on_backend!(conn, |conn| {
            gaia_key_slots::table
                .filter(gaia_key_slots::holder.eq(holder))
                .select((
                    gaia_key_slots::service,
                    gaia_key_slots::method,
                    gaia_key_slots::limit_key,
                    gaia_key_slots::slots,
                ))
                .load(conn)
                .await
        })?;
        let held = |(service, method, key, slots): (AnyText, AnyText, AnyText, AnyInt)| {
            let slots = number(slots).and_then(|slots| usize::try_from(slots).ok()).unwrap_or(0);
            ((service, method, key).into(), slots)
        };
        Ok(rows.into_iter().map(held).collect())
    }

    /// Removes slots of a method that has no limit of keys: this holder's, and all of the dead.
    pub(crate) async fn drop_key_slots(&self, service: &str, method: &str, holder: &str) -> Result<(), StoreError> {
        let mut conn = self.db.write().await?;
        on_backend!(conn, |conn| {
            let rows = super::of_method!(gaia_key_slots, service, method);
            diesel::delete(
                rows.filter(
                    gaia_key_slots::holder
                        .eq(holder)
                        .or(diesel::dsl::not(holder_lives!(gaia_key_slots))),
                ),
            )
            .execute(conn)
            .await
        })?;
        Ok(())
    }

    /// Keys of which the dead have slots: some of them.
    pub(crate) async fn keys_of_dead(&self) -> Result<Vec<KeyOfMethod>, StoreError> {
        let mut conn = self.db.read().await?;
        let rows: Vec<(AnyText, AnyText, AnyText)> = on_backend!(conn, |conn| {
            gaia_key_slots::table
                .filter(diesel::dsl::not(holder_lives!(gaia_key_slots)))
                .select((
                    gaia_key_slots::service,
                    gaia_key_slots::method,
                    gaia_key_slots::limit_key,
                ))
                .distinct()
                .limit(page())
                .load(conn)
                .await
        })?;
        Ok(rows.into_iter().map(KeyOfMethod::from).collect())
    }

    /// A page of the keys for which tasks wait, or whose bucket of starts was not full, behind `after`.
    pub(crate) async fn keys_page(&self, after: Option<&KeyOfMethod>) -> Result<Vec<KeyOfMethod>, StoreError> {
        let mut conn = self.db.read_as(ReadKind::List).await?;
        let KeyOfMethod { service, method, key } = after.cloned().unwrap_or(KeyOfMethod {
            service: String::new(),
            method: String::new(),
            key: String::new(),
        });
        let same_service = gaia_keys::service.eq(&service);
        let same_method = same_service.and(gaia_keys::method.eq(&method));
        let rows: Vec<(AnyText, AnyText, AnyText)> = on_backend!(conn, |conn| {
            gaia_keys::table
                .filter(
                    gaia_keys::service
                        .gt(&service)
                        .or(same_service.and(gaia_keys::method.gt(&method)))
                        .or(same_method.and(gaia_keys::limit_key.gt(&key))),
                )
                .order((gaia_keys::service, gaia_keys::method, gaia_keys::limit_key))
                .limit(page())
                .select((gaia_keys::service, gaia_keys::method, gaia_keys::limit_key))
                .load(conn)
                .await
        })?;
        Ok(rows.into_iter().map(KeyOfMethod::from).collect())
    }

    /// Takes slots from the claim of a remote worker, since runs of these keys have ended: one for each key of the list.
    #[cfg(feature = "web")]
    pub(crate) async fn free_remote_keys(
        &self,
        mark: &str,
        service: &str,
        method: &str,
        keys: &[String],
    ) -> Result<(), StoreError> {
        let mut conn = self.db.write().await?;
        for key in keys {
            on_backend!(conn, |conn| {
                let row = super::of_method!(gaia_key_slots, service, method)
                    .filter(gaia_key_slots::limit_key.eq(key))
                    .filter(gaia_key_slots::holder.eq(mark))
                    .filter(gaia_key_slots::slots.gt(0));
                diesel::update(row)
                    .set(gaia_key_slots::slots.eq(gaia_key_slots::slots - 1))
                    .execute(conn)
                    .await
            })?;
        }
        Ok(())
    }

    /// Those of these tasks that wait for their key.
    pub(in crate::store) async fn aside_of(&self, ids: &[i64]) -> Result<Vec<i64>, StoreError> {
        let mut conn = self.db.read_as(ReadKind::List).await?;
        Ok(on_backend!(conn, |conn| {
            gaia_aside::table
                .filter(gaia_aside::task_id.eq_any(ids))
                .filter(gaia_aside::released.eq(0))
                .select(gaia_aside::task_id)
                .load(conn)
                .await
        })?)
    }
}
