//! Probes: whether the process answers, and whether it can take work.

use actix_web::{HttpResponse, http::StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    call::{self, Call},
    problem::Problem,
};
use crate::runtime::Readiness;

#[derive(Debug, Serialize, ToSchema)]
struct Health {
    healthy: bool,
}

/// Whether the process can take work.
#[derive(Debug, Serialize, ToSchema)]
struct Ready {
    /// Whether no check has failed.
    ready: bool,
    checks: Readiness,
}

#[expect(clippy::unused_async, reason = "every handler is asynchronous")]
pub(super) async fn healthz(mut call: Call) -> Result<HttpResponse, Problem> {
    call.query.finish()?;
    call::json(StatusCode::OK, &Health { healthy: true })
}

pub(super) async fn readyz(mut call: Call) -> Result<HttpResponse, Problem> {
    call.query.finish()?;
    let readiness = call.readiness().get(call.gaia()).await;
    let status = match readiness.is_ready() {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    let answer = Ready {
        ready: readiness.is_ready(),
        checks: readiness,
    };
    call::json(status, &answer)
}

pub(super) mod described {
    use super::{Health, Ready};
    use crate::web::openapi::Described;

    pub(in crate::web) fn healthz() -> Described {
        Described::new().answer::<Health>(200, "The process answers.")
    }

    pub(in crate::web) fn readyz() -> Described {
        Described::new()
            .answer::<Ready>(200, "The process can take work.")
            .answer::<Ready>(503, "A check has failed.")
    }
}
