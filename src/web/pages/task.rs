//! One task: its life, its fields, its arguments, and every attempt.

use std::{borrow::Cow, fmt::Write};

use chrono::{DateTime, Utc};
use maud::{Markup, html};
use serde::de::IgnoredAny;

use super::{
    layout::{Page, Place},
    parts::{
        Action, empty, lasting, lines_link, log_link, method_link, node_link, number, status, theme_link, time,
        time_or_none, with_query,
    },
    tasks::{beginning, due, duration, named, query},
    view::View,
};
use crate::{
    domain::{ActionOnTask, ExecRecord, Page as RecordPage, Task, TaskStatus, WaitKind},
    line,
    web::{call::Call, permission::Permission, problem::Problem, redact::Shown, tasks},
};

/// How much of a text the page shows, in bytes: of the task, and of each attempt.
const SHOWN: usize = 64 << 10;
const SHOWN_OF_ATTEMPT: usize = 4 << 10;

/// A text up to this length is open from the beginning.
const OPEN: usize = 2_000;

/// JSON that is nested more deeply is shown as it stands: its indents would be longer than its values.
const DEPTH: usize = 32;

pub(super) async fn show(mut call: Call, view: View) -> Result<Page, Problem> {
    let page = tasks::page(&mut call.query);
    call.query.finish()?;
    let (task, records) = tasks::shown_with_records(&call, page).await?;
    let (task, args_hidden) = task.into_parts();
    let scheduler = call.gaia().scheduler(&task.theme);
    let may_retry = scheduler.is_ok_and(|scheduler| scheduler.may_retry(task.status));
    let body = html! {
        (head(&view, &task, may_retry))
        @if task.cancel_requested && !task.status.is_finished() {
            p.notice.warn role="status" { (view.words.cancel_requested) }
        }
        section.card aria-label=(view.words.life) {
            (life(&view, &task))
            (progress(&view, &task))
        }
        @if let Some(error) = &task.last_error { (last_error(&view, &task, error)) }
        div.columns {
            section.card { h2 { (view.words.facts) } (facts(&view, &task)) }
            section.card.texts { (args_and_result(&view, &task, args_hidden)) }
        }
        (attempts(&view, &task, &records))
    };
    Ok(Page {
        title: format!("{} {}", task.id, beginning(&task.name, 60)),
        place: Some(Place::Tasks),
        body,
        is_live: !task.status.is_finished(),
    })
}

fn head(view: &View, task: &Task, may_retry: bool) -> Markup {
    html! {
        div.head {
            h1 { (named(view.words, &task.name)) }
            span.sub.mono { "#" (task.id) }
            (status(view, task.status))
            div.actions { (actions(view, task, may_retry)) }
        }
    }
}

// ---- actions ----

fn actions(view: &View, task: &Task, may_retry: bool) -> Markup {
    let words = view.words;
    let is_possible = |action: ActionOnTask, permission: Permission| {
        view.caller.may(permission) && action.allowed_from().contains(&task.status)
    };
    let about = format!("#{} {}.{}", task.id, task.service, task.method);
    let button = |code: &str, path: &str, name: &str, back: Option<&str>| {
        let asks = matches!(path, "cancel" | "delete");
        let action = Action {
            code,
            to: format!("tasks/{}/{path}", task.id),
            name,
            about: &about,
            question: asks.then(|| (words.really)(code).to_owned()),
            is_dangerous: path == "delete",
            fields: html! {},
            back,
        };
        action.button(view)
    };
    html! {
        @if is_possible(ActionOnTask::RunNow, Permission::Retry) && may_be_brought_forward(task) {
            (button("task.run_now", "run_now", words.run_now, None))
        }
        @if may_retry && view.caller.may(Permission::Retry) { (button("task.retry", "retry", words.retry, None)) }
        @if is_possible(ActionOnTask::Cancel, Permission::Cancel) && !task.cancel_requested {
            (button("task.cancel", "cancel", words.cancel, None))
        }
        @if is_possible(ActionOnTask::Delete, Permission::Delete) {
            (button("task.delete", "delete", words.delete, Some("tasks")))
        }
    }
}

/// Whether it could run sooner. Who waits for fewer tasks with its limit key would only wait again.
fn may_be_brought_forward(task: &Task) -> bool {
    task.run_at.is_some()
        || task
            .waits_for
            .is_some_and(|waits_for| waits_for.kind != WaitKind::Limit)
}

// ---- its life ----

/// Where a task stands, seen from one of the steps of its life.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Past,
    Now,
    Next,
}

