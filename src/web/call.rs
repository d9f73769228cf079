//! One call: who asks, with which parameters and which body; and its answer.

use std::sync::Arc;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        StatusCode,
        header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION},
    },
    web::Bytes,
};
use percent_encoding::percent_decode_str;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    Shared,
    access::Caller,
    body::{self, BodyType, Nothing},
    problem::Problem,
    query::Query,
    readiness,
    redact::Eyes,
};
use crate::{domain::check_key, runtime::Gaia};

/// With this header a request to add tasks may be repeated.
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// This header says that an earlier request has added the tasks.
const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// A call that may be done: its caller has the permission that the route names.
pub(super) struct Call {
    pub(super) shared: Arc<Shared>,
    pub(super) request: HttpRequest,
    pub(super) caller: Caller,
    pub(super) query: Query,
    pub(super) body: Bytes,
    pub(super) body_type: BodyType,
    /// Why a change is made. Of calls that the audit has.
    pub(super) reason: Option<String>,
}

impl Call {
    pub(super) fn gaia(&self) -> &Gaia {
        &self.shared.gaia
    }

    pub(super) fn readiness(&self) -> &readiness::Cached {
        &self.shared.readiness
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        self.request.headers()
    }

    /// The caller's name, as the author of a change.
    pub(super) fn author(&self) -> Option<String> {
        Some(self.caller.name().to_owned())
    }

    /// How texts are shown to this caller.
    pub(super) fn eyes(&self) -> Eyes<'_> {
        Eyes::new(&self.caller, self.shared.options.redact.as_ref())
    }

    /// A name in the path. It may hold anything, `/` as `%2F`.
    pub(super) fn name(&self, what: &str) -> Result<String, Problem> {
        // actix-web has decoded every escape but those of `%`, `/` and `+`, and has replaced what is no UTF-8.
        if percent_decode_str(self.request.uri().path()).decode_utf8().is_err() {
            return Err(Problem::bad_path("the path is no UTF-8 after its escapes are decoded"));
        }
        let part = self.request.match_info().get(what).unwrap_or_default();
        let decoded = percent_decode_str(part).decode_utf8();
        let decoded = decoded.map_err(|_| Problem::bad_path("the path is no UTF-8 after its escapes are decoded"))?;
        Ok(decoded.into_owned())
    }

    /// The id of a `what` in the path. A number that no id can have is answered as an id that is not there.
    pub(super) fn id(&self, what: &str) -> Result<i64, Problem> {
        let text = self.name("id")?;
        let digits = text.strip_prefix('-').unwrap_or(&text);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Problem::bad_path(format!(
                "{text:?} is no id of a {what}, expected a number"
            )));
        }
        text.parse().map_err(|_| Problem::not_found(what, &text))
    }

    /// The key by which a repeated addition is known: the header `Idempotency-Key`.
    pub(super) fn idempotency_key(&self) -> Result<Option<&str>, Problem> {
        let mut keys = self.request.headers().get_all(IDEMPOTENCY_KEY);
        let Some(key) = keys.next() else {
            return Ok(None);
        };
        if keys.next().is_some() {
            return Err(Problem::bad_idempotency_key(
                "the header Idempotency-Key is there more than once",
            ));
        }
        // A value that is no ASCII is refused like one that is empty.
        let key = key.to_str().unwrap_or_default();
        check_key(key).map_err(|fault| Problem::bad_idempotency_key(fault.to_string()))?;
        Ok(Some(key))
    }

    /// The body, as JSON of a known shape.
    pub(super) fn typed<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        body::typed(&self.body)
    }

    /// Refuses a body that says more than the reason, and parameters.
    pub(super) fn finish_without_body(&mut self) -> Result<(), Problem> {
        self.query.finish()?;
        self.typed::<Nothing>().map(|_| ())
    }
}

/// An answer as JSON.
pub(super) fn json(status: StatusCode, answer: &impl Serialize) -> Result<HttpResponse, Problem> {
    let text = serde_json::to_string(answer);
    let text = text.map_err(|error| Problem::unwritable(&error))?;
    let mut response = HttpResponse::build(status);
    response.insert_header((CONTENT_TYPE, "application/json"));
    Ok(response.body(text))
}

/// The answer, which says so if it is the answer to an earlier request.
pub(super) fn replayed(mut answer: HttpResponse, replayed: bool) -> HttpResponse {
    if replayed {
        answer
            .headers_mut()
            .insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    }
    answer
}

/// An answer as JSON, with the place of what was made: relative, since a proxy may have changed the path.
pub(super) fn created(place: &str, answer: &impl Serialize) -> Result<HttpResponse, Problem> {
    let mut response = json(StatusCode::CREATED, answer)?;
    if let Ok(place) = HeaderValue::from_str(place) {
        response.headers_mut().insert(LOCATION, place);
    }
    Ok(response)
}
