//! Jobs as tables and details.

use chrono::{DateTime, Utc};
use gaia_actors::RunStatus;

use super::id_of;
use crate::{
    api::Fields,
    args::JobList,
    commands::paging,
    exit::{Exit, Result},
    output::{Cell, Column, Details, Sheet, Tone, View, words},
    session::Session,
    watch::watched,
};

pub const SHEET: Sheet = Sheet {
    columns: &[
        Column::number("ID", |job, _| Cell::int(job, "id")),
        Column::new("NAME", |job, _| Cell::of(job, "job_name")),
        Column::whole("STATE", |job, _| state(job)),
        Column::new("SCHEDULE", |job, _| Cell::of(job, "cron_expr")),
        Column::whole("NEXT", |job, view| Cell::new(next(job, view))),
        Column::whole("LAST", |job, view| {
            Cell::new(words::in_table(job.time("last_run_time"), view))
        }),
        Column::new("CALLS", |job, _| Cell::new(calls(job))),
        Column::whole("ZONE", |job, _| Cell::of(job, "time_zone")).for_wide(),
        Column::whole("OVERLAP", |job, _| Cell::of(job, "overlap_policy")).for_wide(),
        Column::whole("MISFIRE", |job, _| Cell::of(job, "misfire_policy")).for_wide(),
    ],
    empty: "No job meets the conditions.",
    name: Fields::text_of_id,
};

fn state(job: &Fields) -> Cell {
    match (job.text("error").is_empty(), job.flag("enabled")) {
        (false, _) => Cell::new("bad").toned(Tone::Bad),
        (true, false) => Cell::new("disabled").toned(Tone::Faint),
        (true, true) if job.text("run_status") == RunStatus::Running.as_str() => Cell::new("running").toned(Tone::Busy),
        (true, true) => Cell::new("enabled"),
    }
}

fn next(job: &Fields, view: &View) -> String {
    match job.flag("enabled") {
        true => words::in_table(job.time("next_run_time"), view),
        false => String::new(),
    }
}

/// What the job calls: a method, or a URL.
pub fn calls(job: &Fields) -> String {
    let url = job.text("hook_url");
    match url.is_empty() {
        false => url,
        true => format!("{}.{}", job.text("service_name"), job.text("service_method")),
    }
}

pub async fn list(session: &Session, list: JobList) -> Result {
    let (api, out) = (session.api().await?, &session.out);
    let enabled = (list.enabled || list.disabled).then_some(list.enabled);
    watched(session, list.watch.watch, async || {
        let request = || {
            let request = api.get(&["jobs"]).maybe("name", list.name.as_ref());
            request.maybe("type", list.job_type.as_ref()).maybe("enabled", enabled)
        };
        let jobs = paging::rows(&list.paging, "jobs", request).await?;
        out.list(&SHEET, &jobs, &out.view(api))?;
        Ok(Exit::Done)
    })
    .await
}

pub async fn one(session: &Session, job: &str) -> Result {
    let (api, out) = (session.api().await?, &session.out);
    let id = id_of(api, job).await?;
    let job = api.get(&["jobs", &id]).send().await?.fields()?;
    let view = out.view(api);
    out.item(&SHEET, &job, || details(&job, &view))?;
    Ok(Exit::Done)
}

fn details(job: &Fields, view: &View) -> Details {
    let fires: Vec<DateTime<Utc>> = job.get("next_fires").unwrap_or_default();
    let fires: Vec<String> = fires.into_iter().take(5).map(|fire| words::both(fire, view)).collect();
    let headers = job.object("hook_headers").map(|headers| headers.0).unwrap_or_default();
    let headers: Vec<String> = headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.get().trim_matches('"')))
        .collect();
    let retries = job.int("max_retry").filter(|count| *count > 0);
    let retries = retries.map(|count| {
        format!(
            "{count}, after {}",
            words::millis(job.int("retry_delay_ms").unwrap_or(0))
        )
    });
    Details::default()
        .int_of("id", job, "id")
        .text_of("name", job, "job_name")
        .add("state", state(job))
        .lines("fault", &job.text("error"))
        .text_of("schedule", job, "cron_expr")
        .text_of("means", job, "description")
        .text_of("zone", job, "time_zone")
        .add("calls", Cell::new(calls(job)))
        .add(
            "HTTP method",
            Cell::new(if job.text("hook_url").is_empty() {
                String::new()
            } else {
                job.text("hook_method")
            }),
        )
        .lines("headers", &headers.join("\n"))
        .add(
            "signed",
            Cell::new(if job.flag("has_hook_secret") { "yes" } else { "" }),
        )
        .json_of("arguments", job, "args", "args_text")
        .add(
            "timeout",
            Cell::new(
                job.int("timeout")
                    .filter(|seconds| *seconds > 0)
                    .map(|seconds| words::millis(seconds * 1_000))
                    .unwrap_or_default(),
            ),
        )
        .add("retries", Cell::new(retries.unwrap_or_default()))
        .text_of("overlap", job, "overlap_policy")
        .text_of("misfire", job, "misfire_policy")
        .time_of("last run", job, "last_run_time", view)
        .lines("next fires", &fires.join("\n"))
        .int_of("version", job, "version")
}
