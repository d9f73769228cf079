//! The actor that writes this node's heartbeat, and watches the heartbeats of the others.

use std::{
    collections::BTreeMap,
    mem,
    time::{Duration, Instant},
};

use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Message, WrapFuture};

use super::{
    NodeInfo, NodeTheme,
    history::write_history,
    info::{methods_column, served_elsewhere},
    neighbours::{LOOK_AT_NEIGHBOURS, SharedThemes},
    remote::{Look, RemoteWatch, SettledClaims},
    requests::{Requests, follow, requests},
    rescue,
    said::Said,
    set_back::{self, SetBack},
    status::{Written, write_status},
    unattended,
    unknown::Unknown,
    watch::Watch,
};
use crate::{
    asynctask::{SchedulerStatus, ThemeRuntime, ThemeRuntimes},
    events::{DatabaseWork, Event, Events, Tally},
    held_runs::HeldRuns,
    jobs::JobsSlot,
    lease::NodeLease,
    registry::Registry,
    run::{GateChange, SingleFlight},
    store::{Announcement, Beat, LookForEnds, NodeRow, Nodes, PROTOCOL, Store, StoreError},
};

/// How often the node looks for requests of other processes: to cancel a task that runs here, to pause a theme, to have other workers. The
/// latter are taken within 3 s, the others must take effect within 5 s.
const LOOK_FOR_REQUESTS: Duration = Duration::from_secs(3);

/// How often the node deletes old requests.
const DROP_REQUESTS: Duration = Duration::from_secs(3_600);

/// Heartbeats in the length of a lease: one or two may get lost.
const BEATS: u32 = 4;

/// With every so many heartbeats the node looks for tasks of nodes without a row, even if it has removed no row itself: the node that
/// removed a row may have died before it took the tasks over.
const BEATS_PER_ROUND: i64 = 3;

/// Writes the heartbeat, keeps the lease, rescues the work of dead nodes, and follows requests of other processes.
pub struct NodeActor {
    row: NodeRow,
    lease: NodeLease,
    held: HeldRuns,
    store: Store,
    themes: ThemeRuntimes,
    jobs_slot: JobsSlot,
    registry: Registry,
    beating: SingleFlight,
    /// The uptime at which the last heartbeat began.
    beat_begun: Duration,
    fenced: bool,
    watch: Watch,
    remote: RemoteWatch,
    /// How many heartbeats have failed: what was watched before the last of them counts no more.
    outages: u64,
    settled: SettledClaims,
    set_back: SetBack,
    bringing_back: SingleFlight,
    shared: SharedThemes,
    looks_at_neighbours: SingleFlight,
    rescuing: SingleFlight,
    looks_for_requests: SingleFlight,
    follows_requests: SingleFlight,
    writes_status: SingleFlight,
    /// The counters that were written last.
    written: Option<Written>,
    tally: Tally,
    writes_history: SingleFlight,
    said: Said,
}

impl std::fmt::Debug for NodeActor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeActor")
            .field("id", &self.row.id)
            .field("fenced", &self.fenced)
            .finish_non_exhaustive()
    }
}

/// What a [`NodeActor`] is built from. The node's row is in the database already.
pub(crate) struct NodeParts {
    pub(crate) row: NodeRow,
    pub(crate) lease: NodeLease,
    pub(crate) held: HeldRuns,
    pub(crate) store: Store,
    pub(crate) events: Events,
    pub(crate) themes: ThemeRuntimes,
    pub(crate) jobs_slot: JobsSlot,
    pub(crate) registry: Registry,
    pub(crate) tally: Tally,
    pub(crate) settled: SettledClaims,
}

/// Stop the actor: write no more heartbeats, and take over no work of dead nodes.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Retire;

/// Write a heartbeat at once: this process has begun to work on another theme, and others should know.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct BeatNow;

/// Another process has announced requests.
#[derive(Message)]
#[rtype(result = "()")]
struct LookForRequests;

/// The result of one heartbeat.
struct Beaten {
    /// The uptime at which the heartbeat began.
    begun: Duration,
    /// The node's row was gone. Then `beat` says whether the node has a new row; after an error that may be unknown.
    declared_dead: bool,
    beat: Result<Beat, StoreError>,
    /// The counters of this moment.
    themes: Vec<SchedulerStatus>,
}

