//! From a request to its route: every check that does not depend on what a route does, and the headers of all answers.

use std::sync::Arc;

use actix_web::{
    HttpRequest, HttpResponse,
    dev::Payload,
    http::{
        Method,
        header::{CACHE_CONTROL, HeaderName, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS},
    },
};

use super::{
    Shared,
    access::Caller,
    body::BodyType,
    call::Call,
    origin,
    permission::Permission,
    problem::Problem,
    query::Query,
    record,
    routes::{Route, RouteAccess},
};

/// Headers of every answer.
const HEADERS: [(HeaderName, &str); 3] = [
    (CACHE_CONTROL, "no-store"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
];

/// Answers a request to one of these routes, which share a path.
pub(super) async fn answer(
    shared: Arc<Shared>,
    routes: Arc<[&'static Route]>,
    request: HttpRequest,
    payload: Payload,
) -> HttpResponse {
    let done = prepared(&shared, &routes, &request, payload).await;
    let done = match done {
        Ok((call, route)) => {
            let name = call.caller.name().to_owned();
            let done = match route.action {
                Some(action) => record::recorded(call, route, action).await,
                None => (route.run)(call).await,
            };
            if route.changes {
                let status = done.as_ref().map_or_else(Problem::status, HttpResponse::status);
                let (method, path) = (request.method(), request.uri().path());
                say!(Info, "HTTP: {name}: {method} {path}: {}", status.as_u16());
            }
            done
        }
        Err(problem) => Err(problem),
    };
    let mut response = done.unwrap_or_else(Problem::into_response);
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Makes every check that does not depend on what a route does. The body is read last, so that nobody without access can fill the memory.
async fn prepared(
    shared: &Arc<Shared>,
    routes: &[&'static Route],
    request: &HttpRequest,
    payload: Payload,
) -> Result<(Call, &'static Route), Problem> {
    let method = match *request.method() {
        Method::HEAD => "GET",
        ref other => other.as_str(),
    };
    let route = routes.iter().copied().find(|route| route.method == method);
    let is_open = route.is_some_and(|route| route.access == RouteAccess::Anybody);
    let caller = match is_open {
        true => Caller::new("anybody"),
        false => known_caller(shared, request).await?,
    };
    let is_enqueue = route.is_some_and(|route| route.access == RouteAccess::Permission(Permission::Enqueue));
    if !is_open && !is_enqueue {
        shared.options.limits.request(caller.name())?;
    }
    let Some(route) = route else {
        let path = request.uri().path();
        return Err(match routes {
            [] => Problem::no_route(path),
            routes => Problem::other_method(
                request.method().as_str(),
                &routes.iter().map(|route| route.method).collect::<Vec<_>>(),
            ),
        });
    };
    if route.method != "GET" {
        origin::check(request)?;
    }
    let needed = match &route.access {
        RouteAccess::Anybody | RouteAccess::AnyCaller => &[],
        RouteAccess::Permission(permission) => std::slice::from_ref(permission),
        RouteAccess::OneOf(permissions) => permissions,
    };
    if !needed.is_empty() && !needed.iter().any(|permission| caller.may(*permission)) {
        return Err(Problem::no_permission(needed));
    }
    let body_type = route.body.type_of(request.headers())?;
    let query = Query::parse(request.query_string())?;
    let body = route.body.read(request.headers(), payload).await?;
    if body_type.is_none() && !body.is_empty() {
        return Err(Problem::other_type("application/json, and say so in content-type"));
    }
    let call = Call {
        shared: Arc::clone(shared),
        request: request.clone(),
        caller,
        query,
        body,
        body_type: body_type.unwrap_or(BodyType::Json),
        reason: None,
    };
    Ok((call, route))
}

/// Who has sent the request. An address that fails too often is told to wait.
async fn known_caller(shared: &Shared, request: &HttpRequest) -> Result<Caller, Problem> {
    let (access, limits) = (&shared.options.access, &shared.options.limits);
    let peer = request.peer_addr().map(|peer| peer.ip());
    if access.can_be_guessed() {
        limits.may_try(peer)?;
    }
    access
        .caller(request)
        .await
        .map_err(|problem| limits.failure(peer).err().unwrap_or(problem))
}
