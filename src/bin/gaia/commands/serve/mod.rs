//! A whole job server: themes, jobs, the dashboard and the API, as a configuration names them.
//!
//! It has no handlers: it calls remote services and hooks. Tasks of other methods wait for nodes that serve them.

mod http;
mod reload;
mod settings;

use gaia_actors::{Gaia, GaiaBuilder, web::ReplaceableAccess};

use self::{http::Server, reload::Reload, settings::Settings};
use crate::{
    args::ServeArgs,
    exit::{Exit, Failure, Result},
    interrupted,
    local::{must_exist, unopened},
    output::{say, words},
    session::Session,
};

pub async fn run(session: &Session, args: &ServeArgs) -> Result {
    let settings = Settings::read(&session.globals, args)?;
    if args.check {
        say("The configuration is good.");
        return Ok(Exit::Done);
    }
    let reload = Reload::listen()?;
    let listener = settings.listener()?;
    let started = tokio::select! {
        started = start(&settings) => started?,
        exit = interrupted() => return Err(Failure::new(exit, "")),
    };
    let access = ReplaceableAccess::new(settings.access.clone());
    let server = Server::start(&started, &settings, access.access(), listener)?;
    // The process listens for signals before it says that it is ready.
    let until_signal = started.run_until_signal();
    announce(&started, &settings, &server);
    let read = || Settings::read(&session.globals, args);
    let stopped = tokio::select! {
        stopped = until_signal => stopped.map_err(|error| Failure::away(error.to_string())),
        () = reload.follow(&started, settings, &access, read) => Err(Failure::failed("the server has stopped listening for SIGHUP")),
    };
    server.stop().await;
    let report = stopped?;
    if report.unwritten > 0 {
        let ends = i64::try_from(report.unwritten).unwrap_or(i64::MAX);
        return Err(Failure::away(format!(
            "{} could not be written to the database; those tasks run again",
            words::counted(ends, "outcome", "outcomes")
        )));
    }
    say("gaia: stopped");
    Ok(Exit::Done)
}

async fn start(settings: &Settings) -> Result<Gaia> {
    let builder = Gaia::builder();
    let builder = match settings.is_read_only {
        true => client(builder, settings)?,
        false => builder.config(settings.config.clone()).configured(),
    };
    builder.start().await.map_err(|error| unopened(&error))
}

/// A client of the database: it makes no tables, runs no task and no job, and sends no alerts.
fn client(builder: GaiaBuilder, settings: &Settings) -> Result<GaiaBuilder> {
    let mut config = settings.config.clone();
    must_exist(
        config
            .async_task_url()
            .map_err(|error| Failure::usage(error.to_string()))?,
    )?;
    config.alerts.webhooks.clear();
    Ok(builder.config(config).migrate(false).arbiters(1))
}

fn announce(gaia: &Gaia, settings: &Settings, server: &Server) {
    say(&format!("gaia: database {}", gaia.store().url()));
    let themes = settings.config.themes.iter().map(|(theme, own)| {
        let workers = own.worker_num.unwrap_or(settings.config.async_task.worker_num);
        let workers = words::counted(i64::try_from(workers).unwrap_or(i64::MAX), "worker", "workers");
        format!("{theme} ({workers})")
    });
    let themes: Vec<String> = themes.collect();
    match (settings.is_read_only, themes.is_empty()) {
        (true, _) => say("gaia: read-only; this process runs no task and no job"),
        (false, true) => say("gaia: no themes; the section Themes of the configuration names them"),
        (false, false) => say(&format!("gaia: themes {}", themes.join(", "))),
    }
    say(&format!("gaia: dashboard {}", server.url));
    say("gaia: ready");
}
