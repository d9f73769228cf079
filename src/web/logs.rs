//! What handlers have logged while they served runs of tasks and jobs.

use std::time::Duration;

use actix_web::{HttpResponse, http::StatusCode, rt::time::sleep};
use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::{
    call::{self, Call},
    problem::Problem,
    query::Query,
    tasks,
};
use crate::{
    admin::GetTaskLog,
    logs::{MOST_LINES, RunLog},
};

/// The longest wait for more lines, in milliseconds.
const LONGEST_WAIT: u32 = 60_000;

/// How often the database is asked for more lines: they are written about as often.
const LOOK: Duration = Duration::from_millis(500);

/// The lines of a run after those that the caller has.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ShownLog)]
pub(super) struct Lines {
    #[serde(flatten)]
    log: RunLog,
    /// The `after` of the next call.
    next: usize,
}

/// From where on, and for how long to wait.
struct Asked {
    after: usize,
    wait: Duration,
}

impl Asked {
    fn of(query: &mut Query) -> Self {
        let most = u32::try_from(MOST_LINES).unwrap_or(u32::MAX);
        let after = query.number("after", 0..=most, 0);
        let wait = query.number("wait_ms", 0..=LONGEST_WAIT, 0);
        Self {
            after: usize::try_from(after).unwrap_or(usize::MAX),
            wait: Duration::from_millis(wait.into()),
        }
    }

    /// Looks until there are lines, no more come, or the time is over.
    async fn answer(self, mut look: impl AsyncFnMut() -> Result<RunLog, Problem>) -> Result<HttpResponse, Problem> {
        let until = Instant::now() + self.wait;
        loop {
            let mut log = look().await?;
            let lines = log.lines.len();
            if lines > self.after || log.is_over || Instant::now() >= until {
                log.lines.drain(..self.after.min(lines));
                return call::json(StatusCode::OK, &Lines { log, next: lines });
            }
            sleep(LOOK.min(until - Instant::now())).await;
        }
    }
}

pub(super) async fn of_task(mut call: Call) -> Result<HttpResponse, Problem> {
    let asked = Asked::of(&mut call.query);
    let log_id = call.query.text("log_id");
    call.query.finish()?;
    asked.answer(async || of_task_run(&call, log_id.clone()).await).await
}

/// The lines of one run of the path's task.
pub(super) async fn of_task_run(call: &Call, log_id: Option<String>) -> Result<RunLog, Problem> {
    let (_, id) = tasks::find(call).await?;
    let log = call.gaia().admin().task_log(GetTaskLog { id, log_id }).await?;
    Ok(call.eyes().log(log))
}

pub(super) async fn of_run(mut call: Call) -> Result<HttpResponse, Problem> {
    let asked = Asked::of(&mut call.query);
    call.query.finish()?;
    asked.answer(async || of_job_run(&call).await).await
}

/// The lines of the path's run of a job.
pub(super) async fn of_job_run(call: &Call) -> Result<RunLog, Problem> {
    call.caller.needs_all_themes()?;
    let log = call.gaia().admin().run_log(call.id("run")?).await?;
    Ok(call.eyes().log(log))
}

pub(super) mod described {
    use super::{LONGEST_WAIT, Lines, MOST_LINES};
    use crate::web::{
        openapi::{
            Described,
            schemas::{id, number, text},
        },
        tasks::described as tasks,
    };

    fn followed(described: Described) -> Described {
        let most = u32::try_from(MOST_LINES).unwrap_or(u32::MAX);
        described
            .query(
                "after",
                number(&(0..=most), 0),
                "How many of the lines the caller has: `next` of the last answer.",
            )
            .query(
                "wait_ms",
                number(&(0..=LONGEST_WAIT), 0),
                "For how long to wait if there are no more lines yet.",
            )
            .answer::<Lines>(200, "The lines, the oldest first.")
    }

    pub(in crate::web) fn of_task() -> Described {
        followed(tasks::of_task().query("log_id", text(100), "In which run. Left out: in the last one."))
    }

    pub(in crate::web) fn of_run() -> Described {
        followed(
            Described::new()
                .path("id", id(), "The id of the run.")
                .refuses(404, &["run_not_found"]),
        )
    }
}
