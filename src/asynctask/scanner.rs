//! The actor that claims work from the database.
//!
//! A scan asks the pool how much it has room for, and claims at most that. While claims come back full, the scanner scans again
//! immediately. Otherwise it sleeps until it is woken, the next scheduled task is due, or the scan interval is over. The [`Wake`] keeps a
//! wake-up that comes during a scan, and the next sleep ends immediately: no wake-up is lost.

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
    discovery::look_and_rest,
    limits::{ClaimPermits, Leave, Waiter},
    pool::{CaughtUp, Dispatch, GetRoom, Room, WorkerPool},
    run::Run,
    serving::{follow_registry, look_for_unserved},
    theme::ThemeContext,
    wake::{Wake, WakeSnapshot},
};
use crate::{
    backoff::Backoff,
    domain::Outcome,
    events::DatabaseWork,
    held_runs::UnansweredClaim,
    lease::Term,
    registry::MethodName,
    run::{Gate, GateChange, SingleFlight},
    store::{Claim, Claimed, ClaimedTask, Store, StoreError},
};

/// The most methods with due tasks that a scan reads where tasks without a handler are to fail and methods have limits.
const MAX_UNSERVED: usize = 1_000;

/// The most ids that the scanner remembers for the quick queue while the pool is full. Scans find further tasks like any other.
const MAX_QUICK: usize = 1_000;

/// The shortest sleep before the next due task. (After a full claim there is no sleep, and the wake ends any sleep.)
const MIN_SLEEP: Duration = Duration::from_millis(1);

/// The delay before the next scan if other sessions have locked due tasks, and while the lease of this node has expired.
const RETRY_LOCKED_AFTER: Duration = Duration::from_millis(100);

/// The delay before the next scan if more tasks are due than the pool has room for of their methods.
const RETRY_MORE_DUE_AFTER: Duration = Duration::from_millis(20);

/// The time between two scans for urgent tasks. While the pool is full, a task is urgent if its priority is above the lowest in the
/// pool's buffer.
const URGENT_INTERVAL: Duration = Duration::from_millis(50);

/// Claims the due tasks of one theme for its pool.
pub(super) struct ScannerActor {
    theme: Arc<ThemeContext>,
    store: Store,
    node: Arc<str>,
    pool: Addr<WorkerPool>,
    wake: Arc<Wake>,
    gate: Gate,
    /// How many tasks a scan claims at most. It doubles while claims come back full.
    batch: usize,
    /// How long to sleep after a scan that found nothing.
    idle: Duration,
    /// The quick queue: ids of tasks that callers want claimed before others.
    quick: Vec<i64>,
    /// When the scanner last claimed urgent tasks while the pool was full.
    last_urgent_scan: Option<Instant>,
    scanning: bool,
    /// How many claims have tasks whose keys are being settled.
    settling: usize,
    /// The look for methods of services that answer every method, and the rest after it.
    discovery: SingleFlight,
    timer: Option<SpawnHandle>,
    backoff: Backoff,
    /// The senders of [`StopScanning`], who wait for its answer.
    stop_waiters: Vec<oneshot::Sender<()>>,
    /// Waits for permits of limited methods.
    waiter: Waiter,
    /// Whether the last scan had to leave due tasks for lack of permits.
    lacks_permits: bool,
    scans: u64,
    database_errors: u64,
}

/// Claim this task before others with the next scan, which begins immediately.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct QuickQueue(pub(super) i64);

/// A task was claimed by its insert, without the scanner.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct ClaimedByInsert;

/// Other living nodes of the theme serve these methods.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct ServedElsewhere {
    pub(super) methods: BTreeSet<MethodName>,
    /// Whether tasks of any theme are due.
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

