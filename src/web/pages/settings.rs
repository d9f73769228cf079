//! What a reader has chosen: language, appearance, refresh. Cookies keep it in the reader's browser.

use actix_web::{
    HttpRequest, HttpResponse,
    cookie::{Cookie, SameSite, time::Duration},
    http::header::LOCATION,
};

use super::{
    view::{self, REFRESHES, Scheme},
    with_headers,
    words::Language,
};
use crate::web::query::Query;

/// Keeps the settings and leads back to the page. Without a path, a cookie belongs to the folder of this page, which is the root of the pages.
pub(super) async fn set(request: HttpRequest) -> HttpResponse {
    let mut query = Query::parse(request.query_string()).unwrap_or_default();
    let back = query
        .text("back")
        .filter(|back| view::is_place(back))
        .unwrap_or_default();
    let language = query.text("language").and_then(|code| Language::of_code(&code));
    let scheme = query.text("scheme").and_then(|code| Scheme::of_code(&code));
    let refresh: Option<u32> = query.text("refresh").and_then(|seconds| seconds.parse().ok());
    let refresh = refresh.filter(|seconds| REFRESHES.contains(seconds));
    let chosen = [
        (view::LANGUAGE, language.map(|language| language.code().to_owned())),
        (view::SCHEME, scheme.map(|scheme| scheme.code().to_owned())),
        (view::REFRESH, refresh.map(|seconds| seconds.to_string())),
    ];
    let mut response = HttpResponse::SeeOther();
    response.insert_header((LOCATION, format!("./{back}")));
    for (name, value) in chosen {
        if let Some(value) = value {
            let cookie = Cookie::build(name, value)
                .http_only(true)
                .same_site(SameSite::Lax)
                .max_age(Duration::days(365));
            response.cookie(cookie.finish());
        }
    }
    with_headers(response.finish())
}
