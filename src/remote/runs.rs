//! Runs of remote workers while they go on: signs of life, progress and log lines.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use log::Level;
use tokio::time::{Instant, sleep};

use super::{Done, Remote};
use crate::{
    domain::{NOTE_LIMIT, truncated},
    logs::{self, LogRow},
    run::RunToken,
    store::{Begin, ClaimedTask, Progress, RemoteClaim, SeenRun, Writes},
};

/// A service may use the token of a call before its 202 has arrived and is stored. Its calls wait for that so long.
const PARKS_WITHIN: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(50);

/// A line may have been logged so long before its run was claimed, by a clock that is off. Other times count as now.
const EARLIER: TimeDelta = TimeDelta::days(1);

/// A run that a worker names by its token.
#[derive(Clone)]
pub(crate) enum Run {
    /// The run under its claim, which has a lease.
    Leased {
        claim: Arc<RemoteClaim>,
        task: Box<ClaimedTask>,
    },
    /// There is no such claim any more: the run has ended, or its lease was over.
    Gone { task_id: i64 },
    /// The claim is there, and has not made this token.
    Forged,
}

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RunState {
    Held,
    /// A caller has asked to cancel the task.
    Cancelled,
    Lost,
}

/// A line that a remote worker has logged in a run.
#[derive(Debug, Clone)]
pub(crate) struct RemoteLine {
    /// `None`: now.
    pub(crate) at: Option<DateTime<Utc>>,
    pub(crate) level: Level,
    pub(crate) message: String,
}

impl Run {
    pub(crate) fn task(&self) -> Option<&ClaimedTask> {
        match self {
            Self::Leased { task, .. } => Some(task),
            Self::Gone { .. } | Self::Forged => None,
        }
    }

    pub(crate) fn theme(&self) -> Option<&str> {
        match self {
            Self::Leased { claim, .. } => Some(&claim.theme),
            Self::Gone { .. } | Self::Forged => None,
        }
    }

    pub(crate) fn task_id(&self) -> i64 {
        match self {
            Self::Leased { task, .. } => task.id,
            Self::Gone { task_id } => *task_id,
            Self::Forged => 0,
        }
    }
}

impl Remote {
    /// The runs that these tokens name, in their order.
    pub(crate) async fn runs(&self, tokens: &[RunToken]) -> Done<Vec<Run>> {
        let (until, mut pause) = (Instant::now() + PARKS_WITHIN, LOOK);
        loop {
            let runs = self.runs_now(tokens).await?;
            let is_early = |(run, token): (&Run, &RunToken)| matches!(run, Run::Gone { .. }) && token.is_of_a_call();
            if Instant::now() >= until || !runs.iter().zip(tokens).any(is_early) {
                return Ok(runs);
            }
            sleep(pause).await;
            pause *= 2;
        }
    }

    async fn runs_now(&self, tokens: &[RunToken]) -> Done<Vec<Run>> {
        let mut marks: Vec<&str> = tokens.iter().map(RunToken::mark).collect();
        marks.sort_unstable();
        marks.dedup();
        let claims = self.store.tasks().remote_claims_with(&marks).await?;
        let claims: HashMap<&str, Arc<RemoteClaim>> = claims
            .iter()
            .map(|claim| (claim.mark.as_str(), Arc::new(claim.clone())))
            .collect();
        let run = |token: &RunToken| match claims.get(token.mark()) {
            None => Run::Gone {
                task_id: token.task_id(),
            },
            Some(claim) => match token.opened(claim) {
                Some(task) => Run::Leased {
                    claim: Arc::clone(claim),
                    task: Box::new(task),
                },
                None => Run::Forged,
            },
        };
        Ok(tokens.iter().map(run).collect())
    }

    /// Notes that these runs go on. A worker names all of its runs so.
    pub(crate) async fn beat(&self, runs: &[Run]) -> Done<Vec<RunState>> {
        for (worker, count) in by_worker(runs) {
            self.note_alive(worker, count).await;
        }
        self.states(runs).await
    }

