//! Processes of their own: this executable, with a role.

use std::{
    env,
    io::{BufRead, BufReader, Read, Write},
    process::{self, Command, Stdio},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use clap::ValueEnum;
use gaia_actors::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::{Options, database::Result, ours};

const READY: &str = "ready";
const GO: &str = "go";
/// How long a line may be waited for.
const PATIENCE: Duration = Duration::from_secs(300);
/// What a task takes that a node sleeps through.
pub(crate) const SLEEP: Duration = Duration::from_millis(20);

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Runs so many tasks as fast as it can, and says how fast that was.
    Drain,
    /// Says of each task when its handler was called.
    Tell,
    /// Runs tasks that take a while, until it is told to end.
    Sleep,
}

/// What `Drain` says at its end.
#[derive(Serialize, Deserialize)]
pub(crate) struct Drained {
    /// Tasks a second.
    pub(crate) rate: f64,
    /// Megabytes.
    pub(crate) peak: f64,
}

/// A child, seen by its parent. It ends when its standard input does.
pub(crate) struct Child {
    process: process::Child,
    lines: UnboundedReceiver<String>,
}

impl Child {
    pub(crate) fn start(role: Role, url: &str, tasks: usize, workers: usize) -> Result<Self> {
        let mut command = Command::new(env::current_exe()?);
        command
            .args(["--child", role.to_possible_value().ok_or("no such role")?.get_name()])
            .args(["--url", url, "--tasks", &tasks.to_string()])
            .args(["--workers", &workers.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut process = command.spawn()?;
        let lines = lines_of(process.stdout.take().ok_or("the child says nothing")?);
        Ok(Self { process, lines })
    }

    pub(crate) async fn line(&mut self) -> Result<String> {
        let line = actix_rt::time::timeout(PATIENCE, self.lines.recv()).await;
        let line = line.map_err(|_| "the child has said nothing for too long")?;
        Ok(line.ok_or("the child ended before its time")?)
    }

    pub(crate) async fn ready(&mut self) -> Result<()> {
        match self.line().await?.as_str() {
            READY => Ok(()),
            line => Err(format!("the child said {line:?} instead of {READY:?}").into()),
        }
    }

    pub(crate) fn go(&mut self) -> Result<()> {
        let stdin = self.process.stdin.as_mut().ok_or("the child hears nothing")?;
        Ok(writeln!(stdin, "{GO}")?)
    }

    /// What a child of role `Drain` says.
    pub(crate) async fn drained(mut self) -> Result<Drained> {
        self.ready().await?;
        self.go()?;
        let drained = serde_json::from_str(&self.line().await?)?;
        self.end()?;
        Ok(drained)
    }

    pub(crate) fn end(mut self) -> Result<()> {
        drop(self.process.stdin.take());
        match self.process.wait()? {
            status if status.success() => Ok(()),
            status => Err(format!("the child failed: {status}").into()),
        }
    }
}

/// A child that nobody waited for is of no use.
impl Drop for Child {
    fn drop(&mut self) {
        if let Ok(None) = self.process.try_wait() {
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }
}

fn lines_of(input: impl Read + Send + 'static) -> UnboundedReceiver<String> {
    let (sender, lines) = unbounded_channel();
    thread::spawn(move || {
        for line in BufReader::new(input).lines().map_while(std::io::Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    lines
}

/// Nanoseconds of the machine's clock.
pub(crate) fn clock() -> u128 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_nanos()
}

// ---- inside the child ----

pub(crate) async fn run(role: Role, options: &Options) -> Result<()> {
    let url = options.url.as_deref().ok_or("a child needs the URL of its database")?;
    let mut orders = lines_of(std::io::stdin());
    let gaia = ours::node(url, handler(role)).await?;
    if role == Role::Tell {
        gaia.start_scheduler(ours::scheduler(options)).await?;
    }
    println!("{READY}");
    while orders.recv().await.is_some_and(|order| order == GO) {
        obey(role, &gaia, options).await?;
    }
    gaia.stop().await?;
    Ok(())
}

fn handler(role: Role) -> Endpoint {
    match role {
        Role::Drain => async_fn(async |_, _: Value| Ok(())),
        Role::Tell => async_fn(async |_, _: Value| {
            println!("{}", clock());
            Ok(())
        }),
        Role::Sleep => async_fn(async |_, _: Value| {
            actix_rt::time::sleep(SLEEP).await;
            Ok(())
        }),
    }
}

async fn obey(role: Role, gaia: &Gaia, options: &Options) -> Result<()> {
    if role == Role::Drain {
        let (succeeded, took) = ours::drain(gaia, options.tasks.unwrap_or_default(), options).await?;
        let rate = crate::figures::rate(succeeded, took);
        let peak = peak_memory()?;
        println!("{}", serde_json::to_string(&Drained { rate, peak })?);
    } else {
        gaia.start_scheduler(ours::scheduler(options)).await?;
    }
    Ok(())
}

/// Megabytes; only Linux says.
fn peak_memory() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = peak.and_then(|peak| peak.trim().strip_suffix("kB"));
    let kilobytes: f64 = kilobytes.ok_or("/proc/self/status has no VmHWM")?.trim().parse()?;
    Ok(kilobytes / 1_024.0)
}
