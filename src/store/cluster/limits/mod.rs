//! The limits of methods, and who has how many slots of them.

pub(in crate::store) mod keys;
mod settle;

use std::{sync::Arc, time::Duration};

use diesel::{
    dsl::{count_star, exists},
    prelude::*,
};
use diesel_async::RunQueryDsl;

pub(crate) use self::{
    keys::{KEYS, KeyOfMethod, KeyTask, SettleKeys, SettledKeys},
    settle::{Settle, Settled},
};
use crate::{
    domain::{Limit, Pace},
    store::{
        ClusterStore, StoreError,
        db::on_backend,
        lenient::{AnyInt, AnyText, is_set, number},
        schema::{gaia_keys, gaia_limits, gaia_nodes, gaia_remote_claims, gaia_slots},
        statement::transaction::transact,
    },
};

/// The most limits that are read.
pub(crate) const MOST_LIMITS: i64 = 1_000;

/// The limit of a method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredLimit {
    pub(crate) service: String,
    pub(crate) method: String,
    pub(crate) limit: Limit,
}

/// A limit, and how much of it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LimitUse {
    pub(crate) limit: StoredLimit,
    /// The slots of all living holders.
    pub(crate) slots: u64,
    /// Whether one of them has tasks that wait for further slots.
    pub(crate) is_wanted: bool,
    /// For how many keys tasks wait.
    pub(crate) waiting_keys: u64,
}

/// The slots of a holder, as its row says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) service: String,
    pub(crate) method: String,
    pub(crate) slots: usize,
    pub(crate) wants: bool,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = gaia_limits)]
struct LimitRow {
    service: AnyText,
    method: AnyText,
    running: Option<AnyInt>,
    starts: Option<AnyInt>,
    per_ms: Option<AnyInt>,
    key_running: Option<AnyInt>,
    key_starts: Option<AnyInt>,
    key_per_ms: Option<AnyInt>,
}

impl LimitRow {
    /// `None`: plain SQL has written numbers that limit nothing.
    fn stored(self) -> Option<StoredLimit> {
        let limit = Limit {
            running: count(self.running),
            starts: pace(self.starts, self.per_ms),
            running_per_key: count(self.key_running),
            starts_per_key: pace(self.key_starts, self.key_per_ms),
        };
        (limit.is_of_method() || limit.is_of_keys()).then_some(StoredLimit {
            service: self.service.0,
            method: self.method.0,
            limit,
        })
    }
}

/// A number that a limit can have. 0, which only plain SQL can write, lets nothing run.
fn count(column: Option<AnyInt>) -> Option<u32> {
    let number = number(column).filter(|number| *number >= 0)?;
    Some(u32::try_from(number).unwrap_or(u32::MAX))
}

fn pace(starts: Option<AnyInt>, per_ms: Option<AnyInt>) -> Option<Pace> {
    let per = number(per_ms).and_then(|per| u64::try_from(per).ok());
    let (count, per) = count(starts).zip(per.filter(|per| *per > 0))?;
    Some(Pace {
        count,
        per: Duration::from_millis(per),
    })
}

fn millis_of(pace: Option<Pace>) -> Option<i64> {
    pace.map(|pace| i64::try_from(pace.per.as_millis()).unwrap_or(i64::MAX))
}

/// The row of a method.
macro_rules! of_method {
    ($table:ident, $service:expr, $method:expr) => {
        $table::table
            .filter($table::service.eq($service))
            .filter($table::method.eq($method))
    };
}
use of_method;

/// Whether the holder of a slot lives: a node, or the claim of a remote worker.
macro_rules! holder_lives {
    () => {
        holder_lives!(gaia_slots)
    };
    ($slots:ident) => {
        exists(gaia_nodes::table.filter(gaia_nodes::id.eq($slots::holder))).or(exists(
            gaia_remote_claims::table.filter(gaia_remote_claims::mark.eq($slots::holder)),
        ))
    };
}
use holder_lives;

/// What a limit sets.
macro_rules! columns {
    ($limit:expr) => {
        (
            gaia_limits::running.eq($limit.running.map(i64::from)),
            gaia_limits::starts.eq($limit.starts.map(|pace| i64::from(pace.count))),
            gaia_limits::per_ms.eq(millis_of($limit.starts)),
            gaia_limits::key_running.eq($limit.running_per_key.map(i64::from)),
            gaia_limits::key_starts.eq($limit.starts_per_key.map(|pace| i64::from(pace.count))),
            gaia_limits::key_per_ms.eq(millis_of($limit.starts_per_key)),
        )
    };
}

