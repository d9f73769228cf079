//! The pages for operators: HTML for people, made from what the API answers with.
//!
//! Every page works without a script: lists, details and actions are links and forms. A script refreshes pages, shows times in the reader's
//! zone and draws charts. All URLs are relative, so the pages work below any path and behind any proxy.

mod act;
mod alerts;
mod assets;
mod audit;
mod bulk;
mod errors;
mod jobs;
mod layout;
mod limits;
mod log;
mod methods;
mod nodes;
mod operations;
mod overview;
mod parts;
mod past;
mod resizes;
mod settings;
mod task;
mod tasks;
mod themes;
mod view;
mod words;

use std::sync::Arc;

use actix_web::{
    HttpRequest, HttpResponse,
    dev::{AppService, HttpServiceFactory, Payload},
    http::{
        StatusCode,
        header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, LOCATION},
    },
    web,
};
use futures_util::future::LocalBoxFuture;
use maud::html;

use self::{
    layout::{Page, document},
    view::View,
};
use super::{
    Shared,
    body::BodyType,
    call::Call,
    dispatch,
    problem::{Fault, Problem},
    query::Query,
    routes::RouteAccess,
};
use crate::web::permission::Permission;

/// What pages may load: their own files. Nothing runs, and nothing looks, as data say.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// A page.
struct Row {
    path: &'static str,
    access: RouteAccess,
    show: fn(Call, View) -> LocalBoxFuture<'static, Result<Page, Problem>>,
}

macro_rules! pages {
    ($($path:literal $permission:ident $part:ident::$show:ident;)*) => {
        /// Every page. The order is that in which actix-web tries the paths.
        const PAGES: &[Row] = &[$(Row {
            path: $path,
            access: RouteAccess::Permission(Permission::$permission),
            show: |call, view| Box::pin($part::$show(call, view)),
        }),*];
    };
}

pages! {
    "/" View overview::show;
    "/tasks" View tasks::show;
    "/tasks/bulk" View bulk::ask;
    "/errors" View errors::show;
    "/methods" View methods::show;
    "/jobs" View jobs::list;
    "/jobs/new" View jobs::new;
    "/nodes" View nodes::list;
    "/audit" View audit::show;
    "/alerts" View alerts::show;
    "/operations" View operations::list;
    "/tasks/{id}" View task::show;
    "/tasks/{id}/log" ViewArgs log::of_task;
    "/runs/{id}/log" ViewArgs log::of_run;
    "/themes/{theme}" View themes::show;
    "/jobs/{id}" View jobs::show;
    "/jobs/{id}/edit" View jobs::edit;
    "/runs/{id}" View jobs::run;
    "/nodes/{node}" View nodes::show;
    "/operations/{id}" View operations::show;
}

/// Mounts the pages, and nothing else: other paths are left to the application.
pub(super) fn register(shared: &Arc<Shared>, config: &mut AppService) {
    for row in PAGES {
        let page = {
            let shared = Arc::clone(shared);
            move |request: HttpRequest| answer(Arc::clone(&shared), row, request)
        };
        let mut resource = web::resource(row.path).get(page.clone()).route(web::head().to(page));
        if let Some(form) = act::of_path(row.path) {
            resource = resource.post(posted(shared, form));
        }
        resource.register(config);
    }
    for form in act::FORMS
        .iter()
        .filter(|form| PAGES.iter().all(|row| row.path != form.path))
    {
        web::resource(form.path).post(posted(shared, form)).register(config);
    }
    web::resource("/assets/{name}").get(assets::show).register(config);
    web::resource("/settings").get(settings::set).register(config);
    // The root without its slash: relative URLs would lead one level too high.
    web::resource("").get(with_slash).register(config);
}

/// The handler of a form.
fn posted(
    shared: &Arc<Shared>,
    form: &'static act::Form,
) -> impl Fn(HttpRequest, web::Payload) -> LocalBoxFuture<'static, HttpResponse> + Clone + 'static {
    let shared = Arc::clone(shared);
    move |request, body| {
        let shared = Arc::clone(&shared);
        let body: Payload = body.into_inner();
        Box::pin(async move { act::answer(shared, form, request, body).await })
    }
}

async fn with_slash(request: HttpRequest) -> HttpResponse {
    let last = request.uri().path().rsplit('/').next().unwrap_or_default();
    HttpResponse::PermanentRedirect()
        .insert_header((LOCATION, format!("./{last}/")))
        .finish()
}

/// Answers with a page, or with a page that says why there is none.
async fn answer(shared: Arc<Shared>, row: &'static Row, request: HttpRequest) -> HttpResponse {
    let environment = shared.options.environment.clone();
    let caller = match dispatch::admitted(&shared, &request, &row.access).await {
        Ok(caller) => caller,
        Err(problem) => {
            let nobody = super::access::Caller::new("unknown");
            return refusal(&View::new(&request, row.path, nobody, environment), problem);
        }
    };
    let mut view = View::new(&request, row.path, caller.clone(), environment.clone());
    let shown = async {
        let mut query = Query::parse(request.query_string())?;
        view.done = query.text("done");
        let call = Call {
            shared,
            request: request.clone(),
            caller: caller.clone(),
            query,
            body: web::Bytes::new(),
            body_type: BodyType::Json,
            reason: None,
            version: None,
        };
        let page = (row.show)(call, view.clone()).await?;
        Ok::<_, Problem>(html_answer(StatusCode::OK, &view, &page))
    };
    match shown.await {
        Ok(response) => response,
        Err(problem) => refusal(&View::new(&request, row.path, caller, environment), problem),
    }
}

/// A fault in the reader's language, with the label of its field.
fn told(view: &View, fault: &Fault) -> String {
    let text = view.words.fault(&fault.detail);
    let name = fault.pointer.as_deref().and_then(|pointer| pointer.strip_prefix('/'));
    match name.and_then(view.words.field) {
        Some(label) if !text.contains(label) => format!("{label}{}{text}", view.words.colon),
        _ => text,
    }
}

fn html_answer(status: StatusCode, view: &View, page: &Page) -> HttpResponse {
    let text = document(view, page).into_string();
    with_headers(HttpResponse::build(status).body(text))
}

fn with_headers(mut response: HttpResponse) -> HttpResponse {
    let headers = response.headers_mut();
    for (name, value) in dispatch::HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}

/// A page that tells the problem.
fn refusal(view: &View, problem: Problem) -> HttpResponse {
    let status = problem.status();
    let page = Page {
        title: format!("{} {}", status.as_u16(), view.words.not_done),
        place: None,
        is_live: false,
        body: html! {
            div.card {
                h1 { (status.as_u16()) " " ((view.words.refused)(status.as_u16()).or(status.canonical_reason()).unwrap_or_default()) }
                @match problem.is_its_faults() {
                    true => ul { @for fault in problem.faults() { li.error { (told(view, fault)) } } },
                    false => p.error { (view.words.fault(problem.detail())) },
                }
                p.faint { code { (problem.code()) } }
                p { a.button href=(view.to("")) { (view.words.overview) } }
            }
        },
    };
    let text = document(view, &page).into_string();
    // The challenge of a login and the time to try again are headers of the problem.
    let response = problem.into_response();
    with_headers(response.set_body(text).map_into_boxed_body())
}
