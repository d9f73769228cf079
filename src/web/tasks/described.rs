//! The description of the routes of tasks.

use std::borrow::Cow;

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ArrayBuilder, Content, ObjectBuilder, OneOfBuilder, RefOr, Required, Schema, Type, schema::SchemaType},
};

use super::{
    CancelledTask, FOUND, Found, LAST_PAGE, LISTED, LONGEST_WAIT, MOST_FOUND, MOST_LISTED, ShownTask, TaskId, WAIT,
    adding::{Added, AddedBatch},
};
use crate::{
    domain::{ExecRecord, MAX_AFTER, MAX_IDEMPOTENCY_KEY_CHARS, MAX_THEME_CHARS, NewTask, Page},
    web::{
        body::Nothing,
        filter,
        openapi::{
            Described,
            schemas::{Named, flag, id, number, one_of, reference, text},
        },
        redact::Shown,
    },
};

/// A task, its theme and the tasks for which it waits, as a body has them.
struct TaskWithTheme;

/// The same in a list, where the query may name the theme.
pub(in crate::web) struct TaskOfBatch;

fn with_theme() -> RefOr<Schema> {
    let mut schema = NewTask::schema();
    if let RefOr::T(Schema::Object(object)) = &mut schema {
        let mut theme = text(MAX_THEME_CHARS);
        theme.description = Some("The theme, which is the queue that the task belongs to.".to_owned());
        object.properties.insert("theme".to_owned(), theme.into());
    }
    schema
}

impl PartialSchema for TaskWithTheme {
    fn schema() -> RefOr<Schema> {
        let mut schema = with_theme();
        if let RefOr::T(Schema::Object(object)) = &mut schema {
            object.required.push("theme".to_owned());
            object.properties.insert("after".to_owned(), after());
        }
        schema
    }
}

/// The tasks for which a task waits.
fn after() -> RefOr<Schema> {
    let ids = ArrayBuilder::new()
        .items(id())
        .min_items(Some(1))
        .max_items(Some(MAX_AFTER))
        .build();
    let one_or_many = OneOfBuilder::new()
        .item(id())
        .item(ids)
        .item(ObjectBuilder::new().schema_type(Type::Null))
        .description(Some(
            "The id of a task, or a list of ids: the new task runs once these have succeeded, and is cancelled if one of them does not.",
        ));
    RefOr::T(one_or_many.build().into())
}

impl PartialSchema for TaskOfBatch {
    fn schema() -> RefOr<Schema> {
        let mut schema = with_theme();
        if let RefOr::T(Schema::Object(object)) = &mut schema
            && let Some(RefOr::T(Schema::Object(theme))) = object.properties.get_mut("theme")
        {
            // `null` is the same as no theme, which the query or the first task of the list names.
            theme.schema_type = SchemaType::from_iter([Type::String, Type::Null]);
        }
        schema
    }
}

impl ToSchema for TaskWithTheme {
    fn name() -> Cow<'static, str> {
        "NewTask".into()
    }

    fn schemas(schemas: &mut Named) {
        NewTask::schemas(schemas);
    }
}

impl ToSchema for TaskOfBatch {
    fn schemas(schemas: &mut Named) {
        NewTask::schemas(schemas);
    }
}

/// A route that a caller may repeat with the same key.
pub(in crate::web) fn once(described: Described) -> Described {
    let mut key = text(MAX_IDEMPOTENCY_KEY_CHARS);
    key.pattern = Some("^[!-~]+$".to_owned());
    described
        .header(
            "Idempotency-Key",
            key,
            "Visible ASCII characters. Within 24 h the same request with the same key adds nothing, and gets the answer of the first one, with \
             `Idempotency-Replayed: true`.",
        )
        .refuses(400, &["bad_idempotency_key"])
        .refuses(409, &["idempotency_key_busy"])
        .refuses(422, &["idempotency_key_reused"])
}

/// The length of a `traceparent` of the version 00.
const TRACEPARENT_CHARS: usize = 55;

