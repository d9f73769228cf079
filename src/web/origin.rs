//! The rule against forged requests: a page of another site must not change anything with the rights of somebody who visits it.

use actix_web::{
    HttpRequest,
    http::header::{HOST, HeaderMap, ORIGIN},
};

use super::{access::bearer, problem::Problem};

/// Refuses a change that a page of another site has asked for.
///
/// Browsers say where a request comes from: by `Sec-Fetch-Site`, on hosts with HTTPS, and else by `Origin`. A request with neither comes from
/// no browser. A bearer token is sent by a script that knows it, never by the browser itself. Browsers send passwords on their own,
/// and a proxy adds its header to whatever passes: these are no reason to allow a change.
pub(super) fn check(request: &HttpRequest) -> Result<(), Problem> {
    let headers = request.headers();
    if bearer(headers).is_some() || is_allowed(headers) {
        return Ok(());
    }
    Err(Problem::cross_site())
}

fn is_allowed(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return matches!(site.as_bytes(), b"same-origin" | b"none");
    }
    let Some(origin) = headers.get(ORIGIN) else {
        return true;
    };
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    match (origin.to_str().ok(), text(HOST)) {
        (Some(origin), Some(host)) => is_origin_of(origin, host),
        _ => false,
    }
}

/// Whether an origin such as `https://example.com` is that of this host. The scheme does not count: a proxy may have taken the TLS off.
fn is_origin_of(origin: &str, host: &str) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else {
        return false;
    };
    let default_port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return false,
    };
    let plain = |authority: &str| {
        let lower = authority.to_ascii_lowercase();
        lower
            .strip_suffix(default_port)
            .map_or_else(|| lower.clone(), str::to_owned)
    };
    plain(authority) == plain(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_and_hosts() {
        for (origin, host, is_same) in [
            ("https://example.com", "example.com", true),
            ("https://example.com", "Example.com:443", true),
            ("http://10.0.0.7:8080", "10.0.0.7:8080", true),
            ("http://[::1]:8080", "[::1]:8080", true),
            ("http://example.com", "example.com:8080", false),
            ("https://evil.example", "example.com", false),
            ("https://example.com.evil.example", "example.com", false),
            ("null", "null", false),
            ("file://example.com", "example.com", false),
        ] {
            assert_eq!(is_origin_of(origin, host), is_same, "{origin} {host}");
        }
    }
}
