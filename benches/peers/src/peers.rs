//! What the driver has to know about each side.

use crate::database::Kind;

/// How the database tells how much is done.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Done {
    /// Rows that are finished and still there.
    Kept(&'static str),
    /// What is not finished yet: finished rows are deleted.
    Left(&'static str),
    /// An expression that counts.
    Counted(&'static str),
}

/// One side on one database.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// Built on sqlx 0.8.
    pub(crate) is_older: bool,
    pub(crate) done: Done,
    /// How it acknowledges, and what it leaves behind.
    pub(crate) note: &'static str,
    /// How tasks are added in bulk.
    pub(crate) insert: &'static str,
    /// What was set, of cases with settings of their own.
    pub(crate) best: &'static str,
    pub(crate) defaults: &'static str,
    pub(crate) quick: &'static str,
}

impl Peer {
    /// The longest backlog that is fair to it: fang sorts all of it for each claim.
    pub(crate) fn most_tasks(&self) -> usize {
        match self.name {
            "fang" => 3_000,
            _ => usize::MAX,
        }
    }

    /// Whether it picks up a task no other way than the same peer without its name's addition.
    pub(crate) fn is_variant(&self) -> bool {
        matches!(self.name, "apalis without LIdx" | "awa old storage")
    }
}

/// The others are compared with it.
pub(crate) const OURS: &str = "gaia-actors";

const fn ours(kind: Kind) -> Peer {
    Peer {
        name: OURS,
        kind,
        is_older: false,
        done: Done::Kept("asynctasks WHERE task_status = 'Success'"),
        note: "batch ack, row kept, one record per run",
        insert: "transactions of 1000",
        best: "300 workers, claims of 1000 to 4000",
        defaults: "30 workers, claims of 50 to 1000",
        quick: "defaults",
    }
}

const RIVER_DONE: Done = Done::Kept("river_job WHERE state = 'completed'");
const RIVER_NOTE: &str = "batch ack, row kept, no record of runs";
const RIVER_BEST: &str = "1000 workers, fetches every 2 ms";
const RIVER_DEFAULTS: &str = "10 workers (its guide's; there is no default)";
const APALIS_NOTE: &str = "batch ack, row kept, no record of runs";
const APALIS_SQLITE_BEST: &str = "1 worker, batches of 1000, polls every 10 ms, lock_tasks off";
const APALIS_DEFAULTS: &str = "1 worker, batches of 10";
const APALIS_SQLITE_DONE: Done = Done::Kept("Jobs WHERE status = 'Done'");

const AWA_BEST: &str = "1024 workers, polls every 50 ms";
const AWA_DEFAULTS: &str = "50 workers, polls every 200 ms";
/// What is finished, in batches or by itself, and what was and is deleted by now.
const AWA_DONE: &str = "(SELECT coalesce(sum(completed_count), 0) FROM awa.receipt_completion_batches)
    + (SELECT count(*) FROM awa.done_entries)
    + (SELECT coalesce(sum(pruned_completed_count), 0) FROM awa.queue_terminal_rollups)";

pub(crate) const PEERS: [Peer; 13] = [
    ours(Kind::Sqlite),
    Peer {
        name: "riverqueue",
        kind: Kind::Sqlite,
        is_older: false,
        done: RIVER_DONE,
        note: RIVER_NOTE,
        insert: "insert_many of 1000",
        best: RIVER_BEST,
        defaults: RIVER_DEFAULTS,
        quick: RIVER_BEST,
    },
    Peer {
        name: "apalis",
        kind: Kind::Sqlite,
        is_older: false,
        done: APALIS_SQLITE_DONE,
        note: APALIS_NOTE,
        insert: "push_bulk of 1000",
        best: APALIS_SQLITE_BEST,
        defaults: APALIS_DEFAULTS,
        quick: "callback on inserts, lock_tasks off",
    },
    Peer {
        name: "apalis without LIdx",
        kind: Kind::Sqlite,
        is_older: false,
        done: APALIS_SQLITE_DONE,
        note: "as apalis, with the index that its acknowledgement walks dropped",
        insert: "push_bulk of 1000",
        best: APALIS_SQLITE_BEST,
        defaults: APALIS_DEFAULTS,
        quick: "not measured: as apalis",
    },
    ours(Kind::Postgres),
    Peer {
        name: "riverqueue",
        kind: Kind::Postgres,
        is_older: false,
        done: RIVER_DONE,
        note: RIVER_NOTE,
        insert: "insert_many of 1000",
        best: RIVER_BEST,
        defaults: RIVER_DEFAULTS,
        quick: RIVER_BEST,
    },
    Peer {
        name: "graphile_worker",
        kind: Kind::Postgres,
        is_older: false,
        done: Done::Left("graphile_worker._private_jobs"),
        note: "row deleted, no record of runs",
        insert: "add_raw_jobs of 1000",
        best: "batch ack after 5 ms, 500 workers, two local queues of 2500",
        defaults: "each row by itself, a worker per core",
        quick: "each row by itself, 10 workers",
    },
    Peer {
        name: "apalis",
        kind: Kind::Postgres,
        is_older: false,
        done: Done::Kept("apalis.jobs WHERE status = 'Done'"),
        note: APALIS_NOTE,
        insert: "push_bulk of 1000",
        best: "4 workers, batches of 1000, pubsub, lock_tasks off",
        defaults: APALIS_DEFAULTS,
        quick: "pubsub and polls every 100 ms, lock_tasks off",
    },
    Peer {
        name: "awa",
        kind: Kind::Postgres,
        is_older: true,
        done: Done::Counted(AWA_DONE),
        note: "batch ack, finished jobs deleted within seconds, no record of runs",
        insert: "COPY of 1000",
        best: AWA_BEST,
        defaults: AWA_DEFAULTS,
        quick: "defaults",
    },
    Peer {
        name: "awa old storage",
        kind: Kind::Postgres,
        is_older: true,
        done: Done::Kept("awa.jobs_hot WHERE state = 'completed'"),
        note: "jobs added before the first worker starts: batch ack, row kept, no record of runs",
        insert: "COPY of 1000",
        best: AWA_BEST,
        defaults: AWA_DEFAULTS,
        quick: "not measured: as awa",
    },
    ours(Kind::Mysql),
    Peer {
        name: "apalis",
        kind: Kind::Mysql,
        is_older: true,
        done: Done::Kept("jobs WHERE status = 'Done'"),
        note: "each row by itself, row kept, no record of runs; a release candidate with a collation patched",
        insert: "push_bulk of 1000, a statement for each",
        best: "1 worker (more deadlock), batches of 1000, polls every 10 ms",
        defaults: APALIS_DEFAULTS,
        quick: "polls every 10 ms",
    },
    Peer {
        name: "fang",
        kind: Kind::Mysql,
        is_older: true,
        done: Done::Left("fang_tasks"),
        note: "at most 3000 tasks: it sorts the backlog for each claim; each row by itself, row deleted, no record of runs",
        insert: "one at a time: there is no bulk call",
        best: "20 workers that sleep 10 ms",
        defaults: "20 workers (its guide's; there is no default) that sleep 5 s",
        quick: "1 worker that sleeps 10 ms",
    },
];
