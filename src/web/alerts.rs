//! Alerts whose causes go on.

use actix_web::{HttpResponse, http::StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    call::{self, Call},
    problem::Problem,
    redact::Shown,
};
use crate::domain::{ListAlerts, OpenAlert};

pub(super) type ShownAlert = Shown<OpenAlert>;

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Alerts)]
struct Listed {
    alerts: Vec<ShownAlert>,
}

pub(super) async fn list(mut call: Call) -> Result<HttpResponse, Problem> {
    let themes = call.query.texts("theme");
    call.query.finish()?;
    let alerts = found(&call, themes).await?;
    call::json(StatusCode::OK, &Listed { alerts })
}

/// The alerts that the caller may see.
pub(super) async fn found(call: &Call, themes: Vec<String>) -> Result<Vec<ShownAlert>, Problem> {
    let themes = call.caller.limit_themes(themes)?;
    let alerts = call.gaia().admin().alerts(ListAlerts { themes }).await?;
    let eyes = call.eyes();
    Ok(alerts.into_iter().map(|alert| eyes.alert(alert)).collect())
}

/// The description of the route of the alerts.
pub(super) mod described {
    use super::Listed;
    use crate::{
        domain::{MAX_LISTED_THEMES, MAX_THEME_CHARS},
        web::openapi::{
            Described,
            schemas::{list as several, text},
        },
    };

    pub(in crate::web) fn list() -> Described {
        let themes = several(text(MAX_THEME_CHARS), MAX_LISTED_THEMES);
        Described::new()
            .query("theme", themes, "Only alerts of these themes.")
            .answer::<Listed>(200, "The open alerts, the newest first, at most 1,000.")
    }
}