impl NodeActor {
    pub(crate) fn new(parts: NodeParts) -> Self {
        let said = Said::new(parts.events, &parts.row.id);
        Self {
            row: parts.row,
            lease: parts.lease,
            held: parts.held,
            store: parts.store,
            themes: parts.themes,
            jobs_slot: parts.jobs_slot,
            registry: parts.registry,
            beating: SingleFlight::default(),
            beat_begun: Duration::ZERO,
            fenced: false,
            watch: Watch::default(),
            remote: RemoteWatch::default(),
            outages: 0,
            settled: parts.settled,
            set_back: SetBack::default(),
            bringing_back: SingleFlight::default(),
            shared: SharedThemes::default(),
            looks_at_neighbours: SingleFlight::default(),
            rescuing: SingleFlight::default(),
            looks_for_requests: SingleFlight::default(),
            follows_requests: SingleFlight::default(),
            writes_status: SingleFlight::default(),
            written: None,
            tally: parts.tally,
            writes_history: SingleFlight::default(),
            said,
        }
    }

    // ---- heartbeat and lease ----

    fn beat(&mut self, ctx: &mut Context<Self>) {
        if self.beating.begin() {
            self.write_beat(ctx);
        }
    }

    fn write_beat(&mut self, ctx: &mut Context<Self>) {
        self.row.beat += 1;
        self.row.methods = methods_column(self.registry.served());
        let (store, runtimes, mut row) = (self.store.clone(), self.themes.clone(), self.row.clone());
        let begun = self.lease.uptime();
        self.beat_begun = begun;
        let beat = async move {
            let themes = statuses(&runtimes).await;
            row.themes = themes_column(&themes);
            let mut beat = store.cluster().beat(&row).await;
            let declared_dead = matches!(beat, Ok(Beat::DeclaredDead));
            if declared_dead {
                // Other nodes have taken over the runs of this node, and every write about them changes nothing. With a new row the node may
                // claim again.
                runtimes.limits().forget_permits();
                beat = store.cluster().register_node(&row).await.map(|()| Beat::DeclaredDead);
            }
            Beaten {
                begun,
                declared_dead,
                beat,
                themes,
            }
        };
        ctx.spawn(beat.into_actor(self).map(|beaten, node, ctx| node.beaten(beaten, ctx)));
    }

    fn beaten(&mut self, beaten: Beaten, ctx: &mut Context<Self>) {
        let is_asked_for = self.beating.end();
        if beaten.beat.is_ok() {
            self.said.succeeded(DatabaseWork::Beat);
        }
        if beaten.declared_dead {
            // Even if the node has a new row: tasks that were claimed under the old row belong to other nodes.
            self.set_fenced(true);
            // If the node was fenced already, `set_fenced` has not begun a new term; but a claim may have begun since.
            self.lease.lose();
            if let Some(jobs) = self.jobs_slot.get() {
                jobs.declared_dead();
            }
            self.tell_lease_lost(true);
        }
        match beaten.beat {
            Ok(_) => {
                self.write_status(beaten.themes, ctx);
                self.write_history(ctx);
                if self.renewed(beaten.begun, ctx) {
                    self.rescue(ctx);
                    self.bring_back(ctx);
                }
            }
            Err(error) => {
                self.said.failed(DatabaseWork::Beat, &error);
                self.fence_if_silent();
                if error.is_file_gone() {
                    // Other nodes may work on a new file at this path, which holds none of this node's claims.
                    self.set_fenced(true);
                }
                // What keeps this node from writing its heartbeat may keep the others, too: it begins to watch them again when that is over.
                self.watch = Watch::default();
                self.remote = RemoteWatch::default();
                self.outages += 1;
            }
        }
        if is_asked_for {
            self.beat(ctx);
        }
    }

    /// Writes the counters into the database, where every process can read them. Not with the heartbeat: that must not become slower, nor fail
    /// because of them.
    fn write_status(&mut self, themes: Vec<SchedulerStatus>, ctx: &mut Context<Self>) {
        if !self.writes_status.begin() {
            return;
        }
        let (store, node, jobs) = (self.store.clone(), self.row.id.clone(), self.jobs_slot.clone());
        let write = write_status(store, node, themes, jobs, self.written.clone());
        ctx.spawn(write.into_actor(self).map(|written, node, _| {
            node.writes_status.end();
            match written {
                Ok(written) => {
                    node.written = written;
                    node.said.succeeded(DatabaseWork::WriteStatus);
                }
                Err(error) => node.said.failed(DatabaseWork::WriteStatus, &error),
            }
        }));
    }

