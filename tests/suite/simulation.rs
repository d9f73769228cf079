//! Nodes that claim, end, die and come back as zombies, and people who add, cancel and retry, all at the same time and at random: no task is
//! lost, none ends twice, and nothing is left in the queue.
//!
//! `GAIA_SIMULATION_SECONDS=600 GAIA_SIMULATION_SEED=7 cargo test --all-features --test suite simulation` plays for longer, and again
//! what a seed has played (as far as the database keeps its order).

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    env,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use fastrand::Rng;
use futures_util::future::join_all;
use gaia_actors::{
    Clock, Failure, Outcome,
    prelude::*,
    store::{Claim, ClaimedTask, Store, StoreError, Wanted},
};

use crate::support::{Database, THEME, eventually, task};

const NODES: usize = 4;
const PEOPLE: usize = 2;
const METHODS: [&str; 3] = ["One", "Two", "Three"];

/// What the players were told.
#[derive(Default)]
struct Told {
    /// Runs whose ends were accepted with a record, by their log ids.
    recorded: BTreeMap<String, i64>,
    /// How often each task has come to its end for good.
    ends: BTreeMap<i64, usize>,
    /// How often people have set a finished task back.
    retries: BTreeMap<i64, usize>,
    /// Who holds a task, and is neither dead nor has forgotten it.
    holders: BTreeMap<i64, String>,
    tasks: Vec<i64>,
    claimed: usize,
    refused: usize,
}

#[derive(Clone)]
struct World {
    database: Arc<Database>,
    demo: Scheduler,
    told: Rc<RefCell<Told>>,
    until: Rc<Cell<Instant>>,
}

impl World {
    fn goes_on(&self) -> bool {
        Instant::now() < self.until.get()
    }

    /// Plain SQL may wait for a lock that another player has: on a thread of its own.
    async fn execute(&self, sql: String) {
        let database = Arc::clone(&self.database);
        let done = actix_rt::task::spawn_blocking(move || database.execute(&sql));
        done.await.expect("plain SQL runs");
    }

    fn any_task(&self, random: &mut Rng) -> Option<i64> {
        let told = self.told.borrow();
        (!told.tasks.is_empty()).then(|| told.tasks[random.usize(..told.tasks.len())])
    }
}

// ---- nodes ----

/// A node without actors: it claims and writes as they do.
struct Node {
    world: World,
    store: Store,
    random: Rng,
    id: String,
    held: Vec<ClaimedTask>,
    /// What it held when it died.
    lost: Vec<ClaimedTask>,
}

impl Node {
    async fn new(world: &World, seed: u64) -> Self {
        let store = Store::connect(&world.database.url(), Clock::system())
            .await
            .expect("opens");
        let mut node = Self {
            world: world.clone(),
            store,
            random: Rng::with_seed(seed),
            id: String::new(),
            held: Vec::new(),
            lost: Vec::new(),
        };
        node.join().await;
        node
    }

    /// A new row, which nobody buries.
    async fn join(&mut self) {
        self.id = format!("node-{:016x}", self.random.u64(..));
        let (id, now) = (&self.id, self.world.database.in_seconds(0));
        let insert = format!(
            "INSERT INTO gaia_nodes (id, host, pid, version, started_at, heartbeat, beat, lease_ms, themes, protocol) \
             VALUES ('{id}', 'host', 1, '0', {now}, {now}, 1, 3600000, '[]', 3)"
        );
        self.world.execute(insert).await;
    }

    /// As if others had taken it for dead: its tasks are theirs to take.
    async fn die(&mut self) {
        self.forget(0);
        let delete = format!("DELETE FROM gaia_nodes WHERE id = '{}'", self.id);
        self.world.execute(delete).await;
    }

    /// Holds the first tasks only. As a zombie it may write about the others.
    fn forget(&mut self, kept: usize) {
        let forgotten = self.held.split_off(kept);
        self.let_go(&forgotten);
        self.lost.extend(forgotten);
    }

    fn let_go(&self, runs: &[ClaimedTask]) {
        let mut told = self.world.told.borrow_mut();
        for run in runs.iter().filter(|run| *run.owner == *self.id) {
            told.holders.remove(&run.id);
        }
    }

