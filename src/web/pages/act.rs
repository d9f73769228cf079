//! Forms of the pages. A form becomes a call of the API: the same route, the same permissions, the same entry in the audit.

use std::sync::Arc;

use actix_web::{
    HttpRequest, HttpResponse,
    dev::Payload,
    http::{
        StatusCode,
        header::{CONTENT_TYPE, LOCATION},
    },
    web::Bytes,
};
use futures_util::future::LocalBoxFuture;
use serde_json::{Map, Value, json};

use super::{
    html_answer, jobs,
    layout::Page,
    refusal,
    view::{self, View},
    with_headers,
};
use crate::web::{
    Shared,
    access::Caller,
    body::{self, BodyRule, BodyType},
    call::Call,
    dispatch, origin,
    problem::{Fault, Problem},
    query::Query,
    routes::{ROUTES, Route},
};

/// A form: its path below the root of the pages, and the route of the API that it calls.
pub(super) struct Form {
    pub(super) path: &'static str,
    method: &'static str,
    route: &'static str,
    body: fn(&mut Query) -> Result<Value, Problem>,
    /// Shows a form in which people have typed much once more. `None`: a refusal has a separate page.
    again: Option<Again>,
}

/// Shows a form with everything that was typed, which is the call's query: with its faults, or, for a preview, without.
type Again = fn(Call, View, Option<Problem>) -> LocalBoxFuture<'static, Result<Page, Problem>>;

/// The name of the button that shows a form again and does nothing.
pub(super) const PREVIEW: &str = "preview";

const fn form(path: &'static str, route: &'static str, body: fn(&mut Query) -> Result<Value, Problem>) -> Form {
    Form {
        path,
        method: "POST",
        route,
        body,
        again: None,
    }
}

pub(super) const FORMS: &[Form] = &[
    form("/tasks/bulk", "/tasks/bulk", bulk),
    form("/tasks/{id}/cancel", "/tasks/{id}/cancel", nothing),
    form("/tasks/{id}/retry", "/tasks/{id}/retry", nothing),
    form("/tasks/{id}/run_now", "/tasks/{id}/run_now", nothing),
    Form {
        method: "DELETE",
        ..form("/tasks/{id}/delete", "/tasks/{id}", nothing)
    },
    form("/operations/{id}/cancel", "/operations/{id}/cancel", nothing),
    form("/themes/{theme}/pause", "/themes/{theme}/pause", nothing),
    form("/themes/{theme}/resume", "/themes/{theme}/resume", nothing),
    Form {
        method: "PUT",
        ..form("/themes/{theme}/workers", "/themes/{theme}/workers", workers_or_own)
    },
    Form {
        method: "PUT",
        ..form(
            "/nodes/{node}/themes/{theme}/workers",
            "/nodes/{node}/themes/{theme}/workers",
            workers,
        )
    },
    Form {
        method: "PUT",
        ..form("/limits/{service}/{method}", "/limits/{service}/{method}", limit)
    },
    Form {
        method: "DELETE",
        ..form(
            "/limits/{service}/{method}/remove",
            "/limits/{service}/{method}",
            nothing,
        )
    },
    Form {
        again: Some(jobs::again),
        ..form("/jobs", "/jobs", jobs::definition)
    },
    Form {
        method: "PUT",
        again: Some(jobs::again),
        ..form("/jobs/{id}/edit", "/jobs/{id}", jobs::definition)
    },
    Form {
        method: "DELETE",
        ..form("/jobs/{id}/delete", "/jobs/{id}", nothing)
    },
    form("/jobs/{id}/enable", "/jobs/{id}/enable", nothing),
    form("/jobs/{id}/disable", "/jobs/{id}/disable", nothing),
    form("/jobs/{id}/run", "/jobs/{id}/run", nothing),
    form("/jobs/{id}/cancel", "/jobs/{id}/cancel", nothing),
];

/// The form that is sent to a page's own path.
pub(super) fn of_path(path: &str) -> Option<&'static Form> {
    FORMS.iter().find(|form| form.path == path)
}

impl Form {
    fn route(&self) -> Option<&'static Route> {
        ROUTES
            .iter()
            .find(|route| (route.method, route.path) == (self.method, self.route))
    }
}

/// Does what the form says, and leads back to its page; or says why it was not done.
pub(super) async fn answer(
    shared: Arc<Shared>,
    form: &'static Form,
    request: HttpRequest,
    payload: Payload,
) -> HttpResponse {
    let environment = shared.options.environment.clone();
    let mut known = Caller::new("unknown");
    let answered = act(shared, form, &request, payload, &mut known).await;
    answered.unwrap_or_else(|problem| refusal(&View::new(&request, form.path, known, environment), problem))
}

async fn act(
    shared: Arc<Shared>,
    form: &'static Form,
    request: &HttpRequest,
    payload: Payload,
    known: &mut Caller,
) -> Result<HttpResponse, Problem> {
    let route = form.route().ok_or_else(|| Problem::no_route(form.path))?;
    let caller = dispatch::admitted(&shared, request, &route.access).await?;
    known.clone_from(&caller);
    origin::check(request)?;
    let call = Call {
        shared,
        request: request.clone(),
        caller,
        query: fields(route.body, request, payload).await?,
        body: Bytes::new(),
        body_type: BodyType::Json,
        reason: None,
        version: None,
    };
    let Some(again) = form.again else {
        return done(call, form, route).await;
    };
    let problem = match call.query.has(PREVIEW) {
        true => None,
        false => match done(call.clone(), form, route).await {
            Ok(response) => return Ok(response),
            Err(problem) => Some(problem),
        },
    };
    let status = problem.as_ref().map_or(StatusCode::OK, Problem::status);
    let environment = call.shared().options.environment.clone();
    let view = View::new(request, form.path, call.caller.clone(), environment);
    let page = again(call, view.clone(), problem).await?;
    Ok(html_answer(status, &view, &page))
}

