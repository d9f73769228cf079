//! A row of `gaia_remote_claims`: the lease of a remote worker on the tasks of one claim.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::prelude::*;

#[cfg(feature = "web")]
use crate::store::time::StoredTime;
use crate::store::{
    lenient::{AnyInt, AnyText, AnyTime, millis, number, time},
    schema::gaia_remote_claims,
};

/// The names of remote workers begin with this, and the name of no node does.
pub(crate) const REMOTE: &str = "remote:";

/// Whether this is the name of a remote worker.
pub(crate) fn is_remote(owner: &str) -> bool {
    owner.starts_with(REMOTE)
}

/// The number of a claim whose lease is over.
pub(super) const CLOSED: i64 = -1;

/// The claim of a remote worker. It has no `Debug`, since it holds a secret.
#[derive(Clone)]
pub(crate) struct RemoteClaim {
    /// The mark of the claim in `gaia_claims`.
    pub(crate) mark: String,
    pub(crate) claim_id: i64,
    /// The owner of its runs: [`REMOTE`] and a name.
    pub(crate) worker: String,
    #[cfg_attr(not(feature = "web"), expect(dead_code, reason = "only the API reads it"))]
    pub(crate) theme: String,
    /// The key by which the tokens of its runs are told from forged ones.
    #[cfg_attr(not(feature = "web"), expect(dead_code, reason = "only the API reads it"))]
    pub(crate) secret: String,
    /// For how long the worker may be silent.
    pub(crate) lease: Duration,
    pub(crate) expires_at: DateTime<Utc>,
    /// When the first of its runs is out of time.
    pub(crate) deadline: Option<DateTime<Utc>>,
    /// Each sign of life adds 1. Less than 0: the lease is over.
    pub(crate) beat: i64,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = gaia_remote_claims)]
pub(super) struct Row {
    mark: AnyText,
    claim_id: AnyInt,
    worker: AnyText,
    theme: AnyText,
    secret: AnyText,
    lease_ms: AnyInt,
    expires_at: AnyTime,
    deadline: Option<AnyTime>,
    beat: AnyInt,
}

impl Row {
    /// A row that plain SQL has spoilt counts as a claim whose lease is over.
    pub(super) fn claim(self) -> RemoteClaim {
        RemoteClaim {
            mark: self.mark.0,
            claim_id: number(self.claim_id).unwrap_or_default(),
            worker: self.worker.0,
            theme: self.theme.0,
            secret: self.secret.0,
            lease: millis(Some(self.lease_ms)).unwrap_or_default(),
            expires_at: time(Some(self.expires_at)).unwrap_or_default(),
            deadline: self.deadline.and_then(|deadline| time(Some(deadline))),
            beat: number(self.beat).unwrap_or_default(),
        }
    }
}

#[cfg(feature = "web")]
#[derive(Insertable)]
#[diesel(table_name = gaia_remote_claims)]
pub(in crate::store) struct NewRow {
    mark: String,
    claim_id: i64,
    worker: String,
    theme: String,
    secret: String,
    lease_ms: i64,
    expires_at: StoredTime,
    deadline: Option<StoredTime>,
    beat: i64,
}

impl RemoteClaim {
    /// Whether a node has found that the lease is over.
    pub(crate) fn is_closed(&self) -> bool {
        self.beat < 0
    }

    #[cfg(feature = "web")]
    pub(in crate::store) fn row(&self, claim_id: i64) -> NewRow {
        NewRow {
            mark: self.mark.clone(),
            claim_id,
            worker: self.worker.clone(),
            theme: self.theme.clone(),
            secret: self.secret.clone(),
            lease_ms: i64::try_from(self.lease.as_millis()).unwrap_or(i64::MAX),
            expires_at: StoredTime::from(self.expires_at),
            deadline: self.deadline.map(StoredTime::from),
            beat: self.beat,
        }
    }
}
