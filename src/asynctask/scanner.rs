//! The actor that claims work from the database.
//!
//! It asks the pool how much it can take, claims at most that, and looks again at once while claims come back full.
//! Otherwise it sleeps until it is woken, the next scheduled task is due, or the scan interval is over. A wake-up that
//! comes while a claim is under way is kept by the [`Wake`], and leads to another look: none is lost.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{
    Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, MessageResult, ResponseFuture,
    SpawnHandle, WrapFuture,
};
use tokio::sync::oneshot;

use super::{
    pool::{Dispatch, GetRoom, Room, WorkerPool},
    run::Run,
    serving::{follow_registry, look_for_unserved},
    theme::ThemeContext,
    wake::{Look, Wake},
};
use crate::{
    backoff::Backoff,
    domain::Outcome,
    events::DatabaseWork,
    held_runs::UnansweredClaim,
    lease::Term,
    registry::MethodName,
    run::{Gate, GateChange},
    store::{Claim, Claimed, ClaimedTask, Store, StoreError},
};

/// Ids remembered at most while the pool is full. More are found by the scan like any other task.
const MAX_QUICK: usize = 1_000;

/// Between a look and the next one, at least, if the wake is not rung.
const MIN_SLEEP: Duration = Duration::from_millis(1);

/// Until the next look where other sessions hold locks on due tasks.
const LOCKED: Duration = Duration::from_millis(100);

/// Until the next look where more is due than the pool takes of its methods.
const MORE: Duration = Duration::from_millis(20);

/// Between two looks for urgent tasks while the pool is full.
const URGENT: Duration = Duration::from_millis(50);

/// Claims the due tasks of one theme for its pool.
pub(super) struct ScannerActor {
    theme: Arc<ThemeContext>,
    store: Store,
    node: Arc<str>,
    pool: Addr<WorkerPool>,
    wake: Arc<Wake>,
    gate: Gate,
    /// How many to claim at once: doubles while claims come back full.
    batch: usize,
    /// How long to wait after a look in vain.
    idle: Duration,
    /// Ids of tasks that callers want claimed before others.
    quick: Vec<i64>,
    /// When it last looked for urgent tasks while the pool was full.
    urgent: Option<Instant>,
    scanning: bool,
    timer: Option<SpawnHandle>,
    backoff: Backoff,
    stopped: Vec<oneshot::Sender<()>>,
    scans: u64,
    database_errors: u64,
}

/// Claim this task before others with the next scan, which begins at once.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct QuickQueue(pub(super) i64);

/// There was work that no claim of the scanner's brought.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Worked;

/// Other living nodes of the theme serve these methods.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct ServedElsewhere {
    pub(super) methods: BTreeSet<MethodName>,
    /// Tasks of some theme are due.
    pub(super) any_due: bool,
}

/// Claim nothing more. Answers when no claim is under way; the actor has stopped then.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct StopScanning;

#[derive(Message)]
#[rtype(result = "ScannerSnapshot")]
pub(super) struct GetScannerSnapshot;

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ScannerSnapshot {
    pub(super) scans: u64,
    pub(super) database_errors: u64,
}

/// What one look brought.
struct Scan {
    /// The ids that were wanted before others.
    first: Vec<i64>,
    limit: usize,
    /// The term in which it was claimed.
    term: Term,
    /// Closed once the runs are made; dropped with an error after which it is unknown which tasks were taken.
    open: Option<UnansweredClaim>,
    place: Place,
    /// `None`: nothing was looked for.
    claimed: Option<Result<Claimed, StoreError>>,
}

/// What the pool had room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Whatever is due.
    Any,
    /// Only tasks that are more urgent than the tasks in its buffer. It rings the wake when it has room for more.
    Urgent,
    /// Only such tasks, and the last look for them was a moment ago.
    TooEarly,
    /// Nothing. It rings the wake when it has room.
    None,
}

/// When to look again, if the wake is not rung before.
enum Next {
    /// Now.
    Look,
    /// When the theme's clock has come to this reading.
    At(Duration),
    /// After so much real time: the event that the scanner waits for does not go by the theme's clock, which may be one that stands still.
    After(Duration),
}

