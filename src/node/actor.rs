//! The actor that keeps this process alive in the eyes of the others, and watches them.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Message, WrapFuture};

use super::{
    NodeInfo, NodeTheme,
    info::{methods_column, served_elsewhere},
    requests::{Requests, requests},
    rescue,
    said::Said,
    set_back::{self, SetBack},
    unknown::Unknown,
    watch::Watch,
};
use crate::{
    asynctask::{ThemeRuntime, ThemeRuntimes},
    domain::RetryPolicy,
    events::{DatabaseWork, Event, Events},
    held_runs::HeldRuns,
    jobs::JobsSlot,
    lease::NodeLease,
    registry::Registry,
    run::{GateChange, SingleFlight},
    store::{Beat, Heard, NodeRow, Nodes, PROTOCOL, Store, StoreError},
};

/// How often requests of other processes are looked for: to cancel a task that runs here, to pause a theme. They are to
/// take effect within 5 s.
const LOOK_FOR_REQUESTS: Duration = Duration::from_secs(4);

/// Beats in one lease: one or two may get lost.
const BEATS: u32 = 4;

/// Every so many beats there is a look for tasks of nodes without a row, even if this node has removed no row: the node that removed one may
/// have died before it took the tasks over.
const BEATS_PER_ROUND: i64 = 3;

/// Heartbeat, lease, rescue, and requests from elsewhere.
pub struct NodeActor {
    row: NodeRow,
    lease: NodeLease,
    held: HeldRuns,
    store: Store,
    machines: ThemeRuntimes,
    runner: JobsSlot,
    registry: Registry,
    beating: SingleFlight,
    /// By the lease's clock.
    beat_begun: Duration,
    fenced: bool,
    watch: Watch,
    set_back: SetBack,
    bringing_back: SingleFlight,
    rescuing: SingleFlight,
    looks_for_requests: SingleFlight,
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

/// What a node is built from. Its row is in the database already.
pub(crate) struct NodeParts {
    pub(crate) row: NodeRow,
    pub(crate) lease: NodeLease,
    pub(crate) held: HeldRuns,
    pub(crate) store: Store,
    pub(crate) events: Events,
    pub(crate) machines: ThemeRuntimes,
    pub(crate) runner: JobsSlot,
    pub(crate) registry: Registry,
}

/// Beat no more, and take over no work of dead nodes.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Retire;

/// Another process has announced requests.
#[derive(Message)]
#[rtype(result = "()")]
struct LookForRequests;

/// What one beat brought.
struct Beaten {
    /// By the lease's clock.
    begun: Duration,
    /// The node's row was gone. `beat` says whether it has a new row by now, if that is known.
    declared_dead: bool,
    beat: Result<Beat, StoreError>,
}

impl NodeActor {
    pub(crate) fn new(parts: NodeParts) -> Self {
        let said = Said::new(parts.events, &parts.row.id);
        Self {
            row: parts.row,
            lease: parts.lease,
            held: parts.held,
            store: parts.store,
            machines: parts.machines,
            runner: parts.runner,
            registry: parts.registry,
            beating: SingleFlight::default(),
            beat_begun: Duration::ZERO,
            fenced: false,
            watch: Watch::default(),
            set_back: SetBack::default(),
            bringing_back: SingleFlight::default(),
            rescuing: SingleFlight::default(),
            looks_for_requests: SingleFlight::default(),
            said,
        }
    }

    // ---- heartbeat and lease ----

    fn beat(&mut self, ctx: &mut Context<Self>) {
        if !self.beating.begin() {
            return;
        }
        self.row.beat += 1;
        self.row.methods = methods_column(self.registry.served());
        let (store, machines, mut row) = (self.store.clone(), self.machines.clone(), self.row.clone());
        let begun = self.lease.uptime();
        self.beat_begun = begun;
        let beat = async move {
            row.themes = themes(&machines).await;
            let mut beat = store.cluster().beat(&row).await;
            let declared_dead = matches!(beat, Ok(Beat::DeclaredDead));
            if declared_dead {
                // Our runs are others' by now, and every write about them is refused. With a new row we may claim again.
                beat = store.cluster().register_node(&row).await.map(|()| Beat::DeclaredDead);
            }
            Beaten {
                begun,
                declared_dead,
                beat,
            }
        };
        ctx.spawn(beat.into_actor(self).map(|beaten, node, ctx| node.beaten(beaten, ctx)));
    }

