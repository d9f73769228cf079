//! The limits of methods, as this process knows them, and the slots that it has of them.
//!
//! A task of a limited method needs a *permit* before it is claimed. A permit is a slot of the method (its limit says how many there are in the
//! cluster) and, if the method has a pace, the leave to start. The process has a number of permits from the database; its scanners take
//! permits for a claim, and a run keeps its permit until it has ended. A scanner that had to leave due tasks notes how many, and the
//! [`LimitActor`] asks the database for further permits, and gives back unused ones.

mod actor;
mod claim;
mod keys;
mod limited;
mod permits;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::Notify;

pub(crate) use self::{
    actor::LimitActor,
    claim::{ClaimPermits, Leave, Waiter},
    permits::Permit,
};
use self::{
    keys::KeyPermit,
    limited::{Left, Limited},
    permits::Permits,
};
use crate::{
    registry::MethodName,
    store::{Held, KeyOfMethod, KeyTask, Settle, SettleKeys, Settled, SettledKeys, Store, StoreError, StoredLimit},
};

/// The pause after a question without an answer.
const RETRY: Duration = Duration::from_secs(1);

/// Cloneable handle on the limits and permits of this process.
#[derive(Debug, Clone)]
pub(crate) struct Limits(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// The id of this node.
    node: OnceLock<Arc<str>>,
    methods: Mutex<HashMap<Arc<MethodName>, Limited>>,
    /// Whether any method has a limit.
    any: AtomicBool,
    generations: AtomicU64,
    /// How often limits were followed: what was read before counts no more.
    followed: AtomicU64,
    /// The actor has something to do.
    work: Notify,
    /// The table of limits may have changed.
    is_to_read: AtomicBool,
    /// A limit of keys has changed: all keys for which tasks wait are to be looked at.
    looks_at_all_keys: AtomicBool,
    /// A claim has been settled, and another may take tasks with keys.
    keys_are_settled: Notify,
    /// How many tasks of each theme were released, of which scanners are to hear.
    released: Mutex<BTreeMap<String, usize>>,
}

/// A question for the database about a method.
#[derive(Debug)]
struct Question {
    name: Arc<MethodName>,
    generation: u64,
    settle: Settle,
}

/// The questions for now, and when to look again at the latest: at an instant, or when the clock has this reading.
#[derive(Debug, Default)]
struct Questions {
    now: Vec<Question>,
    /// The methods of whose keys is to be asked.
    of_keys: Vec<Arc<MethodName>>,
    wake_at: Option<Instant>,
    wake_at_reading: Option<Duration>,
}

/// The time of the database's clock in microseconds since 1970, and the reading of that clock.
#[derive(Debug, Clone, Copy)]
struct Time {
    now: i64,
    reading: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self(Arc::new(Inner {
            node: OnceLock::new(),
            methods: Mutex::default(),
            any: AtomicBool::new(false),
            generations: AtomicU64::new(0),
            followed: AtomicU64::new(0),
            work: Notify::new(),
            is_to_read: AtomicBool::new(false),
            looks_at_all_keys: AtomicBool::new(false),
            keys_are_settled: Notify::new(),
            released: Mutex::default(),
        }))
    }
}

impl Limits {
    /// Whether any method has a limit.
    pub(crate) fn any(&self) -> bool {
        self.0.any.load(Ordering::Relaxed)
    }

    pub(crate) fn is_limited(&self, service: &str, method: &str) -> bool {
        self.any() && self.0.methods().contains_key(&name(service, method))
    }

    /// Has the actor read the table of limits.
    pub(crate) fn request_read(&self) {
        self.0.is_to_read.store(true, Ordering::Relaxed);
        self.0.work.notify_one();
    }

    /// This theme takes no tasks for the time being.
    pub(crate) fn forget_left(&self, theme: &str) {
        for limited in self.0.methods().values_mut() {
            limited.left.remove(theme);
        }
        self.0.work.notify_one();
    }

    /// This node was taken for dead, and others may have its slots by now: it has none (model: slots::DroppedWithRow).
    pub(crate) fn forget_permits(&self) {
        for limited in self.0.methods().values_mut() {
            limited.forget_permits(self.0.generations.fetch_add(1, Ordering::Relaxed));
        }
        self.0.work.notify_one();
    }

