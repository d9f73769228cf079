//! Cron jobs: the list, a job with its runs, and the form in which a job is added or edited.

mod detail;
mod fields;
mod form;
mod inputs;
mod list;
mod run;

use chrono::{DateTime, Utc};
use futures_util::future::LocalBoxFuture;
use maud::{Markup, html};

pub(super) use self::{detail::show, fields::definition, list::list, run::show as run};
use super::{
    layout::Page,
    parts::{Action, method_name, time},
    view::View,
    words::Language,
};
use crate::{
    domain::{Job, JobType},
    schedule::{self, Schedule},
    web::{call::Call, permission::Permission, problem::Problem},
};

/// How many fires of a schedule are listed.
const FIRES: usize = 10;

pub(super) async fn new(call: Call, view: View) -> Result<Page, Problem> {
    form::show(call, view, None).await
}

pub(super) async fn edit(call: Call, view: View) -> Result<Page, Problem> {
    form::show(call, view, None).await
}

/// The form with everything that was typed: with its faults, or, for a preview, without.
pub(super) fn again(
    call: Call,
    view: View,
    problem: Option<Problem>,
) -> LocalBoxFuture<'static, Result<Page, Problem>> {
    Box::pin(form::show(call, view, problem))
}

fn is_hook(job: &Job) -> bool {
    job.job_type == JobType::CronHook.as_str()
}

/// Whether a job fires, as a colour, a shape and a word.
fn state(view: &View, job: &Job) -> Markup {
    let words = view.words;
    html! {
        @if job.error.is_some() { span.status.bad { (words.cannot_fire) } " " }
        @if !job.enabled { span.status.off { (words.disabled) } }
        @else if job.error.is_none() { span.status.good { (words.enabled) } }
    }
}

/// What a job calls: a method, or the host of a hook.
fn target(job: &Job) -> Markup {
    let name = |text: &Option<String>| text.clone().unwrap_or_default();
    if !is_hook(job) {
        return method_name(&name(&job.service_name), &name(&job.service_method));
    }
    let url = name(&job.hook_url);
    let host = url::Url::parse(&url)
        .ok()
        .and_then(|url| url.host_str().map(str::to_owned));
    html! { span.mono title=(url) { (job.hook_method) " " (host.as_deref().unwrap_or(&url)) } }
}

/// A text; a long one is folded behind its beginning.
fn folded(id: &str, name: &str, text: &str, is_error: bool) -> Markup {
    const SHOWN: usize = 60;
    let line = text.lines().next().unwrap_or_default();
    let beginning: String = line.chars().take(SHOWN).collect();
    html! {
        @match beginning.len() == text.len() {
            true => div.error[is_error] { span.visually-hidden { (name) ": " } code { (beginning) } },
            false => details.fold id=(id) {
                summary.error[is_error] { span.visually-hidden { (name) ": " } code { (beginning) "…" } }
                pre { (text) }
            },
        }
    }
}

/// The schedule of a job, or its fault.
fn schedule_of(call: &Call, expr: &str, zone: Option<&str>) -> Result<Schedule, String> {
    let schedule = call.gaia().jobs().schedule(expr, zone);
    schedule.map_err(|error| error.to_string())
}

/// A schedule in the reader's language.
fn in_words(view: &View, schedule: &Schedule) -> String {
    schedule.describe(match view.language {
        Language::English => schedule::Language::English,
        Language::Chinese => schedule::Language::Chinese,
    })
}

/// The next fires of a schedule: in its own zone, and as they lie from now.
fn next_fires(view: &View, schedule: &Schedule) -> Markup {
    let zone = schedule.zone();
    let local = |at: DateTime<Utc>| {
        let at = at.with_timezone(&zone);
        let day = (view.words.weekdays)(chrono::Datelike::weekday(&at));
        format!("{day} {}", at.format("%Y-%m-%d %H:%M:%S %:z"))
    };
    html! {
        p.sub { (view.words.next_fires) " · " ((view.words.in_zone)(zone.name())) }
        ol.fires {
            @for at in schedule.iter_after(view.now).take(FIRES) {
                li { span { (local(at)) } " " span.faint { (time(view, at)) } }
            }
        }
    }
}

fn action<'a>(view: &'a View, job: &'a Job, verb: &str, code: &'a str, name: &'a str) -> Action<'a> {
    Action {
        code,
        to: format!("jobs/{}/{verb}", job.id),
        name,
        about: &job.job_name,
        question: Some((view.words.really)(code).to_owned()),
        is_dangerous: false,
        fields: html! {},
        back: None,
    }
}

/// The buttons of a job that lists and its own page have.
fn buttons(view: &View, job: &Job) -> Markup {
    let words = view.words;
    html! {
        @if view.caller.may(Permission::RunJobs) && job.error.is_none() {
            (action(view, job, "run", "job.run", words.run_now).button(view))
        }
        @if view.caller.may(Permission::EditJobs) {
            @match job.enabled {
                true => (action(view, job, "disable", "job.disable", words.disable).button(view)),
                false => (Action { question: None, ..action(view, job, "enable", "job.enable", words.enable) }.button(view)),
            }
        }
    }
}
