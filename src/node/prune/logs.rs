//! Deleting the lines of runs whose records are too old.

use std::time::Instant;

use chrono::{DateTime, Utc};

use super::sweep::rest;
use crate::store::{Store, StoreError};

/// Deletes the lines of runs of these themes, or of jobs, that ended before this time. The caller is certain of the time.
pub(super) async fn delete_logs(store: &Store, scopes: &[String], before: DateTime<Utc>) -> Result<(), StoreError> {
    for scope in scopes {
        loop {
            let began = Instant::now();
            if store.cluster().delete_logs(scope, before.into()).await? == 0 {
                break;
            }
            rest(began).await;
        }
    }
    Ok(())
}
