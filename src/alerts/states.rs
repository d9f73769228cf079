//! States of the database and of this process that last, as causes of alerts.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    cause::{Cause, Job, Method},
    options::AlertSettings,
};
use crate::{
    admin::{Admin, Overview, ThemeState},
    domain::{AlertKind, Figures, HistoryKind, MOST_ALERTS, OverlapPolicy, Series},
    error::{Error, ask},
    events::Tally,
    jobs::Jobs,
    store::{ScheduleRow, Store, StoreError},
};

/// In which time the failures of a method are counted.
const WINDOW: Duration = Duration::from_secs(300);

/// How long a state must last that may be over in a moment: a theme was just resumed, a machine has just woken.
const LASTING: TimeDelta = TimeDelta::seconds(30);

/// How many schedules are read at a time.
const PAGE: i64 = 2_000;

/// The findings of a look.
#[derive(Debug, Default)]
pub(super) struct States {
    pub(super) causes: Vec<Cause>,
    /// The kinds about which the look can tell.
    pub(super) judged: BTreeSet<AlertKind>,
    /// The ids of all nodes.
    pub(super) nodes: BTreeSet<String>,
}

/// Looks at the database for states that alerts tell. It writes nothing.
#[derive(Clone)]
pub(super) struct Looker {
    pub(super) admin: Admin,
    pub(super) jobs: Jobs,
    pub(super) store: Store,
    pub(super) settings: Arc<AlertSettings>,
}

impl Looker {
    /// The causes at present. `fires`: the next fires that are known from the look before.
    pub(super) async fn look(self, mut fires: Fires) -> Result<(States, Fires), Error> {
        let mut states = States::default();
        let overview = self.admin.overview().await?;
        states.nodes = overview.nodes.iter().map(|node| node.id.clone()).collect();
        self.judge_themes(&overview, &mut states);
        // Where jobs must not run, no fire is claimed on purpose.
        let tells_jobs = self.tells(AlertKind::JobBad) || self.tells(AlertKind::JobOverdue);
        if tells_jobs && !self.jobs.are_banned() {
            self.judge_jobs(&mut fires, &mut states).await?;
        }
        states.causes.retain(|cause| self.tells(cause.kind()));
        Ok((states, fires))
    }

    fn tells(&self, kind: AlertKind) -> bool {
        self.settings.kinds.contains(&kind)
    }

    fn judge_themes(&self, overview: &Overview, states: &mut States) {
        let now = self.store.clock().now();
        let active = || overview.themes.iter().filter(|state| !state.info.paused);
        states.judged.insert(AlertKind::Unserved);
        let unserved = active().filter(|state| state.unfinished.unserved > 0);
        states.causes.extend(unserved.map(|state| Cause::Unserved {
            theme: state.info.theme.clone(),
            due: state.unfinished.unserved,
        }));
        // With too many themes their oldest tasks are not looked for.
        if overview.themes.iter().all(|state| state.unfinished.scheduled.is_some()) {
            states.judged.insert(AlertKind::OldestDue);
        }
        states
            .causes
            .extend(active().filter_map(|state| self.waits(state, now)));
    }

    fn waits(&self, state: &ThemeState, now: DateTime<Utc>) -> Option<Cause> {
        let waited = now - state.unfinished.oldest_due?;
        (waited > self.settings.oldest_due).then(|| Cause::OldestDue {
            theme: state.info.theme.clone(),
            waited,
            due: state.unfinished.due,
        })
    }

    async fn judge_jobs(&self, fires: &mut Fires, states: &mut States) -> Result<(), Error> {
        let rows = ask(&self.store, |store| async move { schedules(&store).await }).await?;
        let now = self.store.clock().now();
        fires.keep(&rows);
        let (mut bad, mut overdue) = (Vec::new(), Vec::new());
        for row in &rows {
            match fires.next(row, &self.jobs) {
                Err(error) => bad.push((row.id, error.clone())),
                Ok(Some(due_at)) if now - *due_at > self.settings.job_overdue => overdue.push((row.id, *due_at)),
                Ok(_) => {}
            }
        }
        bad.truncate(MOST_ALERTS);
        overdue.truncate(MOST_ALERTS);
        for (id, error) in bad {
            let job = self.named(id).await?;
            states.causes.push(Cause::JobBad { job, error });
        }
        for (id, due_at) in overdue {
            if self.is_delayed(id).await? {
                continue;
            }
            let (job, late) = (self.named(id).await?, now - due_at);
            states.causes.push(Cause::JobOverdue { job, due_at, late });
        }
        states.judged.extend([AlertKind::JobBad, AlertKind::JobOverdue]);
        Ok(())
    }