    async fn play(mut self) {
        while self.world.goes_on() {
            match self.random.u8(..100) {
                0..35 => self.claim().await,
                35..85 => self.end().await,
                85..90 => self.haunt().await,
                90..93 => {
                    self.die().await;
                    self.join().await;
                }
                93..95 => self.forget(self.held.len() / 2),
                _ => actix_rt::time::sleep(Duration::from_millis(self.random.u64(..5))).await,
            }
        }
        self.die().await;
    }

    async fn claim(&mut self) {
        let wanted = |method: &str| Wanted {
            service: "Demo".to_owned(),
            method: method.to_owned(),
            most: 40,
            at_most: None,
        };
        let methods = self.random.bool().then(|| {
            let known = METHODS.into_iter().filter(|_| self.random.bool());
            known.map(wanted).collect()
        });
        let first = self
            .world
            .any_task(&mut self.random)
            .filter(|_| self.random.u8(..4) == 0);
        let claim = Claim {
            theme: THEME.to_owned(),
            node: self.id.clone(),
            limit: self.random.usize(1..60),
            first: first.into_iter().collect(),
            methods,
            above: (self.random.u8(..5) == 0).then_some(0),
        };
        let claimed = self.store.tasks().claim(claim).await.expect("claims").tasks;
        let mut told = self.world.told.borrow_mut();
        told.claimed += claimed.len();
        for task in &claimed {
            let holder = told.holders.insert(task.id, self.id.clone());
            assert_eq!(holder, None, "two have task {} by claim {}", task.id, task.token);
        }
        drop(told);
        self.held.extend(claimed);
    }

    /// Writes some ends, perhaps twice, as after an answer that was lost.
    async fn end(&mut self) {
        self.random.shuffle(&mut self.held);
        let count = self.random.usize(..20).min(self.held.len());
        let runs = self.held.split_off(self.held.len() - count);
        self.record(&runs).await;
        if self.random.u8(..8) == 0 {
            self.record(&runs).await;
        }
    }

    /// A zombie writes what it held.
    async fn haunt(&mut self) {
        let runs: Vec<ClaimedTask> = self.lost.drain(..).take(20).collect();
        self.record(&runs).await;
    }

    async fn record(&mut self, runs: &[ClaimedTask]) {
        self.let_go(runs);
        let ends: Vec<(ClaimedTask, Outcome)> = runs.iter().map(|run| (run.clone(), self.outcome())).collect();
        let outcomes: Vec<Outcome> = ends.iter().map(|(_, outcome)| outcome.clone()).collect();
        let written = self
            .store
            .tasks()
            .record(ends, RetryPolicy::immediate())
            .await
            .expect("writes");
        let mut told = self.world.told.borrow_mut();
        for ((run, outcome), status) in runs.iter().zip(outcomes).zip(written) {
            let Some(status) = status else {
                told.refused += 1;
                continue;
            };
            if !matches!(outcome, Outcome::HandedBack { started: false }) || status == TaskStatus::Cancelled {
                *told.recorded.entry(run.log_id.to_string()).or_default() += 1;
            }
            if status.is_finished() {
                *told.ends.entry(run.id).or_default() += 1;
            }
        }
    }

    fn outcome(&mut self) -> Outcome {
        match self.random.u8(..20) {
            0..11 => Outcome::Succeeded(Json::null()),
            11..14 => Outcome::Failed {
                error: "no".to_owned(),
                failure: Failure::Error,
            },
            14 => Outcome::Failed {
                error: "never".to_owned(),
                failure: Failure::Discarded,
            },
            15 => Outcome::Snoozed(Duration::ZERO),
            16 => Outcome::Snoozed(Duration::from_millis(self.random.u64(..50))),
            17 => Outcome::Cancelled,
            _ => Outcome::HandedBack { started: false },
        }
    }
}

// ---- people ----

async fn live(world: World, seed: u64) {
    let mut random = Rng::with_seed(seed);
    while world.goes_on() {
        match random.u8(..12) {
            0..4 => add(&world, &mut random).await,
            4 => plain_sql(&world, &mut random).await,
            5 | 6 => {
                if let Some(id) = world.any_task(&mut random) {
                    // It may have ended.
                    let _ = world.demo.cancel_task(id).await;
                }
            }
            7 => retry(&world, &mut random).await,
            _ => actix_rt::time::sleep(Duration::from_millis(random.u64(..20))).await,
        }
    }
}

