//! Looking after remote workers: programs that take tasks through the HTTP API, and services that have parked a run. They are no nodes, and
//! no heartbeat keeps their tasks; each claim has a lease of its own, which the worker renews.
//!
//! Any node may look, and all do: a lease that is over is closed, so that no token of it names a run any more; then its runs are ended, by the same
//! fenced write as any other end; then its row goes. A node that dies in between leaves a closed lease to the next look.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    mem::take,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    locked::Locked,
    rescue,
    said::{About, Said},
};
use crate::{
    asynctask::ThemeRuntimes,
    domain::{Failure, Outcome, TaskStatus},
    events::{Event, TaskOutcome},
    run::{ended, run_info},
    store::{Finish, Finished, HeldClaim, Orphan, RemoteClaim, Rows, SeenNode, Store, StoreError, is_remote},
};

/// How long the run of a remote worker may go on after a caller has asked to cancel its task. Then the task is cancelled, whatever the worker
/// does.
const CANCEL_GRACE: Duration = Duration::from_secs(15);

/// A claim without a lease is handed back after so long: the process that made it notes the lease within moments, if it lives.
pub(crate) const UNLEASED: Duration = Duration::from_secs(15);

/// How many ends one transaction writes.
const BATCH: usize = 500;

/// The claims of remote workers whose last run may have ended. Clones share the list.
#[derive(Debug, Clone, Default)]
pub(crate) struct SettledClaims(Arc<Mutex<BTreeSet<i64>>>);

impl SettledClaims {
    pub(crate) fn note(&self, claims: impl IntoIterator<Item = i64>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(claims);
    }

    fn take(&self) -> Vec<i64> {
        let claims = take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        claims.into_iter().collect()
    }
}

/// The leases of remote workers, as this node has seen them.
///
/// A lease is over if its time is over by the clock, and its worker has given no sign of life while this node has watched it for half of that
/// time. The second condition keeps a clock that jumps from ending the runs of workers that live.
#[derive(Debug, Default)]
pub(super) struct RemoteWatch {
    leases: HashMap<String, Seen>,
    /// Since when a caller has asked to cancel these tasks.
    cancelled: HashMap<i64, Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    beat: i64,
    since: Instant,
}

impl RemoteWatch {
    /// The claims whose leases are over.
    fn silent(&mut self, claims: &[RemoteClaim], now: DateTime<Utc>, instant: Instant) -> Vec<RemoteClaim> {
        let known: BTreeSet<&str> = claims.iter().map(|claim| claim.mark.as_str()).collect();
        self.leases.retain(|mark, _| known.contains(mark.as_str()));
        let silent = claims.iter().filter(|claim| self.is_silent(claim, now, instant));
        silent.cloned().collect()
    }

    fn is_silent(&mut self, claim: &RemoteClaim, now: DateTime<Utc>, instant: Instant) -> bool {
        if claim.is_closed() {
            return true;
        }
        let new = Seen {
            beat: claim.beat,
            since: instant,
        };
        let seen = self.leases.entry(claim.mark.clone()).or_insert(new);
        if seen.beat != claim.beat {
            *seen = new;
        }
        // An end beyond the length of the lease was noted before the clock was set back.
        let latest = now.checked_add_signed(TimeDelta::from_std(claim.lease).unwrap_or(TimeDelta::MAX));
        let is_over = claim.expires_at <= now || latest.is_some_and(|latest| claim.expires_at > latest);
        is_over && instant.saturating_duration_since(seen.since) >= claim.lease / 2
    }

    /// Those of these tasks which a caller asked to cancel so long ago that their workers have had time to stop.
    fn cancelled(&mut self, asked: &[i64], instant: Instant) -> Vec<i64> {
        let known: BTreeSet<i64> = asked.iter().copied().collect();
        self.cancelled.retain(|id, _| known.contains(id));
        let is_due = |id: &&i64| {
            let since = *self.cancelled.entry(**id).or_insert(instant);
            instant.saturating_duration_since(since) >= CANCEL_GRACE
        };
        asked.iter().filter(is_due).copied().collect()
    }
}

