//! A row of `gaia_claims`, and the runs that it holds.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use super::claimed::{ClaimedTask, HeldRow};
use crate::{
    domain::TaskStatus,
    store::{
        lenient::{AnyInt, AnyText, AnyTime, is_set, number, text, time},
        schema::asynctasks,
    },
};

/// The run of an unseen task: only the claim names it, not the task's row.
pub(in crate::store) struct Unseen {
    pub(in crate::store) node: String,
    pub(in crate::store) token: i64,
    pub(in crate::store) log_id: String,
    pub(in crate::store) claimed_at: DateTime<Utc>,
}

/// A claim as `gaia_claims` has it. Some of its tasks may have ended, or be in later claims.
#[derive(Debug)]
pub(crate) struct HeldClaim {
    /// The lease token of its tasks.
    pub(crate) id: i64,
    pub(in crate::store) node: String,
    /// The text with which the log ids of its tasks begin.
    pub(crate) mark: String,
    claimed_at: DateTime<Utc>,
    pub(in crate::store) task_ids: Vec<i64>,
}

impl HeldClaim {
    pub(crate) fn is_of_one(&self) -> bool {
        self.task_ids.len() == 1
    }

    pub(crate) fn has_any(&self, tasks: &BTreeSet<i64>) -> bool {
        self.task_ids.iter().any(|id| tasks.contains(id))
    }

    /// The run of this task, if the task is unseen.
    fn run_of(&self, task: i64) -> Unseen {
        Unseen {
            node: self.node.clone(),
            token: self.id,
            log_id: format!("{}-{task}", self.mark),
            claimed_at: self.claimed_at,
        }
    }
}

/// The run of a task that waits by its row: `None` unless a claim holds the task unseen. `queued` and `token` are columns of its row.
pub(in crate::store) fn unseen_run(claims: &[HeldClaim], task: i64, queued: i64, token: i64) -> Option<Unseen> {
    let has = |claim: &&HeldClaim| queued == 1 && token < claim.id && claim.task_ids.binary_search(&task).is_ok();
    claims.iter().rev().find(has).map(|claim| claim.run_of(task))
}

/// Id, node, mark, time and task ids of a claim, as they are stored.
pub(in crate::store) type ClaimRow = (i64, AnyText, AnyText, AnyTime, AnyText);

/// The columns of a claim.
macro_rules! claim_columns {
    ($ids:expr) => {
        (
            $crate::store::schema::gaia_claims::id,
            $crate::store::schema::gaia_claims::node_id,
            $crate::store::schema::gaia_claims::mark,
            $crate::store::schema::gaia_claims::claimed_at,
            diesel::dsl::sql::<diesel::sql_types::Text>($ids),
        )
    };
}
pub(in crate::store) use claim_columns;

/// Reads a claim. A text that is no list of ids counts as an empty list: only nodes write the column.
pub(in crate::store) fn held_claim((id, node, mark, claimed_at, ids): ClaimRow) -> HeldClaim {
    let mut task_ids: Vec<i64> = serde_json::from_str(&ids.0).unwrap_or_default();
    task_ids.sort_unstable();
    task_ids.dedup();
    HeldClaim {
        id,
        node: node.0,
        mark: mark.0,
        claimed_at: time(Some(claimed_at)).unwrap_or_default(),
        task_ids,
    }
}

/// A running task whose node is gone.
#[derive(Debug)]
pub(crate) struct Orphan {
    pub(crate) theme: String,
    pub(crate) task: ClaimedTask,
    /// The row notes that the last attempt had begun. For earlier attempts nothing is noted.
    pub(crate) began: bool,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = asynctasks)]
pub(in crate::store) struct OrphanRow {
    system_name: AnyText,
    task_status: Option<AnyText>,
    queued: AnyInt,
    began: AnyInt,
    lease_owner: Option<AnyText>,
    log_id: Option<AnyText>,
    last_run_time: Option<AnyTime>,
    #[diesel(embed)]
    task: HeldRow,
}

impl OrphanRow {
    /// The running task: its row names the run, or one of these claims does if the task is unseen.
    pub(in crate::store) fn orphan(self, claims: &[HeldClaim]) -> Option<Orphan> {
        let theme = self.system_name.0;
        if text(self.task_status).as_deref() == Some(TaskStatus::Running.as_str()) {
            let owner = text(self.lease_owner).unwrap_or_default();
            let log_id = text(self.log_id).unwrap_or_default();
            let claimed_at = time(self.last_run_time).unwrap_or_default();
            return Some(Orphan {
                theme,
                began: is_set(self.began),
                task: self.task.into_task(owner.into(), log_id.into(), claimed_at),
            });
        }
        let run = unseen_run(claims, self.task.id(), number(Some(self.queued))?, self.task.token())?;
        let task = self.task.into_task(run.node.into(), run.log_id.into(), run.claimed_at);
        Some(Orphan {
            theme,
            began: false,
            task: ClaimedTask {
                token: run.token,
                ..task
            },
        })
    }
}