    /// Renews the lease from the beginning of the heartbeat; answers whether the node holds its lease. If the renewed lease has expired when
    /// the answer comes (the database hung, or the machine was suspended), the answer proves nothing about now: the node sends another
    /// heartbeat immediately.
    fn renewed(&mut self, begun: Duration, ctx: &mut Context<Self>) -> bool {
        self.lease.renew(begun);
        let is_held = !self.lease.has_expired();
        if is_held {
            self.set_fenced(false);
        } else {
            self.fence_if_silent();
            self.beat(ctx);
        }
        is_held
    }

    /// The lease may have expired because this machine was suspended. If the node's row is still there, no other node has taken over its runs,
    /// and they may go on. So the node sends a heartbeat before it fences itself, and waits for its answer as long as the time between two
    /// heartbeats.
    fn look_at_lease(&mut self, ctx: &mut Context<Self>) {
        self.set_back.look(self.store.clock());
        if self.fenced || !self.lease.has_expired() {
            return;
        }
        let taken = self.lease.uptime().saturating_sub(self.beat_begun);
        if !self.beating.is_under_way() {
            self.beat(ctx);
        } else if taken > self.lease.length() / BEATS {
            self.fence_if_silent();
        }
    }

    /// A node that could write no heartbeat for the length of its lease must count itself as dead, since other nodes do.
    fn fence_if_silent(&mut self) {
        if !self.fenced && self.lease.has_expired() {
            self.set_fenced(true);
            self.tell_lease_lost(false);
        }
    }

    fn tell_lease_lost(&self, declared_dead: bool) {
        self.said.events.tell(&Event::LeaseLost {
            node: self.row.id.as_str().into(),
            silent: self.lease.silence(),
            lease: self.lease.length(),
            declared_dead,
        });
    }

    fn set_fenced(&mut self, fenced: bool) {
        if self.fenced != fenced {
            self.fenced = fenced;
            if fenced {
                self.lease.lose();
            }
            for runtime in self.themes.all() {
                runtime.change_gate(GateChange::Fenced(fenced));
            }
            if let Some(jobs) = self.jobs_slot.get() {
                jobs.change_gate(GateChange::Fenced(fenced));
            }
        }
    }

    // ---- workers of the Go framework ----

    fn look_at_neighbours(&mut self, ctx: &mut Context<Self>) {
        // A look that is under way may not have seen the newest theme.
        if !self.store.may_have_neighbours() || !self.looks_at_neighbours.begin_or_queue() {
            return;
        }
        let (store, node, themes) = (self.store.clone(), self.row.id.clone(), self.themes.all());
        let names = themes.iter().map(|theme| theme.name().to_owned()).collect();
        let meet = async move { store.meet_neighbours(node, names).await };
        ctx.spawn(meet.into_actor(self).map(move |met, node, ctx| {
            match met {
                Ok(met) => {
                    node.said.succeeded(DatabaseWork::MeetNeighbours);
                    node.shared.follow(&themes, &met);
                }
                Err(error) => node.said.failed(DatabaseWork::MeetNeighbours, &error),
            }
            if node.looks_at_neighbours.end() {
                node.look_at_neighbours(ctx);
            }
        }));
    }

    // ---- history ----

    /// Writes what has been counted in closed buckets, if there is anything. After a heartbeat, and not on its connection: no heartbeat waits for
    /// it.
    fn write_history(&mut self, ctx: &mut Context<Self>) {
        if self.writes_history.is_under_way() || self.tally.next_batch(false).is_none() {
            return;
        }
        self.writes_history.begin();
        let (store, tally, id) = (self.store.clone(), self.tally.clone(), self.row.id.clone());
        let write = async move { write_history(&store, &tally, &id, false).await };
        ctx.spawn(write.into_actor(self).map(|written, node, _| {
            node.writes_history.end();
            match written {
                Ok(()) => node.said.succeeded(DatabaseWork::WriteHistory),
                Err(error) => node.said.failed(DatabaseWork::WriteHistory, &error),
            }
        }));
    }

