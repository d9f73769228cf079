//! The keys of one limited method, of which this process runs tasks.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Bound,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Mutex;

use super::{Inner, RETRY, Time};
use crate::{
    registry::MethodName,
    store::{KEYS, KeyTask, SettleKeys, SettledKeys},
};

/// The shortest time between two questions about the keys of one method that no claim needs at once.
const PAUSE: Duration = Duration::from_millis(5);

/// How many tasks a claim takes at first to get through a backlog of one key.
const FEW: usize = 32;

/// For how long a scanner waits for the keys of the claim before.
pub(super) const PATIENCE: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(super) struct Keys {
    /// How many tasks of each key this process runs.
    running: HashMap<Arc<str>, usize>,
    /// Keys of which the database does not know the number, or of which tasks may be released.
    changed: BTreeSet<Arc<str>>,
    /// The last of them about which a question was made.
    last_changed: Arc<str>,
    /// The same of the question that is under way.
    asked: BTreeSet<Arc<str>>,
    /// Slots that go over to the claims of remote workers, with the marks of the claims.
    moving: Vec<(Arc<str>, String, usize)>,
    under_way: Vec<(Arc<str>, String, usize)>,
    /// When tasks of a key may start again, if its pace holds them up: microseconds since 1970.
    paced: BTreeMap<Arc<str>, i64>,
    /// Questions come one after the other: each says how many tasks run.
    pub(super) gate: Arc<Mutex<()>>,
    /// How many tasks a claim takes beyond those that may run. Not 0 while most of what claims take is set aside: a backlog of one key lies before
    /// tasks that may run.
    pub(super) digs: usize,
    /// A claim of this process may have tasks whose keys are not settled: no other takes tasks of the method meanwhile.
    pub(super) has_claim: bool,
    /// The actor has a question, or waits for the gate.
    pub(super) is_asking: bool,
    not_before: Instant,
    /// A question had no answer: no claim takes tasks of the method until another has one.
    is_blocked: bool,
}

/// The leave of a task's key. When it is dropped, another task of the key may run.
#[derive(Debug)]
pub(super) struct KeyPermit {
    limits: Arc<Inner>,
    name: Arc<MethodName>,
    generation: u64,
    pub(super) key: Arc<str>,
    /// The claim of a remote worker has the slot.
    is_given: bool,
}

impl KeyPermit {
    pub(super) fn new(limits: Arc<Inner>, name: Arc<MethodName>, generation: u64, key: Arc<str>) -> Self {
        Self {
            limits,
            name,
            generation,
            key,
            is_given: false,
        }
    }

    /// The slot stays taken.
    #[cfg(feature = "web")]
    pub(super) fn into_key(mut self) -> Arc<str> {
        self.is_given = true;
        Arc::clone(&self.key)
    }
}

impl Drop for KeyPermit {
    fn drop(&mut self) {
        if !self.is_given {
            self.limits.ended_key(&self.name, self.generation, &self.key);
        }
    }
}

impl Keys {
    pub(super) fn new() -> Self {
        Self {
            running: HashMap::new(),
            changed: BTreeSet::new(),
            last_changed: "".into(),
            asked: BTreeSet::new(),
            moving: Vec::new(),
            under_way: Vec::new(),
            paced: BTreeMap::new(),
            gate: Arc::default(),
            digs: 0,
            has_claim: false,
            is_asking: false,
            not_before: Instant::now(),
            is_blocked: false,
        }
    }

    /// Whether a claim may take tasks of the method.
    pub(super) fn lets_claim(&self) -> bool {
        !self.has_claim && !self.is_blocked()
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.is_blocked
    }

    pub(super) fn block(&mut self) {
        self.is_blocked = true;
        self.not_before = Instant::now() + RETRY.mul_f64(1.0 + fastrand::f64());
    }

    /// A task of the key has ended.
    pub(super) fn ended(&mut self, key: &Arc<str>) {
        self.remove(key);
        self.changed.insert(Arc::clone(key));
    }

    fn remove(&mut self, key: &Arc<str>) {
        if let Some(running) = self.running.get_mut(key) {
            *running = running.saturating_sub(1);
            if *running == 0 {
                self.running.remove(key);
            }
        }
    }

    /// The database is to be asked about this key.
    pub(super) fn note_changed(&mut self, key: &str) {
        self.changed.insert(key.into());
    }

    /// The slot of a task goes over to the claim of a remote worker.
    #[cfg(feature = "web")]
    pub(super) fn hand_over(&mut self, key: &Arc<str>, mark: &str) {
        self.remove(key);
        let same = |(moving, of, _): &&mut (Arc<str>, String, usize)| moving == key && of == mark;
        match self.moving.iter_mut().find(same) {
            Some((.., slots)) => *slots += 1,
            None => self.moving.push((Arc::clone(key), mark.to_owned(), 1)),
        }
    }

    /// A run of a remote claim has ended, and no question is under way. False: the row of the claim has the slot.
    #[cfg(feature = "web")]
    pub(super) fn end_remote(&mut self, key: &str, mark: &str) -> bool {
        self.moving.append(&mut self.under_way);
        self.changed.insert(key.into());
        let at = self
            .moving
            .iter()
            .position(|(moving, of, _)| &**moving == key && of == mark);
        let Some(at) = at else { return false };
        self.moving[at].2 -= 1;
        if self.moving[at].2 == 0 {
            self.moving.remove(at);
        }
        true
    }

