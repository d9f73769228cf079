//! One measurement in a process of its own: a fresh one, whose memory can be told from that of others.
//!
//! What is wanted comes as arguments, what was found goes out as lines of JSON.

use std::{
    io::Read,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use clap::{Parser, ValueEnum};
use serde_json::json;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// What one bulk call adds at most.
pub(crate) const BULK: usize = 1_000;

/// The connections of a side's pool, where the settings are its best ones.
pub(crate) const CONNECTIONS: u32 = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Case {
    /// Adds tasks.
    Insert,
    /// Works on what is there until its standard input ends.
    Drain,
    /// Adds tasks one at a time and times how long each waits.
    Pickup,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Settings {
    /// What the side does when nothing is said.
    Defaults,
    /// With which it drains a backlog fastest.
    Best,
    /// With which it picks up a task soonest.
    Quick,
}

#[derive(Debug, Clone, Parser)]
pub(crate) struct Child {
    pub(crate) side: String,
    /// Of a database that is this child's alone.
    pub(crate) url: String,
    #[arg(long)]
    pub(crate) case: Case,
    #[arg(long)]
    pub(crate) settings: Settings,
    #[arg(long)]
    tasks: usize,
    /// No longer than so many seconds.
    #[arg(long)]
    seconds: u64,
}

/// A queue on its database.
pub(crate) trait Side: Sized {
    /// Connects, and makes the tables if they are not there.
    async fn connect(child: &Child) -> Result<Self>;

    /// Adds so many no-op tasks, at most [`BULK`], by the call that is meant for many.
    async fn add_many(&mut self, count: usize) -> Result<()>;

    /// Adds one, by the call that is meant for one.
    async fn add(&mut self) -> Result<()>;

    /// Starts the worker; returns when it works.
    async fn work(&mut self) -> Result<()>;
}

static RAN: AtomicUsize = AtomicUsize::new(0);
static STARTS: OnceLock<UnboundedSender<Instant>> = OnceLock::new();

/// All that a task does, whoever runs it.
pub(crate) fn noop() {
    RAN.fetch_add(1, Ordering::Relaxed);
    if let Some(starts) = STARTS.get() {
        // Nobody listens any more when the measurement is over.
        let _ = starts.send(Instant::now());
    }
}

pub(crate) async fn run<S: Side>(child: Child) -> Result<()> {
    let mut side = S::connect(&child).await?;
    match child.case {
        Case::Insert => insert(&mut side, &child).await,
        Case::Drain => drain(&mut side).await,
        Case::Pickup => pickup(&mut side, &child).await,
    }
}

async fn insert<S: Side>(side: &mut S, child: &Child) -> Result<()> {
    let began = Instant::now();
    let mut added = 0;
    while added < child.tasks && began.elapsed() < Duration::from_secs(child.seconds) {
        let count = BULK.min(child.tasks - added);
        side.add_many(count).await?;
        added += count;
    }
    let seconds = began.elapsed().as_secs_f64();
    println!("{}", json!({ "tasks": added, "seconds": seconds }));
    Ok(())
}

async fn drain<S: Side>(side: &mut S) -> Result<()> {
    side.work().await?;
    println!("{}", json!({ "works": true }));
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    println!("{}", json!({ "ran": RAN.load(Ordering::Relaxed) }));
    Ok(())
}

async fn pickup<S: Side>(side: &mut S, child: &Child) -> Result<()> {
    let (sender, mut starts) = unbounded_channel();
    STARTS.set(sender).map_err(|_| "a process times pickups once")?;
    side.work().await?;
    // The first one pays for connections and plans.
    side.add().await?;
    starts.recv().await.ok_or("the worker is gone")?;

    let began = Instant::now();
    let mut waits = Vec::new();
    while waits.len() < child.tasks && began.elapsed() < Duration::from_secs(child.seconds) {
        // The one before is acknowledged, and no side's interval is met always at the same point.
        tokio::time::sleep(Duration::from_micros(20_000 + 7_919 * (waits.len() as u64 % 13))).await;
        // A side that runs a task twice has told of one more.
        while starts.try_recv().is_ok() {}
        let began = Instant::now();
        side.add().await?;
        let start = starts.recv().await.ok_or("the worker is gone")?;
        waits.push((start - began).as_secs_f64() * 1_000.0);
    }
    waits.sort_by(f64::total_cmp);
    let quantile = |hundredths: usize| waits.get(waits.len() * hundredths / 100).copied();
    println!(
        "{}",
        json!({ "tasks": waits.len(), "p50": quantile(50), "p99": quantile(99) })
    );
    Ok(())
}
