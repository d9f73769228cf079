//! Tasks as a file: JSON lines or CSV, of any length, with little of it in memory.

use std::{cell::Cell, io, rc::Rc, str::FromStr, sync::Arc, time::Duration};

use actix_web::{
    HttpResponse,
    http::header::{CONTENT_DISPOSITION, CONTENT_TYPE},
    web::Bytes,
};
use chrono::{DateTime, SecondsFormat, Utc};
use futures_util::stream;
use tokio::sync::mpsc;

use super::{
    Shared,
    access::Caller,
    call::Call,
    filter,
    limits::Turn,
    problem::Problem,
    redact::{Eyes, Shown},
};
use crate::domain::{SearchTasks, Task};

/// How many tasks a file has unless the caller says otherwise, and at most.
const TASKS: u32 = 100_000;
const MOST_TASKS: u32 = 10_000_000;

/// How many tasks are read at a time.
const PAGE: u32 = 200;

/// How long a client may take nothing before the export ends.
const PATIENCE: Duration = Duration::from_secs(60);

/// The form of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Lines,
    Csv,
}

impl FromStr for Format {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "jsonl" => Ok(Self::Lines),
            "csv" => Ok(Self::Csv),
            _ => Err("expected jsonl or csv"),
        }
    }
}

impl Format {
    const fn content_type(self) -> &'static str {
        match self {
            Self::Lines => "application/jsonl",
            Self::Csv => "text/csv; charset=utf-8; header=present",
        }
    }

    const fn disposition(self) -> &'static str {
        match self {
            Self::Lines => "attachment; filename=\"tasks.jsonl\"",
            Self::Csv => "attachment; filename=\"tasks.csv\"",
        }
    }
}

pub(super) async fn export(mut call: Call) -> Result<HttpResponse, Problem> {
    let asked = filter::read(&mut call);
    let format = call.query.value("format").unwrap_or(Format::Lines);
    let left = call.query.number("max", 1..=MOST_TASKS, TASKS);
    call.query.finish()?;
    let filter = asked.limited_to(&call.caller)?.filter;
    let place = call.shared().options.limits.export().await?;
    let mut export = Export {
        place,
        shared: Arc::clone(call.shared()),
        caller: call.caller.clone(),
        format,
        search: SearchTasks {
            filter,
            ..SearchTasks::default()
        },
        left,
        has_begun: false,
        written: 0,
        is_over: false,
    };
    let mut response = HttpResponse::Ok();
    response
        .insert_header((CONTENT_TYPE, format.content_type()))
        .insert_header((CONTENT_DISPOSITION, format.disposition()));
    if call.is_head() {
        return Ok(response.finish());
    }
    // A fault of the filter or of the database is known before the answer begins.
    let turn = call.search().await?;
    let first = export.next().await?;
    drop(turn);
    Ok(response.streaming(export.into_body(first)))
}

/// An export on its way.
struct Export {
    #[expect(dead_code, reason = "it is given back when the export ends")]
    place: Turn,
    shared: Arc<Shared>,
    caller: Caller,
    format: Format,
    search: SearchTasks,
    /// How many tasks may follow.
    left: u32,
    has_begun: bool,
    written: u64,
    is_over: bool,
}

impl Export {
    /// The next part of the file. It may be empty: the search has looked at many tasks and found none.
    async fn next(&mut self) -> Result<Bytes, Problem> {
        self.search.limit = self.left.min(PAGE);
        let page = self.shared.gaia.admin().export_tasks(self.search.clone()).await?;
        self.search.before = page.next;
        self.left = self
            .left
            .saturating_sub(u32::try_from(page.tasks.len()).unwrap_or(PAGE));
        self.is_over = page.next.is_none() || self.left == 0;
        let eyes = Eyes::new(&self.caller, self.shared.options.redact.as_ref());
        let is_first = !std::mem::replace(&mut self.has_begun, true);
        self.written += page.tasks.len() as u64;
        let tasks = page.tasks.into_iter().map(|task| eyes.task(task));
        match self.format {
            Format::Lines => lines(tasks),
            Format::Csv => csv_rows(tasks, is_first),
        }
    }

    /// The parts of the file. They are read in another task of this thread, one part ahead of the client. If that task ends before the file
    /// does, the last part is an error, so that the client sees a broken transfer.
    fn into_body(mut self, first: Bytes) -> impl stream::Stream<Item = io::Result<Bytes>> {
        let is_whole = Rc::new(Cell::new(false));
        let (sender, receiver) = mpsc::channel(1);
        let has_ended = Rc::clone(&is_whole);
        actix_web::rt::spawn(async move {
            let ended = self.send_all(first, &sender).await;
            let (name, written) = (self.caller.name(), self.written);
            match ended {
                Ok(()) => {
                    has_ended.set(true);
                    say!(Info, "HTTP: {name}: export of {written} tasks");
                }
                Err(why) => say!(Error, "HTTP: {name}: the export broke off after {written} tasks: {why}"),
            }
        });
        stream::unfold((receiver, is_whole), |(mut receiver, is_whole)| async move {
            match receiver.recv().await {
                Some(part) => Some((Ok(part), (receiver, is_whole))),
                None if is_whole.replace(true) => None,
                None => Some((Err(io::Error::other("the export broke off")), (receiver, is_whole))),
            }
        })
    }