/// Does what the fields of a form say, and leads back to its page.
async fn done(mut call: Call, form: &'static Form, route: &'static Route) -> Result<HttpResponse, Problem> {
    let mut fields = std::mem::take(&mut call.query);
    let back = fields
        .text("back")
        .filter(|back| view::is_place(back))
        .unwrap_or_default();
    let reason = fields.text("reason").filter(|reason| !reason.trim().is_empty());
    call.version = fields.text("version");
    let mut body = (form.body)(&mut fields)?;
    fields.finish()?;
    match (&mut body, reason) {
        (Value::Object(body), Some(reason)) if route.body == BodyRule::Small => {
            body.insert("reason".to_owned(), json!(reason));
        }
        (_, reason) => call.reason = reason,
    }
    call.body = body.to_string().into();
    let done = dispatch::run(call, route).await?;
    let action = route.action.unwrap_or_default();
    // The new row has a page.
    let made = done.headers().get(LOCATION).and_then(|place| place.to_str().ok());
    let to = made.map_or(back, |place| place.trim_start_matches("../").to_owned());
    let up = "../".repeat(form.path.matches('/').count().saturating_sub(1));
    let sign = if to.contains('?') { '&' } else { '?' };
    let place = format!("./{up}{to}{sign}done={action}");
    let leads_on = HttpResponse::SeeOther().insert_header((LOCATION, place)).finish();
    Ok(with_headers(leads_on))
}

/// The fields of a form, which are read as strictly as a query.
async fn fields(rule: BodyRule, request: &HttpRequest, payload: Payload) -> Result<Query, Problem> {
    let content_type = request
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = content_type
        .and_then(|value| value.split(';').next())
        .unwrap_or_default();
    if essence.trim() != "application/x-www-form-urlencoded" {
        return Err(Problem::other_type("application/x-www-form-urlencoded"));
    }
    let body = rule.read(request.headers(), payload).await?;
    let text = std::str::from_utf8(&body).map_err(|_| Problem::bad_json("the form is no UTF-8"))?;
    Query::parse(text)
}

#[expect(clippy::unnecessary_wraps, reason = "the type of all forms")]
fn nothing(_: &mut Query) -> Result<Value, Problem> {
    Ok(Value::Object(Map::new()))
}

/// A number, or blank: each node has its own.
fn workers_or_own(fields: &mut Query) -> Result<Value, Problem> {
    let workers = fields.text("workers").unwrap_or_default();
    match workers.trim() {
        "" => Ok(json!({ "workers": null })),
        number => Ok(json!({ "workers": whole("workers", number)? })),
    }
}

fn workers(fields: &mut Query) -> Result<Value, Problem> {
    let workers = fields.text("workers").unwrap_or_default();
    Ok(json!({ "workers": whole("workers", workers.trim())? }))
}

/// A number, if the field is not blank.
fn number(fields: &mut Query, name: &'static str) -> Result<Option<i64>, Problem> {
    let text = fields.text(name).unwrap_or_default();
    match text.trim() {
        "" => Ok(None),
        number => whole(name, number).map(Some),
    }
}

/// Units of times in forms, with their milliseconds.
pub(super) const UNITS: [(&str, u32); 5] = [
    ("ms", 1),
    ("s", 1_000),
    ("min", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

fn limit(fields: &mut Query) -> Result<Value, Problem> {
    Ok(json!({
        "running": number(fields, "running")?,
        "starts": pace(fields, "starts", "per", "unit")?,
        "running_per_key": number(fields, "running_per_key")?,
        "starts_per_key": pace(fields, "starts_per_key", "per_key", "unit_per_key")?,
    }))
}

/// How many may start in a time. Without their number the time says nothing.
fn pace(
    fields: &mut Query,
    starts: &'static str,
    per: &'static str,
    unit: &'static str,
) -> Result<Option<Value>, Problem> {
    let count = number(fields, starts)?;
    let (time, unit) = (fields.text(per).unwrap_or_default(), fields.text(unit));
    let Some(count) = count else {
        return Ok(None);
    };
    let unit = UNITS.iter().find(|(code, _)| unit.as_deref() == Some(*code));
    let (_, unit) = unit.ok_or_else(|| Problem::invalid(vec![Fault::of("the form holds no unit of time")]))?;
    let per_ms = whole(per, time.trim())?.saturating_mul(i64::from(*unit));
    Ok(Some(json!({ "count": count, "per_ms": per_ms })))
}

pub(super) fn whole(name: &str, text: &str) -> Result<i64, Problem> {
    text.parse().map_err(|_| {
        Problem::invalid(vec![Fault {
            pointer: Some(format!("/{name}")),
            ..Fault::of(format!("{name} is {text:?}, expected a whole number"))
        }])
    })
}

/// The operation that the question before has shown, as JSON.
fn bulk(fields: &mut Query) -> Result<Value, Problem> {
    let bulk = fields.text("bulk").unwrap_or_default();
    body::parsed(&bulk).map_err(|_| Problem::bad_json("the form holds no bulk operation"))
}
