//! When each job is due. A plain value: no clock, no database, no actor.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, Utc};

use crate::{
    domain::{Due, JobRules, Misfire, MisfirePolicy, Missed, OverlapPolicy, Waited, due, is_missed, waited},
    schedule::{Schedule, Zone},
    store::{Fire, FireKind, ScheduleRow},
};

/// Enabled jobs in the order of their next fires.
#[derive(Debug)]
pub(super) struct Timetable {
    rules: JobRules,
    jobs: HashMap<i64, ScheduledJob>,
    /// The next fire of each job: its second and the job's id. An entry that is not its job's next fire any more is ignored.
    queue: BinaryHeap<Reverse<(i64, i64)>>,
    /// Many jobs share few schedules: each schedule is kept once.
    schedules: HashMap<ScheduleKey, Arc<Schedule>>,
    /// Enabled jobs that cannot be scheduled, with the reason.
    bad: HashMap<i64, String>,
    /// Jobs whose next fires wait for the ends of runs, and are not in the queue.
    waiting: HashSet<i64>,
}

/// A fire that was claimed and whose run could not begin in time.
pub(super) struct LateFire {
    pub(super) job_id: i64,
    pub(super) at: DateTime<Utc>,
    pub(super) overlap: OverlapPolicy,
}

/// The reason for skipping such a fire if a later missed fire runs instead of it.
pub(super) const REPLACED_BY_LATER_FIRE: &str =
    "skipped: it could not begin in time, and a later fire that was missed stands for it";

/// The reason for skipping a fire that has waited for the end of earlier runs, and those that have waited before it.
const WAITED_TOO_LONG: &str =
    "skipped: it has waited for the end of earlier runs for longer than the job's misfire grace";

/// The expression and the time zone of a schedule, as the row has them.
type ScheduleKey = Arc<(String, Option<String>)>;

/// An enabled job with a valid schedule.
#[derive(Debug)]
struct ScheduledJob {
    key: ScheduleKey,
    schedule: Arc<Schedule>,
    misfire: Misfire,
    next: Option<DateTime<Utc>>,
    /// Its next fire waits for the end of a run, or has waited: however late it is, it was not missed.
    waits: bool,
}

/// What [`Timetable::put`] did with a row.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PutResult {
    /// The timetable had the same schedule.
    Same,
    /// The job is new, or its schedule has changed.
    Changed,
    /// The job cannot be scheduled. `is_news`: for a reason that the timetable did not know before.
    Bad { is_news: bool },
}

impl Timetable {
    pub(super) fn new(rules: JobRules) -> Self {
        Self {
            rules,
            jobs: HashMap::new(),
            queue: BinaryHeap::new(),
            schedules: HashMap::new(),
            bad: HashMap::new(),
            waiting: HashSet::new(),
        }
    }

    /// Adds a job, or its new schedule. The job fires at each instant of its schedule after `from`.
    pub(super) fn put(&mut self, row: ScheduleRow, from: DateTime<Utc>) -> PutResult {
        let id = row.id;
        match self.read(row) {
            Ok((key, schedule, misfire)) => {
                self.bad.remove(&id);
                let same = self
                    .jobs
                    .get(&id)
                    .is_some_and(|job| job.key == key && job.misfire == misfire);
                if same {
                    return PutResult::Same;
                }
                let next = schedule.next_after(from);
                self.jobs.insert(
                    id,
                    ScheduledJob {
                        key,
                        schedule,
                        misfire,
                        next,
                        waits: false,
                    },
                );
                self.waiting.remove(&id);
                self.enqueue(id, next);
                PutResult::Changed
            }
            Err(error) => {
                self.jobs.remove(&id);
                let before = self.bad.insert(id, error.clone());
                PutResult::Bad {
                    is_news: before != Some(error),
                }
            }
        }
    }

    /// Why a job is not scheduled.
    pub(super) fn fault_of(&self, id: i64) -> Option<&str> {
        self.bad.get(&id).map(String::as_str)
    }