/// What one scan found.
struct Scan {
    /// The ids from the quick queue.
    first: Vec<i64>,
    limit: usize,
    /// The term of the lease in which the tasks were claimed.
    term: Term,
    /// Marked as answered once the runs are made. After an error it is dropped, since it is unknown which tasks the claim took.
    open: Option<UnansweredClaim>,
    look_for: LookFor,
    /// `None`: no claim was made.
    permits: Option<ClaimPermits>,
    /// Whether the claim has left due tasks for lack of permits.
    lacks_permits: bool,
    /// How many tasks the claim has taken.
    taken: usize,
    /// Those of them whose methods have limits of keys: they run once their keys are settled.
    keyed: Vec<ClaimedTask>,
    claimed: Option<Result<Claimed, StoreError>>,
}

/// Which tasks a scan looks for, given the room in the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LookFor {
    /// All that are due.
    AnyTask,
    /// The pool is full: only tasks with a higher priority than the lowest in its buffer. The pool rings the wake when it has room for more.
    UrgentOnly,
    /// Only such tasks, but the last scan for them was a moment ago, so this scan claims nothing.
    UrgentTooSoon,
    /// The pool takes nothing. It rings the wake when it has room.
    Nothing,
}

/// When the next scan begins, if the wake is not rung before.
enum NextScan {
    /// Immediately.
    Now,
    /// When the theme's clock reaches this reading.
    At(Duration),
    /// After so much real time: a manual clock (tests) may stand still while the scanner waits for a lock, the pool or the database.
    After(Duration),
}

impl ScannerActor {
    pub(super) fn new(
        theme: Arc<ThemeContext>,
        store: Store,
        node: Arc<str>,
        pool: Addr<WorkerPool>,
        wake: Arc<Wake>,
        gate: Gate,
    ) -> Self {
        Self {
            batch: theme.options.scan_task_num,
            idle: theme.options.scan_interval,
            waiter: Waiter {
                name: Arc::clone(theme.name()),
                bell: Arc::default(),
                patience: None,
            },
            lacks_permits: false,
            theme,
            store,
            node,
            pool,
            wake,
            gate,
            quick: Vec::new(),
            last_urgent_scan: None,
            scanning: false,
            settling: 0,
            discovery: SingleFlight::default(),
            timer: None,
            backoff: Backoff::default(),
            stop_waiters: Vec::new(),
            scans: 0,
            database_errors: 0,
        }
    }