    fn beaten(&mut self, beaten: Beaten, ctx: &mut Context<Self>) {
        self.beating.end();
        if beaten.beat.is_ok() {
            self.said.succeeded(DatabaseWork::Beat);
        }
        if beaten.declared_dead {
            // Whatever becomes of the new row: tasks that were claimed under the old row belong to other nodes.
            self.tell_lease_lost(true);
            self.set_fenced(true);
            // A claim may have begun while the node was fenced already.
            self.lease.lose();
            if let Some(jobs) = self.runner.get() {
                jobs.disown();
            }
        }
        match beaten.beat {
            Ok(_) => {
                if self.renewed(beaten.begun, ctx) {
                    self.rescue(ctx);
                    self.bring_back(ctx);
                }
            }
            Err(error) => {
                self.said.failed(DatabaseWork::Beat, &error);
                self.fence_if_silent();
                if error.is_file_gone() {
                    // Nodes that work on the file that is there now know nothing of this node's claims.
                    self.set_fenced(true);
                }
                // What keeps us from beating may keep the others too: they are watched anew once it is over.
                self.watch = Watch::default();
            }
        }
    }

    /// The lease runs from the beginning of the beat. If that is over when the answer comes (the database hung, or the machine was
    /// suspended), the answer proves nothing about now: the node beats again at once. Whether the lease is held.
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

    /// The lease may be over because this machine was suspended. If the node's row is there yet, nothing was taken from the node,
    /// and its runs may go on: so it beats before it fences itself, and gives that beat as long as there is between two.
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

    /// A node that could not beat for its lease time must take itself for dead, since others do.
    fn fence_if_silent(&mut self) {
        if !self.fenced && self.lease.has_expired() {
            self.tell_lease_lost(false);
            self.set_fenced(true);
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
            for machine in self.machines.all() {
                machine.change_gate(GateChange::Fenced(fenced));
            }
            if let Some(jobs) = self.runner.get() {
                jobs.change_gate(GateChange::Fenced(fenced));
            }
        }
    }

    // ---- rescue ----