    /// Knows these limits, and no others, from now on.
    pub(crate) fn follow(&self, limits: Vec<StoredLimit>) {
        let mut methods = self.0.methods();
        self.0.followed.fetch_add(1, Ordering::Relaxed);
        let mut before = std::mem::take(&mut *methods);
        let mut keys_change = false;
        for StoredLimit { service, method, limit } in limits {
            let name = MethodName { service, method };
            let limited = match before.remove(&name) {
                Some(mut limited) => {
                    let of_keys = limited.limit.is_of_keys();
                    keys_change |= limited.change(limit) && (of_keys || limit.is_of_keys());
                    limited
                }
                None => Limited::new(limit, self.0.generations.fetch_add(1, Ordering::Relaxed)),
            };
            methods.insert(Arc::new(name), limited);
        }
        self.0.any.store(!methods.is_empty(), Ordering::Relaxed);
        drop(methods);
        // Tasks may pass that could not before.
        before.values().for_each(Limited::tell_all);
        if keys_change || before.values().any(|limited| limited.limit.is_of_keys()) {
            self.0.looks_at_all_keys.store(true, Ordering::Relaxed);
            self.request_read();
        }
        self.0.work.notify_one();
    }

    /// Moves the slots of tasks to the claim of a remote worker that has these tasks now. All slots of one claim move together.
    #[cfg(feature = "web")]
    pub(crate) fn hand_over(&self, permits: Vec<Permit>, mark: &str) {
        let mut moving: HashMap<(Arc<MethodName>, u64), usize> = HashMap::new();
        let mut methods = self.0.methods();
        for permit in permits {
            let (name, generation, key) = permit.into_parts();
            let limited = methods
                .get_mut(&*name)
                .filter(|limited| limited.generation == generation);
            if let Some((limited, key)) = limited.zip(key) {
                limited.keys.hand_over(&key, mark);
            }
            *moving.entry((name, generation)).or_default() += 1;
        }
        for ((name, generation), slots) in moving {
            let limited = methods
                .get_mut(&*name)
                .filter(|limited| limited.generation == generation);
            if let Some(limited) = limited {
                limited.used = limited.used.saturating_sub(slots);
                if limited.limit.is_of_method() {
                    limited.moving.push((mark.to_owned(), slots));
                }
            }
        }
        drop(methods);
        self.0.work.notify_one();
    }

    /// Runs of a remote claim have ended. False: the row of the claim has the slots already, and the caller is to take them from there.
    #[cfg(feature = "web")]
    pub(crate) fn end_remote(&self, service: &str, method: &str, mark: &str, runs: usize) -> bool {
        let mut methods = self.0.methods();
        let limited = methods.get_mut(&name(service, method));
        let was_moving = limited.is_some_and(|limited| limited.end_remote(mark, runs));
        drop(methods);
        self.0.work.notify_one();
        was_moving
    }

    /// Takes up to `most` permits of a method for a claim. `None`: it has no limit.
    /// Also answers with how many tasks the claim may take beyond the permits.
    fn take(&self, waiter: &str, name: &MethodName, most: usize) -> Option<(Arc<MethodName>, Permits, usize)> {
        let mut methods = self.0.methods();
        let (name, _) = methods.get_key_value(name)?;
        let name = Arc::clone(name);
        let limited = methods.get_mut(&name)?;
        let taken = limited.take(waiter, most);
        let has_keys = limited.limit.is_of_keys() && taken > 0;
        let permits = Permits {
            limits: Arc::clone(&self.0),
            name: Arc::clone(&name),
            generation: limited.generation,
            counts: limited.limit.is_of_method(),
            has_keys,
            left: taken,
            taken: 0,
        };
        let digs = if has_keys { limited.keys.digs } else { 0 };
        Some((name, permits, digs))
    }

    /// Notes how many due tasks of a method a claim had to leave, for lack of permits.
    fn note_left(&self, waiter: &Waiter, name: &MethodName, tasks: usize) {
        let mut methods = self.0.methods();
        let Some(limited) = methods.get_mut(name) else { return };
        if tasks == 0 {
            limited.left.remove(&*waiter.name);
        } else {
            limited.left.insert(Arc::clone(&waiter.name), Left::new(waiter, tasks));
            if limited.lets_claim() {
                // Permits came during the claim, or the keys of the claim before were settled.
                waiter.bell.notify_one();
            }
        }
        drop(methods);
        self.0.work.notify_one();
    }

