//! Runs of jobs. Jobs belong to no theme, so callers who are limited to themes see none.

use actix_web::{HttpResponse, http::StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    call::{self, Call},
    cursor::CursorOf,
    problem::Problem,
    redact::Shown,
};
use crate::domain::{FindRuns, JobRecord, RunState};

const FOUND: u32 = 50;
const MOST_FOUND: u32 = 200;

pub(super) type ShownRun = Shown<JobRecord>;

/// Runs, the newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Runs)]
pub(super) struct Listed {
    pub(super) runs: Vec<ShownRun>,
    /// The cursor of the next page; `null`: this is the last one.
    pub(super) next_cursor: Option<String>,
}

/// Which page of which runs.
pub(super) struct Wanted {
    pub(super) job_id: Option<i64>,
    pub(super) state: Option<RunState>,
    pub(super) limit: u32,
    pub(super) cursor: Option<String>,
}

pub(super) async fn of_all(call: Call) -> Result<HttpResponse, Problem> {
    list(call, None).await
}

/// The runs of a job that was deleted are still there.
pub(super) async fn of_job(call: Call) -> Result<HttpResponse, Problem> {
    let id = call.id("job")?;
    list(call, Some(id)).await
}

async fn list(mut call: Call, job_id: Option<i64>) -> Result<HttpResponse, Problem> {
    let wanted = Wanted {
        job_id,
        limit: call.query.number("limit", 1..=MOST_FOUND, FOUND),
        cursor: call.query.text("cursor"),
        state: call.query.value("state"),
    };
    call.query.finish()?;
    call::json(StatusCode::OK, &found(&call, wanted).await?)
}

/// A page of runs, as the caller may see it.
pub(super) async fn found(call: &Call, wanted: Wanted) -> Result<Listed, Problem> {
    call.caller.needs_all_themes()?;
    let Wanted {
        job_id,
        state,
        limit,
        cursor,
    } = wanted;
    let place = CursorOf::new("runs", &(job_id, state));
    let find = FindRuns {
        job_id,
        state,
        limit,
        before: cursor.map(|cursor| place.read(&cursor)).transpose()?,
    };
    let found = call.gaia().admin().find_runs(find).await?;
    let eyes = call.eyes();
    Ok(Listed {
        runs: found.runs.into_iter().map(|run| eyes.job_record(run)).collect(),
        next_cursor: found.next.map(|next| place.write(next)),
    })
}

pub(super) async fn show(mut call: Call) -> Result<HttpResponse, Problem> {
    call.query.finish()?;
    call::json(StatusCode::OK, &shown(&call).await?)
}

/// The run of the path, as the caller may see it.
pub(super) async fn shown(call: &Call) -> Result<ShownRun, Problem> {
    call.caller.needs_all_themes()?;
    let run = call.gaia().admin().run(call.id("run")?).await?;
    Ok(call.eyes().job_record(run))
}

pub(super) mod described {
    use super::{FOUND, Listed, MOST_FOUND, RunState, ShownRun};
    use crate::web::{
        jobs::described as jobs,
        openapi::{
            Described,
            schemas::{id, number, reference},
        },
    };

    fn listed(described: Described) -> Described {
        described
            .with::<RunState>()
            .query(
                "state",
                reference::<RunState>(),
                "Only runs that are under way, or only those that have ended.",
            )
            .paged_by_cursor(number(&(1..=MOST_FOUND), FOUND))
            .answer::<Listed>(200, "A page of runs.")
    }

    pub(in crate::web) fn of_all() -> Described {
        listed(Described::new())
    }

    pub(in crate::web) fn of_job() -> Described {
        listed(jobs::of_job())
    }

    pub(in crate::web) fn show() -> Described {
        Described::new()
            .path("id", id(), "The id of the run.")
            .answer::<ShownRun>(200, "The run.")
            .refuses(404, &["run_not_found"])
    }
}
