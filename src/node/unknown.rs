//! Tasks that are `Running` under this node although no run here holds them.
//!
//! The node compares its rows with the [`HeldRuns`] after each look for dead nodes, and immediately after a claim without an answer.
//! It gives back tasks that no run holds (model: task::ComparedRuns), by the same fenced write as any other end: if the run of a task has
//! ended in between, the write changes nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    locked::Locked,
    rescue,
    said::{About, Said},
};
use crate::{
    asynctask::{ThemeRuntime, ThemeRuntimes},
    events::DatabaseWork,
    held_runs::HeldRuns,
    lease::NodeLease,
    store::{Finish, Finished, HeldClaim, Orphan, Rows, Store, StoreError},
};

/// The least time between two comparisons, however often one is requested: each claim or add that fails requests one.
const PAUSE: Duration = Duration::from_millis(250);

/// The cause of the end of such a task's run, in the log and in its row.
const CAUSE: &str = "its node knew of no run of it";

/// What the comparison needs.
pub(super) struct Unknown {
    pub(super) store: Store,
    pub(super) node: String,
    pub(super) lease: NodeLease,
    pub(super) held: HeldRuns,
    pub(super) themes: ThemeRuntimes,
    pub(super) said: Said,
}

impl Unknown {
    /// Compares whenever a comparison is requested, for ever.
    pub(super) async fn give_back_always(self) {
        loop {
            self.held.comparison_requested().await;
            // Once the lease has expired, other nodes may take the tasks over.
            if self.lease.has_expired() {
                continue;
            }
            match self.give_back().await {
                Ok(()) => self.said.succeeded(DatabaseWork::CompareRuns),
                Err(error) => self.said.failed(DatabaseWork::CompareRuns, &error),
            }
            actix_rt::time::sleep(PAUSE).await;
        }
    }

    async fn give_back(&self) -> Result<(), StoreError> {
        self.store.tasks().make_missing_claims().await?;
        let (mut last, mut locked, mut count) = (i64::MIN, Locked::new(About::LockedUnknown), 0);
        loop {
            let claims = self.store.tasks().claims_of(&self.node, last).await?;
            let Some(claim) = claims.last() else {
                locked.say(&self.said, "tasks of this node that no run here holds");
                self.say(count);
                return Ok(());
            };
            last = claim.id;
            let running = self.store.tasks().running(&claims).await?;
            let (known, unknown): (Vec<_>, Vec<_>) =
                running.into_iter().partition(|row| self.held.knows(&row.task.log_id));
            let mut others: BTreeSet<i64> = unknown.iter().map(|row| row.task.id).collect();
            let unknown = locked
                .pass_over(&self.store, Rows::Tasks, unknown, |row| row.task.id)
                .await?;
            for row in &unknown {
                others.remove(&row.task.id);
            }
            others.extend(known.iter().map(|row| row.task.id));
            if !unknown.is_empty() {
                count += self.give_back_these(unknown).await?;
            }
            // A claim without an answer may still get runs, and the look for requests removes a claim whose runs have all ended.
            let has_expired = |claim: &HeldClaim| !self.held.knows(&claim.mark) && !self.held.knows_claim(claim.id);
            let over: Vec<HeldClaim> = claims.into_iter().filter(has_expired).collect();
            rescue::drop_settled(&self.store, &over, &others).await?;
        }
    }

    /// Gives these tasks back; answers how many there were.
    async fn give_back_these(&self, unknown: Vec<Orphan>) -> Result<usize, StoreError> {
        let themes: Vec<String> = unknown.iter().map(|row| row.theme.clone()).collect();
        let finishes: Vec<_> = unknown.iter().map(|row| self.given_back(row)).collect();
        let finished = rescue::write(&self.store, finishes, CAUSE, &self.said).await?;
        let mut given_back: BTreeMap<String, usize> = BTreeMap::new();
        for (theme, end) in themes.into_iter().zip(finished) {
            if end != Finished::Stale {
                *given_back.entry(theme).or_default() += 1;
            }
        }
        for (theme, count) in &given_back {
            self.themes.get(theme).iter().for_each(ThemeRuntime::wake);
            self.store.cluster().announce_tasks(theme, *count);
        }
        Ok(given_back.values().sum())
    }

    fn say(&self, count: usize) {
        let node = &self.node;
        if count == 0 {
            let what = format!("node {node}: every task that is Running under it has a run again");
            self.said.over(&About::GivenBack, &what);
            return;
        }
        let what = format!("node {node}: {count} tasks were Running under it without a run here, and are given back");
        let why = "the answer to their claim was lost, or the database was set back";
        self.said.warn(About::GivenBack, &what, &why);
    }

    fn given_back(&self, orphan: &Orphan) -> Finish {
        let policy = self.themes.rules(&orphan.theme).retry;
        let outcome = rescue::unknown_run(orphan, || CAUSE.to_owned());
        Finish::without_run(&orphan.task, outcome, policy, self.store.clock().now())
    }
}
