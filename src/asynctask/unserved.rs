//! Tasks that this node has claimed and does not serve.
//!
//! They go back to the database and are due again a little later: for a node that serves them, or for a handler that is
//! registered here by then. This node remembers what it has put back, so that its scanner leaves those tasks to others, and
//! so that they are due at once when somebody serves them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use chrono::{DateTime, SubsecRound, Utc};
use tokio::sync::watch;

use super::{recorder::Drained, status::UnservedMethod, theme::Theme, wake::Wake};
use crate::{
    domain::RetryPolicy,
    registry::{MethodName, Registry, RegistryError},
    store::{ClaimedTask, PutBack, Store},
};

/// How long a task waits that was put back: longer each time. Long enough that tasks which nobody serves cost little.
const PAUSE: RetryPolicy = RetryPolicy {
    base: Duration::from_secs(1),
    max: Duration::from_secs(60),
    jitter: 0.2,
};

/// Between two warnings about one method.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// Methods told apart. Anybody may add tasks with any name; what is beyond is counted together.
const MAX_METHODS: usize = 100;

/// Tasks remembered until they are due again. What is beyond waits for its time.
const MAX_WAITING: usize = 20_000;

/// Names of registered methods in one warning.
const NAMED: usize = 20;

/// For how long the recorder may take to write what was put back before a handler came.
const WRITE: Duration = Duration::from_secs(1);

/// What one theme has put back on this node.
#[derive(Debug, Default)]
pub(super) struct Unserved(Mutex<State>);

/// By when they are due again, and by their ids: what each calls, and the log id of the claim that it was put back from.
type Waiting = BTreeMap<(DateTime<Utc>, i64), (Arc<MethodName>, Arc<str>)>;

#[derive(Debug, Default)]
struct State {
    methods: BTreeMap<Arc<MethodName>, Tally>,
    /// Of all methods beyond [`MAX_METHODS`].
    others: Tally,
    waiting: Waiting,
    /// What other living nodes of the theme serve.
    elsewhere: BTreeSet<MethodName>,
}

#[derive(Debug, Default)]
struct Tally {
    put_back: u64,
    /// Those of them that no warning has counted yet.
    unsaid: u64,
    last: DateTime<Utc>,
    warned: Option<Instant>,
}

impl Tally {
    fn count(&mut self, now: DateTime<Utc>) {
        self.put_back += 1;
        self.unsaid += 1;
        self.last = now;
    }

    /// How many tasks a warning must tell of, if one is due.
    fn take_unsaid(&mut self, now: Instant) -> Option<u64> {
        let is_early = self
            .warned
            .is_some_and(|warned| now.saturating_duration_since(warned) < WARN_EVERY);
        if is_early || self.unsaid == 0 {
            return None;
        }
        self.warned = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }
}

impl Unserved {
    /// Counts a task that is put back at `now`, and answers when it is to be due again.
    pub(super) fn note(&self, task: &ClaimedTask, now: DateTime<Utc>) -> DateTime<Utc> {
        let name = MethodName {
            service: task.service.clone(),
            method: task.method.clone(),
        };
        let mut state = self.state();
        // A node that serves the method takes the task soon.
        let rounds = match state.elsewhere.contains(&name) {
            true => 0,
            false => 3,
        };
        let delay = PAUSE.delay(rounds, fastrand::f64() * 2.0 - 1.0);
        // Whole milliseconds: what every database gives back as it was written.
        let until = (now + delay).trunc_subsecs(3);
        let name = state.count(name, now);
        state.remember(until, task, name, now);
        until
    }

    /// Warns of what was put back, at most once a minute for each method.
    pub(super) fn warn(&self, theme: &str, registry: &Registry) {
        for (what, count) in self.what_to_say(Instant::now()) {
            let registered = listed(&registry.served());
            match what {
                Some(name) => {
                    let died = match registry.serving(&name.service, &name.method) {
                        Err(error @ RegistryError::HandlerDied(_)) => format!(" ({error})"),
                        _ => String::new(),
                    };
                    say!(
                        Warn,
                        "theme {theme}: no handler on this node serves {name}{died}; {count} claimed tasks were put back and \
                         wait for a node that serves the method, or for a handler that is registered later; \
                         registered here: {registered}"
                    );
                }
                None => say!(
                    Warn,
                    "theme {theme}: no handler on this node serves the methods of {count} more claimed tasks, which were \
                     put back; they name more than {MAX_METHODS} methods; registered here: {registered}"
                ),
            }
        }
    }

