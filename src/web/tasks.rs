//! Tasks: adding them, finding them, and changing one of them.

pub(super) mod described;
pub(super) mod posted;

use std::{str::FromStr, time::Duration};

use actix_web::{HttpResponse, http::StatusCode};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use self::posted::{After, Posted};
use super::{
    body::{self, BodyType},
    call::{self, Call},
    cursor::CursorOf,
    filter::{self, Asked},
    permission::Permission,
    problem::{Fault, Problem},
    query::Query,
    redact::Shown,
};
use crate::{
    asynctask::{CancelAnswer, Scheduler},
    domain::{
        AddedOnce, AddedTask, ExecRecord, MAX_AFTER, OnceKey, Page, PageRequest, SearchTasks, SearchedTo, Task,
        TaskCount, TaskSummary, check_theme,
    },
    error::Error,
};

const FOUND: u32 = 50;
const MOST_FOUND: u32 = 200;
/// The longest wait, and the usual one of `/wait`, in milliseconds.
const LONGEST_WAIT: u32 = 60_000;
const WAIT: u32 = 30_000;
/// How far a capped count goes.
const CAPPED: u64 = 10_000;
/// The most faults of a list that an answer names.
pub(super) const MOST_FAULTS: usize = 100;

/// Records on a page.
const LISTED: u32 = 20;
const MOST_LISTED: u32 = 200;
/// The last page that can be asked for: a page is found by counting the rows before it.
const LAST_PAGE: u32 = 1_000_000;

// ---- adding ----

type ShownTask = Shown<Task>;
type ShownSummary = Shown<TaskSummary>;

