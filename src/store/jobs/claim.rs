//! Claiming fires: which node runs them, and which are skipped.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use chrono::{DateTime, NaiveDateTime, Utc};
use diesel::{BoolExpressionMethods, ExpressionMethods, QueryDsl, SelectableHelper};

use super::rows::{JobRow, NewRun};
use crate::{
    domain::{Decision, OverlapPolicy, RunFlag, RunStatus, decide},
    store::{
        lenient::{text, time},
        parts::{Weighed, parts},
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
    /// Somebody has locked the job: another node that claims it, or plain SQL.
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

    fn scheduled_at(&self) -> Option<NaiveDateTime> {
        self.at().map(|at| at.naive_utc())
    }

    fn is_missed(&self) -> bool {
        matches!(self.kind, FireKind::Scheduled { missed: true, .. })
    }

    fn is_of(&self, job: &JobRow) -> bool {
        match &self.kind {
            FireKind::Scheduled { by, .. } => {
                job.is_enabled() && job.cron_expr.0 == by.0 && job.time_zone() == by.1.as_deref()
            }
            FireKind::Manual => true,
        }
    }
}

// ---- what to write ----

/// What is known of the jobs of a claim while they are locked.
struct Seen {
    jobs: HashMap<i64, JobRow>,
    /// Jobs that are there, and locked by others.
    busy: Vec<i64>,
    /// The second of each job that was claimed last.
    last: HashMap<i64, NaiveDateTime>,
    /// Open runs of each job.
    open: HashMap<i64, Vec<i64>>,
    /// Runs of the same job and second.
    taken: HashMap<(i64, NaiveDateTime), Taken>,
}

/// A run that is there already.
struct Taken {
    run: i64,
    log_id: String,
    /// This node claimed it and has not learned of that.
    is_ours: bool,
}

/// Columns of a run that may be in the way.
type TakenRow = (
    i64,
    Option<i64>,
    Option<NaiveDateTime>,
    Option<String>,
    Option<String>,
    Option<String>,
);

impl Seen {
    fn new(
        claim: &FireClaim,
        (jobs, busy): (Vec<JobRow>, Vec<i64>),
        taken: Vec<TakenRow>,
        open: Vec<(i64, Option<i64>)>,
    ) -> Self {
        let last = |job: &JobRow| Some((job.id, time(job.scheduled_from)?.naive_utc()));
        let mut seen = Self {
            busy,
            last: jobs.iter().filter_map(last).collect(),
            jobs: jobs.into_iter().map(|job| (job.id, job)).collect(),
            open: HashMap::new(),
            taken: HashMap::new(),
        };
        for (run, job_id, at, node, flag, log_id) in taken {
            let is_ours = flag.is_none() && node.as_ref() == Some(&claim.node);
            if let Some(key) = job_id.zip(at) {
                let log_id = log_id.unwrap_or_default();
                seen.taken.insert(key, Taken { run, log_id, is_ours });
            }
        }
        for (run, job_id) in open {
            seen.open.entry(job_id.unwrap_or_default()).or_default().push(run);
        }
        seen
    }
}

/// What a claim comes to.
struct Plan {
    fired: Vec<Planned>,
    runs: Vec<NewRun>,
    /// Where in these two the run of a job is that begins with this claim.
    fresh: HashMap<i64, (usize, usize)>,
    replaced: Vec<i64>,
    /// Jobs that run now, and the second of each job that was claimed last.
    begun: Vec<i64>,
    claimed: HashMap<NaiveDateTime, Vec<i64>>,
}

enum Planned {
    Run(PlannedRun),
    Skipped(String),
    Changed,
    Taken,
    Busy,
}

struct PlannedRun {
    /// `None`: the database gives it.
    id: Option<i64>,
    log_id: String,
    job_id: i64,
    scheduled_at: Option<DateTime<Utc>>,
    replaced: Vec<i64>,
}

impl Plan {
    fn new(claim: &FireClaim, mut seen: Seen) -> (Self, HashMap<i64, JobRow>) {
        let mut plan = Self {
            fired: Vec::with_capacity(claim.fires.len()),
            runs: Vec::new(),
            fresh: HashMap::new(),
            replaced: Vec::new(),
            begun: Vec::new(),
            claimed: HashMap::new(),
        };
        for fire in &claim.fires {
            let planned = plan.fire(claim, fire, &mut seen);
            plan.fired.push(planned);
        }
        (plan, seen.jobs)
    }

    fn fire(&mut self, claim: &FireClaim, fire: &Fire, seen: &mut Seen) -> Planned {
        let job_id = fire.job_id;
        if seen.busy.contains(&job_id) {
            return Planned::Busy;
        }
        let Some(job) = seen.jobs.get(&job_id).filter(|job| fire.is_of(job)) else {
            return Planned::Changed;
        };
        let at = fire.scheduled_at();
        let scheduled_at = at.map(|at| at.and_utc());
        if let Some(taken) = at.and_then(|at| seen.taken.get(&(job_id, at))) {
            return match taken.is_ours {
                true => Planned::Run(PlannedRun {
                    id: Some(taken.run),
                    log_id: taken.log_id.clone(),
                    job_id,
                    scheduled_at,
                    replaced: Vec::new(),
                }),
                false => Planned::Taken,
            };
        }
        let last = seen.last.get(&job_id).copied();
        if fire.is_missed() && last >= at {
            return Planned::Taken;
        }
        let open = seen.open.entry(job_id).or_default();
        let decision = match &fire.kind {
            FireKind::Scheduled { skip: Some(why), .. } => Decision::Skip(why.clone()),
            _ => decide(overlap(job), open),
        };
        let mut run = new_run(claim, job, at);
        if let Some(at) = at {
            run.previous_at = last;
            seen.last.insert(job_id, last.map_or(at, |last| last.max(at)));
            self.claimed.entry(at).or_default().push(job_id);
        }
        match decision {
            Decision::Skip(why) => {
                // Somebody who asked for a run is told; the history is for fires.
                if at.is_some() {
                    skip(&mut run, claim, &why);
                    self.runs.push(run);
                }
                Planned::Skipped(why)
            }
            Decision::Run { replaced } => {
                self.replaced.extend(&replaced);
                self.begun.push(job_id);
                open.retain(|run| !replaced.contains(run));
                if overlap(job) != OverlapPolicy::Allow {
                    self.only(job_id, claim);
                }
                let log_id = run.log_id.clone().unwrap_or_default();
                self.runs.push(run);
                Planned::Run(PlannedRun {
                    id: None,
                    log_id,
                    job_id,
                    scheduled_at,
                    replaced,
                })
            }
        }
    }

    /// Of several late fires of a job that may not overlap, the newest runs.
    fn only(&mut self, job_id: i64, claim: &FireClaim) {
        let here = (self.fired.len(), self.runs.len());
        if let Some((planned, run)) = self.fresh.insert(job_id, here) {
            let why = "skipped: it was late, and a newer fire was claimed with it";
            skip(&mut self.runs[run], claim, why);
            self.fired[planned] = Planned::Skipped(why.to_owned());
        }
    }

    /// With the ids that the database has given, by log id.
    fn fired(self, mine: Vec<(i64, Option<String>)>, jobs: &HashMap<i64, JobRow>) -> Vec<Fired> {
        let ids: HashMap<String, i64> = mine
            .into_iter()
            .filter_map(|(id, log_id)| Some((log_id?, id)))
            .collect();
        let run = |run: PlannedRun| {
            let id = run.id.or_else(|| ids.get(&run.log_id).copied())?;
            Some(Fired::Run(Box::new(ClaimedRun {
                id,
                log_id: run.log_id,
                scheduled_at: run.scheduled_at,
                replaced: run.replaced,
                job: jobs.get(&run.job_id)?.clone(),
            })))
        };
        let fired = |planned| match planned {
            // A run that was inserted and is not found again would be a fault of the database's.
            Planned::Run(planned) => run(planned).unwrap_or(Fired::Taken),
            Planned::Skipped(why) => Fired::Skipped(why),
            Planned::Changed => Fired::Changed,
            Planned::Taken => Fired::Taken,
            Planned::Busy => Fired::Busy,
        };
        self.fired.into_iter().map(fired).collect()
    }
}

impl Weighed for NewRun {
    fn bytes(&self) -> usize {
        self.args.as_ref().map_or(0, String::len)
    }
}

/// A policy that nobody knows counts as the default: the run will say that the row is bad.
fn overlap(job: &JobRow) -> OverlapPolicy {
    let known = job.overlap_policy.as_ref().and_then(|text| text.0.parse().ok());
    known.unwrap_or(OverlapPolicy::Forbid)
}

fn new_run(claim: &FireClaim, job: &JobRow, at: Option<NaiveDateTime>) -> NewRun {
    let now = Some(claim.now.naive_utc());
    NewRun {
        job_id: Some(job.id),
        job_name: job.job_name.0.clone(),
        job_type: job.job_type.0.clone(),
        cron_expr: job.cron_expr.0.clone(),
        hook_url: text(job.hook_url.clone()),
        service_name: text(job.service_name.clone()),
        service_method: text(job.service_method.clone()),
        args: text(job.args.clone()),
        job_result_flag: None,
        run_err: None,
        create_time: now,
        update_time: now,
        scheduled_at: at,
        previous_at: None,
        started_at: now,
        ended_at: None,
        node_id: Some(claim.node.clone()),
        log_id: Some(uuid::Uuid::now_v7().simple().to_string()),
    }
}

fn skip(run: &mut NewRun, claim: &FireClaim, why: &str) {
    run.job_result_flag = Some(RunFlag::Skipped.as_str());
    run.run_err = Some(why.to_owned());
    run.ended_at = Some(claim.now.naive_utc());
}

// ---- the statements ----

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
    let by_others = |(_, job_id, at, node, flag, _): &TakenRow| {
        let is_ours = flag.is_none() && node.as_ref() == Some(&claim.node);
        job_id.zip(*at).filter(|_| !is_ours)
    };
    let taken: HashSet<(i64, NaiveDateTime)> = taken.iter().filter_map(by_others).collect();
    let is_taken = |fire: &Fire| fire.scheduled_at().is_some_and(|at| taken.contains(&(fire.job_id, at)));
    claim.fires.iter().all(is_taken)
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
        let jobs: Vec<JobRow> = $lock!(
            job_center::table
                .filter(job_center::id.eq_any(&ids))
                .order(job_center::id)
                .select(JobRow::as_select())
        )
        .load($conn)$($wait)*?;
        // What others have locked is passed over: it must not hold up the rest.
        let busy: Vec<i64> = match jobs.len() == ids.len() {
            true => Vec::new(),
            false => job_center::table
                .filter(job_center::id.eq_any(ids.iter().filter(|id| jobs.iter().all(|job| job.id != **id))))
                .select(job_center::id)
                .load($conn)$($wait)*?,
        };
        let taken: Vec<TakenRow> = taken!(&ids, $claim).load($conn)$($wait)*?;
        let open: Vec<(i64, Option<i64>)> = job_record::table
            .filter($open!(&ids))
            .select((job_record::id, job_record::job_id))
            .load($conn)$($wait)*?;
        let (plan, jobs) = Plan::new($claim, Seen::new($claim, (jobs, busy), taken, open));

        for runs in parts(&plan.runs) {
            diesel::insert_into(job_record::table).values(runs).execute($conn)$($wait)*?;
        }
        let mine: Vec<(i64, Option<String>)> = match plan.begun.is_empty() {
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
                        .or(job_center::scheduled_from.lt(*at)),
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
