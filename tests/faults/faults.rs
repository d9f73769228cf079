//! What happens, and to whom.

use std::time::{Duration, Instant};

use clap::ValueEnum;

use crate::{
    Plan, checks, claims,
    cluster::{Cluster, Recovery, Setup, now},
    default_settings,
    interrupt::rest,
    node::{self, Node},
    sql::{Backend, Database, Kind},
    table::{Measured, Row},
};
#[cfg(any(feature = "postgres", feature = "mysql"))]
use crate::{
    crowd, jobs,
    server::{self, Server},
    undone,
};

/// A lease that is over soon.
const LEASE: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Fault {
    /// A node with default settings is killed: how long until others have its tasks.
    Default,
    /// The server is stopped and started again.
    Restart,
    /// The server is killed and started again.
    Crash,
    /// Every connection is terminated, again and again.
    Terminate,
    /// Somebody else takes all connections of the server; the nodes have one each.
    Exhausted,
    /// A node stands still for longer than its lease, and goes on.
    Paused,
    /// Nodes are killed and replaced at random.
    Killed,
    /// The server stands still for longer than the leases; connections stay open.
    Stalled,
    /// Tasks that have ended are Running again under nodes that live: an older state of the database.
    Older,
    /// A backup is put back while the nodes work.
    Restored,
    /// The server need not write commits before it answers, and is killed before it does.
    Weak,
    /// The server is killed, and a standby that was behind takes its place.
    Standby,
    /// A node is killed, and somebody has locked the row of one of its tasks.
    Locked,
}

impl Fault {
    pub fn name(self) -> &'static str {
        match self {
            Self::Restart => "restart",
            Self::Crash => "crash",
            Self::Terminate => "terminate",
            Self::Exhausted => "exhausted",
            Self::Paused => "paused",
            Self::Killed => "killed",
            Self::Stalled => "stalled",
            Self::Older => "older",
            Self::Restored => "restored",
            Self::Weak => "weak",
            Self::Standby => "standby",
            Self::Locked => "locked",
            Self::Default => "default",
        }
    }

    /// Whether it is a fault of this database.
    pub fn is_of(self, kind: Kind) -> bool {
        match self {
            Self::Default | Self::Paused | Self::Killed | Self::Older => true,
            Self::Standby => kind.name() == "postgres",
            _ => kind.is_server(),
        }
    }

    fn setup(self, kind: Kind) -> Setup {
        let mut setup = Setup::default();
        match self {
            Self::Paused | Self::Stalled | Self::Older | Self::Restored | Self::Standby | Self::Locked => {
                setup.lease = Some(LEASE);
            }
            Self::Weak => {
                setup.lease = Some(LEASE);
                setup.sql = Some(match kind.name() {
                    "postgres" => {
                        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database()); \
                         END $$"
                    }
                    _ => "SET GLOBAL innodb_flush_log_at_trx_commit = 0",
                });
            }
            Self::Killed => {
                setup.lease = Some(LEASE);
                // The dead keep what they had claimed until their leases end.
                setup.backlog = 1_000;
            }
            Self::Exhausted => setup.parameters = "?pool_size=1&pool_timeout=500",
            Self::Restart | Self::Crash | Self::Terminate | Self::Default => {}
        }
        setup
    }

    /// Whether the nodes live through it, and say so.
    fn is_noticed(self) -> bool {
        !matches!(self, Self::Killed)
    }

    pub fn run(self, backend: &Backend, plan: Plan) -> Row {
        match self {
            Self::Default => default_settings::run(backend, plan),
            _ => self.run_under_load(backend, plan),
        }
    }

    /// The whole story: before, the fault as often as planned, after, and what is left in the end.
    fn run_under_load(self, backend: &Backend, plan: Plan) -> Row {
        let mut cluster = Cluster::start(backend, &self.setup(backend.kind));
        let before = cluster.rate(plan.windows);
        let (mut problems, mut recoveries) = (Vec::new(), Vec::<Recovery>::new());
        let began = Instant::now();
        while recoveries.is_empty() || began.elapsed() < plan.repeat_for {
            let (from, said) = (now(), node::log_of(&cluster.database).len());
            problems.extend(self.inflict(backend, &mut cluster, plan, recoveries.len()));
            let recovery = cluster.recovery(plan.windows, before, (from, now()));
            recoveries.push(recovery);
            if self.is_noticed() && node::log_of(&cluster.database).len() == said {
                problems.push("the fault was none: the nodes have noticed nothing".to_owned());
            }
            problems.extend(claims::unknown(&cluster.database));
            if self == Self::Stalled {
                problems.extend(fires_burnt(&cluster.database));
            }
            if recovery.took.is_none() {
                problems.push(format!(
                    "throughput is not back: {before}/s before, {}/s now",
                    recovery.after
                ));
                break;
            }
        }
        let counts = checks::finish(cluster, &mut problems);
        let measured = Measured::new(before, &recoveries, counts);
        Row::measured(backend.kind, self.name(), measured, problems)
    }

    /// Answers what was wrong on the way.
    fn inflict(self, backend: &Backend, cluster: &mut Cluster, plan: Plan, turn: usize) -> Option<String> {
        match self {
            Self::Paused => pause(&cluster.nodes[0], plan),
            Self::Killed => kill(cluster, plan),
            Self::Older => return claims::set_back(&cluster.database),
            #[cfg(any(feature = "postgres", feature = "mysql"))]
            Self::Locked => return claims::lock_orphan(cluster),
            #[cfg(any(feature = "postgres", feature = "mysql"))]
            Self::Restored | Self::Weak | Self::Standby => {
                return undone::inflict(self, backend.server.as_ref()?, cluster);
            }
            #[cfg(any(feature = "postgres", feature = "mysql"))]
            _ => return self.inflict_on(backend.server.as_ref()?, &cluster.database, plan, turn),
            #[cfg(not(any(feature = "postgres", feature = "mysql")))]
            _ => unreachable!("{backend:?} has no server for turn {turn}"),
        }
        None
    }

    #[cfg(any(feature = "postgres", feature = "mysql"))]
    fn inflict_on(self, server: &Server, database: &Database, plan: Plan, turn: usize) -> Option<String> {
        // Longer than the nodes can go on with what they have; in some turns longer than leases, too.
        let downtime = Duration::from_secs([1, 8, 25][turn % 3]);
        match self {
            Self::Restart => server.restart(downtime),
            Self::Crash => server.crash(downtime),
            Self::Terminate => return terminate(database, plan),
            Self::Exhausted => {
                let wrong = crowd::on_one_connection(database);
                server.exhaust(database, plan.fault_for);
                return wrong;
            }
            Self::Stalled => return stall(server, database, plan),
            _ => {}
        }
        None
    }
}