fn any(random: &mut Rng) -> NewTask {
    let method = METHODS[random.usize(..METHODS.len())];
    let new = task(method).max_retry(random.i64(0..4)).priority(random.i32(-1..3));
    match random.u8(..10) {
        0 => new.run_at(chrono::Utc::now() + Duration::from_millis(random.u64(..100))),
        1 => new.unique_key(format!("key {}", random.u8(..5))),
        _ => new,
    }
}

async fn add(world: &World, random: &mut Rng) {
    let count = [1, 1, 5, 40, 300][random.usize(..5)];
    let tasks = (0..count).map(|_| any(random)).collect();
    let added = match world.demo.add_tasks(tasks).await {
        // Again and again in the way of others: nothing is added.
        Err(gaia_actors::Error::Store(StoreError::Conflict(_))) => return,
        added => added.expect("are added"),
    };
    let added = added.into_iter().filter(|added| !added.duplicate);
    world.told.borrow_mut().tasks.extend(added.map(|added| added.id));
}

async fn retry(world: &World, random: &mut Rng) {
    let Some(id) = world.any_task(random) else { return };
    // Counted first: it may be claimed and end before the answer comes.
    *world.told.borrow_mut().retries.entry(id).or_default() += 1;
    if world.demo.retry_task(id).await.is_err() {
        *world.told.borrow_mut().retries.entry(id).or_default() -= 1;
    }
}

/// New tasks with the guide's columns, other methods and priorities of tasks that wait, tasks that are cancelled, removed and set back, and
/// changes that do not come to be.
async fn plain_sql(world: &World, random: &mut Rng) {
    let (method, priority) = (METHODS[random.usize(..METHODS.len())], random.i32(-1..3));
    let id = world.any_task(random).unwrap_or_default();
    let sql = match random.u8(..8) {
        0 => format!(
            "INSERT INTO asynctasks (service_name, method_name, task_name, arg, system_name) VALUES \
             ('Demo', '{method}', 'plain', '1', 'demo'), ('Demo', '{method}', 'plain', '2', 'demo')"
        ),
        1 => format!(
            "UPDATE asynctasks SET method_name = '{method}' WHERE id = {id} AND task_status IN ('Wait', 'Retry')"
        ),
        2 => {
            format!("UPDATE asynctasks SET priority = {priority} WHERE id = {id} AND task_status IN ('Wait', 'Retry')")
        }
        3 => format!(
            "UPDATE asynctasks SET task_status = 'Cancelled' WHERE id = {id} AND task_status IN ('Wait', 'Retry')"
        ),
        4 => format!("DELETE FROM asynctasks WHERE id = {id} AND task_status IN ('Wait', 'Retry')"),
        5 | 6 => {
            // Counted first: it may be claimed and end before the answer comes.
            *world.told.borrow_mut().retries.entry(id).or_default() += 1;
            format!(
                "UPDATE asynctasks SET task_status = 'Wait', run_at = NULL WHERE id = {id} \
                 AND task_status IN ('Success', 'Failed', 'Cancelled') AND unique_key IS NULL"
            )
        }
        _ => format!(
            "BEGIN; INSERT INTO asynctasks (service_name, method_name, task_name, system_name) VALUES \
             ('Demo', '{method}', 'never', 'demo'); ROLLBACK"
        ),
    };
    world.execute(sql).await;
}

// ---- the end ----

/// Claims and succeeds until nothing waits.
async fn drain(world: &World) {
    let mut node = Node::new(world, 1).await;
    eventually("the end of all tasks", async || {
        loop {
            let claim = Claim {
                theme: THEME.to_owned(),
                node: node.id.clone(),
                limit: 1_000,
                first: Vec::new(),
                methods: None,
                above: None,
            };
            let claimed = node.store.tasks().claim(claim).await.expect("claims").tasks;
            if claimed.is_empty() {
                break;
            }
            let ends = claimed
                .iter()
                .map(|run| (run.clone(), Outcome::Succeeded(Json::null())));
            let written = node
                .store
                .tasks()
                .record(ends.collect(), RetryPolicy::immediate())
                .await;
            let mut told = world.told.borrow_mut();
            for (run, status) in claimed.iter().zip(written.expect("writes")) {
                assert!(
                    status.is_some_and(TaskStatus::is_finished),
                    "task {} {status:?}",
                    run.id
                );
                *told.recorded.entry(run.log_id.to_string()).or_default() += 1;
                *told.ends.entry(run.id).or_default() += 1;
            }
        }
        let open = "SELECT COUNT(*) FROM asynctasks WHERE task_status IN ('Wait', 'Retry', 'Running')";
        (world.database.number(open) == 0).then_some(())
    })
    .await;
    node.die().await;
}

