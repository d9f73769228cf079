//! Two nodes, a client that feeds them, and how fast they work.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use chrono::Utc;

use crate::{
    effects::Effects,
    feeder::Feeder,
    interrupt::rest,
    node::{Node, Settings},
    sql::{Backend, Database},
};

const NODES: usize = 2;

/// With tasks of 50 ms, 200 in a second: a limit that the workers set, not the processor, which the databases share.
const WORKERS: &str = "5";

/// With less there is nothing to measure.
const LEAST: u32 = 100;

/// Until the nodes' pools know their pace.
const WARM_UP: Duration = Duration::from_millis(1_500);

/// How soon throughput must be back.
const RECOVERY: i64 = 90_000;

/// What it must be of what it was.
pub const ENOUGH: f64 = 0.98;

/// What was claimed in a time that was undone may begin for so long after it, and begin again by a later claim: it waited in a
/// node's memory, for a second at most, or its beginning was about to be written.
const ECHO: i64 = 3_000;

/// A time, in milliseconds, of which the database knows nothing any more.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(
    not(any(feature = "postgres", feature = "mysql")),
    allow(dead_code, reason = "only servers are set back")
)]
pub struct Undone {
    pub from: i64,
    pub until: i64,
}

/// How nodes differ from one fault to another.
pub struct Setup {
    /// `None`: the default.
    pub lease: Option<Duration>,
    /// Parameters of the nodes' URL.
    pub parameters: &'static str,
    /// How many tasks wait or run at any time, at least.
    pub backlog: usize,
    /// Plain SQL for the new database.
    pub sql: Option<&'static str>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            lease: None,
            parameters: "",
            // Work of a second and a half: more than all nodes together take in advance.
            backlog: 300,
            sql: None,
        }
    }
}

pub struct Cluster {
    pub database: Database,
    pub nodes: Vec<Node>,
    pub feeder: Feeder,
    pub effects: Arc<Mutex<Effects>>,
    /// What the database does not know any more.
    pub undone: Vec<Undone>,
    url: String,
    settings: Settings,
}

/// Throughput around a fault, in tasks per second.
#[derive(Clone, Copy)]
pub struct Recovery {
    /// The least between the beginning of the fault and the recovery.
    pub least: u32,
    /// The first median that was enough; if there was none, the last.
    pub after: u32,
    /// From the end of the fault to the first second of that.
    pub took: Option<Duration>,
}

impl Cluster {
    pub fn start(backend: &Backend, setup: &Setup) -> Self {
        let database = Database::fresh(backend);
        setup.sql.iter().for_each(|sql| database.execute(sql));
        let effects = Effects::new(database.folder.path().join("effects"));
        let effects = Arc::new(Mutex::new(effects));
        let url = format!("{}{}", database.url, setup.parameters);
        let mut settings = vec![("WORKERS", WORKERS.to_owned()), ("JOBS", "1".to_owned())];
        settings.extend(
            setup
                .lease
                .map(|lease| ("GAIA__NODE__LEASE", lease.as_secs().to_string())),
        );
        // First the work: a node that finds none looks again seconds later.
        let feeder = Feeder::start(&database, setup, Arc::clone(&effects));
        let nodes = (0..NODES).map(|_| Node::start(&database, &url, &settings)).collect();
        rest(WARM_UP);
        Self {
            database,
            nodes,
            feeder,
            effects,
            undone: Vec::new(),
            url,
            settings,
        }
    }

    /// Whether the database may know nothing of a run that began then.
    pub fn is_undone(&self, millis: i64) -> bool {
        let explains = |undone: &Undone| (undone.from..undone.until + ECHO).contains(&millis);
        self.undone.iter().any(explains)
    }

    /// SIGKILL for one node, and another in its place.
    pub fn replace(&mut self, at: usize) {
        self.nodes[at].kill();
        self.nodes[at] = Node::start(&self.database, &self.url, &self.settings);
    }

    /// The median of so many seconds from now on.
    pub fn rate(&self, windows: usize) -> u32 {
        let from = now();
        let rate = median((0..windows).map(|at| self.second(from + 1_000 * millis(at))).collect());
        assert!(
            rate >= LEAST,
            "the nodes do {rate} tasks in a second, expected {LEAST} or more"
        );
        rate
    }

    /// Waits until the throughput is back, after a fault between two times.
    pub fn recovery(&self, windows: usize, before: u32, (begun, ended): (i64, i64)) -> Recovery {
        let is_enough = |rate: u32| f64::from(rate) >= ENOUGH * f64::from(before);
        let mut recovery = Recovery {
            least: u32::MAX,
            after: 0,
            took: None,
        };
        let mut from = ended;
        while recovery.took.is_none() && from - ended < RECOVERY {
            let first = self.second(from);
            if is_enough(first) {
                let rest = (1..windows).map(|at| self.second(from + 1_000 * millis(at)));
                recovery.after = median(std::iter::once(first).chain(rest).collect());
                if is_enough(recovery.after) {
                    recovery.took = Duration::from_millis((from - ended).unsigned_abs()).into();
                }
            }
            from += 250;
        }
        let seconds = (begun..=from - 250).step_by(250).map(|at| self.second(at));
        recovery.least = seconds.min().unwrap_or(0);
        recovery
    }

    /// How many tasks ended in the second from then on; waits until it is over.
    fn second(&self, from: i64) -> u32 {
        // A line is written a moment after the time that it names.
        let until = from + 1_000 + 100;
        rest(Duration::from_millis((until - now()).max(0).unsigned_abs()));
        let mut effects = self.effects.lock().expect("nobody panics with it");
        effects.refresh();
        effects.in_second_from(from)
    }
}

pub fn now() -> i64 {
    Utc::now().timestamp_millis()
}

fn millis(count: usize) -> i64 {
    i64::try_from(count).expect("few")
}

fn median(mut rates: Vec<u32>) -> u32 {
    rates.sort_unstable();
    rates[rates.len() / 2]
}
