//! Additions that callers may repeat: the transaction that adds the tasks also stores their ids, under the caller's key.
//!
//! The key is inserted before the tasks. A second caller with the same key waits there until the transaction of the first has ended: the
//! primary key of the table sees to that. Then the second caller finds the ids, or, if the first has failed, adds the tasks.

pub(in crate::store) mod keep;
pub(in crate::store) mod request;
pub(in crate::store) mod take;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{
    held::{Addition, NewHeld, Shape},
    new_row::NewTaskRow,
};
use crate::{
    domain::{AddedTask, KEY_LIFE, OnceKey},
    store::{
        StoreError, TaskStore, backend::Backend, db::on_backend, db::on_each, schema::gaia_idempotency,
        time::StoredTime,
    },
};
use request::{Ids, New, NewOnce, Told};

/// How many keys one transaction deletes.
const PIECE: i64 = 500;

/// What became of an addition with a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Once {
    /// The key was free, and is taken if the tasks were added.
    Done(Addition),
    /// An earlier call has added these tasks.
    Replayed(Vec<AddedTask>),
    /// An earlier call has added other tasks under this key.
    OtherBody,
    /// The transaction of an earlier call with this key has not ended in time.
    Busy,
}

/// When keys were stored that are free now.
fn expired(now: DateTime<Utc>) -> StoredTime {
    let expired = now.checked_sub_signed(KEY_LIFE);
    StoredTime::from(expired.unwrap_or(DateTime::<Utc>::MIN_UTC))
}

impl TaskStore<'_> {
    /// Adds tasks of one theme, with the tasks for which they wait if there is a `shape`, and stores their ids under the key, in one
    /// transaction: all of it or nothing. If the key is stored already, nothing is added.
    pub(crate) async fn add_once(
        &self,
        key: OnceKey,
        rows: Vec<NewTaskRow>,
        shape: Option<Shape>,
    ) -> Result<Once, StoreError> {
        let now = self.clock().now();
        let once = Arc::new(NewOnce {
            key,
            new: match shape {
                None => New::Rows(rows),
                Some(shape) => New::Held(NewHeld::new(rows, shape)),
            },
            now: StoredTime::from(now),
            expired: expired(now),
        });
        let add = || async { on_each!(&self.db, |db| db.add_once(Arc::clone(&once)).await) };
        let done = match self.retrying(add).await? {
            Told::Done(addition) => Once::Done(addition),
            Told::Stored { body, .. } if body != once.key.body => Once::OtherBody,
            Told::Stored { tasks, .. } => {
                let ids: Result<Ids, serde_json::Error> = serde_json::from_str(&tasks);
                let unreadable =
                    |error| StoreError::Database(format!("gaia_idempotency has ids that cannot be read: {error}"));
                Once::Replayed(ids.map_err(unreadable)?.into_tasks())
            }
            Told::Busy => Once::Busy,
        };
        // The process of the earlier call may have died before it noted what it had added.
        if let (New::Held(held), Once::Done(Addition::Added { tasks, .. }) | Once::Replayed(tasks)) = (&once.new, &done)
        {
            self.note_held(held, tasks);
        }
        Ok(done)
    }

    /// Deletes some keys that are free by now; answers how many there were.
    pub(crate) async fn delete_old_keys(&self) -> Result<usize, StoreError> {
        let expired = expired(self.clock().now());
        let mut conn = self.db.read().await?;
        let mut keys: Vec<String> = on_backend!(conn, |conn| {
            gaia_idempotency::table
                .filter(gaia_idempotency::created_at.le(expired))
                .limit(PIECE)
                .select(gaia_idempotency::key_hash)
                .load(conn)
                .await
        })?;
        drop(conn);
        if keys.is_empty() {
            return Ok(0);
        }
        // Rows are locked in the order of their keys.
        keys.sort_unstable();
        let delete = || async {
            let mut conn = self.db.write().await?;
            Ok(on_backend!(conn, |conn| {
                let old = gaia_idempotency::table.filter(gaia_idempotency::created_at.le(expired));
                diesel::delete(old.filter(gaia_idempotency::key_hash.eq_any(&keys)))
                    .execute(conn)
                    .await
            })?)
        };
        self.retrying(delete).await
    }
}
