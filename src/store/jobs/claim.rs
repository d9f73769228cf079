//! Claiming fires: which node runs them, and which are skipped.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use chrono::{DateTime, NaiveDateTime, Utc};
use diesel::{BoolExpressionMethods, ExpressionMethods, QueryDsl, SelectableHelper};

use super::{
    plan::{Plan, Seen, TakenRow, far_ahead, fire_of, is_ours},
    rows::JobRow,
};
use crate::{
    domain::RunStatus,
    store::{
        claim::ARGS_AT_ONCE,
        lenient::{AnyInt, AnyText, AnyTime, number},
        lists::octet_length,
        parts::parts,
        schema::{gaia_nodes, job_center, job_record},
        transaction::on_each_connection,
    },
};

/// Fires that a node wants to run.
#[derive(Debug)]
pub(crate) struct FireClaim {
    pub(crate) node: String,
    pub(crate) now: DateTime<Utc>,
    pub(crate) fires: Vec<Fire>,
}

#[cfg(feature = "sqlite")]
impl FireClaim {
    pub(super) fn rows(&self) -> usize {
        self.fires.len()
    }
}

/// A job at one second, or now because somebody asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fire {
    pub(crate) job_id: i64,
    pub(crate) kind: FireKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FireKind {
    Scheduled {
        at: DateTime<Utc>,
        /// The expression and the zone by which it is due. A job that has others by now does not fire.
        by: Arc<(String, Option<String>)>,
        /// It was missed: if a later one was claimed meanwhile, that one stands for it.
        missed: bool,
        /// It is to be recorded as skipped, for this reason.
        skip: Option<String>,
    },
    Manual,
}

/// A run that is this node's to run.
pub(crate) struct ClaimedRun {
    pub(crate) id: i64,
    pub(crate) log_id: String,
    pub(crate) scheduled_at: Option<DateTime<Utc>>,
    /// Runs of the same job, on whichever node, that it replaces: their records ask them to stop, for the reason
    /// [`REPLACED`].
    pub(crate) replaced: Vec<i64>,
    /// The job as it is now.
    pub(crate) job: JobRow,
}

/// What became of a fire.
pub(crate) enum Fired {
    Run(Box<ClaimedRun>),
    /// Recorded as skipped, with the reason.
    Skipped(String),
    /// The job is gone, disabled, or has another schedule by now.
    Changed,
    /// Another node has it.
    Taken,
    /// Somebody has locked the job: another node that claims it, or plain SQL. Or its arguments are too long to be claimed together
    /// with those of the jobs before it.
    Busy,
}

impl Fire {
    /// Its second, if it has one.
    pub(crate) fn at(&self) -> Option<DateTime<Utc>> {
        match &self.kind {
            FireKind::Scheduled { at, .. } => Some(*at),
            FireKind::Manual => None,
        }
    }

    pub(super) fn scheduled_at(&self) -> Option<NaiveDateTime> {
        self.at().map(|at| at.naive_utc())
    }

    pub(super) fn is_missed(&self) -> bool {
        matches!(self.kind, FireKind::Scheduled { missed: true, .. })
    }

    pub(super) fn is_of(&self, job: &JobRow) -> bool {
        match &self.kind {
            FireKind::Scheduled { by, .. } => {
                job.is_enabled() && job.cron_expr.0 == by.0 && job.time_zone() == by.1.as_deref()
            }
            FireKind::Manual => true,
        }
    }
}

/// What the record of a run says that a newer one has replaced.
pub(crate) const REPLACED: &str = "cancelled: a newer run has replaced it, as the job's overlap policy says";