    fn unknown(&self) -> Unknown {
        Unknown {
            store: self.store.clone(),
            node: self.row.id.clone(),
            lease: self.lease.clone(),
            held: self.held.clone(),
            machines: self.machines.clone(),
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

    /// Lets each theme know what other nodes serve, so that this one leaves it to them.
    fn tell_who_serves(&self, nodes: &Nodes) {
        let any_due = nodes.any_due;
        let nodes = NodeInfo::all(nodes.clone());
        for machine in self.machines.all() {
            machine.served_elsewhere(served_elsewhere(&nodes, &self.row.id, machine.theme()), any_due);
        }
    }

    fn rescue_from(&mut self, nodes: &Nodes, ctx: &mut Context<Self>) {
        self.tell_who_serves(nodes);
        let dead = self.watch.dead(&nodes.rows, &self.row.id, nodes.now, Instant::now());
        let is_round = self.row.beat % BEATS_PER_ROUND == 1;
        let (store, machines, id) = (self.store.clone(), self.machines.clone(), self.row.id.clone());
        let (said, any_runs) = (self.said.clone(), nodes.any_runs);
        let rescue = async move {
            let buried = rescue::remove_dead(&store, &dead, &said).await?;
            if buried == 0 && !is_round && !rescue::has_passed_over(&said) {
                return Ok(BTreeMap::new());
            }
            let policy = |theme: &str| {
                let machine = machines.get(theme);
                machine.map_or_else(RetryPolicy::default, |machine| machine.retry_policy())
            };
            // Neither waits for the other to succeed.
            let ended = rescue::end_runs(&store, &id, &said).await;
            rescue::tell_runs(ended, &said);
            match any_runs {
                true => rescue::rescue(&store, &id, policy, &said).await,
                false => Ok(BTreeMap::new()),
            }
        };
        ctx.spawn(
            rescue
                .into_actor(self)
                .map(move |rescued, node, _| node.rescue_done(rescued, any_runs)),
        );
    }

    /// `any_runs`: tasks ran when the look began.
    fn rescue_done(&mut self, rescued: Result<BTreeMap<String, u64>, StoreError>, any_runs: bool) {
        self.rescuing.end();
        if any_runs {
            // Now, not beside the look for dead nodes: that would take a further connection.
            self.held.request_comparison();
        }
        match rescued {
            Ok(rescued) => {
                self.said.succeeded(DatabaseWork::Rescue);
                for (theme, count) in rescued {
                    self.said.events.tell(&Event::TasksRescued {
                        theme: theme.as_str().into(),
                        tasks: count,
                    });
                    if let Some(machine) = self.machines.get(&theme) {
                        machine.rescued(count);
                    }
                    self.store
                        .cluster()
                        .announce_tasks(&theme, usize::try_from(count).unwrap_or(usize::MAX));
                }
            }
            Err(error) => {
                self.said.failed(DatabaseWork::Rescue, &error);
            }
        }
    }

    // ---- a clock that was set back ----

    fn bring_back(&mut self, ctx: &mut Context<Self>) {
        self.set_back.look(self.store.clock());
        let machines = self.machines.all();
        let names = machines.iter().map(|machine| machine.theme().to_owned());
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
                node.machines.get(&theme).iter().for_each(ThemeRuntime::wake);
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
            self.machines.all(),
            self.held.clone(),
            self.row.id.clone(),
        );
        ctx.spawn(requests.into_actor(self).map(|requests, node, ctx| {
            match requests {
                Ok(requests) => {
                    node.said.succeeded(DatabaseWork::LookForRequests);
                    node.apply_requests(requests);
                }
                Err(error) => node.said.failed(DatabaseWork::LookForRequests, &error),
            }
            if node.looks_for_requests.end() {
                node.look_for_requests(ctx);
            }
        }));
    }

    fn apply_requests(&mut self, Requests { cancels, themes }: Requests) {
        for (theme, task_id) in cancels {
            if let Some(machine) = self.machines.get(&theme) {
                machine.cancel_run(task_id);
            }
        }
        // Said each time, changed or not: a theme that was started, or changed, in between is set right.
        for (machine, settings) in themes {
            machine.follow(settings);
            machine.change_gate(GateChange::Fenced(self.fenced));
        }
        if let Some(jobs) = self.runner.get() {
            jobs.change_gate(GateChange::Fenced(self.fenced));
        }
    }

    // ---- wake-ups of other processes ----

    fn listen(&self, ctx: &mut Context<Self>) {
        let (machines, node) = (self.machines.clone(), ctx.address().downgrade());
        let heard = move |heard: Heard<'_>| {
            let ask = || {
                if let Some(node) = node.upgrade() {
                    node.do_send(LookForRequests);
                }
            };
            match heard {
                Heard::Tasks(theme) => machines.get(theme).iter().for_each(ThemeRuntime::wake),
                Heard::Requests => ask(),
                Heard::Anything => {
                    machines.all().iter().for_each(ThemeRuntime::wake);
                    ask();
                }
            }
        };
        let store = self.store.clone();
        let listen = async move { store.cluster().listen(heard).await };
        ctx.spawn(listen.into_actor(self));
    }
}

/// What the node's row says of its themes: JSON, for people and tools.
async fn themes(machines: &ThemeRuntimes) -> String {
    let mut themes = Vec::new();
    for machine in machines.all() {
        if let Ok(status) = machine.status().await {
            themes.push(NodeTheme {
                theme: status.theme,
                workers: status.all_workers,
                running: status.running_workers,
            });
        }
    }
    serde_json::to_string(&themes).unwrap_or_default()
}

impl Actor for NodeActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.beat(ctx);
        ctx.run_interval(self.lease.length() / BEATS, Self::beat);
        ctx.run_interval(self.lease.length() / (BEATS * 5), Self::look_at_lease);
        ctx.run_interval(LOOK_FOR_REQUESTS, Self::look_for_requests);
        self.listen(ctx);
        ctx.spawn(self.unknown().give_back_always().into_actor(self));
    }
}

impl Handler<LookForRequests> for NodeActor {
    type Result = ();

    fn handle(&mut self, _: LookForRequests, ctx: &mut Context<Self>) {
        if let Some(jobs) = self.runner.get() {
            jobs.look();
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

/// Where this process runs, for the node's row.
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