    async fn send_all(&mut self, first: Bytes, sender: &mpsc::Sender<Bytes>) -> Result<(), String> {
        let mut part = first;
        loop {
            if !part.is_empty() {
                match tokio::time::timeout(PATIENCE, sender.send(part)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return Err("the client has hung up".to_owned()),
                    Err(_) => return Err(format!("the client has taken nothing for {PATIENCE:?}")),
                }
            }
            if self.is_over {
                return Ok(());
            }
            if sender.is_closed() {
                return Err("the client has hung up".to_owned());
            }
            let turn = self.shared.options.limits.search_at_last().await;
            part = self.next().await.map_err(|problem| problem.detail().to_owned())?;
            drop(turn);
        }
    }
}

fn lines(tasks: impl Iterator<Item = Shown<Task>>) -> Result<Bytes, Problem> {
    let mut text = String::new();
    for task in tasks {
        let line = serde_json::to_string(&task).map_err(|error| Problem::unwritable(&error))?;
        // Arguments and results keep their texts, which may have line breaks between their values. No JSON text has one in it.
        text.push_str(&line.replace(['\n', '\r'], " "));
        text.push('\n');
    }
    Ok(text.into())
}

const COLUMNS: [&str; 27] = [
    "id",
    "theme",
    "service",
    "method",
    "name",
    "status",
    "retry_time",
    "max_retry_time",
    "priority",
    "run_at",
    "waits_for",
    "timeout_ms",
    "unique_key",
    "limit_key",
    "node",
    "cancel_requested",
    "progress",
    "progress_note",
    "last_run_time",
    "last_run_end_time",
    "last_run_duration",
    "log_id",
    "create_time",
    "update_time",
    "args",
    "last_result",
    "last_error",
];

fn csv_rows(tasks: impl Iterator<Item = Shown<Task>>, with_header: bool) -> Result<Bytes, Problem> {
    let mut writer = csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .from_writer(Vec::new());
    if with_header {
        writer
            .write_record(COLUMNS)
            .map_err(|error| Problem::unwritable(&error))?;
    }
    for task in tasks {
        writer
            .write_record(cells(task))
            .map_err(|error| Problem::unwritable(&error))?;
    }
    let bytes = writer.into_inner();
    Ok(bytes.map_err(|error| Problem::unwritable(&error))?.into())
}

fn cells(task: Shown<Task>) -> [String; COLUMNS.len()] {
    let (task, args_hidden) = task.into_parts();
    [
        task.id.to_string(),
        text(task.theme),
        text(task.service),
        text(task.method),
        text(task.name),
        task.status.to_string(),
        task.retry_time.to_string(),
        task.max_retry_time.to_string(),
        task.priority.to_string(),
        time(task.run_at),
        task.waits_for.map_or_else(String::new, |waits| waits.to_string()),
        number(task.timeout.map(|timeout| timeout.as_millis())),
        text(task.unique_key.unwrap_or_default()),
        text(task.limit_key.unwrap_or_default()),
        text(task.node.unwrap_or_default()),
        task.cancel_requested.to_string(),
        number(task.progress),
        text(task.progress_note.unwrap_or_default()),
        time(task.last_run_time),
        time(task.last_run_end_time),
        task.last_run_duration.as_millis().to_string(),
        text(task.log_id.unwrap_or_default()),
        time(task.create_time),
        time(task.update_time),
        if args_hidden { String::new() } else { text(task.arg) },
        text(task.last_result.unwrap_or_default()),
        text(task.last_error.unwrap_or_default()),
    ]
}

/// A text that no program for tables takes for a formula.
fn text(text: String) -> String {
    match text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        true => format!("'{text}"),
        false => text,
    }
}

fn time(time: Option<DateTime<Utc>>) -> String {
    time.map_or_else(String::new, |time| time.to_rfc3339_opts(SecondsFormat::AutoSi, true))
}

fn number(number: Option<impl ToString>) -> String {
    number.map_or_else(String::new, |number| number.to_string())
}

pub(super) mod described {
    use utoipa::openapi::{Content, ObjectBuilder, Type};

    use super::{MOST_TASKS, TASKS};
    use crate::{
        domain::Task,
        web::{
            filter,
            openapi::{
                Described,
                schemas::{number, one_of},
            },
            redact::Shown,
        },
    };

    pub(in crate::web) fn export() -> Described {
        let content = |what: &str| {
            let file = ObjectBuilder::new().schema_type(Type::String).description(Some(what));
            Content::new(Some(file))
        };
        let lines = content("Lines of JSON, each of them a `ShownTask`.");
        let table = content("A table with a row for each task, below a row with the names of the columns.");
        filter::described::asked(Described::new())
            .query(
                "format",
                one_of(&["jsonl", "csv"]),
                "The form of the file; `jsonl`, unless told otherwise.",
            )
            .query("max", number(&(1..=MOST_TASKS), TASKS), "The most tasks of the file.")
            .with::<Shown<Task>>()
            .answer_content(200, "application/jsonl", lines, WHAT)
            .answer_content(200, "text/csv", table, WHAT)
            .refuses(429, &["too_many_searches"])
    }

    const WHAT: &str = "The tasks. A file that breaks off has no last chunk.";
}
