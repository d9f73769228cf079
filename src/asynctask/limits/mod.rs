//! The limits of methods, as this process knows them, and the slots that it has of them.
//!
//! A task of a limited method needs a *permit* before it is claimed. A permit is a slot of the method (its limit says how many there are in the
//! cluster) and, if the method has a pace, the leave to start. The process has a number of permits from the database; its scanners take
//! permits for a claim, and a run keeps its permit until it has ended. A scanner that had to leave due tasks notes how many, and the
//! [`LimitActor`] asks the database for further permits, and gives back those that nobody needs.

mod actor;
mod claim;
mod permits;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::{Notify, watch};

use self::permits::Permits;
pub(crate) use self::{
    actor::LimitActor,
    claim::{ClaimPermits, Leave},
    permits::Permit,
};
use crate::{
    domain::Limit,
    registry::MethodName,
    store::{Settle, Settled, StoredLimit},
};

/// After how long unused permits go back. The scanners of other nodes may wait for them; but the next task of this node may come at any moment.
const IDLE: Duration = Duration::from_millis(200);

/// How often a process asks for slots that others have.
const ASK_AGAIN: Duration = Duration::from_millis(250);

/// The shortest time between two questions about one method. A pace that lets tasks start more often lets several start together.
const SHORTEST: Duration = Duration::from_millis(20);

/// How often a process that uses slots looks whether others wait for them.
const LOOK: Duration = Duration::from_secs(1);

/// For how long a process may go on using more than its part of the slots while others wait.
const TURN: Duration = Duration::from_secs(1);

/// After how long permits go back that a scanner has asked for and not taken: its pool has become full.
const STALE: Duration = Duration::from_secs(1);

/// Cloneable handle on the limits and permits of this process.
#[derive(Debug, Clone)]
pub(crate) struct Limits(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    methods: Mutex<HashMap<Arc<MethodName>, Limited>>,
    /// Whether any method has a limit.
    any: AtomicBool,
    generations: AtomicU64,
    /// The actor has something to do.
    work: Notify,
    /// The table of limits may have changed.
    is_to_read: AtomicBool,
    /// Permits have come for which scanners wait.
    came: watch::Sender<()>,
}

/// A method with a limit.
#[derive(Debug)]
struct Limited {
    limit: Limit,
    /// Permits of an earlier limit of the method count no more.
    generation: u64,
    /// Permits of tasks.
    used: usize,
    /// Permits that a scanner may take.
    free: usize,
    /// Since when some of them have been free.
    free_since: Instant,
    /// Slots that were given up, of which the database does not know yet.
    given_up: usize,
    /// How many due tasks each theme had to leave.
    left: BTreeMap<Arc<str>, usize>,
    /// How many slots this process may use, and how many once its turn is over.
    most: usize,
    part: usize,
    /// Since when it has used more than that.
    turn: Option<Instant>,
    /// Slots that go over to the claims of remote workers, with the marks of the claims.
    moving: Vec<(String, usize)>,
    is_settling: bool,
    settled_at: Instant,
    /// Before that it is of no use to ask for further slots.
    not_before: Instant,
    /// The same by the reading of the clock, if it is the pace that holds tasks up.
    paced_until: Option<Duration>,
}

/// What the database is to be asked about a method.
#[derive(Debug)]
struct Question {
    name: Arc<MethodName>,
    generation: u64,
    settle: Settle,
}

/// What is to be asked now, and when to look again at the latest: at an instant, or when the clock has this reading.
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

/// How many slots there are.
fn slots(limit: Limit) -> usize {
    let running = limit.running.and_then(|running| usize::try_from(running).ok());
    running.unwrap_or(usize::MAX)
}

impl Default for Limits {
    fn default() -> Self {
        Self(Arc::new(Inner {
            methods: Mutex::default(),
            any: AtomicBool::new(false),
            generations: AtomicU64::new(0),
            work: Notify::new(),
            is_to_read: AtomicBool::new(false),
            came: watch::Sender::new(()),
        }))
    }
}

impl Limits {
    /// Whether any method has a limit.
    pub(crate) fn any(&self) -> bool {
        self.0.any.load(Ordering::Relaxed)
    }

    pub(crate) fn is_limited(&self, service: &str, method: &str) -> bool {
        let name = || MethodName {
            service: service.to_owned(),
            method: method.to_owned(),
        };
        self.any() && self.0.methods().contains_key(&name())
    }

    /// Hears when permits come for which scanners wait.
    pub(crate) fn subscribe(&self) -> watch::Receiver<()> {
        self.0.came.subscribe()
    }

    /// Has the actor read the table of limits.
    pub(crate) fn request_read(&self) {
        self.0.is_to_read.store(true, Ordering::Relaxed);
        self.0.work.notify_one();
    }

