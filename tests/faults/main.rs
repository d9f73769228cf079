//! What real servers and processes do to the nodes of a cluster, and whether it comes back by itself.
//!
//! ```sh
//! cargo test --all-features --test faults                  # each fault once, about five minutes
//! cargo test --all-features --test faults -- --long        # each for minutes, about an hour
//! cargo test --all-features --test faults -- --database mysql --fault crash
//! ```
//!
//! Two nodes (`examples/node`) work on a backlog that is never empty, and on cron jobs of every second. Then something happens
//! to them or to their database. In the end no task may be lost, none may have begun after its Success, none that may run only
//! once may have begun twice, the throughput must be what it was, no second of a job may have been missed in silence, and after each
//! fault no task may stay Running under a living node that does not run it. Where the database itself is set back, that holds for
//! what it still knows.
//!
//! Servers are killed here, so this program starts its own with `scripts/database`. Where that fails, the table says so; with
//! `CI=true`, and for a database that was asked for by name, it is a failure.

#![expect(clippy::expect_used, reason = "a test")]
#![cfg_attr(
    not(any(feature = "postgres", feature = "mysql")),
    expect(
        clippy::unused_async,
        clippy::unnecessary_wraps,
        reason = "servers are waited for and may not start"
    )
)]

mod checks;
mod claims;
mod cluster;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod crowd;
mod default_settings;
mod effects;
#[path = "../suite/support/example.rs"]
mod example;
mod faults;
mod feeder;
mod interrupt;
mod jobs;
mod limited;
mod node;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod server;
mod sql;
mod table;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod undone;

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Parser;

use crate::{
    faults::Fault,
    sql::{Backend, Kind},
    table::Row,
};

/// Faults of servers, connections and processes.
#[derive(Parser)]
#[expect(clippy::struct_excessive_bools, reason = "flags")]
struct Options {
    /// Minutes for each fault instead of seconds.
    #[arg(long)]
    long: bool,
    /// Only this database; may be repeated.
    #[arg(long)]
    database: Vec<Kind>,
    /// Only this fault; may be repeated.
    #[arg(long)]
    fault: Vec<Fault>,
    /// Names of faults, as `cargo test NAME` passes them. Others run nothing.
    filter: Vec<String>,
    /// As every test has it: what would run.
    #[arg(long)]
    list: bool,
    // What else may be passed to all tests of a package.
    #[arg(long, hide = true)]
    nocapture: bool,
    #[arg(long, hide = true)]
    show_output: bool,
    #[arg(long, hide = true)]
    exact: bool,
    #[arg(long, hide = true)]
    ignored: bool,
    #[arg(long, hide = true)]
    include_ignored: bool,
    #[arg(long, short, hide = true)]
    quiet: bool,
    #[arg(long, hide = true)]
    test_threads: Option<String>,
    #[arg(long, hide = true)]
    format: Option<String>,
    #[arg(long, hide = true)]
    color: Option<String>,
    #[arg(long, hide = true)]
    skip: Vec<String>,
}

/// How long and how often.
#[derive(Clone, Copy)]
pub struct Plan {
    /// Windows of a second whose median is a rate.
    pub windows: usize,
    /// A fault is repeated until this is over.
    pub repeat_for: Duration,
    /// How long a fault lasts that lasts as long as we like.
    pub fault_for: Duration,
}

const SHORT: Plan = Plan {
    windows: 3,
    repeat_for: Duration::ZERO,
    fault_for: Duration::from_secs(3),
};

const LONG: Plan = Plan {
    windows: 7,
    repeat_for: Duration::from_secs(180),
    fault_for: Duration::from_secs(15),
};

impl Options {
    fn kinds(&self) -> Vec<Kind> {
        let mut kinds = <Kind as clap::ValueEnum>::value_variants().to_vec();
        kinds.retain(|kind| self.database.is_empty() || self.database.contains(kind));
        kinds
    }

    fn faults(&self) -> Vec<Fault> {
        let mut faults = <Fault as clap::ValueEnum>::value_variants().to_vec();
        faults.retain(|fault| {
            let name = fault.name();
            (self.fault.is_empty() || self.fault.contains(fault))
                && (self.filter.is_empty() || self.filter.iter().any(|filter| name.contains(filter)))
                && !self.skip.iter().any(|skip| name.contains(skip))
        });
        faults
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    let faults = options.faults();
    if options.list {
        for fault in faults {
            println!("{}: test", fault.name());
        }
        return ExitCode::SUCCESS;
    }
    if faults.is_empty() || options.ignored {
        return ExitCode::SUCCESS;
    }
    interrupt::listen();
    let _program = node::build();
    let began = Instant::now();
    let mut rows = run(&options, &faults);
    table::print(&mut rows, began.elapsed());
    if interrupt::came() {
        return ExitCode::from(130);
    }
    ExitCode::from(u8::from(rows.iter().any(Row::is_failed)))
}

fn run(options: &Options, faults: &[Fault]) -> Vec<Row> {
    let plan = if options.long { LONG } else { SHORT };
    let must_start = std::env::var("CI").is_ok_and(|ci| ci == "true");
    let (mut rows, mut backends) = (Vec::new(), Vec::new());
    for kind in options.kinds() {
        match Backend::start(kind) {
            Ok(backend) => backends.push(backend),
            Err(reason) if must_start || options.database.contains(&kind) => {
                rows.push(Row::failed(kind, "all", format!("cannot start: {reason}")));
            }
            Err(reason) => rows.push(Row::not_run(kind, "all", reason)),
        }
    }
    // Each database has its faults one after the other, beside those of the other databases.
    std::thread::scope(|scope| {
        let lanes: Vec<_> = backends
            .iter()
            .map(|backend| scope.spawn(|| lane(backend, faults, plan)))
            .collect();
        rows.extend(lanes.into_iter().flat_map(|lane| lane.join().expect("is guarded")));
    });
    rows
}

fn lane(backend: &Backend, faults: &[Fault], plan: Plan) -> Vec<Row> {
    let faults = faults.iter().filter(|fault| fault.is_of(backend.kind));
    faults.map(|fault| row(*fault, backend, plan)).collect()
}

/// A panic is a failure of its row; the others have their turn, and what was started is stopped.
fn row(fault: Fault, backend: &Backend, plan: Plan) -> Row {
    let (kind, name) = (backend.kind, fault.name());
    if interrupt::came() {
        return Row::not_run(kind, name, "interrupted".to_owned());
    }
    let began = Instant::now();
    let row = catch_unwind(AssertUnwindSafe(|| fault.run(backend, plan)))
        .unwrap_or_else(|panic| Row::failed(kind, name, format!("panicked: {}", text_of(&*panic))));
    let took = began.elapsed().as_secs_f64();
    println!("{:8} {name:9} {took:5.1} s  {}", kind.name(), row.result());
    for reason in row.reasons() {
        println!("         {reason}");
    }
    row
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_default()
}
