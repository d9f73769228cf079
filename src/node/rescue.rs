//! Taking over the work of dead nodes.
//!
//! There are two small steps. Any node may do each of them at any time, so that it does not matter which node dies in between. First, the
//! dead node's row is removed, if the node has written no heartbeat since. Second, the runs of tasks of nodes without a row end as lost
//! attempts, by the same state machine and the same fenced write as any other run.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
};

use super::{
    locked::Locked,
    said::{About, Said},
};
use crate::{
    domain::{Failure, Form, Outcome, RetryPolicy, RunFlag, TaskStatus},
    events::{DatabaseWork, Event},
    store::{
        ClaimedTask, Finish, Finished, HeldClaim, JobRunKey, JobWrites, JobsWritten, Orphan, OrphanRun, Rows, RunEnd,
        Store, StoreError, Writes,
    },
};

/// The cause of the end of such runs, for the log.
const DIED: &str = "its node died while it ran";

/// How many orphans one transaction ends.
const BATCH: usize = 500;

/// Removes the rows of dead nodes; answers how many were removed. A row that is locked, or that the database refuses to remove, does not
/// keep the others.
pub(super) async fn remove_dead(
    store: &Store,
    dead: &[(String, Option<i64>)],
    said: &Said,
) -> Result<usize, StoreError> {
    let (mut buried, mut locked) = (0, Locked::new(About::LockedNodes));
    for (id, beat) in dead {
        if store.is_node_locked(id).await? {
            locked.note(id);
            continue;
        }
        match store.cluster().remove_node(id, *beat).await {
            Ok(true) => {
                buried += 1;
                said.events.tell(&Event::NodeLost { node: id.clone() });
            }
            Ok(false) => {}
            Err(StoreError::Conflict(_)) => locked.note(id),
            Err(StoreError::Database(text)) => {
                let what = format!("node {id} is dead, but the database does not let its row be removed");
                said.error(About::Row(id.clone()), &what, &text);
            }
            Err(error) => return Err(error),
        }
    }
    locked.say(said, "rows of dead nodes in gaia_nodes");
    Ok(buried)
}

/// Whether the last look has passed over locked runs of dead nodes, so that another look is needed.
pub(super) fn has_passed_over(said: &Said) -> bool {
    said.lasts(&About::LockedTasks) || said.lasts(&About::LockedRuns)
}

/// Ends the runs of tasks of nodes without a row, other than `me`, as lost attempts (model: task::Rescue); answers how many there were of each
/// theme.
pub(super) async fn rescue(
    store: &Store,
    me: &str,
    policy: impl Fn(&str) -> RetryPolicy,
    said: &Said,
) -> Result<BTreeMap<String, u64>, StoreError> {
    let (mut rescued, mut last) = (BTreeMap::new(), i64::MIN);
    let mut locked = Locked::new(About::LockedTasks);
    store.tasks().make_missing_claims().await?;
    loop {
        // Those that cannot be ended stay behind, and hold up no other.
        let claims = store.tasks().orphan_claims(me, last).await?;
        let Some(claim) = claims.last() else {
            break;
        };
        last = claim.id;
        let orphans = store.tasks().running(&claims).await?;
        let mut others: BTreeSet<i64> = orphans.iter().map(|orphan| orphan.task.id).collect();
        let orphans = locked
            .pass_over(store, Rows::Tasks, orphans, |orphan| orphan.task.id)
            .await?;
        for orphan in &orphans {
            others.remove(&orphan.task.id);
        }
        for orphans in orphans.chunks(BATCH) {
            let finishes = orphans.iter().map(|orphan| lost(store, orphan, policy(&orphan.theme)));
            let finished = write(store, finishes.collect(), DIED, said).await?;
            let written = orphans.iter().zip(finished);
            // Stale: another node was quicker, or the database refuses the end.
            for (orphan, finished) in written.filter(|(_, finished)| *finished != Finished::Stale) {
                *rescued.entry(orphan.theme.clone()).or_default() += 1;
                if finished == Finished::Written(TaskStatus::Failed) {
                    said.events.tell(&task_lost(orphan));
                }
            }
        }
        drop_settled(store, &claims, &others).await?;
    }
    locked.say(said, "running tasks of dead nodes");
    Ok(rescued)
}

/// The error of a lost attempt.
fn died(task: &ClaimedTask) -> String {
    format!("its node {} died while it ran", task.owner)
}

