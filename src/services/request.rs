//! The request of a call: its URL, its headers and its body.

use std::{borrow::Cow, collections::BTreeMap};

use chrono::{DateTime, SecondsFormat, Utc};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

use crate::{
    domain::{HookMethod, HookSecret},
    hook::HookCall,
    registry::{RunKind, TaskContext},
};

/// The characters of a method that do not stand for themselves: all but the unreserved ones of RFC 3986, section 2.3.
const IN_SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The characters of a name that cannot stand in a header, which is ASCII; and `%`, so that a reader can decode the value.
const IN_HEADER: &AsciiSet = &CONTROLS.add(b'%');

/// The URL of a method. An error for a name that no segment of a path can have: servers take `.` and `..` for other paths, also encoded.
pub(super) fn url_of(base: &Url, method: &str) -> Result<Url, String> {
    if matches!(method, "." | "..") {
        return Err(format!(
            "the method {method:?} cannot be called by HTTP: in a URL the name means another path; give the method another name"
        ));
    }
    let mut url = base.clone();
    let path = base.path().trim_end_matches('/');
    url.set_path(&format!("{path}/{}", utf8_percent_encode(method, IN_SEGMENT)));
    Ok(url)
}

/// The call of a run. `deadline`: when the caller will have given up.
pub(super) fn call(
    url: &Url,
    ctx: &TaskContext,
    args: &str,
    secret: Option<&HookSecret>,
    now: DateTime<Utc>,
    deadline: Option<DateTime<Utc>>,
) -> HookCall {
    HookCall {
        method: HookMethod::Post,
        url: url.to_string(),
        headers: headers(ctx, deadline),
        body: args.to_owned(),
        secret: secret.cloned(),
        traceparent: ctx.traceparent().map(str::to_owned),
        run_id: ctx.log_id().to_owned(),
        sent_at: now,
        hold: ctx.hold().cloned(),
    }
}

fn headers(ctx: &TaskContext, deadline: Option<DateTime<Utc>>) -> BTreeMap<String, String> {
    let mut headers = BTreeMap::new();
    let mut add = |name: &str, value: String| headers.insert(name.to_owned(), value);
    match ctx.kind() {
        Some(RunKind::Task) => {
            add("gaia-task-id", ctx.id().to_string());
            add("gaia-theme", encoded(ctx.theme()));
        }
        Some(RunKind::Job) => {
            add("gaia-run-id", ctx.id().to_string());
            add("gaia-job", encoded(ctx.theme()));
            if let Some(scheduled_at) = ctx.scheduled_at() {
                add("gaia-scheduled-at", rfc3339(scheduled_at));
            }
        }
        None => {}
    }
    add("gaia-attempt", ctx.attempt().to_string());
    add("gaia-max-attempts", ctx.max_attempts().to_string());
    add("gaia-log-id", ctx.log_id().to_owned());
    if let Some(deadline) = deadline {
        add("gaia-deadline", rfc3339(deadline));
    }
    headers
}

fn encoded(name: &str) -> String {
    Cow::from(utf8_percent_encode(name, IN_HEADER)).into_owned()
}

fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_is_one_segment_of_the_path_whatever_its_name() {
        let base = Url::parse("http://orders:9000/api/").unwrap();
        for (method, path) in [
            ("Create", "/api/Create"),
            ("a/../b", "/api/a%2F..%2Fb"),
            ("..\\x", "/api/..%5Cx"),
            ("%2e%2e", "/api/%252e%252e"),
            ("x?y=1#z", "/api/x%3Fy%3D1%23z"),
            ("...", "/api/..."),
            ("建单", "/api/%E5%BB%BA%E5%8D%95"),
            ("a\r\nb", "/api/a%0D%0Ab"),
            ("http://evil/", "/api/http%3A%2F%2Fevil%2F"),
        ] {
            let url = url_of(&base, method).unwrap();
            assert_eq!((url.path(), url.host_str()), (path, Some("orders")), "{method}");
        }
        for method in [".", ".."] {
            let text = url_of(&base, method).unwrap_err();
            assert!(text.contains("another path"), "{text}");
        }
    }

    #[test]
    fn a_name_in_a_header_is_ascii_and_can_be_decoded() {
        for name in ["orders", "订单 100%", "a\r\nx-evil: 1"] {
            let value = encoded(name);
            assert!(
                value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()),
                "{value}"
            );
            let decoded = percent_encoding::percent_decode_str(&value).decode_utf8().unwrap();
            assert_eq!(decoded, name);
        }
    }
}
