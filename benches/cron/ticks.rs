//! What enabled jobs cost that are not due: the start, memory, and the seconds in which nothing happens.
//!
//! Each number of jobs is measured in a process of its own, so that no figure depends on what was measured before. Nobody can
//! ask a node what one tick has cost, so it is the CPU time of the whole process that is looked at, in two windows of each
//! second: the 150 ms around its beginning, when the tick is, and the rest, when every third second there is a look for
//! changed rows. What a row for 0 jobs says is the node's own: heartbeat, timers, and this measurement.
//!
//! At the end one row is changed by plain SQL, which makes the node read all of them again.

use std::{
    env, fs,
    process::{Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use actix_rt::time::sleep;
use chrono::{Datelike, Utc};
use comfy_table::Table;
use diesel::connection::{InstrumentationEvent, set_default_instrumentation};
use gaia_actors::Jobs;
use serde::{Deserialize, Serialize};

use crate::{
    Lines, Options,
    database::{Kind, Plain, Result},
    median,
    place::{Place, noting, start},
    verdict,
};

/// Milliseconds.
const START_AIM: f64 = 5_000.0;
const TICK_AIM: f64 = 1.0;
const CHANGE_AIM: f64 = 5_000.0;

/// A node is busier right after its start.
const SETTLE: Duration = Duration::from_secs(1);

/// Seconds between two looks.
const LOOK: f64 = 3.0;

/// Parts of a second. A node that starts at `START` looks in the middle of `TICK_END..TICK_BEGIN`.
const START: f64 = 0.3;
const TICK_BEGIN: f64 = 0.95;
const TICK_END: f64 = 0.1;

const NO_ANSWER: &str = "the child has not answered";

/// How the jobs of a case differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Schedules {
    /// Nearly every job has one of its own, of 81,420.
    Own,
    /// 100 for all of them.
    Shared,
}

/// What a child has measured, in milliseconds and kilobytes.
#[derive(Serialize, Deserialize)]
struct Measured {
    /// From the call of `start` until all jobs were scheduled.
    start: f64,
    /// The longest that the node took to answer meanwhile.
    longest_answer: f64,
    /// Until the rows say since when the schedules hold; of the first start.
    noted: Option<f64>,
    peak_memory: f64,
    idle: Option<Idle>,
    change: Option<Change>,
}

/// Milliseconds of CPU time of the process, or of waiting.
#[derive(Serialize, Deserialize)]
struct Idle {
    tick: f64,
    look: f64,
    /// How long the statements of a look took.
    look_statements: f64,
    /// All in all, in one second.
    second: f64,
}

/// Milliseconds.
#[derive(Serialize, Deserialize)]
struct Change {
    /// From the commit until it took effect.
    effect: f64,
    /// CPU time of the process, less what it takes when it is idle.
    used: f64,
}

#[derive(Serialize)]
struct Figures<'a> {
    part: &'static str,
    database: &'static str,
    jobs: usize,
    schedules: Schedules,
    first: Option<&'a Measured>,
    again: &'a Measured,
    bytes_per_job: Option<f64>,
}

pub(crate) async fn run(databases: &[String], options: &Options, lines: &mut Lines) -> Result<()> {
    let mut table = Table::new();
    table.set_header([
        "ticks",
        "jobs",
        "schedules",
        "first start (rows noted)",
        "start (aim < 5 s)",
        "longest answer",
        "peak memory",
        "a job",
        "tick, CPU (aim < 1 ms)",
        "look, CPU",
        "look, statements",
        "CPU in 1 s",
        "a change, CPU",
        "takes effect (aim < 5 s)",
        "aims",
    ]);
    for database in databases {
        let mut nothing = None;
        for (jobs, schedules) in cases(options) {
            let mut place = Place::make(database).await?;
            let measured = measure(&mut place, jobs, schedules, options).await;
            let kind = place.kind;
            place.remove().await?;
            let (first, again) = measured?;
            let base = *nothing.get_or_insert(again.peak_memory);
            let figures = Figures {
                part: "ticks",
                database: kind.name(),
                jobs,
                schedules,
                first: first.as_ref(),
                bytes_per_job: per_job(again.peak_memory - base, jobs),
                again: &again,
            };
            lines.add(&figures)?;
            table.add_row(row(&figures));
        }
    }
    println!("{table}");
    Ok(())
}

/// No jobs at all come first. The largest of several numbers is measured with both kinds of schedules.
fn cases(options: &Options) -> Vec<(usize, Schedules)> {
    let sizes = [0].iter().chain(&options.jobs);
    let mut cases: Vec<_> = sizes.map(|size| (*size, Schedules::Own)).collect();
    if options.jobs.len() > 1 {
        let largest = options.jobs.iter().max();
        cases.extend(largest.map(|size| (*size, Schedules::Shared)));
    }
    cases
}

