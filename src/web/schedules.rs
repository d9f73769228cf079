//! Cron expressions in words.

use actix_web::{HttpResponse, http::StatusCode};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    call::{self, Call},
    problem::{Fault, Problem},
};
use crate::schedule::Language;

/// How many fires are listed, unless the caller says otherwise, and at most.
const FIRES: usize = 5;
const MOST_FIRES: usize = 50;

/// Which expression to explain.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Explain {
    cron_expr: String,
    /// The name of the time zone in which the expression is read. Without one: the zone of the process that answers.
    #[serde(default)]
    time_zone: Option<String>,
    /// The fires are those after this time; now, unless told otherwise.
    #[serde(default)]
    after: Option<DateTime<Utc>>,
    /// How many fires to list; 5, unless told otherwise.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 50)]
    fires: Option<usize>,
}

/// A schedule in words.
#[derive(Debug, Serialize, ToSchema)]
struct Explained {
    cron_expr: String,
    time_zone: String,
    /// In English.
    description: String,
    /// In Chinese.
    description_zh: String,
    next_fires: Vec<DateTime<Utc>>,
}

#[expect(clippy::unused_async, reason = "every handler is asynchronous")]
pub(super) async fn explain(mut call: Call) -> Result<HttpResponse, Problem> {
    call.query.finish()?;
    let asked: Explain = call.typed()?;
    let fires = asked.fires.unwrap_or(FIRES);
    let mut faults = Vec::new();
    if !(1..=MOST_FIRES).contains(&fires) {
        faults.push(Fault {
            pointer: Some("/fires".to_owned()),
            ..Fault::of(format!("fires is {fires}, expected 1 to {MOST_FIRES}"))
        });
    }
    let gaia = call.gaia();
    let schedule = match gaia.jobs().schedule(&asked.cron_expr, asked.time_zone.as_deref()) {
        Ok(schedule) if faults.is_empty() => schedule,
        read => {
            if let Err(error) = read {
                faults.push(Fault {
                    pointer: Some("/cron_expr".to_owned()),
                    ..Fault::of(error.to_string())
                });
            }
            return Err(Problem::invalid(faults));
        }
    };
    let after = asked.after.unwrap_or_else(|| gaia.store().clock().now());
    let next_fires: Vec<DateTime<Utc>> = schedule.iter_after(after).take(fires).collect();
    let answer = Explained {
        cron_expr: asked.cron_expr,
        time_zone: schedule.zone().to_string(),
        description: schedule.describe(Language::English),
        description_zh: schedule.describe(Language::Chinese),
        next_fires,
    };
    call::json(StatusCode::OK, &answer)
}

pub(super) mod described {
    use super::{Explain, Explained};
    use crate::web::openapi::Described;

    pub(in crate::web) fn explain() -> Described {
        Described::new()
            .body::<Explain>()
            .answer::<Explained>(200, "The schedule in words.")
    }
}
