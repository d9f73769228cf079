//! Taking the work of dead nodes.
//!
//! Two small steps, each of which any node may do at any time, so that it does not matter who dies in between: the dead
//! node's row is removed (if it has not beaten since), and tasks that are Running under a node without a row end as a lost
//! attempt, by the same state machine and the same fenced write as any other run.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    domain::{Failure, Outcome, RetryPolicy, RunFlag},
    store::{Finish, Finished, Orphan, OrphanRun, RunEnd, Store, StoreError, Writes},
};

/// Orphans in one transaction.
const BATCH: i64 = 500;

/// Removes the rows of dead nodes; answers how many there were. One that the database keeps is in the way of no other.
pub(super) async fn bury(store: &Store, dead: &[(String, Option<i64>)]) -> Result<usize, StoreError> {
    let mut buried = 0;
    for (id, beat) in dead {
        match store.remove_node(id, *beat).await {
            Ok(true) => {
                buried += 1;
                log::warn!("node {id} is dead: it has not beaten for its lease time; its tasks are taken over");
            }
            Ok(false) => {}
            Err(StoreError::Database(text)) => {
                log::error!("node {id} is dead, but the database does not let its row be removed: {text}");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(buried)
}

/// Ends the runs of other nodes that have no row; answers how many there were of each theme.
pub(super) async fn rescue(
    store: &Store,
    me: &str,
    policy: impl Fn(&str) -> RetryPolicy,
) -> Result<BTreeMap<String, u64>, StoreError> {
    let (mut rescued, mut last, mut is_any_left) = (BTreeMap::new(), i64::MIN, false);
    loop {
        // Those that cannot be ended stay behind, and hold up no other.
        let orphans = store.orphans(me, last, BATCH).await?;
        let Some(orphan) = orphans.last() else {
            break;
        };
        last = orphan.task.id;
        let (themes, finishes): (Vec<_>, Vec<_>) = orphans
            .into_iter()
            .map(|orphan| {
                let policy = policy(&orphan.theme);
                (orphan.theme.clone(), lost(store, orphan, policy))
            })
            .unzip();
        let writes = Writes {
            finishes,
            ..Writes::default()
        };
        let finished = store.write(Arc::new(writes)).await?.finishes;
        for (theme, finished) in themes.into_iter().zip(finished) {
            match finished {
                Finished::Written(_) => *rescued.entry(theme).or_default() += 1,
                // Another node was quicker, or it cannot be ended.
                Finished::Stale => is_any_left = true,
            }
        }
    }
    if is_any_left {
        store.disown_unnamed().await?;
    }
    Ok(rescued)
}

/// Ends the open runs of jobs whose nodes have no row, as lost; answers how many there were. They are not run again: a job
/// comes again by its schedule.
pub(super) async fn end_runs(store: &Store, me: &str) -> Result<usize, StoreError> {
    let mut lost = 0;
    loop {
        let orphans = store.orphan_runs(me, BATCH).await?;
        let count = orphans.len();
        let ends: Vec<RunEnd> = orphans.into_iter().map(|orphan| lost_run(store, orphan)).collect();
        let ended = match ends.is_empty() {
            true => 0,
            false => store.end_runs(ends, Vec::new()).await?.runs.len(),
        };
        lost += ended;
        if ended < count {
            store.disown_unnamed().await?;
        }
        // None is left, or another node was quicker with all of them.
        if ended == 0 {
            return Ok(lost);
        }
    }
}

fn lost_run(store: &Store, orphan: OrphanRun) -> RunEnd {
    RunEnd {
        run_id: orphan.run_id,
        job_id: orphan.job_id,
        error: Some(format!("lost: its node {} died while it ran", orphan.node)),
        node: orphan.node,
        log_id: String::new(),
        flag: RunFlag::Failed,
        result: None,
        attempt: 1,
        started_at: None,
        ended_at: store.clock().now(),
    }
}

/// A lost attempt. But a task that has only one attempt left must not be failed by a death before that has begun: it is
/// handed back.
fn lost(store: &Store, orphan: Orphan, policy: RetryPolicy) -> Finish {
    let Orphan { task, began, .. } = orphan;
    let outcome = if task.is_last_attempt() && !began {
        Outcome::HandedBack { started: false }
    } else {
        Outcome::Failed {
            error: format!("its node {} died while it ran", task.owner),
            failure: Failure::Lost,
        }
    };
    Finish::without_run(&task, outcome, policy, store.clock().now())
}