/// The first start, of a node that finds new rows, and a later one.
async fn measure(
    place: &mut Place,
    jobs: usize,
    schedules: Schedules,
    options: &Options,
) -> Result<(Option<Measured>, Measured)> {
    place.add_jobs(jobs, &expression(schedules)).await?;
    let first = (jobs > 0).then(|| child_of(place, jobs, options, &["--first"]));
    Ok((first.transpose()?, child_of(place, jobs, options, &[])?))
}

/// Half a year from now.
fn expression(schedules: Schedules) -> String {
    let month = (Utc::now().month() + 5) % 12 + 1;
    match schedules {
        Schedules::Own => format!("CONCAT(n % 60, ' ', n % 59, ' ', n % 23, ' 1 {month} *')"),
        Schedules::Shared => format!("CONCAT(n % 10, ' ', n % 20, ' ', n % 25 % 23, ' 1 {month} *')"),
    }
}

fn child_of(place: &Place, jobs: usize, options: &Options, more: &[&str]) -> Result<Measured> {
    let mut child = Command::new(env::current_exe()?);
    child
        .args(["--child", &place.url, "--jobs", &jobs.to_string()])
        .args(["--seconds", &options.seconds.to_string()])
        .args(more)
        .stderr(Stdio::inherit());
    let output = child.output()?;
    if !output.status.success() {
        return Err(format!("the child with {jobs} jobs failed: {}", output.status).into());
    }
    let answer = String::from_utf8(output.stdout)?;
    Ok(serde_json::from_str(answer.lines().last().ok_or(NO_ANSWER)?)?)
}

#[expect(clippy::cast_precision_loss, reason = "jobs are far fewer than 2^53")]
fn per_job(kilobytes: f64, jobs: usize) -> Option<f64> {
    (jobs > 0).then(|| kilobytes * 1_024.0 / jobs as f64)
}

fn row(figures: &Figures<'_>) -> Vec<String> {
    let Figures { first, again, .. } = figures;
    let millis = |millis: f64| format!("{millis:.1} ms");
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let first = first.map(|first| {
        let noted = first.noted.unwrap_or_default();
        format!("{:.0} ms ({noted:.0} ms)", first.start)
    });
    let idle = |figure: fn(&Idle) -> f64| or_dash(again.idle.as_ref().map(|idle| millis(figure(idle))));
    let change = |figure: fn(&Change) -> f64| or_dash(again.change.as_ref().map(|change| millis(figure(change))));
    let mut verdicts = vec![verdict(again.start, START_AIM)];
    verdicts.extend(again.idle.as_ref().map(|idle| verdict(idle.tick, TICK_AIM)));
    verdicts.extend(again.change.as_ref().map(|change| verdict(change.effect, CHANGE_AIM)));
    vec![
        figures.database.to_owned(),
        figures.jobs.to_string(),
        format!("{:?}", figures.schedules).to_lowercase(),
        or_dash(first),
        format!("{:.0} ms", again.start),
        millis(again.longest_answer),
        format!("{:.1} MB", again.peak_memory / 1_024.0),
        or_dash(figures.bytes_per_job.map(|bytes| format!("{bytes:.0} B"))),
        or_dash(again.idle.as_ref().map(|idle| format!("{:.3} ms", idle.tick))),
        idle(|idle| idle.look),
        idle(|idle| idle.look_statements),
        idle(|idle| idle.second),
        change(|change| change.used),
        change(|change| change.effect),
        verdicts.join(", "),
    ]
}

// ---- the child ----

pub(crate) async fn child(url: &str, options: &Options) -> Result<()> {
    set_default_instrumentation(|| {
        let mut begun = None;
        Some(Box::new(move |event: InstrumentationEvent<'_>| {
            note(&event, &mut begun);
        }))
    })?;
    let jobs = options.jobs.first().copied().unwrap_or_default();
    until(START).await;
    let began = Instant::now();
    let gaia = start(url, noting(|_| ())).await?;
    let longest_answer = wait_until_scheduled(&gaia.jobs(), jobs).await?;
    let start = millis(began.elapsed());
    let mut measured = Measured {
        start,
        longest_answer,
        noted: None,
        peak_memory: 0.0,
        idle: None,
        change: None,
    };
    if options.first {
        measured.noted = Some(wait_until_noted(url, began).await?);
    } else {
        let idle = idle(options.seconds).await?;
        if jobs > 0 {
            measured.change = Some(change(url, &gaia.jobs(), idle.second).await?);
        }
        measured.idle = Some(idle);
    }
    measured.peak_memory = peak_memory()?;
    println!("{}", serde_json::to_string(&measured)?);
    gaia.stop().await?;
    Ok(())
}

