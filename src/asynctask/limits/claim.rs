//! The permits of one claim.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tokio::sync::Notify;

use super::{Limits, Permit, Permits, keys::KeyPermit, name};
use crate::{
    registry::MethodName,
    store::{Claim, Claimed, ClaimedTask, KeyTask, Store, StoreError, Wanted},
};

/// A scanner or a remote worker that claims tasks, and may have to wait for permits.
#[derive(Debug, Clone)]
pub(crate) struct Waiter {
    /// No other in this process has the name.
    pub(crate) name: Arc<str>,
    /// Rings when permits come for which it waits.
    pub(crate) bell: Arc<Notify>,
    /// For how long it waits if it does not ask again; `None`: until it says that it waits no more.
    pub(crate) patience: Option<Duration>,
}

/// Permits for the limited methods of a claim. Those that are left when this is dropped are free again.
pub(crate) struct ClaimPermits {
    limits: Limits,
    waiter: Waiter,
    permits: HashMap<Arc<MethodName>, OfMethod>,
    /// The leaves of tasks with keys.
    keys: HashMap<i64, KeyPermit>,
    /// Tasks that have no leave of their key, and could not be set aside.
    refused: HashSet<i64>,
}

struct OfMethod {
    /// The place of the method in the claim.
    at: usize,
    /// How many further tasks there would have been room for.
    more: usize,
    permits: Permits,
}

/// Whether a claimed task may run.
pub(crate) enum Leave {
    /// Its method has no limit.
    Unlimited,
    Permit(Permit),
    /// The claim has taken it by its id, or its method has had a limit only since.
    Refused,
}

impl Limits {
    /// Takes permits for a claim that names its methods, and has the claim take no more tasks of each method than there are permits for.
    pub(crate) fn take_for(&self, claim: &mut Claim, waiter: &Waiter) -> ClaimPermits {
        let mut taken = ClaimPermits {
            limits: self.clone(),
            waiter: waiter.clone(),
            permits: HashMap::new(),
            keys: HashMap::new(),
            refused: HashSet::new(),
        };
        let methods = claim.methods.as_ref().filter(|_| self.any());
        let Some(methods) = methods else { return taken };
        let mut beyond = 0;
        let limited = |(at, wanted): (usize, &Wanted)| {
            let room = wanted.most.min(claim.limit);
            let permits = self.take(&waiter.name, &name(&wanted.service, &wanted.method), room);
            let Some((name, permits, digs)) = permits else {
                return wanted.clone();
            };
            let (left, more) = (permits.left, room - permits.left);
            taken.permits.insert(name, OfMethod { at, more, permits });
            beyond += digs;
            Wanted {
                most: wanted.most.saturating_add(digs),
                at_most: Some(left.saturating_add(digs)),
                ..wanted.clone()
            }
        };
        let methods = methods.iter().enumerate().map(limited).collect();
        claim.methods = Some(methods);
        claim.limit = claim.limit.saturating_add(beyond);
        taken
    }
}

/// Permits that the claim has not needed are for others: its own scanner has just looked.
impl Drop for ClaimPermits {
    fn drop(&mut self) {
        for of_method in self.permits.values() {
            self.limits.put_back(&self.waiter.name, &of_method.permits);
        }
    }
}

impl ClaimPermits {
    /// Notes how many due tasks the claim has left for lack of permits, as far as there would have been room for them. Answers whether it has
    /// left any.
    pub(crate) fn note_left(&self, claimed: &Claimed) -> bool {
        let mut has_left = false;
        for (name, of_method) in &self.permits {
            let left = claimed.left.iter().find(|(method, _)| *method == of_method.at);
            let left = left.map_or(0, |(_, tasks)| *tasks).min(of_method.more);
            has_left |= left > 0;
            self.limits.note_left(&self.waiter, name, left);
        }
        has_left
    }

    /// Takes those tasks out whose methods have limits of keys.
    pub(crate) fn split_off_keys(&self, tasks: &mut Vec<ClaimedTask>) -> Vec<ClaimedTask> {
        if !self.permits.values().any(|of_method| of_method.permits.has_keys) {
            return Vec::new();
        }
        let (keyed, others) = std::mem::take(tasks)
            .into_iter()
            .partition(|task| self.limits.is_of_keys(&name(&task.service, &task.method)));
        *tasks = others;
        keyed
    }

    /// Settles which of the claimed tasks may run by their keys, and leaves out those that wait for theirs from now on.
    pub(crate) async fn settle_keys(&mut self, store: &Store, tasks: &mut Vec<ClaimedTask>) {
        if !self.limits.any() {
            return;
        }
        let mut methods: HashMap<MethodName, Vec<i64>> = HashMap::new();
        for task in &*tasks {
            let name = name(&task.service, &task.method);
            if self.limits.is_of_keys(&name) {
                methods.entry(name).or_default().push(task.id);
            }
        }
        for (name, ids) in methods {
            if let Err(error) = self.settle_keys_of(store, &name, &ids, tasks).await {
                say!(Debug, "cannot settle the keys of {name}, its tasks go back: {error}");
                self.refused.extend(ids);
            }
        }
    }

    async fn settle_keys_of(
        &mut self,
        store: &Store,
        name: &MethodName,
        ids: &[i64],
        tasks: &mut Vec<ClaimedTask>,
    ) -> Result<(), StoreError> {
        let mut keys: HashMap<i64, String> = store.cluster().keys_of(ids).await?.into_iter().collect();
        let (mut claim, mut keyed) = (None, Vec::with_capacity(keys.len()));
        for task in &*tasks {
            if let Some(key) = keys.remove(&task.id) {
                claim = claim.or_else(|| task.claim());
                let (id, priority) = (task.id, task.priority);
                keyed.push(KeyTask { id, key, priority });
            }
        }
        if keyed.is_empty() {
            return Ok(());
        }
        let all: Vec<i64> = keyed.iter().map(|task| task.id).collect();
        let most = self.permits.get(name).map_or(0, |of_method| of_method.permits.left);
        let settled = self.limits.settle_keys(store, name, claim, (keyed, most)).await?;
        if !settled.is_over {
            let waits = |id: &&i64| !settled.granted.contains_key(id) && !settled.aside.contains(id);
            self.refused.extend(all.iter().filter(waits));
        }
        tasks.retain(|task| !settled.aside.contains(&task.id));
        self.keys.extend(settled.granted);
        Ok(())
    }

    /// The leave to run for a task of the claim.
    pub(crate) fn leave(&mut self, task: &ClaimedTask) -> Leave {
        if !self.limits.any() {
            return Leave::Unlimited;
        }
        if self.refused.contains(&task.id) {
            return Leave::Refused;
        }
        let name = name(&task.service, &task.method);
        let of_method = self.permits.get_mut(&name);
        let key = self.keys.remove(&task.id);
        match of_method.and_then(|of_method| of_method.permits.take_one(key)) {
            Some(permit) => Leave::Permit(permit),
            None if self.limits.is_limited(&task.service, &task.method) => {
                self.limits.note_left(&self.waiter, &name, 1);
                Leave::Refused
            }
            None => Leave::Unlimited,
        }
    }
}