    // ---- rescue ----

    fn unknown(&self) -> Unknown {
        Unknown {
            store: self.store.clone(),
            node: self.row.id.clone(),
            lease: self.lease.clone(),
            held: self.held.clone(),
            themes: self.themes.clone(),
            said: self.said.clone(),
        }
    }

    fn rescue(&mut self, ctx: &mut Context<Self>) {
        if !self.rescuing.begin() {
            return;
        }
        let store = self.store.clone();
        let nodes = async move { store.cluster().nodes().await };
        ctx.spawn(nodes.into_actor(self).map(|nodes, node, ctx| match nodes {
            Ok(nodes) => node.rescue_from(&nodes, ctx),
            Err(error) => node.rescue_done(Err(error), true),
        }));
    }

    /// Tells each theme which methods other nodes serve: it warns only of tasks that no node serves. Then looks for themes that no node runs.
    fn tell_who_serves(&self, nodes: &Nodes) {
        let any_due = nodes.any_due;
        let nodes = NodeInfo::all(nodes.clone());
        for runtime in self.themes.all() {
            runtime.served_elsewhere(served_elsewhere(&nodes, &self.row.id, runtime.theme()), any_due);
        }
        unattended::look(&self.themes, &nodes);
    }

    fn rescue_from(&mut self, nodes: &Nodes, ctx: &mut Context<Self>) {
        self.tell_who_serves(nodes);
        let dead = self.watch.dead(&nodes.rows, &self.row.id, nodes.now, Instant::now());
        let is_round = self.row.beat % BEATS_PER_ROUND == 1;
        let (store, themes, id) = (self.store.clone(), self.themes.clone(), self.row.id.clone());
        let (said, any_runs) = (self.said.clone(), nodes.any_runs);
        if is_round && nodes.any_held {
            // Ends that no process has noted: by plain SQL, or under a node that died.
            store.tasks().request_release(LookForEnds::Part);
        }
        if nodes.any_limits || self.themes.limits().any() {
            self.themes.limits().request_read();
        }
        let outages = self.outages;
        let (mut remote, settled, rows) = (mem::take(&mut self.remote), self.settled.clone(), nodes.rows.clone());
        let rescue = async move {
            let rescued = rescue_from_dead(&store, &themes, &id, &dead, is_round, any_runs, &said).await;
            let look = Look {
                store: &store,
                themes: &themes,
                said: &said,
            };
            let looked = look.look(&mut remote, &settled, &rows, any_runs).await;
            (rescued, looked, remote)
        };
        ctx.spawn(rescue.into_actor(self).map(move |(rescued, looked, remote), node, _| {
            if node.outages == outages {
                node.remote = remote;
            }
            node.looked_after_workers(looked);
            node.rescue_done(rescued, any_runs);
        }));
    }

    fn looked_after_workers(&mut self, looked: Result<BTreeMap<String, u64>, StoreError>) {
        match looked {
            Ok(rescued) => {
                self.said.succeeded(DatabaseWork::LookAfterWorkers);
                self.tell_rescued(rescued);
            }
            Err(error) => self.said.failed(DatabaseWork::LookAfterWorkers, &error),
        }
    }

    /// `any_runs`: whether any task was running when the nodes were read.
    fn rescue_done(&mut self, rescued: Result<BTreeMap<String, u64>, StoreError>, any_runs: bool) {
        self.rescuing.end();
        if any_runs {
            // After the look for dead nodes, not at the same time: that would need a further connection.
            self.held.request_comparison();
        }
        match rescued {
            Ok(rescued) => {
                self.said.succeeded(DatabaseWork::Rescue);
                self.tell_rescued(rescued);
            }
            Err(error) => {
                self.said.failed(DatabaseWork::Rescue, &error);
            }
        }
    }

    /// Tells observers, the scanners of this process and other processes how many tasks of each theme this node has taken from others.
    fn tell_rescued(&self, rescued: BTreeMap<String, u64>) {
        for (theme, count) in rescued {
            self.said.events.tell(&Event::TasksRescued {
                theme: theme.as_str().into(),
                tasks: count,
            });
            if let Some(runtime) = self.themes.get(&theme) {
                runtime.rescued(count);
            }
            self.store
                .cluster()
                .announce_tasks(&theme, usize::try_from(count).unwrap_or(usize::MAX));
        }
    }

