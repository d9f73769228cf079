//! Parking a run: a service has taken it, and will end it later. One transaction takes the task from its node and gives it to the service,
//! under a new claim.

use diesel::{BoolExpressionMethods, ExpressionMethods, QueryDsl};

use super::{remote_claim::RemoteClaim, run_key::RunKey};
use crate::store::{
    schema::{asynctasks, gaia_claims, gaia_remote_claims},
    statement::transaction::on_each_connection,
    time::StoredTime,
};

/// A run to be parked.
pub(in crate::store) struct Parked {
    pub(super) run: RunKey,
    pub(super) claim: RemoteClaim,
    pub(super) now: StoredTime,
    /// The statement that makes the claim: the list of ids is written differently on each database.
    pub(super) make_claim: String,
}

#[cfg(feature = "sqlite")]
impl Parked {
    #[expect(clippy::unused_self, reason = "the same for each run")]
    pub(in crate::store) const fn rows(&self) -> usize {
        3
    }
}

/// Whether the run held its task.
macro_rules! park {
    ($conn:ident, $parked:ident, $lock:ident, $open:ident, [$($wait:tt)*]) => {{
        let claim = &$parked.claim;
        diesel::sql_query(&$parked.make_claim)
            .bind::<diesel::sql_types::Text, _>(&claim.theme)
            .bind::<diesel::sql_types::Text, _>(&claim.worker)
            .bind::<diesel::sql_types::Text, _>(&claim.mark)
            .bind::<diesel::sql_types::Timestamp, _>($parked.now)
            .execute($conn)$($wait)*?;
        let made = gaia_claims::table
            .filter(gaia_claims::node_id.eq(&claim.worker).and(gaia_claims::mark.eq(&claim.mark)));
        let id: i64 = made.select(gaia_claims::id).first($conn)$($wait)*?;
        let run = &$parked.run;
        let held = asynctasks::table
            .filter(asynctasks::id.eq(run.task_id))
            .filter(asynctasks::task_status.eq("Running"))
            .filter(asynctasks::lease_owner.eq(&*run.owner))
            .filter(asynctasks::lease_token.eq(run.token))
            .filter(asynctasks::log_id.eq(&*run.log_id));
        let parked = diesel::update(held)
            .set((
                asynctasks::lease_owner.eq(&claim.worker),
                asynctasks::lease_token.eq(id),
                asynctasks::queued.eq(2),
                asynctasks::update_time.eq($parked.now),
            ))
            .execute($conn)$($wait)*?;
        if parked > 0 {
            diesel::insert_into(gaia_remote_claims::table)
                .values(&claim.row(id))
                .execute($conn)$($wait)*?;
        } else {
            diesel::delete(gaia_claims::table.filter(gaia_claims::id.eq(id))).execute($conn)$($wait)*?;
        }
        Ok(parked > 0)
    }};
}

on_each_connection!(park, Parked, bool);
