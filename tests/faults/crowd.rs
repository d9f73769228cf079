//! Many operations at once on one connection.

use std::time::Duration;

use futures_util::future::join_all;
use gaia_actors::prelude::*;

use crate::{feeder::THEME, sql::Database};

const OPERATIONS: usize = 2_000;

/// The longest that any may take: it waits for the connection for half a second.
const PATIENCE: Duration = Duration::from_secs(30);

/// Each is done, or refused because the connection is taken; then there is one for the next. Answers what was wrong.
pub fn on_one_connection(database: &Database) -> Option<String> {
    let url = format!("{}?pool_size=1&pool_timeout=500", database.url);
    let crowd = actix_rt::System::new().block_on(async {
        let client = Gaia::builder().database(url).arbiters(1).start().await.expect("starts");
        let demo = client.scheduler(THEME).expect("is a theme");
        let wrong = tokio::time::timeout(PATIENCE, crowd(&demo)).await;
        client.stop().await.expect("stops");
        wrong
    });
    crowd.unwrap_or_else(|_| {
        Some(format!(
            "not all of {OPERATIONS} operations were answered within {PATIENCE:?}"
        ))
    })
}

async fn crowd(demo: &Scheduler) -> Option<String> {
    let answers = join_all((0..OPERATIONS).map(|_| demo.count_by_status())).await;
    let errors: Vec<_> = answers
        .into_iter()
        .filter_map(Result::err)
        .map(|error| error.to_string())
        .collect();
    if errors.len() == OPERATIONS {
        return Some(format!("none of {OPERATIONS} operations was done: {}", errors[0]));
    }
    if let Some(other) = errors
        .iter()
        .find(|error| !error.contains("no database connection was free"))
    {
        return Some(format!("an operation on a pool of 1 failed: {other}"));
    }
    let next = demo.count_by_status().await;
    next.err()
        .map(|error| format!("the pool of 1 did not come back: {error}"))
}
