//! Lists that come in pages.

use std::time::{Duration, Instant};

use crate::{
    api::{Fields, Request},
    args::Paging,
    exit::Result,
    output::say,
};

/// The most rows of one page.
const PAGE: u64 = 200;

/// For how long further pages are asked for while a search finds little.
const LONGEST: Duration = Duration::from_secs(10);

/// Asks for pages until there are enough rows, or no further ones. `key`: where a page has its rows.
pub async fn rows<'a>(paging: &Paging, key: &str, request: impl Fn() -> Request<'a>) -> Result<Vec<Fields>> {
    let (mut rows, mut cursor, began) = (Vec::new(), paging.cursor.clone(), Instant::now());
    loop {
        let missing = paging.limit - rows.len() as u64;
        let page = request()
            .query("limit", missing.min(PAGE))
            .maybe("cursor", cursor.as_ref())
            .send()
            .await?
            .fields()?;
        rows.extend(page.list(key));
        cursor = page.get("next_cursor");
        let Some(next) = &cursor else {
            return Ok(rows);
        };
        if rows.len() as u64 >= paging.limit {
            say(&format!("There may be more: --cursor {next}"));
            return Ok(rows);
        }
        if began.elapsed() > LONGEST {
            let back = page.object("searched_from").and_then(|task| task.int("id"));
            let back = back
                .map(|id| format!(" It has looked back as far as task {id}."))
                .unwrap_or_default();
            say(&format!(
                "The search takes long and has ended early.{back} Go on with --cursor {next}"
            ));
            return Ok(rows);
        }
    }
}
