//! What the log says of jobs' runs: what happened to which run, the error after a colon.

use crate::{
    domain::{RunFlag, ascii},
    repeats::Repeats,
    store::{JobWrites, RunEnd, StoreError},
};

/// One line of a log, not a megabyte: the record has the whole text.
const LINE: usize = 300;

/// The lines about runs. A job that fails again and again for one reason has few.
#[derive(Default)]
pub(super) struct Lines {
    failures: Repeats<i64>,
}

impl Lines {
    /// One line for each run, with the log id that its record has; of a failure that its job's last runs had, too, only some.
    pub(super) fn log_end(&mut self, end: &RunEnd, stale: bool) {
        let (job, what) = (end.job_id, what_happened(end, stale));
        let run = format!("run {} log_id={}", end.run.id, end.log_id);
        match end.flag {
            _ if stale => say!(Warn, "job {job} {run}: {what}"),
            RunFlag::Failed => match self.failures.say(job, &with_error("", end.error.as_deref())) {
                Some(said) => say!(Warn, "job {job} {run}: {what}{said}"),
                None => say!(Debug, "job {job} {run}: {}", with_error(&what, end.error.as_deref())),
            },
            RunFlag::Cancelled | RunFlag::Skipped => {
                say!(Info, "job {job} {run}: {}", with_error(&what, end.error.as_deref()));
            }
            RunFlag::Success => self.log_success(end, &run, &what),
        }
    }

    fn log_success(&mut self, end: &RunEnd, run: &str, what: &str) {
        let job = end.job_id;
        if let Some(failures) = self.failures.over(&job) {
            say!(Info, "job {job} {run}: {what}, after {failures} runs that failed");
        } else if end.error.is_some() {
            // Something about it could not be written.
            say!(Warn, "job {job} {run}: {}", with_error(what, end.error.as_deref()));
        } else {
            say!(Debug, "job {job} {run}: {what}");
        }
    }
}

/// Such as `failed after 1.2 s and 3 attempts`.
fn what_happened(end: &RunEnd, stale: bool) -> String {
    if stale {
        return "ended, which is not recorded: others have ended it".to_owned();
    }
    let what = match end.flag {
        RunFlag::Success => "succeeded",
        RunFlag::Failed => "failed",
        RunFlag::Skipped => "was skipped",
        RunFlag::Cancelled => "was cancelled",
    };
    let took = end.started_at.and_then(|at| (end.ended_at - at).to_std().ok());
    match (took, end.attempt) {
        (None, _) | (_, 0) => format!("{what}, not begun"),
        (Some(took), 1) => format!("{what} after {took:.1?}"),
        (Some(took), attempts) => format!("{what} after {took:.1?} and {attempts} attempts"),
    }
}

fn with_error(what: &str, error: Option<&str>) -> String {
    match error {
        Some(error) => format!("{what}: {}", &error[..error.floor_char_boundary(LINE)]),
        None => what.to_owned(),
    }
}

/// What the record of a run says that was let go.
pub(super) fn why_let_go(writes: &JobWrites, reason: &str) -> String {
    let flag = writes.ends.first().map_or("", |end| end.flag.as_str());
    let reason = ascii(reason);
    format!(
        "this run has ended ({flag}), but the database refuses to note that: {}",
        &reason[..reason.floor_char_boundary(LINE)]
    )
}

pub(super) fn log_refused(writes: &JobWrites, reason: &str, error: Option<&StoreError>) {
    let Some(end) = writes.ends.first() else {
        return;
    };
    let (job, run, log_id, flag) = (end.job_id, end.run.id, &end.log_id, end.flag);
    let state = match error {
        None => "the record stays without a flag and a node, and the job fires on".to_owned(),
        Some(error) => format!("the record stays open, since its row takes nothing else ({error})"),
    };
    say!(
        Error,
        "job {job} run {run} log_id={log_id}: ended ({flag}), but the database refuses that in every form; {state}; it is \
         tried again from time to time: {reason}"
    );
}
