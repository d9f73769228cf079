//! Adding tasks.

use std::time::Duration;

use actix_web::{HttpResponse, http::StatusCode};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{
    LONGEST_WAIT, ShownTask,
    posted::{After, Posted},
};
use crate::{
    domain::{AddedOnce, AddedTask, MAX_AFTER, OnceKey, check_theme},
    error::Error,
    web::{
        body::{self, BodyType},
        call::{self, Call},
        permission::Permission,
        problem::{Fault, Problem},
    },
};

/// The most faults of a list that an answer names.
pub(in crate::web) const MOST_FAULTS: usize = 100;

/// The answer to an addition.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Added)]
pub(super) struct Added {
    /// The id of the task, or of the unfinished task that has the same `unique_key`.
    id: i64,
    /// Whether an unfinished task has the same `unique_key`: then nothing was added.
    duplicate: bool,
    /// With `wait_ms`: the task at its end, or `null` if it has not ended in time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<ShownTask>)]
    #[expect(clippy::option_option, reason = "the key is missing, or it is null")]
    task: Option<Option<ShownTask>>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AddedBatch {
    /// One for each task of the list, in its order.
    tasks: Vec<AddedTask>,
}

fn no_theme() -> Fault {
    Fault {
        pointer: Some("/theme".to_owned()),
        ..Fault::of("theme is missing: the queue that the task belongs to")
    }
}

pub(in crate::web) async fn add(mut call: Call) -> Result<HttpResponse, Problem> {
    let wait = call.query.number("wait_ms", 0..=LONGEST_WAIT, 0);
    let wakes = call.query.flag("wake").unwrap_or(true);
    call.query.finish()?;
    call.idempotency_key()?;
    if wait > 0 {
        call.caller.needs(Permission::View)?;
    }
    let Posted { theme, after, task } = Posted::read(body::text(&call.body)?).map_err(Problem::invalid)?;
    let theme = theme.ok_or_else(|| Problem::invalid(vec![no_theme()]))?;
    call.caller.needs_theme(&theme)?;
    let task = task.or_traceparent(|| call.traceparent());
    let scheduler = call.gaia().scheduler(&theme)?;
    let AddedOnce { tasks, replayed } = match (after, once(&call, &theme)?) {
        (Some(After(ids)), key) => {
            let hidden = hidden_of(&call, &ids).await?;
            let ids = ids.into_iter().collect();
            scheduler.add_after_by(key.map(Ok), ids, hidden, task).await?
        }
        (None, Some(key)) => scheduler.add_once(key, vec![task], wakes).await?,
        (None, None) => {
            let added = match wakes {
                true => scheduler.add_task(task).await?,
                false => scheduler.receive_task(task).await?,
            };
            AddedOnce {
                tasks: vec![added],
                replayed: false,
            }
        }
    };
    let [AddedTask { id, duplicate }] = tasks[..] else {
        return Err(Error::IdempotencyKeyReused { theme }.into());
    };
    let mut added = Added {
        id,
        duplicate,
        task: None,
    };
    if wait > 0 {
        // The task is stored: whatever keeps the caller from seeing its end is no failure of the addition.
        let ended = scheduler.wait_for(id, Duration::from_millis(wait.into())).await;
        added.task = Some(ended.ok().map(|task| call.eyes().task(task)));
    }
    let answer = match duplicate {
        true => call::json(StatusCode::OK, &added)?,
        false => call::placed(StatusCode::CREATED, &format!("tasks/{id}"), &added)?,
    };
    Ok(call::replayed(answer, replayed))
}

/// A task of a theme that the caller may not see is not there, so no task can wait for it. Answers with the first such task, and with none if
/// the caller may see all of them.
async fn hidden_of(call: &Call, ids: &[i64]) -> Result<Option<i64>, Problem> {
    if call.caller.sees_all_themes() {
        return Ok(None);
    }
    for id in ids.iter().take(MAX_AFTER) {
        match call.gaia().admin().theme_of_task(*id).await {
            Ok(theme) if call.caller.sees_theme(&theme) => {}
            Ok(_) | Err(Error::TaskNotFound { .. }) => return Ok(Some(*id)),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

/// By what the request is known again, if its caller wants to repeat it.
pub(in crate::web) fn once(call: &Call, theme: &str) -> Result<Option<OnceKey>, Problem> {
    let key = call.idempotency_key()?;
    let once = key.map(|key| OnceKey::of_request(call.caller.name(), theme, key, &call.body));
    Ok(once.transpose()?)
}

pub(in crate::web) async fn add_batch(mut call: Call) -> Result<HttpResponse, Problem> {
    let mut theme = call.query.text("theme");
    call.query.finish()?;
    call.idempotency_key()?;
    let (mut tasks, mut faults) = (Vec::new(), Vec::new());
    let texts = texts_of_list(&call)?;
    if texts.is_empty() {
        faults.push(Fault::of("the list has no task"));
    }
    for (index, text) in texts.iter().enumerate() {
        let of_task = |fault| Fault {
            index: Some(index),
            ..fault
        };
        match Posted::read(text) {
            Ok(Posted { after: Some(_), .. }) => faults.push(of_task(Fault {
                pointer: Some("/after".to_owned()),
                ..Fault::of("a task of a list waits for no others; add it by POST /tasks")
            })),
            Ok(Posted { theme: own, task, .. }) => {
                match (&theme, own) {
                    (None, Some(own)) => theme = Some(own),
                    (None, None) => faults.push(of_task(no_theme())),
                    (Some(theme), Some(own)) if *theme != own => faults.push(of_task(Fault::of(format!(
                        "theme is {own:?}, but that of this list is {theme:?}: a list is one transaction of one theme"
                    )))),
                    _ => {}
                }
                tasks.push(task);
            }
            Err(of_this) => faults.extend(of_this.into_iter().map(of_task)),
        }
        if faults.len() >= MOST_FAULTS {
            break;
        }
    }
    let (Some(theme), true) = (theme, faults.is_empty()) else {
        return Err(Problem::invalid(faults));
    };
    check_theme(&theme)?;
    call.caller.needs_theme(&theme)?;
    let traceparent = call.traceparent();
    let tasks = tasks
        .into_iter()
        .map(|task| task.or_traceparent(|| traceparent.clone()))
        .collect();
    let scheduler = call.gaia().scheduler(&theme)?;
    let (added, replayed) = match once(&call, &theme)? {
        Some(key) => {
            let AddedOnce { tasks, replayed } = scheduler.add_once(key, tasks, true).await?;
            (tasks, replayed)
        }
        None => (scheduler.add_tasks(tasks).await?, false),
    };
    let answer = call::json(StatusCode::CREATED, &AddedBatch { tasks: added })?;
    Ok(call::replayed(answer, replayed))
}

/// The text of each task of a list: of a JSON list, or of lines.
fn texts_of_list(call: &Call) -> Result<Vec<&str>, Problem> {
    let text = body::text(&call.body)?;
    match call.body_type {
        BodyType::Lines => Ok(text.lines().filter(|line| !line.trim().is_empty()).collect()),
        BodyType::Json => {
            let list: Result<Vec<&RawValue>, serde_json::Error> = serde_json::from_str(text);
            let list = list.map_err(|error| Problem::bad_json(format!("this is no JSON list: {error}")))?;
            Ok(list.into_iter().map(RawValue::get).collect())
        }
    }
}
