//! Removing claims that hold no running task any more: one transaction.

use diesel::{ExpressionMethods, QueryDsl, QueryableByName, sql_types::BigInt};

use crate::store::{schema::gaia_claims, statement::transaction::on_each_connection};

/// Claims whose tasks may have ended.
pub(in crate::store) struct OldClaims {
    pub(in crate::store) ids: Vec<i64>,
    /// The query for those of these claims that hold running tasks.
    pub(in crate::store) running: String,
}

#[cfg(feature = "sqlite")]
impl OldClaims {
    pub(in crate::store) fn rows(&self) -> usize {
        self.ids.len()
    }
}

#[derive(QueryableByName)]
struct RunningClaim {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

/// Deletes the claims that hold no running task, and answers with the claims that must stay. The tasks are read under the lock on the
/// claims: an operator may restore a backup between two transactions, and then tasks of a claim that had ended run again. The statement that
/// deletes does not read the tasks itself, since MySQL would lock them.
macro_rules! drop_settled {
    ($conn:ident, $claims:ident, $lock:ident, $open:ident, [$($wait:tt)*]) => {{
        let these = gaia_claims::table.filter(gaia_claims::id.eq_any(&$claims.ids));
        let mut settled: Vec<i64> = $lock!(these.select(gaia_claims::id)).load($conn)$($wait)*?;
        let running: Vec<RunningClaim> = diesel::sql_query(&$claims.running).load($conn)$($wait)*?;
        let running: Vec<i64> = running.into_iter().map(|claim| claim.id).collect();
        settled.retain(|id| !running.contains(id));
        if !settled.is_empty() {
            let settled = gaia_claims::table.filter(gaia_claims::id.eq_any(settled));
            diesel::delete(settled).execute($conn)$($wait)*?;
        }
        Ok(running)
    }};
}

on_each_connection!(drop_settled, OldClaims, Vec<i64>);
