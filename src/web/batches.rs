//! Batches: tasks, and a task that runs when all of them have ended.

use actix_web::{HttpResponse, http::StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    body,
    call::{self, Call},
    problem::{Fault, Problem},
    tasks::{MOST_FAULTS, once, posted::Posted},
};
use crate::domain::{AddedBatchOnce, NewTask, check_theme};

/// A batch as a caller sends it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PostedBatch {
    theme: String,
    tasks: Vec<Box<RawValue>>,
    callback: Box<RawValue>,
}

pub(super) async fn add(mut call: Call) -> Result<HttpResponse, Problem> {
    call.query.finish()?;
    call.idempotency_key()?;
    let PostedBatch { theme, tasks, callback } = body::typed(&call.body)?;
    let mut faults = Vec::new();
    let mut read = Vec::with_capacity(tasks.len());
    for (index, task) in tasks.iter().enumerate() {
        match task_of(task, &theme) {
            Ok(task) => read.push(task),
            Err(of_task) => faults.extend(of_task.into_iter().map(|fault| Fault {
                index: Some(index),
                ..fault
            })),
        }
        if faults.len() >= MOST_FAULTS {
            break;
        }
    }
    let callback = task_of(&callback, &theme).map_err(|of_callback| {
        faults.extend(of_callback.into_iter().map(|fault| Fault {
            pointer: Some(format!("/callback{}", fault.pointer.unwrap_or_default())),
            ..fault
        }));
    });
    let (Ok(callback), true) = (callback, faults.is_empty()) else {
        return Err(Problem::invalid(faults));
    };
    check_theme(&theme)?;
    call.caller.needs_theme(&theme)?;
    let traceparent = call.traceparent();
    let traced = |task: NewTask| task.or_traceparent(|| traceparent.clone());
    let scheduler = call.gaia().scheduler(&theme)?;
    let key = once(&call, &theme)?.map(Ok);
    let AddedBatchOnce { batch, replayed } = scheduler
        .add_batch_by(key, read.into_iter().map(traced).collect(), traced(callback))
        .await?;
    let answer = call::placed(StatusCode::CREATED, &format!("tasks/{}", batch.id), &batch)?;
    Ok(call::replayed(answer, replayed))
}

/// A task of the batch. It may name the theme of the batch, and no other.
fn task_of(text: &RawValue, theme: &str) -> Result<NewTask, Vec<Fault>> {
    let posted = Posted::read(text.get())?;
    let mut faults = Vec::new();
    if let Some(own) = posted.theme.filter(|own| own != theme) {
        faults.push(Fault {
            pointer: Some("/theme".to_owned()),
            ..Fault::of(format!(
                "theme is {own:?}, but that of the batch is {theme:?}: a batch is one transaction of one theme"
            ))
        });
    }
    if posted.after.is_some() {
        faults.push(Fault {
            pointer: Some("/after".to_owned()),
            ..Fault::of("a task of a batch waits for no others, and the callback waits for the batch; leave after out")
        });
    }
    match faults.is_empty() {
        true => Ok(posted.task),
        false => Err(faults),
    }
}

pub(super) mod described {
    use utoipa::{
        PartialSchema, ToSchema,
        openapi::{ArrayBuilder, ObjectBuilder, RefOr, Schema, schema::AdditionalProperties},
    };

    use crate::{
        domain::{AddedBatch, MAX_THEME_CHARS},
        web::{
            openapi::{
                Described,
                schemas::{Named, reference, text},
            },
            tasks::described::{TaskOfBatch, once, traced},
        },
    };

    /// Tasks and their callback, as a body has them.
    struct NewBatch;

    impl PartialSchema for NewBatch {
        fn schema() -> RefOr<Schema> {
            let tasks = ArrayBuilder::new()
                .items(reference::<TaskOfBatch>())
                .min_items(Some(1))
                .description(Some("At most 100,000."));
            let mut theme = text(MAX_THEME_CHARS);
            theme.description = Some("The theme of all of them.".to_owned());
            ObjectBuilder::new()
                .property("theme", theme)
                .required("theme")
                .property("tasks", tasks)
                .required("tasks")
                .property("callback", reference::<TaskOfBatch>())
                .required("callback")
                .additional_properties(Some(AdditionalProperties::FreeForm(false)))
                .build()
                .into()
        }
    }

    impl ToSchema for NewBatch {
        fn schemas(schemas: &mut Named) {
            TaskOfBatch::schemas(schemas);
        }
    }

    pub(in crate::web) fn add() -> Described {
        traced(once(Described::new()))
            .with::<TaskOfBatch>()
            .body::<NewBatch>()
            .answer::<AddedBatch>(201, "The batch is stored.")
            .with_location("The task of the callback.")
    }
}
