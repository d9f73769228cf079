//! The limits of methods, as this process knows them, and the slots that it has of them.
//!
//! A task of a limited method needs a *permit* before it is claimed. A permit is a slot of the method (its limit says how many there are in the
//! cluster) and, if the method has a pace, the leave to start. The process has a number of permits from the database; its scanners take
//! permits for a claim, and a run keeps its permit until it has ended. A scanner that had to leave due tasks notes how many, and the
//! [`LimitActor`] asks the database for further permits, and gives back unused ones.

mod actor;
mod claim;
mod limited;
mod permits;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
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
    limited::{Left, Limited},
    permits::Permits,
};
use crate::{
    registry::MethodName,
    store::{Held, Settle, Settled, StoredLimit},
};

/// Cloneable handle on the limits and permits of this process.
#[derive(Debug, Clone)]
pub(crate) struct Limits(Arc<Inner>);

#[derive(Debug)]
struct Inner {
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
            methods: Mutex::default(),
            any: AtomicBool::new(false),
            generations: AtomicU64::new(0),
            followed: AtomicU64::new(0),
            work: Notify::new(),
            is_to_read: AtomicBool::new(false),
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

    /// Knows these limits, and no others, from now on.
    pub(crate) fn follow(&self, limits: Vec<StoredLimit>) {
        let mut methods = self.0.methods();
        self.0.followed.fetch_add(1, Ordering::Relaxed);
        let mut before = std::mem::take(&mut *methods);
        for StoredLimit { service, method, limit } in limits {
            let name = MethodName { service, method };
            let limited = match before.remove(&name) {
                Some(mut limited) => {
                    limited.change(limit);
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
        self.0.work.notify_one();
    }

    /// Moves the slots of tasks to the claim of a remote worker that has these tasks now. All slots of one claim move together.
    #[cfg(feature = "web")]
    pub(crate) fn hand_over(&self, permits: Vec<Permit>, mark: &str) {
        let mut moving: HashMap<(Arc<MethodName>, u64), usize> = HashMap::new();
        for permit in permits {
            *moving.entry(permit.into_parts()).or_default() += 1;
        }
        let mut methods = self.0.methods();
        for ((name, generation), slots) in moving {
            let limited = methods
                .get_mut(&*name)
                .filter(|limited| limited.generation == generation);
            if let Some(limited) = limited {
                limited.used = limited.used.saturating_sub(slots);
                limited.moving.push((mark.to_owned(), slots));
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
    fn take(&self, waiter: &str, name: &MethodName, most: usize) -> Option<(Arc<MethodName>, Permits)> {
        let mut methods = self.0.methods();
        let (name, _) = methods.get_key_value(name)?;
        let name = Arc::clone(name);
        let limited = methods.get_mut(&name)?;
        let taken = limited.take(waiter, most);
        let permits = Permits::new(Arc::clone(&self.0), Arc::clone(&name), limited.generation, taken);
        Some((name, permits))
    }

    /// Notes how many due tasks of a method a claim had to leave, for lack of permits.
    fn note_left(&self, waiter: &Waiter, name: &MethodName, tasks: usize) {
        let mut methods = self.0.methods();
        let Some(limited) = methods.get_mut(name) else { return };
        if tasks == 0 {
            limited.left.remove(&*waiter.name);
        } else {
            limited.left.insert(Arc::clone(&waiter.name), Left::new(waiter, tasks));
            if limited.free > 0 {
                // They came during the claim.
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
        limited.put_back(permits.left, permits.taken);
        if permits.left > 0 {
            limited.tell_but(waiter);
        }
        drop(methods);
        self.0.work.notify_one();
    }
}

fn name(service: &str, method: &str) -> MethodName {
    MethodName {
        service: service.to_owned(),
        method: method.to_owned(),
    }
}

impl Inner {
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

    /// The questions that are to be asked now, at most so many: first those that wait longest.
    fn questions(&self, holder: &str, time: Time, most: usize) -> Questions {
        let (mut questions, mut due) = (Questions::default(), Vec::new());
        let mut methods = self.methods();
        for (name, limited) in &mut *methods {
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
        due.sort_unstable_by_key(|(at, _)| *at);
        for (_, name) in due.into_iter().take(most) {
            if let Some(limited) = methods.get_mut(&name) {
                let (generation, settle) = (limited.generation, limited.ask(&name, holder, time.now));
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
