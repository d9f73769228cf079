//! The lines that the log has of events: which run, what happened, the error after a colon.

use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::SecondsFormat;

use super::{
    Component, DatabaseFailure, DatabaseRecovery, DatabaseWork, Event, JobEnded, JobRetried, TaskEnded, TaskOutcome,
};
use crate::{
    domain::{RunFlag, TaskStatus},
    line::line_of,
    repeats::Repeats,
};

/// Writes the log lines of events. Failures that come again and again for one reason have few lines louder than debug.
#[derive(Default)]
pub(super) struct Lines {
    said: Mutex<Repeats<About>>,
}

/// What may fail again and again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum About {
    /// The runs of this job.
    Runs(i64),
    /// The attempts of this job's runs.
    Attempts(i64),
    Database(Component, DatabaseWork),
}

impl Lines {
    pub(super) fn log(&self, event: &Event) {
        match event {
            Event::TaskEnded(ended) => log_task(ended),
            Event::JobEnded(ended) => self.log_job(ended),
            Event::JobRetried(retried) => self.log_retry(retried),
            Event::DatabaseFailed(failure) => self.log_failure(failure),
            Event::DatabaseRecovered(recovery) => self.log_recovery(recovery),
            Event::TasksRescued { theme, tasks } => {
                say!(Warn, "theme {theme}: {tasks} tasks of dead nodes were taken over");
            }
            Event::JobRunsLost { runs } => say!(Warn, "{runs} runs of jobs are lost: their nodes are dead"),
            Event::NodeLost { node } => say!(
                Warn,
                "node {node} is dead: it has not beaten for its lease time; its tasks are taken over"
            ),
            Event::LeaseLost {
                node,
                declared_dead: true,
                ..
            } => say!(
                Warn,
                "node {node} was declared dead by others while it could not beat; its runs are cancelled"
            ),
            Event::LeaseLost {
                node, silent, lease, ..
            } => say!(
                Error,
                "node {node}: no heartbeat for {silent:.1?}, longer than the lease of {lease:?}; what runs here is cancelled, \
                 nothing is claimed until it beats again"
            ),
            Event::ThreadReplaced {
                runs,
                blocked: Some(blocked),
            } => say!(
                Error,
                "a worker thread has been blocked for {blocked:?} by {runs} and is replaced; handlers that block belong into \
                 `blocking_fn`"
            ),
            Event::ThreadReplaced { runs, blocked: None } => {
                say!(Error, "a worker thread has ended and is replaced; it was at: {runs}");
            }
            Event::OutcomeRefused { .. } => log_refused(event),
            // These come with each claim, run and fire: they are counted, and go to observers.
            Event::TasksClaimed { .. }
            | Event::TaskLost { .. }
            | Event::TaskStarted(_)
            | Event::JobFired(_)
            | Event::JobSkipped(_)
            | Event::JobStarted(_)
            | Event::HookCalled(_)
            | Event::OutcomesWritten { .. } => {}
        }
    }

    fn log_job(&self, ended: &JobEnded) {
        let what = job_ended(ended);
        let error = ended.error.as_deref();
        let (job, run) = (ended.run.job_id, job_run(ended));
        match ended.flag {
            _ if !ended.recorded => say!(Warn, "job {job} {run}: {what}"),
            RunFlag::Failed => {
                // The lock is released before the line is written.
                let said = self.said().say(About::Runs(job), &with_error("", error));
                match said {
                    Some(said) => say!(Warn, "job {job} {run}: {what}{said}"),
                    None => say!(Debug, "job {job} {run}: {}", with_error(&what, error)),
                }
            }
            RunFlag::Cancelled | RunFlag::Skipped => say!(Info, "job {job} {run}: {}", with_error(&what, error)),
            RunFlag::Success => {
                let failures = self.said().over(&About::Runs(job));
                match (failures, error) {
                    (Some(failures), _) => say!(Info, "job {job} {run}: {what}, after {failures} runs that failed"),
                    // Something about it could not be written.
                    (None, Some(_)) => say!(Warn, "job {job} {run}: {}", with_error(&what, error)),
                    (None, None) => say!(Debug, "job {job} {run}: {what}"),
                }
            }
        }
    }

    fn log_retry(&self, retried: &JobRetried) {
        let run = &retried.run;
        let (job, id, log_id) = (run.job_id, run.run_id, &run.log_id);
        let (attempt, next, delay) = (retried.attempt, retried.attempt + 1, retried.delay);
        let error = line_of(&retried.error);
        let said = self.said().say(About::Attempts(job), error);
        let (level, said) = match &said {
            Some(said) => (log::Level::Info, said.as_str()),
            None => (log::Level::Debug, error),
        };
        say!(at level,
            "job {job} run {id} log_id={log_id}: attempt {attempt} failed, attempt {next} begins in {delay:.1?}: {said}"
        );
    }

