//! Decides the outcome of a claim of fires: a plain function of the rows that were read while the jobs were locked.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use super::{
    fires::{ClaimedRun, Fire, FireClaim, FireKind, Fired},
    rows::{JobRow, NewRun},
};
use crate::{
    domain::{Decision, OverlapPolicy, RunFlag, decide},
    store::{
        lenient::{AnyInt, AnyText, AnyTime, number, text, time},
        statement::chunks::ByteSize,
        tasks::put_off::FAR_AHEAD,
        time::StoredTime,
    },
};

/// A last run of another program that lies further ahead was written in another time zone, or by a wrong clock. It counts for nothing.
const CLOCKS_DIFFER: TimeDelta = TimeDelta::seconds(10);

/// The rows that the claim has read while the jobs were locked.
pub(super) struct Seen {
    now: DateTime<Utc>,
    jobs: HashMap<i64, JobRow>,
    /// Jobs that exist and that this claim could not lock, or leaves for the next claim.
    locked: Vec<i64>,
    /// The last second of each job that was claimed.
    last: HashMap<i64, StoredTime>,
    /// Seconds of each job that were claimed: its last one, those right before fires of this claim that a later second has overtaken, and the
    /// seconds of this claim.
    seconds: HashMap<i64, BTreeSet<StoredTime>>,
    /// Open runs of each job.
    open: HashMap<i64, Vec<i64>>,
    /// Runs that exist already, by job and second.
    taken: HashMap<(i64, StoredTime), Taken>,
}

/// A run that exists already.
struct Taken {
    run: i64,
    log_id: String,
    /// This node has claimed it, and the answer to that claim was lost.
    is_ours: bool,
}

/// The columns of a run that may have taken a fire of the claim.
pub(super) type TakenRow = (
    i64,
    Option<AnyInt>,
    Option<AnyTime>,
    Option<AnyText>,
    Option<AnyText>,
    Option<AnyText>,
);

/// A second later than this can only have been claimed by a clock that was ahead.
pub(super) fn far_ahead(now: DateTime<Utc>) -> StoredTime {
    let far = now.checked_add_signed(FAR_AHEAD);
    StoredTime::from(far.unwrap_or(DateTime::<Utc>::MAX_UTC))
}

/// The job and the second of such a run.
pub(super) fn fire_of((_, job_id, at, ..): &TakenRow) -> Option<(i64, StoredTime)> {
    Some((number(*job_id)?, time(*at)?.into()))
}

/// Whether such a run is an open one of this node.
pub(super) fn is_ours(claim: &FireClaim, (_, _, _, node, flag, _): &TakenRow) -> bool {
    flag.is_none() && node.as_ref().is_some_and(|node| node.0 == claim.node)
}

impl Seen {
    pub(super) fn new(
        claim: &FireClaim,
        (jobs, locked): (Vec<JobRow>, Vec<i64>),
        taken: Vec<TakenRow>,
        open: Vec<(i64, Option<AnyInt>)>,
    ) -> Self {
        // A last second that is far ahead was claimed by a wrong clock, and is ignored.
        let far = far_ahead(claim.now);
        let last = |job: &JobRow| {
            let last = StoredTime::from(time(job.scheduled_from)?);
            (last <= far).then_some((job.id, last))
        };
        let mut seen = Self {
            now: claim.now,
            locked,
            last: jobs.iter().filter_map(last).collect(),
            seconds: HashMap::new(),
            jobs: jobs.into_iter().map(|job| (job.id, job)).collect(),
            open: HashMap::new(),
            taken: HashMap::new(),
        };
        for (job_id, last) in &seen.last {
            seen.seconds.entry(*job_id).or_default().insert(*last);
        }
        for row in taken {
            if let Some(key) = fire_of(&row) {
                let is_ours = is_ours(claim, &row);
                let (run, .., log_id) = row;
                let log_id = text(log_id).unwrap_or_default();
                seen.taken.insert(key, Taken { run, log_id, is_ours });
            }
        }
        for (run, job_id) in open {
            let job_id = number(job_id).unwrap_or_default();
            seen.open.entry(job_id).or_default().push(run);
        }
        seen
    }
}