    // ---- a clock that was set back ----

    fn bring_back(&mut self, ctx: &mut Context<Self>) {
        self.set_back.look(self.store.clock());
        let runtimes = self.themes.all();
        let names = runtimes.iter().map(|runtime| runtime.theme().to_owned());
        if self.bringing_back.is_under_way() {
            return;
        }
        let themes = self.set_back.themes(names);
        if themes.is_empty() {
            return;
        }
        self.bringing_back.begin();
        let bring_back = set_back::bring_back(self.store.clone(), themes, self.said.clone());
        ctx.spawn(bring_back.into_actor(self).map(|(themes, done), node, _| {
            node.bringing_back.end();
            if !done {
                node.set_back.failed(&themes);
            }
            for theme in themes {
                node.themes.get(&theme).iter().for_each(ThemeRuntime::wake);
            }
        }));
    }

    // ---- requests of other processes ----

    fn look_for_requests(&mut self, ctx: &mut Context<Self>) {
        if !self.looks_for_requests.begin_or_queue() {
            return;
        }
        let requests = requests(
            self.store.clone(),
            self.themes.all(),
            self.held.clone(),
            self.row.id.clone(),
        );
        ctx.spawn(requests.into_actor(self).map(|requests, node, ctx| {
            match requests {
                Ok(requests) => {
                    node.said.succeeded(DatabaseWork::LookForRequests);
                    if node.themes.limits().any() {
                        node.themes.limits().request_read();
                    }
                    node.apply_requests(requests, ctx);
                }
                Err(error) => node.said.failed(DatabaseWork::LookForRequests, &error),
            }
            if node.looks_for_requests.end() {
                node.look_for_requests(ctx);
            }
        }));
    }

    fn apply_requests(&mut self, requests: Requests, ctx: &mut Context<Self>) {
        let Requests {
            cancels,
            themes,
            to_this_node,
        } = requests;
        for (theme, task_id) in cancels {
            if let Some(runtime) = self.themes.get(&theme) {
                runtime.cancel_run(task_id);
            }
        }
        // The settings are sent each time, changed or not: so a theme that was started or changed in between gets them, too.
        for (runtime, settings) in themes {
            runtime.follow(settings);
            runtime.change_gate(GateChange::Fenced(self.fenced));
        }
        if let Some(jobs) = self.jobs_slot.get() {
            jobs.change_gate(GateChange::Fenced(self.fenced));
        }
        self.follow_requests(to_this_node, ctx);
    }

    /// Takes requests to this node, after the settings of the themes were applied: so a later request for one node is followed last.
    fn follow_requests(&mut self, ids: Vec<i64>, ctx: &mut Context<Self>) {
        if ids.is_empty() || !self.follows_requests.begin() {
            return;
        }
        let follow = follow(self.store.clone(), self.themes.clone(), self.row.id.clone(), ids);
        ctx.spawn(follow.into_actor(self).map(|followed, node, _| {
            node.follows_requests.end();
            match followed {
                Ok(()) => node.said.succeeded(DatabaseWork::FollowRequests),
                Err(error) => node.said.failed(DatabaseWork::FollowRequests, &error),
            }
        }));
    }

    fn drop_old_requests(&mut self, ctx: &mut Context<Self>) {
        let store = self.store.clone();
        let drop = async move { store.cluster().drop_old_requests().await };
        ctx.spawn(drop.into_actor(self).map(|dropped, node, _| match dropped {
            Ok(()) => node.said.succeeded(DatabaseWork::DropRequests),
            Err(error) => node.said.failed(DatabaseWork::DropRequests, &error),
        }));
    }

    // ---- wake-ups of other processes ----