impl ScannerActor {
    pub(super) fn new(
        theme: Arc<ThemeContext>,
        store: Store,
        node: Arc<str>,
        pool: Addr<WorkerPool>,
        wake: Arc<Wake>,
        paused: bool,
    ) -> Self {
        Self {
            batch: theme.options.scan_task_num,
            idle: theme.options.scan_interval,
            theme,
            store,
            node,
            pool,
            wake,
            gate: Gate {
                paused,
                ..Gate::default()
            },
            quick: Vec::new(),
            urgent: None,
            scanning: false,
            timer: None,
            backoff: Backoff::default(),
            stopped: Vec::new(),
            scans: 0,
            database_errors: 0,
        }
    }

    /// Looks for work now, unless it is looking already: then the wake-up that brought us here is not taken yet, and ends
    /// the next sleep at once.
    fn scan(&mut self, ctx: &mut Context<Self>) {
        if let Some(timer) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        if self.scanning || !self.gate.is_open() {
            return;
        }
        if self.theme.lease().has_expired() {
            // The next heartbeat renews it, or the node fences itself.
            self.sleep(actix_rt::time::sleep(LOCKED), ctx);
            return;
        }
        self.scanning = true;
        let claim = Claim {
            theme: self.theme.name().to_string(),
            node: self.node.to_string(),
            limit: self.batch,
            first: std::mem::take(&mut self.quick),
            methods: None,
            above: None,
        };
        let look = self.wake.look();
        let looked = self.urgent.is_some_and(|urgent| urgent.elapsed() < URGENT);
        let scan = scan(
            Arc::clone(&self.theme),
            self.store.clone(),
            self.pool.clone(),
            claim,
            looked,
        );
        ctx.spawn(
            scan.into_actor(self)
                .map(move |scan, scanner, ctx| scanner.scanned(look, scan, ctx)),
        );
    }

    fn scanned(&mut self, look: Look, scan: Scan, ctx: &mut Context<Self>) {
        self.scanning = false;
        let next = match scan.claimed {
            Some(Ok(claimed)) => {
                let next = match scan.place {
                    Place::Any => self.claimed(claimed, scan.limit, scan.term),
                    _ => self.claimed_urgent(claimed, scan.limit, scan.term),
                };
                if let Some(open) = scan.open {
                    open.answered();
                }
                if matches!(next, Next::At(_)) && scan.place == Place::Any {
                    self.wake.caught_up_to(look);
                }
                next
            }
            Some(Err(error)) => {
                self.want_again(scan.first);
                Next::After(self.failed(&error))
            }
            None => {
                self.want_again(scan.first);
                match scan.place {
                    Place::TooEarly => Next::After(URGENT),
                    _ => self.later(),
                }
            }
        };
        if self.gate.stopping {
            self.finish_stop(ctx);
            return;
        }
        match next {
            Next::Look => self.scan(ctx),
            Next::At(reading) => self.sleep(self.theme.clock().sleep_until(reading), ctx),
            Next::After(wait) => self.sleep(actix_rt::time::sleep(wait), ctx),
        }
    }

    fn later(&self) -> Next {
        let now = self.theme.clock().elapsed();
        Next::At(now.saturating_add(self.theme.options.scan_interval))
    }

    fn want(&mut self, id: i64) {
        if self.quick.len() < MAX_QUICK && !self.quick.contains(&id) {
            self.quick.push(id);
        }
    }

    fn want_again(&mut self, ids: Vec<i64>) {
        for id in ids {
            self.want(id);
        }
    }

