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
const SHORTEST_STEP: u32 = 10;
const STEP: u32 = 60;

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
        step: call.query.number("step", SHORTEST_STEP..=LONGEST_STEP, STEP),
        by_method: call.query.flag("by_method").unwrap_or(false),
    };
    call.query.finish()?;
    Ok(get)
}

async fn answer(call: &Call, get: GetHistory) -> Result<HttpResponse, Problem> {
    let _turn = call.search().await?;
    call::json(StatusCode::OK, &call.gaia().admin().history(get).await?)
}

pub(super) mod described {
    use super::{LONGEST_STEP, SHORTEST_STEP, STEP};
    use crate::{
        domain::{History, HistoryKind, MAX_NAME_CHARS, MAX_THEME_CHARS},
        web::openapi::{
            Described,
            schemas::{flag, number, reference, text, time},
        },
    };

    fn of(described: Described) -> Described {
        let mut step = number(&(SHORTEST_STEP..=LONGEST_STEP), STEP);
        step.multiple_of = Some(SHORTEST_STEP.into());
        described
            .query(
                "from",
                time(),
                "What ended at or after this time; an hour before `to`, unless told otherwise.",
            )
            .query("to", time(), "What ended before this time; now, unless told otherwise.")
            .query("service", text(MAX_NAME_CHARS), "Only this service.")
            .query("method", text(MAX_NAME_CHARS), "Only this method.")
            .query(
                "step",
                step,
                "How many seconds a point covers. An answer has at most 1,000 steps.",
            )
            .query(
                "by_method",
                flag(Some(false)),
                "Whether each method has points of its own.",
            )
            .answer::<History>(200, "What ended.")
            .refuses(429, &["too_many_searches"])
    }

    pub(in crate::web) fn of_all() -> Described {
        let described = Described::new()
            .with::<HistoryKind>()
            .query(
                "kind",
                reference::<HistoryKind>(),
                "Of tasks, unless told otherwise, or of jobs.",
            )
            .query(
                "theme",
                text(MAX_NAME_CHARS),
                "Only this theme, or the job with this name.",
            );
        of(described)
    }

    pub(in crate::web) fn of_theme() -> Described {
        of(Described::new().path("theme", text(MAX_THEME_CHARS), "The theme."))
    }
}