    /// What to warn of now, `None` standing for the methods that are not told apart.
    fn what_to_say(&self, now: Instant) -> Vec<(Option<Arc<MethodName>>, u64)> {
        let mut state = self.state();
        let others = state.others.take_unsaid(now).map(|count| (None, count));
        let methods = state.methods.iter_mut();
        let named = methods.filter_map(|(name, tally)| Some((Some(Arc::clone(name)), tally.take_unsaid(now)?)));
        named.chain(others).collect()
    }

    /// Whether what is due then is a task that this node has put back.
    pub(super) fn is_due_at(&self, at: DateTime<Utc>) -> bool {
        self.state()
            .waiting
            .range((at, i64::MIN)..=(at, i64::MAX))
            .next()
            .is_some()
    }

    pub(super) fn is_served_elsewhere(&self, service: &str, method: &str) -> bool {
        let elsewhere = &self.state().elsewhere;
        elsewhere
            .iter()
            .any(|name| name.service == service && name.method == method)
    }

    /// Notes what other living nodes of the theme serve, and answers with what waited for that.
    pub(super) fn set_elsewhere(&self, methods: BTreeSet<MethodName>) -> Vec<PutBack> {
        let mut state = self.state();
        let before = std::mem::replace(&mut state.elsewhere, methods);
        let State { waiting, elsewhere, .. } = &mut *state;
        take(waiting, |name| elsewhere.contains(name) && !before.contains(name))
    }

    /// Forgets the methods that have a handler by now, and answers with what waited for that.
    fn take_served(&self, registry: &Registry) -> Vec<PutBack> {
        let is_served = |name: &MethodName| registry.serves(&name.service, &name.method);
        let mut state = self.state();
        state.methods.retain(|name, _| !is_served(name));
        take(&mut state.waiting, is_served)
    }

