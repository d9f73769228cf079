//! Bulk operations.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::paging;
use crate::{
    api::{Api, Fields},
    args::OperationCommand,
    exit::{Exit, Result},
    output::{Cell, Column, Details, Sheet, View, say, words},
    session::Session,
    watch::watched,
};

/// How often an operation is looked at.
const LOOK: Duration = Duration::from_millis(500);

const SHEET: Sheet = Sheet {
    columns: &[
        Column::number("ID", |operation, _| Cell::int(operation, "id")),
        Column::whole("STATE", |operation, _| Cell::status(&operation.text("state"))),
        Column::whole("ACTION", |operation, _| Cell::of(operation, "action")),
        Column::number("CHANGED", |operation, _| Cell::int(operation, "changed")),
        Column::number("SKIPPED", |operation, _| Cell::new(skipped(operation).to_string())),
        Column::whole("BEGAN", |operation, view| {
            Cell::new(words::in_table(operation.time("created_at"), view))
        }),
        Column::new("AUTHOR", |operation, _| Cell::of(operation, "author")),
        Column::new("REASON", |operation, _| Cell::of(operation, "reason")),
        Column::new("FILTER", |operation, _| Cell::new(filter(operation))),
        Column::whole("ENDED", |operation, view| {
            Cell::new(words::in_table(operation.time("ended_at"), view))
        })
        .for_wide(),
        Column::whole("NODE", |operation, _| Cell::of(operation, "node")).for_wide(),
    ],
    empty: "There are no bulk operations.",
    name: |operation| operation.text_of_id(),
};

pub async fn run(session: &Session, command: OperationCommand) -> Result {
    let (api, out) = (session.api().await?, &session.out);
    match command {
        OperationCommand::List { paging, watch } => {
            watched(session, watch.watch, async || {
                let rows = paging::rows(&paging, "operations", || api.get(&["operations"])).await?;
                out.list(&SHEET, &rows, &out.view(api))?;
                Ok(Exit::Done)
            })
            .await
        }
        OperationCommand::Get { id, wait: false } => {
            let operation = api.get(&["operations", &id.to_string()]).send().await?.fields()?;
            show(session, api, &operation)?;
            Ok(Exit::Done)
        }
        OperationCommand::Get { id, wait: true } => {
            let operation = followed(api, id, None).await?;
            show(session, api, &operation)?;
            Ok(end(&operation))
        }
        OperationCommand::Cancel { id, reason } => {
            let request = api
                .post(&["operations", &id.to_string(), "cancel"])
                .reason(reason.reason.as_deref());
            let operation = request.send().await?.fields()?;
            say(&format!("The operation {id} is {}.", operation.text("state")));
            out.changed(&id.to_string(), &operation)
        }
    }
}

fn show(session: &Session, api: &Api, operation: &Fields) -> Result<()> {
    let view = session.out.view(api);
    session.out.item(&SHEET, operation, || details(operation, &view))
}

fn details(operation: &Fields, view: &View) -> Details {
    let skipped: Fields = operation
        .object("skipped")
        .unwrap_or_else(|| crate::api::Pairs(Vec::new()));
    let skipped: Vec<String> = skipped
        .0
        .iter()
        .map(|(reason, count)| format!("{reason}: {}", count.get()))
        .collect();
    Details::default()
        .int_of("id", operation, "id")
        .add("state", Cell::status(&operation.text("state")))
        .text_of("action", operation, "action")
        .add("filter", Cell::new(filter(operation)))
        .int_of("changed", operation, "changed")
        .add("skipped", Cell::new(skipped.join(", ")))
        .text_of("author", operation, "author")
        .text_of("reason", operation, "reason")
        .time_of("began", operation, "created_at", view)
        .time_of("ended", operation, "ended_at", view)
        .text_of("node", operation, "node")
        .lines("error", &operation.text("error"))
}

/// The conditions of the filter that are set.
fn filter(operation: &Fields) -> String {
    let Some(filter) = operation.object("filter") else {
        return String::new();
    };
    let is_set = |text: &str| !matches!(text, "null" | "[]" | "false");
    let set: Vec<String> = filter
        .0
        .iter()
        .filter(|(_, value)| is_set(value.get()))
        .map(|(name, value)| format!("{name}={}", value.get()))
        .collect();
    set.join(" ")
}

pub fn skipped(operation: &Fields) -> i64 {
    let reasons = operation.object("skipped");
    let counts = reasons.iter().flat_map(|reasons| reasons.0.iter());
    counts.filter_map(|(_, count)| count.get().parse::<i64>().ok()).sum()
}

/// Looks at an operation until it has ended, and shows how far it has come. `most`: how many tasks it has, if that is known.
pub async fn followed(api: &Api, id: i64, most: Option<u64>) -> Result<Fields> {
    let bar = bar(most);
    loop {
        let operation = api.get(&["operations", &id.to_string()]).send().await?.fields()?;
        let changed = operation.int("changed").unwrap_or(0);
        bar.set_position(u64::try_from(changed + skipped(&operation)).unwrap_or(0));
        if operation.text("state") != "running" {
            bar.finish_and_clear();
            return Ok(operation);
        }
        actix_rt::time::sleep(LOOK).await;
    }
}

/// On the error output; hidden where that is no terminal.
fn bar(most: Option<u64>) -> ProgressBar {
    let (bar, template) = match most {
        Some(most) => (
            ProgressBar::new(most),
            "{bar:40} {human_pos} of {human_len} tasks, {elapsed}, about {eta} more",
        ),
        None => (ProgressBar::new_spinner(), "{spinner} {human_pos} tasks, {elapsed}"),
    };
    bar.set_draw_target(ProgressDrawTarget::stderr());
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// The exit code for the end of an operation.
pub fn end(operation: &Fields) -> Exit {
    let changed = operation.int("changed").unwrap_or(0);
    match (operation.text("state").as_str(), skipped(operation), changed) {
        ("done", 0, _) => Exit::Done,
        ("done", _, 0) => Exit::NotAllowed,
        ("done" | "cancelled", _, _) => Exit::Part,
        (_, _, 0) => Exit::Failed,
        _ => Exit::Part,
    }
}

/// What an operation has done, in one sentence.
pub fn told(operation: &Fields) -> String {
    let changed = words::counted(operation.int("changed").unwrap_or(0), "task", "tasks");
    let reasons = operation.object("skipped").map(|reasons| reasons.0).unwrap_or_default();
    let reasons: Vec<String> = reasons
        .iter()
        .map(|(reason, count)| format!("{} ({reason})", count.get()))
        .collect();
    let left = match reasons.is_empty() {
        true => String::new(),
        false => format!("; left as they were: {}", reasons.join(", ")),
    };
    let state = match operation.text("state").as_str() {
        "done" => String::new(),
        state => format!(" The operation is {state}. {}", operation.text("error")),
    };
    format!("{}: {changed}{left}.{}", operation.text("action"), state.trim_end())
}
