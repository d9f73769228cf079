//! Files of the pages. Each has the hash of its content in its path, so browsers keep it for a year and never show an old one.

use std::sync::LazyLock;

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS},
    web,
};
use sha2::{Digest, Sha256};

use crate::domain::hex;

/// How htmx works here: it adds no style, which a strict policy would refuse, and keeps no pages. A refresh closes no fold that
/// the reader has opened, and wipes out no chart that the script has drawn.
pub(super) const HTMX_CONFIG: &str = concat!(
    r#"{"includeIndicatorCSS":false,"history":false,"defaultTimeout":20000,"#,
    r#""morphIgnore":["data-htmx-powered","open"],"morphSkipChildren":"[data-chart]"}"#
);

/// A file.
pub(super) struct Asset {
    stem: &'static str,
    extension: &'static str,
    content_type: &'static str,
    content: &'static [u8],
    hash: LazyLock<String>,
}

macro_rules! asset {
    ($name:ident, $stem:literal, $extension:literal, $content_type:literal, $file:literal) => {
        pub(super) static $name: Asset = Asset {
            stem: $stem,
            extension: $extension,
            content_type: $content_type,
            content: include_bytes!(concat!("assets/", $file)),
            hash: LazyLock::new(|| {
                let hash = Sha256::digest(include_bytes!(concat!("assets/", $file)));
                hex(&hash[..6])
            }),
        };
    };
}

asset!(STYLE, "gaia", "css", "text/css; charset=utf-8", "gaia.css");
asset!(SCRIPT, "gaia", "js", "text/javascript; charset=utf-8", "gaia.js");
asset!(
    HTMX,
    "htmx",
    "js",
    "text/javascript; charset=utf-8",
    "htmx-4.0.1.min.js"
);
asset!(
    UPLOT,
    "uplot",
    "js",
    "text/javascript; charset=utf-8",
    "uplot-1.6.32.iife.min.js"
);
asset!(
    UPLOT_CSS,
    "uplot",
    "css",
    "text/css; charset=utf-8",
    "uplot-1.6.32.min.css"
);
asset!(ICON, "icon", "svg", "image/svg+xml", "icon.svg");

static ALL: [&Asset; 6] = [&STYLE, &SCRIPT, &HTMX, &UPLOT, &UPLOT_CSS, &ICON];

impl Asset {
    /// Its name, with the hash of its content.
    pub(super) fn path(&self) -> String {
        format!("{}-{}.{}", self.stem, *self.hash, self.extension)
    }
}

/// Answers with a file. Files say nothing of the data, so every client gets them.
pub(super) async fn show(request: HttpRequest, name: web::Path<String>) -> HttpResponse {
    let Some(asset) = ALL.iter().find(|asset| asset.path() == *name) else {
        return HttpResponse::NotFound().finish();
    };
    let mut response = HttpResponse::Ok();
    response.insert_header((CONTENT_TYPE, asset.content_type));
    let headers: [(HeaderName, &str); 2] = [
        (CACHE_CONTROL, "public, max-age=31536000, immutable"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    for (name, value) in headers {
        response.insert_header((name, HeaderValue::from_static(value)));
    }
    match request.method() == actix_web::http::Method::HEAD {
        true => response.finish(),
        false => response.body(asset.content),
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, prelude::BASE64_STANDARD};
    use sha2::Sha384;

    use super::*;

    const VENDOR: &str = include_str!("assets/VENDOR.md");

    #[test]
    fn files_of_others_are_those_that_the_list_names() {
        let rows: Vec<&str> = VENDOR.lines().filter(|line| line.starts_with("| `")).collect();
        assert_eq!(rows.len(), 3);
        for (asset, file) in [
            (&HTMX, "htmx-4.0.1.min.js"),
            (&UPLOT, "uplot-1.6.32.iife.min.js"),
            (&UPLOT_CSS, "uplot-1.6.32.min.css"),
        ] {
            let integrity = format!("sha384-{}", BASE64_STANDARD.encode(Sha384::digest(asset.content)));
            let row = rows.iter().find(|row| row.contains(&format!("`{file}`")));
            assert!(row.is_some_and(|row| row.contains(&integrity)), "{file} is {integrity}");
        }
    }

    #[test]
    fn no_file_is_loaded_from_elsewhere() {
        for asset in [&STYLE, &SCRIPT] {
            let text = std::str::from_utf8(asset.content).expect("is text");
            assert!(
                !text.contains("http:") && !text.contains("https:") && !text.contains("//cdn"),
                "{}",
                asset.path()
            );
        }
    }
}
