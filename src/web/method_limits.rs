//! The limits of methods.

use actix_web::{HttpResponse, http::StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    call::{self, Call},
    problem::Problem,
};
use crate::{
    admin::{MethodLimit, RemoveLimit, SetLimit},
    domain::Limit,
};

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MethodLimits)]
struct Listed {
    limits: Vec<MethodLimit>,
}

/// The limit that a body asks for.
pub(super) fn asked(call: &Call) -> Result<Limit, Problem> {
    call.typed()
}

/// The service and the method of the path.
pub(super) fn named(call: &Call) -> Result<(String, String), Problem> {
    Ok((call.name("service")?, call.name("method")?))
}

pub(super) async fn list(mut call: Call) -> Result<HttpResponse, Problem> {
    call.query.finish()?;
    let limits = seen(&call).await?;
    call::json(StatusCode::OK, &Listed { limits })
}

/// The limits. They hold for all themes, so callers who are limited to themes see none.
pub(super) async fn seen(call: &Call) -> Result<Vec<MethodLimit>, Problem> {
    call.caller.needs_all_themes()?;
    Ok(call.gaia().admin().limits().await?)
}

/// The limit that a method has.
pub(super) async fn found(call: &Call, service: &str, method: &str) -> Result<Option<MethodLimit>, Problem> {
    let mut limits = call.gaia().admin().limits().await?.into_iter();
    Ok(limits.find(|limit| limit.service == service && limit.method == method))
}

pub(super) async fn set(mut call: Call) -> Result<HttpResponse, Problem> {
    call.query.finish()?;
    let limit = asked(&call)?;
    let (service, method) = named(&call)?;
    call.caller.needs_all_themes()?;
    let set = SetLimit::new(&service, &method, limit);
    call.gaia().admin().set_limit(set).await?;
    match found(&call, &service, &method).await? {
        Some(limit) => call::json(StatusCode::OK, &limit),
        // Another caller has lifted it since.
        None => Err(Problem::no_limit(&service, &method)),
    }
}

pub(super) async fn remove(mut call: Call) -> Result<HttpResponse, Problem> {
    call.finish_without_body()?;
    let (service, method) = named(&call)?;
    call.caller.needs_all_themes()?;
    // The database takes no zero byte: a name that holds one has no limit, and is not asked for.
    if found(&call, &service, &method).await?.is_none() {
        return Err(Problem::no_limit(&service, &method));
    }
    let remove = RemoveLimit {
        service: service.clone(),
        method: method.clone(),
    };
    match call.gaia().admin().remove_limit(remove).await? {
        true => Ok(HttpResponse::NoContent().finish()),
        false => Err(Problem::no_limit(&service, &method)),
    }
}

pub(super) mod described {
    use super::{Limit, Listed, MethodLimit};
    use crate::{
        domain::MAX_NAME_CHARS,
        web::{
            body::Nothing,
            openapi::{Described, schemas::text},
        },
    };

    pub(in crate::web) fn list() -> Described {
        Described::new().answer::<Listed>(200, "The limits, by service and method.")
    }

    fn of_method() -> Described {
        Described::new()
            .path("service", text(MAX_NAME_CHARS), "The service.")
            .path("method", text(MAX_NAME_CHARS), "The method.")
            .refuses(404, &["limit_not_found"])
    }

    pub(in crate::web) fn set() -> Described {
        of_method()
            .body::<Limit>()
            .answer::<MethodLimit>(200, "The limit, and how much of it is used.")
    }

    pub(in crate::web) fn remove() -> Described {
        of_method()
            .optional_body::<Nothing>()
            .empty_answer(204, "The method has no limit any more.")
    }
}