    /// Hands a claim to the pool. All due tasks are taken if the answer is a reading of the clock.
    fn claimed(&mut self, claimed: Claimed, limit: usize, term: Term) -> Next {
        self.succeeded();
        let count = claimed.tasks.len();
        self.dispatch(claimed.tasks, term);
        let options = &self.theme.options;
        if count >= limit {
            if limit >= self.batch {
                let most = options.task_id_chan_length.max(options.scan_task_num);
                self.batch = (self.batch * 2).min(most);
            }
            return Next::Look;
        }
        self.batch = options.scan_task_num;
        if claimed.passed_over {
            return Next::After(LOCKED);
        }
        if claimed.more {
            return Next::After(MORE);
        }
        let interval = self.idle_interval();
        // The reading first: if the clock moves in between, the look comes early, not never.
        let clock = self.theme.clock();
        let (reading, now) = (clock.elapsed(), clock.now());
        let until_due = claimed.next_due.map(|due| (due - now).to_std().unwrap_or_default());
        match until_due.map_or(interval, |due| due.min(interval)) {
            // Due since the look, or within a breath: no busy loop.
            wait if wait < MIN_SLEEP => Next::After(MIN_SLEEP),
            wait => Next::At(reading.saturating_add(wait)),
        }
    }

    /// Hands tasks that are more urgent than others to the pool, which is full. It rings when it has room for more.
    fn claimed_urgent(&mut self, claimed: Claimed, limit: usize, term: Term) -> Next {
        self.succeeded();
        self.urgent = Some(Instant::now());
        let is_full = claimed.tasks.len() >= limit;
        self.dispatch(claimed.tasks, term);
        match is_full {
            true => Next::After(URGENT),
            false => self.later(),
        }
    }

    fn succeeded(&mut self) {
        self.scans += 1;
        self.backoff.succeeded();
        let (events, component) = (self.theme.events(), self.theme.component());
        events.succeeded(component, DatabaseWork::ClaimTasks);
    }

    /// Hands what this node serves to the pool, and puts back the rest: handlers may have gone since the claim began.
    fn dispatch(&mut self, claimed: Vec<ClaimedTask>, term: Term) {
        let theme = &self.theme;
        let runs = claimed.into_iter().map(|task| Run::new(task, term, &theme.runs));
        let (served, unserved): (Vec<_>, Vec<_>) =
            runs.partition(|run| theme.takes(&run.task.service, &run.task.method));
        for run in unserved {
            run.end(Outcome::NotServed);
        }
        if !served.is_empty() {
            self.idle = Duration::ZERO;
            self.pool.do_send(Dispatch(served));
        }
    }

    /// Where other processes are not heard, the scanner looks for the tasks that they add: soon after there was work, and ever less often while
    /// there is none. Nodes that were started together do not look together.
    fn idle_interval(&mut self) -> Duration {
        let options = &self.theme.options;
        self.idle = if self.store.cluster().hears_others() {
            options.scan_interval
        } else {
            let next = self.idle.saturating_mul(2).max(options.shortest_scan_interval);
            next.min(options.scan_interval)
        };
        self.idle.mul_f64(1.0 - fastrand::f64() / 10.0)
    }

    fn failed(&mut self, error: &StoreError) -> Duration {
        self.database_errors += 1;
        let (events, component) = (self.theme.events(), self.theme.component());
        events.failed(component, DatabaseWork::ClaimTasks, error);
        self.backoff.failed()
    }

    fn sleep(&mut self, rest: impl Future<Output = ()> + 'static, ctx: &mut Context<Self>) {
        let wake = Arc::clone(&self.wake);
        let slept = async move {
            tokio::select! {
                () = wake.rings() => {}
                () = rest => {}
            }
        };
        self.timer = Some(ctx.spawn(slept.into_actor(self).map(|(), scanner, ctx| {
            scanner.timer = None;
            scanner.scan(ctx);
        })));
    }

    fn finish_stop(&mut self, ctx: &mut Context<Self>) {
        for stopped in self.stopped.drain(..) {
            // The caller may have given up.
            let _ = stopped.send(());
        }
        ctx.stop();
    }
}

