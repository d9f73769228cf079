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
    problem::Problem,
    query::Query,
    record,
    routes::{Route, RouteAccess},
};

/// Headers of every answer.
pub(super) const HEADERS: [(HeaderName, &str); 3] = [
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
    let done = match prepared(&shared, &routes, &request, payload).await {
        Ok((call, route)) => run(call, route).await,
        Err(problem) => Err(problem),
    };
    let mut response = done.unwrap_or_else(Problem::into_response);
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Does what a route is for. Changes are logged, and noted in the audit. An operator sees a change on the next page; those who only add tasks
/// would have it read again for each of them.
pub(super) async fn run(call: Call, route: &'static Route) -> Result<HttpResponse, Problem> {
    let (name, request) = (call.caller.name().to_owned(), call.request.clone());
    let is_of_programs = is_of_programs(&route.access);
    let watch = (route.changes && !is_of_programs).then(|| call.watch());
    let events = call.gaia().events().clone();
    let done = match route.action {
        Some(action) => {
            let done = record::recorded(call, route, action).await;
            events.admin_action(action, record::kind_of(&done));
            done
        }
        None => (route.run)(call).await,
    };
    if let Some(watch) = watch {
        watch.has_changed();
    }
    if route.changes {
        let status = done.as_ref().map_or_else(Problem::status, HttpResponse::status);
        let (method, path) = (request.method(), request.uri().path());
        say!(Info, "HTTP: {name}: {method} {path}: {}", status.as_u16());
    }
    done
}

/// Who has sent the request, if the caller may use what has this access.
pub(super) async fn admitted(shared: &Shared, request: &HttpRequest, access: &RouteAccess) -> Result<Caller, Problem> {
    let caller = counted_caller(shared, request, Some(access)).await?;
    permitted(&caller, access)?;
    Ok(caller)
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
    let caller = counted_caller(shared, request, route.map(|route| &route.access)).await?;
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
    permitted(&caller, &route.access)?;
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
        version: None,
    };
    Ok((call, route))
}

/// Who has sent the request, which counts as one of the caller's, unless it is a probe or adds tasks. `None`: there is no such route.
async fn counted_caller(
    shared: &Shared,
    request: &HttpRequest,
    access: Option<&RouteAccess>,
) -> Result<Caller, Problem> {
    if access == Some(&RouteAccess::Anybody) {
        return Ok(Caller::new("anybody"));
    }
    let caller = known_caller(shared, request).await?;
    if !access.is_some_and(is_of_programs) {
        shared.options.limits.request(caller.name())?;
    }
    Ok(caller)
}

/// Whether programs use the route, many times a second.
fn is_of_programs(access: &RouteAccess) -> bool {
    matches!(access, RouteAccess::Permission(permission) if permission.is_of_programs())
}

fn permitted(caller: &Caller, access: &RouteAccess) -> Result<(), Problem> {
    let needed = match access {
        RouteAccess::Anybody | RouteAccess::AnyCaller => &[],
        RouteAccess::Permission(permission) => std::slice::from_ref(permission),
        RouteAccess::OneOf(permissions) => *permissions,
    };
    match needed.is_empty() || needed.iter().any(|permission| caller.may(*permission)) {
        true => Ok(()),
        false => Err(Problem::no_permission(needed)),
    }
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
