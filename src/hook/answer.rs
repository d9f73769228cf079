//! The answer of a hook, as text of bounded size.

use awc::{
    ClientResponse,
    http::{StatusCode, header},
};
use encoding_rs::{Encoding, UTF_8};
use futures_util::StreamExt;
use url::Url;

use super::{HookAnswer, HookError, ServiceAnswer, wire::Seen};
use crate::{domain::without_user, line::beginning};

/// At most this many bytes of an unsuccessful answer's body are kept, in the error.
const EXCERPT_BYTES: usize = 2 << 10;
/// At most this many bytes of a service's unsuccessful answer are read: enough for any problem in JSON.
const REFUSAL_BYTES: usize = 64 << 10;
/// The note behind a body that may have lost its end. Most often nothing is missing: a service that answers and closes before it has
/// read the request resets the connection.
const LOST: &str = "… [the connection was lost here: this may not be all]";
/// At most this many characters of a redirect's target are shown.
const LOCATION_CHARS: usize = 500;

/// The answer, if it is a success, and the body came as far as the service announced or as far as `limit` bytes.
pub(super) async fn read(mut response: ClientResponse, seen: &Seen, limit: usize) -> Result<HookAnswer, HookError> {
    let code = response.status();
    let success = code.is_success();
    let limit = if success { limit } else { limit.min(EXCERPT_BYTES) };
    let (body, _) = body(&mut response, seen, limit).await?;
    let status = code.as_u16();
    match success {
        true => Ok(HookAnswer { status, body }),
        false => Err(HookError::Status {
            status,
            location: location(&response),
            body,
        }),
    }
}

/// The body as text of at most `limit` bytes. An error if a success was cut off.
async fn body(response: &mut ClientResponse, seen: &Seen, limit: usize) -> Result<(String, End), HookError> {
    let (bytes, end) = bytes(response, seen, limit).await;
    match end {
        End::CutOff if response.status().is_success() => Err(HookError::CutOff {
            status: response.status().as_u16(),
            received: bytes.len(),
        }),
        end => Ok((text(response, &bytes, end, limit), end)),
    }
}

/// The answer of a service, whatever its status; and whether it was read to its end, so that its connection may carry another request.
pub(super) async fn read_any(
    mut response: ClientResponse,
    seen: &Seen,
    limit: usize,
) -> Result<(ServiceAnswer, bool), HookError> {
    let status = response.status();
    let limit = if status.is_success() {
        limit
    } else {
        limit.min(REFUSAL_BYTES)
    };
    let (body, end) = body(&mut response, seen, limit).await?;
    let header = |name| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
    let answer = ServiceAnswer {
        status: status.as_u16(),
        is_whole: end == End::Complete || end == End::Lost,
        retry_after: header(header::RETRY_AFTER),
        date: header(header::DATE),
        location: location(&response),
        body,
    };
    Ok((answer, end == End::Complete))
}

/// Why the reading of a body ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Complete,
    /// The body is longer than the limit: no more was read.
    Limit,
    /// The connection was lost, and the body was to last until the connection ends: the body may be complete.
    Lost,
    /// The connection was lost before the body's end.
    CutOff,
}

async fn bytes(response: &mut ClientResponse, seen: &Seen, limit: usize) -> (Vec<u8>, End) {
    let mut kept = Vec::new();
    if is_bodyless(response.status()) {
        return (kept, End::Complete);
    }
    while let Some(chunk) = response.next().await {
        let Ok(chunk) = chunk else {
            let end = if seen.until_close() { End::Lost } else { End::CutOff };
            return (kept, end);
        };
        let room = limit - kept.len();
        kept.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() > room {
            return (kept, End::Limit);
        }
    }
    let end = if seen.cut_off() { End::CutOff } else { End::Complete };
    (kept, end)
}

/// Whether an answer of this status has no body, even if its headers announce one (RFC 9110, section 6.4.1). After 101 another
/// protocol follows.
fn is_bodyless(status: StatusCode) -> bool {
    status.is_informational()
        || [
            StatusCode::NO_CONTENT,
            StatusCode::RESET_CONTENT,
            StatusCode::NOT_MODIFIED,
        ]
        .contains(&status)
}

fn text(response: &ClientResponse, bytes: &[u8], end: End, limit: usize) -> String {
    if let Some(coding) = coding(response) {
        return format!("[a body in content-encoding {coding:?}, which was not asked for]");
    }
    let (text, _, _) = encoding(response).decode(bytes);
    let text = text.replace('\0', "\u{fffd}");
    match end {
        End::Limit => noted(
            &text,
            &format!("… [cut: only the first {limit} bytes were read]"),
            limit,
        ),
        End::Lost => noted(&text, LOST, limit),
        End::Complete | End::CutOff => text,
    }
}

/// A `text` that is incomplete or may be, with a note that says so: in `limit` bytes, the note included.
fn noted(text: &str, note: &str, limit: usize) -> String {
    let kept = beginning(text, limit.saturating_sub(note.len()));
    format!("{kept}{note}")
}

/// How the service compressed the body, if it did so although the request said `accept-encoding: identity`.
fn coding(response: &ClientResponse) -> Option<&str> {
    let coding = response.headers().get(header::CONTENT_ENCODING)?.to_str().ok()?;
    Some(coding.trim()).filter(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("identity"))
}

/// The charset of the content type; UTF-8 if the content type names none or an unknown one.
fn encoding(response: &ClientResponse) -> &'static Encoding {
    let content_type = response.headers().get(header::CONTENT_TYPE);
    let parameters = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
    parameters.split(';').skip(1).find_map(charset).unwrap_or(UTF_8)
}

fn charset(parameter: &str) -> Option<&'static Encoding> {
    let (name, label) = parameter.split_once('=')?;
    let label = label.trim().trim_matches('"');
    name.trim()
        .eq_ignore_ascii_case("charset")
        .then(|| Encoding::for_label(label.as_bytes()))?
}

/// The target of a redirect, without its user name and password.
fn location(response: &ClientResponse) -> Option<String> {
    let value = response.headers().get(header::LOCATION)?;
    let target = String::from_utf8_lossy(value.as_bytes());
    let target = match Url::parse(&target) {
        Ok(url) if url.has_host() => without_password(url),
        _ => without_user(&target).into_owned(),
    };
    let is_redirect = response.status().is_redirection();
    is_redirect.then(|| target.chars().take(LOCATION_CHARS).collect())
}

fn without_password(mut url: Url) -> String {
    // This fails only for a URL that can hold no password.
    let _ = url.set_password(None);
    let _ = url.set_username("");
    url.into()
}