/// One look after remote workers.
pub(super) struct Look<'a> {
    pub(super) store: &'a Store,
    pub(super) themes: &'a ThemeRuntimes,
    pub(super) said: &'a Said,
}

/// How many runs a look has ended as lost, or handed back, by theme.
type Rescued = BTreeMap<String, u64>;

impl Look<'_> {
    /// Ends what is over. `any_runs`: whether any task runs, on whichever node. Answers how many tasks of each theme have gone back to the queue or failed because their workers are silent.
    pub(super) async fn look(
        &self,
        watch: &mut RemoteWatch,
        settled: &SettledClaims,
        nodes: &[SeenNode],
        any_runs: bool,
    ) -> Result<Rescued, StoreError> {
        self.drop_settled(settled).await?;
        // Without a claim there is none of a remote worker.
        if !any_runs && !nodes.iter().any(|node| is_remote(&node.id)) {
            return Ok(Rescued::new());
        }
        let claims = self.store.tasks().remote_claims().await?;
        let mut rescued = Rescued::new();
        if !claims.is_empty() {
            let now = self.store.clock().now();
            self.end_silent(watch.silent(&claims, now, Instant::now()), &mut rescued)
                .await?;
            self.end_overdue(now).await?;
            self.end_cancelled(watch).await?;
        }
        self.retire_workers(nodes, &claims).await?;
        self.hand_back_unleased(&mut rescued).await?;
        Ok(rescued)
    }

    async fn drop_settled(&self, settled: &SettledClaims) -> Result<(), StoreError> {
        let claims = settled.take();
        let dropped = self.store.tasks().drop_settled_remote(&claims).await;
        if dropped.is_err() {
            settled.note(claims);
        }
        dropped
    }

    /// Ends the runs of claims whose leases are over, as lost attempts. A node that dies on the way leaves closed claims to the next look.
    async fn end_silent(&self, silent: Vec<RemoteClaim>, rescued: &mut Rescued) -> Result<(), StoreError> {
        let mut over = BTreeMap::new();
        for claim in silent {
            if self.store.tasks().close_remote(&claim).await? {
                over.insert(claim.claim_id, claim);
            }
        }
        let ids: Vec<i64> = over.keys().copied().collect();
        let lost = |orphan: &Orphan| {
            let task = &orphan.task;
            let lease = over.get(&task.token).map(|claim| claim.lease).unwrap_or_default();
            let worker = &task.owner;
            rescue::lost_attempt(orphan, || {
                format!("its worker {worker} was silent for longer than its lease of {lease:?}")
            })
        };
        self.end_claims(&ids, |_| true, lost, Some(rescued)).await
    }

    /// Ends runs that are out of time.
    async fn end_overdue(&self, now: DateTime<Utc>) -> Result<(), StoreError> {
        for claim in self.store.tasks().overdue_remote(now).await? {
            let held = self.store.tasks().claims_with(&[claim.claim_id]).await?;
            // The deadline of a parked run may be that of its theme, which its row does not have.
            let is_of_one = held.iter().all(HeldClaim::is_of_one);
            let end_of = |orphan: &Orphan| {
                if is_of_one {
                    claim.deadline
                } else {
                    orphan.task.deadline()
                }
            };
            let is_overdue = |orphan: &Orphan| end_of(orphan).is_some_and(|end| end <= now);
            let timed_out = |orphan: &Orphan| {
                let limit = end_of(orphan).map(|end| end - orphan.task.claimed_at);
                let limit = limit.and_then(|limit| limit.to_std().ok()).unwrap_or_default();
                Outcome::Failed {
                    error: format!("timed out after {limit:?}"),
                    failure: Failure::TimedOut,
                }
            };
            self.end_claims(&[claim.claim_id], is_overdue, timed_out, None).await?;
            // Runs that were passed over are overdue at the next look, too.
            let left = self.store.tasks().running(&held).await?;
            let next = left.iter().filter_map(end_of).min();
            self.store.tasks().set_remote_deadline(&claim.mark, next).await?;
        }
        Ok(())
    }

    /// Cancels tasks whose workers have not obeyed.
    async fn end_cancelled(&self, watch: &mut RemoteWatch) -> Result<(), StoreError> {
        let asked = self.store.tasks().remote_cancel_requests().await?;
        let due: BTreeSet<i64> = watch.cancelled(&asked, Instant::now()).into_iter().collect();
        if due.is_empty() {
            return Ok(());
        }
        let ids: Vec<i64> = due.iter().copied().collect();
        let tokens = self.store.tasks().lease_tokens(&ids).await?;
        let claims: BTreeSet<i64> = tokens.into_values().collect();
        let claims: Vec<i64> = claims.into_iter().collect();
        let is_due = |orphan: &Orphan| due.contains(&orphan.task.id);
        self.end_claims(&claims, is_due, |_| Outcome::Cancelled, None).await
    }

    /// Hands back what was claimed by a process that ended before it could tell the worker.
    async fn hand_back_unleased(&self, rescued: &mut Rescued) -> Result<(), StoreError> {
        let before = self.store.clock().now() - UNLEASED;
        let claims = self.store.tasks().unleased_claims(before).await?;
        let ids: Vec<i64> = claims.iter().map(|claim| claim.id).collect();
        let back =
            |orphan: &Orphan| rescue::unknown_run(orphan, || format!("its worker {} was lost", orphan.task.owner));
        self.end_claims(&ids, |_| true, back, Some(rescued)).await
    }

    /// Removes the rows of workers that have gone without a word and hold nothing. Otherwise each of them would be told of as a dead node.
    async fn retire_workers(&self, nodes: &[SeenNode], claims: &[RemoteClaim]) -> Result<(), StoreError> {
        let now = self.store.clock().now();
        for node in nodes.iter().filter(|node| is_remote(&node.id)) {
            let silent = node.heartbeat.and_then(|beaten| (now - beaten).to_std().ok());
            let holds = claims.iter().any(|claim| claim.worker == node.id);
            if !holds && silent.is_some_and(|silent| silent > node.lease * 2 / 3) {
                self.store.cluster().remove_node(&node.id, node.beat).await?;
            }
        }
        Ok(())
    }

    /// Ends the runs of these claims that meet the condition, and removes the claims that hold no other.
    async fn end_claims(
        &self,
        ids: &[i64],
        condition: impl Fn(&Orphan) -> bool,
        outcome: impl Fn(&Orphan) -> Outcome,
        mut rescued: Option<&mut Rescued>,
    ) -> Result<(), StoreError> {
        if ids.is_empty() {
            return Ok(());
        }
        let claims: Vec<HeldClaim> = self.store.tasks().claims_with(ids).await?;
        let mut runs = self.store.tasks().running(&claims).await?;
        runs.retain(|orphan| ids.contains(&orphan.task.token) && condition(orphan));
        let mut locked = Locked::new(About::LockedRemote);
        let runs = locked
            .pass_over(self.store, Rows::Tasks, runs, |orphan| orphan.task.id)
            .await?;
        locked.say(self.said, "running tasks of remote workers");
        for runs in runs.chunks(BATCH) {
            self.end(runs, &outcome, rescued.as_deref_mut()).await?;
        }
        self.store.tasks().drop_settled_remote(ids).await
    }

    async fn end(
        &self,
        runs: &[Orphan],
        outcome: impl Fn(&Orphan) -> Outcome,
        mut rescued: Option<&mut Rescued>,
    ) -> Result<(), StoreError> {
        let now = self.store.clock().now();
        let (mut kinds, mut finishes) = (Vec::new(), Vec::new());
        for orphan in runs {
            let outcome = outcome(orphan);
            kinds.push(TaskOutcome::of(&outcome));
            finishes.push(Finish::without_run(
                &orphan.task,
                outcome,
                self.themes.rules(&orphan.theme).retry,
                now,
            ));
        }
        let finished = rescue::write(
            self.store,
            finishes.clone(),
            "its remote worker did not end it",
            self.said,
        )
        .await?;
        let written = runs.iter().zip(kinds).zip(finishes.iter().zip(finished));
        for ((orphan, kind), (finish, finished)) in written.filter(|(_, (_, finished))| *finished != Finished::Stale) {
            let task = &orphan.task;
            let info = Arc::new(run_info(&orphan.theme.as_str().into(), task));
            let waited = (task.claimed_at - task.due_at).to_std().ok();
            self.said
                .events
                .tell(&Event::TaskEnded(ended(info, waited, kind, finish, finished)));
            if let Some(rescued) = rescued.as_deref_mut() {
                *rescued.entry(orphan.theme.clone()).or_default() += 1;
            }
            if let (Finished::Written(status), Some(theme)) = (finished, self.themes.get(&orphan.theme)) {
                match status {
                    TaskStatus::Wait | TaskStatus::Retry => theme.wake(),
                    _ => theme.ended_by_caller(task.id),
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(beat: i64, expires_at: DateTime<Utc>) -> RemoteClaim {
        RemoteClaim {
            mark: "m".to_owned(),
            claim_id: 1,
            worker: "remote:w".to_owned(),
            theme: "t".to_owned(),
            secret: String::new(),
            lease: Duration::from_secs(30),
            expires_at,
            deadline: None,
            beat,
        }
    }

    fn seconds(seconds: i64) -> TimeDelta {
        TimeDelta::seconds(seconds)
    }

    #[test]
    fn a_lease_is_over_when_its_time_is_over_and_its_worker_was_watched_in_silence() {
        let (now, start) = (Utc::now(), Instant::now());
        let mut watch = RemoteWatch::default();
        let lease = [claim(1, now + seconds(30))];
        assert!(watch.silent(&lease, now, start).is_empty());
        let later = |after: u64| start + Duration::from_secs(after);
        assert!(watch.silent(&lease, now + seconds(29), later(29)).is_empty());
        assert_eq!(watch.silent(&lease, now + seconds(31), later(31)).len(), 1);
        let renewed = [claim(2, now + seconds(61))];
        assert!(watch.silent(&renewed, now + seconds(62), later(62)).is_empty());
    }

    #[test]
    fn a_clock_that_jumps_either_way_ends_no_lease_that_is_renewed() {
        for jump in [seconds(3_600), seconds(-3_600)] {
            let (now, start) = (Utc::now(), Instant::now());
            let mut watch = RemoteWatch::default();
            let lease = [claim(1, now + seconds(30))];
            assert!(watch.silent(&lease, now, start).is_empty());
            let later = start + Duration::from_secs(10);
            assert!(watch.silent(&lease, now + jump, later).is_empty());
            let renewed = [claim(2, now + jump + seconds(40))];
            let later = start + Duration::from_secs(20);
            assert!(watch.silent(&renewed, now + jump + seconds(10), later).is_empty());
        }
    }

    #[test]
    fn the_lease_of_a_dead_worker_is_over_although_the_clock_was_set_back() {
        let (now, start) = (Utc::now(), Instant::now());
        let mut watch = RemoteWatch::default();
        let lease = [claim(1, now + seconds(30))];
        let back = now - seconds(3_600);
        assert!(watch.silent(&lease, back, start).is_empty());
        let later = start + Duration::from_secs(15);
        assert_eq!(watch.silent(&lease, back, later).len(), 1);
    }

    #[test]
    fn a_cancelled_run_has_time_to_stop() {
        let start = Instant::now();
        let mut watch = RemoteWatch::default();
        assert!(watch.cancelled(&[1], start).is_empty());
        let later = start + CANCEL_GRACE;
        assert_eq!(watch.cancelled(&[1, 2], later), [1]);
        assert!(watch.cancelled(&[], later).is_empty());
        assert!(watch.cancelled(&[1], later).is_empty());
    }
}
