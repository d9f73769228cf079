//! Cron jobs, live: one of every few seconds, one of every night in Shanghai, and a hook that calls a server.
//!
//! ```sh
//! cargo run --example cron                    # until Ctrl-C
//! cargo run --example cron -- --seconds 15
//! ```
//!
//! The tables are in `cron.db` in the current folder, or wherever `DATABASE_URL` says. Start it twice on the same file: each
//! fire is shown by one of the two.

use std::{process::ExitCode, time::Duration};

use actix_web::{App, HttpRequest, HttpServer, web};
use chrono::{DateTime, Utc};
use clap::Parser;
use gaia_actors::{HookSecret, prelude::*};
use serde::Deserialize;
use serde_json::json;

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// A secret of your own is made of random bytes, and comes from wherever you keep such things.
const SECRET: &str = "whsec_Z2FpYS1hY3RvcnMtZXhhbXBsZS1jcm9uLWtleQ==";

/// Cron jobs, live.
#[derive(Parser)]
struct Options {
    /// Stop after so many seconds; until Ctrl-C if it is not given.
    #[arg(long)]
    seconds: Option<u64>,
}

#[derive(Deserialize)]
struct Report {
    name: String,
}

#[actix_rt::main]
async fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    match run(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cron: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<()> {
    let server = HttpServer::new(|| App::new().route("/api/sync", web::post().to(receive)))
        .workers(1)
        .disable_signals()
        .bind(("127.0.0.1", 0))?;
    let url = format!("http://{}/api/sync", server.addrs()[0]);
    let server = server.run();
    let stop_server = server.handle();
    actix_rt::spawn(server);

    let config = Config::from_json(r#"{ "Databases": { "default": "sqlite:cron.db" } }"#)?.with_env()?;
    let gaia = Gaia::builder()
        .config(config)
        .handler("ReportService", "Generate", async_fn(generate))
        .jobs(JobsOptions::default())
        .start()
        .await?;
    declare(&gaia.jobs(), url).await?;

    println!("\nfires, as they come:");
    match options.seconds {
        Some(seconds) => {
            actix_rt::time::sleep(Duration::from_secs(seconds)).await;
            gaia.stop().await?;
        }
        None => drop(gaia.run_until_signal().await?),
    }
    stop_server.stop(true).await;
    Ok(())
}

/// Jobs that a program declares are there once, however often it starts.
async fn declare(jobs: &Jobs, url: String) -> Result<()> {
    let pulse = NewJob::cron_job("pulse", "*/3 * * * * *", "ReportService", "Generate");
    let daily = NewJob::cron_job("每日报表生成", "0 0 1 * * *", "ReportService", "Generate");
    let hook = NewJob::cron_hook("数据同步通知", "*/5 * * * * *", url);
    for job in [
        pulse.args(&json!({ "name": "the pulse" })),
        daily.args(&json!({ "name": "the day" })).time_zone("Asia/Shanghai"),
        hook.args(&json!({ "type": "full" }))
            .secret(&HookSecret::parse(SECRET)?)
            .timeout(Duration::from_secs(60)),
    ] {
        let id = jobs.ensure_job(job).await?;
        let detail = jobs.get_job_detail(id).await?;
        let description = detail.description.unwrap_or_default();
        println!("job {id} {}: {description}", detail.job.job_name);
        let fires: Vec<String> = detail.next_fires.iter().take(3).map(DateTime::to_rfc3339).collect();
        println!("    next: {}", fires.join(", "));
    }
    Ok(())
}

async fn generate(ctx: TaskContext, report: Report) -> Result<String, TaskError> {
    show(ctx.scheduled_at(), ctx.theme(), &format!("a report of {}", report.name));
    Ok(format!("{} is reported", report.name))
}

/// The other side of the hook. A real one checks `webhook-signature` and remembers `idempotency-key`.
async fn receive(request: HttpRequest, body: String) -> &'static str {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let signed = header("webhook-signature").is_some();
    let key = header("idempotency-key").unwrap_or_default();
    show(
        None,
        "数据同步通知",
        &format!("the server was sent {body} (signed: {signed}, key {key})"),
    );
    "synchronised"
}

fn show(due: Option<DateTime<Utc>>, job: &str, what: &str) {
    let now = Utc::now();
    let late = due.map_or_else(String::new, |due| {
        format!(", {} ms after its second", (now - due).num_milliseconds())
    });
    println!("{} {job}: {what}{late}", now.format("%H:%M:%S%.3f"));
}
