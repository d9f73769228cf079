//! Themes: their settings and their workers.

use actix_web::{HttpResponse, http::StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    call::{self, Call},
    problem::Problem,
};
use crate::{
    asynctask::{Scheduler, SchedulerStatus},
    domain::Faults,
    error::Error,
};

const MAX_REASON_CHARS: usize = 500;

/// What a node does for the theme.
#[derive(Debug, Serialize)]
struct Workers {
    node: String,
    alive: bool,
    workers: usize,
    running: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Why {
    #[serde(default)]
    reason: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Size {
    /// Must be there: `null` lets each process go back to its own number.
    #[serde(deserialize_with = "Option::deserialize")]
    workers: Option<usize>,
}

fn scheduler(call: &Call) -> Result<Scheduler, Problem> {
    let theme = call.name("theme")?;
    call.caller.needs_theme(&theme)?;
    Ok(call.gaia().scheduler(&theme)?)
}

/// Counting finished tasks reads all of them, so it must be asked for.
pub(super) async fn show(mut call: Call) -> Result<HttpResponse, Problem> {
    let count = call.query.text("count");
    if let Some(other) = count.as_deref().filter(|count| !matches!(*count, "none" | "exact")) {
        call.query.fault("count", format!("count is {other:?}, expected none or exact"));
    }
    call.query.finish()?;
    let scheduler = scheduler(&call)?;
    let (paused, workers) = scheduler.settings().await?;
    let mut nodes = Vec::new();
    for node in call.gaia().nodes().await? {
        for theme in node.themes {
            if theme.theme == scheduler.theme() {
                nodes.push(Workers {
                    node: node.id.clone(),
                    alive: node.alive,
                    workers: theme.workers,
                    running: theme.running,
                });
            }
        }
    }
    let here: Option<SchedulerStatus> = match scheduler.status().await {
        Ok(status) => Some(status),
        Err(Error::NotScheduledHere { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let mut answer = json!({
        "theme": scheduler.theme(),
        "paused": paused,
        "workers": workers,
        "nodes": nodes,
        "here": here,
    });
    if count.as_deref() == Some("exact") {
        answer["tasks"] = json!(scheduler.count_by_status().await?);
    }
    call::json(StatusCode::OK, &answer)
}

pub(super) async fn pause(call: Call) -> Result<HttpResponse, Problem> {
    set_paused(call, true).await
}

pub(super) async fn resume(call: Call) -> Result<HttpResponse, Problem> {
    set_paused(call, false).await
}

async fn set_paused(mut call: Call, paused: bool) -> Result<HttpResponse, Problem> {
    call.query.finish()?;
    let why: Why = call.typed()?;
    let mut faults = Faults::default();
    if let Some(reason) = &why.reason {
        faults.label("reason", reason, MAX_REASON_CHARS);
    }
    faults.into_result()?;
    let scheduler = scheduler(&call)?;
    match paused {
        true => scheduler.pause().await?,
        false => scheduler.resume().await?,
    }
    let (name, theme) = (call.caller.name(), scheduler.theme());
    let done = if paused { "paused" } else { "resumed" };
    let reason = why.reason.as_deref().unwrap_or("no reason given");
    say!(Info, "theme {theme}: {done} by {name}: {reason}");
    call::json(StatusCode::OK, &json!({ "theme": theme, "paused": paused }))
}

pub(super) async fn resize(mut call: Call) -> Result<HttpResponse, Problem> {
    call.query.finish()?;
    let size: Size = call.typed()?;
    let scheduler = scheduler(&call)?;
    scheduler.resize_theme(size.workers).await?;
    call::json(
        StatusCode::OK,
        &json!({ "theme": scheduler.theme(), "workers": size.workers }),
    )
}
