//! What operators have changed.

use actix_web::{HttpResponse, http::StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    call::{self, Call},
    cursor::CursorOf,
    problem::Problem,
    query::Query,
};
use crate::domain::{AuditEntry, ListAudit};

const LISTED: u32 = 50;
const MOST_LISTED: u32 = 200;

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Audit)]
pub(super) struct Listed {
    pub(super) entries: Vec<AuditEntry>,
    /// The cursor of the next page; `null`: this is the last one.
    pub(super) next_cursor: Option<String>,
}

/// What a caller asks for.
pub(super) struct Asked {
    pub(super) limit: u32,
    pub(super) themes: Vec<String>,
    pub(super) author: Option<String>,
    pub(super) action: Option<String>,
    pub(super) cursor: Option<String>,
}

/// Reads what a caller asks for. Faults are noted with the query.
pub(super) fn asked(query: &mut Query) -> Asked {
    Asked {
        limit: query.number("limit", 1..=MOST_LISTED, LISTED),
        themes: query.texts("theme"),
        author: query.text("author"),
        action: query.text("action"),
        cursor: query.text("cursor"),
    }
}

pub(super) async fn list(mut call: Call) -> Result<HttpResponse, Problem> {
    let asked = asked(&mut call.query);
    call.query.finish()?;
    call::json(StatusCode::OK, &found(&call, asked).await?)
}

/// A page of the entries that the caller may see.
pub(super) async fn found(call: &Call, asked: Asked) -> Result<Listed, Problem> {
    let Asked {
        limit,
        themes,
        author,
        action,
        cursor,
    } = asked;
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
    Ok(Listed {
        entries,
        next_cursor: last.map(|last| place.write(last)),
    })
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
