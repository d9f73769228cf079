//! Cron expressions in words.

use actix_web::{HttpResponse, http::StatusCode};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::json;

use super::{
    call::{self, Call},
    problem::{Fault, Problem},
};
use crate::schedule::Language;

/// How many fires are listed, unless the caller says otherwise, and at most.
const FIRES: usize = 5;
const MOST_FIRES: usize = 50;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Explain {
    cron_expr: String,
    #[serde(default)]
    time_zone: Option<String>,
    /// The fires are those after this time; now, unless told otherwise.
    #[serde(default)]
    after: Option<DateTime<Utc>>,
    #[serde(default)]
    fires: Option<usize>,
}

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
    let answer = json!({
        "cron_expr": asked.cron_expr,
        "time_zone": schedule.zone().to_string(),
        "description": schedule.describe(Language::English),
        "description_zh": schedule.describe(Language::Chinese),
        "next_fires": next_fires,
    });
    call::json(StatusCode::OK, &answer)
}
