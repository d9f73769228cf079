//! What goes wrong in a theme.

use actix_web::{HttpResponse, http::StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    call::{self, Call},
    problem::Problem,
    redact::Shown,
    themes,
};
use crate::domain::{ErrorGroup, GetErrors, SearchedTo};

pub(super) const GROUPS: u32 = 50;
const MOST_GROUPS: u32 = 200;

pub(super) type ShownGroup = Shown<ErrorGroup>;

/// The errors of a theme, in groups.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TaskErrors)]
pub(super) struct Grouped {
    /// Those with the most attempts come first.
    pub(super) groups: Vec<ShownGroup>,
    /// How many tasks were read, in all groups and beyond the limit.
    tasks: u64,
    /// How many groups there are beyond the limit.
    pub(super) more_groups: u64,
    /// Reading has taken long and has ended early: it has looked back as far as this task.
    pub(super) searched_from: Option<SearchedTo>,
}

pub(super) async fn of_theme(mut call: Call) -> Result<HttpResponse, Problem> {
    let since = call.query.value("since").unwrap_or_default();
    let attempts = call.query.value("attempts").unwrap_or_default();
    let limit = call.query.number("limit", 1..=MOST_GROUPS, GROUPS);
    call.query.finish()?;
    let theme = themes::theme(&call)?;
    let answer = grouped(
        &call,
        GetErrors {
            theme,
            since,
            attempts,
            limit,
        },
    )
    .await?;
    call::json(StatusCode::OK, &answer)
}

/// The errors of a theme that the caller may see.
pub(super) async fn grouped(call: &Call, get: GetErrors) -> Result<Grouped, Problem> {
    let _turn = call.search().await?;
    let errors = call.gaia().admin().errors(get).await?;
    let eyes = call.eyes();
    Ok(Grouped {
        groups: errors.groups.into_iter().map(|group| eyes.error_group(group)).collect(),
        tasks: errors.tasks,
        more_groups: errors.more_groups,
        searched_from: errors.searched_back_to,
    })
}

pub(super) mod described {
    use super::{GROUPS, Grouped, MOST_GROUPS};
    use crate::{
        domain::{ErrorAttempts, ErrorsSince, MAX_THEME_CHARS},
        web::openapi::{
            Described,
            schemas::{number, reference, text},
        },
    };

    pub(in crate::web) fn of_theme() -> Described {
        Described::new()
            .path("theme", text(MAX_THEME_CHARS), "The theme.")
            .with::<ErrorsSince>()
            .query(
                "since",
                reference::<ErrorsSince>(),
                "Only runs that ended in this time before now; `24h`, unless told otherwise.",
            )
            .with::<ErrorAttempts>()
            .query(
                "attempts",
                reference::<ErrorAttempts>(),
                "`last`: the last error of each task that has failed or waits for another attempt, unless told otherwise. `all`: the errors of \
                 all attempts that have failed, also of tasks that have succeeded since.",
            )
            .query(
                "limit",
                number(&(1..=MOST_GROUPS), GROUPS),
                "The most groups of the answer.",
            )
            .answer::<Grouped>(200, "The errors.")
            .refuses(429, &["too_many_searches"])
    }
}