/// The state machine of a task, with the way that this one has gone.
fn life(view: &View, task: &Task) -> Markup {
    let words = view.words;
    let has_run = task.last_run_time.is_some();
    let is_retried = task.retry_time > 0 || task.status == TaskStatus::Retry;
    let step = |of: TaskStatus, is_past: bool| match task.status == of {
        true => Step::Now,
        false if is_past => Step::Past,
        false => Step::Next,
    };
    let is_over = task.status.is_finished();
    let has_ended_before = is_retried && task.status != TaskStatus::Running;
    let began = task.last_run_time.filter(|_| task.status != TaskStatus::Wait);
    let next = task.run_at.filter(|_| task.status == TaskStatus::Wait);
    let next_attempt = task.run_at.filter(|_| task.status == TaskStatus::Retry);
    html! {
        ol.life {
            li.past { span.status { (words.created) } (at(view, task.create_time)) }
            (stage(view, TaskStatus::Wait, step(TaskStatus::Wait, true), &at(view, next)))
            (stage(view, TaskStatus::Running, step(TaskStatus::Running, has_run && task.status != TaskStatus::Wait), &html! {
                @if began.is_some() && has_ended_before { small { (words.last_attempt) ":" } }
                (at(view, began))
            }))
            @if is_retried {
                (stage(view, TaskStatus::Retry, step(TaskStatus::Retry, task.status != TaskStatus::Wait), &html! {
                    small { ((words.times_retried)(task.retry_time.into())) }
                    (at(view, next_attempt))
                }))
            }
            @if is_over {
                (stage(view, task.status, Step::Now, &at(view, task.last_run_end_time.or(task.update_time))))
            } @else {
                li.ends {
                    @for end in [TaskStatus::Success, TaskStatus::Failed, TaskStatus::Cancelled] { (status(view, end)) }
                    span.visually-hidden { (words.next_step) }
                }
            }
        }
    }
}

fn stage(view: &View, of: TaskStatus, step: Step, more: &Markup) -> Markup {
    let words = view.words;
    html! {
        li.past[step == Step::Past].now[step == Step::Now] aria-current=[(step == Step::Now).then_some("step")] {
            (status(view, of))
            @match step {
                Step::Past => span.visually-hidden { (words.past_step) },
                Step::Next => span.visually-hidden { (words.next_step) },
                Step::Now => {}
            }
            (more)
        }
    }
}

fn at(view: &View, when: Option<DateTime<Utc>>) -> Markup {
    html! { @if let Some(when) = when { small { (time(view, when)) } } }
}

fn progress(view: &View, task: &Task) -> Markup {
    let note = task.progress_note.as_deref().filter(|note| !note.is_empty());
    // Success says it already.
    let percent = task.progress.filter(|_| task.status != TaskStatus::Success);
    html! {
        @if percent.is_some() || note.is_some() {
            div.progress {
                @if let Some(percent) = percent {
                    progress max="100" value=(percent.clamp(0, 100)) aria-label=(view.words.progress) {}
                    strong { (percent) " %" }
                }
                @if let Some(note) = note { span.faint { (beginning(note, 500)) } }
            }
        }
    }
}

// ---- facts ----

fn facts(view: &View, task: &Task) -> Markup {
    let words = view.words;
    let nothing = || html! { span.faint { "–" } };
    let has_ended = task.last_run_end_time.is_some();
    let same_key = |name: &str, key: &str| view.to(&with_query("tasks", &[(name, key)]));
    html! {
        dl.facts.tight {
            dt { (words.id) } dd.mono { (task.id) }
            dt { (words.method) } dd { (method_link(view, Some(&task.theme), &task.service, &task.method)) }
            dt { (words.theme) } dd { (theme_link(view, &task.theme)) }
            dt { (words.priority) } dd { (task.priority) }
            dt { (words.retries_used) }
            dd {
                ((words.attempt_of)(task.retry_time.into(), task.max_retry_time.into()))
                @if task.status == TaskStatus::Failed && task.retry_time < task.max_retry_time {
                    " – " span.sub { (words.not_retried) }
                }
            }
            dt { (words.created) } dd { (time_or_none(view, task.create_time)) }
            dt { (words.due_at) } dd { (due(view, task.status, task.waits_for, task.run_at.or(task.update_time))) }
            dt { (words.started) } dd { (time_or_none(view, task.last_run_time)) }
            dt { (words.ended) } dd { (time_or_none(view, task.last_run_end_time.filter(|_| task.status != TaskStatus::Running))) }
            dt { (words.duration) }
            dd { (duration(view, task.status, task.last_run_time, has_ended.then_some(task.last_run_duration))) }
            dt { (words.timeout) }
            dd { @match task.timeout { Some(timeout) => (lasting(view, timeout)), None => span.faint { (words.own_timeout) } } }
            dt { (words.node) } dd { @match &task.node { Some(node) => (node_link(view, node)), None => (nothing()) } }
            dt { (words.unique_key) }
            dd { @match &task.unique_key { Some(key) => a.mono href=(same_key("unique_key", key)) { (key) }, None => (nothing()) } }
            dt { (words.limit_key) }
            dd { @match &task.limit_key { Some(key) => a.mono href=(same_key("limit_key", key)) { (key) }, None => (nothing()) } }
            @if let Some(tenant) = &task.tenant_id { dt { (words.tenant) } dd.mono { (tenant) } }
            dt { (words.trace) }
            dd { @match trace_of(task) { Some(trace) => span.mono { (trace) }, None => (nothing()) } }
            dt { (words.log_id) }
            dd {
                @match &task.log_id {
                    Some(log) => { (log_link(view, log)) (lines_link(view, &format!("tasks/{}/log", task.id))) }
                    None => (nothing()),
                }
            }
            dt { (words.updated) } dd { (time_or_none(view, task.update_time)) }
        }
    }
}

