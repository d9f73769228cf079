//! Taking the work of dead nodes.
//!
//! Two small steps, each of which any node may do at any time, so that it does not matter who dies in between: the dead
//! node's row is removed (if it has not beaten since), and tasks that are Running under a node without a row end as a lost
//! attempt, by the same state machine and the same fenced write as any other run.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    domain::{Failure, Outcome, RetryPolicy},
    store::{ClaimedTask, Finish, Finished, Store, StoreError},
};

/// Orphans in one transaction.
const BATCH: i64 = 500;

/// Removes the rows of dead nodes.
pub(super) async fn bury(store: &Store, dead: &[(String, i64)]) -> Result<(), StoreError> {
    for (id, beat) in dead {
        if store.remove_node(id, *beat).await? {
            log::warn!("node {id} is dead: it has not beaten for its lease time; its tasks are taken over");
        }
    }
    Ok(())
}

/// Ends the runs of nodes that have no row; answers how many there were of each theme.
pub(super) async fn rescue(
    store: &Store,
    policy: impl Fn(&str) -> RetryPolicy,
) -> Result<BTreeMap<String, u64>, StoreError> {
    let mut rescued = BTreeMap::new();
    loop {
        let orphans = store.orphans(BATCH).await?;
        if orphans.is_empty() {
            return Ok(rescued);
        }
        let (themes, batch): (Vec<_>, Vec<_>) = orphans
            .into_iter()
            .map(|(theme, task)| {
                let finish = lost(store, task, policy(&theme));
                (theme, finish)
            })
            .unzip();
        let finished = store.finish(Arc::new(batch)).await?;
        let mut moved = 0;
        for (theme, finished) in themes.into_iter().zip(finished) {
            if matches!(finished, Finished::Written(_)) {
                *rescued.entry(theme).or_default() += 1;
                moved += 1;
            }
        }
        // Another node was quicker with all of them: it goes on, we need not.
        if moved == 0 {
            return Ok(rescued);
        }
    }
}

fn lost(store: &Store, task: ClaimedTask, policy: RetryPolicy) -> Finish {
    let outcome = Outcome::Failed {
        error: format!("its node {} died while it ran", task.owner),
        failure: Failure::Lost,
    };
    Finish::without_run(task, outcome, policy, store.clock().now())
}
