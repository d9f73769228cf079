//! A node settles with the others which tasks of which keys may run: one transaction, under the lock of the limit of their method.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use diesel::{BoolExpressionMethods, ExpressionMethods, OptionalExtension, QueryDsl, SelectableHelper, dsl::exists};

use super::share::{self, Known, Share};
use crate::{
    domain::{Limit, TaskStatus},
    store::{
        cluster::limits::{LimitRow, holder_lives, of_method},
        lenient::{AnyInt, AnyText, AnyTime, number, time},
        schema::{
            asynctasks, gaia_aside, gaia_claims, gaia_key_slots, gaia_keys, gaia_limits, gaia_nodes, gaia_remote_claims,
        },
        statement::transaction::on_each_connection,
        tasks::held::HELD_UNTIL,
        time::StoredTime,
    },
};

/// For how many microseconds a slot is kept for a task that was released: its theme may be paused, or its node busy with others.
const RESERVED: i64 = 30_000_000;

/// A time of release that lies further ahead comes from a clock that was wrong.
const SKEW: i64 = 15_000_000;

/// How many tasks more than needed a release looks at: some may have been cancelled or deleted since they were set aside.
const SPARE: usize = 100;

/// Of how many keys, and how many tasks, one transaction releases at most: others wait for its lock.
const RELEASED_KEYS: usize = 50;
const RELEASED: usize = 500;

/// How many rows one statement inserts.
const ROWS: usize = 1_000;

/// After how many microseconds a release is tried again that another session's lock has kept from a task.
const LOCKED: i64 = 1_000_000;

/// The statuses of tasks that wait.
const WAITS: [&str; 2] = [TaskStatus::Wait.as_str(), TaskStatus::Retry.as_str()];

/// What a node runs of the keys of a method, and the tasks that it has claimed and that need leave to run.
#[derive(Debug, Clone)]
pub(crate) struct SettleKeys {
    pub(crate) service: String,
    pub(crate) method: String,
    /// The node.
    pub(crate) holder: String,
    /// The claim of the tasks: its id, node and mark. `None`: there are no tasks.
    pub(crate) claim: Option<(i64, String, String)>,
    /// The tasks, the most urgent first, with their keys and priorities.
    pub(crate) tasks: Vec<KeyTask>,
    /// No more than so many of them may run.
    pub(crate) most: usize,
    /// All keys that the question is about, and how many tasks of each the node runs.
    pub(crate) keys: BTreeMap<String, usize>,
    /// Slots that go over to the claims of remote workers, with the marks of the claims. They are not among those of the node.
    pub(crate) moved: Vec<(String, String, usize)>,
    /// Microseconds since 1970.
    pub(crate) now: i64,
}

/// A claimed task with a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyTask {
    pub(crate) id: i64,
    pub(crate) key: String,
    pub(crate) priority: i32,
}

/// The answer to the node.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct SettledKeys {
    /// `None`: the method has no limit any more.
    pub(crate) limit: Option<Limit>,
    /// The tasks that may run.
    pub(crate) granted: HashSet<i64>,
    /// The tasks that were set aside. Those that are neither here nor granted could not be.
    pub(crate) aside: HashSet<i64>,
    /// How many tasks of each theme were released.
    pub(crate) released: BTreeMap<String, usize>,
    /// When the next task may start, of the keys whose pace holds tasks up: microseconds since 1970.
    pub(crate) next: BTreeMap<String, i64>,
    /// Keys of which more may be done at once.
    pub(crate) again: BTreeSet<String>,
}

/// A row of `gaia_key_slots`.
#[derive(Debug)]
struct Holder {
    key: String,
    name: String,
    slots: usize,
    lives: bool,
}

impl From<(AnyText, AnyText, AnyInt, bool)> for Holder {
    fn from((key, name, slots, lives): (AnyText, AnyText, AnyInt, bool)) -> Self {
        Self {
            key: key.0,
            name: name.0,
            slots: size(Some(slots)),
            lives,
        }
    }
}