    /// Takes back what a claim has not needed: for others, since the waiter that gives them back has just looked.
    fn put_back(&self, waiter: &str, permits: &Permits) {
        let mut methods = self.0.methods();
        let limited = methods.get_mut(&*permits.name);
        let Some(limited) = limited.filter(|limited| limited.generation == permits.generation) else {
            return;
        };
        limited.put_back(permits.left, permits.taken, permits.counts);
        if permits.left > 0 && permits.counts {
            limited.tell_but(waiter);
        }
        if permits.has_keys {
            limited.keys.has_claim = false;
            if limited.lets_claim() {
                limited.tell_all();
            }
            self.0.keys_are_settled.notify_waiters();
        }
        drop(methods);
        self.0.work.notify_one();
    }

    // ---- keys ----

    /// Waits for a moment if tasks of a claim wait for their keys: the next claim would get none of their method.
    pub(crate) async fn keys_settled(&self) {
        if !self.any() {
            return;
        }
        let settled = self.0.keys_are_settled.notified();
        let waits = self.0.methods().values().any(|limited| limited.keys.has_claim);
        if waits {
            // Another session may have locked the limit: tasks of other methods do not wait for that.
            let _ = tokio::time::timeout(keys::PATIENCE, settled).await;
        }
    }

    /// Whether the limit of the method is one of keys, too.
    pub(super) fn is_of_keys(&self, name: &MethodName) -> bool {
        let methods = self.0.methods();
        methods.get(name).is_some_and(|limited| limited.limit.is_of_keys())
    }

    /// Settles which of these tasks of a method may run, all of one claim, and at most so many, and what the database is to know of its keys besides.
    async fn settle_keys(
        &self,
        store: &Store,
        name: &MethodName,
        claim: Option<(i64, String, String)>,
        (tasks, most): (Vec<KeyTask>, usize),
    ) -> Result<KeysSettled, StoreError> {
        let gate = self.0.methods().get(name).map(|limited| Arc::clone(&limited.keys.gate));
        let Some(gate) = gate else {
            return Ok(KeysSettled::default());
        };
        let _closed = gate.lock().await;
        let asked = self.0.methods().get_mut(name).map(|limited| {
            let now = store.clock().now().timestamp_micros();
            let ask = limited.keys.ask(name, self.0.node(), tasks, most, now);
            (limited.generation, SettleKeys { claim, ..ask })
        });
        let Some((generation, asked)) = asked else {
            return Ok(KeysSettled::default());
        };
        let asked = Arc::new(asked);
        let settled = store.cluster().settle_keys(&asked).await;
        self.0.keys_answered(name, generation, &asked, settled)
    }

    /// The keys of a claim could not be settled: no claim takes tasks of the method for a moment.
    fn block_keys(&self, name: &MethodName) {
        if let Some(limited) = self.0.methods().get_mut(name) {
            limited.keys.block();
        }
        self.0.work.notify_one();
    }

    /// Runs of a remote claim have ended, of these tasks. Gives the slots of their keys back.
    #[cfg(feature = "web")]
    pub(crate) async fn end_remote_keys(
        &self,
        store: &Store,
        (service, method): (&str, &str),
        mark: &str,
        ids: &[i64],
    ) -> Result<(), StoreError> {
        let name = name(service, method);
        if !self.is_of_keys(&name) {
            return Ok(());
        }
        let keys = store.cluster().keys_of(ids).await?;
        let gate = self
            .0
            .methods()
            .get(&name)
            .map(|limited| Arc::clone(&limited.keys.gate));
        let Some(gate) = gate else { return Ok(()) };
        let _closed = gate.lock().await;
        let mut in_row = Vec::with_capacity(keys.len());
        if let Some(limited) = self.0.methods().get_mut(&name) {
            let keys = keys.into_iter().map(|(_, key)| key);
            in_row.extend(keys.filter(|key| !limited.keys.end_remote(key, mark)));
        }
        store.cluster().free_remote_keys(mark, service, method, &in_row).await?;
        self.0.work.notify_one();
        Ok(())
    }
}