fn check(world: &World) {
    let (told, database) = (world.told.borrow(), &world.database);
    for (id, ends) in &told.ends {
        let retries = told.retries.get(id).copied().unwrap_or(0);
        assert!(
            *ends <= 1 + retries,
            "task {id} has ended {ends} times, and was retried {retries} times"
        );
    }
    let records = database.number("SELECT COUNT(*) FROM asynctask_exec_row");
    let runs = database.number("SELECT COUNT(DISTINCT log_id) FROM asynctask_exec_row");
    assert_eq!(records, runs, "no run has two records");
    // Judged by the records, not by the answers: two answers may come in another order than the commits.
    let overtaken = database.number(
        "SELECT COUNT(*) FROM asynctask_exec_row earlier JOIN asynctask_exec_row later \
         ON later.task_id = earlier.task_id AND later.id > earlier.id AND later.lease_token < earlier.lease_token",
    );
    assert_eq!(
        overtaken, 0,
        "no claim writes an end after a later claim of the same task has"
    );
    let accepted: Vec<String> = told.recorded.keys().map(|log_id| format!("'{log_id}'")).collect();
    for some in accepted.chunks(500) {
        let list = some.join(",");
        let found = database.number(&format!(
            "SELECT COUNT(*) FROM asynctask_exec_row WHERE log_id IN ({list})"
        ));
        assert_eq!(usize::try_from(found), Ok(some.len()), "each accepted end has a record");
    }
    assert!(told.recorded.values().all(|ends| *ends == 1), "no run has ended twice");
    let never = database.number("SELECT COUNT(*) FROM asynctasks WHERE task_name = 'never'");
    assert_eq!(never, 0);
    assert!(
        told.claimed > 0 && (told.refused > 0 || told.claimed < 1_000),
        "{} claimed, {} refused",
        told.claimed,
        told.refused
    );
}

#[actix_rt::test]
async fn nothing_is_lost_and_nothing_ends_twice() {
    let number = |name: &str| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = number("GAIA_SIMULATION_SEED").unwrap_or_else(|| fastrand::u64(..));
    let seconds = number("GAIA_SIMULATION_SECONDS").unwrap_or(8);
    println!("GAIA_SIMULATION_SEED={seed}");
    let database = Arc::new(Database::fresh());
    // It runs no task, and takes those of dead nodes over.
    let gaia = database
        .builder()
        .lease(Duration::from_secs(2))
        .start()
        .await
        .expect("starts");
    let world = World {
        demo: gaia.scheduler(THEME).expect("is a theme"),
        told: Rc::default(),
        until: Rc::new(Cell::new(Instant::now())),
        database,
    };
    let mut nodes = Vec::new();
    for at in 0..NODES {
        nodes.push(Node::new(&world, seed.wrapping_add(at as u64)).await);
    }
    world.until.set(Instant::now() + Duration::from_secs(seconds));
    let nodes = nodes.into_iter().map(Node::play);
    let people = (0..PEOPLE).map(|at| live(world.clone(), seed.wrapping_add(100 + at as u64)));
    futures_util::future::join(join_all(nodes), join_all(people)).await;
    drain(&world).await;
    check(&world);
    eventually("an empty queue", async || {
        let left = "SELECT (SELECT COUNT(*) FROM gaia_due) + (SELECT COUNT(*) FROM gaia_claims)";
        (world.database.number(left) == 0).then_some(())
    })
    .await;
    {
        let told = world.told.borrow();
        let (tasks, Told { claimed, refused, .. }) = (told.ends.len(), &*told);
        println!("{tasks} tasks, {claimed} claimed, {refused} ends refused");
    }
    gaia.stop().await.expect("stops");
}