    fn listen(&self, ctx: &mut Context<Self>) {
        let (themes, node) = (self.themes.clone(), ctx.address().downgrade());
        let heard = move |heard: Announcement<'_>| {
            let ask = || {
                if let Some(node) = node.upgrade() {
                    node.do_send(LookForRequests);
                }
            };
            match heard {
                Announcement::Tasks(theme) => {
                    themes.get(theme).iter().for_each(ThemeRuntime::wake);
                    themes.ring(theme);
                }
                Announcement::Requests => ask(),
                Announcement::Anything => {
                    themes.all().iter().for_each(ThemeRuntime::wake);
                    themes.ring_all();
                    ask();
                }
            }
        };
        let store = self.store.clone();
        let listen = async move { store.cluster().listen(heard).await };
        ctx.spawn(listen.into_actor(self));
    }
}

/// Removes the rows of dead nodes, and takes their work over; answers with how many tasks of each theme.
async fn rescue_from_dead(
    store: &Store,
    themes: &ThemeRuntimes,
    me: &str,
    dead: &[(String, Option<i64>)],
    is_round: bool,
    any_runs: bool,
    said: &Said,
) -> Result<BTreeMap<String, u64>, StoreError> {
    let buried = rescue::remove_dead(store, dead, said).await?;
    if buried == 0 && !is_round && !rescue::has_passed_over(said) {
        return Ok(BTreeMap::new());
    }
    // Runs of jobs and tasks are ended independently: if one fails, the other is done nevertheless.
    let ended = rescue::end_runs(store, me, said).await;
    rescue::tell_runs(ended, said);
    match any_runs {
        true => rescue::rescue(store, me, |theme| themes.rules(theme).retry, said).await,
        false => Ok(BTreeMap::new()),
    }
}

async fn statuses(runtimes: &ThemeRuntimes) -> Vec<SchedulerStatus> {
    let mut statuses = Vec::new();
    for runtime in runtimes.all() {
        statuses.extend(runtime.status().await.ok());
    }
    statuses
}

/// The column `themes` of the node's row: JSON, for people and tools.
fn themes_column(statuses: &[SchedulerStatus]) -> String {
    let theme = |status: &SchedulerStatus| NodeTheme {
        theme: status.theme.clone(),
        workers: status.all_workers,
        running: status.running_workers,
    };
    let themes: Vec<NodeTheme> = statuses.iter().map(theme).collect();
    serde_json::to_string(&themes).unwrap_or_default()
}

impl Actor for NodeActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.beat(ctx);
        ctx.run_interval(self.lease.length() / BEATS, Self::beat);
        ctx.run_interval(self.lease.length() / (BEATS * 5), Self::look_at_lease);
        ctx.run_interval(LOOK_FOR_REQUESTS, Self::look_for_requests);
        if self.store.may_have_neighbours() {
            ctx.run_interval(LOOK_AT_NEIGHBOURS, Self::look_at_neighbours);
        }
        self.drop_old_requests(ctx);
        ctx.run_interval(DROP_REQUESTS, Self::drop_old_requests);
        self.listen(ctx);
        ctx.spawn(self.unknown().give_back_always().into_actor(self));
    }
}

impl Handler<BeatNow> for NodeActor {
    type Result = ();

    fn handle(&mut self, _: BeatNow, ctx: &mut Context<Self>) {
        // A heartbeat that is under way may have read the themes before.
        if self.beating.begin_or_queue() {
            self.write_beat(ctx);
        }
        self.look_at_neighbours(ctx);
    }
}

impl Handler<LookForRequests> for NodeActor {
    type Result = ();

    fn handle(&mut self, _: LookForRequests, ctx: &mut Context<Self>) {
        if let Some(jobs) = self.jobs_slot.get() {
            jobs.poll();
        }
        self.look_for_requests(ctx);
    }
}

impl Handler<Retire> for NodeActor {
    type Result = ();

    fn handle(&mut self, _: Retire, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}

/// The node's row, as it is when the process starts.
pub(crate) fn describe(id: &str, lease: Duration, registry: &Registry) -> NodeRow {
    let host = hostname::get().map_or_else(|_| "unknown".to_owned(), |name| name.to_string_lossy().into_owned());
    NodeRow {
        id: id.to_owned(),
        host,
        pid: i64::from(std::process::id()),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        beat: 0,
        lease_ms: i64::try_from(lease.as_millis()).unwrap_or(i64::MAX),
        themes: "[]".to_owned(),
        methods: methods_column(registry.served()),
        protocol: PROTOCOL,
    }
}
