//! Bulk operations: the same change of many tasks.

use actix_web::{HttpResponse, http::StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    access::Caller,
    call::{self, Call},
    cursor::CursorOf,
    permission::Permission,
    problem::{Fault, Problem},
    redact::Shown,
};
use crate::domain::{BulkAction, BulkOperation, BulkState, BulkTasks, ListBulkOperations, TaskSummary};

const LISTED: u32 = 50;
const MOST_LISTED: u32 = 200;

type ShownSummary = Shown<TaskSummary>;

/// What a bulk operation would change.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BulkPreview)]
pub(super) struct Preview {
    /// How many tasks it would change, counted up to 10,000.
    pub(super) tasks: u64,
    /// The count has ended early: there may be more tasks.
    pub(super) more: bool,
    /// The first ten of them, the newest first.
    pub(super) samples: Vec<ShownSummary>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BulkOperations)]
pub(super) struct Listed {
    pub(super) operations: Vec<BulkOperation>,
    /// The cursor of the next page; `null` if there is none.
    pub(super) next_cursor: Option<String>,
}

/// What a caller needs for an action.
pub(super) fn permission(action: BulkAction) -> Permission {
    match action {
        BulkAction::Cancel => Permission::Cancel,
        BulkAction::Retry | BulkAction::RunNow => Permission::Retry,
        BulkAction::Delete => Permission::Delete,
    }
}

pub(super) fn is_seen_by(caller: &Caller, operation: &BulkOperation) -> bool {
    let themes = &operation.filter.themes;
    caller.sees_all_themes() || (!themes.is_empty() && themes.iter().all(|theme| caller.sees_theme(theme)))
}

/// The operation as callers see it: without the words of the database.
pub(super) fn shown(mut operation: BulkOperation) -> BulkOperation {
    operation.error = operation.error.map(|_| {
        let node = operation.node.as_deref().unwrap_or("that node");
        format!("the database has refused a change; the log of {node} says more")
    });
    operation
}

/// What the body asks for, limited to the caller's themes.
fn asked(call: &mut Call) -> Result<BulkTasks, Problem> {
    call.query.finish()?;
    let bulk: BulkTasks = call.typed()?;
    if bulk.author.is_some() {
        let fault = Fault {
            pointer: Some("/author".to_owned()),
            ..Fault::of("the author is the caller; leave it out")
        };
        return Err(Problem::invalid(vec![fault]));
    }
    limited(call, bulk)
}

/// The operation, limited to the caller's themes.
fn limited(call: &Call, mut bulk: BulkTasks) -> Result<BulkTasks, Problem> {
    // Before the caller's themes make a condition of the filter.
    bulk.check()?;
    bulk.filter = call.caller.limit(bulk.filter)?;
    Ok(bulk)
}

pub(super) async fn bulk(mut call: Call) -> Result<HttpResponse, Problem> {
    let mut bulk = asked(&mut call)?;
    call.caller.needs(permission(bulk.action))?;
    bulk.author = Some(call.author());
    bulk.reason = call.reason.take();
    let operation = call.gaia().admin().bulk_tasks(bulk).await?;
    let status = match operation.state {
        BulkState::Running => StatusCode::ACCEPTED,
        _ => StatusCode::OK,
    };
    let place = format!("../operations/{}", operation.id);
    call::placed(status, &place, &shown(operation))
}

pub(super) async fn preview(mut call: Call) -> Result<HttpResponse, Problem> {
    let bulk = asked(&mut call)?;
    call::json(StatusCode::OK, &counted(&call, bulk).await?)
}

/// What an operation would change that is limited to the caller's themes.
async fn counted(call: &Call, bulk: BulkTasks) -> Result<Preview, Problem> {
    let _turn = call.search().await?;
    let preview = call.gaia().admin().preview_bulk(bulk).await?;
    let eyes = call.eyes();
    Ok(Preview {
        tasks: preview.tasks,
        more: preview.more,
        samples: preview.samples.into_iter().map(|task| eyes.summary(task)).collect(),
    })
}

/// What an operation of the caller would change.
pub(super) async fn previewed(call: &Call, bulk: BulkTasks) -> Result<Preview, Problem> {
    let bulk = limited(call, bulk)?;
    counted(call, bulk).await
}

pub(super) async fn list(mut call: Call) -> Result<HttpResponse, Problem> {
    call::json(StatusCode::OK, &listed(&mut call).await?)
}

/// A page of the operations that the caller may see. It may have fewer rows than its limit and not be the last one.
pub(super) async fn listed(call: &mut Call) -> Result<Listed, Problem> {
    let limit = call.query.number("limit", 1..=MOST_LISTED, LISTED);
    let cursor = call.query.text("cursor");
    call.query.finish()?;
    let place = CursorOf::new("operations", &());
    let before = cursor.map(|cursor| place.read(&cursor)).transpose()?;
    let page = ListBulkOperations { limit, before };
    let operations = call.gaia().admin().bulk_operations(page).await?;
    let is_full = u32::try_from(operations.len()).is_ok_and(|found| found >= limit);
    let last = operations.last().filter(|_| is_full).map(|last| last.id);
    let seen: Vec<BulkOperation> = operations
        .into_iter()
        .filter(|operation| is_seen_by(&call.caller, operation))
        .map(shown)
        .collect();
    Ok(Listed {
        operations: seen,
        next_cursor: last.map(|last| place.write(last)),
    })
}

/// The operation of the path, if the caller may see it.
pub(super) async fn find(call: &Call) -> Result<BulkOperation, Problem> {
    let id = call.id("bulk operation")?;
    let operation = call.gaia().admin().bulk_operation(id).await?;
    match is_seen_by(&call.caller, &operation) {
        true => Ok(operation),
        false => Err(Problem::not_found("bulk operation", &id.to_string())),
    }
}

pub(super) async fn show(mut call: Call) -> Result<HttpResponse, Problem> {
    call.query.finish()?;
    call::json(StatusCode::OK, &shown(find(&call).await?))
}

/// Who may begin an operation may end it.
pub(super) async fn cancel(mut call: Call) -> Result<HttpResponse, Problem> {
    call.finish_without_body()?;
    let operation = find(&call).await?;
    call.caller.needs(permission(operation.action))?;
    let operation = call.gaia().admin().cancel_bulk(operation.id).await?;
    call::json(StatusCode::OK, &shown(operation))
}

pub(super) mod described {
    use super::{BulkOperation, BulkTasks, LISTED, Listed, MOST_LISTED, Preview};
    use crate::web::{
        body::Nothing,
        openapi::{
            Described,
            schemas::{id, number},
        },
    };

    pub(in crate::web) fn bulk() -> Described {
        Described::new()
            .body::<BulkTasks>()
            .answer::<BulkOperation>(200, "The operation has ended.")
            .answer::<BulkOperation>(202, "The operation is under way.")
            .with_location("The operation.")
    }

    pub(in crate::web) fn preview() -> Described {
        Described::new()
            .body::<BulkTasks>()
            .answer::<Preview>(200, "What the operation would change.")
            .refuses(429, &["too_many_searches"])
    }

    pub(in crate::web) fn list() -> Described {
        Described::new()
            .paged_by_cursor(number(&(1..=MOST_LISTED), LISTED))
            .answer::<Listed>(200, "A page of operations.")
    }

    pub(in crate::web) fn show() -> Described {
        Described::new()
            .path("id", id(), "The id of the operation.")
            .answer::<BulkOperation>(200, "The operation.")
            .refuses(404, &["bulk_operation_not_found"])
    }

    pub(in crate::web) fn cancel() -> Described {
        show().optional_body::<Nothing>()
    }
}
