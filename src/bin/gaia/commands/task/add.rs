//! Adding tasks.

use std::{path::Path, time::Duration};

use serde::Serialize;
use serde_json::value::RawValue;

use super::{SHEET, details, wait};
use crate::{
    api::Api,
    args::AddTask,
    commands::input,
    exit::{Exit, Failure, Result},
    output::{say, words},
    session::Session,
};

/// The body of `POST /tasks`. A missing key has the API's default.
#[derive(Serialize)]
struct NewTask {
    theme: String,
    service: String,
    method: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    args: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unique_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_retry: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_delay_ms: Option<u128>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_ms: Option<u128>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_at: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    after: Vec<i64>,
}

pub async fn run(session: &Session, add: AddTask) -> Result {
    let api = session.api().await?;
    match (&add.batch, &add.service, &add.method) {
        (Some(file), _, _) => batch(session, api, &add, file).await,
        (None, Some(service), Some(method)) => one(session, api, &add, service, method).await,
        (None, _, _) => Err(Failure::usage("a task needs a service and a method, or --batch FILE")),
    }
}

async fn one(session: &Session, api: &Api, add: &AddTask, service: &str, method: &str) -> Result {
    let args = add.args.as_deref().map(input::json).transpose()?;
    let run_at = match add.delay {
        None => add.run_at,
        Some(delay) => Some(from_now(api, delay).await?),
    };
    let task = NewTask {
        theme: add.theme.clone(),
        service: service.to_owned(),
        method: method.to_owned(),
        args,
        name: add.name.clone(),
        unique_key: add.unique_key.clone(),
        limit_key: add.limit_key.clone(),
        priority: add.priority,
        max_retry: add.max_retry,
        retry_delay_ms: add.retry_delay.map(|delay| delay.as_millis()),
        timeout_ms: add.timeout.map(|timeout| timeout.as_millis()),
        run_at: run_at.map(|at| at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)),
        after: add.after.clone(),
    };
    let request = api
        .post(&["tasks"])
        .header("idempotency-key", add.idempotency_key.clone());
    let added = request.json(&task)?.send().await?.fields()?;
    let Some(id) = added.int("id") else {
        return Err(Failure::away("the answer of the server has no id of a task"));
    };
    say(&match added.flag("duplicate") {
        true => format!("Nothing was added: the unfinished task {id} has this unique key."),
        false => format!("The task {id} is added to the theme {}.", add.theme),
    });
    let Some(patience) = add.wait else {
        return session.out.changed(&id.to_string(), &added);
    };
    let (task, exit) = wait::ended(api, id, patience.limit()).await?;
    let view = session.out.view(api);
    session.out.item(&SHEET, &task, || details(&task, &view))?;
    Ok(exit)
}

/// A time from now, by the server's clock.
async fn from_now(api: &Api, delay: Duration) -> Result<chrono::DateTime<chrono::Utc>> {
    api.get(&["healthz"]).send().await?;
    let delay = chrono::TimeDelta::from_std(delay).ok();
    let at = delay.and_then(|delay| api.now().checked_add_signed(delay));
    at.ok_or_else(|| Failure::usage("--in is too far away"))
}

async fn batch(session: &Session, api: &Api, add: &AddTask, file: &Path) -> Result {
    let tasks = input::file(file)?;
    let request = api.post(&["tasks", "batch"]).query("theme", &add.theme);
    let request = request
        .header("idempotency-key", add.idempotency_key.clone())
        .body("application/jsonl", tasks);
    let added = request.send().await?.fields()?.list("tasks");
    let (duplicates, count) = (added.iter().filter(|task| task.flag("duplicate")).count(), added.len());
    let of_theme = format!(
        "of {} are added to the theme {}",
        words::counted(count, "task", "tasks"),
        add.theme
    );
    say(&match duplicates {
        0 => format!("All {of_theme}."),
        found => format!(
            "{} {of_theme}; the others have unique keys of unfinished tasks.",
            count - found
        ),
    });
    match session.out.is_table() {
        true => added.iter().try_for_each(|task| session.out.line(&task.text_of_id()))?,
        false => session.out.list(&SHEET, &added, &session.out.view(api))?,
    }
    Ok(Exit::Done)
}