    /// Whether fires of a job wait for the end of its run, as its overlap policy says.
    async fn is_delayed(&self, id: i64) -> Result<bool, Error> {
        let row = ask(&self.store, |store| async move { store.jobs().get(id).await }).await?;
        Ok(row.is_some_and(|row| row.is_running() && row.overlap(self.jobs.rules().overlap) == OverlapPolicy::Delay))
    }

    async fn named(&self, id: i64) -> Result<Job, Error> {
        let row = ask(&self.store, |store| async move { store.jobs().get(id).await }).await?;
        let name = row.map_or_else(|| id.to_string(), |row| row.job_name.0);
        Ok(Job { id, name })
    }
}

async fn schedules(store: &Store) -> Result<Vec<ScheduleRow>, StoreError> {
    let (mut all, mut last) = (Vec::new(), i64::MIN);
    loop {
        let page = store.jobs().schedules(last, PAGE).await?;
        let Some(row) = page.last() else {
            return Ok(all);
        };
        last = row.id;
        all.extend(page);
    }
}

/// The next fire of each enabled job after its last claimed fire, as far as its row has not changed: to read thousands of
/// expressions at each look would cost too much.
#[derive(Debug, Default)]
pub(super) struct Fires(HashMap<i64, (Known, Next)>);

/// What the next fire depends on: expression, time zone, the last fire.
type Known = (String, Option<String>, Option<DateTime<Utc>>);

/// `None`: no fire follows, or it is not known since when the schedule holds. An error: the schedule cannot be read.
type Next = Result<Option<DateTime<Utc>>, String>;

impl Fires {
    fn keep(&mut self, rows: &[ScheduleRow]) {
        let ids: BTreeSet<i64> = rows.iter().map(|row| row.id).collect();
        self.0.retain(|id, _| ids.contains(id));
    }

    fn next(&mut self, row: &ScheduleRow, jobs: &Jobs) -> &Next {
        let zone = row.time_zone.as_ref().map(|zone| zone.0.clone());
        let known: Known = (row.cron_expr.0.clone(), zone, row.holds_from());
        let entry = self
            .0
            .entry(row.id)
            .or_insert_with(|| (known.clone(), next(&known, jobs)));
        if entry.0 != known {
            *entry = (known.clone(), next(&known, jobs));
        }
        &entry.1
    }
}

fn next((expr, zone, from): &Known, jobs: &Jobs) -> Next {
    let schedule = jobs
        .schedule(expr, zone.as_deref())
        .map_err(|error| error.to_string())?;
    Ok(from.and_then(|from| schedule.next_after(from)))
}

/// Since when states are seen, by their keys.
#[derive(Debug, Default)]
pub(super) struct Seen(HashMap<String, Duration>);

impl Seen {
    /// Notes the states of a look; answers which of them have lasted long enough for an alert.
    pub(super) fn lasting(&mut self, causes: &[Cause], now: Duration, settings: &AlertSettings) -> BTreeSet<String> {
        let seen: HashMap<String, &Cause> = causes.iter().map(|cause| (cause.key(), cause)).collect();
        self.0.retain(|key, _| seen.contains_key(key));
        let mut lasting = BTreeSet::new();
        for (key, cause) in seen {
            let since = *self.0.entry(key.clone()).or_insert(now);
            let lasted = TimeDelta::from_std(now.saturating_sub(since)).unwrap_or_default();
            if lasted >= must_last(cause.kind(), settings) {
                lasting.insert(key);
            }
        }
        lasting
    }
}

const fn must_last(kind: AlertKind, settings: &AlertSettings) -> TimeDelta {
    match kind {
        AlertKind::Unserved => settings.unserved,
        AlertKind::OldestDue | AlertKind::JobOverdue => LASTING,
        _ => TimeDelta::zero(),
    }
}

/// How many tasks of each method have ended in this process: what the tally has counted at the looks of the last five minutes.
#[derive(Debug)]
pub(super) struct Shares {
    looks: VecDeque<(Duration, Ended)>,
}

