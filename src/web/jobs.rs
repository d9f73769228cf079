//! Cron jobs and their runs. Jobs belong to no theme, so callers who are limited to themes see none.

use std::time::Duration;

use actix_web::{HttpResponse, http::StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    body::{self, Unread},
    call::{self, Call},
    cursor::CursorOf,
    nodes::{LONGEST_WAIT, WAIT},
    problem::{Fault, Problem},
    redact::{HIDDEN, Shown},
};
use crate::{
    admin::RunJob,
    domain::{FindJobs, Job, JobDetail, JobType, NewJob},
    error::Error,
    jobs::{ChangeJobIf, JobChange},
};

const FOUND: u32 = 50;
const MOST_FOUND: u32 = 200;

type ShownJob = Shown<Job>;

/// Jobs, the newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Jobs)]
pub(super) struct Listed {
    pub(super) jobs: Vec<ShownJob>,
    /// The cursor of the next page; `null`: this is the last one.
    pub(super) next_cursor: Option<String>,
}

/// Which page of which jobs.
#[derive(Default)]
pub(super) struct Wanted {
    pub(super) job_type: Option<JobType>,
    pub(super) name: Option<String>,
    pub(super) enabled: Option<bool>,
    pub(super) limit: u32,
    pub(super) cursor: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
struct JobId {
    id: i64,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = JobToggled)]
struct Toggled {
    id: i64,
    enabled: bool,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = JobCancelled)]
struct CancelledRuns {
    /// How many runs are asked to stop.
    runs: usize,
}

pub(super) async fn list(mut call: Call) -> Result<HttpResponse, Problem> {
    let wanted = Wanted {
        limit: call.query.number("limit", 1..=MOST_FOUND, FOUND),
        cursor: call.query.text("cursor"),
        job_type: call.query.value("type"),
        name: call.query.text("name"),
        enabled: call.query.flag("enabled"),
    };
    call.query.finish()?;
    call::json(StatusCode::OK, &found(&call, wanted).await?)
}

/// A page of jobs, as the caller may see it.
pub(super) async fn found(call: &Call, wanted: Wanted) -> Result<Listed, Problem> {
    call.caller.needs_all_themes()?;
    let Wanted {
        job_type,
        name,
        enabled,
        limit,
        cursor,
    } = wanted;
    let place = CursorOf::new("jobs", &(job_type, &name, enabled));
    let find = FindJobs {
        job_type,
        name_contains: name,
        enabled,
        limit,
        before: cursor.map(|cursor| place.read(&cursor)).transpose()?,
    };
    let found = call.gaia().admin().find_jobs(find).await?;
    let eyes = call.eyes();
    Ok(Listed {
        jobs: found.jobs.into_iter().map(|job| eyes.job(job)).collect(),
        next_cursor: found.next.map(|next| place.write(next)),
    })
}

pub(super) async fn show(mut call: Call) -> Result<HttpResponse, Problem> {
    call.query.finish()?;
    let (version, job) = detail(&call).await?;
    call::versioned(version, &job)
}

/// The version of the job in the path, and the job as the caller may see it.
pub(super) async fn detail(call: &Call) -> Result<(i64, Shown<JobDetail>), Problem> {
    call.caller.needs_all_themes()?;
    let job = call.gaia().jobs().get_job_detail(call.id("job")?).await?;
    Ok((job.job.version, call.eyes().job_detail(job)))
}

/// The job in the body.
fn definition(call: &Call) -> Result<NewJob, Problem> {
    let text = body::text(&call.body)?;
    body::parsed(text).map_err(|error| match error {
        Unread::NoJson(detail) => Problem::bad_json(detail),
        Unread::Other(fault) => Problem::invalid(vec![fault]),
    })
}

/// With which words a fault of a definition begins, and which key it is about.
const FAULTS: [(&str, &str); 19] = [
    ("job_name", "/job_name"),
    ("unknown job_type", "/job_type"),
    ("cron_expr", "/cron_expr"),
    ("service_name", "/service_name"),
    ("service_method", "/service_method"),
    ("hook_url", "/hook_url"),
    ("the hook's URL", "/hook_url"),
    ("unknown hook method", "/hook_method"),
    ("the hook has", "/hook_headers"),
    ("the hook's header", "/hook_headers"),
    ("the value of the hook's header", "/hook_headers"),
    ("the hook's secret", "/hook_secret"),
    ("the arguments", "/args"),
    ("timeout", "/timeout"),
    ("unknown overlap_policy", "/overlap_policy"),
    ("unknown misfire_policy", "/misfire_policy"),
    ("misfire_grace", "/misfire_grace"),
    ("max_retry", "/max_retry"),
    ("retry_delay_ms", "/retry_delay_ms"),
];