    pub(super) fn remove(&mut self, id: i64) {
        self.jobs.remove(&id);
        self.bad.remove(&id);
    }

    /// Removes all jobs but these.
    pub(super) fn keep(&mut self, ids: &HashSet<i64>) {
        self.jobs.retain(|id, _| ids.contains(id));
        self.bad.retain(|id, _| ids.contains(id));
        let used: HashSet<&ScheduleKey> = self.jobs.values().map(|job| &job.key).collect();
        self.schedules.retain(|key, _| used.contains(key));
    }

    /// Takes fires that are due at `now`, at most `most` of them. A later call takes the others.
    pub(super) fn take_due(&mut self, now: DateTime<Utc>, most: usize) -> Vec<Fire> {
        let mut fires = Vec::new();
        while fires.len() < most
            && let Some(Reverse((second, id))) = self.queue.peek().copied()
            && second <= now.timestamp()
        {
            self.queue.pop();
            let Some(job) = self.jobs.get_mut(&id) else { continue };
            // An entry that is out of date: the job was changed, or a fire of it was put back.
            let Some(first) = job.next.filter(|next| next.timestamp() == second) else {
                continue;
            };
            let (due, next_after_due) = job.due_fires(id, first, now);
            fires.extend(due);
            // Fires beyond `most` stay due: the first of them is the job's next fire, and a later call judges them again.
            let unclaimed = fires.split_off(most.min(fires.len()));
            let next = unclaimed.first().and_then(Fire::at).or(next_after_due);
            job.next = next;
            // Fires behind a fire that has waited wait for its run.
            match job.waits && next.is_some_and(|next| next <= now) {
                true => drop(self.waiting.insert(id)),
                false => self.enqueue(id, next),
            }
        }
        fires
    }

    /// Makes fires due again that were taken and could not be claimed.
    pub(super) fn put_back(&mut self, fires: &[Fire]) {
        for fire in fires {
            let FireKind::Scheduled { at, by, .. } = &fire.kind else {
                continue;
            };
            let Some(job) = self.jobs.get_mut(&fire.job_id).filter(|job| job.key == *by) else {
                continue;
            };
            if job.next.is_none_or(|next| next > *at) {
                job.next = Some(*at);
                let next = job.next;
                self.enqueue(fire.job_id, next);
            }
        }
    }

    /// A run of the job is under way: its fires wait from this one on, until [`Self::resume`].
    pub(super) fn hold(&mut self, fire: &Fire) {
        let FireKind::Scheduled { at, by, .. } = &fire.kind else {
            return;
        };
        if let Some(job) = self.jobs.get_mut(&fire.job_id).filter(|job| job.key == *by) {
            job.waits = true;
            job.next = Some(job.next.map_or(*at, |next| next.min(*at)));
            self.waiting.insert(fire.job_id);
        }
    }

    /// Whether the next fire of a job waits for the end of a run, or has waited.
    pub(super) fn has_waited(&self, job_id: i64) -> bool {
        self.jobs.get(&job_id).is_some_and(|job| job.waits)
    }

    /// A fire of the job was claimed here or elsewhere. If no fire waits behind it, later ones have not waited.
    pub(super) fn begun(&mut self, job_id: i64, now: DateTime<Utc>) {
        if let Some(job) = self.jobs.get_mut(&job_id) {
            job.waits = job.waits && job.next.is_some_and(|next| next <= now);
        }
    }

    /// Makes the fires of this job due again that wait: a run of it has ended.
    pub(super) fn resume(&mut self, job_id: i64, now: DateTime<Utc>) {
        if self.waiting.remove(&job_id) {
            self.begun(job_id, now);
            let next = self.jobs.get(&job_id).and_then(|job| job.next);
            self.enqueue(job_id, next);
        }
    }

