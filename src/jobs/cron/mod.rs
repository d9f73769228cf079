//! The actor that knows when jobs are due.
//!
//! Every second it takes the due fires from its [`Timetable`] and claims them in the database; the node that inserts the record
//! of a run runs it. All nodes do the same, and there is no leader. A fire that cannot be claimed (the database is away, this node
//! is full or has no heartbeat) stays due, and is judged by the misfire rules once it can be claimed.

mod aside;
mod load;
mod messages;
mod released;
mod runs;
mod timetable;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use actix::{Actor, ActorFutureExt, AsyncContext, Context, WrapFuture};
use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::oneshot;

use aside::Aside;
pub(super) use messages::{Disown, GetCronSnapshot, Look, Refresh, Retire, StartNow, Started, StopJobs};
use released::Released;
use runs::Running;
use timetable::Timetable;

use super::{
    Settings,
    run::{JobRun, JobsContext},
    status::JobsStatus,
};
use crate::{
    backoff::Backoff,
    events::{Component, DatabaseWork},
    lease::Term,
    repeats::Repeats,
    run::{Gate, SingleFlight},
    schedule::zone_data,
    store::{Fingerprint, Fire, FireClaim, Fired, Store, StoreError},
    threads::Threads,
};

/// Fires in one transaction at most.
const CLAIM: usize = 500;

/// When to look again at a job that cannot be claimed: mostly another node has locked it, to claim it.
const RETRY_LOCKED_AFTER: Duration = Duration::from_millis(100);

/// How often there is a look for changed rows and for requests to stop runs. Both are to take effect within 5 s.
const LOOK: Duration = Duration::from_secs(3);

/// How often there is a look whether the system's time zone rules were updated: a few reads of small files.
const LOOK_AT_ZONES: Duration = Duration::from_secs(60);

/// How often runs are looked after whose threads may be blocked.
const LOOK_AFTER_RUNS: Duration = Duration::from_millis(250);

/// A clock that goes back by more than this was set.
const SET_BACK: TimeDelta = TimeDelta::seconds(2);

/// Knows when each enabled job is due, and starts a [`JobExecActor`](crate::JobExecActor) for each fire that it wins.
pub struct CronActor {
    store: Store,
    threads: Threads,
    settings: Settings,
    context: Arc<JobsContext>,
    timetable: Timetable,
    running: HashMap<i64, Running>,
    /// Runs that have ended, and whose ends the database refuses in every form.
    refused: HashSet<i64>,
    /// Runs that could not begin in the term of their claims.
    released: Released,
    /// By job: runs that have ended and whose handlers still block their threads.
    blocking: HashMap<i64, Arc<JobRun>>,
    /// All jobs were read once.
    loaded: bool,
    loading: SingleFlight,
    looks_at_runs: SingleFlight,
    looks_at_schedules: SingleFlight,
    /// Looks at schedules so far.
    looks: u64,
    claiming: SingleFlight,
    /// Fires of jobs that another session had locked, or that are held up by runs which never begin; and whether a look at them is to
    /// come.
    locked: Vec<Fire>,
    waiting: bool,
    /// How many fires are claimed at once: halved when the database refuses them.
    at_once: usize,
    /// Fires that the database refuses.
    aside: Aside,
    /// Runs that callers have asked for and that are being claimed.
    starting: usize,
    gate: Gate,
    /// The term in which the node was last taken for dead. Other nodes may end runs that were claimed before.
    row_since: Term,
    /// The grace of the stop is over.
    cut_off: bool,
    stopped: Vec<oneshot::Sender<()>>,
    seen: Option<Fingerprint>,
    /// Which rules of time zones the timetable goes by, in words.
    zone_data: String,
    /// The reading of the clock at the last look at these rules.
    zones_seen: Duration,
    last_tick: Option<DateTime<Utc>>,
    backoff: Backoff,
    /// By job: why its fires are refused.
    said: Repeats<i64>,
    counts: JobsStatus,
}

impl std::fmt::Debug for CronActor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CronActor")
            .field("scheduled", &self.timetable.scheduled())
            .field("running", &self.running.len())
            .finish_non_exhaustive()
    }
}

impl CronActor {
    pub(super) fn new(store: Store, threads: Threads, settings: Settings, context: Arc<JobsContext>) -> Self {
        Self {
            timetable: Timetable::new(settings.rules.clone()),
            store,
            threads,
            settings,
            running: HashMap::new(),
            refused: HashSet::new(),
            released: Released::default(),
            blocking: HashMap::new(),
            loaded: false,
            loading: SingleFlight::default(),
            looks_at_runs: SingleFlight::default(),
            looks_at_schedules: SingleFlight::default(),
            looks: 0,
            claiming: SingleFlight::default(),
            locked: Vec::new(),
            waiting: false,
            at_once: CLAIM,
            aside: Aside::default(),
            starting: 0,
            gate: Gate::default(),
            row_since: context.lease.term(),
            cut_off: false,
            stopped: Vec::new(),
            seen: None,
            zone_data: zone_data().to_string(),
            zones_seen: context.clock.elapsed(),
            last_tick: None,
            backoff: Backoff::default(),
            said: Repeats::default(),
            counts: JobsStatus::default(),
            context,
        }
    }

    fn now(&self) -> DateTime<Utc> {
        self.context.clock.now()
    }

    // ---- ticking ----

