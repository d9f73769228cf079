//! What ended in the past, for charts.

use actix_web::{HttpResponse, http::StatusCode};
use chrono::TimeDelta;

use super::{
    call::{self, Call},
    problem::Problem,
    themes,
};
use crate::domain::{GetHistory, HistoryKind};

/// How far back an answer goes unless the caller says from when.
const BACK: TimeDelta = TimeDelta::hours(1);
const LONGEST_STEP: u32 = 604_800;

/// The history of every theme, or of all jobs.
pub(super) async fn of_all(mut call: Call) -> Result<HttpResponse, Problem> {
    let kind = call.query.value("kind").unwrap_or_default();
    let theme = call.query.text("theme");
    let get = asked(&mut call, kind, theme)?;
    match (kind, &get.theme) {
        (HistoryKind::Task, Some(theme)) => call.caller.needs_theme(theme)?,
        _ => call.caller.needs_all_themes()?,
    }
    answer(&call, get).await
}

pub(super) async fn of_theme(mut call: Call) -> Result<HttpResponse, Problem> {
    let theme = themes::theme(&call)?;
    let get = asked(&mut call, HistoryKind::Task, Some(theme))?;
    answer(&call, get).await
}

fn asked(call: &mut Call, kind: HistoryKind, theme: Option<String>) -> Result<GetHistory, Problem> {
    let now = call.gaia().store().clock().now();
    let to = call.query.time("to").unwrap_or(now);
    let from = call.query.time("from");
    let get = GetHistory {
        from: from.unwrap_or_else(|| to.checked_sub_signed(BACK).unwrap_or(to)),
        to,
        kind,
        theme,
        service: call.query.text("service"),
        method: call.query.text("method"),
        step: call.query.number("step", 10..=LONGEST_STEP, 60),
        by_method: call.query.flag("by_method").unwrap_or(false),
    };
    call.query.finish()?;
    Ok(get)
}

async fn answer(call: &Call, get: GetHistory) -> Result<HttpResponse, Problem> {
    call::json(StatusCode::OK, &call.gaia().admin().history(get).await?)
}