/// `looked`: the last look for urgent tasks was a moment ago.
async fn scan(theme: Arc<ThemeContext>, store: Store, pool: Addr<WorkerPool>, mut claim: Claim, looked: bool) -> Scan {
    // A pool that is gone takes nothing.
    let room = pool.send(GetRoom(theme.claimed_methods())).await.unwrap_or(None);
    let place = Place::of(room.as_ref(), looked);
    if let Some(Room { limit, methods, above }) = room {
        claim.limit = claim.limit.min(limit);
        (claim.methods, claim.above) = (methods, above);
    }
    let (limit, first) = (claim.limit, claim.first.clone());
    // Before the claim: if the lease is lost while it is made, its tasks may belong to other nodes already.
    let term = theme.lease().term();
    let mark = store.tasks().mark(&claim.node);
    let (mut open, mut claimed) = (None, None);
    if matches!(place, Place::Any | Place::Urgent) {
        open = Some(theme.held().begin_claim(mark.run()));
        let began = Instant::now();
        let answer = store.tasks().claim_as(claim, &mark).await;
        let tasks = answer.as_ref().map_or(0, |claimed| claimed.tasks.len());
        if tasks > 0 {
            theme.runs.tell_claimed(tasks, began.elapsed());
        }
        claimed = Some(answer);
    }
    Scan {
        first,
        limit,
        term,
        open,
        place,
        claimed,
    }
}

impl Place {
    fn of(room: Option<&Room>, looked: bool) -> Self {
        match room {
            None => Self::None,
            Some(room) if room.above.is_none() => Self::Any,
            Some(_) if looked => Self::TooEarly,
            Some(_) => Self::Urgent,
        }
    }
}

impl Actor for ScannerActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let registry = follow_registry(Arc::clone(&self.wake), self.theme.registry.changes());
        ctx.spawn(registry.into_actor(self));
        self.scan(ctx);
    }
}

impl Handler<QuickQueue> for ScannerActor {
    type Result = ();

    fn handle(&mut self, QuickQueue(id): QuickQueue, _: &mut Context<Self>) {
        self.want(id);
        self.wake.ring();
    }
}

impl Handler<ServedElsewhere> for ScannerActor {
    type Result = ();

    fn handle(&mut self, ServedElsewhere { methods, any_due }: ServedElsewhere, ctx: &mut Context<Self>) {
        if !any_due {
            self.theme.unserved.nothing_is_due(methods);
            return;
        }
        let (theme, store) = (Arc::clone(&self.theme), self.store.clone());
        // Not beside the look for dead nodes, and not all themes at once: an idle node is to need no further connection for it.
        let later = Duration::from_millis(200 + fastrand::u64(..1_000));
        let look = async move {
            actix_rt::time::sleep(later).await;
            look_for_unserved(&theme, &store, methods).await;
        };
        ctx.spawn(look.into_actor(self));
    }
}

/// Where there is work there may be more of it, from processes that are not heard.
impl Handler<Worked> for ScannerActor {
    type Result = ();

    fn handle(&mut self, _: Worked, ctx: &mut Context<Self>) {
        if !self.store.cluster().hears_others() && self.idle > self.theme.options.shortest_scan_interval {
            self.idle = Duration::ZERO;
            self.scan(ctx);
        }
    }
}

impl Handler<GateChange> for ScannerActor {
    type Result = ();

    fn handle(&mut self, change: GateChange, ctx: &mut Context<Self>) {
        let was_open = self.gate.is_open();
        self.gate.change(change);
        if !was_open {
            self.scan(ctx);
        }
    }
}

impl Handler<StopScanning> for ScannerActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: StopScanning, ctx: &mut Context<Self>) -> Self::Result {
        self.gate.stopping = true;
        let (tell, told) = oneshot::channel();
        self.stopped.push(tell);
        if !self.scanning {
            self.finish_stop(ctx);
        }
        Box::pin(async move {
            // Dropped unsent only with the actor itself, and then it scans no more.
            let _ = told.await;
        })
    }
}

impl Handler<GetScannerSnapshot> for ScannerActor {
    type Result = MessageResult<GetScannerSnapshot>;

    fn handle(&mut self, _: GetScannerSnapshot, _: &mut Context<Self>) -> Self::Result {
        MessageResult(ScannerSnapshot {
            scans: self.scans,
            database_errors: self.database_errors,
        })
    }
}
