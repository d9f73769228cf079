//! Who looks, in which language, and from where: paths are relative, so that no proxy needs a setting.

use actix_web::{
    HttpRequest,
    http::header::{COOKIE, HeaderMap},
};
use chrono::{DateTime, Utc};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{
    assets::Asset,
    words::{Language, Words},
};
use crate::web::{access::Caller, environment::Environment};

/// The cookies of the settings.
pub(super) const LANGUAGE: &str = "gaia_language";
pub(super) const SCHEME: &str = "gaia_scheme";
pub(super) const REFRESH: &str = "gaia_refresh";

/// How often a page is asked for again, in seconds; 0: not at all.
pub(super) const REFRESHES: [u32; 5] = [0, 2, 5, 15, 60];

/// How often a page is asked for again unless its reader has chosen otherwise, in seconds.
const USUAL_REFRESH: u32 = 5;

/// Light or dark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    System,
    Light,
    Dark,
}

impl Scheme {
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    pub(super) fn of_code(code: &str) -> Option<Self> {
        [Self::System, Self::Light, Self::Dark]
            .into_iter()
            .find(|scheme| scheme.code() == code)
    }
}

/// How one page is shown to one reader.
#[derive(Clone)]
pub(super) struct View {
    pub(super) words: &'static Words,
    pub(super) language: Language,
    pub(super) scheme: Scheme,
    pub(super) refresh: u32,
    pub(super) caller: Caller,
    pub(super) environment: Option<Environment>,
    pub(super) now: DateTime<Utc>,
    /// This page below the root of the pages, with its query.
    pub(super) here: String,
    /// The code of the action that the reader has just done.
    pub(super) done: Option<String>,
    /// How many parts the path of the page has below the root, but one.
    depth: usize,
}

/// Everything but what RFC 3986 calls unreserved.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A name as a part of a path or of a query.
pub(super) fn encoded(name: &str) -> String {
    match name {
        // Programs send these as they stand here. Browsers take them for the folder itself and the one above, even so.
        "." => "%2E".to_owned(),
        ".." => "%2E%2E".to_owned(),
        _ => utf8_percent_encode(name, SEGMENT).to_string(),
    }
}

impl View {
    /// `path`: the pattern of the page below the root, such as `/tasks/{id}`.
    pub(super) fn new(request: &HttpRequest, path: &str, caller: Caller, environment: Option<Environment>) -> Self {
        let headers = request.headers();
        let language = cookie(headers, LANGUAGE)
            .and_then(|code| Language::of_code(&code))
            .or_else(|| Language::accepted(headers))
            .unwrap_or(Language::English);
        let scheme = cookie(headers, SCHEME).and_then(|code| Scheme::of_code(&code));
        let refresh = cookie(headers, REFRESH).and_then(|seconds| seconds.parse().ok());
        let depth = path.matches('/').count().saturating_sub(1);
        Self {
            words: language.words(),
            language,
            scheme: scheme.unwrap_or(Scheme::System),
            refresh: refresh
                .filter(|seconds| REFRESHES.contains(seconds))
                .unwrap_or(USUAL_REFRESH),
            caller,
            environment,
            now: Utc::now(),
            here: here(request, depth),
            done: None,
            depth,
        }
    }

    /// The relative URL of a path below the root of the pages.
    pub(super) fn to(&self, path: &str) -> String {
        match (self.depth, path) {
            (0, "") => "./".to_owned(),
            (0, path) if path.starts_with('?') => format!("./{path}"),
            (depth, path) => "../".repeat(depth) + path,
        }
    }

    pub(super) fn asset(&self, asset: &Asset) -> String {
        self.to(&format!("assets/{}", asset.path()))
    }
}

/// The last parts of the path, as the browser sent them, and the query without the notice of what was done.
fn here(request: &HttpRequest, depth: usize) -> String {
    let parts: Vec<&str> = request.uri().path().rsplit('/').take(depth + 1).collect();
    let path: Vec<&str> = parts.into_iter().rev().collect();
    let query: Vec<&str> = request
        .query_string()
        .split('&')
        .filter(|piece| !piece.is_empty() && !piece.starts_with("done="))
        .collect();
    match query.is_empty() {
        true => path.join("/"),
        false => format!("{}?{}", path.join("/"), query.join("&")),
    }
}

fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get_all(COOKIE).find_map(|cookies| {
        let cookies = cookies.to_str().ok()?.split(';');
        cookies
            .filter_map(|cookie| cookie.trim().split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value.to_owned())
    })
}

/// Where a form leads back to: a place below the root of the pages, and nothing else.
pub(super) fn is_place(back: &str) -> bool {
    let (path, _) = back.split_once('?').unwrap_or((back, ""));
    back.len() <= 8_000
        && back.bytes().all(|byte| byte.is_ascii_graphic())
        && !path.starts_with('/')
        && !path.contains([':', '\\', '#'])
        && !path.split('/').any(|part| part == "..")
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn view(uri: &str, path: &str) -> View {
        let request = TestRequest::get().uri(uri).to_http_request();
        View::new(&request, path, Caller::new("a"), None)
    }

    #[test]
    fn paths_are_relative_to_the_page() {
        for (uri, path, to_root, to_tasks, here) in [
            ("/a/b/", "/", "./", "tasks", ""),
            ("/a/b/tasks?q=x&done=task.retry", "/tasks", "./", "tasks", "tasks?q=x"),
            ("/a/b/tasks/17", "/tasks/{id}", "../", "../tasks", "tasks/17"),
            ("/themes/a%2Fb", "/themes/{theme}", "../", "../tasks", "themes/a%2Fb"),
        ] {
            let view = view(uri, path);
            assert_eq!(
                (view.to("").as_str(), view.to("tasks").as_str(), view.here.as_str()),
                (to_root, to_tasks, here)
            );
        }
    }

    #[test]
    fn a_form_leads_back_to_a_page_and_nowhere_else() {
        for good in [
            "",
            "tasks",
            "tasks/17",
            "tasks?q=status:failed",
            "themes/a%2Fb?x=http://a",
        ] {
            assert!(is_place(good), "{good}");
        }
        for bad in [
            "/etc",
            "//evil",
            "http://evil",
            "javascript:x",
            "a/../../b",
            "\\\\evil",
            "a\r\nb",
            "订单",
        ] {
            assert!(!is_place(bad), "{bad}");
        }
    }

    #[test]
    fn names_are_one_part_of_a_path() {
        for (name, part) in [
            ("a/b", "a%2Fb"),
            ("..", "%2E%2E"),
            (".", "%2E"),
            ("订", "%E8%AE%A2"),
            ("a b?", "a%20b%3F"),
        ] {
            assert_eq!(encoded(name), part);
        }
    }
}
