//! Tasks: adding them, finding them, and changing one of them.

mod adding;
pub(super) mod described;
pub(super) mod posted;

use std::{str::FromStr, time::Duration};

use actix_web::{HttpResponse, http::StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

pub(super) use self::adding::{MOST_FAULTS, add, add_batch, once};
use super::{
    call::{self, Call},
    cursor::CursorOf,
    filter::{self, Asked},
    problem::Problem,
    query::Query,
    redact::Shown,
};
use crate::{
    asynctask::{CancelAnswer, Scheduler},
    domain::{ExecRecord, Page, PageRequest, SearchTasks, SearchedTo, Task, TaskCount, TaskSummary},
    error::Error,
};

const FOUND: u32 = 50;
const MOST_FOUND: u32 = 200;
/// The longest wait, and the usual one of `/wait`, in milliseconds.
const LONGEST_WAIT: u32 = 60_000;
const WAIT: u32 = 30_000;
/// How far a capped count goes.
const CAPPED: u64 = 10_000;

/// Records on a page.
const LISTED: u32 = 20;
const MOST_LISTED: u32 = 200;
/// The last page that can be asked for: a page is found by counting the rows before it.
const LAST_PAGE: u32 = 1_000_000;

type ShownTask = Shown<Task>;
type ShownSummary = Shown<TaskSummary>;

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
