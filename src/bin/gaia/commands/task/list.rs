//! Finding tasks.

use gaia_actors::WaitsFor;

use crate::{
    api::{Api, Fields, Request},
    args::FindTasks,
    commands::paging,
    exit::{Exit, Result},
    output::{Cell, Column, Sheet, Tone, View, words},
    select,
    session::Session,
    watch::watched,
};

pub const SHEET: Sheet = Sheet {
    columns: &[
        Column::number("ID", |task, _| Cell::int(task, "id")),
        Column::whole("STATUS", |task, _| Cell::status(&task.text("status"))),
        Column::new("THEME", |task, _| Cell::of(task, "theme")),
        Column::new("METHOD", |task, _| Cell::new(method(task))),
        Column::new("NAME", |task, _| Cell::of(task, "name")),
        Column::whole("ADDED", |task, view| {
            Cell::new(words::in_table(task.time("create_time"), view))
        }),
        Column::whole("TOOK", |task, _| Cell::new(took(task))),
        Column::new("NOTE", note),
        Column::whole("RETRIES", |task, _| Cell::new(retries(task))).for_wide(),
        Column::number("PRIORITY", |task, _| Cell::int(task, "priority")).for_wide(),
        Column::whole("RUN AT", |task, view| {
            Cell::new(words::in_table(task.time("run_at"), view))
        })
        .for_wide(),
        Column::whole("ENDED", |task, view| {
            Cell::new(words::in_table(task.time("last_run_end_time"), view))
        })
        .for_wide(),
        Column::whole("UNIQUE KEY", |task, _| Cell::of(task, "unique_key")).for_wide(),
        Column::whole("LIMIT KEY", |task, _| Cell::of(task, "limit_key")).for_wide(),
        Column::whole("NODE", |task, _| Cell::of(task, "node")).for_wide(),
        Column::whole("LOG ID", |task, _| Cell::of(task, "log_id")).for_wide(),
    ],
    empty: "No task meets the search.",
    name: |task| task.text_of_id(),
};

pub fn method(task: &Fields) -> String {
    format!("{}.{}", task.text("service"), task.text("method"))
}

/// How long the last run took; nothing while it goes on, or before it.
fn took(task: &Fields) -> String {
    let millis = task
        .int("last_run_duration_ms")
        .or_else(|| task.int("last_run_duration"));
    match task.time("last_run_end_time") {
        Some(_) => millis.map(words::millis).unwrap_or_default(),
        None => String::new(),
    }
}

pub fn retries(task: &Fields) -> String {
    format!(
        "{} of {}",
        task.int("retry_time").unwrap_or(0),
        task.int("max_retry_time").unwrap_or(0)
    )
}

/// What matters most of a task: that it is to stop, its progress, when it runs, why it failed.
fn note(task: &Fields, view: &View) -> Cell {
    let error = task
        .object("last_error")
        .map(|error| error.text("text"))
        .unwrap_or_default();
    let status = task.text("status");
    match status.as_str() {
        "Running" if task.flag("cancel_requested") => Cell::new("is asked to stop").toned(Tone::Warning),
        "Running" => Cell::new(progress(task)),
        "Wait" | "Retry" => {
            let due = task
                .time("run_at")
                .map(|at| format!("due {}", words::ago(at, view.now)))
                .or_else(|| waits_for(task));
            let parts: Vec<String> = due
                .into_iter()
                .chain(Some(error).filter(|error| !error.is_empty()))
                .collect();
            Cell::new(parts.join(": "))
        }
        "Failed" => Cell::new(error).toned(Tone::Bad),
        _ => Cell::new(""),
    }
}

/// For what the task waits.
pub fn waits_for(task: &Fields) -> Option<String> {
    let waits_for: WaitsFor = task.get("waits_for")?;
    Some(waits_for.to_string())
}

pub fn progress(task: &Fields) -> String {
    let percent = task.int("progress").map(|percent| format!("{percent} %"));
    let note = Some(task.text("progress_note")).filter(|note| !note.is_empty());
    let parts: Vec<String> = percent.into_iter().chain(note).collect();
    parts.join(" ")
}

pub async fn run(session: &Session, find: FindTasks) -> Result {
    let (api, out) = (session.api().await?, &session.out);
    let line = select::line(&find.search);
    watched(session, find.watch.watch, async || {
        if find.count {
            return count(session, asked(api, "tasks", &line, &find.theme)).await;
        }
        let rows = paging::rows(&find.paging, "tasks", || asked(api, "tasks", &line, &find.theme)).await?;
        out.list(&SHEET, &rows, &out.view(api))?;
        Ok(Exit::Done)
    })
    .await
}

/// A request for the tasks that meet a search line and are of these themes.
fn asked<'a>(api: &'a Api, route: &str, line: &str, themes: &[String]) -> Request<'a> {
    let line = Some(line).filter(|line| !line.is_empty());
    api.get(&[route]).maybe("q", line).each("theme", themes)
}

async fn count(session: &Session, request: Request<'_>) -> Result {
    let found = request
        .query("limit", 1)
        .query("count", "capped")
        .send()
        .await?
        .fields()?;
    let Some(count) = found.object("count") else {
        return Err(crate::exit::Failure::away("the answer of the server has no count"));
    };
    let more = if count.flag("more") { "+" } else { "" };
    session
        .out
        .changed(&format!("{}{more}", count.int("tasks").unwrap_or(0)), &count)
}