    /// Makes all fires due again that wait.
    pub(super) fn resume_all(&mut self, now: DateTime<Utc>) {
        for job_id in self.waiting.iter().copied().collect::<Vec<_>>() {
            self.resume(job_id, now);
        }
    }

    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Why a fire that was claimed and could not begin in time must be skipped. `None`: it runs. The rules are those of [`due`]:
    ///
    /// 1. A fire that is late by no more than 10 s runs.
    /// 2. A fire is skipped if its job is not scheduled any more.
    /// 3. A fire is skipped if the misfire policy of its job does not make up for it.
    /// 4. A fire is skipped if a later fire of the job was missed, too: that one runs instead. Not with `OverlapPolicy::Forbid`: then other
    ///    nodes have skipped the later fires already, because the run of this fire was open. Nor with `OverlapPolicy::Delay`: then the later
    ///    fires wait for the run of this one.
    pub(super) fn why_skipped(&self, fire: &LateFire, now: DateTime<Utc>) -> Option<String> {
        let LateFire { job_id, at, overlap } = *fire;
        if !is_missed(at, now) {
            return None;
        }
        let Some(job) = self.jobs.get(&job_id) else {
            return Some("skipped: it could not begin in time, and its job is not scheduled any more".to_owned());
        };
        if !job.misfire.makes_up_for(at, now) {
            return Some(not_made_up_for("it could not begin", job.misfire.policy));
        }
        let is_later_missed = job.next.is_some_and(|next| at < next && is_missed(next, now));
        let goes_before = matches!(overlap, OverlapPolicy::Forbid | OverlapPolicy::Delay);
        (!goes_before && is_later_missed).then(|| REPLACED_BY_LATER_FIRE.to_owned())
    }

    /// Skips the missed fires of this job that are due: a fire that was missed before them runs now instead.
    pub(super) fn skip_missed(&mut self, job_id: i64, now: DateTime<Utc>) {
        let Some(job) = self.jobs.get_mut(&job_id) else { return };
        let Some(first) = job.next.filter(|next| is_missed(*next, now)) else {
            return;
        };
        let due = due(&job.schedule, first, now, job.misfire);
        job.next = due.on_time.first().copied().or(due.next);
        let next = job.next;
        self.enqueue(job_id, next);
    }

    /// Whether any fire is due.
    pub(super) fn has_due(&self, now: DateTime<Utc>) -> bool {
        matches!(self.queue.peek(), Some(Reverse((second, _))) if *second <= now.timestamp())
    }

    /// The clock was set back to `now`: each job fires at the first instant of its schedule after `now`, or earlier. Due fires stay due.
    pub(super) fn restart(&mut self, now: DateTime<Utc>) {
        for job in self.jobs.values_mut() {
            let next = job.schedule.next_after(now);
            job.next = job.next.into_iter().chain(next).min();
        }
        self.rebuild();
    }

    /// The system's time zone rules may have changed. Schedules whose zones have changed follow the new rules from `now` on; fires that are
    /// due stay due. Answers how many schedules have changed.
    pub(super) fn renew_zones(&mut self, now: DateTime<Utc>) -> usize {
        let outdated = self.outdated();
        for key in &outdated {
            // The expression could be read before, so this should not fail; if it does, the job keeps the old rules.
            if let Ok(schedule) = self.rules.schedule(&key.0, key.1.as_deref()) {
                self.schedules.insert(Arc::clone(key), Arc::new(schedule));
            }
        }
        for job in self.jobs.values_mut() {
            let renewed = self
                .schedules
                .get(&job.key)
                .filter(|new| !Arc::ptr_eq(new, &job.schedule));
            if let Some(schedule) = renewed {
                job.schedule = Arc::clone(schedule);
                job.next = job
                    .next
                    .filter(|next| *next <= now)
                    .or_else(|| schedule.next_after(now));
            }
        }
        if !outdated.is_empty() {
            self.rebuild();
        }
        outdated.len()
    }

    /// The schedules whose zones have other rules by now. Many schedules share few zones: each zone is looked up once.
    fn outdated(&self) -> Vec<ScheduleKey> {
        let mut zones: HashMap<String, bool> = HashMap::new();
        let mut is_outdated = |zone: &Zone| match zones.get(zone.name()) {
            Some(known) => *known,
            None => *zones.entry(zone.name().to_owned()).or_insert(zone.renewed() != *zone),
        };
        let outdated = self
            .schedules
            .iter()
            .filter(|(_, schedule)| is_outdated(&schedule.zone()));
        outdated.map(|(key, _)| Arc::clone(key)).collect()
    }

