//! The verbs, each of them once: as a client of the API.

mod alert;
mod audit;
mod check;
mod completion;
mod demo;
mod input;
mod job;
mod limit;
mod method;
mod metrics;
mod migrate;
mod node;
mod operation;
mod paging;
mod run_log;
mod schedule;
mod serve;
mod task;
mod theme;
mod top;

use crate::{args::Command, exit::Result, session::Session};

pub async fn run(session: &Session, command: Command) -> Result {
    match command {
        Command::Task(command) => task::run(session, command).await,
        Command::Theme(command) => theme::run(session, command).await,
        Command::Job(command) => job::run(session, command).await,
        Command::Node(command) => node::run(session, command).await,
        Command::Method(command) => method::run(session, command).await,
        Command::Limit(command) => limit::run(session, command).await,
        Command::Operation(command) => operation::run(session, command).await,
        Command::Alert(command) => alert::run(session, command).await,
        Command::Audit(command) => audit::run(session, command).await,
        Command::Check(args) => check::run(session, args).await,
        Command::Top(args) => top::run(session, args).await,
        Command::Metrics => metrics::run(session).await,
        // Boxed: its future is large.
        Command::Serve(args) => Box::pin(serve::run(session, &args)).await,
        Command::Demo(args) => demo::run(session, &args).await,
        Command::Migrate(args) => migrate::run(session, args).await,
        Command::Schedule(command) => schedule::run(session, command),
        Command::Completion(args) => completion::completion(session, &args),
        Command::Man(args) => completion::man(session, &args),
    }
}
