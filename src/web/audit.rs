//! What operators have changed.

use actix_web::{HttpResponse, http::StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    call::{self, Call},
    cursor::CursorOf,
    problem::Problem,
};
use crate::domain::{AuditEntry, ListAudit};

const LISTED: u32 = 50;
const MOST_LISTED: u32 = 200;

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Audit)]
struct Listed {
    entries: Vec<AuditEntry>,
    /// The cursor of the next page; `null`: this is the last one.
    next_cursor: Option<String>,
}

pub(super) async fn list(mut call: Call) -> Result<HttpResponse, Problem> {
    let limit = call.query.number("limit", 1..=MOST_LISTED, LISTED);
    let themes = call.query.texts("theme");
    let author = call.query.text("author");
    let action = call.query.text("action");
    let cursor = call.query.text("cursor");
    call.query.finish()?;
    let themes = call.caller.limit_themes(themes)?;
    let place = CursorOf::new("audit", &(&themes, &author, &action));
    let list = ListAudit {
        limit,
        before: cursor.map(|cursor| place.read(&cursor)).transpose()?,
        themes,
        author,
        action,
    };
    let entries = call.gaia().admin().audit(list).await?;
    let is_full = u32::try_from(entries.len()).is_ok_and(|found| found >= limit);
    let last = entries.last().filter(|_| is_full).map(|last| last.id);
    let answer = Listed {
        entries,
        next_cursor: last.map(|last| place.write(last)),
    };
    call::json(StatusCode::OK, &answer)
}

/// The description of the route of the audit.
pub(super) mod described {
    use super::{LISTED, Listed, MOST_LISTED};
    use crate::{
        domain::{MAX_ACTION_CHARS, MAX_AUTHOR_CHARS, MAX_LISTED_THEMES, MAX_THEME_CHARS},
        web::openapi::{
            Described,
            schemas::{list as several, number, text},
        },
    };

    pub(in crate::web) fn list() -> Described {
        let themes = several(text(MAX_THEME_CHARS), MAX_LISTED_THEMES);
        Described::new()
            .query("theme", themes, "Only changes in these themes.")
            .query("author", text(MAX_AUTHOR_CHARS), "Only changes of this caller.")
            .query(
                "action",
                text(MAX_ACTION_CHARS),
                "Only this action, such as `theme.pause`.",
            )
            .paged_by_cursor(number(&(1..=MOST_LISTED), LISTED))
            .answer::<Listed>(200, "A page of changes.")
    }
}
