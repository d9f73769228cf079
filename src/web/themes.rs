//! Themes: their settings, their workers, what their nodes serve.

use std::collections::BTreeMap;

use actix_web::{HttpResponse, http::StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    call::{self, Call},
    problem::Problem,
};
use crate::{
    admin::{Admin, GetMethods, PauseTheme, ResizeTheme, ResumeTheme, ThemeInfo},
    asynctask::SchedulerStatus,
    domain::TaskStatus,
    error::Error,
};

/// What a node does for the theme.
#[derive(Debug, Serialize)]
struct Workers {
    node: String,
    alive: bool,
    workers: usize,
    running: usize,
}

/// A theme, as `GET /themes/{theme}` shows it.
#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    info: ThemeInfo,
    on_nodes: Vec<Workers>,
    /// The counters of the process that answers; `null` if it does not run the theme.
    here: Option<SchedulerStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tasks: Option<BTreeMap<TaskStatus, i64>>,
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
    #[serde(default)]
    reason: Option<String>,
}

/// The theme of the path, if the caller may see it.
pub(super) fn theme(call: &Call) -> Result<String, Problem> {
    let theme = call.name("theme")?;
    call.caller.needs_theme(&theme)?;
    Ok(theme)
}

pub(super) async fn list(mut call: Call) -> Result<HttpResponse, Problem> {
    call.query.finish()?;
    let mut themes = call.gaia().admin().themes().await?;
    themes.retain(|info| call.caller.sees_theme(&info.theme));
    call::json(StatusCode::OK, &json!({ "themes": themes }))
}

/// Counting finished tasks reads all of them, so a caller must ask for the counts.
pub(super) async fn show(mut call: Call) -> Result<HttpResponse, Problem> {
    let count = call.query.text("count");
    if let Some(other) = count.as_deref().filter(|count| !matches!(*count, "none" | "exact")) {
        call.query
            .fault("count", format!("count is {other:?}, expected none or exact"));
    }
    call.query.finish()?;
    let theme = theme(&call)?;
    let info = call.gaia().admin().theme(&theme).await?;
    let scheduler = call.gaia().scheduler(&theme)?;
    let mut on_nodes = Vec::new();
    for node in call.gaia().nodes().await? {
        for works in node.themes.iter().filter(|works| works.theme == theme) {
            on_nodes.push(Workers {
                node: node.id.clone(),
                alive: node.alive,
                workers: works.workers,
                running: works.running,
            });
        }
    }
    let here: Option<SchedulerStatus> = match scheduler.status().await {
        Ok(status) => Some(status),
        Err(Error::NotScheduledHere { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let tasks = match count.as_deref() {
        Some("exact") => Some(scheduler.count_by_status().await?),
        _ => None,
    };
    let shown = Shown {
        info,
        on_nodes,
        here,
        tasks,
    };
    call::json(StatusCode::OK, &shown)
}

pub(super) async fn methods(mut call: Call) -> Result<HttpResponse, Problem> {
    call.query.finish()?;
    let get = GetMethods {
        theme: Some(theme(&call)?),
    };
    let methods = call.gaia().admin().methods(get).await?;
    call::json(StatusCode::OK, &json!({ "methods": methods }))
}

pub(super) async fn pause(mut call: Call) -> Result<HttpResponse, Problem> {
    call.query.finish()?;
    let Why { reason } = call.typed()?;
    let (theme, by) = (theme(&call)?, call.author());
    let admin = call.gaia().admin();
    let pause = PauseTheme {
        theme: theme.clone(),
        by,
        reason,
    };
    admin.pause_theme(pause).await?;
    changed(&admin, &theme).await
}

pub(super) async fn resume(mut call: Call) -> Result<HttpResponse, Problem> {
    call.query.finish()?;
    let Why { reason } = call.typed()?;
    let (theme, by) = (theme(&call)?, call.author());
    let admin = call.gaia().admin();
    let resume = ResumeTheme {
        theme: theme.clone(),
        by,
        reason,
    };
    admin.resume_theme(resume).await?;
    changed(&admin, &theme).await
}

pub(super) async fn resize(mut call: Call) -> Result<HttpResponse, Problem> {
    call.query.finish()?;
    let Size { workers, reason } = call.typed()?;
    let (theme, by) = (theme(&call)?, call.author());
    let admin = call.gaia().admin();
    let resize = ResizeTheme {
        theme: theme.clone(),
        workers,
        by,
        reason,
    };
    admin.resize_theme(resize).await?;
    changed(&admin, &theme).await
}

/// The theme after a change.
async fn changed(admin: &Admin, theme: &str) -> Result<HttpResponse, Problem> {
    let info: ThemeInfo = admin.theme(theme).await?;
    call::json(StatusCode::OK, &info)
}