/// Answers with the longest time that an answer took.
async fn wait_until_scheduled(jobs: &Jobs, count: usize) -> Result<f64> {
    let mut longest = Duration::ZERO;
    loop {
        let asked = Instant::now();
        let status = jobs.status().await?;
        longest = longest.max(asked.elapsed());
        if status.scheduled >= count {
            return Ok(millis(longest));
        }
        sleep(Duration::from_millis(1)).await;
    }
}

async fn wait_until_noted(url: &str, began: Instant) -> Result<f64> {
    const OPEN: &str = "SELECT CONCAT(COUNT(*), '') AS line FROM job_center WHERE scheduled_from IS NULL";
    let mut plain = Plain::connect(Kind::of(url)?, url).await?;
    while plain.lines(OPEN).await?.join("") != "0" {
        sleep(Duration::from_millis(20)).await;
    }
    Ok(millis(began.elapsed()))
}

/// Looks at so many seconds of a node that has nothing to do.
async fn idle(seconds: usize) -> Result<Idle> {
    sleep(SETTLE).await;
    until(TICK_BEGIN).await;
    let (mut ticks, mut rests) = (Vec::new(), Vec::new());
    let statements = STATEMENTS.load(Ordering::Relaxed);
    let (began, mut used) = (Instant::now(), cpu_time()?);
    let mut since = |now: Duration| millis(now.saturating_sub(std::mem::replace(&mut used, now)));
    for _ in 0..seconds {
        until(TICK_END).await;
        ticks.push(since(cpu_time()?));
        until(TICK_BEGIN).await;
        rests.push(since(cpu_time()?));
    }
    let elapsed = began.elapsed().as_secs_f64();
    let looks = elapsed / LOOK;
    let all: f64 = ticks.iter().chain(&rests).sum();
    let second = all / elapsed;
    // In two of three seconds there is no look: those are the median.
    let (tick, rest) = (median(ticks), median(rests));
    let statements = STATEMENTS.load(Ordering::Relaxed) - statements;
    Ok(Idle {
        tick,
        look: (all - (tick + rest) * elapsed) / looks,
        look_statements: millis(Duration::from_micros(statements)) / looks,
        second,
    })
}

/// Disables a job by plain SQL and waits until the node knows. An idle second takes `second` milliseconds of CPU time.
async fn change(url: &str, jobs: &Jobs, second: f64) -> Result<Change> {
    let mut plain = Plain::connect(Kind::of(url)?, url).await?;
    let before = jobs.status().await?.scheduled;
    let disable = "UPDATE job_center SET enabled = 0 WHERE job_name = 'job 1'";
    plain.run(disable).await?;
    let (began, used) = (Instant::now(), cpu_time()?);
    // Not too often: to ask has its price.
    while jobs.status().await?.scheduled == before {
        sleep(Duration::from_millis(50)).await;
    }
    let (effect, used) = (began.elapsed(), cpu_time()?.saturating_sub(used));
    Ok(Change {
        effect: millis(effect),
        used: millis(used) - second * effect.as_secs_f64(),
    })
}

/// Sleeps until this part of a second of the wall clock.
async fn until(part: f64) {
    let now = f64::from(Utc::now().timestamp_subsec_micros()) / 1e6;
    let wait = (part - now).rem_euclid(1.0);
    sleep(Duration::from_secs_f64(wait)).await;
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

/// How long statements about jobs have taken so far, in microseconds.
static STATEMENTS: AtomicU64 = AtomicU64::new(0);

fn note(event: &InstrumentationEvent<'_>, begun: &mut Option<Instant>) {
    match event {
        InstrumentationEvent::StartQuery { query, .. } if query.to_string().contains("job_") => {
            *begun = Some(Instant::now());
        }
        InstrumentationEvent::FinishQuery { .. } => {
            let took = begun.take().map_or(Duration::ZERO, |begun| begun.elapsed());
            STATEMENTS.fetch_add(u64::try_from(took.as_micros()).unwrap_or(0), Ordering::Relaxed);
        }
        _ => {}
    }
}

/// Kilobytes; only Linux says.
fn peak_memory() -> Result<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = peak.and_then(|peak| peak.trim().strip_suffix("kB"));
    Ok(kilobytes.ok_or("/proc/self/status has no VmHWM")?.trim().parse()?)
}

/// Of all threads of this process, also of those that have ended.
#[cfg(unix)]
fn cpu_time() -> Result<Duration> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let (seconds, nanos) = (u64::try_from(time.tv_sec)?, u32::try_from(time.tv_nsec)?);
    Ok(Duration::new(seconds, nanos))
}

#[cfg(not(unix))]
fn cpu_time() -> Result<Duration> {
    Err("`--part ticks` needs a Unix".into())
}
