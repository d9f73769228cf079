//! One call: who asks, with which parameters and which body; and its answer.

use std::{net::IpAddr, sync::Arc};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        Method, StatusCode,
        header::{CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_MATCH, LOCATION},
    },
    web::Bytes,
};
use percent_encoding::percent_decode_str;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    Shared,
    access::{Access, Caller},
    body::{self, BodyType, Nothing},
    limits::Turn,
    problem::Problem,
    query::Query,
    readiness,
    redact::Eyes,
    watch::Watch,
};
use crate::{
    domain::{check_key, traceparent_of_header},
    runtime::Gaia,
};

/// With this header a request to add tasks may be repeated.
const IDEMPOTENCY_KEY: &str = "idempotency-key";
const TRACEPARENT: &str = "traceparent";
/// This header says that an earlier request has added the tasks.
const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// A version that nothing has.
const NO_VERSION: i64 = -1;

/// A call that may be done: its caller has the permission that the route names.
#[derive(Clone)]
pub(super) struct Call {
    pub(super) shared: Arc<Shared>,
    pub(super) request: HttpRequest,
    pub(super) caller: Caller,
    pub(super) query: Query,
    pub(super) body: Bytes,
    pub(super) body_type: BodyType,
    /// Why a change is made. Of calls that the audit has.
    pub(super) reason: Option<String>,
    /// The version that a form was made from, which programs send as `If-Match`.
    pub(super) version: Option<String>,
}

impl Call {
    /// The turn of a search, a count or another look over many rows. The handler holds it until the look has ended.
    pub(super) async fn search(&self) -> Result<Turn, Problem> {
        self.shared.options.limits.search().await
    }

    pub(super) fn gaia(&self) -> &Gaia {
        &self.shared.gaia
    }

    /// The figures that are read once for all watchers.
    pub(super) fn watch(&self) -> Arc<Watch> {
        self.shared.options.hub.watch(self.gaia())
    }

    /// What all calls share.
    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Whether the caller wants the head of the answer alone.
    pub(super) fn is_head(&self) -> bool {
        self.request.method() == Method::HEAD
    }

    pub(super) fn readiness(&self) -> &readiness::Cached {
        &self.shared.readiness
    }

    pub(super) fn access(&self) -> &Access {
        &self.shared.options.access
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        self.request.headers()
    }

    /// The address of the other end of the connection.
    pub(super) fn peer(&self) -> Option<IpAddr> {
        self.request.peer_addr().map(|peer| peer.ip())
    }

    /// The caller's name, as the author of a change.
    pub(super) fn author(&self) -> String {
        self.caller.name().to_owned()
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

    /// The trace to which the request belongs: the header `traceparent`. Another text is ignored, as the W3C says.
    pub(super) fn traceparent(&self) -> Option<String> {
        let mut values = self.request.headers().get_all(TRACEPARENT);
        let (value, None) = (values.next()?, values.next()) else {
            return None;
        };
        traceparent_of_header(value.to_str().ok()?)
    }

    /// The version in `If-Match`. `None`: there is no such header, or it says `*`.
    ///
    /// A tag that a proxy has marked as weak counts: it stands for a version, not for the bytes of an answer.
    pub(super) fn if_match(&self) -> Result<Option<i64>, Problem> {
        if let Some(version) = &self.version {
            return Ok(Some(version.parse().unwrap_or(NO_VERSION)));
        }
        let mut values = self.request.headers().get_all(IF_MATCH);
        let Some(value) = values.next() else {
            return Ok(None);
        };
        let text = value.to_str().unwrap_or_default().trim();
        let tag = text.strip_prefix("W/").unwrap_or(text);
        let tag = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
        match (tag, values.next()) {
            (None, None) if text == "*" => Ok(None),
            // No version has another tag than a number: the answer is that the row has changed.
            (Some(tag), None) if !tag.contains('"') => Ok(Some(tag.parse().unwrap_or(NO_VERSION))),
            _ => Err(Problem::bad_header(format!(
                "If-Match is {text:?}, expected one entity tag, such as \"7\""
            ))),
        }
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

/// An answer as JSON, with the version of what it shows as its entity tag.
pub(super) fn versioned(version: i64, answer: &impl Serialize) -> Result<HttpResponse, Problem> {
    let mut response = json(StatusCode::OK, answer)?;
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{version}\"")) {
        response.headers_mut().insert(ETAG, tag);
    }
    Ok(response)
}

/// An answer as JSON, with the place of what was made: relative, since a proxy may have changed the path.
pub(super) fn placed(status: StatusCode, place: &str, answer: &impl Serialize) -> Result<HttpResponse, Problem> {
    let mut response = json(status, answer)?;
    if let Ok(place) = HeaderValue::from_str(place) {
        response.headers_mut().insert(LOCATION, place);
    }
    Ok(response)
}
