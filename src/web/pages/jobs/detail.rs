//! A job with its runs.

use std::time::Duration;

use maud::{Markup, html};

use super::{action, buttons, folded, in_words, is_hook, next_fires, schedule_of, state, target};
use crate::{
    admin::GetMethods,
    domain::{Job, RunStatus},
    schedule::Schedule,
    web::{
        call::Call,
        jobs,
        pages::{
            layout::{Page, Place},
            parts::{Action, lasting, method_link, number, time_or_none},
            view::View,
        },
        permission::Permission,
        problem::Problem,
        runs::{self, Wanted},
    },
};

/// Runs on a page.
const LISTED: u32 = 30;

pub(in crate::web::pages) async fn show(mut call: Call, view: View) -> Result<Page, Problem> {
    let cursor = call.query.text("cursor");
    call.query.finish()?;
    let (_, shown) = jobs::detail(&call).await?;
    let is_whole = shown.is_whole();
    let (detail, is_hidden) = shown.into_parts();
    let job = detail.job;
    let wanted = Wanted {
        job_id: Some(job.id),
        state: None,
        limit: LISTED,
        cursor: cursor.clone(),
    };
    let page = runs::found(&call, wanted).await?;
    let words = view.words;
    let is_unserved = is_unserved(&call, &job).await?;
    let schedule = schedule_of(&call, &job.cron_expr, job.time_zone.as_deref());
    let schedule = schedule.as_ref();
    let body = html! {
        div.head {
            h1 { (job.job_name) }
            (state(&view, &job))
            div.actions { (buttons(&view, &job)) (more_buttons(&view, &job, is_whole)) }
        }
        @if is_unserved { (unserved(&view, &job)) }
        @if let Some(error) = &job.error { p.notice.bad { (words.cannot_fire) ": " (words.fault(error)) } }
        div.columns {
            (timing(&view, &job, schedule))
            section.card { h2 { (words.job) } (facts(&view, &job, is_hidden)) }
        }
        p.sub { (words.set_by_code) }
        section #runs.card.flush {
            h2 { (words.runs) }
            (super::run::table(&view, schedule.ok(), page.runs))
            (pager(&view, job.id, cursor.is_some(), page.next_cursor.as_deref()))
        }
    };
    Ok(Page {
        title: job.job_name,
        place: Some(Place::Jobs),
        body,
        is_live: true,
    })
}

/// Whether the job calls a method that no living node serves.
async fn is_unserved(call: &Call, job: &Job) -> Result<bool, Problem> {
    if is_hook(job) || job.error.is_some() {
        return Ok(false);
    }
    let methods = call.gaia().admin().methods(GetMethods::default()).await?;
    let called = (job.service_name.as_deref(), job.service_method.as_deref());
    Ok(!methods
        .iter()
        .any(|known| (Some(known.service.as_str()), Some(known.method.as_str())) == called))
}

fn unserved(view: &View, job: &Job) -> Markup {
    let name = |text: &Option<String>| text.clone().unwrap_or_default();
    let (service, method) = (name(&job.service_name), name(&job.service_method));
    html! {
        p.notice.warn role="status" {
            (view.words.job_unserved) " " (method_link(view, None, &service, &method)) " – "
            a href=(view.to("methods")) { (view.words.methods) }
        }
    }
}

/// The buttons that only a job's own page has.
fn more_buttons(view: &View, job: &Job, is_whole: bool) -> Markup {
    let words = view.words;
    let delete = Action {
        is_dangerous: true,
        back: Some("jobs"),
        ..action(view, job, "delete", "job.delete", words.delete)
    };
    html! {
        @if view.caller.may(Permission::RunJobs) && job.run_status == RunStatus::Running.as_str() {
            (action(view, job, "cancel", "job.cancel", words.cancel_runs).button(view))
        }
        @if view.caller.may(Permission::EditJobs) {
            @if is_whole { a.button href=(view.to(&format!("jobs/{}/edit", job.id))) { (words.edit) } }
            (delete.button(view))
        }
    }
}