    /// Notes how far runs are.
    pub(crate) async fn progress(&self, runs: &[Run], reports: Vec<(u8, String)>) -> Done<Vec<RunState>> {
        let states = self.states(runs).await?;
        let report = |((run, state), (percent, note)): ((&Run, &RunState), (u8, String))| {
            let task = run.task().filter(|_| *state != RunState::Lost)?;
            Some(Progress {
                run: task.key(),
                percent: i32::from(percent.min(100)),
                note: truncated(note, NOTE_LIMIT),
            })
        };
        let reports: Vec<Progress> = runs.iter().zip(&states).zip(reports).filter_map(report).collect();
        if !reports.is_empty() {
            let writes = Writes {
                progress: reports,
                ..Writes::default()
            };
            self.store.tasks().write(Arc::new(writes)).await?;
        }
        Ok(states)
    }

    /// Keeps lines that were logged in runs.
    pub(crate) async fn log(&self, runs: &[Run], lines: Vec<Vec<RemoteLine>>) -> Done<Vec<RunState>> {
        let states = self.states(runs).await?;
        let now = self.store.clock().now();
        let row = |((run, state), lines): ((&Run, &RunState), Vec<RemoteLine>)| {
            let (task, theme) = (run.task().filter(|_| *state != RunState::Lost)?, run.theme()?);
            // A worker's clock may say anything.
            let known = (task.claimed_at - EARLIER)..=now;
            let at = |line: &RemoteLine| line.at.filter(|at| known.contains(at)).unwrap_or(now);
            let lines = lines.into_iter().map(|line| (at(&line), line.level, line.message));
            logs::row_of(theme.into(), Arc::clone(&task.log_id), &task.service, lines)
        };
        let rows: Vec<LogRow> = runs.iter().zip(&states).zip(lines).filter_map(row).collect();
        if !rows.is_empty() {
            self.store.cluster().add_logs(&rows).await?;
        }
        Ok(states)
    }

    /// How these runs stand, of which a worker has said something: renews the leases of their claims, and has the rows of tasks that are unseen
    /// say that they run.
    async fn states(&self, runs: &[Run]) -> Done<Vec<RunState>> {
        self.store.tasks().renew_remote(&claims(runs)).await?;
        let ids: Vec<i64> = runs.iter().filter_map(Run::task).map(|task| task.id).collect();
        let seen = self.store.tasks().seen_runs(&ids).await?;
        let unseen: Vec<&ClaimedTask> = runs
            .iter()
            .filter_map(Run::task)
            .filter(|task| seen.get(&task.id).is_none_or(|seen| seen.waits))
            .collect();
        let begun = self.begun(&unseen).await?;
        let state = |run: &Run| {
            let Some(task) = run.task() else { return RunState::Lost };
            match seen.get(&task.id) {
                Some(seen) if is_of(seen, task) && seen.cancel_requested => RunState::Cancelled,
                Some(seen) if is_of(seen, task) => RunState::Held,
                _ if begun.get(&task.id) == Some(&true) => RunState::Held,
                _ => RunState::Lost,
            }
        };
        Ok(runs.iter().map(state).collect())
    }

    async fn begun(&self, tasks: &[&ClaimedTask]) -> Done<BTreeMap<i64, bool>> {
        let begin = |task: &&ClaimedTask| Begin {
            run: task.key(),
            is_last: false,
        };
        let begun = self.store.tasks().begin(tasks.iter().map(begin).collect()).await?;
        Ok(tasks.iter().map(|task| task.id).zip(begun).collect())
    }
}

/// Whether the row of a task names this run.
fn is_of(seen: &SeenRun, task: &ClaimedTask) -> bool {
    !seen.waits && seen.owner == *task.owner && seen.token == task.token && seen.log_id == *task.log_id
}

/// The claims of these runs, each once.
pub(super) fn claims(runs: &[Run]) -> Vec<RemoteClaim> {
    let mut claims = BTreeMap::new();
    for run in runs {
        if let Run::Leased { claim, .. } = run {
            claims.entry(&claim.mark).or_insert(&**claim);
        }
    }
    claims.into_values().cloned().collect()
}

/// How many of these runs each worker has.
fn by_worker(runs: &[Run]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for run in runs {
        if let Run::Leased { claim, .. } = run {
            *counts.entry(claim.worker.as_str()).or_default() += 1;
        }
    }
    counts
}
