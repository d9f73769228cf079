//! The actor that shares out the slots of limited methods with other nodes.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use actix::{Actor, AsyncContext, Context, WrapFuture};
use futures_util::{FutureExt, StreamExt, future::LocalBoxFuture, stream::FuturesUnordered};

use super::{Limits, Question, RETRY, Time};
use crate::{
    asynctask::runtime::{ThemeRuntime, ThemeRuntimes},
    registry::MethodName,
    repeats::Repeats,
    store::{Held, KEYS, KeyOfMethod, Settled, Store, StoreError, StoredLimit},
};

/// Asks the database for slots, and gives slots back. Each process has one; it sleeps while no method has a limit.
pub(crate) struct LimitActor {
    themes: ThemeRuntimes,
    store: Store,
}

/// How many questions are asked at once: claims and ends of tasks need connections, too.
const AT_ONCE: usize = 4;

/// How many of them may be about keys: they come more often.
const KEYS_AT_ONCE: usize = 2;

/// The work of the actor. Each method is settled by itself: a row that another session has locked holds up no other method.
struct Work {
    limits: Limits,
    themes: ThemeRuntimes,
    store: Store,
    under_way: FuturesUnordered<LocalBoxFuture<'static, Done>>,
    is_reading: bool,
    /// How many questions about keys are under way.
    asks_keys: usize,
    /// Methods without a limit of keys whose tasks are being freed that wait for their keys.
    freeing: BTreeSet<(String, String)>,
    /// How far the looks at keys have come.
    keys_after: Option<KeyOfMethod>,
    /// The table could not be read: when to try again.
    read_again: Option<Instant>,
    said: Repeats<Option<Arc<MethodName>>>,
}

/// A piece of work that is done.
enum Done {
    /// The limits, and what this node has of them; and how often limits had been followed before.
    Read(Result<Seen, StoreError>, u64),
    Settled(Question, Result<Settled, StoreError>),
    SettledKeys(Arc<MethodName>, Result<(), StoreError>),
    Freed,
    FreedAside((String, String)),
}

/// What a look finds.
struct Seen {
    limits: Vec<StoredLimit>,
    /// What this node has of them.
    held: Vec<Held>,
    /// A page of the keys for which tasks wait.
    keys: Vec<KeyOfMethod>,
    /// Keys of which the dead have slots.
    of_dead: Vec<KeyOfMethod>,
    /// What this node has of the keys.
    key_slots: Vec<(KeyOfMethod, usize)>,
}

/// Looks at the limits, and at a page of keys.
async fn look(store: &Store, node: &str, after: Option<&KeyOfMethod>) -> Result<Seen, StoreError> {
    let cluster = store.cluster();
    let limits = cluster.limits().await?;
    Ok(Seen {
        held: cluster.slots_of(node).await?,
        keys: cluster.keys_page(after).await?,
        of_dead: cluster.keys_of_dead().await?,
        key_slots: cluster.key_slots_of(node).await?,
        limits,
    })
}

impl LimitActor {
    pub(crate) fn new(themes: ThemeRuntimes, store: Store, node: Arc<str>) -> Self {
        // It is the node of this process, and never another.
        let _ = themes.limits().0.node.set(node);
        Self { themes, store }
    }
}

impl Actor for LimitActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let work = Work {
            limits: self.themes.limits().clone(),
            themes: self.themes.clone(),
            store: self.store.clone(),
            under_way: FuturesUnordered::new(),
            is_reading: false,
            asks_keys: 0,
            freeing: BTreeSet::new(),
            keys_after: None,
            read_again: None,
            said: Repeats::default(),
        };
        ctx.spawn(work.go_on().into_actor(self));
    }
}

