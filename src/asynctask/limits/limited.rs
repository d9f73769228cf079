//! One limited method, and the permits that this process has of it.

use std::{
    collections::BTreeMap,
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::{RETRY, Time, Waiter, keys::Keys};
use crate::{
    domain::Limit,
    registry::MethodName,
    store::{Settle, Settled},
};

/// After how long unused permits go back. The scanners of other nodes may wait for them; but the next task of this node may come at any moment.
const IDLE: Duration = Duration::from_millis(200);

/// The same for permits that a scanner has asked for and not taken: its pool has become full.
const STALE: Duration = Duration::from_secs(1);

/// How often a process asks for slots that others have.
const ASK_AGAIN: Duration = Duration::from_millis(250);

/// The shortest time between two questions about one method. A pace that lets tasks start more often lets several start together.
const SHORTEST: Duration = Duration::from_millis(20);

/// A process that starts so many tasks between two questions asks before it has none left.
const MANY: usize = 50;

/// How often a process that uses slots looks whether others wait for them: while some do, and while none did at the last look.
const LOOK: Duration = Duration::from_secs(1);
const LOOK_AT_NONE: Duration = Duration::from_secs(3);

/// For how long a process may go on using more than its part of the slots while others wait.
const TURN: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Limited {
    pub(super) limit: Limit,
    pub(super) keys: Keys,
    /// Permits of an earlier limit of the method count no more.
    pub(super) generation: u64,
    /// Permits of tasks and of claims that are under way.
    pub(super) used: usize,
    /// Permits that a claim may take.
    pub(super) free: usize,
    /// Since when none of these was needed.
    free_since: Instant,
    /// Since the last question: how many permits tasks have got, and how many were in use at most.
    drawn: usize,
    peak: usize,
    /// Leaves to start that were not used, and go back with the next question.
    not_started: usize,
    /// The database is to know that fewer slots are held, or that the limit is another.
    is_to_tell: bool,
    /// The due tasks that scanners had to leave.
    pub(super) left: BTreeMap<Arc<str>, Left>,
    /// Whether the row of this node says that tasks wait.
    told_wants: bool,
    /// How many slots this process may use, and how many once its turn is over.
    most: usize,
    part: usize,
    /// Since when it has used more than that.
    turn: Option<Instant>,
    /// Slots that go over to the claims of remote workers, with the marks of the claims.
    pub(super) moving: Vec<(String, usize)>,
    /// The same while the question that moves them has no answer yet, and how many of their runs have ended since.
    under_way: Vec<(String, usize)>,
    ended_under_way: Vec<(String, usize)>,
    pub(super) is_settling: bool,
    settled_at: Instant,
    /// Before that it is of no use to ask for further slots.
    not_before: Instant,
    /// The same by the reading of the clock, if it is the pace that holds tasks up.
    paced_until: Option<Duration>,
    /// The last question had no answer: when to ask again.
    retry_at: Option<Instant>,
}

/// The due tasks that one scanner, or one remote worker, had to leave.
#[derive(Debug)]
pub(super) struct Left {
    tasks: usize,
    /// Rings when permits come.
    bell: Arc<Notify>,
    /// A remote worker may never ask again.
    until: Option<Instant>,
}

impl Left {
    pub(super) fn new(waiter: &Waiter, tasks: usize) -> Self {
        Self {
            tasks,
            bell: Arc::clone(&waiter.bell),
            until: waiter.patience.map(|patience| Instant::now() + patience),
        }
    }
}

/// How many slots there are.
fn slots(limit: Limit) -> usize {
    let running = limit.running.and_then(|running| usize::try_from(running).ok());
    running.unwrap_or(usize::MAX)
}

impl Limited {
    pub(super) fn new(limit: Limit, generation: u64) -> Self {
        let now = Instant::now();
        Self {
            limit,
            keys: Keys::new(),
            generation,
            used: 0,
            free: 0,
            free_since: now,
            drawn: 0,
            peak: 0,
            not_started: 0,
            is_to_tell: false,
            left: BTreeMap::new(),
            told_wants: false,
            most: slots(limit),
            part: usize::MAX,
            turn: None,
            moving: Vec::new(),
            under_way: Vec::new(),
            ended_under_way: Vec::new(),
            is_settling: false,
            settled_at: now,
            not_before: now,
            paced_until: None,
            retry_at: None,
        }
    }

    /// If the limit is another: what ends from now on is judged by it, and the database is asked at once. Answers whether it is.
    pub(super) fn change(&mut self, limit: Limit) -> bool {
        if self.limit == limit {
            return false;
        }
        self.limit = limit;
        self.most = slots(limit);
        (self.not_before, self.paced_until) = (Instant::now(), None);
        self.is_to_tell = true;
        true
    }

    /// Begins anew without a permit. Slots that go over to remote claims are still on their way.
    pub(super) fn forget_permits(&mut self, generation: u64) {
        let before = mem::replace(self, Self::new(self.limit, generation));
        self.left = before.left;
        self.moving = before.moving;
        self.moving.extend(before.under_way);
        self.is_to_tell = true;
    }

    // ---- permits ----

    /// Whether a claim would get permits.
    pub(super) fn lets_claim(&self) -> bool {
        self.keys.lets_claim() && (self.free > 0 || !self.limit.is_of_method())
    }

    /// Takes up to `most` permits for a claim of this waiter.
    pub(super) fn take(&mut self, waiter: &str, most: usize) -> usize {
        let taken = match self.limit.is_of_method() {
            _ if !self.lets_claim() => 0,
            true => most.min(self.free),
            false => most,
        };
        self.keys.has_claim |= self.limit.is_of_keys() && taken > 0;
        self.free = self.free.saturating_sub(taken);
        self.used += taken;
        self.peak = self.peak.max(self.used);
        if let Some(left) = self.left.get_mut(waiter) {
            left.tasks = left.tasks.saturating_sub(taken);
        }
        taken
    }

    /// A claim is over: it has not needed `left` of its permits, and `taken` belong to tasks. `counts`: the limit was one of the method.
    pub(super) fn put_back(&mut self, left: usize, taken: usize, counts: bool) {
        self.used = self.used.saturating_sub(left);
        if counts {
            self.free += left;
        }
        if taken > 0 {
            self.free_since = Instant::now();
            self.drawn += taken;
        }
    }

    /// A task has ended. Answers whether the actor is to know.
    pub(super) fn ended(&mut self, has_started: bool) -> bool {
        if !self.limit.is_of_method() {
            self.used = self.used.saturating_sub(1);
            return false;
        }
        let is_reusable = !has_started || self.limit.starts.is_none();
        let stays = is_reusable && self.held() <= self.may_have();
        self.used = self.used.saturating_sub(1);
        if !stays {
            self.is_to_tell = true;
            self.not_started += usize::from(!has_started);
            return true;
        }
        let was_none = self.free_up(1);
        self.tell_all();
        was_none
    }

    /// Runs of a remote claim have ended. False: the claim's row has its slots already.
    #[cfg(feature = "web")]
    pub(super) fn end_remote(&mut self, mark: &str, runs: usize) -> bool {
        if let Some(at) = self.moving.iter().position(|(moving, _)| moving == mark) {
            let ended = runs.min(self.moving[at].1);
            self.moving[at].1 -= ended;
            if self.moving[at].1 == 0 {
                self.moving.remove(at);
            }
            self.used += ended;
            for _ in 0..ended {
                self.ended(true);
            }
            return true;
        }
        let is_under_way = self.under_way.iter().any(|(moving, _)| moving == mark);
        if is_under_way {
            self.ended_under_way.push((mark.to_owned(), runs));
        }
        is_under_way
    }

    /// Answers whether none was free before.
    fn free_up(&mut self, permits: usize) -> bool {
        let was_none = self.free == 0;
        if permits > 0 {
            self.free_since = Instant::now();
        }
        self.free += permits;
        was_none
    }

    /// Permits have come.
    pub(super) fn tell_all(&self) {
        self.left.values().for_each(|left| left.bell.notify_one());
    }

    /// The same for all but one.
    pub(super) fn tell_but(&self, waiter: &str) {
        let others = self.left.iter().filter(|(name, _)| &***name != waiter);
        others.for_each(|(_, left)| left.bell.notify_one());
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

    // ---- questions ----

    /// How many permits are wanted beyond those that are free.
    fn wants(&self) -> usize {
        let left = self.left.values().map(|left| left.tasks);
        left.fold(0_usize, usize::saturating_add).saturating_sub(self.free)
    }

    /// How many permits a process gets beyond those, if the limit is far away: twice as many as it has used lately. So a limit that does not bite
    /// is not asked about with each claim.
    fn spare(&self) -> usize {
        if self.drawn == 0 || !self.limit.is_of_method() {
            return 0;
        }
        let likely = match self.limit.starts {
            Some(_) => 2 * self.drawn,
            None => (2 * self.peak).saturating_sub(self.held()),
        };
        likely.max(self.wants())
    }

    /// Whether the starts will soon be used up that the process has.
    fn is_low(&self) -> bool {
        self.limit.starts.is_some() && self.drawn >= MANY && self.free < self.drawn
    }

    /// When no scanner has needed the free permits for long enough.
    fn idle_at(&self) -> Option<Instant> {
        let patience = if self.left.is_empty() { IDLE } else { STALE };
        // While the keys of a claim are settled, no scanner takes them.
        let is_idle = self.free > 0 && self.limit.is_of_method() && !self.keys.has_claim;
        is_idle.then(|| self.free_since + patience)
    }

    /// Whether the row of this node says something else.
    pub(super) fn compare(&mut self, slots: usize, wants: bool) {
        let counts = self.limit.running.is_some();
        let differs = slots != if counts { self.held() } else { 0 } || wants != self.told_wants;
        // A question that is under way changes the row.
        self.is_to_tell |= differs && !self.is_settling && self.moving.is_empty();
    }

    /// When the database is to be asked next, and at which reading of the clock the pace lets tasks start. `None`: there is no reason.
    pub(super) fn asks_at(&mut self, reading: Duration) -> (Option<Instant>, Option<Duration>) {
        let now = Instant::now();
        self.left.retain(|_, left| left.until.is_none_or(|until| until > now));
        let soon = self.settled_at + SHORTEST;
        // With a limit of keys alone, tasks are left for a moment, while the keys of others are settled.
        let wants = self.limit.is_of_method() && self.wants() > 0;
        let paced_until = self.paced_until.filter(|until| *until > reading);
        let asks = (wants && paced_until.is_none()).then_some(self.not_before);
        let is_low = (self.is_low() && paced_until.is_none()).then_some(soon);
        let tells = self.is_to_tell || self.not_started > 0 || !self.moving.is_empty();
        let stops = self.told_wants && !wants;
        let tells = (tells || stops).then_some(soon);
        let idles = self.idle_at().map(|at| at.max(soon));
        let look = if self.part == usize::MAX { LOOK_AT_NONE } else { LOOK };
        let looks = (self.limit.is_of_method() && self.held() > 0).then(|| self.settled_at + look);
        let at = [asks, is_low, tells, idles, looks].into_iter().flatten().min();
        let at = at.map(|at| self.retry_at.map_or(at, |retry| at.max(retry)));
        (at, paced_until.filter(|_| wants))
    }

    /// Makes the question. Free permits that no scanner needs, or that others are to have, go back with it: no claim takes them from now on
    /// (model: slots::StopsUseFirst).
    pub(super) fn ask(&mut self, name: &MethodName, holder: &str, now: i64) -> Settle {
        let yields = self.turn_is_over();
        let back = match self.idle_at().is_some_and(|at| at <= Instant::now()) {
            true => {
                self.left.clear();
                self.free
            }
            false => self.held().saturating_sub(self.may_have()).min(self.free),
        };
        self.free -= back;
        let not_started = mem::take(&mut self.not_started) + back;
        (self.is_settling, self.is_to_tell) = (true, false);
        self.under_way = mem::take(&mut self.moving);
        let spare = self.spare();
        (self.drawn, self.peak) = (0, self.used);
        Settle {
            service: name.service.clone(),
            method: name.method.clone(),
            holder: holder.to_owned(),
            held: self.held(),
            wants: self.wants(),
            spare,
            yields,
            not_started,
            moved: self.under_way.clone(),
            now,
        }
    }

    /// The database gave no answer. The next question says anew how many slots are held, and moves the same slots unless they were moved.
    pub(super) fn unanswered(&mut self, asked: &Settle) {
        let now = Instant::now();
        (self.is_settling, self.settled_at, self.is_to_tell) = (false, now, true);
        self.moving.append(&mut self.under_way);
        #[cfg(feature = "web")]
        for (mark, runs) in mem::take(&mut self.ended_under_way) {
            self.end_remote(&mark, runs);
        }
        self.not_started += asked.not_started;
        self.retry_at = Some(now + RETRY.mul_f64(1.0 + fastrand::f64()));
    }

    /// Answers with the remote claims of which runs have ended since the question, and with the numbers of these runs.
    pub(super) fn answered(&mut self, asked: &Settle, settled: Settled, time: Time) -> Vec<(String, usize)> {
        let now = Instant::now();
        self.under_way.clear();
        (self.is_settling, self.settled_at, self.retry_at) = (false, now, None);
        if let Some(limit) = settled.limit {
            self.limit = limit;
        }
        (self.most, self.part, self.told_wants) = (settled.most, settled.part, settled.wants);
        self.free_up(settled.granted);
        let is_beyond = self.held() > self.part;
        self.turn = self.turn.filter(|_| is_beyond).or(is_beyond.then_some(now));
        let until = settled.next.map(|next| u64::try_from(next - time.now).unwrap_or(0));
        self.paced_until = until.map(|until| time.reading.saturating_add(Duration::from_micros(until)));
        let pause = match settled.granted {
            0 if until.is_some() => SHORTEST,
            // Others have their turn first.
            0 if asked.yields => 2 * ASK_AGAIN,
            0 => ASK_AGAIN.mul_f64(0.8 + fastrand::f64() * 0.4),
            granted if granted > asked.wants => Duration::ZERO,
            _ => SHORTEST,
        };
        self.not_before = now + pause;
        if settled.granted > 0 {
            self.tell_all();
        }
        mem::take(&mut self.ended_under_way)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_was_taken_for_dead_has_no_permit_and_slots_on_their_way_arrive() {
        let mut limited = Limited::new(Limit::running(3), 1);
        limited.free_up(2);
        assert_eq!(limited.take("theme", 1), 1);
        limited.moving.push(("mark".to_owned(), 1));
        limited.forget_permits(2);
        assert_eq!((limited.generation, limited.held()), (2, 0));
        assert_eq!(limited.take("theme", 2), 0);
        let asked = limited.ask(
            &MethodName {
                service: "Demo".to_owned(),
                method: "Work".to_owned(),
            },
            "node",
            0,
        );
        assert_eq!((asked.held, asked.moved), (0, vec![("mark".to_owned(), 1)]));
    }
}
