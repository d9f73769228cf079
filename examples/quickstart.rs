//! Two thousand orders through one scheduler, in about ten seconds, and two cron jobs beside them.
//!
//! ```sh
//! cargo run --example quickstart
//! ```
//!
//! It shows what becomes of tasks that succeed, fail once, have arguments that do not fit, panic, take too long or are
//! cancelled while they run, and how a theme is resized by message in the middle of its work. Meanwhile a job of every other
//! second calls a service, and one of every third calls a server over HTTP. At the end it counts the tasks in the database
//! and compares them with what was expected; if they differ, it exits with an error.
//!
//! The tables are in `quickstart.db` in the current folder, or wherever `DATABASE_URL` says (`sqlite:path/to/file.db`).
//! Each run has a theme of its own, so it can be run on the same file again.

use std::{
    collections::BTreeMap,
    panic,
    process::ExitCode,
    time::{Duration, Instant},
};

use actix_rt::time::sleep;
use actix_web::{App, HttpServer, web};
use comfy_table::{ContentArrangement, Table, presets::UTF8_FULL_CONDENSED};
use gaia_actors::{CancelAnswer, MisfirePolicy, prelude::*};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::{Deserialize, Serialize};
use serde_json::json;

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

const ORDERS: u64 = 2_000;
const WORKERS_AT_FIRST: usize = 5;
const WORKERS_LATER: usize = 50;
const GIVE_UP_AFTER: Duration = Duration::from_secs(60);
const PANIC: &str = "the printer is on fire";

#[actix_rt::main]
async fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("error")).init();
    match demonstrate().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("quickstart: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn demonstrate() -> Result<()> {
    keep_quiet_about_the_planned_panic();
    let config = Config::from_json(r#"{ "Databases": { "default": "sqlite:quickstart.db" } }"#)?.with_env()?;
    let theme = chrono::Utc::now().format("order-task-%Y%m%d-%H%M%S-%3f");
    let options = SchedulerOptions::new(theme.to_string()).worker_num(WORKERS_AT_FIRST);
    let gaia = Gaia::builder()
        .config(config)
        .handler("OrderService", "AsyncCreateOrder", async_fn(create_order))
        .handler("OrderService", "AsyncPrintInvoice", async_fn(print_invoice))
        .handler("OrderService", "AsyncShipOrder", async_fn(ship_order))
        .handler("StockService", "Count", async_fn(count_stock))
        .jobs(JobsOptions::default())
        .scheduler(options)
        .start()
        .await?;

    let jobs = declare_jobs(&gaia.jobs()).await?;
    let done = run(&gaia, &gaia.scheduler(&theme.to_string())?).await;
    let done = done.and(show_fires(&gaia.jobs(), &jobs).await);
    // Its server ends with this program. The next one tells the job where the next server listens.
    gaia.jobs().toggle_job(jobs[1], false).await?;
    gaia.stop().await?;
    done
}

async fn run(gaia: &Gaia, scheduler: &Scheduler) -> Result<()> {
    let kinds: Vec<Kind> = (1..=ORDERS).map(Kind::of).collect();
    let tasks = kinds.iter().zip(1..).map(|(kind, order)| kind.task(order));
    let added = scheduler.add_tasks(tasks.collect()).await?;
    let mut ids: BTreeMap<Kind, Vec<i64>> = BTreeMap::new();
    for (kind, added) in kinds.iter().zip(added) {
        ids.entry(*kind).or_default().push(added.id);
    }

    println!("theme {}: {ORDERS} orders added", scheduler.theme());
    tokio::try_join!(watch(scheduler), cancel_once_begun(scheduler, &ids[&Kind::Cancelled]))?;
    show_kinds(scheduler, &ids).await?;
    let checked = check(scheduler, &kinds).await;
    show_where_to_look(gaia, scheduler, &ids);
    checked
}

// ---- the service ----

#[derive(Debug, Serialize, Deserialize)]
struct Order {
    order: u64,
    /// The stock is locked by somebody else the first time.
    locked: bool,
}

async fn create_order(ctx: TaskContext, order: Order) -> Result<String, TaskError> {
    sleep(Duration::from_millis(30)).await;
    if order.locked && ctx.attempt() == 1 {
        return Err(TaskError::failed("the stock is locked, try again"));
    }
    Ok(format!("order {} is created", order.order))
}

async fn print_invoice(_: TaskContext, order: u64) -> Result<(), TaskError> {
    panic!("{PANIC}, order {order} has no invoice")
}

/// Takes 20 s, says how far it is, and stops when it is told to.
async fn ship_order(ctx: TaskContext, order: u64) -> Result<(), TaskError> {
    for percent in 0..100 {
        ctx.progress(percent, format!("order {order} is being loaded"));
        tokio::select! {
            () = sleep(Duration::from_millis(200)) => {}
            () = ctx.cancelled() => return Err(TaskError::failed("unloaded again")),
        }
    }
    Ok(())
}

// ---- the jobs ----

async fn count_stock(ctx: TaskContext, shelf: String) -> Result<String, TaskError> {
    let when = ctx.scheduled_at().map(|at| at.format("%H:%M:%S").to_string());
    Ok(format!("shelf {shelf} is counted for {}", when.unwrap_or_default()))
}

/// One that calls a service, one that calls a server of ours. They are in the database once, however often this runs.
async fn declare_jobs(jobs: &Jobs) -> Result<[i64; 2]> {
    let server = HttpServer::new(|| App::new().route("/sync", web::post().to(async || "synchronised")))
        .workers(1)
        .disable_signals()
        .bind(("127.0.0.1", 0))?;
    let url = format!("http://{}/sync", server.addrs()[0]);
    // It ends with this program.
    actix_rt::spawn(server.run());
    let count = NewJob::cron_job("count the stock", "*/2 * * * * *", "StockService", "Count").args(&"A");
    let sync = NewJob::cron_hook("synchronise", "*/3 * * * * *", url).args(&json!({ "type": "full" }));
    let never_make_up = |job: NewJob| job.misfire(MisfirePolicy::Skip);
    let count = jobs.ensure_job(never_make_up(count)).await?;
    let sync = jobs.ensure_job(never_make_up(sync)).await?;
    jobs.toggle_job(sync, true).await?;
    Ok([count, sync])
}

async fn show_fires(jobs: &Jobs, ids: &[i64]) -> Result<()> {
    let mut table = table(&["job", "means", "runs so far", "last result"]);
    for id in ids {
        let detail = jobs.get_job_detail(*id).await?;
        let records = jobs.get_job_records(*id, PageRequest::default()).await?;
        let result = records.items.iter().find_map(|run| run.run_result.clone());
        table.add_row([
            detail.job.job_name,
            detail.description.unwrap_or_default(),
            records.total.to_string(),
            result.ok_or_else(|| format!("no run of job {id} has succeeded"))?,
        ]);
    }
    println!("\nThe jobs that ran meanwhile:\n{table}");
    Ok(())
}

/// What a panic prints would scare people who do not know that it is planned. Any other is printed as ever.
fn keep_quiet_about_the_planned_panic() {
    let print = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let text = info.payload().downcast_ref::<&str>();
        if !text.is_some_and(|text| text.starts_with(PANIC)) {
            print(info);
        }
    }));
}

