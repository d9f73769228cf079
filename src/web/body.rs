//! Bodies of requests: how long they may be, of which type, and what is wrong with them.

use std::time::Duration;

use actix_web::{
    dev::Payload,
    http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap},
    web::{Bytes, BytesMut},
};
use futures_util::StreamExt;
use serde::{Deserialize, de::DeserializeOwned};

use super::problem::{Fault, Problem};
use crate::{
    config::nearest,
    domain::{MAX_ARG_BYTES, Object},
};

/// A body without long texts in it.
const SMALL: usize = 64 << 10;
/// A list of tasks.
const BATCH: usize = 64 << 20;
/// How long the body may take to arrive.
const IN_TIME: Duration = Duration::from_secs(30);
/// How deeply arrays and objects may lie in each other: as deep as `serde_json` reads values.
const DEPTH: usize = 127;

/// What a route takes as its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyRule {
    /// Nothing.
    Empty,
    /// JSON of at most 64 KiB, or nothing.
    Small,
    /// JSON that holds arguments: 8 MiB, and 64 KiB more.
    Task,
    /// A JSON list or lines of JSON, 64 MiB.
    Batch,
    /// JSON that holds arguments or results of many runs, 64 MiB.
    Runs,
}

/// The type of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyType {
    Json,
    Lines,
}

impl BodyRule {
    const fn limit(self) -> usize {
        match self {
            Self::Empty => 0,
            Self::Small => SMALL,
            Self::Task => MAX_ARG_BYTES + SMALL,
            Self::Batch | Self::Runs => BATCH,
        }
    }

    /// The type that the headers name. A body of another type is refused before it is read: pages of other sites can send those types
    /// without asking the browser.
    pub(super) fn type_of(self, headers: &HeaderMap) -> Result<Option<BodyType>, Problem> {
        let expected = match self {
            Self::Batch => "application/json or application/jsonl",
            _ => "application/json",
        };
        let Some(value) = headers.get(CONTENT_TYPE).filter(|_| self != Self::Empty) else {
            return Ok(None);
        };
        let value = value.to_str().unwrap_or_default().to_ascii_lowercase();
        let (essence, parameters) = value.split_once(';').unwrap_or((&value, ""));
        let charset = parameters
            .split(';')
            .find_map(|parameter| parameter.trim().strip_prefix("charset="));
        let is_utf8 = charset.is_none_or(|charset| charset.trim_matches('"') == "utf-8");
        let found = match essence.trim() {
            "application/json" => BodyType::Json,
            "application/jsonl" | "application/x-ndjson" if self == Self::Batch => BodyType::Lines,
            _ => return Err(Problem::other_type(expected)),
        };
        match is_utf8 {
            true => Ok(Some(found)),
            false => Err(Problem::other_type(expected)),
        }
    }

    /// Reads the whole body, if it is not too long and arrives in time.
    pub(super) async fn read(self, headers: &HeaderMap, payload: Payload) -> Result<Bytes, Problem> {
        let read = tokio::time::timeout(IN_TIME, self.read_all(headers, payload)).await;
        read.unwrap_or_else(|_| Err(Problem::too_slow(IN_TIME)))
    }

    async fn read_all(self, headers: &HeaderMap, mut payload: Payload) -> Result<Bytes, Problem> {
        let limit = self.limit();
        let said = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
        if said
            .and_then(|length| length.parse::<usize>().ok())
            .is_some_and(|length| length > limit)
        {
            return Err(Problem::too_long(limit));
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|_| Problem::body_lost())?;
            if body.len() + chunk.len() > limit {
                return Err(Problem::too_long(limit));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }
}

/// The text of a body, whose JSON is not nested too deeply.
pub(super) fn text(body: &Bytes) -> Result<&str, Problem> {
    let text = std::str::from_utf8(body).map_err(|_| Problem::bad_json("the body is no UTF-8"))?;
    match is_flat_enough(text) {
        true => Ok(text),
        false => Err(Problem::bad_json(format!(
            "arrays and objects of the body lie more than {DEPTH} deep in each other"
        ))),
    }
}

/// A body that is JSON of a known shape. An empty one counts as an object without keys.
pub(super) fn typed<T: DeserializeOwned>(body: &Bytes) -> Result<T, Problem> {
    let text = text(body)?;
    let text = if text.trim().is_empty() { "{}" } else { text };
    parsed(text).map_err(|error| match error {
        Unread::NoJson(detail) => Problem::bad_json(detail),
        Unread::Other(fault) => Problem::invalid(vec![fault]),
    })
}

/// Why a text is no value of a type.
pub(super) enum Unread {
    /// It is no JSON.
    NoJson(String),
    /// It is JSON of another shape.
    Other(Fault),
}

/// Reads a JSON object of a known shape.
pub(super) fn parsed<T: DeserializeOwned>(text: &str) -> Result<T, Unread> {
    let mut json = serde_json::Deserializer::from_str(text);
    let read: Result<Object<T>, _> = serde_path_to_error::deserialize(&mut json);
    let Object(value) = read.map_err(|error| {
        let pointer = pointer(error.path());
        let error = error.into_inner();
        match error.classify() {
            serde_json::error::Category::Data => Unread::Other(Fault {
                pointer: Some(pointer),
                ..Fault::of(with_nearest(&error.to_string()))
            }),
            _ => Unread::NoJson(format!("this is no JSON: {error}")),
        }
    })?;
    json.end()
        .map_err(|error| Unread::NoJson(format!("this is no JSON: {error}")))?;
    Ok(value)
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut pointer = String::new();
    for segment in path {
        pointer.push('/');
        match segment {
            Segment::Seq { index } => pointer.push_str(&index.to_string()),
            Segment::Map { key } => pointer.push_str(&key.replace('~', "~0").replace('/', "~1")),
            Segment::Enum { variant } => pointer.push_str(variant),
            Segment::Unknown => pointer.push('?'),
        }
    }
    pointer
}

/// A fault, and if it is an unknown key or value, the known one that is most like it. `serde` writes all of them between backquotes.
fn with_nearest(fault: &str) -> String {
    let mut names = fault.split('`').skip(1).step_by(2);
    let hint = match names.next() {
        Some(unknown) if fault.starts_with("unknown ") => nearest(unknown, &names.collect::<Vec<_>>()),
        _ => None,
    };
    match hint {
        Some(name) => format!("{fault}; the nearest known is {name}"),
        None => fault.to_owned(),
    }
}

/// Whether no value lies deeper than allowed. Texts inside the JSON are passed over.
fn is_flat_enough(json: &str) -> bool {
    let (mut depth, mut in_text, mut is_escaped) = (0_usize, false, false);
    for byte in json.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_text => is_escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'[' | b'{' => {
                depth += 1;
                if depth > DEPTH {
                    return false;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    true
}

/// A body that must say nothing: an object without keys, or no body at all.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_counted_outside_of_texts() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(is_flat_enough(&nested(DEPTH)));
        assert!(!is_flat_enough(&nested(DEPTH + 1)));
        assert!(is_flat_enough(&format!("\"\\\"{}\"", "[".repeat(1_000))));
        assert!(is_flat_enough(&"[],".repeat(1_000)));
    }

    #[test]
    fn an_unknown_key_is_answered_with_the_nearest() {
        let fault = with_nearest("unknown field `prioritty`, expected one of `service`, `priority`");
        assert!(fault.ends_with("the nearest known is priority"), "{fault}");
        assert_eq!(with_nearest("missing field `service`"), "missing field `service`");
    }
}
