//! What a handler has logged in one run of a task or of a job.

use chrono::SecondsFormat;
use log::Level;
use maud::{Markup, html};

use super::{
    layout::{Page, Place},
    parts::{empty, number},
    view::View,
};
use crate::{
    logs::{LogLine, RunLog},
    web::{
        call::Call,
        logs::{of_job_run, of_task_run},
        problem::Problem,
    },
};

pub(super) async fn of_task(mut call: Call, view: View) -> Result<Page, Problem> {
    let log_id = call.query.text("log_id");
    call.query.finish()?;
    let id = call.id("task")?;
    let log = of_task_run(&call, log_id).await?;
    let back = html! { a href=(view.to(&format!("tasks/{id}"))) { (view.words.task) " " (id) } };
    Ok(page(&view, &log, Place::Tasks, &back, view.words.keep_logs_hint))
}

pub(super) async fn of_run(mut call: Call, view: View) -> Result<Page, Problem> {
    call.query.finish()?;
    let id = call.id("run")?;
    let log = of_job_run(&call).await?;
    let run = call.gaia().admin().run(id).await?;
    let back = html! { a href=(view.to(&format!("runs/{id}"))) { (run.job_name) " – " (id) } };
    Ok(page(&view, &log, Place::Jobs, &back, view.words.keep_job_logs_hint))
}

fn page(view: &View, log: &RunLog, place: Place, back: &Markup, hint: &str) -> Page {
    let words = view.words;
    let body = html! {
        div.head {
            h1 { (words.log) }
            @if !log.lines.is_empty() { span.sub { (number(log.lines.len())) " " (words.lines) } }
            @if !log.is_over { span.status.Running { (words.running) } }
        }
        p { (back) " · " (words.log_id) " " span.mono { (log.log_id) } }
        section.card.flush {
            @if log.lines.is_empty() {
                @match log.is_over {
                    true => (empty(words.no_lines, hint)),
                    false => (empty(words.no_lines_yet, hint)),
                }
            } @else {
                (table(view, &log.lines))
            }
        }
    };
    Page {
        title: format!("{} {}", words.log, log.log_id),
        place: Some(place),
        body,
        is_live: !log.is_over,
    }
}

fn table(view: &View, lines: &[LogLine]) -> Markup {
    let words = view.words;
    html! {
        div.scroll { table.log {
            thead { tr {
                th scope="col" { (words.at) }
                th scope="col" { (words.level) }
                th scope="col" { (words.message) }
                th scope="col" { (words.log_target) }
            } }
            tbody {
                @for (place, line) in lines.iter().enumerate() {
                    @if line.left_out > 0 {
                        tr id={ "gap-" (place) } { td colspan="4" { span.faint { ((words.lines_left_out)(line.left_out)) } } }
                    }
                    tr id={ "line-" (place) } {
                        td.mono.nowrap { (exact(view, line)) }
                        td { (level(line.level)) }
                        td.line { (line.message) }
                        td.sub.mono { (line.target) }
                    }
                }
            }
        } }
    }
}

/// The time of day to the millisecond: lines lie close to each other.
fn exact(view: &View, line: &LogLine) -> Markup {
    let title = format!("{} {}", line.at.format("%Y-%m-%d %H:%M:%S%.6f"), view.words.utc);
    html! {
        time datetime=(line.at.to_rfc3339_opts(SecondsFormat::AutoSi, true)) title=(title) { (line.at.format("%H:%M:%S%.3f")) }
    }
}

fn level(level: Level) -> Markup {
    let class = match level {
        Level::Error => "bad",
        Level::Warn => "warn",
        Level::Info | Level::Debug | Level::Trace => "",
    };
    html! { span.tag class=(class) { (level) } }
}
