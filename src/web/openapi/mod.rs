//! The description of the API, as OpenAPI 3.1 has it: made from the table of routes, and from what stands beside each handler.

mod document;
mod route;
pub(super) mod schemas;

use std::sync::LazyLock;

use actix_web::{
    HttpResponse,
    http::header::{CONTENT_TYPE, HeaderValue},
};

pub(super) use self::route::Described;
use super::{call::Call, problem::Problem};

static TEXT: LazyLock<String> = LazyLock::new(|| {
    // A document is plain data, whose JSON always can be written.
    let text = serde_json::to_string_pretty(&document::document()).unwrap_or_default();
    text + "\n"
});

/// The description of the HTTP API, as JSON of OpenAPI 3.1: what `GET /openapi.json` answers. Its server is relative to the place from which
/// it was read, so it holds wherever the API is mounted.
///
/// ```
/// let api: serde_json::Value = serde_json::from_str(gaia_actors::web::openapi())?;
/// assert_eq!(api["paths"]["/tasks"]["post"]["operationId"], "tasks_add");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[must_use]
pub fn openapi() -> &'static str {
    &TEXT
}

#[expect(clippy::unused_async, reason = "every handler is asynchronous")]
pub(super) async fn show(mut call: Call) -> Result<HttpResponse, Problem> {
    call.query.finish()?;
    let json = HeaderValue::from_static("application/json");
    Ok(HttpResponse::Ok().insert_header((CONTENT_TYPE, json)).body(openapi()))
}

pub(super) mod described {
    use utoipa::openapi::{Content, ObjectBuilder};

    use super::Described;

    pub(in crate::web) fn show() -> Described {
        let any = Content::new(Some(ObjectBuilder::new()));
        Described::new().answer_content(200, "application/json", any, "The description.")
    }
}
