//! Probes: whether the process answers, and whether it can take work.

use std::time::{Duration, Instant};

use actix_web::{HttpResponse, http::StatusCode};
use serde::Serialize;
use tokio::sync::Mutex;
use utoipa::ToSchema;

use super::{
    call::{self, Call},
    problem::Problem,
};
use crate::runtime::{Gaia, Readiness};

/// For how long an answer holds: callers without access must not make the database work.
const HOLDS: Duration = Duration::from_secs(1);

/// The last answer, and when it was found.
#[derive(Debug, Default)]
pub(super) struct Cached(Mutex<Option<(Instant, Readiness)>>);

impl Cached {
    /// Callers that come while one of them asks wait for its answer.
    async fn get(&self, gaia: &Gaia) -> Readiness {
        let mut last = self.0.lock().await;
        if let Some((at, readiness)) = *last
            && at.elapsed() < HOLDS
        {
            return readiness;
        }
        let readiness = gaia.readiness().await;
        *last = Some((Instant::now(), readiness));
        readiness
    }
}

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
