//! Claiming fires: which node runs them, and which are skipped.

use std::collections::{HashMap, HashSet};

use diesel::{BoolExpressionMethods, ExpressionMethods, QueryDsl, SelectableHelper};

use super::{
    fires::{Fire, FireClaim, Fired, REPLACED},
    plan::{Plan, Seen, TakenRow, far_ahead, fire_of, is_ours},
    rows::{JobRow, LEASE, lease_owner},
};
use crate::{
    domain::RunStatus,
    store::{
        lenient::{AnyInt, AnyText, AnyTime, number},
        schema::{gaia_nodes, job_center, job_record},
        statement::{chunks::chunks, lists::octet_length, transaction::on_each_connection},
        tasks::claimed::MAX_ARGS_PER_CLAIM,
        time::StoredTime,
    },
};

fn job_ids(claim: &FireClaim) -> Vec<i64> {
    let mut ids: Vec<i64> = claim.fires.iter().map(|fire| fire.job_id).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

fn seconds(claim: &FireClaim) -> Vec<StoredTime> {
    let mut seconds: Vec<_> = claim.fires.iter().filter_map(Fire::scheduled_at).collect();
    seconds.sort_unstable();
    seconds.dedup();
    seconds
}

/// Whether other nodes have claimed all these fires.
fn all_taken(claim: &FireClaim, taken: &[TakenRow]) -> bool {
    let by_others = taken.iter().filter(|row| !is_ours(claim, row));
    let taken: HashSet<(i64, StoredTime)> = by_others.filter_map(fire_of).collect();
    let is_taken = |fire: &Fire| fire.scheduled_at().is_some_and(|at| taken.contains(&(fire.job_id, at)));
    claim.fires.iter().all(is_taken)
}

/// Which of the locked jobs this claim leaves for the next one: together with the arguments of the fires before them, their arguments have
/// too many bytes. At least one job is claimed.
fn too_long(claim: &FireClaim, locked: &[(i64, Option<AnyInt>)]) -> Vec<i64> {
    let size = |(job, bytes): &(i64, Option<AnyInt>)| Some((*job, usize::try_from(number(*bytes)?).ok()?));
    let sizes: HashMap<i64, usize> = locked.iter().filter_map(size).collect();
    let (mut bytes, mut later, mut jobs) = (0_usize, Vec::new(), HashSet::new());
    for job in claim.fires.iter().map(|fire| fire.job_id) {
        let size = sizes.get(&job).copied().unwrap_or(0);
        let is_too_long = bytes > 0 && bytes.saturating_add(size) > MAX_ARGS_PER_CLAIM;
        match jobs.insert(job) && is_too_long {
            true => later.push(job),
            false if later.contains(&job) => {}
            false => bytes = bytes.saturating_add(size),
        }
    }
    later
}

/// Records of these jobs at the seconds of a claim. Job and second are unique (model: fires::UniqueFire).
macro_rules! taken {
    ($ids:expr, $claim:ident) => {
        job_record::table
            .filter(job_record::job_id.eq_any($ids))
            .filter(job_record::scheduled_at.eq_any(seconds($claim)))
            .select((
                job_record::id,
                job_record::job_id,
                job_record::scheduled_at,
                job_record::node_id,
                job_record::job_result_flag,
                job_record::log_id,
            ))
    };
}

/// Whether the node has a row. If not, other nodes have declared it dead.
macro_rules! is_here {
    ($conn:ident, $claim:ident, [$($wait:tt)*]) => {{
        let here: i64 = gaia_nodes::table
            .filter(gaia_nodes::id.eq(&$claim.node))
            .count()
            .get_result($conn)$($wait)*?;
        here > 0
    }};
}

/// Locks the jobs of a claim, before it looks at their open runs (model: fires::LockedJob). Answers with the jobs that are locked now, and with
/// the others: another session has locked them, or they are left for the next claim. Jobs that another session has locked are passed over, so
/// that they do not hold up the rest.
macro_rules! lock_jobs {
    ($conn:ident, $claim:ident, $lock:ident, [$($wait:tt)*]) => {{
        let ids = job_ids($claim);
        let locked: Vec<(i64, Option<AnyInt>)> = $lock!(
            job_center::table
                .filter(job_center::id.eq_any(&ids))
                .order(job_center::id)
                .select((job_center::id, octet_length(job_center::args)))
        )
        .load($conn)$($wait)*?;
        let mut busy: Vec<i64> = match locked.len() == ids.len() {
            true => Vec::new(),
            false => job_center::table
                .filter(job_center::id.eq_any(ids.iter().filter(|id| locked.iter().all(|(job, _)| job != *id))))
                .select(job_center::id)
                .load($conn)$($wait)*?,
        };
        let later = too_long($claim, &locked);
        let mut ids: Vec<i64> = locked.into_iter().map(|(id, _)| id).collect();
        ids.retain(|id| !later.contains(id));
        busy.extend(later);
        (ids, busy)
    }};
}

/// Reads the input of the plan: the locked jobs, their open runs, and their records at the seconds of the claim.
macro_rules! seen {
    ($conn:ident, $claim:ident, $jobs:ident, $open:ident, [$($wait:tt)*]) => {{
        let (ids, busy) = $jobs;
        let jobs: Vec<JobRow> = job_center::table
            .filter(job_center::id.eq_any(&ids))
            .select(JobRow::as_select())
            .load($conn)$($wait)*?;
        let taken: Vec<TakenRow> = taken!(&ids, $claim).load($conn)$($wait)*?;
        let open: Vec<(i64, Option<AnyInt>)> = job_record::table
            .filter($open!(&ids))
            .select((job_record::id, job_record::job_id))
            .load($conn)$($wait)*?;
        let mut seen = Seen::new($claim, (jobs, busy), taken, open);
        for (job_id, at) in seen.overtaken($claim) {
            let before: Vec<Option<AnyTime>> = job_record::table
                .filter(job_record::job_id.eq(job_id))
                .filter(job_record::scheduled_at.lt(at))
                .order(job_record::scheduled_at.desc())
                .limit(1)
                .select(job_record::scheduled_at)
                .load($conn)$($wait)*?;
            seen.note(job_id, before.into_iter().next().flatten());
        }
        seen
    }};
}

/// Inserts the records of a plan. Answers with the ids and log ids of this node's open runs of the jobs that begin to run.
macro_rules! insert_records {
    ($conn:ident, $claim:ident, $plan:ident, $open:ident, [$($wait:tt)*]) => {{
        for runs in chunks(&$plan.runs) {
            diesel::insert_into(job_record::table).values(runs).execute($conn)$($wait)*?;
        }
        let mine: Vec<(i64, Option<AnyText>)> = match $plan.begun.is_empty() {
            true => Vec::new(),
            false => job_record::table
                .filter($open!(&$plan.begun))
                .filter(job_record::node_id.eq(&$claim.node))
                .select((job_record::id, job_record::log_id))
                .load($conn)$($wait)*?,
        };
        mine
    }};
}

/// Updates the rows of the jobs as the plan says, and asks the runs to stop that new runs replace.
macro_rules! update_jobs {
    ($conn:ident, $claim:ident, $plan:ident, [$($wait:tt)*]) => {{
        if !$plan.begun.is_empty() {
            diesel::update(job_center::table.filter(job_center::id.eq_any(&$plan.begun)))
                .set((
                    job_center::run_status.eq(RunStatus::Running.as_str()),
                    job_center::last_run_time.eq(StoredTime::from($claim.now)),
                    job_center::lease_owner.eq(lease_owner(&$claim.node)),
                    job_center::lease_expire_at.eq(StoredTime::from($claim.now + LEASE)),
                    job_center::last_heartbeat_time.eq(StoredTime::from($claim.now)),
                    job_center::update_time.eq(job_center::update_time),
                ))
                .execute($conn)$($wait)*?;
        }
        for (at, ids) in &$plan.claimed {
            diesel::update(job_center::table.filter(job_center::id.eq_any(ids)))
                .filter(
                    job_center::scheduled_from
                        .is_null()
                        .or(job_center::scheduled_from.lt(*at))
                        .or(job_center::scheduled_from.gt(far_ahead($claim.now))),
                )
                .set((
                    job_center::scheduled_from.eq(*at),
                    job_center::update_time.eq(job_center::update_time),
                ))
                .execute($conn)$($wait)*?;
        }
        if !$plan.replaced.is_empty() {
            diesel::update(job_record::table.filter(job_record::id.eq_any(&$plan.replaced)))
                .filter(job_record::job_result_flag.is_null())
                .filter(job_record::cancel_reason.is_null())
                .set(job_record::cancel_reason.eq(REPLACED))
                .execute($conn)$($wait)*?;
        }
    }};
}

/// Claims fires. `None`: the node has no row. If other nodes have all fires already, nothing is locked. A fire that is free at that moment
/// may be taken before its job is locked, so the records are read again under the lock.
macro_rules! claim_fires {
    ($conn:ident, $claim:ident, $lock:ident, $open:ident, [$($wait:tt)*]) => {{
        let is_here = is_here!($conn, $claim, [$($wait)*]);
        let taken: Vec<TakenRow> = match is_here {
            true => taken!(job_ids($claim), $claim).load($conn)$($wait)*?,
            false => Vec::new(),
        };
        if !is_here {
            Ok(None)
        } else if all_taken($claim, &taken) {
            Ok(Some($claim.fires.iter().map(|_| Fired::Taken).collect()))
        } else {
            let jobs = lock_jobs!($conn, $claim, $lock, [$($wait)*]);
            let seen = seen!($conn, $claim, jobs, $open, [$($wait)*]);
            let (plan, jobs) = Plan::new($claim, seen);
            let mine = insert_records!($conn, $claim, plan, $open, [$($wait)*]);
            update_jobs!($conn, $claim, plan, [$($wait)*]);
            Ok(Some(plan.fired(mine, &jobs)))
        }
    }};
}

on_each_connection!(claim_fires, FireClaim, Option<Vec<Fired>>);

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};

    use super::*;
    use crate::store::FireKind;

    fn later(fires: &[(i64, usize)]) -> Vec<i64> {
        let fire = |(job_id, _): &(i64, usize)| Fire {
            job_id: *job_id,
            kind: FireKind::Manual,
        };
        let claim = FireClaim {
            node: "node".to_owned(),
            now: DateTime::<Utc>::UNIX_EPOCH,
            overlap: crate::domain::OverlapPolicy::Forbid,
            fires: fires.iter().map(fire).collect(),
        };
        let size = |(job, bytes): &(i64, usize)| (*job, i64::try_from(*bytes).ok().map(AnyInt::Is));
        let sizes: Vec<_> = fires.iter().map(size).collect();
        too_long(&claim, &sizes)
    }

    #[test]
    fn a_claim_takes_so_many_bytes_of_arguments_and_one_job_at_least() {
        const HALF: usize = MAX_ARGS_PER_CLAIM / 2;
        assert_eq!(later(&[(1, HALF), (2, HALF), (3, 1), (4, 0)]), [3]);
        assert_eq!(later(&[(1, 3 * HALF), (2, 1), (3, 3 * HALF)]), [2, 3]);
        assert_eq!(later(&[(1, 1), (2, 3 * HALF), (3, 1), (2, 3 * HALF)]), [2]);
        // Fires of one job are decided together.
        assert_eq!(later(&[(1, HALF), (1, HALF), (1, HALF), (2, 1)]), [2]);
        assert_eq!(later(&[(1, 0), (2, 0)]), [0; 0]);
    }
}