/// What was due while the database stood still must run late. A run that never began is not to be recorded as cut off.
fn fires_burnt(database: &Database) -> Option<String> {
    let burnt =
        database.number("SELECT COUNT(*) FROM job_record WHERE run_err LIKE '%lost its lease%' AND attempt = 0");
    (burnt > 0).then(|| format!("{burnt} runs were recorded as cut off before they had begun"))
}

/// Some jobs are due in that time, once each.
#[cfg(any(feature = "postgres", feature = "mysql"))]
fn stall(server: &Server, database: &Database, plan: Plan) -> Option<String> {
    let how_long = LEASE + plan.fault_for * 2;
    let due = jobs::DueOnce::add(database, how_long);
    server.stall(how_long);
    due.check(database)
}

#[cfg(any(feature = "postgres", feature = "mysql"))]
fn terminate(database: &Database, plan: Plan) -> Option<String> {
    let (began, mut terminated) = (Instant::now(), 0);
    while began.elapsed() < plan.fault_for {
        terminated += server::terminate_all(database);
        rest(Duration::from_millis(fastrand::u64(50..500)));
    }
    (terminated == 0).then(|| "there was no connection to terminate".to_owned())
}

fn pause(node: &Node, plan: Plan) {
    node.signal("STOP");
    rest(LEASE * 2 + plan.fault_for / 10);
    node.signal("CONT");
}

/// At the end each node has been ready.
fn kill(cluster: &mut Cluster, plan: Plan) {
    let began = Instant::now();
    while began.elapsed() < plan.fault_for {
        rest(Duration::from_millis(fastrand::u64(50..800)));
        let victim = fastrand::usize(..cluster.nodes.len());
        cluster.replace(victim);
    }
}