impl Work {
    async fn go_on(mut self) {
        loop {
            let (wake_at, reading) = self.begin();
            let clock = self.store.clock().clone();
            let wake = async {
                match wake_at {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            let start = async {
                match reading {
                    Some(reading) => clock.sleep_until(reading).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(done) = self.under_way.next() => self.done(done),
                () = self.limits.0.work.notified() => {}
                () = wake => {}
                () = start => {}
            }
        }
    }

    /// Begins the work that is due; answers with the time of the next look, and with the reading of the clock at which tasks may start.
    fn begin(&mut self) -> (Option<Instant>, Option<Duration>) {
        self.tell_released();
        if self.read_again.is_some_and(|at| at <= Instant::now()) {
            self.read_again = None;
            self.limits.request_read();
        }
        if !self.is_reading && self.limits.0.is_to_read.swap(false, Ordering::Relaxed) {
            self.is_reading = true;
            let (limits, store) = (self.limits.clone(), self.store.clone());
            let followed = self.limits.0.followed.load(Ordering::Relaxed);
            let after = self.keys_after.clone();
            let read = async move { Done::Read(look(&store, limits.0.node(), after.as_ref()).await, followed) };
            self.under_way.push(read.boxed_local());
        }
        let most = AT_ONCE.saturating_sub(self.under_way.len() - self.freeing.len());
        let of_keys = KEYS_AT_ONCE.saturating_sub(self.asks_keys);
        let questions = self.limits.0.questions(self.time(), most, of_keys);
        for question in questions.now {
            let (store, settle) = (self.store.clone(), Arc::new(question.settle.clone()));
            let ask = async move {
                let settled = store.cluster().settle_slots(&settle).await;
                Done::Settled(question, settled)
            };
            self.under_way.push(ask.boxed_local());
        }
        self.asks_keys += questions.of_keys.len();
        for name in questions.of_keys {
            let (limits, store) = (self.limits.clone(), self.store.clone());
            let ask = async move {
                let settled = limits.settle_keys(&store, &name, None, (Vec::new(), 0)).await;
                Done::SettledKeys(name, settled.map(drop))
            };
            self.under_way.push(ask.boxed_local());
        }
        let wake_at = [questions.wake_at, self.read_again].into_iter().flatten().min();
        (wake_at, questions.wake_at_reading)
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Read(Ok(seen), followed) => {
                self.is_reading = false;
                self.said.over(&None);
                match self.limits.0.followed.load(Ordering::Relaxed) == followed {
                    true => {
                        self.limits.follow(seen.limits);
                        self.limits.0.compare(&seen.held);
                        self.limits.0.compare_keys(&seen.key_slots);
                        self.look_at_keys(&seen.keys, &seen.of_dead, &seen.key_slots);
                    }
                    // This process has changed a limit since.
                    false => self.limits.request_read(),
                }
            }
            Done::Read(Err(error), _) => {
                self.is_reading = false;
                self.say(None, "cannot read the limits of methods", &error);
                self.read_again = Some(Instant::now() + RETRY);
            }
            Done::Settled(question, settled) => {
                let about = Some(Arc::clone(&question.name));
                match &settled {
                    Ok(_) => drop(self.said.over(&about)),
                    Err(error) => {
                        let what = format!("cannot settle the slots of {}", question.name);
                        self.say(about, &what, error);
                    }
                }
                let time = self.time();
                let ended = self.limits.0.answered(&question, settled.ok(), time);
                self.free(&question.name, ended);
            }
            Done::SettledKeys(name, settled) => {
                self.asks_keys -= 1;
                if let Some(limited) = self.limits.0.methods().get_mut(&*name) {
                    limited.keys.is_asking = false;
                }
                match settled {
                    Ok(()) => drop(self.said.over(&Some(name))),
                    Err(error) => self.say(
                        Some(Arc::clone(&name)),
                        &format!("cannot settle the keys of {name}"),
                        &error,
                    ),
                }
            }
            Done::Freed => {}
            Done::FreedAside(method) => drop(self.freeing.remove(&method)),
        }
    }

    /// Has the database asked about keys that a look has found, and has tasks run that wait for keys of methods without a limit of keys.
    fn look_at_keys(&mut self, page: &[KeyOfMethod], of_dead: &[KeyOfMethod], mine: &[(KeyOfMethod, usize)]) {
        let over_of_dead = self.limits.0.look_at_keys(of_dead);
        let over = self.limits.0.look_at_keys(page);
        let is_whole = page.len() < KEYS;
        self.keys_after = page.last().filter(|_| !is_whole).cloned();
        if is_whole {
            self.limits.0.looks_at_all_keys.store(false, Ordering::Relaxed);
        } else if self.limits.0.looks_at_all_keys.load(Ordering::Relaxed) {
            self.limits.request_read();
        }
        let over_of_mine = self.limits.0.methods_without_keys(mine.iter().map(|(key, _)| key));
        for method in over.into_iter().chain(over_of_dead).chain(over_of_mine) {
            if self.freeing.insert(method.clone()) {
                self.under_way.push(self.free_aside(method).boxed_local());
            }
        }
    }

    /// Has the tasks of a method run that wait for their keys, and forgets its slots of keys.
    fn free_aside(&self, method: (String, String)) -> impl Future<Output = Done> + 'static {
        let (limits, store) = (self.limits.clone(), self.store.clone());
        async move {
            let (service, name) = &method;
            let free = async {
                let cluster = store.cluster();
                loop {
                    let (themes, more) = cluster.free_aside(service, name).await?;
                    limits.0.note_released(themes.into_iter().map(|theme| (theme, 1)));
                    limits.0.work.notify_one();
                    if !more {
                        return cluster.drop_key_slots(service, name, limits.0.node()).await;
                    }
                }
            };
            if let Err(error) = free.await {
                say!(
                    Debug,
                    "cannot have tasks of {service}.{name} run that waited for their keys: {error}"
                );
            }
            Done::FreedAside(method)
        }
    }

    /// Wakes the scanners of tasks that were released, here and in other processes.
    fn tell_released(&self) {
        for (theme, tasks) in self.limits.0.take_released() {
            self.themes.ring(&theme);
            self.themes.get(&theme).iter().for_each(ThemeRuntime::wake);
            self.store.cluster().announce_tasks(&theme, tasks);
        }
    }

    /// Gives slots of remote claims back whose runs ended while the slots moved to the claims.
    fn free(&self, name: &Arc<MethodName>, ended: Vec<(String, usize)>) {
        for (mark, runs) in ended {
            let (store, name) = (self.store.clone(), Arc::clone(name));
            let free = async move {
                let cluster = store.cluster();
                let freed = cluster.free_remote(&mark, &name.service, &name.method, runs);
                if let Err(error) = freed.await {
                    say!(Debug, "cannot give {runs} slots of {name} back: {error}");
                }
                Done::Freed
            };
            self.under_way.push(free.boxed_local());
        }
    }

    fn say(&mut self, about: Option<Arc<MethodName>>, what: &str, error: &StoreError) {
        match self.said.say(about, &error.to_string()) {
            Some(said) => say!(Warn, "{what}, will try again: {said}"),
            None => say!(Debug, "{what}: {error}"),
        }
    }

    fn time(&self) -> Time {
        let clock = self.store.clock();
        // The reading first: if the clock moves in between, the next look comes early, not never.
        let reading = clock.elapsed();
        Time {
            now: clock.now().timestamp_micros(),
            reading,
        }
    }
}