    /// Begins a scan. Does nothing if a scan is under way: a wake-up stays stored in the `Wake`, and ends the next sleep immediately.
    fn scan(&mut self, ctx: &mut Context<Self>) {
        if let Some(timer) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        if self.scanning || !self.gate.is_open() {
            return;
        }
        if self.theme.lease().has_expired() {
            // The next heartbeat renews the lease, or the node fences itself.
            self.sleep(actix_rt::time::sleep(RETRY_LOCKED_AFTER), ctx);
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
        let seen = self.wake.begin_scan();
        let urgent_too_soon = self
            .last_urgent_scan
            .is_some_and(|urgent| urgent.elapsed() < URGENT_INTERVAL);
        let scan = scan(
            Arc::clone(&self.theme),
            self.store.clone(),
            self.pool.clone(),
            claim,
            self.waiter.clone(),
            urgent_too_soon,
        );
        ctx.spawn(
            scan.into_actor(self)
                .map(move |scan, scanner, ctx| scanner.scanned(seen, scan, ctx)),
        );
    }

    fn scanned(&mut self, seen: WakeSnapshot, scan: Scan, ctx: &mut Context<Self>) {
        self.scanning = false;
        self.lacks_permits = scan.lacks_permits;
        let next = match scan.claimed {
            Some(Ok(mut claimed)) => {
                let (tasks, count) = (std::mem::take(&mut claimed.tasks), scan.taken);
                let mut permits = scan.permits;
                self.dispatch(tasks, permits.as_mut(), scan.term);
                let (next, took_all) = match scan.look_for {
                    LookFor::AnyTask => self.claimed(&claimed, count, scan.limit),
                    _ => (self.claimed_urgent(count, scan.limit), false),
                };
                match permits.filter(|_| !scan.keyed.is_empty()) {
                    Some(permits) => self.settle_keys(scan.keyed, permits, scan.term, scan.open, ctx),
                    None => scan.open.into_iter().for_each(UnansweredClaim::answered),
                }
                // Tasks whose keys are not settled yet are not in the pool.
                if took_all && self.settling == 0 {
                    self.pool.do_send(CaughtUp(seen));
                }
                next
            }
            Some(Err(error)) => {
                self.want_again(scan.first);
                NextScan::After(self.failed(&error))
            }
            None => {
                self.want_again(scan.first);
                match scan.look_for {
                    LookFor::UrgentTooSoon => NextScan::After(URGENT_INTERVAL),
                    _ => self.later(),
                }
            }
        };
        if self.gate.stopping {
            self.finish_stop(ctx);
            return;
        }
        match next {
            NextScan::Now => return self.scan(ctx),
            NextScan::At(reading) => self.sleep(self.theme.clock().sleep_until(reading), ctx),
            NextScan::After(wait) => self.sleep(actix_rt::time::sleep(wait), ctx),
        }
        self.discover(ctx);
    }

    /// Looks for methods of services that answer every method. A scan during the look or the rest after it brings one further look.
    fn discover(&mut self, ctx: &mut Context<Self>) {
        if self.theme.registry.growing().is_empty() || !self.discovery.begin_or_queue() {
            return;
        }
        let (theme, store) = (Arc::clone(&self.theme), self.store.clone());
        let look = async move { look_and_rest(&theme, &store).await };
        ctx.spawn(look.into_actor(self).map(|(), scanner, ctx| {
            if scanner.discovery.end() {
                scanner.discover(ctx);
            }
        }));
    }

    fn later(&self) -> NextScan {
        let now = self.theme.clock().elapsed();
        NextScan::At(now.saturating_add(self.theme.options.scan_interval))
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

    /// Answers when to scan next after a claim of so many tasks, and whether the claim took all tasks that were due and may run.
    fn claimed(&mut self, claimed: &Claimed, count: usize, limit: usize) -> (NextScan, bool) {
        self.succeeded();
        let options = &self.theme.options;
        if count >= limit {
            if limit >= self.batch {
                let most = options.task_id_chan_length.max(options.scan_task_num);
                self.batch = (self.batch * 2).min(most);
            }
            return (NextScan::Now, false);
        }
        self.batch = options.scan_task_num;
        if claimed.passed_over {
            return (NextScan::After(RETRY_LOCKED_AFTER), false);
        }
        if claimed.more {
            return (NextScan::After(RETRY_MORE_DUE_AFTER), false);
        }
        let interval = self.idle_interval();
        // The reading first: if the clock is moved in between, the next scan comes early, not never.
        let clock = self.theme.clock();
        let (reading, now) = (clock.elapsed(), clock.now());
        let until_due = claimed.next_due.map(|due| (due - now).to_std().unwrap_or_default());
        match until_due.map_or(interval, |due| due.min(interval)) {
            // A task came due since the claim, or is about to: a short sleep, so that this is no busy loop.
            wait if wait < MIN_SLEEP => (NextScan::After(MIN_SLEEP), false),
            wait => (NextScan::At(reading.saturating_add(wait)), true),
        }
    }

    /// The pool was full, and has got urgent tasks. It rings the wake when it has room for more.
    fn claimed_urgent(&mut self, count: usize, limit: usize) -> NextScan {
        self.succeeded();
        self.last_urgent_scan = Some(Instant::now());
        match count >= limit {
            true => NextScan::After(URGENT_INTERVAL),
            false => self.later(),
        }
    }

    fn succeeded(&mut self) {
        self.scans += 1;
        self.backoff.succeeded();
        let (events, component) = (self.theme.events(), self.theme.component());
        events.succeeded(component, DatabaseWork::ClaimTasks);
    }

    /// Hands the tasks that this node serves to the pool, and puts the others back: handlers may have been removed since the claim began.
    fn dispatch(&mut self, claimed: Vec<ClaimedTask>, mut permits: Option<&mut ClaimPermits>, term: Term) {
        let theme = &self.theme;
        let mut served = Vec::with_capacity(claimed.len());
        for task in claimed {
            let (permit, is_refused) = match permits.as_mut().map(|permits| permits.leave(&task)) {
                Some(Leave::Permit(permit)) => (Some(permit), false),
                Some(Leave::Refused) => (None, true),
                Some(Leave::Unlimited) | None => (None, false),
            };
            let run = Run::new(task, permit, term, &theme.runs);
            if is_refused {
                self.lacks_permits = true;
                run.end(Outcome::HandedBack { started: false });
            } else if theme.takes(&run.task.service, &run.task.method) {
                served.push(run);
            } else {
                run.end(Outcome::NotServed);
            }
        }
        if !served.is_empty() {
            self.idle = Duration::ZERO;
            self.pool.do_send(Dispatch(served));
        }
    }

    /// Hands the tasks to the pool that may run by their keys. Scans go on with other methods at the same time.
    fn settle_keys(
        &mut self,
        mut tasks: Vec<ClaimedTask>,
        mut permits: ClaimPermits,
        term: Term,
        open: Option<UnansweredClaim>,
        ctx: &mut Context<Self>,
    ) {
        self.settling += 1;
        let store = self.store.clone();
        let settle = async move {
            permits.settle_keys(&store, &mut tasks).await;
            (tasks, permits)
        };
        ctx.spawn(settle.into_actor(self).map(move |(tasks, mut permits), scanner, ctx| {
            scanner.settling -= 1;
            scanner.dispatch(tasks, Some(&mut permits), term);
            open.into_iter().for_each(UnansweredClaim::answered);
            if scanner.gate.stopping && !scanner.scanning {
                scanner.finish_stop(ctx);
            }
        }));
    }

    /// How long to sleep after a scan that took all due tasks. On a database that cannot announce the tasks that other processes add, the
    /// scanner polls for them: often after there was work, and ever less often while there is none. Random, so that nodes that were started
    /// at the same time do not scan at the same time.
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

    fn sleep(&mut self, delay: impl Future<Output = ()> + 'static, ctx: &mut Context<Self>) {
        let wake = Arc::clone(&self.wake);
        let bell = self.lacks_permits.then(|| Arc::clone(&self.waiter.bell));
        let slept = async move {
            let permits_come = async {
                match &bell {
                    Some(bell) => bell.notified().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = wake.rings() => {}
                () = permits_come => {}
                () = delay => {}
            }
        };
        self.timer = Some(ctx.spawn(slept.into_actor(self).map(|(), scanner, ctx| {
            scanner.timer = None;
            scanner.scan(ctx);
        })));
    }

    fn finish_stop(&mut self, ctx: &mut Context<Self>) {
        if self.settling > 0 {
            return;
        }
        for waiter in self.stop_waiters.drain(..) {
            // The caller may have given up.
            let _ = waiter.send(());
        }
        ctx.stop();
    }
}

/// `urgent_too_soon`: the last scan for urgent tasks was a moment ago.
async fn scan(
    theme: Arc<ThemeContext>,
    store: Store,
    pool: Addr<WorkerPool>,
    mut claim: Claim,
    waiter: Waiter,
    urgent_too_soon: bool,
) -> Scan {
    theme.limits().keys_settled().await;
    let methods = methods(&theme, &store).await;
    // A pool that has died takes nothing.
    let room = pool.send(GetRoom(methods)).await.unwrap_or(None);
    let look_for = LookFor::of(room.as_ref(), urgent_too_soon);
    if let Some(Room { limit, methods, above }) = room {
        claim.limit = claim.limit.min(limit);
        (claim.methods, claim.above) = (methods, above);
    }
    let (limit, first) = (claim.limit, claim.first.clone());
    let claims = matches!(look_for, LookFor::AnyTask | LookFor::UrgentOnly);
    let permits = claims.then(|| theme.limits().take_for(&mut claim, &waiter));
    // Read before the claim: if the lease is lost during the claim, its tasks may already belong to other nodes.
    let term = theme.lease().term();
    let claim_id = store.tasks().new_claim_id(&claim.node);
    let (mut open, mut claimed, mut lacks_permits) = (None, None, false);
    let (mut taken, mut keyed) = (0, Vec::new());
    if let Some(permits) = &permits {
        open = Some(theme.held().begin_claim(claim_id.mark()));
        let began = Instant::now();
        let mut answer = store.tasks().claim_as(claim, &claim_id).await;
        lacks_permits = answer.as_ref().is_ok_and(|claimed| permits.note_left(claimed));
        if let Ok(claimed) = &mut answer {
            taken = claimed.tasks.len();
            if taken > 0 {
                theme.runs.tell_claimed(taken, began.elapsed());
            }
            keyed = permits.split_off_keys(&mut claimed.tasks);
        }
        claimed = Some(answer);
    }
    Scan {
        first,
        limit,
        term,
        open,
        look_for,
        permits,
        lacks_permits,
        taken,
        keyed,
        claimed,
    }
}

/// The methods whose tasks are claimed; `None`: all. While any method has a limit, a claim must name its methods.
async fn methods(theme: &ThemeContext, store: &Store) -> Option<Vec<MethodName>> {
    let claimed = theme.claimed_methods();
    if claimed.is_some() || !theme.limits().any() {
        return claimed;
    }
    let mut names: BTreeSet<MethodName> = theme.registry.served().into_iter().collect();
    match store.tasks().due_methods(theme.name(), MAX_UNSERVED).await {
        Ok(due) => names.extend(due.into_iter().map(|(service, method)| MethodName { service, method })),
        Err(error) => say!(
            Debug,
            "theme {}: cannot look for tasks without a handler, which are to fail: {error}",
            theme.name()
        ),
    }
    Some(names.into_iter().collect())
}

impl LookFor {
    fn of(room: Option<&Room>, urgent_too_soon: bool) -> Self {
        match room {
            None => Self::Nothing,
            Some(room) if room.above.is_none() => Self::AnyTask,
            Some(_) if urgent_too_soon => Self::UrgentTooSoon,
            Some(_) => Self::UrgentOnly,
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
        // Waits for 0.2 to 1.2 s, at random: this query must not run at the same time as the look for dead nodes or the same query of
        // another theme, so that an idle node needs no further connection for it.
        let later = Duration::from_millis(200 + fastrand::u64(..1_000));
        let look = async move {
            actix_rt::time::sleep(later).await;
            look_for_unserved(&theme, &store, methods).await;
        };
        ctx.spawn(look.into_actor(self));
    }
}

/// Where a task was added, other processes may add more, which no announcement tells this scanner: it polls often again.
impl Handler<ClaimedByInsert> for ScannerActor {
    type Result = ();

    fn handle(&mut self, _: ClaimedByInsert, ctx: &mut Context<Self>) {
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
        if !self.gate.is_open() {
            self.theme.limits().forget_left(self.theme.name());
        }
        if !was_open {
            self.scan(ctx);
        }
    }
}

impl Handler<StopScanning> for ScannerActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: StopScanning, ctx: &mut Context<Self>) -> Self::Result {
        self.gate.stopping = true;
        self.theme.limits().forget_left(self.theme.name());
        let (tx, rx) = oneshot::channel();
        self.stop_waiters.push(tx);
        if !self.scanning {
            self.finish_stop(ctx);
        }
        Box::pin(async move {
            // The sender is dropped without sending only if the actor is dropped, and then it scans no more.
            let _ = rx.await;
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
