//! The tasks: when they come, and how late they are begun.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::try_join_all;
use gaia_actors::{Endpoint, NewTask, Scheduler, TaskContext, TaskError, async_fn};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Tasks come in portions, so many times a second.
const PORTIONS: usize = 20;

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Args {
    due: DateTime<Utc>,
    fails_once: bool,
}

#[derive(Clone)]
pub(crate) struct Load(Arc<Inner>);

struct Inner {
    added: AtomicU64,
    begun: AtomicU64,
    /// Microseconds from the moment at which a task was due until its handler was called, since the last sample.
    pickups: Mutex<Histogram<u64>>,
}

impl Default for Load {
    fn default() -> Self {
        Self(Arc::new(Inner {
            added: AtomicU64::new(0),
            begun: AtomicU64::new(0),
            pickups: Mutex::new(histogram()),
        }))
    }
}

#[expect(clippy::expect_used, reason = "three digits are a precision that exists")]
fn histogram() -> Histogram<u64> {
    Histogram::new(3).expect("is valid")
}

impl Load {
    pub(crate) fn handler(&self) -> Endpoint {
        let load = self.clone();
        async_fn(async move |ctx: TaskContext, args: Args| {
            if ctx.attempt() == 1 {
                load.note(args.due);
                if args.fails_once {
                    return Err(TaskError::failed("not yet"));
                }
            }
            Ok(())
        })
    }

    fn note(&self, due: DateTime<Utc>) {
        let late = (Utc::now() - due).to_std().unwrap_or_default();
        self.0.begun.fetch_add(1, Ordering::Relaxed);
        let mut pickups = self.0.pickups.lock().unwrap_or_else(PoisonError::into_inner);
        // It grows as needed; centuries do not fit.
        let _ = pickups.record(u64::try_from(late.as_micros()).unwrap_or_default());
    }

    /// What has come in since the last call.
    pub(crate) fn pickups(&self) -> Histogram<u64> {
        let mut pickups = self.0.pickups.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *pickups, histogram())
    }

    /// How many tasks were added and not begun, those included that are not due.
    pub(crate) fn waiting(&self) -> u64 {
        let begun = self.0.begun.load(Ordering::Relaxed);
        self.0.added.load(Ordering::Relaxed).saturating_sub(begun)
    }

    /// Adds tasks until it is aborted, or one is refused: then it says why.
    #[expect(clippy::cast_precision_loss, reason = "rates are far below 2^53")]
    pub(crate) async fn feed(self, scheduler: Scheduler, rate: usize) -> Result<String, String> {
        let portion = (rate / PORTIONS).max(1);
        let pause = Duration::from_secs_f64(portion as f64 / rate.max(1) as f64);
        let mut next = Instant::now();
        loop {
            let now = Utc::now();
            let mut bulk: Vec<NewTask> = (0..portion).map(|at| task(at, now)).collect();
            let singles = bulk.split_off(portion - portion / 10);
            let singles = singles.into_iter().map(|task| scheduler.add_task(task));
            scheduler.add_tasks(bulk).await.map_err(|error| error.to_string())?;
            try_join_all(singles).await.map_err(|error| error.to_string())?;
            self.0.added.fetch_add(portion as u64, Ordering::Relaxed);
            next += pause;
            actix_rt::time::sleep_until(next.into()).await;
        }
    }
}

fn task(at: usize, now: DateTime<Utc>) -> NewTask {
    let is_scheduled = at % 10 == 3;
    let due = match is_scheduled {
        true => now + TimeDelta::milliseconds(fastrand::i64(1_000..5_000)),
        false => now,
    };
    let fails_once = at % 20 == 7;
    let task = NewTask::new("Bench", "Work").args(&Args { due, fails_once });
    if is_scheduled { task.run_at(due) } else { task }
}