// ---- the orders ----

/// What an order is there to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Good,
    FailsOnce,
    BadInput,
    Panics,
    TimesOut,
    Cancelled,
}

impl Kind {
    fn of(order: u64) -> Self {
        match order {
            1 => Self::Cancelled,
            2 => Self::TimesOut,
            3 => Self::Panics,
            _ if order % 400 == 7 => Self::BadInput,
            _ if order.is_multiple_of(20) => Self::FailsOnce,
            _ => Self::Good,
        }
    }

    fn task(self, order: u64) -> NewTask {
        let locked = self == Self::FailsOnce;
        let create = NewTask::new("OrderService", "AsyncCreateOrder")
            .args(&Order { order, locked })
            .retry_delay(Duration::from_millis(100));
        let ship = NewTask::new("OrderService", "AsyncShipOrder").args(&order);
        let task = match self {
            Self::Good | Self::FailsOnce => create,
            Self::BadInput => create.args(&json!({ "order": "seven", "locked": false })),
            Self::Panics => NewTask::new("OrderService", "AsyncPrintInvoice")
                .args(&order)
                .max_retry(1)
                .retry_delay(Duration::from_millis(100)),
            Self::TimesOut => ship.timeout(Duration::from_millis(300)).max_retry(0),
            Self::Cancelled => ship,
        };
        task.name(format!("order {order}"))
    }

    fn ends_as(self) -> TaskStatus {
        match self {
            Self::Good | Self::FailsOnce => TaskStatus::Success,
            Self::BadInput | Self::Panics | Self::TimesOut => TaskStatus::Failed,
            Self::Cancelled => TaskStatus::Cancelled,
        }
    }
}

// ---- while it runs ----

/// Cancels the order that would take too long for this demonstration, but lets it begin.
async fn cancel_once_begun(scheduler: &Scheduler, ids: &[i64]) -> Result<()> {
    for id in ids {
        // A task is Running as soon as it is claimed; a word of its handler means that it has really begun.
        while scheduler.get_task_detail(*id).await?.progress.is_none() {
            sleep(Duration::from_millis(20)).await;
        }
        let answer = scheduler.cancel_task(*id).await?;
        if answer != CancelAnswer::Requested {
            return Err(format!("cancelling task {id} answered {answer:?}").into());
        }
    }
    Ok(())
}