    /// Takes up to `most` permits of a method. `None`: it has no limit.
    fn take(&self, name: &MethodName, most: usize) -> Option<Permits> {
        if !self.any() {
            return None;
        }
        let mut methods = self.0.methods();
        let (name, _) = methods.get_key_value(name)?;
        let name = Arc::clone(name);
        let limited = methods.get_mut(&name)?;
        let taken = most.min(limited.free);
        limited.free -= taken;
        limited.used += taken;
        limited.free_since = Instant::now();
        Some(Permits::new(Arc::clone(&self.0), name, limited.generation, taken))
    }

    /// Notes how many due tasks of a method a scan had to leave, for lack of permits.
    fn note_left(&self, theme: &Arc<str>, name: &MethodName, tasks: usize) {
        let mut methods = self.0.methods();
        let Some(limited) = methods.get_mut(name) else { return };
        if tasks == 0 {
            limited.left.remove(theme);
            return;
        }
        limited.left.insert(Arc::clone(theme), tasks);
        let has_some = limited.free > 0;
        drop(methods);
        match has_some {
            // They came during the scan.
            true => self.0.came.send_replace(()),
            false => self.0.work.notify_one(),
        }
    }

    /// Takes back what a claim of this theme has not needed.
    fn put_back(&self, theme: &str, permits: &Permits) {
        let mut methods = self.0.methods();
        let limited = methods.get_mut(&*permits.name);
        let limited = limited.filter(|limited| limited.generation == permits.generation);
        let Some(limited) = limited.filter(|_| permits.left > 0) else {
            return;
        };
        limited.used = limited.used.saturating_sub(permits.left);
        limited.free_up(permits.left);
        let is_awaited = limited.left.keys().any(|other| **other != *theme);
        drop(methods);
        self.0.work.notify_one();
        if is_awaited {
            self.0.came.send_replace(());
        }
    }

    /// This theme takes no tasks for the time being.
    pub(crate) fn forget_left(&self, theme: &str) {
        for limited in self.0.methods().values_mut() {
            limited.left.remove(theme);
        }
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

    /// Knows these limits, and no others, from now on.
    pub(crate) fn follow(&self, limits: Vec<StoredLimit>) {
        let mut methods = self.0.methods();
        let mut before = std::mem::take(&mut *methods);
        for StoredLimit { service, method, limit } in limits {
            let name = MethodName { service, method };
            let limited = match before.remove_entry(&name) {
                Some((_, mut limited)) => {
                    if limited.limit != limit {
                        limited.change(limit);
                    }
                    limited
                }
                None => {
                    let generation = self.0.generations.fetch_add(1, Ordering::Relaxed);
                    Limited::new(limit, generation)
                }
            };
            methods.insert(Arc::new(name), limited);
        }
        self.0.any.store(!methods.is_empty(), Ordering::Relaxed);
        drop(methods);
        // Tasks may pass that could not before.
        self.0.came.send_replace(());
        self.0.work.notify_one();
    }
}

impl Inner {
    fn methods(&self) -> MutexGuard<'_, HashMap<Arc<MethodName>, Limited>> {
        self.methods.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A task has ended that had a permit. Its leave to start is used up.
    fn ended(&self, name: &MethodName, generation: u64) {
        let mut methods = self.methods();
        let limited = methods.get_mut(name);
        let Some(limited) = limited.filter(|limited| limited.generation == generation) else {
            return;
        };
        let stays = limited.limit.starts.is_none() && limited.held() <= limited.may_have();
        limited.used = limited.used.saturating_sub(1);
        let actor_is_to_know = match stays {
            // It goes back if nobody takes it for a while.
            true => limited.free_up(1),
            false => {
                limited.given_up += 1;
                true
            }
        };
        let is_awaited = !limited.left.is_empty();
        drop(methods);
        if actor_is_to_know {
            self.work.notify_one();
        }
        if stays && is_awaited {
            self.came.send_replace(());
        }
    }

    /// The questions that are to be asked now.
    fn questions(&self, holder: &str, time: Time) -> Questions {
        let mut questions = Questions::default();
        for (name, limited) in &mut *self.methods() {
            if limited.is_settling {
                continue;
            }
            let (at, reading) = limited.asks_at(time.reading);
            if at.is_some_and(|at| at <= Instant::now()) {
                let settle = limited.ask(name, holder, time.now);
                questions.now.push(Question {
                    name: Arc::clone(name),
                    generation: limited.generation,
                    settle,
                });
            } else {
                questions.wake_at = [questions.wake_at, at].into_iter().flatten().min();
                questions.wake_at_reading = [questions.wake_at_reading, reading].into_iter().flatten().min();
            }
        }
        questions
    }