fn task_lost(orphan: &Orphan) -> Event {
    let task = &orphan.task;
    Event::TaskLost {
        theme: orphan.theme.as_str().into(),
        task_id: task.id,
        service: task.service.clone(),
        method: task.method.clone(),
        error: died(task),
    }
}

/// Removes claims that hold no running task any more. A claim that must stay although none of its tasks is among `others` (tasks that run
/// as they should, or are locked) has tasks that plain SQL has given to other nodes: these are taken out of it.
pub(super) async fn drop_settled(
    store: &Store,
    claims: &[HeldClaim],
    others: &BTreeSet<i64>,
) -> Result<(), StoreError> {
    let ids: Vec<i64> = claims.iter().map(|claim| claim.id).collect();
    let open = store.tasks().drop_settled(&ids).await?;
    let is_odd = |claim: &&HeldClaim| open.contains(&claim.id) && !claim.has_any(others);
    for claim in claims.iter().filter(is_odd) {
        store.tasks().detach(claim).await?;
    }
    Ok(())
}

/// Ends the open runs of jobs of nodes without a row, as lost (model: fires::EndedLostRuns); answers how many there were. They are not run
/// again: the job fires again by its schedule.
pub(super) async fn end_runs(store: &Store, me: &str, said: &Said) -> Result<usize, StoreError> {
    let (mut lost, mut last, mut is_any_left) = (0, i64::MIN, false);
    let mut locked = Locked::new(About::LockedRuns);
    loop {
        // Those that cannot be ended stay behind, and hold up no other.
        let orphans = store
            .jobs()
            .orphan_runs(me, last, i64::try_from(BATCH).unwrap_or(i64::MAX))
            .await?;
        let Some(orphan) = orphans.last() else {
            break;
        };
        last = orphan.run_id;
        let orphans = locked
            .pass_over(store, Rows::JobRecords, orphans, |orphan| orphan.run_id)
            .await?;
        let ends: Vec<RunEnd> = orphans.into_iter().map(|orphan| lost_run(store, orphan)).collect();
        let count = ends.len();
        let ended = write_runs(store, ends, said).await?;
        lost += ended;
        is_any_left |= ended < count;
    }
    locked.say(said, "open runs of dead nodes in job_record");
    if is_any_left {
        store.cluster().disown_unnamed().await?;
    }
    Ok(lost)
}

/// Tells observers the result of a look for runs of jobs of dead nodes.
pub(super) fn tell_runs(ended: Result<usize, StoreError>, said: &Said) {
    match ended {
        Ok(runs) => {
            said.succeeded(DatabaseWork::EndLostRuns);
            if runs > 0 {
                said.events.tell(&Event::JobRunsLost { runs });
            }
        }
        Err(error) => said.failed(DatabaseWork::EndLostRuns, &error),
    }
}

