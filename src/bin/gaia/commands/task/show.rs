//! One task, and its runs.

use super::list::{SHEET, method, progress, retries, waits_for};
use crate::{
    api::{Api, Fields},
    exit::{Exit, Result},
    output::{Cell, Column, Details, Sheet, View, words},
    session::Session,
};

const RECORDS: Sheet = Sheet {
    columns: &[
        Column::number("ATTEMPT", |record, _| Cell::int(record, "attempt")),
        Column::whole("STATUS", |record, _| Cell::status(&record.text("status"))),
        Column::whole("BEGAN", |record, view| {
            Cell::new(words::in_table(record.time("run_time"), view))
        }),
        Column::whole("TOOK", |record, _| {
            Cell::new(record.int("duration_ms").map(words::millis).unwrap_or_default())
        }),
        Column::whole("LOG ID", |record, _| Cell::of(record, "log_id")),
        Column::new("ERROR OR RESULT", |record, _| Cell::new(outcome(record))),
        Column::whole("NODE", |record, _| Cell::of(record, "node")).for_wide(),
        Column::whole("ENDED", |record, view| {
            Cell::new(words::in_table(record.time("end_time"), view))
        })
        .for_wide(),
    ],
    empty: "The task has not run yet.",
    name: |record| record.text("log_id"),
};

fn outcome(record: &Fields) -> String {
    let error = record.text("error");
    match error.is_empty() {
        false => error,
        true => record
            .raw("result")
            .map_or_else(|| record.text("result_text"), |result| result.get().to_owned()),
    }
}

pub async fn task(session: &Session, id: i64) -> Result {
    let api = session.api().await?;
    let task = api.get(&["tasks", &id.to_string()]).send().await?.fields()?;
    shown(session, api, &task).await?;
    Ok(Exit::Done)
}

/// Shows a task; to people also its last attempts.
async fn shown(session: &Session, api: &Api, task: &Fields) -> Result<()> {
    let (out, view) = (&session.out, session.out.view(api));
    out.item(&SHEET, task, || details(task, &view))?;
    if !out.is_table() {
        return Ok(());
    }
    let records = records_of(api, &task.text_of_id(), 10).await?;
    match records.is_empty() {
        true => Ok(()),
        false => out.write(&format!("\n{}", out.table(&RECORDS, &records, &view))),
    }
}

pub fn details(task: &Fields, view: &View) -> Details {
    Details::default()
        .int_of("id", task, "id")
        .add("status", Cell::status(&task.text("status")))
        .text_of("name", task, "name")
        .text_of("theme", task, "theme")
        .add("method", Cell::new(method(task)))
        .add(
            "cancel",
            Cell::new(if task.flag("cancel_requested") {
                "the handler is asked to stop"
            } else {
                ""
            }),
        )
        .add("progress", Cell::new(progress(task)))
        .add("retries", Cell::new(retries(task)))
        .int_of("priority", task, "priority")
        .text_of("unique key", task, "unique_key")
        .text_of("limit key", task, "limit_key")
        .text_of("tenant", task, "tenant_id")
        .add(
            "timeout",
            Cell::new(task.int("timeout_ms").map(words::millis).unwrap_or_default()),
        )
        .time_of("added", task, "create_time", view)
        .add("waits", Cell::new(waits_for(task).unwrap_or_default()))
        .time_of("runs at", task, "run_at", view)
        .time_of("last began", task, "last_run_time", view)
        .time_of("last ended", task, "last_run_end_time", view)
        .text_of("node", task, "node")
        .text_of("log id", task, "log_id")
        .text_of("trace", task, "traceparent")
        .json_of("arguments", task, "args", "args_text")
        .json_of("result", task, "last_result", "last_result_text")
        .lines("error", &task.text("last_error"))
}

pub async fn records(session: &Session, id: i64, limit: u32) -> Result {
    let (api, out) = (session.api().await?, &session.out);
    let records = records_of(api, &id.to_string(), limit).await?;
    out.list(&RECORDS, &records, &out.view(api))?;
    Ok(Exit::Done)
}

async fn records_of(api: &Api, id: &str, limit: u32) -> Result<Vec<Fields>> {
    let page = api
        .get(&["tasks", id, "records"])
        .query("page_size", limit)
        .send()
        .await?
        .fields()?;
    Ok(page.list("items"))
}
