//! The actor that looks, decides and has messages sent.
//!
//! The actor has a separate thread, on which functions of the application are called. It works at the database in rounds, one at a time. While a round waits for the database, the actor still judges its own process.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Message, ResponseActFuture, WrapFuture,
};
use futures_util::future::{LocalBoxFuture, pending};
use tokio::sync::{mpsc, oneshot};

use super::{
    cause::Cause,
    collector::{Collector, Taken},
    delivery::Delivery,
    local::{Away, Local},
    options::AlertSettings,
    round::{Input, Output, SeenStates, round},
    states::{Fires, Looker, Seen, Shares},
};
use crate::{
    clock::Clock,
    domain::AlertKind,
    error::Error,
    events::Tally,
    repeats::Repeats,
    store::{Store, StoreError},
};

/// How often the actor takes the sums of the collector.
const LOOK: Duration = Duration::from_secs(2);

/// How often it looks for states at the database.
const LOOK_AT_STATES: Duration = Duration::from_secs(10);

/// How long one round may take.
const LONGEST_ROUND: Duration = Duration::from_secs(60);

/// How long a stop waits for the last round, and for messages under way.
const STOP: Duration = Duration::from_secs(2);

/// How long the runtime waits for the actor: longer, since a function of the application may hold up its thread.
pub(super) const LONGEST_STOP: Duration = Duration::from_secs(3);

/// Looks every two seconds, decides, and has messages sent.
pub(crate) struct AlertActor {
    /// The watcher, until it begins.
    watcher: Option<Watcher>,
    stop: Option<mpsc::Sender<oneshot::Sender<()>>>,
}

/// Send the messages about the time until now, and end. Waits at most two seconds.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct StopAlerts;

/// What an [`AlertActor`] is built from.
pub(super) struct Watcher {
    pub(super) node: Arc<str>,
    pub(super) store: Store,
    pub(super) tally: Tally,
    pub(super) settings: Arc<AlertSettings>,
    pub(super) collector: Collector,
    pub(super) looker: Looker,
    pub(super) local: Local,
    pub(super) delivery: Delivery,
}

/// A watcher that has begun.
struct Watching {
    parts: Watcher,
    clock: Clock,
    seen: Seen,
    shares: Shares,
    /// The next fires of jobs, while no round has them.
    fires: Fires,
    /// When to look for states again, by the elapsed time of the clock.
    next_states: Duration,
    /// The round that waits for the database.
    round: Option<LocalBoxFuture<'static, Done>>,
    /// When it began.
    round_begun: Duration,
    /// Since when rounds fail.
    away: Option<Away>,
    failures: Repeats<()>,
}

/// What a round has brought.
struct Done {
    output: Output,
    fires: Fires,
    seen: Seen,
    /// Why the states could not be read.
    blind: Option<Error>,
}

impl AlertActor {
    pub(super) fn new(watcher: Watcher) -> Self {
        Self {
            watcher: Some(watcher),
            stop: None,
        }
    }
}

impl Actor for AlertActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let Some(watcher) = self.watcher.take() else { return };
        watcher.delivery.begin();
        let (stop, asked) = mpsc::channel(1);
        self.stop = Some(stop);
        ctx.spawn(Watching::new(watcher).run(asked).into_actor(self));
    }
}

impl Handler<StopAlerts> for AlertActor {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, _: StopAlerts, _: &mut Context<Self>) -> Self::Result {
        let stop = self.stop.take();
        let stopped = async move {
            let Some(stop) = stop else { return };
            let (tell, told) = oneshot::channel();
            if stop.send(tell).await.is_ok() {
                // An error means that the watcher has ended, too.
                let _ = told.await;
            }
        };
        Box::pin(stopped.into_actor(self).map(|(), _, ctx| ctx.stop()))
    }
}

impl Watching {
    fn new(parts: Watcher) -> Self {
        let clock = parts.store.clock().clone();
        Self {
            seen: Seen::default(),
            shares: Shares::begin(&parts.tally, clock.elapsed()),
            fires: Fires::default(),
            next_states: Duration::ZERO,
            round: None,
            round_begun: Duration::ZERO,
            away: None,
            failures: Repeats::default(),
            clock,
            parts,
        }
    }

    /// Looks again and again, until it is asked to stop.
    async fn run(mut self, mut stop: mpsc::Receiver<oneshot::Sender<()>>) {
        let mut next = self.clock.elapsed();
        loop {
            let clock = self.clock.clone();
            tokio::select! {
                asker = stop.recv() => {
                    self.end().await;
                    if let Some(asker) = asker {
                        // The asker may have given up.
                        let _ = asker.send(());
                    }
                    return;
                }
                done = finished(&mut self.round) => self.done(done),
                () = clock.sleep_until(next) => {
                    // Counted from before the look: a test may have moved its clock since.
                    next = clock.elapsed().saturating_add(LOOK);
                    self.look();
                }
            }
        }
    }

    /// A last look, without states: the messages about the time until now are sent.
    async fn end(mut self) {
        let end = async {
            self.next_states = Duration::MAX;
            // If a round is under way, only the second look can begin another one.
            for _ in 0..2 {
                self.look();
                if let Some(round) = self.round.take() {
                    let done = round.await;
                    self.done(done);
                }
            }
            self.parts.delivery.sent().await;
        };
        if tokio::time::timeout(STOP, end).await.is_err() {
            say!(
                Warn,
                "some messages of alerts were not sent within {STOP:?} of the stop"
            );
        }
    }