/// The leaves of claimed tasks.
#[derive(Debug, Default)]
struct KeysSettled {
    granted: HashMap<i64, KeyPermit>,
    /// The tasks that wait for their keys: the claim has them no more.
    aside: HashSet<i64>,
    /// Whether the method has no limit of keys any more: then all tasks may run.
    is_over: bool,
}

fn name(service: &str, method: &str) -> MethodName {
    MethodName {
        service: service.to_owned(),
        method: method.to_owned(),
    }
}

impl Inner {
    fn node(&self) -> &str {
        self.node.get().map_or("", |node| node)
    }

    fn methods(&self) -> MutexGuard<'_, HashMap<Arc<MethodName>, Limited>> {
        self.methods.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A task has ended that had a permit. `has_started`: its leave to start is used up.
    fn ended(&self, name: &MethodName, generation: u64, has_started: bool) {
        let mut methods = self.methods();
        let limited = methods.get_mut(name);
        let Some(limited) = limited.filter(|limited| limited.generation == generation) else {
            return;
        };
        let actor_is_to_know = limited.ended(has_started);
        drop(methods);
        if actor_is_to_know {
            self.work.notify_one();
        }
    }

    /// Compares the rows of this node with its permits, and settles where they differ: the database may have been set back.
    fn compare(&self, rows: &[Held]) {
        let rows: BTreeMap<(&str, &str), &Held> = rows.iter().map(|row| ((&*row.service, &*row.method), row)).collect();
        for (name, limited) in &mut *self.methods() {
            let row = rows.get(&(&*name.service, &*name.method));
            limited.compare(row.map_or(0, |row| row.slots), row.is_some_and(|row| row.wants));
        }
    }

    /// A task has ended that had the leave of its key.
    fn ended_key(&self, name: &MethodName, generation: u64, key: &Arc<str>) {
        let mut methods = self.methods();
        let limited = methods.get_mut(name);
        let Some(limited) = limited.filter(|limited| limited.generation == generation) else {
            return;
        };
        limited.keys.ended(key);
        drop(methods);
        self.work.notify_one();
    }

    fn keys_answered(
        self: &Arc<Self>,
        name: &MethodName,
        generation: u64,
        asked: &SettleKeys,
        settled: Result<SettledKeys, StoreError>,
    ) -> Result<KeysSettled, StoreError> {
        let mut methods = self.methods();
        let limited = methods
            .get_key_value(name)
            .map(|(name, _)| Arc::clone(name))
            .zip(methods.get_mut(name));
        let limited = limited.filter(|(_, limited)| limited.generation == generation);
        let granted = limited.map(|(name, limited)| {
            let was_blocked = limited.keys.is_blocked();
            let keys = limited.keys.answered(asked, settled.as_ref().ok());
            if was_blocked && limited.lets_claim() {
                limited.tell_all();
            }
            (name, keys)
        });
        drop(methods);
        let settled = settled?;
        let is_over = settled.limit.is_none_or(|limit| !limit.is_of_keys());
        if is_over {
            self.looks_at_all_keys.store(true, Ordering::Relaxed);
            self.is_to_read.store(true, Ordering::Relaxed);
        }
        if !settled.released.is_empty() {
            self.note_released(settled.released);
        }
        self.work.notify_one();
        let permit = |name: &Arc<MethodName>, (id, key)| {
            let permit = KeyPermit::new(Arc::clone(self), Arc::clone(name), generation, key);
            (id, permit)
        };
        let granted = granted.map(|(name, keys)| keys.into_iter().map(|key| permit(&name, key)).collect());
        Ok(KeysSettled {
            granted: granted.unwrap_or_default(),
            aside: settled.aside,
            is_over,
        })
    }

    /// Notes that tasks are due that waited for their keys: the actor tells the scanners.
    fn note_released(&self, released: impl IntoIterator<Item = (String, usize)>) {
        let mut noted = self.released.lock().unwrap_or_else(PoisonError::into_inner);
        for (theme, tasks) in released {
            *noted.entry(theme).or_default() += tasks;
        }
    }