    /// Has the database asked about the keys whose numbers these rows do not say. `counts`: the rows of this limit have numbers.
    pub(super) fn compare(&mut self, rows: &HashMap<&str, usize>, counts: bool) {
        if self.is_asking || !self.asked.is_empty() || !self.moving.is_empty() {
            // The rows may be older than what is known here.
            return;
        }
        let running = |key: &str| self.running.get(key).copied().filter(|_| counts).unwrap_or(0);
        let odd = rows.iter().filter(|(key, slots)| running(key) != **slots);
        let missing = self.running.keys().filter(|key| counts && !rows.contains_key(&***key));
        let changed: Vec<Arc<str>> = odd.map(|(key, _)| (*key).into()).chain(missing.cloned()).collect();
        self.changed.extend(changed);
    }

    /// When the actor is to ask next, and at which reading of the clock a pace lets tasks start.
    pub(super) fn asks_at(&self, time: Time) -> (Option<Instant>, Option<Duration>) {
        if self.is_asking {
            return (None, None);
        }
        let until = |next: &i64| Duration::from_micros(u64::try_from(next - time.now).unwrap_or(0));
        let first = self.paced.values().min().map(until);
        // What a question has asked that was given up.
        let is_left = !self.asked.is_empty() && self.gate.try_lock().is_ok();
        let is_due = !self.changed.is_empty() || !self.moving.is_empty() || self.is_blocked() || is_left;
        let is_due = is_due || first == Some(Duration::ZERO);
        let reading = first.filter(|until| !until.is_zero());
        let reading = reading.map(|until| time.reading.saturating_add(until));
        (is_due.then_some(self.not_before), reading)
    }

    fn next_changed(&self) -> Option<Arc<str>> {
        let behind = (Bound::Excluded(&self.last_changed), Bound::Unbounded);
        let next = self.changed.range::<Arc<str>, _>(behind).next();
        next.or_else(|| self.changed.first()).cloned()
    }

    /// Makes a question about these tasks, and about keys of which the database is to know. The gate is closed.
    pub(super) fn ask(
        &mut self,
        name: &MethodName,
        holder: &str,
        tasks: Vec<KeyTask>,
        most: usize,
        now: i64,
    ) -> SettleKeys {
        // What a question has asked that was given up.
        self.changed.append(&mut self.asked);
        self.moving.append(&mut self.under_way);
        let due = self
            .paced
            .iter()
            .filter(|(_, next)| **next <= now)
            .map(|(key, _)| Arc::clone(key));
        let mut keys: BTreeSet<Arc<str>> = due.take(KEYS).collect();
        keys.extend(tasks.iter().map(|task| Arc::from(&*task.key)));
        keys.extend(self.moving.iter().map(|(key, ..)| Arc::clone(key)));
        // The next question goes on behind the last key of this one.
        while keys.len() < KEYS
            && let Some(key) = self.next_changed()
        {
            self.changed.remove(&key);
            self.last_changed = Arc::clone(&key);
            keys.insert(key);
        }
        for key in &keys {
            self.paced.remove(key);
            self.changed.remove(key);
        }
        self.under_way = std::mem::take(&mut self.moving);
        let running = |key: &Arc<str>| (key.to_string(), self.running.get(key).copied().unwrap_or(0));
        let settle = SettleKeys {
            service: name.service.clone(),
            method: name.method.clone(),
            holder: holder.to_owned(),
            claim: None,
            tasks,
            most,
            keys: keys.iter().map(running).collect(),
            moved: self
                .under_way
                .iter()
                .map(|(key, mark, slots)| (key.to_string(), mark.clone(), *slots))
                .collect(),
            now,
        };
        self.asked = keys;
        settle
    }

    /// Notes the answer, and answers with the keys of the tasks that may run. `None`: the database gave no answer, and may have done what it was
    /// asked for; the next question corrects it.
    pub(super) fn answered(&mut self, asked: &SettleKeys, answer: Option<&SettledKeys>) -> Vec<(i64, Arc<str>)> {
        let Some(settled) = answer else {
            self.changed.append(&mut self.asked);
            self.moving.append(&mut self.under_way);
            self.block();
            return Vec::new();
        };
        self.asked.clear();
        self.under_way.clear();
        if !asked.tasks.is_empty() {
            let is_mostly_aside = settled.aside.len() * 2 >= asked.tasks.len();
            self.digs = if is_mostly_aside {
                (self.digs * 2).clamp(FEW, KEYS)
            } else {
                0
            };
        }
        (self.not_before, self.is_blocked) = (Instant::now() + PAUSE, false);
        self.changed.extend(settled.again.iter().map(|key| Arc::from(&**key)));
        self.paced
            .extend(settled.next.iter().map(|(key, next)| (Arc::from(&**key), *next)));
        let granted = asked.tasks.iter().filter(|task| settled.granted.contains(&task.id));
        let mut keys = Vec::with_capacity(settled.granted.len());
        for task in granted {
            let key: Arc<str> = Arc::from(&*task.key);
            *self.running.entry(Arc::clone(&key)).or_default() += 1;
            keys.push((task.id, key));
        }
        keys
    }
}