/// A route whose tasks belong to the trace of the request.
pub(in crate::web) fn traced(described: Described) -> Described {
    described.header(
        "traceparent",
        text(TRACEPARENT_CHARS),
        "The trace of the request, by the W3C's Trace Context: that of the tasks which name none. Another text is ignored.",
    )
}

pub(in crate::web) fn add() -> Described {
    let wait = "Wait for the end of the task for so many milliseconds. Needs the permission `view`, too.";
    traced(once(Described::new()))
        .query("wait_ms", number(&(0..=LONGEST_WAIT), 0), wait)
        .query(
            "wake",
            flag(Some(true)),
            "Whether workers are told, or find the task with their next scan.",
        )
        .body::<TaskWithTheme>()
        .answer::<Added>(201, "The task is stored.")
        .with_location("The task.")
        .answer::<Added>(200, "An unfinished task has the same `unique_key`: nothing was added.")
        .refuses(404, &["task_not_found"])
        .refuses(409, &["predecessor_ended"])
}

pub(in crate::web) fn add_batch() -> Described {
    let tasks = ArrayBuilder::new().items(reference::<TaskOfBatch>()).min_items(Some(1));
    let lines = ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some("Lines of JSON, each of them a `TaskOfBatch`."))
        .build();
    let theme = "The theme of all tasks, which then need not name it.";
    traced(once(Described::new()))
        .query("theme", text(MAX_THEME_CHARS), theme)
        .with::<TaskOfBatch>()
        .body_content("application/json", Content::new(Some(tasks)), Required::True)
        .body_content("application/jsonl", Content::new(Some(lines.clone())), Required::True)
        .body_content("application/x-ndjson", Content::new(Some(lines)), Required::True)
        .answer::<AddedBatch>(201, "All tasks are stored.")
}

pub(in crate::web) fn list() -> Described {
    let count =
        "How many tasks meet the filter: `capped` counts up to 10,000 tasks, `exact` counts for half a second at most.";
    filter::described::asked(Described::new())
        .query("count", one_of(&["none", "capped", "exact"]), count)
        .paged_by_cursor(number(&(1..=MOST_FOUND), FOUND))
        .answer::<Found>(200, "A page of tasks.")
        .refuses(429, &["too_many_searches"])
}

/// A route of one task.
pub(in crate::web) fn of_task() -> Described {
    Described::new()
        .path("id", id(), "The id of the task.")
        .refuses(404, &["task_not_found"])
}

pub(in crate::web) fn show() -> Described {
    of_task().answer::<ShownTask>(200, "The task.")
}

pub(in crate::web) fn records() -> Described {
    of_task()
        .query("page", number(&(1..=LAST_PAGE), 1), "Which page, from 1.")
        .query(
            "page_size",
            number(&(1..=MOST_LISTED), LISTED),
            "How many rows a page has.",
        )
        .answer::<Page<Shown<ExecRecord>>>(200, "A page of runs.")
}

pub(in crate::web) fn wait() -> Described {
    of_task()
        .query(
            "wait_ms",
            number(&(0..=LONGEST_WAIT), WAIT),
            "The longest time to wait, in milliseconds.",
        )
        .answer::<ShownTask>(200, "The task has ended.")
        .answer::<ShownTask>(202, "The task has not ended yet.")
}

pub(in crate::web) fn cancel() -> Described {
    of_task()
        .optional_body::<Nothing>()
        .answer::<CancelledTask>(200, "The task is cancelled.")
        .answer::<CancelledTask>(202, "The handler of the task is asked to stop.")
        .refuses(409, &["not_allowed"])
}

pub(in crate::web) fn run_now() -> Described {
    of_task()
        .optional_body::<Nothing>()
        .answer::<TaskId>(200, "The task is due now.")
        .refuses(409, &["not_allowed"])
}

pub(in crate::web) fn remove() -> Described {
    of_task()
        .optional_body::<Nothing>()
        .empty_answer(204, "The task and its records are deleted.")
        .refuses(409, &["not_allowed"])
}

pub(in crate::web) fn retry() -> Described {
    of_task()
        .optional_body::<Nothing>()
        .answer::<TaskId>(200, "The task is queued.")
        .refuses(409, &["not_allowed", "unique_key_taken"])
}