/// A refusal of a definition, each of whose faults says which key it is about.
fn refused(error: Error) -> Problem {
    let Error::Invalid(input) = error else {
        return error.into();
    };
    let fault = |text: &String| Fault {
        pointer: pointer(text).map(str::to_owned),
        ..Fault::of(text)
    };
    Problem::invalid(input.faults().iter().map(fault).collect())
}

fn pointer(fault: &str) -> Option<&'static str> {
    let known = FAULTS.iter().find(|(words, _)| fault.starts_with(words));
    known.map(|(_, pointer)| *pointer)
}

fn no_hidden_values(job: &NewJob) -> Result<(), Problem> {
    let hidden = job.hook_headers.iter().filter(|(_, value)| *value == HIDDEN);
    let faults: Vec<Fault> = hidden
        .map(|(name, _)| Fault {
            pointer: Some("/hook_headers".to_owned()),
            ..Fault::of(format!(
                "header {name:?} has the value {HIDDEN}, which stands for a value that is not shown; write the real one"
            ))
        })
        .collect();
    match faults.is_empty() {
        true => Ok(()),
        false => Err(Problem::invalid(faults)),
    }
}

pub(super) async fn add(mut call: Call) -> Result<HttpResponse, Problem> {
    call.query.finish()?;
    call.caller.needs_all_themes()?;
    let job = definition(&call)?;
    no_hidden_values(&job)?;
    let id = call.gaia().jobs().add_job(job).await.map_err(refused)?;
    call::placed(StatusCode::CREATED, &format!("jobs/{id}"), &JobId { id })
}

pub(super) async fn ensure(mut call: Call) -> Result<HttpResponse, Problem> {
    call.query.finish()?;
    call.caller.needs_all_themes()?;
    let name = call.name("name")?;
    let job = definition(&call)?;
    no_hidden_values(&job)?;
    if !job.job_name.is_empty() && job.job_name != name {
        let fault = Fault {
            pointer: Some("/job_name".to_owned()),
            ..Fault::of(format!("job_name is {:?}, but the path names {name:?}", job.job_name))
        };
        return Err(Problem::invalid(vec![fault]));
    }
    let id = call.gaia().jobs().ensure_job(job.name(name)).await.map_err(refused)?;
    call::json(StatusCode::OK, &JobId { id })
}

/// Changes a job; with `If-Match`, only if its definition is of that version.
async fn change(call: &Call, id: i64, change: JobChange) -> Result<(), Problem> {
    let jobs = call.gaia().jobs();
    let changed = match (call.if_match()?, change) {
        (Some(version), change) => jobs.change_job_if(ChangeJobIf { id, version, change }).await,
        (None, JobChange::Update(job)) => jobs.update_job(id, *job).await.map(drop),
        (None, JobChange::Enable) => jobs.toggle_job(id, true).await,
        (None, JobChange::Disable) => jobs.toggle_job(id, false).await,
        (None, JobChange::Remove) => jobs.remove_job(id).await,
    };
    changed.map_err(refused)
}

/// A header whose value the caller has left hidden keeps the value that the job has.
pub(super) async fn update(mut call: Call) -> Result<HttpResponse, Problem> {
    call.query.finish()?;
    call.caller.needs_all_themes()?;
    let id = call.id("job")?;
    let mut job = definition(&call)?;
    let jobs = call.gaia().jobs();
    if job.hook_headers.values().any(|value| value == HIDDEN) {
        keep_hidden(&mut job, &jobs.get_job_detail(id).await?.job);
        no_hidden_values(&job)?;
    }
    change(&call, id, JobChange::Update(Box::new(job))).await?;
    call::json(StatusCode::OK, &JobId { id })
}

/// Headers whose values are hidden get the values that the job has.
pub(super) fn keep_hidden(job: &mut NewJob, stored: &Job) {
    for (name, value) in &mut job.hook_headers {
        if let (HIDDEN, Some(stored)) = (value.as_str(), stored.hook_headers.get(name)) {
            value.clone_from(stored);
        }
    }
}

pub(super) async fn remove(mut call: Call) -> Result<HttpResponse, Problem> {
    call.finish_without_body()?;
    call.caller.needs_all_themes()?;
    change(&call, call.id("job")?, JobChange::Remove).await?;
    Ok(HttpResponse::NoContent().finish())
}

pub(super) async fn enable(call: Call) -> Result<HttpResponse, Problem> {
    toggle(call, true).await
}

pub(super) async fn disable(call: Call) -> Result<HttpResponse, Problem> {
    toggle(call, false).await
}

async fn toggle(mut call: Call, enabled: bool) -> Result<HttpResponse, Problem> {
    call.finish_without_body()?;
    call.caller.needs_all_themes()?;
    let id = call.id("job")?;
    let toggle = if enabled { JobChange::Enable } else { JobChange::Disable };
    change(&call, id, toggle).await?;
    call::json(StatusCode::OK, &Toggled { id, enabled })
}

