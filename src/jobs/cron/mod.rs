//! The actor that knows when jobs are due.
//!
//! Every second it takes the due fires from its [`Timetable`] and claims them in the database. (A fire is one second at which a job is
//! due.) The node that inserts the record of a run runs it. All nodes do the same, and there is no leader. A fire that cannot be claimed
//! (the database is away, this node runs as many jobs as it may, or its lease has expired) stays due, and is judged by the misfire rules
//! once it can be claimed.

mod aside;
mod discovery;
mod load;
mod messages;
mod released;
mod requests;
mod runs;
mod runs_query;
mod timetable;

use std::{
    collections::{HashMap, HashSet},
    fmt::Display,
    sync::Arc,
    time::Duration,
};

use actix::{Actor, ActorFutureExt, AsyncContext, Context, WrapFuture};
use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::oneshot;

use aside::Aside;
pub(super) use messages::{DeclaredDead, GetCronSnapshot, Poll, Refresh, Retire, StartNow, Started, StopJobs};
use released::Released;
use runs::Running;
use runs_query::RunsQuery;
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

/// The most fires that one transaction claims.
const MAX_CLAIM: usize = 500;

/// When to try again a fire whose job is locked: mostly another node has locked the job, to claim it.
const RETRY_LOCKED_AFTER: Duration = Duration::from_millis(100);

/// When to try again a fire that waits for the end of a run, or that has waited and whose job is locked. (The end of a run on this node is heard.)
const RETRY_WAITING_AFTER: Duration = Duration::from_secs(1);

/// How often the cron actor looks for changed rows and for requests to stop runs. Both must take effect within 5 s.
const LOOK: Duration = Duration::from_secs(3);

/// How often the cron actor looks whether the system's time zone rules were updated: a few reads of small files.
const LOOK_AT_ZONES: Duration = Duration::from_secs(60);

/// How often the cron actor checks its runs: their threads may be blocked.
const LOOK_AFTER_RUNS: Duration = Duration::from_millis(250);

/// A clock that goes back by more than this was set back.
const SET_BACK: TimeDelta = TimeDelta::seconds(2);

/// Knows when each enabled job is due, and starts a [`JobExecActor`](crate::JobExecActor) for each fire that it wins.
#[expect(clippy::struct_excessive_bools, reason = "each is a state of its own")]
pub struct CronActor {
    store: Store,
    threads: Threads,
    settings: Settings,
    context: Arc<JobsContext>,
    timetable: Timetable,
    /// Runs whose ends are not written yet, by run id.
    running: HashMap<i64, Running>,
    /// The ids of runs that have ended and whose ends the database refuses in every form.
    refused: HashSet<i64>,
    /// Runs that were claimed and could not begin, because the lease was over.
    released: Released,
    /// By job: runs that have ended and whose handlers still block their threads.
    blocking: HashMap<i64, Arc<JobRun>>,
    /// All jobs were read once.
    loaded: bool,
    loading: SingleFlight,
    looks_at_runs: RunsQuery,
    taking_requests: SingleFlight,
    looks_at_schedules: SingleFlight,
    /// How many looks at the schedules there have been.
    looks: u64,
    claiming: RunsQuery,
    /// Fires to try again in a moment: another session has locked the job, or a run of the job that never begins is not written as ended yet.
    locked: Vec<Fire>,
    /// A timer is set for the fires in `locked`.
    locked_timer_set: bool,
    /// A timer is set for the fires that wait for runs of other nodes.
    waiting_timer_set: bool,
    /// How many fires one transaction claims at most: halved when the database refuses them, doubled when it does not.
    claim_size: usize,
    /// Jobs whose fires the database refuses to claim.
    aside: Aside,
    /// How many runs that callers have asked for are being claimed.
    starting: usize,
    gate: Gate,
    /// The term in which this node registered its present row: the first one, or the term in which it learned that other nodes had declared it
    /// dead. Other nodes may end runs that were claimed in an earlier term.
    oldest_safe_term: Term,
    /// The grace of the stop is over.
    cut_off: bool,
    /// The senders of [`StopJobs`], who wait for its answer.
    stop_waiters: Vec<oneshot::Sender<()>>,
    /// The fingerprint of the schedules that the timetable holds. `None`: the next look reads all schedules.
    seen: Option<Fingerprint>,
    /// The name and version of the time zone rules that the timetable follows.
    zone_data: String,
    /// The reading of the clock at the last look at these rules.
    zones_seen: Duration,
    last_tick: Option<DateTime<Utc>>,
    /// The services that answer every method, as they were at the last look for methods of them.
    services: Vec<String>,
    backoff: Backoff,
    /// Log lines about jobs whose fires are refused, by job id.
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
            looks_at_runs: RunsQuery::default(),
            taking_requests: SingleFlight::default(),
            looks_at_schedules: SingleFlight::default(),
            looks: 0,
            claiming: RunsQuery::default(),
            locked: Vec::new(),
            locked_timer_set: false,
            waiting_timer_set: false,
            claim_size: MAX_CLAIM,
            aside: Aside::default(),
            starting: 0,
            gate: Gate::default(),
            oldest_safe_term: context.lease.term(),
            cut_off: false,
            stop_waiters: Vec::new(),
            seen: None,
            zone_data: zone_data().to_string(),
            zones_seen: context.clock.elapsed(),
            last_tick: None,
            services: Vec::new(),
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