    fn rebuild(&mut self) {
        let place = |(id, job): (&i64, &ScheduledJob)| Some(Reverse((job.next?.timestamp(), *id)));
        self.queue = self.jobs.iter().filter_map(place).collect();
    }

    pub(super) fn scheduled(&self) -> usize {
        self.jobs.len()
    }

    pub(super) fn bad(&self) -> usize {
        self.bad.len()
    }

    fn enqueue(&mut self, id: i64, next: Option<DateTime<Utc>>) {
        self.queue.extend(next.map(|next| Reverse((next.timestamp(), id))));
        // Many entries are out of date: drop them.
        if self.queue.len() > 2 * self.jobs.len() + 1_024 {
            self.rebuild();
        }
    }

    fn read(&mut self, row: ScheduleRow) -> Result<(ScheduleKey, Arc<Schedule>, Misfire), String> {
        let policy = match &row.misfire_policy {
            Some(text) => text.0.parse()?,
            None => MisfirePolicy::FireOnce,
        };
        let grace = row.misfire_grace().map_err(|error| error.to_string())?;
        let grace = u64::try_from(grace).map_err(|_| format!("misfire_grace is {grace} s, expected 0 or more"))?;
        let misfire = Misfire {
            policy,
            grace: Duration::from_secs(grace),
        };
        let key = Arc::new((row.cron_expr.0, row.time_zone.map(|zone| zone.0)));
        if let Some((key, schedule)) = self.schedules.get_key_value(&key) {
            return Ok((Arc::clone(key), Arc::clone(schedule), misfire));
        }
        let schedule = self.rules.schedule(&key.0, key.1.as_deref());
        let schedule = Arc::new(schedule.map_err(|error| format!("cron_expr: {error}"))?);
        self.schedules.insert(Arc::clone(&key), Arc::clone(&schedule));
        Ok((key, schedule, misfire))
    }
}

fn not_made_up_for(what: &str, policy: MisfirePolicy) -> String {
    format!("skipped: {what} in time, and the job's misfire policy ({policy}) does not make up for it")
}

impl ScheduledJob {
    /// The fires of this job that are due at `now`, beginning with `first`, and its first fire after them.
    fn due_fires(&self, id: i64, first: DateTime<Utc>, now: DateTime<Utc>) -> (Vec<Fire>, Option<DateTime<Utc>>) {
        if self.waits {
            return self.waiting_fires(id, first, now);
        }
        let due = due(&self.schedule, first, now, self.misfire);
        (fires_of(id, &self.key, self.misfire.policy, &due).collect(), due.next)
    }

    /// The same, if `first` has waited for the end of a run: at most one of the fires is to run, and the others wait for that run.
    fn waiting_fires(&self, id: i64, first: DateTime<Utc>, now: DateTime<Utc>) -> (Vec<Fire>, Option<DateTime<Utc>>) {
        let Waited { too_long, first, next } = waited(&self.schedule, first, now, self.misfire.grace);
        let fire = |at, skip: Option<String>| Fire {
            job_id: id,
            kind: FireKind::Scheduled {
                at,
                by: Arc::clone(&self.key),
                missed: skip.is_some(),
                skip,
            },
        };
        let skipped = too_long.map(|at| fire(at, Some(WAITED_TOO_LONG.to_owned())));
        let first = first.map(|at| fire(at, None));
        (skipped.into_iter().chain(first).collect(), next)
    }
}