    fn log_failure(&self, failure: &DatabaseFailure) {
        let DatabaseFailure {
            component, work, error, ..
        } = failure;
        let what = work.fails();
        let said = self.said().say(About::Database(component.clone(), *work), error);
        match said {
            Some(said) => say!(Error, "{component}: {what}: {said}"),
            None => say!(Debug, "{component}: {what}: {error}"),
        }
    }

    fn log_recovery(&self, recovery: &DatabaseRecovery) {
        let DatabaseRecovery {
            component,
            work,
            failures,
        } = recovery;
        self.said().over(&About::Database(component.clone(), *work));
        say!(Info, "{component}: {}, after {failures} failures", work.works());
    }

    fn said(&self) -> MutexGuard<'_, Repeats<About>> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One line for each run, with the log id that its record has.
fn log_task(ended: &TaskEnded) {
    let level = level(ended);
    if log::log_enabled!(level) {
        let run = &ended.run;
        let (theme, id, attempt, log_id) = (&run.theme, run.task_id, run.attempt, &run.log_id);
        let (service, method) = (&run.service, &run.method);
        let what = with_error(&task_ended(ended), ended.error.as_deref());
        say!(at level,
            "theme {theme} task {id} {service}.{method} attempt {attempt} log_id={log_id}: {what}"
        );
    }
}

fn level(ended: &TaskEnded) -> log::Level {
    match ended.status {
        Some(TaskStatus::Failed) | None => log::Level::Warn,
        Some(TaskStatus::Retry) => log::Level::Info,
        // Something about it could not be written.
        Some(TaskStatus::Success) if ended.error.is_some() => log::Level::Warn,
        Some(_) => log::Level::Debug,
    }
}

/// Such as `failed after 1.2 ms, runs again at 2026-01-01T00:00:01.000Z`.
fn task_ended(ended: &TaskEnded) -> String {
    let ran = ended.ran;
    let again = || match ended.next_run_at {
        Some(at) => format!("runs again at {}", at.to_rfc3339_opts(SecondsFormat::Millis, true)),
        None => "runs again at once".to_owned(),
    };
    match (ended.status, ended.outcome) {
        (None, _) => format!("ended after {ran:.1?}, which is not recorded: the task is in other hands since"),
        (Some(TaskStatus::Success), _) => format!("succeeded after {ran:.1?}"),
        (Some(TaskStatus::Failed), _) => format!("failed for good after {ran:.1?}"),
        (Some(TaskStatus::Cancelled), _) => format!("was cancelled after {ran:.1?}"),
        (_, TaskOutcome::Snoozed) => format!("was snoozed after {ran:.1?}, {}", again()),
        (_, TaskOutcome::HandedBack) if ended.next_run_at.is_some() => {
            format!("was given back, since its arguments could not be read yet, {}", again())
        }
        (_, TaskOutcome::HandedBack) => format!("was given back after {ran:.1?}"),
        (_, TaskOutcome::NotServed) => "was given back, since this node does not serve it".to_owned(),
        (Some(_), _) => format!("failed after {ran:.1?}, {}", again()),
    }
}

fn job_run(ended: &JobEnded) -> String {
    format!("run {} log_id={}", ended.run.run_id, ended.run.log_id)
}

/// Such as `failed after 1.2 s and 3 attempts`.
fn job_ended(ended: &JobEnded) -> String {
    if !ended.recorded {
        return "ended, which is not recorded: others have ended it".to_owned();
    }
    let what = match ended.flag {
        RunFlag::Success => "succeeded",
        RunFlag::Failed => "failed",
        RunFlag::Skipped => "was skipped",
        RunFlag::Cancelled => "was cancelled",
    };
    match (ended.ran, ended.attempts) {
        (None, _) | (_, 0) => format!("{what}, not begun"),
        (Some(ran), 1) => format!("{what} after {ran:.1?}"),
        (Some(ran), attempts) => format!("{what} after {ran:.1?} and {attempts} attempts"),
    }
}

fn log_refused(event: &Event) {
    let Event::OutcomeRefused {
        component,
        id,
        job_id,
        log_id,
        ended_as,
        error,
        let_go,
    } = event
    else {
        return;
    };
    let name = match job_id {
        Some(job) => format!("job {job} run {id}"),
        None => format!("{component} task {id}"),
    };
    let state = match (job_id.is_some(), let_go) {
        (true, true) => "the record stays without a flag and a node, and the job fires on",
        (true, false) => "the record stays open, since its row takes nothing else",
        (false, true) => "it stays Running without a node and does not run again by itself",
        (false, false) => "it stays Running under this node, since its row takes nothing else",
    };
    say!(
        Error,
        "{name} log_id={log_id}: ended as {ended_as}, but the database refuses that in every form; {state}; it is tried again from \
         time to time: {error}"
    );
}

fn with_error(what: &str, error: Option<&str>) -> String {
    match error {
        Some(error) => format!("{what}: {}", line_of(error)),
        None => what.to_owned(),
    }
}