/// Shows how far the orders are, and gives them more workers when half of them are done.
async fn watch(scheduler: &Scheduler) -> Result<()> {
    // Every operation of a scheduler is a message to its address, too.
    let address = scheduler.addr();
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len}, {msg}, {elapsed}")?;
    let bar = ProgressBar::with_draw_target(Some(ORDERS), ProgressDrawTarget::stdout());
    bar.set_style(style);

    let began = Instant::now();
    show_until(ORDERS / 2, &bar, scheduler).await?;
    let (first, resized) = (bar.position(), Instant::now());
    address.send(ResizeWorkers(WORKERS_LATER)).await??;
    show_until(ORDERS, &bar, scheduler).await?;
    bar.finish_and_clear();
    show_pace(WORKERS_AT_FIRST, first, resized - began);
    show_pace(WORKERS_LATER, ORDERS - first, resized.elapsed());
    Ok(())
}

async fn show_until(target: u64, bar: &ProgressBar, scheduler: &Scheduler) -> Result<()> {
    let began = Instant::now();
    while bar.position() < target {
        if began.elapsed() > GIVE_UP_AFTER {
            return Err(format!("only {} orders are done, giving up", bar.position()).into());
        }
        sleep(Duration::from_millis(20)).await;
        let status = scheduler.status().await?;
        let done = status.succeeded + status.failed + status.cancelled;
        show(done, status.all_workers, bar);
    }
    Ok(())
}

fn show(done: u64, workers: usize, bar: &ProgressBar) {
    let tenths = |done: u64| done * 10 / ORDERS;
    // The bar hides itself where nobody could see it move.
    if bar.is_hidden() && tenths(done) > tenths(bar.position()) {
        println!("{done}/{ORDERS}, {workers} workers");
    }
    bar.set_message(format!("{workers} workers"));
    bar.set_position(done);
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn show_pace(workers: usize, done: u64, took: Duration) {
    let pace = done as f64 / took.as_secs_f64();
    println!("{workers:>3} workers: {done} orders in {took:.1?}, {pace:.0}/s");
}

// ---- at the end ----

async fn show_kinds(scheduler: &Scheduler, ids: &BTreeMap<Kind, Vec<i64>>) -> Result<()> {
    let mut table = table(&["kind", "orders", "task ids", "runs", "last error"]);
    for (kind, ids) in ids {
        let page = PageRequest::default();
        let records = scheduler.get_task_exec_records(ids[0], page).await?;
        let error = records.items.iter().find_map(|run| run.error.clone());
        let samples: Vec<String> = ids.iter().take(3).map(i64::to_string).collect();
        table.add_row([
            format!("{kind:?}"),
            ids.len().to_string(),
            samples.join(", "),
            records.total.to_string(),
            error.unwrap_or_default(),
        ]);
    }
    println!("\nThe kinds of orders, with what the records say of the first of each:\n{table}");
    Ok(())
}

/// Counts in the database, and refuses any other number than the expected one.
async fn check(scheduler: &Scheduler, kinds: &[Kind]) -> Result<()> {
    let counts = scheduler.count_by_status().await?;
    let mut table = table(&["status", "tasks", "expected"]);
    let mut faults = Vec::new();
    for status in TaskStatus::ALL {
        let count = counts.get(&status).copied().unwrap_or(0);
        let expected = kinds.iter().filter(|kind| kind.ends_as() == status).count();
        if usize::try_from(count)? != expected {
            faults.push(format!("{count} tasks are {status}, not {expected}"));
        }
        table.add_row([status.to_string(), count.to_string(), expected.to_string()]);
    }
    let all: i64 = counts.values().sum();
    table.add_row(["all".to_owned(), all.to_string(), kinds.len().to_string()]);
    println!("\nAll tasks of this run, as the database counts them:\n{table}");
    if !faults.is_empty() {
        return Err(format!("the table does not add up: {}", faults.join("; ")).into());
    }
    Ok(())
}

fn show_where_to_look(gaia: &Gaia, scheduler: &Scheduler, ids: &BTreeMap<Kind, Vec<i64>>) {
    let (theme, url) = (scheduler.theme(), gaia.store().url());
    let file = url.trim_start_matches("sqlite:");
    let task = ids[&Kind::FailsOnce][0];
    println!(
        "\nLook for yourself, at these counts and at the records of task {task}:\n\n\
         sqlite3 -box '{file}' \"SELECT task_status, COUNT(*) FROM asynctasks \
         WHERE system_name = '{theme}' GROUP BY task_status\"\n\n\
         sqlite3 -box '{file}' \"SELECT attempt, task_status, last_err_msg, log_id FROM asynctask_exec_row \
         WHERE task_id = {task} ORDER BY id\""
    );
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(100)
        .set_header(header.to_vec());
    table
}