/// The id of its trace, by which tracing programs find the trace.
fn trace_of(task: &Task) -> Option<&str> {
    task.traceparent.as_deref()?.split('-').nth(1)
}

// ---- its texts ----

fn last_error(view: &View, task: &Task, error: &str) -> Markup {
    html! {
        section.card {
            h2 { (view.words.error) }
            (text(view, error, SHOWN, &whole(view, task)))
        }
    }
}

/// Where the API shows the whole task.
fn whole(view: &View, task: &Task) -> String {
    view.to(&format!("api/v1/tasks/{}", task.id))
}

fn args_and_result(view: &View, task: &Task, args_hidden: bool) -> Markup {
    let words = view.words;
    let whole = whole(view, task);
    html! {
        h2 { (words.args) }
        @if args_hidden {
            p.faint { (words.hidden) }
        } @else if task.arg.trim() == "null" {
            p.faint { (words.no_args) }
        } @else {
            (folded(view, "args", words.args, &task.arg, &whole))
        }
        h2 { (words.result) }
        @if args_hidden {
            p.faint { (words.hidden) }
        } @else {
            @match &task.last_result {
                Some(result) => (folded(view, "result", words.result, result, &whole)),
                None => p.faint { (words.none) },
            }
        }
    }
}

fn folded(view: &View, id: &str, name: &str, content: &str, whole: &str) -> Markup {
    html! {
        details.fold id=(id) open[content.len() <= OPEN] {
            summary { span.visually-hidden { (name) " " } (number(content.len() as u64)) " B" }
            (text(view, content, SHOWN, whole))
        }
    }
}

/// A text that may be long, with its JSON in lines.
fn text(view: &View, text: &str, most: usize, whole: &str) -> Markup {
    let words = view.words;
    let shown = line::beginning(text, most);
    html! {
        @if shown.len() < text.len() {
            p.sub { ((words.cut)(text.len() as u64)) " " a href=(whole) { (words.whole_text) } }
            pre tabindex="0" { (shown) }
        } @else {
            pre tabindex="0" { (in_lines(text)) }
        }
    }
}

/// JSON with each value in a line. Only the blanks between values change: a number keeps its digits, whatever their count. A
/// text that is no JSON stays as it is.
fn in_lines(text: &str) -> Cow<'_, str> {
    let starts_a_list = text.trim_start().starts_with(['{', '[']);
    match starts_a_list && depth(text) <= DEPTH && serde_json::from_str::<IgnoredAny>(text).is_ok() {
        true => Cow::Owned(indented(text)),
        false => Cow::Borrowed(text),
    }
}

/// How deeply arrays and objects lie in each other, at most; signs within texts count, too.
fn depth(json: &str) -> usize {
    let (mut now, mut most) = (0_usize, 0);
    for byte in json.bytes() {
        match byte {
            b'{' | b'[' => now += 1,
            b'}' | b']' => now = now.saturating_sub(1),
            _ => {}
        }
        most = most.max(now);
    }
    most
}