/// Writes ends; answers with the result for each, in order. If the database refuses some ends, the others are written nevertheless; the
/// refused ones are written in plainer forms, or their rows are let go.
pub(crate) async fn write(
    store: &Store,
    finishes: Vec<Finish>,
    cause: &str,
    said: &Said,
) -> Result<Vec<Finished>, StoreError> {
    let mut finished = vec![Finished::Stale; finishes.len()];
    let mut parts = Vec::from([Range {
        start: 0,
        end: finishes.len(),
    }]);
    while let Some(part) = parts.pop().filter(|part| !part.is_empty()) {
        match store.tasks().write(writes(&finishes[part.clone()])).await {
            Ok(written) => finished[part].copy_from_slice(&written.finishes),
            Err(error) if error.is_refusal() && part.len() > 1 => parts.extend(halves(part)),
            Err(error) if error.is_refusal() => {
                finished[part.start] = write_plainly(store, &finishes[part.start], cause, &error, said).await?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(finished)
}

fn writes(finishes: &[Finish]) -> Arc<Writes> {
    Arc::new(Writes {
        finishes: finishes.to_vec(),
        ..Writes::default()
    })
}

fn halves(part: Range<usize>) -> [Range<usize>; 2] {
    let middle = part.start + part.len() / 2;
    [part.start..middle, middle..part.end]
}

async fn write_plainly(
    store: &Store,
    finish: &Finish,
    cause: &str,
    refusal: &StoreError,
    said: &Said,
) -> Result<Finished, StoreError> {
    let (mut form, reason) = (Form::Whole, refusal.to_string());
    while let Some(plainer) = form.plainer(finish.texts()) {
        form = plainer;
        match store.tasks().write(writes(&[finish.in_form(form, &reason)])).await {
            Err(error) if error.is_refusal() => {}
            written => return Ok(written?.finishes.pop().unwrap_or(Finished::Stale)),
        }
    }
    let why = format!("{cause}, and the database refuses to note that: {reason}");
    let let_go = match store.tasks().let_go(&finish.run, &why).await {
        Err(error) if error.is_refusal() => false,
        let_go => let_go?,
    };
    let id = finish.run.task_id;
    let state = if let_go { "without a node" } else { "under its node" };
    let what = format!("task {id}: {cause}, and the database refuses that in every form; it stays Running {state}");
    said.error(About::Task(id), &what, &reason);
    Ok(Finished::Stale)
}

/// As [`write`], for runs of jobs; answers how many were ended.
async fn write_runs(store: &Store, ends: Vec<RunEnd>, said: &Said) -> Result<usize, StoreError> {
    let mut ended = 0;
    let mut parts = Vec::from([Range {
        start: 0,
        end: ends.len(),
    }]);
    while let Some(part) = parts.pop().filter(|part| !part.is_empty()) {
        match write_ends(store, &ends[part.clone()], false).await {
            Ok(written) => ended += written.runs.len(),
            Err(error) if error.is_refusal() && part.len() > 1 => parts.extend(halves(part)),
            Err(error) if error.is_refusal() => {
                ended += write_run_plainly(store, &ends[part.start], &error, said).await?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(ended)
}

async fn write_run_plainly(
    store: &Store,
    end: &RunEnd,
    refusal: &StoreError,
    said: &Said,
) -> Result<usize, StoreError> {
    let (mut form, reason) = (Form::Whole, refusal.to_string());
    while let Some(plainer) = form.plainer(end.texts()) {
        form = plainer;
        let end = end.in_form(form, &reason);
        match write_ends(store, &[end], form == Form::Apart).await {
            Err(error) if error.is_refusal() => {}
            written => return Ok(written?.runs.len()),
        }
    }
    let why = format!("{DIED}, and the database refuses to note that: {reason}");
    let let_go = match store.jobs().let_go(&end.run, &why).await {
        Err(error) if error.is_refusal() => false,
        let_go => let_go?,
    };
    let (job, run) = (end.job_id, end.run.id);
    let what = format!("job {job} run {run}: {DIED}, and the database refuses that in every form");
    said.error(About::Run(run), &what, &reason);
    Ok(usize::from(let_go))
}

async fn write_ends(store: &Store, ends: &[RunEnd], apart: bool) -> Result<JobsWritten, StoreError> {
    let writes = JobWrites {
        ends: ends.to_vec(),
        jobs: Vec::new(),
        apart,
    };
    store.jobs().end_runs(Arc::new(writes)).await
}

fn lost_run(store: &Store, orphan: OrphanRun) -> RunEnd {
    RunEnd {
        error: Some(format!("lost: its node {} died while it ran", orphan.node)),
        run: JobRunKey {
            id: orphan.run_id,
            node: orphan.node.into(),
        },
        job_id: orphan.job_id,
        flag: RunFlag::Failed,
        result: None,
        attempt: 1,
        started_at: None,
        ended_at: store.clock().now(),
    }
}

fn lost(store: &Store, orphan: &Orphan, policy: RetryPolicy) -> Finish {
    let task = &orphan.task;
    let outcome = lost_attempt(orphan, || died(task));
    Finish::without_run(task, outcome, policy, store.clock().now())
}

/// The outcome of a run whose node or remote worker is gone: a lost attempt. But if it was the last attempt, and its handler had not been called,
/// the task is handed back: the death of a node must not use up the last attempt.
pub(super) fn lost_attempt(orphan: &Orphan, error: impl FnOnce() -> String) -> Outcome {
    match orphan.task.is_last_attempt() && !orphan.began {
        true => Outcome::HandedBack { started: false },
        false => lost_for(error()),
    }
}

/// The outcome of a run of which its own node knows nothing, or no worker has heard. It uses no attempt, unless the row notes that the last
/// attempt began: its handler may have been called.
pub(super) fn unknown_run(orphan: &Orphan, error: impl FnOnce() -> String) -> Outcome {
    match orphan.task.is_last_attempt() && orphan.began {
        true => lost_for(error()),
        false => Outcome::HandedBack { started: false },
    }
}

fn lost_for(error: String) -> Outcome {
    let failure = Failure::Lost;
    Outcome::Failed { error, failure }
}