impl ClusterStore<'_> {
    /// All limits, by service and method.
    pub(crate) async fn limits(&self) -> Result<Vec<StoredLimit>, StoreError> {
        let mut conn = self.db.read().await?;
        let rows: Vec<LimitRow> = on_backend!(conn, |conn| {
            gaia_limits::table
                .order((gaia_limits::service, gaia_limits::method))
                .limit(MOST_LIMITS)
                .select(LimitRow::as_select())
                .load(conn)
                .await
        })?;
        Ok(rows.into_iter().filter_map(LimitRow::stored).collect())
    }

    /// The slots of this holder, of all methods.
    pub(crate) async fn slots_of(&self, holder: &str) -> Result<Vec<Held>, StoreError> {
        let mut conn = self.db.read().await?;
        let rows: Vec<(AnyText, AnyText, AnyInt, AnyInt)> = on_backend!(conn, |conn| {
            gaia_slots::table
                .filter(gaia_slots::holder.eq(holder))
                .select((
                    gaia_slots::service,
                    gaia_slots::method,
                    gaia_slots::slots,
                    gaia_slots::wants,
                ))
                .load(conn)
                .await
        })?;
        let held = |(service, method, slots, wants): (AnyText, AnyText, AnyInt, AnyInt)| Held {
            service: service.0,
            method: method.0,
            slots: number(slots).and_then(|slots| usize::try_from(slots).ok()).unwrap_or(0),
            wants: is_set(wants),
        };
        Ok(rows.into_iter().map(held).collect())
    }

    /// All limits, and how many of their slots are used.
    pub(crate) async fn limit_uses(&self) -> Result<Vec<LimitUse>, StoreError> {
        let limits = self.limits().await?;
        let mut conn = self.db.read().await?;
        let rows: Vec<(AnyText, AnyText, AnyInt, AnyInt)> = on_backend!(conn, |conn| {
            gaia_slots::table
                .filter(holder_lives!())
                .select((
                    gaia_slots::service,
                    gaia_slots::method,
                    gaia_slots::slots,
                    gaia_slots::wants,
                ))
                .load(conn)
                .await
        })?;
        let waiting: Vec<(AnyText, AnyText, i64)> = on_backend!(conn, |conn| {
            gaia_keys::table
                .filter(gaia_keys::waiting.gt(0))
                .group_by((gaia_keys::service, gaia_keys::method))
                .select((gaia_keys::service, gaia_keys::method, count_star()))
                .load(conn)
                .await
        })?;
        let used = |limit: StoredLimit| {
            let mut keys = waiting.iter();
            let keys = keys.find(|(service, method, _)| (&service.0, &method.0) == (&limit.service, &limit.method));
            let waiting_keys = keys.map_or(0, |(.., keys)| u64::try_from(*keys).unwrap_or(0));
            let mine = rows
                .iter()
                .filter(|(service, method, ..)| (&service.0, &method.0) == (&limit.service, &limit.method));
            let (slots, is_wanted) = mine.fold((0_u64, false), |(slots, is_wanted), (.., more, wants)| {
                let more = number(*more).and_then(|more| u64::try_from(more).ok()).unwrap_or(0);
                (
                    slots.saturating_add(more),
                    is_wanted || number(*wants).is_some_and(|wants| wants != 0),
                )
            });
            LimitUse {
                limit,
                slots,
                is_wanted,
                waiting_keys,
            }
        };
        Ok(limits.into_iter().map(used).collect())
    }

    /// Sets the limit of a method, whether it has one or not.
    pub(crate) async fn set_limit(&self, stored: &StoredLimit) -> Result<(), StoreError> {
        let StoredLimit { service, method, limit } = stored;
        let mut conn = self.db.write().await?;
        let changed = on_backend!(conn, |conn| {
            diesel::update(of_method!(gaia_limits, service, method))
                // MySQL counts the rows that change; this number always does.
                .set((columns!(limit), gaia_limits::settled.eq(gaia_limits::settled + 1)))
                .execute(conn)
                .await
        })?;
        drop(conn);
        if changed == 0 && !self.keep_limit(stored).await? {
            // Another process has just set one.
            return Err(StoreError::Conflict(format!(
                "the limit of {service}.{method} has just been set"
            )));
        }
        Ok(())
    }

    /// Makes the limit of a method that has none; answers whether it had none.
    pub(crate) async fn keep_limit(&self, stored: &StoredLimit) -> Result<bool, StoreError> {
        let StoredLimit { service, method, limit } = stored;
        let mut conn = self.db.write().await?;
        let inserted = on_backend!(conn, |conn| {
            diesel::insert_into(gaia_limits::table)
                .values((
                    gaia_limits::service.eq(service),
                    gaia_limits::method.eq(method),
                    columns!(limit),
                ))
                .execute(conn)
                .await
        });
        match inserted.map_err(StoreError::from) {
            Ok(_) => Ok(true),
            Err(StoreError::Duplicate(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes the limit of a method; answers whether it had one.
    pub(crate) async fn remove_limit(&self, service: &str, method: &str) -> Result<bool, StoreError> {
        let mut conn = self.db.write().await?;
        // A node that settles in between makes its row anew, and corrects it should the method get a limit again.
        on_backend!(conn, |conn| {
            diesel::delete(of_method!(gaia_slots, service, method))
                .execute(conn)
                .await
        })?;
        let removed = on_backend!(conn, |conn| {
            diesel::delete(of_method!(gaia_limits, service, method))
                .execute(conn)
                .await
        })?;
        Ok(removed > 0)
    }

    /// Takes slots of a method, gives others back, and says how many the holder may keep.
    pub(crate) async fn settle_slots(&self, settle: &Arc<Settle>) -> Result<Settled, StoreError> {
        let share = || async { transact!(&self.db, settle, settle) };
        self.retrying(share).await
    }

    /// Takes so many slots from the claim of a remote worker, since runs of it have ended.
    pub(crate) async fn free_remote(
        &self,
        mark: &str,
        service: &str,
        method: &str,
        runs: usize,
    ) -> Result<(), StoreError> {
        let runs = i64::try_from(runs).unwrap_or(i64::MAX);
        let mut conn = self.db.write().await?;
        on_backend!(conn, |conn| {
            diesel::update(of_method!(gaia_slots, service, method).filter(gaia_slots::holder.eq(mark)))
                .set(gaia_slots::slots.eq(gaia_slots::slots - runs))
                .execute(conn)
                .await
        })?;
        Ok(())
    }
}
