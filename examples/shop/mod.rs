//! A shop with something to look at: two nodes, themes that succeed, fail, wait and pause, a method that nobody serves, jobs and hooks. The
//! example `dashboard` and the command `gaia demo` are this shop.

use std::{net::TcpListener, time::Duration};

use actix_web::{App, HttpResponse, HttpServer, dev::ServerHandle, rt, web};
use gaia_actors::{
    admin::PauseTheme,
    async_fn,
    logs::KeepLogs,
    prelude::*,
    web::{Access, AdminOptions, EnvironmentColour, admin},
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// How often orders come.
const ORDERS: Duration = Duration::from_millis(700);

/// The shop, which is open.
pub struct Shop {
    /// The node for orders and mails.
    orders: Gaia,
    reports: Gaia,
    server: ServerHandle,
    load: JoinHandle<Result<(), Error>>,
}

impl Shop {
    /// Opens the shop on a database. The dashboard is at `/gaia/`, for this machine alone.
    pub async fn open(url: &str, listener: TcpListener) -> Result<Self, Error> {
        let address = listener.local_addr().map_err(Error::Start)?;
        let orders = shop_node(url).await?;
        let reports = reports_node(url).await?;
        let served = orders.clone();
        let options = AdminOptions::new(Access::loopback_only()).environment("a shop", EnvironmentColour::Green);
        let server = HttpServer::new(move || {
            App::new()
                .route("/", web::get().to(to_pages))
                .route("/prices", web::post().to(prices))
                .service(web::scope("/gaia").service(admin(&served, options.clone())))
        });
        let server = server
            .workers(1)
            .disable_signals()
            .shutdown_timeout(1)
            .h1_allow_half_closed(false);
        let server = server.listen(listener).map_err(Error::Start)?.run();
        let handle = server.handle();
        rt::spawn(server);
        add_jobs(&orders, &format!("http://{address}/prices")).await?;
        let load = rt::spawn(load(orders.clone()));
        Ok(Self {
            orders,
            reports,
            server: handle,
            load,
        })
    }

    /// Runs until a signal asks the process to stop. The process listens for signals from this call on.
    pub fn run_until_signal(&self) -> impl Future<Output = Result<(), Error>> {
        let until_signal = self.orders.run_until_signal();
        async move {
            let stopped = until_signal.await;
            self.load.abort();
            self.server.stop(true).await;
            self.reports.stop().await?;
            stopped.map(drop)
        }
    }
}

async fn to_pages() -> HttpResponse {
    HttpResponse::SeeOther().insert_header(("location", "gaia/")).finish()
}

/// What a hook calls: it fails now and then.
async fn prices() -> HttpResponse {
    match fastrand::u8(..6) {
        0 => HttpResponse::ServiceUnavailable().body("the supplier does not answer"),
        _ => HttpResponse::Ok().json(json!({ "changed": fastrand::u8(..20) })),
    }
}

/// Works on orders and mails, and runs jobs.
async fn shop_node(url: &str) -> Result<Gaia, Error> {
    Gaia::builder()
        .database(url)
        .handler("Order", "Confirm", async_fn(confirm))
        .handler("Order", "Pay", async_fn(pay))
        // The bank takes no more at once.
        .limit("Order", "Pay", Limit::running(3))
        .handler("Mail", "Send", async_fn(send))
        .handler(
            "Shop",
            "Sweep",
            async_fn(async |_, _: Value| {
                let swept = fastrand::u8(..50);
                log::info!("swept {swept} baskets that nobody has paid");
                Ok(json!({ "swept": swept }))
            }),
        )
        .scheduler(
            SchedulerOptions::new("orders")
                .worker_num(4)
                .keep_logs(KeepLogs::default()),
        )
        .scheduler(SchedulerOptions::new("mail").worker_num(2))
        .jobs(JobsOptions::default().keep_logs(KeepLogs::default()))
        .on_alert(|alert| eprintln!("{}: {}", alert.state, alert.text_en))
        .start()
        .await
}

/// Works on reports, which take long.
async fn reports_node(url: &str) -> Result<Gaia, Error> {
    Gaia::builder()
        .database(url)
        .handler("Report", "Build", async_fn(build))
        .scheduler(
            SchedulerOptions::new("reports")
                .worker_num(2)
                .keep_logs(KeepLogs::default()),
        )
        .start()
        .await
}

async fn work(least: u64, most: u64) {
    actix_web::rt::time::sleep(Duration::from_millis(fastrand::u64(least..most))).await;
}

async fn confirm(_: TaskContext, order: u64) -> Result<Value, TaskError> {
    work(20, 200).await;
    log::info!("order {order} is confirmed");
    Ok(json!({ "order": order, "confirmed": true }))
}

async fn pay(context: TaskContext, order: u64) -> Result<Value, TaskError> {
    log::info!(
        "asks the bank for the money of order {order}, attempt {}",
        context.attempt()
    );
    work(100, 900).await;
    match fastrand::u8(..10) {
        0 | 1 => Err(TaskError::failed("the bank answers 502: upstream timed out")),
        2 => Err(TaskError::discard(format!("the card of order {order} is expired"))),
        _ => Ok(json!({ "order": order, "receipt": format!("R-{order:06}") })),
    }
}

async fn send(_: TaskContext, to: String) -> Result<(), TaskError> {
    work(50, 400).await;
    match fastrand::u8(..12) {
        0 => Err(TaskError::failed(format!("550 mailbox of {to} is full"))),
        _ => Ok(()),
    }
}

async fn build(context: TaskContext, month: String) -> Result<Value, TaskError> {
    for percent in (0..100_u8).step_by(10) {
        context.progress(percent, format!("reads the orders of {month}"));
        log::info!("{percent} % of {month}: {} orders read", fastrand::u16(..5_000));
        work(400, 1_500).await;
    }
    Ok(json!({ "pages": fastrand::u8(3..40) }))
}

/// Two jobs of this program, one that calls a hook, and one that is not enabled.
async fn add_jobs(gaia: &Gaia, prices: &str) -> Result<(), Error> {
    let jobs = gaia.jobs();
    jobs.ensure_job(NewJob::cron_job("sweep the shop", "*/10 * * * * *", "Shop", "Sweep"))
        .await?;
    jobs.ensure_job(NewJob::cron_job("monthly report", "0 0 6 1 * *", "Report", "Build").time_zone("Europe/Paris"))
        .await?;
    jobs.ensure_job(NewJob::cron_hook("prices of the supplier", "*/15 * * * * *", prices).max_retry(2))
        .await?;
    jobs.ensure_job(NewJob::cron_job("old import", "@hourly", "Shop", "Import").enabled(false))
        .await?;
    Ok(())
}

/// Orders come as long as the program runs.
async fn load(gaia: Gaia) -> Result<(), Error> {
    let (orders, mail) = (gaia.scheduler("orders")?, gaia.scheduler("mail")?);
    let (reports, imports) = (gaia.scheduler("reports")?, gaia.scheduler("imports")?);
    imports
        .add_task(NewTask::new("Import", "Catalogue").args(&"2026"))
        .await?;
    let pause = PauseTheme {
        theme: "newsletter".to_owned(),
        by: Some("the night shift".to_owned()),
        reason: Some("the text has a mistake".to_owned()),
    };
    gaia.admin().pause_theme(pause).await?;
    let letters = gaia.scheduler("newsletter")?;
    for order in 1_u64.. {
        orders
            .add_task(
                NewTask::new("Order", "Confirm")
                    .args(&order)
                    .name(format!("confirm order {order}")),
            )
            .await?;
        orders
            .add_task(
                NewTask::new("Order", "Pay")
                    .args(&order)
                    .name(format!("pay order {order}"))
                    .priority(5),
            )
            .await?;
        let to = format!("customer-{}@shop.example", order % 97);
        mail.add_task(
            NewTask::new("Mail", "Send")
                .args(&to)
                .unique_key(format!("mail-{order}")),
        )
        .await?;
        if order % 5 == 0 {
            letters.add_task(NewTask::new("Mail", "Send").args(&to)).await?;
        }
        if order % 20 == 1 {
            let month = format!("2026-{:02}", order % 12 + 1);
            reports
                .add_task(
                    NewTask::new("Report", "Build")
                        .args(&month)
                        .name(format!("report of {month}")),
                )
                .await?;
        }
        actix_web::rt::time::sleep(ORDERS).await;
    }
    Ok(())
}