/// The due fires of a job, in order.
fn fires_of(job_id: i64, key: &ScheduleKey, policy: MisfirePolicy, due: &Due) -> impl Iterator<Item = Fire> {
    let fire = move |at, missed, skip| Fire {
        job_id,
        kind: FireKind::Scheduled {
            at,
            by: Arc::clone(key),
            missed,
            skip,
        },
    };
    let missed = due.missed.map(|missed| match missed {
        Missed::MadeUp(at) => fire(at, true, None),
        Missed::Skipped(at) => fire(at, true, Some(not_made_up_for("no node claimed it", policy))),
    });
    missed
        .into_iter()
        .chain(due.on_time.iter().map(move |at| fire(*at, false, None)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::AnyText;

    fn at(text: &str) -> DateTime<Utc> {
        format!("2026-03-01T{text}Z").parse().expect("is a time")
    }

    fn row(id: i64, expr: &str) -> ScheduleRow {
        ScheduleRow {
            id,
            cron_expr: AnyText(expr.to_owned()),
            time_zone: None,
            misfire_policy: None,
            misfire_grace: None,
            scheduled_from: None,
            scheduled_by: None,
        }
    }

    fn timetable(rows: &[(i64, &str)]) -> Timetable {
        let mut timetable = Timetable::new(JobRules {
            overlap: OverlapPolicy::Forbid,
            zone: crate::schedule::Zone::UTC,
            form: crate::schedule::ScheduleForm::Any,
        });
        for (id, expr) in rows {
            assert_eq!(timetable.put(row(*id, expr), at("09:00:00")), PutResult::Changed);
        }
        timetable
    }

    fn taken(timetable: &mut Timetable, now: &str) -> Vec<(i64, String)> {
        let fires = timetable.take_due(at(now), 100).into_iter();
        fires
            .map(|fire| match fire.kind {
                FireKind::Scheduled { at, .. } => (fire.job_id, at.format("%H:%M:%S").to_string()),
                FireKind::Manual => panic!("nobody asked for it"),
            })
            .collect()
    }

    #[test]
    fn each_second_is_taken_once_and_never_early() {
        let mut timetable = timetable(&[(1, "* * * * * *"), (2, "*/2 * * * * *")]);
        assert_eq!(taken(&mut timetable, "09:00:00"), []);
        assert_eq!(taken(&mut timetable, "09:00:01"), [(1, "09:00:01".to_owned())]);
        let both = [(1, "09:00:02".to_owned()), (2, "09:00:02".to_owned())];
        assert_eq!(taken(&mut timetable, "09:00:02"), both);
        assert_eq!(taken(&mut timetable, "09:00:02"), []);
    }

    #[test]
    fn fires_that_wait_come_one_by_one_in_their_order_however_late() {
        let mut timetable = timetable(&[(1, "* * * * * *")]);
        let one = |second: &str| [(1, second.to_owned())];
        let fires = timetable.take_due(at("09:00:02"), 100);
        for fire in &fires {
            timetable.hold(fire);
        }
        assert!(timetable.has_waiting() && timetable.has_waited(1));
        // Whatever comes due meanwhile waits behind them.
        assert_eq!(taken(&mut timetable, "09:00:30"), []);
        timetable.resume(1, at("09:00:30"));
        let [first] = &timetable.take_due(at("09:00:30"), 100)[..] else {
            panic!("one fire is expected")
        };
        assert_eq!(first.at(), Some(at("09:00:01")));
        // The run ends while the claim of this fire is under way, and the claim finds the job locked: the next fire does not overtake it.
        timetable.resume(1, at("09:00:30"));
        timetable.hold(first);
        assert_eq!(taken(&mut timetable, "09:00:30"), []);
        timetable.resume_all(at("09:00:30"));
        for second in ["09:00:01", "09:00:02"] {
            assert_eq!(taken(&mut timetable, "09:00:30"), one(second));
            timetable.begun(1, at("09:00:30"));
            timetable.resume(1, at("09:00:30"));
        }
        // Once none waits, each comes at its time, and may be missed.
        timetable.begun(1, at("09:00:02"));
        timetable.resume(1, at("09:00:02"));
        assert!(!timetable.has_waited(1) && !timetable.has_waiting());
        assert_eq!(taken(&mut timetable, "09:00:03"), one("09:00:03"));
    }

    #[test]
    fn what_could_not_be_claimed_is_due_again_and_nothing_twice() {
        let mut timetable = timetable(&[(1, "* * * * * *")]);
        let fires = timetable.take_due(at("09:00:03"), 100);
        assert_eq!(fires.len(), 3);
        timetable.put_back(&fires);
        let seconds = ["09:00:01", "09:00:02", "09:00:03", "09:00:04"].map(|at| (1, at.to_owned()));
        assert_eq!(taken(&mut timetable, "09:00:04"), seconds);
    }

    #[test]
    fn a_row_that_has_changed_has_its_old_place_no_more() {
        let mut timetable = timetable(&[(1, "5 0 9 * * *")]);
        assert_eq!(timetable.put(row(1, "5 0 9 * * *"), at("09:00:00")), PutResult::Same);
        assert_eq!(timetable.put(row(1, "8 0 9 * * *"), at("09:00:00")), PutResult::Changed);
        assert_eq!(taken(&mut timetable, "09:00:07"), []);
        assert_eq!(taken(&mut timetable, "09:00:08").len(), 1);
    }

    #[test]
    fn a_bad_row_is_kept_out_and_harms_no_other() {
        let mut timetable = timetable(&[(1, "* * * * * *"), (2, "* * * * * *")]);
        assert_eq!(
            timetable.put(row(1, "61 * * * *"), at("09:00:00")),
            PutResult::Bad { is_news: true }
        );
        assert_eq!(
            timetable.put(row(1, "61 * * * *"), at("09:00:00")),
            PutResult::Bad { is_news: false }
        );
        assert_eq!((timetable.scheduled(), timetable.bad()), (1, 1));
        assert_eq!(taken(&mut timetable, "09:00:01"), [(2, "09:00:01".to_owned())]);
        assert_eq!(timetable.put(row(1, "* * * * * *"), at("09:00:01")), PutResult::Changed);
        assert_eq!(timetable.bad(), 0);
    }

    #[test]
    fn equal_schedules_are_kept_once_and_go_with_their_jobs() {
        let mut timetable = timetable(&[(1, "* * * * *"), (2, "* * * * *"), (3, "0 9 * * *")]);
        assert_eq!(timetable.schedules.len(), 2);
        timetable.keep(&HashSet::from([1, 2]));
        assert_eq!((timetable.schedules.len(), timetable.scheduled()), (1, 2));
    }

    /// As if the system had been updated after the job was read: until then Berlin had the clocks of Tokyo.
    #[test]
    fn new_rules_of_a_zone_move_what_is_to_come_and_nothing_that_is_due() {
        let mut timetable = timetable(&[(1, "CRON_TZ=Europe/Berlin 0 12 * * *"), (2, "0 12 * * *")]);
        assert_eq!(timetable.renew_zones(at("09:00:00")), 0);
        let tokyo = Zone::with_rules_of("Europe/Berlin", "Asia/Tokyo");
        let old = Schedule::parse_in("0 12 * * *", tokyo, crate::schedule::ScheduleForm::Any);
        let old = Arc::new(old.expect("is good"));
        let key = Arc::clone(&timetable.jobs[&1].key);
        let outdate = |timetable: &mut Timetable, next| {
            timetable.schedules.insert(Arc::clone(&key), Arc::clone(&old));
            let job = timetable.jobs.get_mut(&1).expect("is there");
            (job.schedule, job.next) = (Arc::clone(&old), Some(next));
            timetable.rebuild();
        };
        // Noon in Tokyo is 03:00 UTC, noon in Berlin 11:00.
        outdate(&mut timetable, at("03:00:00") + chrono::TimeDelta::days(1));
        assert_eq!(timetable.renew_zones(at("09:00:00")), 1);
        let noons = [(1, "11:00:00".to_owned()), (2, "12:00:00".to_owned())];
        assert_eq!(taken(&mut timetable, "12:00:00"), noons);
        // Fires that were due by the old rules fire, and then the new rules hold.
        outdate(&mut timetable, at("12:00:01"));
        assert_eq!(timetable.renew_zones(at("12:00:02")), 1);
        assert_eq!(taken(&mut timetable, "12:00:02"), [(1, "12:00:01".to_owned())]);
        assert_eq!(
            timetable.jobs[&1].next,
            Some(at("11:00:00") + chrono::TimeDelta::days(1))
        );
    }

    #[test]
    fn a_fire_that_could_not_begin_is_judged_like_one_that_was_not_claimed() {
        let mut timetable = timetable(&[(1, "* * * * * *"), (2, "0 0 9 * * *"), (3, "0 0 9 * * *")]);
        timetable.jobs.get_mut(&3).expect("is there").misfire.policy = MisfirePolicy::Skip;
        let late = |job_id, overlap| LateFire {
            job_id,
            at: at("09:00:00"),
            overlap,
        };
        let why = |timetable: &Timetable, id, now| timetable.why_skipped(&late(id, OverlapPolicy::Allow), at(now));
        for id in [1, 2, 3] {
            assert_eq!(why(&timetable, id, "09:00:10"), None);
        }
        assert_eq!(why(&timetable, 2, "09:00:26"), None);
        assert!(why(&timetable, 3, "09:00:26").is_some_and(|why| why.contains("misfire policy (skip)")));
        assert!(why(&timetable, 4, "09:00:26").is_some_and(|why| why.contains("not scheduled any more")));
        // Its next fires were missed, too: the last of these stands for all.
        timetable.jobs.get_mut(&1).expect("is there").next = Some(at("09:00:01"));
        assert!(why(&timetable, 1, "09:00:26").is_some_and(|why| why.contains("a later fire")));
        // Unless they had to be skipped for it: then it stands for them.
        let late = late(1, OverlapPolicy::Forbid);
        assert_eq!(timetable.why_skipped(&late, at("09:00:26")), None);
        timetable.skip_missed(1, at("09:00:26"));
        assert_eq!(timetable.jobs[&1].next, Some(at("09:00:16")));
        timetable.jobs.get_mut(&1).expect("is there").next = Some(at("09:00:20"));
        assert_eq!(why(&timetable, 1, "09:00:26"), None);
    }

    #[test]
    fn no_more_is_taken_than_there_is_room_for() {
        let mut timetable = timetable(&[(1, "* * * * * *"), (2, "5 0 9 * * *")]);
        let mut seen = Vec::new();
        for _ in 0..6 {
            let fires = timetable.take_due(at("09:00:05"), 1);
            assert_eq!(fires.len(), 1);
            seen.extend(fires.iter().filter_map(Fire::at).map(|at| at.format("%S").to_string()));
        }
        assert_eq!(seen, ["01", "02", "03", "04", "05", "05"]);
        assert!(timetable.take_due(at("09:00:05"), 1).is_empty());
    }

    #[test]
    fn what_is_due_stays_due_when_the_clock_is_set_back() {
        let mut timetable = timetable(&[(1, "0 30 9 * * *")]);
        timetable.restart(at("09:39:55"));
        assert_eq!(taken(&mut timetable, "09:40:00"), [(1, "09:30:00".to_owned())]);
    }

    #[test]
    fn the_queue_does_not_grow_with_the_changes() {
        let mut timetable = timetable(&[(1, "* * * * *")]);
        for minute in 0..20_000 {
            timetable.put(row(1, &format!("{} * * * *", minute % 60)), at("09:00:00"));
        }
        assert!(timetable.queue.len() < 2_000, "{}", timetable.queue.len());
    }

    #[test]
    fn a_clock_that_was_set_back_waits_for_nothing() {
        let mut timetable = timetable(&[(1, "* * * * * *")]);
        assert_eq!(
            taken(&mut timetable, "09:59:59").last().map(|last| last.1.as_str()),
            Some("09:59:59")
        );
        timetable.restart(at("09:30:00"));
        assert_eq!(taken(&mut timetable, "09:30:01"), [(1, "09:30:01".to_owned())]);
    }
}
