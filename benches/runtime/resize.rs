//! From one worker to a thousand and back, by message, while a backlog is worked off. At the end every task has succeeded,
//! once, with one record.

use std::time::{Duration, Instant};

use actix::Addr;
use actix_rt::time::sleep;
use gaia_actors::{
    Gaia, NewTask, Scheduler, SchedulerOptions, TaskContext, TaskError, async_fn,
    messages::{GetSchedulerStatus, ResizeWorkers},
};

use crate::{
    Options, US,
    database::{Home, Kind, Plain, Result, name},
    report::{Figure, Report, median},
    verdict,
};

const BENCH: &str = "resize";
const THEME: &str = "bench";

/// Each way.
const AIM_MILLIS: f64 = 1_000.0;

/// What a task takes.
const TASK: Duration = Duration::from_millis(1);

/// Between two changes, so that the workers are busy.
const BUSY: Duration = Duration::from_millis(500);

/// Tasks of one transaction.
const CHUNK: usize = 1_000;

/// How many workers finish the backlog.
const LAST: usize = 100;

/// How long the whole backlog may take.
const PATIENCE: Duration = Duration::from_secs(600);

pub(crate) async fn run(database: &str, options: &Options, report: &mut Report) -> Result<()> {
    let home = Home::new(database)?;
    let database = name("resize");
    home.create(&database).await?;
    let measured = measure(home.kind, &home.url_of(&database)?, options, report).await;
    home.remove(&[database]).await?;
    measured
}

async fn measure(kind: Kind, url: &str, options: &Options, report: &mut Report) -> Result<()> {
    let handler = async_fn(async |_: TaskContext, (): ()| {
        sleep(TASK).await;
        Ok::<_, TaskError>(())
    });
    let gaia = Gaia::builder()
        .database(url)
        .handler("Bench", "Wait", handler)
        .start()
        .await?;
    load(&gaia.scheduler(THEME)?, options.tasks).await?;
    let scheduler = gaia.start_scheduler(SchedulerOptions::new(THEME).worker_num(1)).await?;
    let scheduler = scheduler.addr();

    let (mut up, mut down) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        sleep(BUSY).await;
        up.push(resize(&scheduler, options.workers).await?);
        sleep(BUSY).await;
        down.push(resize(&scheduler, 1).await?);
    }
    // Else the last rounds have shown nothing.
    let left = options.tasks as u64 - scheduler.send(GetSchedulerStatus).await??.succeeded;
    resize(&scheduler, LAST).await?;
    let began = Instant::now();
    while scheduler.send(GetSchedulerStatus).await??.succeeded < options.tasks as u64 {
        if began.elapsed() > PATIENCE {
            return Err("the backlog does not come to its end".into());
        }
        sleep(Duration::from_millis(10)).await;
    }
    gaia.stop().await?;
    let lost = wrong(kind, url, options.tasks).await?;

    let figure = |case: String, millis: &[f64]| {
        let reached = median(millis) < AIM_MILLIS;
        let figure = Figure::new(BENCH, &case, kind.name(), US, "ms").of(millis);
        figure.note(verdict(reached, "below 1 s"))
    };
    let workers = options.workers;
    report.add(figure(format!("resize 1 to {workers}"), &up))?;
    report.add(figure(format!("resize {workers} to 1"), &down))?;
    let tasks = options.tasks;
    let mut aim = verdict(lost == 0.0, "none; each Success once, with one record");
    aim = format!("{aim}; of {tasks} tasks {left} were left after the last change");
    let lost = Figure::new(BENCH, "resize, tasks lost or run twice", kind.name(), US, "tasks").of(&[lost]);
    report.add(lost.note(aim))?;
    Ok(())
}

async fn load(scheduler: &Scheduler, tasks: usize) -> Result<()> {
    let mut left = tasks;
    while left > 0 {
        let count = left.min(CHUNK);
        let task = NewTask::new("Bench", "Wait");
        scheduler.add_tasks(vec![task; count]).await?;
        left -= count;
    }
    Ok(())
}

/// Milliseconds from the message until so many workers are alive.
async fn resize(scheduler: &Addr<Scheduler>, workers: usize) -> Result<f64> {
    let began = Instant::now();
    scheduler.send(ResizeWorkers(workers)).await??;
    while scheduler.send(GetSchedulerStatus).await??.all_workers != workers {
        if began.elapsed() > PATIENCE {
            return Err(format!("there are not {workers} workers yet").into());
        }
        sleep(Duration::from_millis(1)).await;
    }
    Ok(1_000.0 * began.elapsed().as_secs_f64())
}

/// How many tasks have not succeeded, and how many records are too few or too many.
async fn wrong(kind: Kind, url: &str, tasks: usize) -> Result<f64> {
    let mut plain = Plain::connect(kind, url).await?;
    let count = async |plain: &mut Plain, sql: &str| -> Result<f64> { Ok(plain.lines(sql).await?.join("").parse()?) };
    let succeeded = "SELECT CONCAT(COUNT(*), '') AS line FROM asynctasks WHERE task_status = 'Success'";
    let records = "SELECT CONCAT(COUNT(*), '') AS line FROM asynctask_exec_row";
    let recorded = "SELECT CONCAT(COUNT(DISTINCT task_id), '') AS line FROM asynctask_exec_row";
    let mut wrong = 0.0;
    for sql in [succeeded, records, recorded] {
        #[expect(clippy::cast_precision_loss, reason = "tasks are far fewer than 2^53")]
        let off = count(&mut plain, sql).await? - tasks as f64;
        wrong += off.abs();
    }
    Ok(wrong)
}
