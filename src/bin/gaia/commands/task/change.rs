//! Changing one task, or many.

use gaia_actors::admin::{BulkAction, BulkTasks, TaskFilter};

use super::SHEET;
use crate::{
    api::{Api, Fields},
    args::ChangeTasks,
    commands::operation,
    confirm::confirm,
    exit::{Exit, Failure, Result},
    output::{Format, say, words},
    select::Selection,
    session::Session,
};

/// One of the changes that a task can undergo.
#[derive(Clone, Copy)]
pub struct Change {
    action: BulkAction,
    /// The last part of the path; none: the task itself is deleted.
    path: Option<&'static str>,
    /// As in "Cancel 12 tasks?".
    verb: &'static str,
    /// As in "the task 17 is queued again".
    done: &'static str,
}

pub const CANCEL: Change = Change {
    action: BulkAction::Cancel,
    path: Some("cancel"),
    verb: "Cancel",
    done: "cancelled",
};
pub const RETRY: Change = Change {
    action: BulkAction::Retry,
    path: Some("retry"),
    verb: "Retry",
    done: "queued again",
};
pub const RUN_NOW: Change = Change {
    action: BulkAction::RunNow,
    path: Some("run_now"),
    verb: "Run now",
    done: "due now",
};
pub const DELETE: Change = Change {
    action: BulkAction::Delete,
    path: None,
    verb: "Delete",
    done: "deleted",
};

/// How many tasks an operation changes before it counts as a long one.
const AT_ONCE: u64 = 1_000;

pub async fn run(session: &Session, change: Change, args: ChangeTasks) -> Result {
    let selection = Selection::read(&args.selection, args.all)?;
    let api = session.api().await?;
    match selection {
        Selection::Ids(ids) if ids.is_empty() => {
            say("The standard input has no id, so no task is meant; nothing was done.");
            Ok(Exit::Done)
        }
        Selection::Ids(ids) if ids.len() == 1 && !args.dry_run && args.expect.is_none_or(|count| count == 1) => {
            one(session, api, change, ids[0], &args).await
        }
        selection => many(session, api, change, selection, &args).await,
    }
}

async fn one(session: &Session, api: &Api, change: Change, id: i64, args: &ChangeTasks) -> Result {
    let id = id.to_string();
    let request = match change.path {
        Some(path) => api.post(&["tasks", &id, path]),
        None => api.delete(&["tasks", &id]),
    };
    let answer = request.reason(args.reason.reason.as_deref()).send().await?;
    say(&match answer.status {
        202 => format!("The task {id} runs, and its handler is asked to stop."),
        _ => format!("The task {id} is {}.", change.done),
    });
    match answer.body.is_empty() {
        true => session.out.changed(
            &id,
            &serde_json::from_str(&format!("{{\"id\":{id}}}")).map_err(|error| Failure::failed(error.to_string()))?,
        ),
        false => session.out.changed(&id, &answer.fields()?),
    }
}

async fn many(session: &Session, api: &Api, change: Change, selection: Selection, args: &ChangeTasks) -> Result {
    let (all, are_named) = (selection == Selection::All, matches!(selection, Selection::Ids(_)));
    let mut bulk = BulkTasks {
        all,
        ..BulkTasks::new(change.action, filter(api, selection).await?)
    };
    let preview = api
        .post(&["tasks", "bulk", "preview"])
        .json(&bulk)?
        .send()
        .await?
        .fields()?;
    let count = preview.get::<u64>("tasks").unwrap_or(0);
    let more = preview.flag("more");
    expected(args.expect, count, more)?;
    if args.dry_run {
        return dry_run(session, api, change, &preview);
    }
    match (count, are_named) {
        (0, true) => {
            return Err(Failure::new(
                Exit::NotAllowed,
                "none of these tasks is there and has a status that allows the change; nothing was done",
            ));
        }
        (0, false) if !more => {
            say("No task meets the selection and allows the change; nothing was done.");
            return Ok(Exit::Done);
        }
        _ => {}
    }
    if !args.yes {
        show_samples(session, api, &preview);
        let question = format!("{} {}?", change.verb, how_many(count, more));
        if !confirm(&question)? {
            say("Nothing was done.");
            return Ok(Exit::Failed);
        }
    }
    bulk.reason.clone_from(&args.reason.reason);
    // Tasks that come to meet the filter only now were neither counted nor shown.
    bulk.most = Some(count).filter(|_| !more);
    let begun = api.post(&["tasks", "bulk"]).json(&bulk)?.send().await?.fields()?;
    let id = begun.int("id").unwrap_or(0);
    if args.no_wait && begun.text("state") == "running" {
        say(&format!(
            "The operation {id} goes on without this program; `gaia operation get {id} --wait` waits for its end."
        ));
        return session.out.changed(&id.to_string(), &begun);
    }
    let most = Some(count).filter(|count| *count > AT_ONCE && !more);
    if begun.text("state") == "running" {
        say(&format!(
            "The operation {id} has begun; it goes on if this program is ended."
        ));
    }
    let ended = operation::followed(api, id, most).await?;
    say(&operation::told(&ended));
    session.out.changed(&id.to_string(), &ended)?;
    Ok(operation::end(&ended))
}

/// The filter, in which lengths of time count back from the server's now.
async fn filter(api: &Api, selection: Selection) -> Result<TaskFilter> {
    match selection {
        Selection::All => Ok(TaskFilter::default()),
        Selection::Ids(ids) => Ok(TaskFilter {
            ids,
            ..TaskFilter::default()
        }),
        Selection::Line(line) => {
            api.get(&["healthz"]).send().await?;
            let filter = TaskFilter::parse_line(&line, api.now()).map_err(|error| Failure::usage(error.to_string()))?;
            match filter.is_empty() {
                true => Err(Failure::usage(
                    "the search line has no condition, so it means every task; say so by --all",
                )),
                false => Ok(filter),
            }
        }
    }
}

fn expected(expected: Option<u64>, count: u64, more: bool) -> Result<()> {
    match expected {
        Some(expected) if more || count != expected => Err(Failure::new(
            Exit::NotAllowed,
            format!(
                "{} would be changed, expected {expected}; nothing was done",
                how_many(count, more)
            ),
        )),
        _ => Ok(()),
    }
}

fn how_many(count: u64, more: bool) -> String {
    match more {
        true => format!("more than {count} tasks"),
        false => words::counted(count, "task", "tasks"),
    }
}

/// The caller has asked for the samples, so they go to the standard output.
fn dry_run(session: &Session, api: &Api, change: Change, preview: &Fields) -> Result {
    let out = &session.out;
    match out.format {
        Format::Table | Format::Wide | Format::Name => out.list(&SHEET, &preview.list("samples"), &out.view(api))?,
        _ => out.value(preview)?,
    }
    let count = how_many(preview.get("tasks").unwrap_or(0), preview.flag("more"));
    say(&format!("{}: {count} would be changed; nothing was done.", change.verb));
    Ok(Exit::Done)
}

/// Before a question the samples go where the question goes.
fn show_samples(session: &Session, api: &Api, preview: &Fields) {
    let (samples, view) = (preview.list("samples"), session.out.view(api));
    let table = session.out.table_for_words(&SHEET, &samples, &view);
    say(table.trim_end());
    let shown = u64::try_from(samples.len()).unwrap_or(0);
    if preview.get::<u64>("tasks").is_some_and(|count| count > shown) || preview.flag("more") {
        say("…");
    }
}