impl Seen {
    /// The job and the second of those fires that are still to be claimed although a later second of their job was claimed already, by a node
    /// that was quicker.
    pub(super) fn overtaken(&self, claim: &FireClaim) -> Vec<(i64, StoredTime)> {
        let fires = claim.fires.iter().filter(|fire| self.settled(fire).is_none());
        fires
            .filter_map(|fire| Some((fire.job_id, fire.scheduled_at()?)))
            .filter(|(job_id, at)| self.last.get(job_id).is_some_and(|last| last > at))
            .collect()
    }

    /// Notes a second that was claimed for a job.
    pub(super) fn note(&mut self, job_id: i64, second: Option<AnyTime>) {
        let second = time(second).map(StoredTime::from);
        self.seconds.entry(job_id).or_default().extend(second);
    }

    /// Whether another program has begun a run of the job at this second or after it.
    fn has_run_elsewhere(&self, job_id: i64, at: StoredTime) -> bool {
        let last = self.jobs.get(&job_id).and_then(JobRow::last_run_elsewhere);
        last.is_some_and(|last| (at.utc()..self.now + CLOCKS_DIFFER).contains(&last))
    }

    /// The last claimed second of a job before this one.
    fn before(&self, job_id: i64, at: StoredTime) -> Option<StoredTime> {
        self.seconds.get(&job_id)?.range(..at).next_back().copied()
    }

    /// The result for a fire for which nothing has to be written. `None`: it is still to be claimed.
    fn settled(&self, fire: &Fire) -> Option<Planned> {
        let job_id = fire.job_id;
        if self.locked.contains(&job_id) {
            return Some(Planned::Locked);
        }
        // The job has another expression by now (model: fires::NamedExpression).
        if !self.jobs.get(&job_id).is_some_and(|job| fire.is_of(job)) {
            return Some(Planned::Changed);
        }
        let at = fire.scheduled_at()?;
        match self.taken.get(&(job_id, at)) {
            Some(taken) if taken.is_ours => Some(Planned::Run(PlannedRun {
                id: Some(taken.run),
                log_id: taken.log_id.clone(),
                job_id,
                scheduled_at: fire.at(),
                replaced: Vec::new(),
            })),
            Some(_) => Some(Planned::Taken),
            None if self.has_run_elsewhere(job_id, at) => Some(Planned::Taken),
            // A missed fire is not claimed if a later second was claimed already: that one runs instead.
            None => {
                let last = self.last.get(&job_id);
                (fire.is_missed() && last.is_some_and(|last| *last >= at)).then_some(Planned::Taken)
            }
        }
    }
}

/// What a claim writes, and its answer.
pub(super) struct Plan {
    fired: Vec<Planned>,
    pub(super) runs: Vec<NewRun>,
    /// For each job whose runs may not overlap: the indexes in `fired` and in `runs` of the run that begins with this claim.
    fresh: HashMap<i64, (usize, usize)>,
    /// Runs that are asked to stop.
    pub(super) replaced: Vec<i64>,
    /// Jobs of which a run begins.
    pub(super) begun: Vec<i64>,
    /// The seconds that are claimed, each with its jobs.
    pub(super) claimed: HashMap<StoredTime, Vec<i64>>,
}

enum Planned {
    Run(PlannedRun),
    Skipped(String),
    Changed,
    Taken,
    Locked,
    Waits,
}

struct PlannedRun {
    /// `None`: the database gives the id.
    id: Option<i64>,
    log_id: String,
    job_id: i64,
    scheduled_at: Option<DateTime<Utc>>,
    replaced: Vec<i64>,
}