/// Tasks that ended well, and tasks that failed for good, by method.
type Ended = BTreeMap<Method, (u64, u64)>;

impl Shares {
    /// Counts from now on.
    pub(super) fn begin(tally: &Tally, now: Duration) -> Self {
        Self {
            looks: VecDeque::from([(now, ended(tally))]),
        }
    }

    /// The methods of which too many tasks have failed within the last five minutes.
    pub(super) fn look(&mut self, tally: &Tally, now: Duration, settings: &AlertSettings) -> Vec<Cause> {
        self.judge(ended(tally), now, settings)
    }

    fn judge(&mut self, ended: Ended, now: Duration, settings: &AlertSettings) -> Vec<Cause> {
        // The last look before the window stays: the counts of the window are those since then.
        while let Some((next, _)) = self.looks.get(1)
            && *next + WINDOW <= now
        {
            self.looks.pop_front();
        }
        let before = self.looks.front().map(|(_, ended)| ended);
        let mut causes = Vec::new();
        for (method, (succeeded, failed)) in &ended {
            let (well, badly) = before
                .and_then(|before| before.get(method))
                .copied()
                .unwrap_or_default();
            let (succeeded, failed) = (succeeded.saturating_sub(well), failed.saturating_sub(badly));
            let ended = succeeded + failed;
            if failed > settings.failures && share(failed, ended) > settings.failure_share {
                causes.push(Cause::FailureShare {
                    method: method.clone(),
                    failed,
                    ended,
                });
            }
        }
        self.looks.push_back((now, ended));
        causes
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share need not be exact")]
fn share(part: u64, all: u64) -> f64 {
    part as f64 / all.max(1) as f64
}

fn ended(tally: &Tally) -> Ended {
    let totals = tally.totals();
    let counted = |(series, figures): (&Series, &Figures)| {
        let method = Method {
            theme: series.theme.clone(),
            service: series.service.clone(),
            method: series.method.clone(),
        };
        (method, (figures.succeeded, figures.failed))
    };
    totals.of(HistoryKind::Task).map(counted).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::AlertsConfig, domain::Faults};

    const MINUTE: Duration = Duration::from_secs(60);

    fn settings() -> AlertSettings {
        super::super::options::AlertOptions::default().settings(&AlertsConfig::default(), &mut Faults::default())
    }

    fn counted(succeeded: u64, failed: u64) -> Ended {
        let method = Method {
            theme: "demo".to_owned(),
            service: "Demo".to_owned(),
            method: "Run".to_owned(),
        };
        Ended::from([(method, (succeeded, failed))])
    }

    fn shares() -> Shares {
        Shares {
            looks: VecDeque::from([(Duration::ZERO, Ended::new())]),
        }
    }

    #[test]
    fn a_share_needs_failures_and_failures_need_a_share() {
        let settings = settings();
        for (succeeded, failed, is_amiss) in [(0, 5, false), (0, 6, true), (54, 6, false), (53, 6, true)] {
            let causes = shares().judge(counted(succeeded, failed), MINUTE, &settings);
            assert_eq!(!causes.is_empty(), is_amiss, "{succeeded} {failed}");
        }
    }

    #[test]
    fn failures_count_for_five_minutes() {
        let (mut shares, settings) = (shares(), settings());
        let mut amiss = Vec::new();
        for minute in 1..=8 {
            let causes = shares.judge(counted(0, if minute < 2 { 0 } else { 6 }), MINUTE * minute, &settings);
            amiss.push(!causes.is_empty());
        }
        assert_eq!(amiss, [false, true, true, true, true, true, false, false]);
        assert!(shares.looks.len() <= 7);
    }

    #[test]
    fn a_state_is_told_once_it_has_lasted() {
        let (mut seen, settings) = (Seen::default(), settings());
        let causes = [Cause::Unserved {
            theme: "demo".to_owned(),
            due: 1,
        }];
        let mut told = |causes: &[Cause], seconds| {
            let lasting = seen.lasting(causes, Duration::from_secs(seconds), &settings);
            !lasting.is_empty()
        };
        assert!(!told(&causes, 10));
        assert!(!told(&causes, 69));
        assert!(told(&causes, 70));
        assert!(!told(&[], 80));
        assert!(!told(&causes, 90));
    }
}