fn job_ids(claim: &FireClaim) -> Vec<i64> {
    let mut ids: Vec<i64> = claim.fires.iter().map(|fire| fire.job_id).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

fn seconds(claim: &FireClaim) -> Vec<NaiveDateTime> {
    let mut seconds: Vec<_> = claim.fires.iter().filter_map(Fire::scheduled_at).collect();
    seconds.sort_unstable();
    seconds.dedup();
    seconds
}

/// Whether others have every fire.
fn all_taken(claim: &FireClaim, taken: &[TakenRow]) -> bool {
    let by_others = taken.iter().filter(|row| !is_ours(claim, row));
    let taken: HashSet<(i64, NaiveDateTime)> = by_others.filter_map(fire_of).collect();
    let is_taken = |fire: &Fire| fire.scheduled_at().is_some_and(|at| taken.contains(&(fire.job_id, at)));
    claim.fires.iter().all(is_taken)
}

/// Of the jobs that this claim has locked, those that it leaves for the next one: their arguments and those of the fires before them
/// have too many bytes. One job at least is claimed.
fn too_long(claim: &FireClaim, locked: &[(i64, Option<AnyInt>)]) -> Vec<i64> {
    let size = |(job, bytes): &(i64, Option<AnyInt>)| Some((*job, usize::try_from(number(*bytes)?).ok()?));
    let sizes: HashMap<i64, usize> = locked.iter().filter_map(size).collect();
    let (mut bytes, mut later, mut jobs) = (0_usize, Vec::new(), HashSet::new());
    for job in claim.fires.iter().map(|fire| fire.job_id) {
        let size = sizes.get(&job).copied().unwrap_or(0);
        let is_too_long = bytes > 0 && bytes.saturating_add(size) > ARGS_AT_ONCE;
        match jobs.insert(job) && is_too_long {
            true => later.push(job),
            false if later.contains(&job) => {}
            false => bytes = bytes.saturating_add(size),
        }
    }
    later
}

/// Records of these jobs at the seconds of a claim.
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

macro_rules! claim_fires {
    ($conn:ident, $claim:ident, $lock:ident, $open:ident, [$($wait:tt)*]) => {{
        let here: i64 = gaia_nodes::table
            .filter(gaia_nodes::id.eq(&$claim.node))
            .count()
            .get_result($conn)$($wait)*?;
        if here == 0 {
            return Ok(None);
        }
        // Who comes late locks nothing. What is free now may be taken before it is locked, and is looked at again.
        let taken: Vec<TakenRow> = taken!(job_ids($claim), $claim).load($conn)$($wait)*?;
        if all_taken($claim, &taken) {
            return Ok(Some($claim.fires.iter().map(|_| Fired::Taken).collect()));
        }
        let ids = job_ids($claim);
        let locked: Vec<(i64, Option<AnyInt>)> = $lock!(
            job_center::table
                .filter(job_center::id.eq_any(&ids))
                .order(job_center::id)
                .select((job_center::id, octet_length(job_center::args)))
        )
        .load($conn)$($wait)*?;
        // What others have locked is passed over: it must not hold up the rest.
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
        let (plan, jobs) = Plan::new($claim, seen);

        for runs in parts(&plan.runs) {
            diesel::insert_into(job_record::table).values(runs).execute($conn)$($wait)*?;
        }
        let mine: Vec<(i64, Option<AnyText>)> = match plan.begun.is_empty() {
            true => Vec::new(),
            false => job_record::table
                .filter($open!(&plan.begun))
                .filter(job_record::node_id.eq(&$claim.node))
                .select((job_record::id, job_record::log_id))
                .load($conn)$($wait)*?,
        };
        if !plan.begun.is_empty() {
            diesel::update(job_center::table.filter(job_center::id.eq_any(&plan.begun)))
                .set((
                    job_center::run_status.eq(RunStatus::Running.as_str()),
                    job_center::last_run_time.eq($claim.now.naive_utc()),
                    job_center::update_time.eq(job_center::update_time),
                ))
                .execute($conn)$($wait)*?;
        }
        for (at, ids) in &plan.claimed {
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
        if !plan.replaced.is_empty() {
            diesel::update(job_record::table.filter(job_record::id.eq_any(&plan.replaced)))
                .filter(job_record::job_result_flag.is_null())
                .filter(job_record::cancel_reason.is_null())
                .set(job_record::cancel_reason.eq(REPLACED))
                .execute($conn)$($wait)*?;
        }
        Ok(Some(plan.fired(mine, &jobs)))
    }};
}

on_each_connection!(claim_fires, FireClaim, Option<Vec<Fired>>);

#[cfg(test)]
mod tests {
    use super::*;

    fn later(fires: &[(i64, usize)]) -> Vec<i64> {
        let fire = |(job_id, _): &(i64, usize)| Fire {
            job_id: *job_id,
            kind: FireKind::Manual,
        };
        let claim = FireClaim {
            node: "node".to_owned(),
            now: DateTime::<Utc>::UNIX_EPOCH,
            fires: fires.iter().map(fire).collect(),
        };
        let size = |(job, bytes): &(i64, usize)| (*job, i64::try_from(*bytes).ok().map(AnyInt::Is));
        let sizes: Vec<_> = fires.iter().map(size).collect();
        too_long(&claim, &sizes)
    }

    #[test]
    fn a_claim_takes_so_many_bytes_of_arguments_and_one_job_at_least() {
        const HALF: usize = ARGS_AT_ONCE / 2;
        assert_eq!(later(&[(1, HALF), (2, HALF), (3, 1), (4, 0)]), [3]);
        assert_eq!(later(&[(1, 3 * HALF), (2, 1), (3, 3 * HALF)]), [2, 3]);
        assert_eq!(later(&[(1, 1), (2, 3 * HALF), (3, 1), (2, 3 * HALF)]), [2]);
        // Fires of one job are decided together.
        assert_eq!(later(&[(1, HALF), (1, HALF), (1, HALF), (2, 1)]), [2]);
        assert_eq!(later(&[(1, 0), (2, 0)]), [0; 0]);
    }
}