impl Plan {
    pub(super) fn new(claim: &FireClaim, mut seen: Seen) -> (Self, HashMap<i64, JobRow>) {
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
        if let Some(settled) = seen.settled(fire) {
            return settled;
        }
        let Some(job) = seen.jobs.get(&fire.job_id) else {
            return Planned::Changed;
        };
        let open = seen.open.get(&job.id).map_or(&[][..], Vec::as_slice);
        let overlap = job.overlap(claim.overlap);
        let held = job.held_by_another(claim.now);
        let is_under_way = !open.is_empty() || self.begun.contains(&job.id) || held.is_some();
        let decision = match (&fire.kind, held) {
            (FireKind::Scheduled { skip: Some(why), .. }, _) => Decision::Skip(why.clone()),
            (FireKind::Scheduled { .. }, _) if overlap == OverlapPolicy::Delay && is_under_way => {
                return Planned::Waits;
            }
            (_, Some((owner, until))) => Decision::Skip(format!(
                "skipped: another program, {owner}, runs the job, and holds it until {} if it says nothing further",
                until.to_rfc3339_opts(SecondsFormat::Secs, true)
            )),
            _ => decide(overlap, open),
        };
        let mut run = new_run(claim, job, fire.scheduled_at());
        if let Some(at) = fire.scheduled_at() {
            run.previous_at = seen.before(job.id, at);
            seen.seconds.entry(job.id).or_default().insert(at);
            seen.last
                .entry(job.id)
                .and_modify(|last| *last = at.max(*last))
                .or_insert(at);
            self.claimed.entry(at).or_default().push(job.id);
        }
        match decision {
            Decision::Skip(why) => self.skip(claim, run, why),
            Decision::Run { replaced } => {
                if matches!(overlap, OverlapPolicy::Forbid | OverlapPolicy::Replace) {
                    self.only(job.id, claim);
                }
                self.run(fire, run, replaced)
            }
        }
    }

    /// Skips a fire and records that. If a caller asked for the run, the caller gets the reason, and no record is written.
    fn skip(&mut self, claim: &FireClaim, mut run: NewRun, why: String) -> Planned {
        if run.scheduled_at.is_some() {
            skip(&mut run, claim, &why);
            self.runs.push(run);
        }
        Planned::Skipped(why)
    }

    fn run(&mut self, fire: &Fire, run: NewRun, replaced: Vec<i64>) -> Planned {
        self.replaced.extend(&replaced);
        self.begun.push(fire.job_id);
        let log_id = run.log_id.clone().unwrap_or_default();
        self.runs.push(run);
        Planned::Run(PlannedRun {
            id: None,
            log_id,
            job_id: fire.job_id,
            scheduled_at: fire.at(),
            replaced,
        })
    }

    /// If one claim has several late fires of a job whose runs may not overlap and do not wait for each other, only the newest fire runs: skips
    /// the one before.
    fn only(&mut self, job_id: i64, claim: &FireClaim) {
        let here = (self.fired.len(), self.runs.len());
        if let Some((planned, run)) = self.fresh.insert(job_id, here) {
            let why = "skipped: it was late, and a newer fire was claimed with it";
            skip(&mut self.runs[run], claim, why);
            self.fired[planned] = Planned::Skipped(why.to_owned());
        }
    }

    /// The answer of the claim. `mine`: the ids that the database has given to the inserted runs, with their log ids.
    pub(super) fn fired(self, mine: Vec<(i64, Option<AnyText>)>, jobs: &HashMap<i64, JobRow>) -> Vec<Fired> {
        let ids: HashMap<String, i64> = mine
            .into_iter()
            .filter_map(|(id, log_id)| Some((text(log_id)?, id)))
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
            // If a run that was inserted is not found again, the database is at fault.
            Planned::Run(planned) => run(planned).unwrap_or(Fired::Taken),
            Planned::Skipped(why) => Fired::Skipped(why),
            Planned::Changed => Fired::Changed,
            Planned::Taken => Fired::Taken,
            Planned::Locked => Fired::Locked,
            Planned::Waits => Fired::Waits,
        };
        self.fired.into_iter().map(fired).collect()
    }
}

impl ByteSize for NewRun {
    fn bytes(&self) -> usize {
        self.args.as_ref().map_or(0, String::len)
    }
}

fn new_run(claim: &FireClaim, job: &JobRow, at: Option<StoredTime>) -> NewRun {
    let now = Some(StoredTime::from(claim.now));
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
        system_name: job.system_name.0.clone(),
    }
}

fn skip(run: &mut NewRun, claim: &FireClaim, why: &str) {
    run.job_result_flag = Some(RunFlag::Skipped.as_str());
    run.run_err = Some(why.to_owned());
    run.ended_at = Some(StoredTime::from(claim.now));
}
