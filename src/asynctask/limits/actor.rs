//! The actor that shares out the slots of limited methods with other nodes.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use actix::{Actor, AsyncContext, Context, WrapFuture};
use futures_util::{FutureExt, StreamExt, future::LocalBoxFuture, stream::FuturesUnordered};

use super::{Limits, Question, Time, limited::RETRY};
use crate::{
    registry::MethodName,
    repeats::Repeats,
    store::{Held, Settled, Store, StoreError, StoredLimit},
};

/// Asks the database for slots, and gives slots back. Each process has one; it sleeps while no method has a limit.
pub(crate) struct LimitActor {
    limits: Limits,
    store: Store,
    node: Arc<str>,
}

/// How many questions are asked at once: claims and ends of tasks need connections, too.
const AT_ONCE: usize = 4;

/// The work of the actor. Each method is settled by itself: a row that another session has locked holds up no other method.
struct Work {
    limits: Limits,
    store: Store,
    node: Arc<str>,
    under_way: FuturesUnordered<LocalBoxFuture<'static, Done>>,
    is_reading: bool,
    /// The table could not be read: when to try again.
    read_again: Option<Instant>,
    said: Repeats<Option<Arc<MethodName>>>,
}

/// A piece of work that is done.
enum Done {
    /// The limits, and what this node has of them; and how often limits had been followed before.
    Read(Result<(Vec<StoredLimit>, Vec<Held>), StoreError>, u64),
    Settled(Question, Result<Settled, StoreError>),
    Freed,
}

impl LimitActor {
    pub(crate) fn new(limits: Limits, store: Store, node: Arc<str>) -> Self {
        Self { limits, store, node }
    }
}

impl Actor for LimitActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let work = Work {
            limits: self.limits.clone(),
            store: self.store.clone(),
            node: Arc::clone(&self.node),
            under_way: FuturesUnordered::new(),
            is_reading: false,
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
        if self.read_again.is_some_and(|at| at <= Instant::now()) {
            self.read_again = None;
            self.limits.request_read();
        }
        if !self.is_reading && self.limits.0.is_to_read.swap(false, Ordering::Relaxed) {
            self.is_reading = true;
            let (store, node) = (self.store.clone(), Arc::clone(&self.node));
            let followed = self.limits.0.followed.load(Ordering::Relaxed);
            let read = async move {
                let read = async {
                    let limits = store.cluster().limits().await?;
                    Ok((limits, store.cluster().slots_of(&node).await?))
                };
                Done::Read(read.await, followed)
            };
            self.under_way.push(read.boxed_local());
        }
        let most = AT_ONCE.saturating_sub(self.under_way.len());
        let questions = self.limits.0.questions(&self.node, self.time(), most);
        for question in questions.now {
            let (store, settle) = (self.store.clone(), Arc::new(question.settle.clone()));
            let ask = async move {
                let settled = store.cluster().settle_slots(&settle).await;
                Done::Settled(question, settled)
            };
            self.under_way.push(ask.boxed_local());
        }
        let wake_at = [questions.wake_at, self.read_again].into_iter().flatten().min();
        (wake_at, questions.wake_at_reading)
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Read(Ok((limits, rows)), followed) => {
                self.is_reading = false;
                self.said.over(&None);
                match self.limits.0.followed.load(Ordering::Relaxed) == followed {
                    true => {
                        self.limits.follow(limits);
                        self.limits.0.compare(&rows);
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
            Done::Freed => {}
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