    /// Notes the answer. `None`: the database gave none, and may have given what it was asked for.
    fn answered(&self, question: &Question, answer: Option<Settled>, time: Time) {
        let mut methods = self.methods();
        let limited = methods.get_mut(&*question.name);
        let Some(limited) = limited.filter(|limited| limited.generation == question.generation) else {
            return;
        };
        let asked = Instant::now();
        (limited.is_settling, limited.settled_at) = (false, asked);
        let Some(settled) = answer else {
            // The next question says anew how many slots are held, and moves the same slots unless they were moved.
            limited.moving.extend(question.settle.moved.clone());
            limited.given_up += question.settle.not_started.max(1);
            limited.not_before = asked + LOOK;
            return;
        };
        let Some(limit) = settled.limit else {
            methods.remove(&*question.name);
            self.any.store(!methods.is_empty(), Ordering::Relaxed);
            drop(methods);
            self.came.send_replace(());
            return;
        };
        (limited.limit, limited.most, limited.part) = (limit, settled.most, settled.part);
        limited.free_up(settled.granted);
        let is_beyond = limited.held() > limited.part;
        limited.turn = limited.turn.filter(|_| is_beyond).or(is_beyond.then_some(asked));
        let until = settled.next.and_then(|next| u64::try_from(next - time.now).ok());
        limited.paced_until = until.map(|until| time.reading.saturating_add(Duration::from_micros(until)));
        let pause = match settled.granted {
            // Nobody has to wait for others.
            _ if until.is_some() => SHORTEST,
            1.. => SHORTEST,
            // Others have their turn first.
            0 if question.settle.yields => 2 * ASK_AGAIN,
            0 => ASK_AGAIN.mul_f64(0.8 + fastrand::f64() * 0.4),
        };
        limited.not_before = asked + pause;
        drop(methods);
        if settled.granted > 0 {
            self.came.send_replace(());
        }
    }
}

impl Limited {
    fn new(limit: Limit, generation: u64) -> Self {
        let now = Instant::now();
        Self {
            limit,
            generation,
            used: 0,
            free: 0,
            free_since: now,
            given_up: 0,
            left: BTreeMap::new(),
            most: slots(limit),
            part: usize::MAX,
            turn: None,
            moving: Vec::new(),
            is_settling: false,
            settled_at: now,
            not_before: now,
            paced_until: None,
        }
    }

    /// The limit has changed: what ends from now on is judged by the new one, and the database is asked at once.
    fn change(&mut self, limit: Limit) {
        self.limit = limit;
        self.most = slots(limit);
        (self.not_before, self.paced_until) = (Instant::now(), None);
        self.given_up += 1;
    }

    /// Answers whether none was free before.
    fn free_up(&mut self, permits: usize) -> bool {
        let was_none = self.free == 0;
        if was_none {
            self.free_since = Instant::now();
        }
        self.free += permits;
        was_none
    }

    fn held(&self) -> usize {
        self.used + self.free
    }

    fn turn_is_over(&self) -> bool {
        self.turn.is_some_and(|turn| turn.elapsed() >= TURN)
    }

    /// How many slots this process may use now.
    fn may_have(&self) -> usize {
        if self.turn_is_over() {
            self.most.min(self.part)
        } else {
            self.most
        }
    }

    /// How many permits are wanted beyond those that are free.
    fn wants(&self) -> usize {
        let left = self.left.values().fold(0_usize, |sum, left| sum.saturating_add(*left));
        left.saturating_sub(self.free)
    }

    /// Since when no scanner has needed the permits that are free, or will need them.
    fn idle_at(&self) -> Option<Instant> {
        let patience = if self.left.is_empty() { IDLE } else { STALE };
        (self.free > 0).then(|| self.free_since + patience)
    }

    /// When the database is to be asked next, and at which reading of the clock the pace lets tasks start. `None`: there is no reason.
    fn asks_at(&self, reading: Duration) -> (Option<Instant>, Option<Duration>) {
        let paced_until = self.paced_until.filter(|until| *until > reading);
        let wants = (self.wants() > 0 && paced_until.is_none()).then_some(self.not_before);
        let gives = (self.given_up > 0 || !self.moving.is_empty()).then(|| self.settled_at + SHORTEST);
        let idles = self.idle_at().map(|at| at.max(self.settled_at + SHORTEST));
        let looks = (self.held() > 0).then(|| self.settled_at + LOOK);
        let at = [wants, gives, idles, looks].into_iter().flatten().min();
        (at, paced_until.filter(|_| self.wants() > 0))
    }

    /// Makes the question. Free permits that nobody needs, or that others are to have, go back with it.
    fn ask(&mut self, name: &MethodName, holder: &str, now: i64) -> Settle {
        let yields = self.turn_is_over();
        let not_started = match self.idle_at().is_some_and(|at| at <= Instant::now()) {
            true => {
                self.left.clear();
                std::mem::take(&mut self.free)
            }
            false => {
                let beyond = self.held().saturating_sub(self.may_have()).min(self.free);
                self.free -= beyond;
                beyond
            }
        };
        (self.is_settling, self.given_up) = (true, 0);
        Settle {
            service: name.service.clone(),
            method: name.method.clone(),
            holder: holder.to_owned(),
            held: self.held(),
            wants: self.wants(),
            yields,
            not_started,
            moved: self.moving.pop(),
            now,
        }
    }
}