/// The answer to an addition.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Added)]
struct Added {
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
struct AddedBatch {
    /// One for each task of the list, in its order.
    tasks: Vec<AddedTask>,
}

/// Tasks, the newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Found)]
pub(super) struct Found {
    pub(super) tasks: Vec<ShownSummary>,
    /// The cursor of the next page; `null` if no further task meets the filter.
    pub(super) next_cursor: Option<String>,
    /// The search has taken long and has ended early: it has looked back as far as this task. The next page goes on from there.
    pub(super) searched_from: Option<SearchedTo>,
    /// How many tasks meet the filter, if `count` asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) count: Option<TaskCount>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TaskCancelled)]
struct CancelledTask {
    id: i64,
    cancel: CancelAnswer,
}

#[derive(Debug, Serialize, ToSchema)]
struct TaskId {
    id: i64,
}

fn no_theme() -> Fault {
    Fault {
        pointer: Some("/theme".to_owned()),
        ..Fault::of("theme is missing: the queue that the task belongs to")
    }
}

pub(super) async fn add(mut call: Call) -> Result<HttpResponse, Problem> {
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
    let (AddedTask { id, duplicate }, replayed) = match (after, once(&call, &theme)?) {
        (Some(_), Some(_)) => return Err(no_key("a task that waits for others")),
        (Some(After(ids)), None) => {
            sees_tasks(&call, &ids).await?;
            (scheduler.add_after(ids, task).await?, false)
        }
        (None, Some(key)) => {
            let AddedOnce { tasks, replayed } = scheduler.add_once(key, vec![task], wakes).await?;
            let [added] = tasks[..] else {
                return Err(Error::IdempotencyKeyReused { theme }.into());
            };
            (added, replayed)
        }
        (None, None) if wakes => (scheduler.add_task(task).await?, false),
        (None, None) => (scheduler.receive_task(task).await?, false),
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

/// The refusal of a key with which the request could not be repeated.
pub(super) fn no_key(what: &str) -> Problem {
    Problem::bad_idempotency_key(format!(
        "{what} cannot be added under an Idempotency-Key; leave the header out, and give the task that must not be there twice a unique_key"
    ))
}

/// A task of a theme that the caller may not see is not there, so no task can wait for it.
async fn sees_tasks(call: &Call, ids: &[i64]) -> Result<(), Problem> {
    if call.caller.sees_all_themes() {
        return Ok(());
    }
    for id in ids.iter().take(MAX_AFTER) {
        let theme = call.gaia().admin().theme_of_task(*id).await?;
        if !call.caller.sees_theme(&theme) {
            return Err(Problem::no_task(&id.to_string()));
        }
    }
    Ok(())
}

/// By what the request is known again, if its caller wants to repeat it.
fn once(call: &Call, theme: &str) -> Result<Option<OnceKey>, Problem> {
    let key = call.idempotency_key()?;
    let once = key.map(|key| OnceKey::of_request(call.caller.name(), theme, key, &call.body));
    Ok(once.transpose()?)
}

pub(super) async fn add_batch(mut call: Call) -> Result<HttpResponse, Problem> {
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

// ---- looking ----

pub(super) fn page(query: &mut Query) -> PageRequest {
    PageRequest {
        page: query.number("page", 1..=LAST_PAGE, 1),
        page_size: query.number("page_size", 1..=MOST_LISTED, LISTED),
    }
}

/// A page whose rows are shown in another way.
fn page_of<T, U: Serialize>(page: Page<T>, show: impl FnMut(T) -> U) -> Page<U> {
    Page {
        items: page.items.into_iter().map(show).collect(),
        total: page.total,
        page: page.page,
        page_size: page.page_size,
    }
}

/// How a list counts the tasks of its filter.
#[derive(Debug, Clone, Copy)]
pub(super) enum Count {
    None,
    Capped,
    Exact,
}

impl FromStr for Count {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "none" => Ok(Self::None),
            "capped" => Ok(Self::Capped),
            "exact" => Ok(Self::Exact),
            _ => Err("expected none, capped or exact"),
        }
    }
}

/// What a list asks for.
pub(super) struct Wanted {
    pub(super) asked: Asked,
    limit: u32,
    pub(super) cursor: Option<String>,
    count: Count,
}

impl Wanted {
    /// Reads the parameters. Faults are noted with the query.
    pub(super) fn read(call: &mut Call) -> Self {
        Self {
            asked: filter::read(call),
            limit: call.query.number("limit", 1..=MOST_FOUND, FOUND),
            cursor: call.query.text("cursor"),
            count: call.query.value("count").unwrap_or(Count::None),
        }
    }
}

pub(super) async fn list(mut call: Call) -> Result<HttpResponse, Problem> {
    let wanted = Wanted::read(&mut call);
    call.query.finish()?;
    call::json(StatusCode::OK, &found(&call, wanted).await?)
}

/// The tasks that the caller has asked for, and may see.
pub(super) async fn found(call: &Call, wanted: Wanted) -> Result<Found, Problem> {
    let Wanted {
        asked,
        limit,
        cursor,
        count,
    } = wanted;
    let Asked { filter, names } = asked.limited_to(&call.caller)?;
    let place = CursorOf::new("tasks", &names);
    let before = cursor.map(|cursor| place.read(&cursor)).transpose()?;
    let _turn = call.search().await?;
    let admin = call.gaia().admin();
    let count = match count {
        Count::None => None,
        Count::Capped => Some(admin.count_tasks(filter.clone(), Some(CAPPED)).await?),
        Count::Exact => Some(admin.count_tasks(filter.clone(), None).await?),
    };
    let search = SearchTasks { filter, limit, before };
    let found = admin.search_tasks(search).await?;
    let eyes = call.eyes();
    let tasks: Vec<ShownSummary> = found.tasks.into_iter().map(|task| eyes.summary(task)).collect();
    Ok(Found {
        tasks,
        next_cursor: found.next.map(|next| place.write(next)),
        searched_from: found.searched_back_to,
        count,
    })
}

/// The handle on the theme of the path's task. A task of a theme that the caller may not see is not there.
pub(super) async fn find(call: &Call) -> Result<(Scheduler, i64), Problem> {
    let id = call.id("task")?;
    let theme = call.gaia().admin().theme_of_task(id).await?;
    match call.caller.sees_theme(&theme) {
        true => Ok((call.gaia().scheduler(&theme)?, id)),
        false => Err(Problem::no_task(&id.to_string())),
    }
}

pub(super) async fn show(mut call: Call) -> Result<HttpResponse, Problem> {
    call.query.finish()?;
    call::json(StatusCode::OK, &shown(&call).await?)
}

/// The task of the path.
async fn shown(call: &Call) -> Result<ShownTask, Problem> {
    let (scheduler, id) = find(call).await?;
    let task = scheduler.get_task_detail(id).await?;
    Ok(call.eyes().task(task))
}

/// The task of the path, and a page of its records.
pub(super) async fn shown_with_records(
    call: &Call,
    page: PageRequest,
) -> Result<(ShownTask, Page<Shown<ExecRecord>>), Problem> {
    let (scheduler, id) = find(call).await?;
    let (task, records) = scheduler.task_with_records(id, page).await?;
    Ok((call.eyes().task(task), shown_records(call, records)))
}

pub(super) async fn records(mut call: Call) -> Result<HttpResponse, Problem> {
    let page = page(&mut call.query);
    call.query.finish()?;
    let (scheduler, id) = find(&call).await?;
    let records = scheduler.get_task_exec_records(id, page).await?;
    call::json(StatusCode::OK, &shown_records(&call, records))
}

fn shown_records(call: &Call, records: Page<ExecRecord>) -> Page<Shown<ExecRecord>> {
    let eyes = call.eyes();
    page_of(records, |record| eyes.record(record))
}

pub(super) async fn wait(mut call: Call) -> Result<HttpResponse, Problem> {
    let wait = call.query.number("wait_ms", 0..=LONGEST_WAIT, WAIT);
    call.query.finish()?;
    let (scheduler, id) = find(&call).await?;
    let (status, task) = match scheduler.wait_for(id, Duration::from_millis(wait.into())).await {
        Ok(task) => (StatusCode::OK, task),
        Err(Error::WaitTimedOut { .. }) => (StatusCode::ACCEPTED, scheduler.get_task_detail(id).await?),
        Err(error) => return Err(error.into()),
    };
    call::json(status, &call.eyes().task(task))
}

// ---- changing ----

pub(super) async fn cancel(mut call: Call) -> Result<HttpResponse, Problem> {
    call.finish_without_body()?;
    let (scheduler, id) = find(&call).await?;
    let answer = scheduler.cancel_task(id).await?;
    let status = match answer {
        CancelAnswer::Cancelled => StatusCode::OK,
        CancelAnswer::Requested => StatusCode::ACCEPTED,
    };
    call::json(status, &CancelledTask { id, cancel: answer })
}

pub(super) async fn retry(mut call: Call) -> Result<HttpResponse, Problem> {
    call.finish_without_body()?;
    let (scheduler, id) = find(&call).await?;
    scheduler.retry_task(id).await?;
    call::json(StatusCode::OK, &TaskId { id })
}

pub(super) async fn run_now(mut call: Call) -> Result<HttpResponse, Problem> {
    call.finish_without_body()?;
    let (_, id) = find(&call).await?;
    call.gaia().admin().run_task_now(id).await?;
    call::json(StatusCode::OK, &TaskId { id })
}

pub(super) async fn remove(mut call: Call) -> Result<HttpResponse, Problem> {
    call.finish_without_body()?;
    let (_, id) = find(&call).await?;
    call.gaia().admin().delete_task(id).await?;
    Ok(HttpResponse::NoContent().finish())
}