    fn take_released(&self) -> BTreeMap<String, usize> {
        std::mem::take(&mut *self.released.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Has the database asked about these keys. Answers with the methods that have no limit of keys.
    fn look_at_keys(&self, keys: &[KeyOfMethod]) -> BTreeSet<(String, String)> {
        let mut methods = self.methods();
        for KeyOfMethod { service, method, key } in keys {
            let limited = methods.get_mut(&name(service, method));
            if let Some(limited) = limited.filter(|limited| limited.limit.is_of_keys()) {
                limited.keys.note_changed(key);
            }
        }
        drop(methods);
        self.methods_without_keys(keys)
    }

    /// The methods of these keys that have no limit of keys.
    fn methods_without_keys<'a>(&self, keys: impl IntoIterator<Item = &'a KeyOfMethod>) -> BTreeSet<(String, String)> {
        let methods = self.methods();
        let of_keys = |key: &&KeyOfMethod| {
            let limited = methods.get(&name(&key.service, &key.method));
            limited.is_some_and(|limited| limited.limit.is_of_keys())
        };
        let over = keys.into_iter().filter(|key| !of_keys(key));
        over.map(|key| (key.service.clone(), key.method.clone())).collect()
    }

    /// Compares the rows of this node with the keys of which it runs tasks.
    fn compare_keys(&self, rows: &[(KeyOfMethod, usize)]) {
        for (name, limited) in &mut *self.methods() {
            let mine = rows
                .iter()
                .filter(|(row, _)| (&row.service, &row.method) == (&name.service, &name.method));
            let mine: HashMap<&str, usize> = mine.map(|(row, slots)| (&*row.key, *slots)).collect();
            let counts = limited.limit.running_per_key.is_some();
            limited.keys.compare(&mine, counts);
        }
    }

    /// The questions that are to be asked now, at most so many: first those that wait longest.
    /// `keys`: how many of them may be about keys.
    fn questions(&self, time: Time, most: usize, keys: usize) -> Questions {
        let (mut questions, mut due, mut of_keys) = (Questions::default(), Vec::new(), Vec::new());
        let mut methods = self.methods();
        for (name, limited) in &mut *methods {
            let (at, reading) = limited.keys.asks_at(time);
            match at {
                Some(at) if at <= Instant::now() => of_keys.push((at, Arc::clone(name))),
                _ => questions.wake_at = [questions.wake_at, at].into_iter().flatten().min(),
            }
            questions.wake_at_reading = [questions.wake_at_reading, reading].into_iter().flatten().min();
            if limited.is_settling {
                continue;
            }
            let (at, reading) = limited.asks_at(time.reading);
            match at {
                Some(at) if at <= Instant::now() => due.push((at, Arc::clone(name))),
                _ => questions.wake_at = [questions.wake_at, at].into_iter().flatten().min(),
            }
            questions.wake_at_reading = [questions.wake_at_reading, reading].into_iter().flatten().min();
        }
        of_keys.sort_unstable_by_key(|(at, _)| *at);
        let of_keys = of_keys.into_iter().take(most.min(keys));
        questions.of_keys = of_keys.map(|(_, name)| name).collect();
        for name in &questions.of_keys {
            if let Some(limited) = methods.get_mut(&**name) {
                limited.keys.is_asking = true;
            }
        }
        due.sort_unstable_by_key(|(at, _)| *at);
        for (_, name) in due.into_iter().take(most - questions.of_keys.len()) {
            if let Some(limited) = methods.get_mut(&name) {
                let (generation, settle) = (limited.generation, limited.ask(&name, self.node(), time.now));
                questions.now.push(Question {
                    name,
                    generation,
                    settle,
                });
            }
        }
        questions
    }

    /// Notes the answer. `None`: the database gave none, and may have given what it was asked for. Answers with the remote claims of which runs have
    /// ended since the question.
    fn answered(&self, question: &Question, answer: Option<Settled>, time: Time) -> Vec<(String, usize)> {
        let mut methods = self.methods();
        let limited = methods.get_mut(&*question.name);
        let Some(limited) = limited.filter(|limited| limited.generation == question.generation) else {
            return Vec::new();
        };
        match answer {
            None => limited.unanswered(&question.settle),
            Some(settled) if settled.limit.is_some() => return limited.answered(&question.settle, settled, time),
            Some(_) => {
                limited.tell_all();
                methods.remove(&*question.name);
                self.any.store(!methods.is_empty(), Ordering::Relaxed);
            }
        }
        Vec::new()
    }
}
