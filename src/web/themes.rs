//! Themes: their settings, their workers, what their nodes serve.

use std::collections::BTreeMap;

use actix_web::{HttpResponse, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    call::{self, Call},
    nodes::Methods,
    problem::Problem,
    query::Query,
};
use crate::{
    admin::{Admin, GetMethods, MethodInfo, PauseTheme, ResizeTheme, ResumeTheme, ThemeInfo, Unfinished},
    asynctask::SchedulerStatus,
    domain::{TaskStatus, check_theme},
    error::Error,
};

/// What a node does for the theme.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WorkersOnNode)]
pub(super) struct Workers {
    pub(super) node: String,
    pub(super) alive: bool,
    pub(super) workers: usize,
    pub(super) running: usize,
}

/// A theme, its nodes and its tasks.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Theme)]
pub(super) struct ShownTheme {
    #[serde(flatten)]
    pub(super) info: ThemeInfo,
    pub(super) unfinished: Unfinished,
    /// What its nodes serve and its due tasks call, for the page.
    #[serde(skip)]
    #[schema(ignore)]
    pub(super) methods: Vec<MethodInfo>,
    pub(super) on_nodes: Vec<Workers>,
    /// The counters of the process that answers; `null` if it does not work on the theme.
    here: Option<SchedulerStatus>,
    /// How many tasks have each status, if `count` asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) tasks: Option<BTreeMap<TaskStatus, i64>>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Themes)]
struct Listed {
    themes: Vec<ThemeInfo>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ThemeWorkers)]
struct Size {
    /// Must be there: `null` lets each process go back to its own number.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schema(required = true, maximum = 100_000)]
    workers: Option<usize>,
}

impl ShownTheme {
    /// Whether a node, an unfinished task or a setting names the theme.
    pub(super) fn is_known(&self) -> bool {
        let (info, tasks) = (&self.info, &self.unfinished);
        let is_set = info.paused || info.workers.is_some() || info.pause.is_some() || info.resize.is_some();
        is_set || !self.on_nodes.is_empty() || info.running > 0 || tasks.due > 0 || tasks.scheduled > Some(0)
    }
}

/// The theme of the path, if the caller may see it.
pub(super) fn theme(call: &Call) -> Result<String, Problem> {
    let theme = call.name("theme")?;
    check_theme(&theme)?;
    call.caller.needs_theme(&theme)?;
    Ok(theme)
}

pub(super) async fn list(mut call: Call) -> Result<HttpResponse, Problem> {
    call.query.finish()?;
    let themes = seen(&call).await?;
    call::json(StatusCode::OK, &Listed { themes })
}

/// The themes that the caller sees.
pub(super) async fn seen(call: &Call) -> Result<Vec<ThemeInfo>, Problem> {
    let mut themes = call.gaia().admin().themes().await?;
    themes.retain(|info| call.caller.sees_theme(&info.theme));
    Ok(themes)
}

pub(super) async fn show(mut call: Call) -> Result<HttpResponse, Problem> {
    let is_counted = wants_counts(&mut call.query);
    call.query.finish()?;
    let theme = theme(&call)?;
    call::json(StatusCode::OK, &shown(&call, &theme, is_counted).await?)
}

/// Counting finished tasks reads all of them, so a caller must ask for the counts.
pub(super) fn wants_counts(query: &mut Query) -> bool {
    let count = query.text("count");
    if let Some(other) = count.as_deref().filter(|count| !matches!(*count, "none" | "exact")) {
        query.fault("count", format!("count is {other:?}, expected none or exact"));
    }
    count.as_deref() == Some("exact")
}

/// A theme that the caller may see.
pub(super) async fn shown(call: &Call, theme: &str, is_counted: bool) -> Result<ShownTheme, Problem> {
    let admin = call.gaia().admin();
    let info = admin.theme(theme).await?;
    let (unfinished, methods) = admin.unfinished(theme).await?;
    let scheduler = call.gaia().scheduler(theme)?;
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
    let tasks = match is_counted {
        true => {
            let _turn = call.search().await?;
            Some(scheduler.count_by_status().await?)
        }
        false => None,
    };
    Ok(ShownTheme {
        info,
        unfinished,
        methods,
        on_nodes,
        here,
        tasks,
    })
}

pub(super) async fn methods(mut call: Call) -> Result<HttpResponse, Problem> {
    call.query.finish()?;
    let get = GetMethods {
        theme: Some(theme(&call)?),
    };
    let methods = call.gaia().admin().methods(get).await?;
    call::json(StatusCode::OK, &Methods { methods })
}

pub(super) async fn pause(mut call: Call) -> Result<HttpResponse, Problem> {
    call.finish_without_body()?;
    let (theme, by) = (theme(&call)?, Some(call.author()));
    let admin = call.gaia().admin();
    let pause = PauseTheme {
        theme: theme.clone(),
        by,
        reason: call.reason.take(),
    };
    admin.pause_theme(pause).await?;
    changed(&admin, &theme).await
}

pub(super) async fn resume(mut call: Call) -> Result<HttpResponse, Problem> {
    call.finish_without_body()?;
    let (theme, by) = (theme(&call)?, Some(call.author()));
    let admin = call.gaia().admin();
    let resume = ResumeTheme {
        theme: theme.clone(),
        by,
        reason: call.reason.take(),
    };
    admin.resume_theme(resume).await?;
    changed(&admin, &theme).await
}

pub(super) async fn resize(mut call: Call) -> Result<HttpResponse, Problem> {
    call.query.finish()?;
    let Size { workers } = call.typed()?;
    let (theme, by) = (theme(&call)?, Some(call.author()));
    let admin = call.gaia().admin();
    let resize = ResizeTheme {
        theme: theme.clone(),
        workers,
        by,
        reason: call.reason.take(),
    };
    admin.resize_theme(resize).await?;
    changed(&admin, &theme).await
}

/// The theme after a change.
async fn changed(admin: &Admin, theme: &str) -> Result<HttpResponse, Problem> {
    let info: ThemeInfo = admin.theme(theme).await?;
    call::json(StatusCode::OK, &info)
}

pub(super) mod described {
    use super::{Listed, Methods, ShownTheme, Size, ThemeInfo};
    use crate::{
        domain::MAX_THEME_CHARS,
        web::{
            body::Nothing,
            openapi::{
                Described,
                schemas::{one_of, text},
            },
        },
    };

    pub(in crate::web) fn list() -> Described {
        Described::new().answer::<Listed>(200, "The themes.")
    }

    fn of_theme() -> Described {
        Described::new().path("theme", text(MAX_THEME_CHARS), "The theme.")
    }

    pub(in crate::web) fn show() -> Described {
        let count = "`exact` counts the tasks of each status, which reads all tasks of the theme.";
        of_theme()
            .query("count", one_of(&["none", "exact"]), count)
            .answer::<ShownTheme>(200, "The theme.")
            .refuses(429, &["too_many_searches"])
    }

    pub(in crate::web) fn methods() -> Described {
        of_theme().answer::<Methods>(200, "The methods.")
    }

    pub(in crate::web) fn pause() -> Described {
        of_theme()
            .optional_body::<Nothing>()
            .answer::<ThemeInfo>(200, "The theme, which is paused.")
    }

    pub(in crate::web) fn resume() -> Described {
        of_theme()
            .optional_body::<Nothing>()
            .answer::<ThemeInfo>(200, "The theme, which is not paused.")
    }

    pub(in crate::web) fn resize() -> Described {
        of_theme()
            .body::<Size>()
            .answer::<ThemeInfo>(200, "The theme with its workers.")
    }
}