fn timing(view: &View, job: &Job, schedule: Result<&Schedule, &String>) -> Markup {
    let words = view.words;
    html! {
        section.card {
            h2 { (words.schedule) }
            p { code { (job.cron_expr) } }
            @match schedule {
                Ok(schedule) => {
                    p { strong { (in_words(view, schedule)) } }
                    @if !job.enabled { p.faint { (words.fires_if_enabled) } }
                    (next_fires(view, schedule))
                }
                Err(fault) => p.error { (words.fault(fault)) },
            }
        }
    }
}

/// A policy in words, or the text of the row if nothing is known of it.
fn policy<T: std::str::FromStr>(text: &str, word: fn(T) -> &'static str) -> &str {
    text.parse().map_or(text, word)
}

fn facts(view: &View, job: &Job, is_hidden: bool) -> Markup {
    let words = view.words;
    let seconds = |seconds: i32| lasting(view, Duration::from_secs(u64::try_from(seconds).unwrap_or(0)));
    let yes_or_no = |is_so| if is_so { words.yes } else { words.no };
    let run_status = match job.run_status == RunStatus::Running.as_str() {
        true => words.running,
        false => words.no,
    };
    html! {
        dl.facts {
            dt { (words.id) } dd.mono { (job.id) }
            dt { (words.version) } dd { (job.version) }
            dt { (words.job_type) } dd { (policy(&job.job_type, words.job_types)) }
            dt { (words.calls) } dd { (target(job)) }
            @if is_hook(job) { (hook_facts(view, job)) }
            dt { (words.args) } dd { (args(view, job.args.as_deref(), is_hidden)) }
            dt { (words.time_zone) } dd { (job.time_zone.as_deref().unwrap_or("–")) }
            dt { (words.next_fire) } dd { (time_or_none(view, job.next_run_time)) }
            dt { (words.last_run) } dd { (time_or_none(view, job.last_run_time)) }
            dt { (words.running) } dd { (run_status) }
            dt { (words.enabled) } dd { (yes_or_no(job.enabled)) }
            dt { (words.timeout) } dd { (seconds(job.timeout)) }
            dt { (words.overlap) } dd { (policy(&job.overlap_policy, words.overlaps)) }
            dt { (words.misfire) } dd { (policy(&job.misfire_policy, words.misfires)) ", ≤ " (seconds(job.misfire_grace)) }
            dt { (words.max_retry) } dd { (number(job.max_retry)) }
            dt { (words.retry_delay) } dd { (number(job.retry_delay.as_millis())) }
            dt { (words.created) } dd { (time_or_none(view, job.create_time)) }
            dt { (words.updated) } dd { (time_or_none(view, job.update_time)) }
        }
    }
}

fn hook_facts(view: &View, job: &Job) -> Markup {
    let words = view.words;
    html! {
        dt { (words.hook_url) } dd.mono { (job.hook_url.as_deref().unwrap_or("–")) }
        dt { (words.hook_method) } dd { (job.hook_method) }
        dt { (words.hook_headers) }
        dd {
            @for (name, value) in &job.hook_headers { div.mono { (name) ": " (value) } }
            @if job.hook_headers.is_empty() { span.faint { "–" } }
        }
        dt { (words.hook_secret) } dd { @match job.has_hook_secret { true => (words.yes), false => (words.no) } }
    }
}

fn args(view: &View, args: Option<&str>, is_hidden: bool) -> Markup {
    html! {
        @match args.filter(|args| !args.trim().is_empty()) {
            None if is_hidden => span.faint { (view.words.hidden) },
            None => span.faint { "–" },
            Some(args) => (folded("args", view.words.args, args, false)),
        }
    }
}

fn pager(view: &View, job: i64, is_later: bool, next: Option<&str>) -> Markup {
    let words = view.words;
    let path = view.to(&format!("jobs/{job}"));
    html! {
        @if is_later || next.is_some() {
            nav.pager aria-label=(words.runs) {
                @if is_later { a href={ (path) "#runs" } { (words.newer) } }
                @if let Some(next) = next { a href={ (path) "?cursor=" (next) "#runs" } { (words.older) } }
            }
        }
    }
}