/// Answers once the run has begun, on this process or on another.
pub(super) async fn run(mut call: Call) -> Result<HttpResponse, Problem> {
    let wait = call.query.number("wait_ms", 1_000..=LONGEST_WAIT, WAIT);
    call.finish_without_body()?;
    call.caller.needs_all_themes()?;
    let run = RunJob {
        by: Some(call.author()),
        reason: call.reason.take(),
        timeout: Duration::from_millis(wait.into()),
        ..RunJob::new(call.id("job")?)
    };
    let begun = call.gaia().admin().run_job(run).await?;
    call::placed(StatusCode::ACCEPTED, &format!("../../runs/{}", begun.run_id), &begun)
}

pub(super) async fn cancel(mut call: Call) -> Result<HttpResponse, Problem> {
    call.finish_without_body()?;
    call.caller.needs_all_themes()?;
    let runs = call.gaia().jobs().cancel_job(call.id("job")?).await?;
    call::json(StatusCode::OK, &CancelledRuns { runs })
}

pub(super) mod described {
    use utoipa::openapi::{ObjectBuilder, Type};

    use super::{CancelledRuns, FOUND, JobId, LONGEST_WAIT, Listed, MOST_FOUND, Toggled, WAIT};
    use crate::{
        admin::JobBegun,
        domain::{JobDetail, JobType, MAX_NAME_CHARS, NewJob},
        web::{
            body::Nothing,
            openapi::{
                Described,
                schemas::{flag, id, number, reference, text},
            },
            redact::Shown,
        },
    };

    /// A route of one job.
    pub(in crate::web) fn of_job() -> Described {
        Described::new()
            .path("id", id(), "The id of the job.")
            .refuses(404, &["job_not_found"])
    }

    /// A route that changes the definition of a job.
    fn changes_job() -> Described {
        let tag = ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some(r#"^(\*|(W/)?"[!#-~]*")$"#));
        of_job()
            .header(
                "If-Match",
                tag,
                "The `ETag` with which `GET /jobs/{id}` has shown the job. If the definition has changed since, nothing is changed.",
            )
            .refuses(400, &["bad_header"])
            .refuses(412, &["job_changed"])
    }

    pub(in crate::web) fn list() -> Described {
        Described::new()
            .with::<JobType>()
            .query("type", reference::<JobType>(), "Only jobs of this type.")
            .query("name", text(MAX_NAME_CHARS), "Only jobs whose names contain this text.")
            .query("enabled", flag(None), "Only enabled jobs, or only disabled jobs.")
            .paged_by_cursor(number(&(1..=MOST_FOUND), FOUND))
            .answer::<Listed>(200, "A page of jobs.")
    }

    pub(in crate::web) fn show() -> Described {
        of_job()
            .answer::<Shown<JobDetail>>(200, "The job.")
            .with_etag("The version of the definition, for `If-Match`.")
    }

    pub(in crate::web) fn add() -> Described {
        Described::new()
            .body::<NewJob>()
            .answer::<JobId>(201, "The job is stored.")
            .with_location("The job.")
            .refuses(409, &["job_name_taken"])
    }

    pub(in crate::web) fn ensure() -> Described {
        Described::new()
            .path("name", text(MAX_NAME_CHARS), "The name of the job.")
            .body::<NewJob>()
            .answer::<JobId>(200, "The job is as the body says.")
            // Others may rename or delete the job meanwhile.
            .refuses(404, &["job_not_found"])
            .refuses(409, &["job_name_taken"])
    }

    pub(in crate::web) fn update() -> Described {
        changes_job()
            .body::<NewJob>()
            .answer::<JobId>(200, "The job is as the body says.")
            .refuses(409, &["job_name_taken"])
    }

    pub(in crate::web) fn remove() -> Described {
        changes_job()
            .optional_body::<Nothing>()
            .empty_answer(204, "The job is deleted.")
    }

    pub(in crate::web) fn enable() -> Described {
        changes_job()
            .optional_body::<Nothing>()
            .answer::<Toggled>(200, "The job fires.")
    }

    pub(in crate::web) fn disable() -> Described {
        changes_job()
            .optional_body::<Nothing>()
            .answer::<Toggled>(200, "The job does not fire.")
    }

    pub(in crate::web) fn run() -> Described {
        of_job()
            .query(
                "wait_ms",
                number(&(1_000..=LONGEST_WAIT), WAIT),
                "For how long to wait for another process.",
            )
            .optional_body::<Nothing>()
            .answer::<JobBegun>(202, "The run has begun.")
            .with_location("The run.")
            .refuses(
                409,
                &[
                    "job_is_bad",
                    "job_is_running",
                    "job_is_locked",
                    "jobs_banned",
                    "not_followed",
                ],
            )
            .refuses(504, &["not_answered"])
    }

    pub(in crate::web) fn cancel() -> Described {
        of_job()
            .optional_body::<Nothing>()
            .answer::<CancelledRuns>(200, "The runs are asked to stop.")
    }
}
