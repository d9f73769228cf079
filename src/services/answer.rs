//! What the answer of a remote service means.

#[cfg(feature = "web")]
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, de::IgnoredAny};

use super::retry_after::delay;
use crate::{
    domain::{Json, TaskError, truncated},
    hook::{ServiceAnswer, named},
    registry::{RunKind, TaskContext},
};

/// The leases of runs that a service has parked.
#[cfg(feature = "web")]
const SHORTEST_LEASE: Duration = Duration::from_secs(1);
#[cfg(feature = "web")]
const LONGEST_LEASE: Duration = Duration::from_secs(86_400);

/// The longest error text that is taken from an answer, in bytes.
const MOST_TEXT: usize = 2 << 10;

/// What a service may say of its failure, in JSON. Other members, and members of other types, say nothing.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Said {
    discard: serde_json::Value,
    error: serde_json::Value,
    detail: serde_json::Value,
}

/// The result of a run with this answer, which is not 202. `now` is this process's time.
pub(super) fn outcome(ctx: &TaskContext, answer: &ServiceAnswer, now: DateTime<Utc>) -> Result<Json, TaskError> {
    match answer.status {
        200..=299 => result(answer),
        _ => Err(failure(ctx, answer, now)),
    }
}

/// For how long a service that has parked a run may be silent, as its answer says: from a second to a day. `None`: it will not beat.
#[cfg(feature = "web")]
pub(super) fn lease(answer: &ServiceAnswer) -> Option<Duration> {
    #[derive(Deserialize)]
    struct Parked {
        lease_ms: u64,
    }
    let parked: Parked = serde_json::from_str(&answer.body).ok()?;
    Some(Duration::from_millis(parked.lease_ms).clamp(SHORTEST_LEASE, LONGEST_LEASE))
}

fn result(answer: &ServiceAnswer) -> Result<Json, TaskError> {
    let body = answer.body.trim();
    if body.is_empty() {
        return Ok(Json::null());
    }
    if !answer.is_whole {
        return Err(TaskError::failed(format!(
            "the body of the service's answer {} is longer than `HookOptions::response_limit`; expected a shorter result in JSON",
            named(answer.status)
        )));
    }
    match serde_json::from_str::<IgnoredAny>(body) {
        Ok(_) => Ok(Json::from_text(body.into())),
        Err(error) => Err(TaskError::failed(format!(
            "the body of the service's answer {} is no JSON ({error}); it begins: {}",
            named(answer.status),
            cut(body)
        ))),
    }
}

fn failure(ctx: &TaskContext, answer: &ServiceAnswer, now: DateTime<Utc>) -> TaskError {
    let said: Said = serde_json::from_str(&answer.body).unwrap_or_default();
    let is_for_good = (400..=499).contains(&answer.status) && said.discard == true;
    let asks_for_patience = matches!(answer.status, 429 | 503) && ctx.kind() == Some(RunKind::Task);
    let wait = answer.retry_after.as_deref().filter(|_| asks_for_patience);
    match wait.and_then(|header| delay(header, answer.date.as_deref(), now)) {
        _ if is_for_good => TaskError::discard(text(answer, &said)),
        Some(delay) => TaskError::Snooze(delay),
        None => TaskError::failed(text(answer, &said)),
    }
}

/// The service's own words, if it has some.
fn text(answer: &ServiceAnswer, said: &Said) -> String {
    let words = [&said.error, &said.detail].into_iter().filter_map(|text| text.as_str());
    let mut words = words.map(str::trim).filter(|words| !words.is_empty());
    if let Some(words) = words.next() {
        return cut(words);
    }
    let target = answer.location.as_deref();
    let target = target.map(|target| {
        format!("; redirects are not followed: if {target:?} is the right address, give the service that URL")
    });
    let body = Some(answer.body.trim()).filter(|body| !body.is_empty());
    let body = body.map(|body| format!("; its body: {}", cut(body)));
    format!(
        "the service answered {}, expected 2xx{}{}",
        named(answer.status),
        target.unwrap_or_default(),
        body.unwrap_or_default()
    )
}

fn cut(text: &str) -> String {
    truncated(text.to_owned(), MOST_TEXT)
}

#[cfg(test)]
mod tests {
    #[cfg(not(feature = "web"))]
    use std::time::Duration;

    use super::*;
    use crate::registry::Shared;

    fn of(status: u16, body: &str) -> Result<Json, TaskError> {
        let answer = ServiceAnswer {
            status,
            body: body.to_owned(),
            is_whole: true,
            ..ServiceAnswer::default()
        };
        outcome(
            &TaskContext::direct(Shared::default()),
            &answer,
            DateTime::<Utc>::UNIX_EPOCH,
        )
    }

    fn failed(status: u16, body: &str) -> String {
        match of(status, body) {
            Err(TaskError::Failed(text)) => text,
            other => panic!("{status} {body}: {other:?}"),
        }
    }

    #[test]
    fn a_success_has_a_result_in_json() {
        for (body, result) in [
            ("", "null"),
            (" \n", "null"),
            (" {\"a\": 1}\n", "{\"a\": 1}"),
            ("7", "7"),
        ] {
            assert_eq!(of(200, body).map(Json::into_string), Ok(result.to_owned()));
        }
        let text = failed(201, "<html>");
        assert!(
            text.contains("201 Created is no JSON") && text.ends_with("it begins: <html>"),
            "{text}"
        );
    }

    #[test]
    fn the_words_of_the_service_are_the_error() {
        assert_eq!(failed(500, r#"{"error": "no stock", "detail": "x"}"#), "no stock");
        assert_eq!(failed(422, r#"{"error": {}, "detail": "bad amount"}"#), "bad amount");
        assert_eq!(
            failed(404, "no such method"),
            "the service answered 404 Not Found, expected 2xx; its body: no such method"
        );
        assert_eq!(failed(599, ""), "the service answered 599, expected 2xx");
        let long = failed(500, &format!(r#"{{"error": "{}"}}"#, "é".repeat(5_000)));
        assert!(long.len() <= MOST_TEXT && long.ends_with("in all]"), "{}", long.len());
        assert_eq!(failed(500, r#"{"error": "a\u0000b"}"#), "a\u{fffd}b");
    }

    #[test]
    fn only_the_caller_of_a_bad_request_is_told_to_discard() {
        let body = r#"{"discard": true, "error": "no such order"}"#;
        assert_eq!(of(404, body), Err(TaskError::discard("no such order")));
        assert_eq!(failed(500, body), "no such order");
        assert_eq!(
            failed(404, r#"{"discard": "true"}"#).find("the service answered 404"),
            Some(0)
        );
    }

    #[test]
    fn nobody_but_a_task_is_put_off() {
        let answer = ServiceAnswer {
            status: 503,
            retry_after: Some("5".to_owned()),
            ..ServiceAnswer::default()
        };
        let direct = outcome(
            &TaskContext::direct(Shared::default()),
            &answer,
            DateTime::<Utc>::UNIX_EPOCH,
        );
        assert!(matches!(direct, Err(TaskError::Failed(_))));
        assert_eq!(
            delay("5", None, DateTime::<Utc>::UNIX_EPOCH),
            Some(Duration::from_secs(5))
        );
    }
}