    /// Waits for the next whole second of the wall clock after `now`; the clock had this reading at `now`. Each tick reads the wall clock
    /// again, so that no drift adds up.
    fn wait_for_tick(&self, reading: Duration, now: DateTime<Utc>, ctx: &mut Context<Self>) {
        let into_second = Duration::from_nanos(u64::from(now.timestamp_subsec_nanos()) % 1_000_000_000);
        let wait = Duration::from_secs(1).saturating_sub(into_second);
        let tick = self.context.clock.sleep_until(reading.saturating_add(wait));
        ctx.spawn(tick.into_actor(self).map(|(), cron, ctx| cron.tick(ctx)));
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        self.counts.ticks += 1;
        // The reading first: if the clock is moved in between, the next tick comes early, not never.
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

    fn report_failure(&mut self, work: DatabaseWork, error: &impl Display) {
        self.counts.database_errors += 1;
        self.context.events.failed(&Component::Jobs, work, error);
    }

    fn report_success(&self, work: DatabaseWork) {
        self.context.events.succeeded(&Component::Jobs, work);
    }

    // ---- claiming ----

    /// Whether this node must not claim. The lease may have expired before the node has fenced itself; a fire that is claimed then would be
    /// lost.
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
        self.retry_locked_later(ctx);
        self.retry_waiting_later(ctx);
        if fires.is_empty() {
            return;
        }
        self.claiming.begin();
        // Read before the claim: if the lease is lost during the claim, the runs may already belong to other nodes.
        let term = self.context.lease.term();
        let (store, claim) = (self.store.clone(), self.fire_claim(fires.clone()));
        let claimed = async move { store.jobs().claim_fires(claim).await };
        ctx.spawn(claimed.into_actor(self).map(move |claimed, cron, ctx| match claimed {
            Ok(Some(fired)) => cron.claimed(fires, fired, term, ctx),
            // This node has no row: its next heartbeat makes a new one.
            Ok(None) => {
                cron.claiming.end();
                cron.timetable.put_back(&fires);
            }
            Err(error) if error.is_refusal() => cron.claim_refused(fires, &error, ctx),
            Err(error) => cron.not_claimed(&fires, &error, ctx),
        }));
    }

    /// Takes the fires that are due now, as many as this node may run.
    fn take_due(&mut self) -> Vec<Fire> {
        let now = self.now();
        let room = self.settings.max_running.saturating_sub(self.running.len());
        let held_up = self.held_up();
        let mut fires = Vec::new();
        while fires.is_empty() && self.timetable.has_due(now) {
            let due = self.timetable.take_due(now, room.min(self.claim_size));
            if due.is_empty() {
                break;
            }
            let (locked, free): (Vec<_>, Vec<_>) = self
                .aside
                .without(due)
                .into_iter()
                .partition(|fire| held_up.contains(&fire.job_id));
            for fire in locked {
                self.keep_locked(fire);
            }
            fires = free;
        }
        fires
    }

    fn claimed(&mut self, fires: Vec<Fire>, fired: Vec<Fired>, term: Term, ctx: &mut Context<Self>) {
        self.claiming.end();
        self.claim_size = (self.claim_size * 2).min(MAX_CLAIM);
        self.backoff.succeeded();
        self.report_success(DatabaseWork::ClaimFires);
        for (fire, fired) in fires.into_iter().zip(fired) {
            self.fired(fire, fired, term);
        }
        self.retry_locked_later(ctx);
        self.retry_waiting_later(ctx);
        self.claim_due(ctx);
    }

    /// Sets a timer for the fires that cannot be claimed now, so that other jobs do not wait for them.
    fn retry_locked_later(&mut self, ctx: &mut Context<Self>) {
        if !self.locked.is_empty() && !std::mem::replace(&mut self.locked_timer_set, true) {
            ctx.run_later(RETRY_LOCKED_AFTER, |cron, ctx| {
                cron.locked_timer_set = false;
                let locked = std::mem::take(&mut cron.locked);
                cron.timetable.put_back(&locked);
                cron.claim_due(ctx);
            });
        }
    }

    /// Sets a timer for the fires that wait for the end of a run: that run may be another node's.
    fn retry_waiting_later(&mut self, ctx: &mut Context<Self>) {
        if self.timetable.has_waiting() && !std::mem::replace(&mut self.waiting_timer_set, true) {
            ctx.run_later(RETRY_WAITING_AFTER, |cron, ctx| {
                cron.waiting_timer_set = false;
                cron.timetable.resume_all(cron.now());
                cron.claim_due(ctx);
            });
        }
    }

    fn fire_claim(&self, fires: Vec<Fire>) -> FireClaim {
        FireClaim {
            node: self.context.node.to_string(),
            now: self.now(),
            overlap: self.settings.rules.overlap,
            fires,
        }
    }

    /// A claim failed. `claiming` stays under way until the backoff is over, so that no claim is made before.
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
        ctx.run_interval(LOOK, Self::poll);
        ctx.run_interval(LOOK_AFTER_RUNS, Self::look_after_runs);
    }
}
