//! A long-running worker process, for trials and for the tests of this repository.
//!
//! ```sh
//! DATABASE_URL=sqlite:gaia.db THEME=demo WORKERS=8 cargo run --example node
//! ```
//!
//! It serves `Demo.Noop`, `Demo.Echo` (returns its arguments), `Demo.Sleep` and `Demo.Block` (`{"ms": n}`), `Demo.Fail`
//! (`{"times": n}`: its first n attempts fail), `Demo.Panic`, `Demo.Abort` (ends the process) and `Demo.StopSystem` (stops the actors' actix
//! system). With `JOBS=1` it runs the
//! cron jobs of the database, too. If `EFFECTS` names a file, each run appends `task_id attempt pid start|end epoch_ms` to
//! it; a job's run goes to `JOB_EFFECTS`, with its own id. `SKEW_MS=-5000` makes its clock wrong. All settings of [`Config::from_env`] apply.
//! It prints `ready` when it takes work; SIGTERM or SIGINT stops it gracefully.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use chrono::TimeDelta;
use gaia_actors::{Clock, prelude::*};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

#[derive(Deserialize)]
struct Millis {
    ms: u64,
}

#[derive(Deserialize)]
struct Times {
    times: u32,
}

#[actix_rt::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("node: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    let theme = std::env::var("THEME").unwrap_or_else(|_| "demo".to_owned());
    let workers = usize::try_from(number("WORKERS", 8)?)?;
    let skew = TimeDelta::milliseconds(number("SKEW_MS", 0)?);
    let effects = Arc::new(Effects::open()?);

    let mut builder = Gaia::builder().config(Config::from_env()?).clock(Clock::skewed(skew));
    if number("JOBS", 0)? != 0 {
        builder = builder.jobs(JobsOptions::default());
    }
    for (method, handler) in handlers(&effects) {
        builder = builder.handler("Demo", method, handler);
    }
    let gaia = builder.start().await?;
    let options = gaia.scheduler_options(theme).worker_num(workers);
    gaia.start_scheduler(options).await?;

    let until_signal = gaia.run_until_signal();
    println!("ready");
    until_signal.await?;
    Ok(())
}

fn number(variable: &str, default: i64) -> Result<i64, String> {
    match std::env::var(variable) {
        Ok(text) => text
            .parse()
            .map_err(|_| format!("{variable} is {text:?}, expected a number")),
        Err(_) => Ok(default),
    }
}

fn handlers(effects: &Arc<Effects>) -> Vec<(&'static str, Endpoint)> {
    vec![
        ("Noop", demo(effects, async |_, _: Value| Ok(Value::Null))),
        ("Echo", demo(effects, async |_, args: Value| Ok(args))),
        (
            "Sleep",
            demo(effects, async |_, Millis { ms }| {
                actix_rt::time::sleep(Duration::from_millis(ms)).await;
                Ok(Value::Null)
            }),
        ),
        (
            "Fail",
            demo(effects, async |ctx: TaskContext, Times { times }| {
                if ctx.attempt() <= times {
                    return Err(TaskError::failed(format!("attempt {} fails as asked", ctx.attempt())));
                }
                Ok(Value::Null)
            }),
        ),
        ("Panic", demo(effects, async |_, _: Value| panic!("panics as asked"))),
        ("Abort", demo(effects, async |_, _: Value| std::process::abort())),
        (
            "StopSystem",
            demo(effects, async |_, _: Value| {
                actix_rt::System::current().stop();
                std::future::pending().await
            }),
        ),
        ("Block", blocking(effects)),
    ]
}

/// An async handler that notes its start and its end.
fn demo<T, F>(effects: &Arc<Effects>, handler: F) -> Endpoint
where
    T: DeserializeOwned + 'static,
    F: AsyncFn(TaskContext, T) -> Result<Value, TaskError> + Send + Sync + 'static,
{
    let effects = Arc::clone(effects);
    async_fn(async move |ctx: TaskContext, args: T| {
        effects.note(&ctx, "start");
        let result = handler(ctx.clone(), args).await?;
        effects.note(&ctx, "end");
        Ok(result)
    })
}

fn blocking(effects: &Arc<Effects>) -> Endpoint {
    let effects = Arc::clone(effects);
    blocking_fn(move |ctx: TaskContext, Millis { ms }| {
        effects.note(&ctx, "start");
        std::thread::sleep(Duration::from_millis(ms));
        effects.note(&ctx, "end");
        Ok(())
    })
}

/// The files in which tests read what really ran.
struct Effects {
    tasks: Option<File>,
    jobs: Option<File>,
}

impl Effects {
    fn open() -> Result<Self, String> {
        Ok(Self {
            tasks: Self::file("EFFECTS")?,
            jobs: Self::file("JOB_EFFECTS")?,
        })
    }

    fn file(variable: &str) -> Result<Option<File>, String> {
        let Ok(path) = std::env::var(variable) else {
            return Ok(None);
        };
        let file = OpenOptions::new().create(true).append(true).open(&path);
        file.map(Some)
            .map_err(|error| format!("cannot open {variable} {path}: {error}"))
    }

    /// One write for one line, so that the lines of several processes do not mix.
    fn note(&self, ctx: &TaskContext, what: &str) {
        let file = match ctx.scheduled_at() {
            Some(_) => &self.jobs,
            None => &self.tasks,
        };
        let Some(mut file) = file.as_ref() else {
            return;
        };
        let (id, attempt, pid) = (ctx.id(), ctx.attempt(), std::process::id());
        let millis = chrono::Utc::now().timestamp_millis();
        let line = format!("{id} {attempt} {pid} {what} {millis}\n");
        if let Err(error) = file.write_all(line.as_bytes()) {
            eprintln!("cannot write EFFECTS: {error}");
        }
    }
}
