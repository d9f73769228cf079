//! Cron jobs and their runs. Jobs belong to no theme, so callers who are limited to themes see none.

use std::time::Duration;

use actix_web::{HttpResponse, http::StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    body::{self, Unread},
    call::{self, Call},
    nodes::{LONGEST_WAIT, WAIT},
    problem::{Fault, Problem},
    query::Query,
    redact::HIDDEN,
};
use crate::{
    admin::RunJob,
    config::nearest,
    domain::{ListJobs, NewJob, Page, PageRequest},
};

const LISTED: u32 = 20;
const MOST_LISTED: u32 = 200;
/// The last page that can be asked for: a page is found by counting the rows before it.
const LAST_PAGE: u32 = 1_000_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Why {
    #[serde(default)]
    reason: Option<String>,
}

pub(super) fn page(query: &mut Query) -> PageRequest {
    PageRequest {
        page: query.number("page", 1..=LAST_PAGE, 1),
        page_size: query.number("page_size", 1..=MOST_LISTED, LISTED),
    }
}

/// A page whose rows are shown in another way.
pub(super) fn page_of<T, U: Serialize>(page: Page<T>, show: impl FnMut(T) -> U) -> Page<U> {
    Page {
        items: page.items.into_iter().map(show).collect(),
        total: page.total,
        page: page.page,
        page_size: page.page_size,
    }
}

pub(super) async fn list(mut call: Call) -> Result<HttpResponse, Problem> {
    let list = ListJobs {
        page: page(&mut call.query),
        job_type: call.query.value("type"),
        name_contains: call.query.text("name"),
        enabled: call.query.flag("enabled"),
    };
    call.query.finish()?;
    call.caller.needs_all_themes()?;
    let jobs = call.gaia().jobs().list_jobs(list).await?;
    let eyes = call.eyes();
    call::json(StatusCode::OK, &page_of(jobs, |job| eyes.job(job)))
}

pub(super) async fn show(mut call: Call) -> Result<HttpResponse, Problem> {
    call.query.finish()?;
    call.caller.needs_all_themes()?;
    let job = call.gaia().jobs().get_job_detail(call.id("job")?).await?;
    call::json(StatusCode::OK, &call.eyes().job_detail(job))
}

/// The job in the body.
fn definition(call: &Call) -> Result<NewJob, Problem> {
    let text = body::text(&call.body)?;
    body::parsed(text).map_err(|error| match error {
        Unread::NoJson(detail) => Problem::bad_json(detail),
        Unread::Other(mut fault) => {
            if let Some(known) = nearest_key(&fault.detail) {
                fault.detail = format!("{}; the nearest known is {known}", fault.detail);
            }
            Problem::invalid(vec![fault])
        }
    })
}

/// The known key that is most like the unknown key of a fault.
fn nearest_key(fault: &str) -> Option<String> {
    let unknown = fault.strip_prefix("unknown key \"")?.split('"').next()?;
    let keys = serde_json::to_value(NewJob::default().args(&())).ok()?;
    let mut keys: Vec<&str> = keys.as_object()?.keys().map(String::as_str).collect();
    keys.push("hook_secret");
    nearest(unknown, &keys).map(str::to_owned)
}

fn no_hidden_values(job: &NewJob) -> Result<(), Problem> {
    let hidden = job.hook_headers.iter().filter(|(_, value)| *value == HIDDEN);
    let faults: Vec<Fault> = hidden
        .map(|(name, _)| {
            Fault::of(format!(
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
    let id = call.gaia().jobs().add_job(job).await?;
    call::created(&format!("jobs/{id}"), &json!({ "id": id }))
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
    let id = call.gaia().jobs().ensure_job(job.name(name)).await?;
    call::json(StatusCode::OK, &json!({ "id": id }))
}

/// A header whose value the caller has left hidden keeps the value that the job has.
pub(super) async fn update(mut call: Call) -> Result<HttpResponse, Problem> {
    call.query.finish()?;
    call.caller.needs_all_themes()?;
    let id = call.id("job")?;
    let mut job = definition(&call)?;
    let jobs = call.gaia().jobs();
    if job.hook_headers.values().any(|value| value == HIDDEN) {
        let stored = jobs.get_job_detail(id).await?.job.hook_headers;
        for (name, value) in &mut job.hook_headers {
            if let (HIDDEN, Some(stored)) = (value.as_str(), stored.get(name)) {
                value.clone_from(stored);
            }
        }
        no_hidden_values(&job)?;
    }
    jobs.update_job(id, job).await?;
    call::json(StatusCode::OK, &json!({ "id": id }))
}

pub(super) async fn remove(mut call: Call) -> Result<HttpResponse, Problem> {
    call.finish_without_body()?;
    call.caller.needs_all_themes()?;
    call.gaia().jobs().remove_job(call.id("job")?).await?;
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
    call.gaia().jobs().toggle_job(id, enabled).await?;
    call::json(StatusCode::OK, &json!({ "id": id, "enabled": enabled }))
}

/// Answers once the run has begun, on this process or on another.
pub(super) async fn run(mut call: Call) -> Result<HttpResponse, Problem> {
    let wait = call.query.number("wait_ms", 1_000..=LONGEST_WAIT, WAIT);
    call.query.finish()?;
    let Why { reason } = call.typed()?;
    call.caller.needs_all_themes()?;
    let run = RunJob {
        by: call.author(),
        reason,
        timeout: Duration::from_millis(wait.into()),
        ..RunJob::new(call.id("job")?)
    };
    call::json(StatusCode::ACCEPTED, &call.gaia().admin().run_job(run).await?)
}

pub(super) async fn cancel(mut call: Call) -> Result<HttpResponse, Problem> {
    call.finish_without_body()?;
    call.caller.needs_all_themes()?;
    let runs = call.gaia().jobs().cancel_job(call.id("job")?).await?;
    call::json(StatusCode::OK, &json!({ "runs": runs }))
}

pub(super) async fn runs(mut call: Call) -> Result<HttpResponse, Problem> {
    let page = page(&mut call.query);
    call.query.finish()?;
    call.caller.needs_all_themes()?;
    let records = call.gaia().jobs().get_job_records(call.id("job")?, page).await?;
    let eyes = call.eyes();
    call::json(StatusCode::OK, &page_of(records, |record| eyes.job_record(record)))
}