    /// Judges this process, and begins a round if there is something to write or to look for.
    fn look(&mut self) {
        let (now, elapsed) = (self.clock.now(), self.clock.elapsed());
        let taken = self.parts.collector.take();
        let away = self.away(elapsed);
        let messages = self
            .parts
            .local
            .look(&taken, away.as_ref(), (now, elapsed), &self.parts.settings);
        self.parts.delivery.send(messages);
        let looks_at_states = elapsed >= self.next_states;
        let is_wanted = looks_at_states || !taken.happened.is_empty() || !taken.succeeded.is_empty();
        match self.round.is_none() && is_wanted {
            true => self.begin_round(taken, looks_at_states),
            false => self.parts.collector.give_back(taken.happened, taken.succeeded),
        }
    }

    /// Since when the database gives no answer, or errors.
    fn away(&self, elapsed: Duration) -> Option<Away> {
        let is_hanging = self.round.is_some() && self.round_begun < elapsed;
        let hanging = is_hanging.then(|| Away {
            since: self.round_begun,
            error: "it gives no answer".to_owned(),
        });
        self.away.clone().or(hanging)
    }

    fn begin_round(&mut self, taken: Taken, looks_at_states: bool) {
        let elapsed = self.clock.elapsed();
        let (parts, settings) = (&self.parts, Arc::clone(&self.parts.settings));
        let input = Input {
            node: Arc::clone(&parts.node),
            settings: Arc::clone(&settings),
            happened: taken.happened,
            succeeded: taken.succeeded,
            seen: None,
            own: parts.local.rows(self.clock.now()),
        };
        let shares = match looks_at_states {
            true => self.shares.look(&parts.tally, elapsed, &settings),
            false => Vec::new(),
        };
        if looks_at_states {
            self.next_states = elapsed.saturating_add(LOOK_AT_STATES);
        }
        let look = looks_at_states.then(|| Look {
            looker: parts.looker.clone(),
            shares,
            elapsed,
        });
        let (fires, seen) = (std::mem::take(&mut self.fires), std::mem::take(&mut self.seen));
        self.round_begun = elapsed;
        self.round = Some(Box::pin(work_in_time(parts.store.clone(), input, look, (fires, seen))));
    }

    fn done(&mut self, done: Done) {
        self.round = None;
        let Done {
            output,
            fires,
            seen,
            blind,
        } = done;
        (self.fires, self.seen) = (fires, seen);
        self.parts.delivery.send(output.messages);
        self.parts.collector.give_back(output.unwritten, BTreeSet::new());
        if output.error.is_none() {
            self.parts.collector.note_successes(output.any_job_failed);
        }
        let error = output.error.map(Error::from).or(blind);
        let Some(error) = error else {
            self.away = None;
            self.failures.over(&());
            return;
        };
        let text = error.to_string();
        if let Some(said) = self.failures.say((), &text) {
            say!(
                Error,
                "alerts cannot be read or written, will try again and again: {said}"
            );
        }
        let is_away = matches!(&error, Error::Store(error) if !error.is_refusal());
        let since = self.away.as_ref().map_or(self.round_begun, |away| away.since);
        self.away = is_away.then_some(Away { since, error: text });
    }
}

/// A look for states.
struct Look {
    looker: Looker,
    /// The methods of which this process has seen too many failures.
    shares: Vec<Cause>,
    elapsed: Duration,
}

/// The end of the round that is under way; never, if there is none.
async fn finished(round: &mut Option<LocalBoxFuture<'static, Done>>) -> Done {
    match round {
        Some(round) => round.await,
        None => pending().await,
    }
}

/// A round with a time limit: an answer that is lost must not keep the actor from the database for ever.
async fn work_in_time(store: Store, input: Input, look: Option<Look>, known: (Fires, Seen)) -> Done {
    let unwritten = input.happened.clone();
    let in_time = tokio::time::timeout(LONGEST_ROUND, work(store, input, look, known));
    in_time.await.unwrap_or_else(|_| Done {
        output: Output {
            unwritten,
            error: Some(StoreError::Disconnected(format!("no answer within {LONGEST_ROUND:?}"))),
            ..Output::default()
        },
        fires: Fires::default(),
        seen: Seen::default(),
        blind: None,
    })
}

/// Looks for states, if it is time to, and writes rows.
async fn work(store: Store, mut input: Input, look: Option<Look>, known: (Fires, Seen)) -> Done {
    let ((mut fires, mut seen), mut blind) = (known, None);
    if let Some(Look {
        looker,
        shares,
        elapsed,
    }) = look
    {
        let settings = Arc::clone(&looker.settings);
        match looker.look(std::mem::take(&mut fires)).await {
            Ok((mut states, known)) => {
                fires = known;
                let shares = shares
                    .into_iter()
                    .filter(|_| settings.kinds.contains(&AlertKind::FailureShare));
                states.causes.extend(shares);
                let lasting = seen.lasting(&states.causes, elapsed, &settings);
                input.seen = Some(SeenStates { states, lasting });
            }
            Err(error) => blind = Some(error),
        }
    }
    let output = store.drive(|store| round(store, input)).await;
    Done {
        // Without an output the runtime of the store has ended, and this process with it.
        output: output.unwrap_or_default(),
        fires,
        seen,
        blind,
    }
}
