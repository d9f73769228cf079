//! The list of jobs.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::{buttons, in_words, schedule_of, state, target};
use crate::{
    domain::{Job, JobRecord},
    web::{
        call::Call,
        jobs::{Wanted, found},
        pages::{
            layout::{Page, Place},
            parts::{empty, time_or_none, with_query},
            view::View,
        },
        permission::Permission,
        problem::Problem,
    },
};

/// Jobs on a page.
const LISTED: u32 = 25;
/// How many of the last runs of a job are shown.
const MARKS: u32 = 12;

/// Which jobs are looked for. Blank fields of the form count as missing.
struct Filter {
    name: Option<String>,
    enabled: Option<bool>,
    cursor: Option<String>,
}

impl Filter {
    fn read(call: &mut Call) -> Result<Self, Problem> {
        let mut filled = |name| call.query.text(name).filter(|text| !text.trim().is_empty());
        let (name, enabled, cursor) = (filled("name"), filled("enabled"), filled("cursor"));
        let is_known = enabled
            .as_deref()
            .is_none_or(|enabled| matches!(enabled, "true" | "false"));
        if !is_known {
            call.query
                .fault("enabled", "enabled is neither true nor false".to_owned());
        }
        call.query.finish()?;
        Ok(Self {
            name,
            enabled: enabled.map(|enabled| enabled == "true"),
            cursor,
        })
    }

    /// The path of the page that begins here.
    fn path(&self, cursor: &str) -> String {
        let enabled = self.enabled.map(|enabled| enabled.to_string()).unwrap_or_default();
        let name = self.name.as_deref().unwrap_or_default();
        with_query("jobs", &[("name", name), ("enabled", &enabled), ("cursor", cursor)])
    }
}

pub(in crate::web::pages) async fn list(mut call: Call, view: View) -> Result<Page, Problem> {
    let filter = Filter::read(&mut call)?;
    let wanted = Wanted {
        name: filter.name.clone(),
        enabled: filter.enabled,
        cursor: filter.cursor.clone(),
        limit: LISTED,
        job_type: None,
    };
    let page = found(&call, wanted).await?;
    let jobs: Vec<Job> = page.jobs.into_iter().map(|job| job.into_parts().0).collect();
    let mut runs = last_runs(&call, &jobs).await?;
    let words = view.words;
    let body = html! {
        div.head {
            h1 { (words.jobs) }
            @if view.caller.may(Permission::EditJobs) {
                div.actions { a.button.main href=(view.to("jobs/new")) { (words.new_job) } }
            }
        }
        (search(&view, &filter))
        section.card.flush {
            @if jobs.is_empty() {
                (nothing(&view, &filter))
            } @else {
                div.scroll { table.cards {
                    thead { tr {
                        th scope="col" { (words.name) }
                        th scope="col" { (words.status) }
                        th scope="col" { (words.schedule) }
                        th scope="col" { (words.next_fire) }
                        th scope="col" { (words.calls) }
                        th scope="col" { (words.last_runs) }
                        th scope="col" { span.visually-hidden { (words.action) } }
                    } }
                    tbody { @for job in &jobs { (row(&call, &view, job, &runs.remove(&job.id).unwrap_or_default())) } }
                } }
            }
            (pager(&view, &filter, page.next_cursor.as_deref()))
        }
    };
    Ok(Page {
        title: words.jobs.to_owned(),
        place: Some(Place::Jobs),
        body,
        is_live: true,
    })
}

/// The last runs of each job, the newest first.
async fn last_runs(call: &Call, jobs: &[Job]) -> Result<BTreeMap<i64, Vec<JobRecord>>, Problem> {
    let ids = jobs.iter().map(|job| job.id).collect();
    let mut by_job: BTreeMap<i64, Vec<JobRecord>> = BTreeMap::new();
    for run in call.gaia().admin().last_runs(ids, MARKS).await? {
        by_job.entry(run.job_id.unwrap_or_default()).or_default().push(run);
    }
    Ok(by_job)
}

fn search(view: &View, filter: &Filter) -> Markup {
    let words = view.words;
    html! {
        form.search method="get" action=(view.to("jobs")) role="search" {
            input type="search" name="name" value=[&filter.name] placeholder=(words.name_contains) aria-label=(words.name_contains) maxlength="255";
            select name="enabled" aria-label=(words.status) {
                @for (value, name) in [(None, words.all_jobs), (Some(true), words.enabled), (Some(false), words.disabled)] {
                    option value=(value.map(|value| value.to_string()).unwrap_or_default()) selected[value == filter.enabled] { (name) }
                }
            }
            button { (words.search) }
        }
    }
}

fn nothing(view: &View, filter: &Filter) -> Markup {
    let words = view.words;
    match (&filter.name, filter.enabled) {
        (None, None) => empty(words.no_jobs, words.no_jobs_hint),
        _ => empty(words.no_jobs_found, words.no_jobs_found_hint),
    }
}

fn pager(view: &View, filter: &Filter, next: Option<&str>) -> Markup {
    html! {
        @if filter.cursor.is_some() || next.is_some() {
            nav.pager aria-label=(view.words.jobs) {
                @if filter.cursor.is_some() { a href=(view.to(&filter.path(""))) { (view.words.newer) } }
                @if let Some(next) = next { a href=(view.to(&filter.path(next))) { (view.words.older) } }
            }
        }
    }
}

fn row(call: &Call, view: &View, job: &Job, runs: &[JobRecord]) -> Markup {
    let words = view.words;
    let schedule = schedule_of(call, &job.cron_expr, job.time_zone.as_deref());
    html! {
        tr id={ "job-" (job.id) } {
            td.name.lead { a href=(view.to(&format!("jobs/{}", job.id))) { (job.job_name) } }
            td.lead {
                (state(view, job))
                @if let Some(error) = &job.error { div.error.narrow { (words.fault(error)) } }
            }
            td data-label=(words.schedule) {
                code { (job.cron_expr) }
                @if let Ok(schedule) = &schedule {
                    @let (words, zone) = (in_words(view, schedule), schedule.zone());
                    div.narrow { (words) }
                    @if !words.contains(zone.name()) { div.faint { (zone.name()) } }
                }
            }
            td data-label=(words.next_fire) { (time_or_none(view, job.next_run_time)) }
            td data-label=(words.calls) { (target(job)) }
            td data-label=(words.last_runs) { (super::run::strip(view, runs.iter())) }
            td { div.actions.end aria-label=(words.action) role="group" { (buttons(view, job)) } }
        }
    }
}
