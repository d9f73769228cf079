//! What the log says of a theme's runs: what happened to which run, the error after a colon.

use chrono::SecondsFormat;

use super::batch::{End, Kind, TaskBatch};
use crate::{
    domain::{TaskStatus, ascii},
    store::{Finish, Finished, Progress, StoreError},
};

/// One line of a log, not a megabyte: the record has the whole text.
const LINE: usize = 300;

/// One line for each run, with the log id that its record has.
pub(super) fn log_end(theme: &str, end: &End, finish: &Finish, finished: Finished) {
    let level = level(finish, finished);
    if log::log_enabled!(level) {
        let (id, attempt, log_id) = (finish.run.task_id, finish.attempt, &finish.run.log_id);
        let (service, method) = (&end.run.task.service, &end.run.task.method);
        let what = what_happened(end.kind, finish, finished);
        say!(at level,
            "theme {theme} task {id} {service}.{method} attempt {attempt} log_id={log_id}: {what}"
        );
    }
}

fn level(finish: &Finish, finished: Finished) -> log::Level {
    match finished {
        Finished::Written(TaskStatus::Failed) | Finished::Stale => log::Level::Warn,
        Finished::Written(TaskStatus::Retry) => log::Level::Info,
        // Something about it could not be written.
        Finished::Written(TaskStatus::Success) if finish.next.error.is_some() => log::Level::Warn,
        Finished::Written(_) => log::Level::Debug,
    }
}

/// Such as `failed after 1.2 ms, runs again at 2026-01-01T00:00:01.000Z: no amount`.
fn what_happened(kind: Kind, finish: &Finish, finished: Finished) -> String {
    let (took, next) = (finish.duration, &finish.next);
    let again = || match next.run_at {
        Some(at) => format!("runs again at {}", at.to_rfc3339_opts(SecondsFormat::Millis, true)),
        None => "runs again at once".to_owned(),
    };
    let what = match (finished, kind) {
        (Finished::Stale, _) => {
            format!("ended after {took:.1?}, which is not recorded: the task is in other hands since")
        }
        (Finished::Written(TaskStatus::Success), _) => format!("succeeded after {took:.1?}"),
        (Finished::Written(TaskStatus::Failed), _) => format!("failed for good after {took:.1?}"),
        (Finished::Written(TaskStatus::Cancelled), _) => format!("was cancelled after {took:.1?}"),
        (Finished::Written(_), Kind::Snoozed) => format!("was snoozed after {took:.1?}, {}", again()),
        (Finished::Written(_), Kind::HandedBack) if next.run_at.is_some() => {
            format!("was given back, since its arguments could not be read yet, {}", again())
        }
        (Finished::Written(_), Kind::HandedBack) => format!("was given back after {took:.1?}"),
        (Finished::Written(_), Kind::NotServed) => "was given back, since this node does not serve it".to_owned(),
        (Finished::Written(_), _) => format!("failed after {took:.1?}, {}", again()),
    };
    with_error(what, next.error.as_deref())
}

fn with_error(what: String, error: Option<&str>) -> String {
    match error {
        Some(error) => format!("{what}: {}", &error[..error.floor_char_boundary(LINE)]),
        None => what,
    }
}

/// What the row of a task says that was let go.
pub(super) fn why_let_go(batch: &TaskBatch, reason: &str) -> String {
    let status = batch.writes.finishes.first().map(|finish| finish.next.status);
    let status = status.map_or("", TaskStatus::as_str);
    let reason = ascii(reason);
    format!(
        "this run has ended ({status}), but the database refuses to note that: {}; the task does not run again by itself: \
         mend what refuses it, then retry or cancel the task",
        &reason[..reason.floor_char_boundary(LINE)]
    )
}

pub(super) fn log_refused(theme: &str, batch: &TaskBatch, reason: &str, error: Option<&StoreError>) {
    let Some(finish) = batch.writes.finishes.first() else {
        return;
    };
    let (id, log_id, status) = (finish.run.task_id, &finish.run.log_id, finish.next.status);
    let state = match error {
        None => "it stays Running without a node and does not run again by itself".to_owned(),
        Some(error) => format!("it stays Running under this node, since its row takes nothing else ({error})"),
    };
    say!(
        Error,
        "theme {theme} task {id} log_id={log_id}: ended as {status}, but the database refuses that in every form; {state}; \
         it is tried again from time to time: {reason}"
    );
}

pub(super) fn log_lost_report(theme: &str, report: &Progress, reason: &str) {
    let (id, log_id) = (report.run.task_id, &report.run.log_id);
    say!(
        Warn,
        "theme {theme} task {id} log_id={log_id}: the database refuses its report of progress: {reason}"
    );
}