fn indented(json: &str) -> String {
    let mut lines = String::with_capacity(json.len() * 2);
    let mut depth = 0_usize;
    let mut chars = json.chars().peekable();
    let new_line = |lines: &mut String, depth: usize| {
        // Writing to a text cannot fail.
        let _ = write!(lines, "\n{:1$}", "", depth * 2);
    };
    while let Some(char) = chars.next() {
        match char {
            '"' => {
                lines.push('"');
                while let Some(char) = chars.next() {
                    lines.push(char);
                    match char {
                        '"' => break,
                        '\\' => lines.extend(chars.next()),
                        _ => {}
                    }
                }
            }
            '{' | '[' => {
                lines.push(char);
                while chars.next_if(char::is_ascii_whitespace).is_some() {}
                if let Some(end) = chars.next_if(|next| matches!(next, '}' | ']')) {
                    lines.push(end);
                } else {
                    depth += 1;
                    new_line(&mut lines, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut lines, depth);
                lines.push(char);
            }
            ',' => {
                lines.push(',');
                new_line(&mut lines, depth);
            }
            ':' => lines.push_str(": "),
            blank if blank.is_ascii_whitespace() => {}
            other => lines.push(other),
        }
    }
    lines
}

// ---- its attempts ----

fn attempts(view: &View, task: &Task, records: &RecordPage<Shown<ExecRecord>>) -> Markup {
    let words = view.words;
    html! {
        section.card.flush {
            h2 { (words.attempts) @if records.total > 0 { " " span.sub { (number(records.total)) } } }
            @if records.items.is_empty() {
                (empty(words.no_attempts, ""))
            } @else {
                div.scroll tabindex="0" role="region" aria-label=(words.attempts) { table {
                    thead { tr {
                        th.n scope="col" { (words.attempt_number) }
                        th scope="col" { (words.status) }
                        th scope="col" { (words.started) }
                        th.n scope="col" { (words.duration) }
                        th scope="col" { (words.node) }
                        th scope="col" { (words.log_id) }
                        th scope="col" { (words.error) " / " (words.result) }
                    } }
                    tbody { @for record in &records.items { (attempt(view, task, record, records.page)) } }
                } }
            }
            (pager(view, task, records))
        }
    }
}

fn attempt(view: &View, task: &Task, shown: &Shown<ExecRecord>, page: u32) -> Markup {
    let (record, words) = (shown.row(), view.words);
    let whole = view.to(&format!("api/v1/tasks/{}/records?page={page}", task.id));
    html! {
        tr id={ "attempt-" (record.id) } {
            td.n { @match record.attempt { Some(attempt) => (attempt), None => "–" } }
            td { @match record.status.parse() { Ok(known) => (status(view, known)), Err(_) => span.tag { (record.status) } } }
            td { (time_or_none(view, record.run_time)) }
            td.n { (lasting(view, record.duration)) }
            td { @match &record.node { Some(node) => (node_link(view, node)), None => span.faint { "–" } } }
            td {
                @match &record.log_id {
                    Some(log) => { (log_link(view, log)) (lines_link(view, &with_query(&format!("tasks/{}/log", task.id), &[("log_id", log)]))) }
                    None => span.faint { "–" },
                }
            }
            td.wide {
                @if let Some(error) = &record.error {
                    details.fold id={ "error-" (record.id) } {
                        summary { span.error { (beginning(error.lines().next().unwrap_or_default(), 100)) } }
                        (text(view, error, SHOWN_OF_ATTEMPT, &whole))
                    }
                }
                @if let Some(result) = record.result.as_deref().filter(|result| *result != "null") {
                    details.fold id={ "result-" (record.id) } {
                        summary { (words.result) }
                        (text(view, result, SHOWN_OF_ATTEMPT, &whole))
                    }
                }
            }
        }
    }
}

fn pager(view: &View, task: &Task, records: &RecordPage<Shown<ExecRecord>>) -> Markup {
    let words = view.words;
    let size = i64::from(records.page_size.max(1));
    let pages = records.total.max(0).unsigned_abs().div_ceil(size.unsigned_abs());
    let place = |page: u32| {
        let parameters = [("page", page.to_string()), ("page_size", records.page_size.to_string())];
        view.to(&query(&format!("tasks/{}", task.id), &parameters))
    };
    html! {
        @if pages > 1 || records.page > 1 {
            nav.pager aria-label=(words.attempts) {
                @if records.page > 1 { a.button href=(place(records.page - 1)) { "« " (words.newer_page) } }
                @if u64::from(records.page) < pages { a.button href=(place(records.page + 1)) { (words.older) " »" } }
                span.faint { ((words.page_of)(records.page.into(), pages)) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_in_lines_keeps_every_value() {
        let json = r#"{"a":[1,{"b":12345678901234567890.10,"c":[]}],"d":"x,{\"y\":1}","e":{ } }"#;
        let lines = "{\n  \"a\": [\n    1,\n    {\n      \"b\": 12345678901234567890.10,\n      \"c\": []\n    }\n  ],\n  \"d\": \
                     \"x,{\\\"y\\\":1}\",\n  \"e\": {}\n}";
        assert_eq!(in_lines(json), lines);
        for as_it_is in ["", "7", "\"a\"", "{\"a\":}", "[1,2", "no JSON [", &"[".repeat(100)] {
            assert_eq!(in_lines(as_it_is), as_it_is);
        }
        let deep = format!("{}{}", "[".repeat(DEPTH + 1), "]".repeat(DEPTH + 1));
        assert_eq!(in_lines(&deep), deep);
    }
}
