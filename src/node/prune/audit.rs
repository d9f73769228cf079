//! Deleting entries of the audit that are too old.

use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};

use super::sweep::rest;
use crate::store::{Store, StoreError};

/// How long entries are kept: somewhat longer than a year, so that a year can be compared with the one before.
const KEPT: TimeDelta = TimeDelta::days(400);

/// Deletes the entries that are too old. The caller is certain of the time.
pub(super) async fn delete_audit(store: &Store, now: DateTime<Utc>) -> Result<(), StoreError> {
    let Some(before) = now.checked_sub_signed(KEPT) else {
        return Ok(());
    };
    loop {
        let began = Instant::now();
        if store.cluster().delete_audit(before.into()).await? == 0 {
            return Ok(());
        }
        rest(began).await;
    }
}