    /// Waits for the next whole second of the wall clock after `now`, which stood at this reading of the clock. It is asked
    /// anew each time: no drift adds up.
    fn wait_for_tick(&self, reading: Duration, now: DateTime<Utc>, ctx: &mut Context<Self>) {
        let into_second = Duration::from_nanos(u64::from(now.timestamp_subsec_nanos()) % 1_000_000_000);
        let wait = Duration::from_secs(1).saturating_sub(into_second);
        let tick = self.context.clock.sleep_until(reading.saturating_add(wait));
        ctx.spawn(tick.into_actor(self).map(|(), cron, ctx| cron.tick(ctx)));
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        self.counts.ticks += 1;
        // The reading first: if the clock moves in between, the next tick comes early, not never.
        let (reading, now) = (self.context.clock.elapsed(), self.now());
        if self.last_tick.is_some_and(|last| now < last - SET_BACK) {
            say!(Warn, "the clock was set back: jobs are scheduled anew from {now}");
            self.timetable.restart(now);
        }
        self.last_tick = Some(now);
        if reading.saturating_sub(self.zones_seen) >= LOOK_AT_ZONES {
            self.zones_seen = reading;
            self.look_at_zones();
        }
        self.claim_due(ctx);
        self.wait_for_tick(reading, now, ctx);
    }

    // ---- the database ----

    fn report_failure(&mut self, work: DatabaseWork, error: &StoreError) {
        self.counts.database_errors += 1;
        self.context.events.failed(&Component::Jobs, work, error);
    }

    fn report_success(&self, work: DatabaseWork) {
        self.context.events.succeeded(&Component::Jobs, work);
    }

    // ---- claiming ----

    /// A lease may be over before the node has noticed. A fire that is claimed then would be lost.
    fn is_fenced(&self) -> bool {
        self.gate.fenced || self.context.lease.has_expired()
    }

    fn claim_due(&mut self, ctx: &mut Context<Self>) {
        // Released runs come first: other fires of their jobs may wait for them.
        let is_closed = self.is_fenced() || !self.gate.is_open() || !self.released.is_empty();
        if self.claiming.is_under_way() || is_closed || !self.loaded {
            return;
        }
        let fires = self.take_due();
        self.wait_for_locked(ctx);
        if fires.is_empty() {
            return;
        }
        self.claiming.begin();
        // Asked before the claim: runs that are claimed after the lease was lost are not this node's.
        let term = self.context.lease.term();
        let (store, claim) = (self.store.clone(), self.fire_claim(fires.clone()));
        let claimed = async move { store.jobs().claim_fires(claim).await };
        ctx.spawn(claimed.into_actor(self).map(move |claimed, cron, ctx| match claimed {
            Ok(Some(fired)) => cron.claimed(fires, fired, term, ctx),
            // The next heartbeat makes this node's row anew.
            Ok(None) => {
                cron.claiming.end();
                cron.timetable.put_back(&fires);
            }
            Err(error) if error.is_refusal() => cron.refused(fires, &error, ctx),
            Err(error) => cron.not_claimed(&fires, &error, ctx),
        }));
    }

    /// The fires that are due now, as many as there is room for.
    fn take_due(&mut self) -> Vec<Fire> {
        let now = self.now();
        let room = self.settings.max_running.saturating_sub(self.running.len());
        let held_up = self.held_up();
        let mut fires = Vec::new();
        while fires.is_empty() && self.timetable.has_due(now) {
            let due = self.timetable.take_due(now, room.min(self.at_once));
            if due.is_empty() {
                break;
            }
            let (locked, free): (Vec<_>, Vec<_>) = self
                .aside
                .without(due)
                .into_iter()
                .partition(|fire| held_up.contains(&fire.job_id));
            self.locked.extend(locked);
            fires = free;
        }
        fires
    }

    fn claimed(&mut self, fires: Vec<Fire>, fired: Vec<Fired>, term: Term, ctx: &mut Context<Self>) {
        self.claiming.end();
        self.at_once = (self.at_once * 2).min(CLAIM);
        self.backoff.succeeded();
        self.report_success(DatabaseWork::ClaimFires);
        for (fire, fired) in fires.into_iter().zip(fired) {
            self.fired(fire, fired, term);
        }
        self.wait_for_locked(ctx);
        self.claim_due(ctx);
    }

    /// Jobs that cannot be claimed now hold up no others, and come again in a moment.
    fn wait_for_locked(&mut self, ctx: &mut Context<Self>) {
        if !self.locked.is_empty() && !std::mem::replace(&mut self.waiting, true) {
            ctx.run_later(RETRY_LOCKED_AFTER, |cron, ctx| {
                cron.waiting = false;
                let locked = std::mem::take(&mut cron.locked);
                cron.timetable.put_back(&locked);
                cron.claim_due(ctx);
            });
        }
    }

    fn fire_claim(&self, fires: Vec<Fire>) -> FireClaim {
        FireClaim {
            node: self.context.node.to_string(),
            now: self.now(),
            fires,
        }
    }

    /// Keeps `claiming` until the wait is over, so that nothing is tried before.
    fn not_claimed(&mut self, fires: &[Fire], error: &StoreError, ctx: &mut Context<Self>) {
        self.report_failure(DatabaseWork::ClaimFires, error);
        self.timetable.put_back(fires);
        let wait = self.backoff.failed();
        ctx.run_later(wait, |cron, ctx| {
            cron.claiming.end();
            cron.claim_due(ctx);
        });
    }
}

impl Actor for CronActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        say!(Info, "jobs: schedules go by {}", self.zone_data);
        self.load(ctx);
        self.wait_for_tick(self.context.clock.elapsed(), self.now(), ctx);
        ctx.run_interval(LOOK, Self::look);
        ctx.run_interval(LOOK_AFTER_RUNS, Self::look_after_runs);
    }
}
