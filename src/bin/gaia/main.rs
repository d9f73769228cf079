//! `gaia`: to see and operate tasks, themes, jobs and nodes, on a database or through the HTTP API.
//!
//! Each verb is a client of the HTTP API. Without a server to ask, the program opens the database, serves the API to itself on the loopback
//! address, and asks there: so checks, audit and errors are the same both ways.

mod api;
mod args;
mod commands;
mod confirm;
mod exit;
mod listen;
mod local;
mod log;
mod output;
mod select;
mod session;
mod target;
mod watch;

use std::process::ExitCode;

use clap::{Parser, error::ErrorKind};

use self::{
    args::Cli,
    exit::{Exit, Failure},
    output::say,
    session::Session,
};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refused(&error),
    };
    log::start(cli.globals.verbose, cli.command.stays());
    let exit = actix_rt::System::new().block_on(run(cli));
    exit.into()
}

/// Help and version are answers; everything else is bad usage.
fn refused(error: &clap::Error) -> ExitCode {
    // The reader of the help may have gone.
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Done.into(),
        _ => Exit::Usage.into(),
    }
}

async fn run(cli: Cli) -> Exit {
    let session = Session::new(cli.globals);
    let stays = cli.command.stays();
    let run = commands::run(&session, cli.command);
    let done = tokio::select! {
        done = run => done,
        // A command that stays stops by itself at a signal.
        exit = interrupted(), if !stays => Err(Failure::new(exit, "")),
    };
    session.close().await;
    match done {
        Ok(exit) => exit,
        Err(failure) => told(&failure),
    }
}

fn told(failure: &Failure) -> Exit {
    let text = failure.to_string();
    if !text.is_empty() {
        say(&format!("gaia: {text}"));
    }
    failure.exit
}

/// Waits until a signal asks the process to end.
async fn interrupted() -> Exit {
    #[cfg(unix)]
    if let Ok(mut term) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        return tokio::select! {
            _ = tokio::signal::ctrl_c() => Exit::Interrupted,
            _ = term.recv() => Exit::Terminated,
        };
    }
    // Without a handler the signal ends the process as it always does.
    match tokio::signal::ctrl_c().await {
        Ok(()) => Exit::Interrupted,
        Err(_) => std::future::pending().await,
    }
}