    /// For people: what is not served here.
    pub(super) fn list(&self, has_died: impl Fn(&MethodName) -> bool) -> Vec<UnservedMethod> {
        let of = |(name, tally): (&Arc<MethodName>, &Tally)| UnservedMethod {
            service: name.service.clone(),
            method: name.method.clone(),
            handler_died: has_died(name),
            put_back: tally.put_back,
            last_put_back: tally.last,
        };
        self.state().methods.iter().map(of).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn count(&mut self, name: MethodName, now: DateTime<Utc>) -> Arc<MethodName> {
        let known = self.methods.get_key_value(&name).map(|(known, _)| Arc::clone(known));
        let is_new = known.is_none();
        let name = known.unwrap_or_else(|| Arc::new(name));
        if is_new && self.methods.len() >= MAX_METHODS {
            self.others.count(now);
        } else {
            self.methods.entry(Arc::clone(&name)).or_default().count(now);
        }
        name
    }

    fn remember(&mut self, until: DateTime<Utc>, task: &ClaimedTask, name: Arc<MethodName>, now: DateTime<Utc>) {
        // What is due is in others' hands, or comes again.
        while self.waiting.first_key_value().is_some_and(|((at, _), _)| *at < now) {
            self.waiting.pop_first();
        }
        if self.waiting.len() < MAX_WAITING {
            self.waiting.insert((until, task.id), (name, Arc::clone(&task.log_id)));
        }
    }
}

/// Takes what waits for methods that `wanted` names.
fn take(waiting: &mut Waiting, wanted: impl Fn(&MethodName) -> bool) -> Vec<PutBack> {
    let all = std::mem::take(waiting).into_iter();
    let (taken, kept): (Waiting, Waiting) = all.partition(|(_, (name, _))| wanted(name));
    *waiting = kept;
    let put_back = |((_, id), (_, log_id))| PutBack { id, log_id };
    taken.into_iter().map(put_back).collect()
}

fn listed(names: &[MethodName]) -> String {
    let mut texts: Vec<String> = names.iter().take(NAMED).map(ToString::to_string).collect();
    match names.len() {
        0 => texts.push("nothing".to_owned()),
        len if len > NAMED => texts.push(format!("and {} more", len - NAMED)),
        _ => {}
    }
    texts.join(", ")
}

/// Whenever a handler is registered, what waited for it is due at once. Ends with the registry.
pub(super) async fn follow_registry(
    theme: Arc<Theme>,
    store: Store,
    wake: Arc<Wake>,
    mut changes: watch::Receiver<()>,
) {
    while changes.changed().await.is_ok() {
        // What was put back a moment ago may not be written yet.
        let _ = tokio::time::timeout(WRITE, theme.recorder.send(Drained { stops: false })).await;
        make_due(&theme, &store, theme.unserved.take_served(&theme.registry)).await;
        wake.ring();
    }
}

/// Makes due what was put back and is served by now.
pub(super) async fn make_due(theme: &Theme, store: &Store, put_back: Vec<PutBack>) {
    if put_back.is_empty() {
        return;
    }
    match store.make_due(&put_back).await {
        Ok(due) => store.announce_tasks(&theme.name, due),
        Err(error) => say!(
            Warn,
            "theme {}: {} tasks whose method is served by now wait up to a minute more, the database refuses to make them \
             due: {error}",
            theme.name,
            put_back.len()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Json;

    fn task(id: i64, method: &str, token: i64) -> ClaimedTask {
        ClaimedTask {
            id,
            service: "Orders".to_owned(),
            method: method.to_owned(),
            args: Json::null(),
            left_out: None,
            retry_time: 0,
            max_retry_time: 3,
            priority: 0,
            timeout: None,
            retry_delay: None,
            owner: "node".into(),
            token,
            log_id: format!("claim-{id}").into(),
            claimed_at: DateTime::<Utc>::UNIX_EPOCH,
        }
    }

    fn name(method: &str) -> MethodName {
        MethodName {
            service: "Orders".to_owned(),
            method: method.to_owned(),
        }
    }

    fn wait(unserved: &Unserved, task: &ClaimedTask) -> f64 {
        let now = DateTime::<Utc>::UNIX_EPOCH;
        (unserved.note(task, now) - now).as_seconds_f64()
    }

    #[test]
    fn a_task_that_nobody_serves_waits_longer_each_time_and_at_most_about_a_minute() {
        let unserved = Unserved::default();
        for (claims, expected) in [(1, 1.0), (2, 2.0), (5, 16.0), (7, 60.0), (i64::MAX, 60.0)] {
            let waits = wait(&unserved, &task(1, "Confirm", claims));
            assert!((expected * 0.8..=expected * 1.2).contains(&waits), "{claims}: {waits}");
        }
        // One that another node serves is due again soon.
        unserved.set_elsewhere(BTreeSet::from([name("Confirm")]));
        let waits = wait(&unserved, &task(1, "Confirm", 7));
        assert!((0.8..=1.2).contains(&waits), "{waits}");
    }

    #[test]
    fn a_method_is_warned_of_once_a_minute_with_the_count_since() {
        let unserved = Unserved::default();
        let began = Instant::now();
        let said = |after: u64| -> Vec<_> {
            let said = unserved.what_to_say(began + Duration::from_secs(after)).into_iter();
            said.map(|(name, count)| (name.map(|name| name.method.clone()), count))
                .collect()
        };
        assert_eq!(said(0), []);
        wait(&unserved, &task(1, "Confirm", 1));
        wait(&unserved, &task(2, "Confirm", 1));
        assert_eq!(said(0), [(Some("Confirm".to_owned()), 2)]);
        wait(&unserved, &task(3, "Confirm", 1));
        wait(&unserved, &task(4, "Cancel", 1));
        assert_eq!(said(59), [(Some("Cancel".to_owned()), 1)]);
        assert_eq!(said(60), [(Some("Confirm".to_owned()), 1)]);
        assert_eq!(said(300), []);
    }

    #[test]
    fn no_number_of_names_fills_the_memory() {
        let unserved = Unserved::default();
        for id in 0..30_000 {
            wait(&unserved, &task(id, &format!("m{id}"), 1));
        }
        assert_eq!(unserved.list(|_| false).len(), MAX_METHODS);
        let said = unserved.what_to_say(Instant::now());
        assert_eq!(said.len(), MAX_METHODS + 1);
        assert_eq!(
            said.last().map(|(name, count)| (name.is_none(), *count)),
            Some((true, 29_900))
        );
        assert_eq!(unserved.state().waiting.len(), MAX_WAITING);
    }

    #[test]
    fn what_another_node_begins_to_serve_is_due_at_once_and_once() {
        let unserved = Unserved::default();
        let now = DateTime::<Utc>::UNIX_EPOCH;
        let until = unserved.note(&task(1, "Confirm", 1), now);
        assert!(unserved.is_due_at(until) && !unserved.is_due_at(now));
        unserved.note(&task(2, "Cancel", 1), now);
        let elsewhere = || BTreeSet::from([name("Confirm")]);
        let ids = |put_back: Vec<PutBack>| put_back.iter().map(|task| task.id).collect::<Vec<_>>();
        assert_eq!(ids(unserved.set_elsewhere(elsewhere())), [1]);
        assert!(unserved.is_served_elsewhere("Orders", "Confirm"));
        // That node may be busy: what is put back meanwhile is not made due with every beat.
        unserved.note(&task(1, "Confirm", 2), now);
        assert_eq!(ids(unserved.set_elsewhere(elsewhere())), [0; 0]);
    }
}