/// Of one key: what is known of it, the tasks of the claim, and what is decided.
#[derive(Debug, Default)]
struct OfKey<'a> {
    known: Known,
    released: Vec<&'a KeyTask>,
    new: Vec<&'a KeyTask>,
    share: Share,
}

/// The whole question, as it is answered.
#[derive(Debug)]
struct Work<'a> {
    settle: &'a SettleKeys,
    limit: Limit,
    keys: BTreeMap<&'a str, OfKey<'a>>,
    /// The keys that have a row in `gaia_keys`, with what it says.
    rows: HashMap<String, (usize, i64)>,
}

fn size(column: Option<AnyInt>) -> usize {
    number(column)
        .and_then(|number| usize::try_from(number).ok())
        .unwrap_or(0)
}

fn column(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

impl<'a> Work<'a> {
    fn new(
        settle: &'a SettleKeys,
        limit: Limit,
        holders: &[Holder],
        rows: Vec<(AnyText, AnyInt, AnyInt)>,
        released: &HashMap<i64, String>,
    ) -> Self {
        let mut keys: BTreeMap<&str, OfKey<'_>> = settle.keys.keys().map(|key| (&**key, OfKey::default())).collect();
        for (key, mine) in &settle.keys {
            keys.entry(key).or_default().known.running += mine;
        }
        let moved = settle.moved.iter().map(|(key, mark, slots)| (key, mark, *slots));
        let noted = |key: &str, mark: &str| holders.iter().any(|holder| holder.key == key && holder.name == mark);
        for (key, _, slots) in moved.filter(|(key, mark, _)| !noted(key, mark)) {
            keys.entry(key).or_default().known.running += slots;
        }
        for holder in holders
            .iter()
            .filter(|holder| holder.lives && holder.name != settle.holder)
        {
            if let Some(of_key) = keys.get_mut(&*holder.key) {
                of_key.known.running += holder.slots;
            }
        }
        let mine: HashSet<i64> = settle.tasks.iter().map(|task| task.id).collect();
        for (_, key) in released.iter().filter(|(id, _)| !mine.contains(id)) {
            if let Some(of_key) = keys.get_mut(&**key) {
                of_key.known.reserved += 1;
            }
        }
        for task in &settle.tasks {
            let of_key = keys.entry(&task.key).or_default();
            match released.contains_key(&task.id) {
                true => of_key.released.push(task),
                false => of_key.new.push(task),
            }
        }
        let rows = rows.into_iter().map(|(key, waiting, full_at)| {
            let full_at = number(full_at).unwrap_or_default();
            (key.0, (size(Some(waiting)), full_at))
        });
        let rows: HashMap<String, (usize, i64)> = rows.collect();
        for (key, of_key) in &mut keys {
            let (waiting, full_at) = rows.get(*key).copied().unwrap_or_default();
            let known = Known {
                waiting,
                full_at,
                released: of_key.released.len(),
                new: of_key.new.len(),
                ..of_key.known
            };
            (of_key.known, of_key.share) = (known, share::share(&limit, known, settle.now));
        }
        let mut work = Self {
            settle,
            limit,
            keys,
            rows,
        };
        work.cut();
        work
    }

    /// Lets no more tasks run than the node has room for.
    fn cut(&mut self) {
        let started: usize = self
            .keys
            .values()
            .map(|of_key| of_key.share.released + of_key.share.new)
            .sum();
        let mut beyond = started.saturating_sub(self.settle.most);
        for OfKey { known, share, .. } in self.keys.values_mut().rev() {
            let fewer = share.new.min(beyond);
            share.new -= fewer;
            beyond -= fewer;
            let fewer_released = share.released.min(beyond);
            share.released -= fewer_released;
            beyond -= fewer_released;
            if fewer + fewer_released > 0 {
                share.full_at = share::full_at(&self.limit, share.released + share.new, known.full_at, self.settle.now);
            }
        }
    }

    /// The tasks that wait for their keys from now on. Others that do not run either go back: the node has no room for them.
    fn refused(&self) -> Vec<&'a KeyTask> {
        let tasks = self.keys.values().flat_map(|of_key| {
            let room = share::share(&self.limit, of_key.known, self.settle.now);
            let released = of_key.released.iter().skip(room.released);
            released.chain(of_key.new.iter().skip(room.new)).copied()
        });
        tasks.collect()
    }

    /// The tasks that may run.
    fn granted(&self) -> HashSet<i64> {
        let tasks = self.keys.values().flat_map(|of_key| {
            let released = of_key.released.iter().take(of_key.share.released);
            released.chain(of_key.new.iter().take(of_key.share.new))
        });
        tasks.map(|task| task.id).collect()
    }

    /// The keys of which tasks are released, and how many: no more than one transaction should. Then the keys of which more are to be.
    fn to_release(&self) -> (Vec<(&'a str, usize)>, Vec<&'a str>) {
        let (mut now, mut later, mut room) = (Vec::new(), Vec::new(), RELEASED);
        let mut keys: Vec<_> = self
            .keys
            .iter()
            .filter(|(_, of_key)| of_key.share.release > 0)
            .collect();
        // Each time another key comes first.
        let first = usize::try_from(self.settle.now).unwrap_or(0) % keys.len().max(1);
        keys.rotate_left(first);
        for (key, of_key) in keys {
            let most = if now.len() < RELEASED_KEYS {
                of_key.share.release.min(room)
            } else {
                0
            };
            room -= most;
            if most > 0 {
                now.push((*key, most));
            }
            if most < of_key.share.release {
                later.push(*key);
            }
        }
        (now, later)
    }

    /// How many slots the node has of a key from now on.
    fn mine(&self, key: &str) -> usize {
        let started = self
            .keys
            .get(key)
            .map_or(0, |of_key| of_key.share.released + of_key.share.new);
        let counts = self.limit.running_per_key.is_some();
        self.settle
            .keys
            .get(key)
            .filter(|_| counts)
            .map_or(0, |held| held + started)
    }

    /// The rows of `gaia_keys` that change: without a value if the key needs none any more.
    fn changed_rows(&self, waiting: &HashMap<&str, usize>) -> Vec<(&'a str, Option<(usize, i64)>)> {
        let row = |(key, of_key): (&&'a str, &OfKey<'_>)| {
            let full_at = of_key.share.full_at;
            let waiting = waiting.get(*key).copied().unwrap_or(of_key.known.waiting);
            let row = (waiting > 0 || full_at > self.settle.now).then_some((waiting, full_at));
            (self.rows.get(*key).copied() != row).then_some((*key, row))
        };
        self.keys.iter().filter_map(row).collect()
    }
}

#[cfg(feature = "sqlite")]
impl SettleKeys {
    pub(in crate::store) fn rows(&self) -> usize {
        3 * self.tasks.len() + 2 * self.keys.len() + self.moved.len() + 1
    }
}

/// The statements. A row is changed or deleted only if it was read: a statement that finds none would lock the gap on MySQL.
macro_rules! settle_keys {
    ($conn:ident, $settle:ident, $lock:ident, $open:ident, [$($wait:tt)*]) => {{
        let (service, method) = (&$settle.service, &$settle.method);
        let locked = diesel::update(of_method!(gaia_limits, service, method))
            .set(gaia_limits::settled.eq(gaia_limits::settled + 1))
            .execute($conn)$($wait)*?;
        let row: Option<LimitRow> = match locked {
            0 => None,
            _ => of_method!(gaia_limits, service, method)
                .select(LimitRow::as_select())
                .first($conn)$($wait)*
                .optional()?,
        };
        let limit = row.and_then(LimitRow::stored).map(|stored| stored.limit);
        let ids: Vec<i64> = $settle.tasks.iter().map(|task| task.id).collect();
        let Some(limit) = limit.filter(Limit::is_of_keys) else {
            diesel::delete(of_method!(gaia_key_slots, service, method).filter(gaia_key_slots::holder.eq(&$settle.holder)))
                .execute($conn)$($wait)*?;
            return Ok(SettledKeys { limit, granted: ids.into_iter().collect(), ..SettledKeys::default() });
        };
        let keys: Vec<&String> = $settle.keys.keys().collect();

        let holders: Vec<(AnyText, AnyText, AnyInt, bool)> = of_method!(gaia_key_slots, service, method)
            .filter(gaia_key_slots::limit_key.eq_any(&keys))
            .select((gaia_key_slots::limit_key, gaia_key_slots::holder, gaia_key_slots::slots, holder_lives!(gaia_key_slots)))
            .load($conn)$($wait)*?;
        let holders: Vec<Holder> = holders.into_iter().map(Holder::from).collect();
        let rows: Vec<(AnyText, AnyInt, AnyInt)> = of_method!(gaia_keys, service, method)
            .filter(gaia_keys::limit_key.eq_any(&keys))
            .select((gaia_keys::limit_key, gaia_keys::waiting, gaia_keys::full_at))
            .load($conn)$($wait)*?;
        let released: Vec<(i64, AnyText, AnyInt)> = of_method!(gaia_aside, service, method)
            .filter(gaia_aside::limit_key.eq_any(&keys))
            .filter(gaia_aside::released.gt(0))
            .select((gaia_aside::task_id, gaia_aside::limit_key, gaia_aside::released))
            .load($conn)$($wait)*?;
        let lately = $settle.now - RESERVED..$settle.now + SKEW;
        let (released, over): (Vec<_>, Vec<_>) =
            released.into_iter().partition(|(.., at)| number(*at).is_some_and(|at| lately.contains(&at)));
        let released: HashMap<i64, String> = released.into_iter().map(|(id, key, _)| (id, key.0)).collect();
        let over: Vec<i64> = over.into_iter().map(|(id, ..)| id).collect();
        for over in over.chunks(ROWS) {
            diesel::delete(gaia_aside::table.filter(gaia_aside::task_id.eq_any(over))).execute($conn)$($wait)*?;
        }
        let work = Work::new($settle, limit, &holders, rows, &released);
        let mut waiting: HashMap<&str, usize> = HashMap::new();
        let mut answer = SettledKeys { limit: Some(limit), granted: work.granted(), ..SettledKeys::default() };

        // Tasks that wait are released: those that still do.
        let (to_release, later) = work.to_release();
        answer.again.extend(later.into_iter().map(str::to_owned));
        let mut short = BTreeSet::new();
        for (key, most) in to_release {
            let looked = most + SPARE;
            let aside: Vec<i64> = of_method!(gaia_aside, service, method)
                .filter(gaia_aside::limit_key.eq(key))
                .filter(gaia_aside::released.eq(0))
                .order((gaia_aside::priority.desc(), gaia_aside::task_id))
                .limit(column(looked))
                .select(gaia_aside::task_id)
                .load($conn)$($wait)*?;
            let tasks: Vec<(i64, AnyText, Option<AnyText>, Option<AnyTime>)> = asynctasks::table
                .filter(asynctasks::id.eq_any(&aside))
                .select((asynctasks::id, asynctasks::system_name, asynctasks::task_status, asynctasks::run_at))
                .load($conn)$($wait)*?;
            let tasks: HashMap<i64, String> = tasks.into_iter().filter(|(_, _, status, run_at)| {
                status.as_ref().is_some_and(|status| WAITS.contains(&&*status.0)) && time(*run_at) == Some(HELD_UNTIL.utc())
            }).map(|(id, theme, ..)| (id, theme.0)).collect();
            let free = asynctasks::table.filter(asynctasks::id.eq_any(tasks.keys().copied()))
                .filter(asynctasks::task_status.eq_any(WAITS)).filter(asynctasks::run_at.eq(HELD_UNTIL));
            let free: HashSet<i64> = match tasks.is_empty() {
                true => HashSet::new(),
                false => $lock!(free.select(asynctasks::id)).load::<i64>($conn)$($wait)*?.into_iter().collect(),
            };
            let to_run: Vec<i64> = aside.iter().copied().filter(|id| free.contains(id)).take(most).collect();
            let gone: Vec<i64> = aside.iter().copied().filter(|id| !tasks.contains_key(id)).collect();
            if !to_run.is_empty() {
                diesel::update(asynctasks::table.filter(asynctasks::id.eq_any(&to_run))
                    .filter(asynctasks::task_status.eq_any(WAITS)).filter(asynctasks::run_at.eq(HELD_UNTIL)))
                    .set((asynctasks::run_at.eq(None::<StoredTime>), asynctasks::update_time.eq(asynctasks::update_time)))
                    .execute($conn)$($wait)*?;
                diesel::update(gaia_aside::table.filter(gaia_aside::task_id.eq_any(&to_run)))
                    .set(gaia_aside::released.eq($settle.now))
                    .execute($conn)$($wait)*?;
            }
            if !gone.is_empty() {
                diesel::delete(gaia_aside::table.filter(gaia_aside::task_id.eq_any(&gone))).execute($conn)$($wait)*?;
            }
            for theme in to_run.iter().filter_map(|id| tasks.get(id)) {
                *answer.released.entry(theme.clone()).or_default() += 1;
            }
            let handled = to_run.len() + gone.len();
            let left = match aside.len() < looked {
                // These were all.
                true => aside.len() - handled,
                false => work.keys.get(key).map_or(0, |of_key| of_key.known.waiting).saturating_sub(handled).max(1),
            };
            waiting.insert(key, left);
            if to_run.len() < most {
                short.insert(key);
            }
            if to_run.len() < most && free.len() < tasks.len() {
                answer.next.insert(key.to_owned(), $settle.now + LOCKED);
            }
        }

        // Claimed tasks that may not run are set aside, if the claim has them.
        let refused = work.refused();
        let refused_ids: Vec<i64> = refused.iter().map(|task| task.id).collect();
        if let Some((token, node, mark)) = $settle.claim.as_ref().filter(|_| !refused.is_empty()) {
            let claim = gaia_claims::table.filter(gaia_claims::id.eq(token))
                .filter(gaia_claims::node_id.eq(node)).filter(gaia_claims::mark.eq(mark));
            let claim: Vec<i64> = $lock!(claim.select(gaia_claims::id)).load($conn)$($wait)*?;
            if !claim.is_empty() {
                // A row that another session has locked holds up no other.
                let free = asynctasks::table.filter(asynctasks::id.eq_any(&refused_ids))
                    .filter(asynctasks::queued.eq(1)).filter(asynctasks::task_status.eq_any(WAITS))
                    .filter(asynctasks::lease_token.lt(token));
                let free: Vec<i64> = $lock!(free.select(asynctasks::id)).load($conn)$($wait)*?;
                diesel::update(asynctasks::table.filter(asynctasks::id.eq_any(&free)))
                    .set((
                        asynctasks::run_at.eq(HELD_UNTIL),
                        asynctasks::queued.eq(0),
                        asynctasks::lease_token.eq(token),
                        asynctasks::update_time.eq(asynctasks::update_time),
                    ))
                    .execute($conn)$($wait)*?;
                answer.aside = asynctasks::table.filter(asynctasks::id.eq_any(&refused_ids))
                    .filter(asynctasks::run_at.eq(HELD_UNTIL)).filter(asynctasks::lease_token.eq(token))
                    .select(asynctasks::id)
                    .load::<i64>($conn)$($wait)*?.into_iter().collect();
            }
        }
        let noted: Vec<i64> = match ids.is_empty() {
            true => Vec::new(),
            false => gaia_aside::table.filter(gaia_aside::task_id.eq_any(&ids)).select(gaia_aside::task_id).load($conn)$($wait)*?,
        };
        if !noted.is_empty() {
            diesel::delete(gaia_aside::table.filter(gaia_aside::task_id.eq_any(noted))).execute($conn)$($wait)*?;
        }
        let aside: Vec<&KeyTask> = refused.into_iter().filter(|task| answer.aside.contains(&task.id)).collect();
        for task in &aside {
            let before = work.keys.get(&*task.key).map_or(0, |of_key| of_key.known.waiting);
            *waiting.entry(&task.key).or_insert(before) += 1;
        }
        for aside in aside.chunks(ROWS) {
            let rows: Vec<_> = aside.iter().map(|task| (
                gaia_aside::task_id.eq(task.id),
                gaia_aside::service.eq(service),
                gaia_aside::method.eq(method),
                gaia_aside::limit_key.eq(&task.key),
                gaia_aside::priority.eq(i64::from(task.priority)),
                gaia_aside::released.eq(0),
            )).collect();
            diesel::insert_into(gaia_aside::table).values(rows).execute($conn)$($wait)*?;
        }

        // The slots of this node, of the dead, and of remote claims.
        let is_mine = |holder: &&Holder| holder.name == $settle.holder;
        let before: HashMap<&str, usize> = holders.iter().filter(is_mine).map(|holder| (&*holder.key, holder.slots)).collect();
        let changed = |key: &&&String| before.get(key.as_str()).copied().unwrap_or(0) != work.mine(key);
        let old: Vec<&String> = keys.iter().filter(changed).filter(|key| before.contains_key(key.as_str())).copied().collect();
        if !old.is_empty() {
            diesel::delete(of_method!(gaia_key_slots, service, method).filter(gaia_key_slots::limit_key.eq_any(old))
                .filter(gaia_key_slots::holder.eq(&$settle.holder)))
                .execute($conn)$($wait)*?;
        }
        let dead: HashSet<&str> = holders.iter().filter(|holder| !holder.lives && !is_mine(holder)).map(|holder| &*holder.name).collect();
        if !dead.is_empty() {
            diesel::delete(of_method!(gaia_key_slots, service, method).filter(gaia_key_slots::limit_key.eq_any(&keys))
                .filter(gaia_key_slots::holder.eq_any(dead)))
                .execute($conn)$($wait)*?;
        }
        let mut new: Vec<(&str, &str, usize)> = keys.iter().filter(changed)
            .map(|key| (key.as_str(), &*$settle.holder, work.mine(key))).filter(|(.., slots)| *slots > 0).collect();
        // An earlier question may have moved them, and its answer was lost.
        let moved = $settle.moved.iter().filter(|_| limit.running_per_key.is_some());
        let moved = moved.filter(|(key, mark, _)| holders.iter().all(|holder| holder.key != *key || holder.name != *mark));
        new.extend(moved.map(|(key, mark, slots)| (&**key, &**mark, *slots)));
        for new in new.chunks(ROWS) {
            let rows: Vec<_> = new.iter().map(|(key, holder, slots)| (
                gaia_key_slots::service.eq(service),
                gaia_key_slots::method.eq(method),
                gaia_key_slots::limit_key.eq(*key),
                gaia_key_slots::holder.eq(*holder),
                gaia_key_slots::slots.eq(column(*slots)),
            )).collect();
            diesel::insert_into(gaia_key_slots::table).values(rows).execute($conn)$($wait)*?;
        }

        // What is known of the keys.
        let changed = work.changed_rows(&waiting);
        let old: Vec<&str> = changed.iter().map(|(key, _)| *key).filter(|key| work.rows.contains_key(*key)).collect();
        if !old.is_empty() {
            diesel::delete(of_method!(gaia_keys, service, method).filter(gaia_keys::limit_key.eq_any(old))).execute($conn)$($wait)*?;
        }
        let rows: Vec<(&str, usize, i64)> = changed.iter()
            .filter_map(|(key, row)| row.map(|(waiting, full_at)| (*key, waiting, full_at))).collect();
        for rows in rows.chunks(ROWS) {
            let rows: Vec<_> = rows.iter().map(|(key, waiting, full_at)| (
                gaia_keys::service.eq(service),
                gaia_keys::method.eq(method),
                gaia_keys::limit_key.eq(*key),
                gaia_keys::waiting.eq(column(*waiting)),
                gaia_keys::full_at.eq(*full_at),
            )).collect();
            diesel::insert_into(gaia_keys::table).values(rows).execute($conn)$($wait)*?;
        }
        for (key, of_key) in &work.keys {
            if waiting.get(key).copied().unwrap_or(of_key.known.waiting) > 0 {
                // Fewer were released than may run, and no end may come that leads to a further question.
                if short.contains(key) && !answer.next.contains_key(*key) {
                    answer.again.insert((*key).to_owned());
                    continue;
                }
                let soon = of_key.known.reserved + of_key.share.release;
                if let Some(next) = share::next(&limit, of_key.share.full_at, soon, $settle.now) {
                    answer.next.entry((*key).to_owned()).or_insert(next);
                }
            }
        }
        Ok(answer)
    }};
}

on_each_connection!(settle_keys, SettleKeys, SettledKeys);

#[cfg(test)]
mod tests {
    use super::*;

    fn task(id: i64, key: &str) -> KeyTask {
        KeyTask {
            id,
            key: key.to_owned(),
            priority: 0,
        }
    }

    fn settle(tasks: Vec<KeyTask>, most: usize) -> SettleKeys {
        SettleKeys {
            service: "Mail".to_owned(),
            method: "Send".to_owned(),
            holder: "me".to_owned(),
            claim: None,
            keys: tasks.iter().map(|task| (task.key.clone(), 0)).collect(),
            tasks,
            most,
            moved: Vec::new(),
            now: 1_000_000_000,
        }
    }

    fn sorted(ids: impl IntoIterator<Item = i64>) -> Vec<i64> {
        BTreeSet::from_iter(ids).into_iter().collect()
    }

    #[test]
    fn tasks_beyond_their_key_wait_and_tasks_beyond_the_room_go_back() {
        let tasks = [(1, "a"), (2, "a"), (3, "a"), (4, "b"), (5, "b"), (6, "b")];
        let settle = settle(tasks.map(|(id, key)| task(id, key)).into(), 3);
        let work = Work::new(&settle, Limit::running_per_key(2), &[], Vec::new(), &HashMap::new());
        assert_eq!(sorted(work.granted()), [1, 2, 4]);
        assert_eq!(sorted(work.refused().iter().map(|task| task.id)), [3, 6]);
        assert_eq!((work.mine("a"), work.mine("b")), (2, 1));
    }

    #[test]
    fn the_living_count_and_so_do_slots_that_move() {
        let holder = |name: &str, lives| Holder {
            key: "a".to_owned(),
            name: name.to_owned(),
            slots: 1,
            lives,
        };
        let holders = [holder("other", true), holder("dead", false), holder("me", true)];
        let tasks = (1..=5).map(|id| task(id, "a")).collect();
        let settle = SettleKeys {
            keys: [("a".to_owned(), 1)].into(),
            moved: vec![("a".to_owned(), "mark".to_owned(), 1)],
            ..settle(tasks, 9)
        };
        let work = Work::new(
            &settle,
            Limit::running_per_key(4),
            &holders,
            Vec::new(),
            &HashMap::new(),
        );
        assert_eq!((sorted(work.granted()), work.mine("a")), (vec![1], 2));
    }
}
