//! Showing a list again and again.

use std::time::Duration;

use crate::{
    exit::{Exit, Result},
    session::Session,
};

/// Shows once, or every so many seconds until the program is ended.
pub async fn watched(session: &Session, every: Option<u64>, mut show: impl AsyncFnMut() -> Result) -> Result {
    let Some(seconds) = every else {
        return show().await;
    };
    loop {
        session.out.begin_again()?;
        let shown = show().await?;
        if shown != Exit::Done {
            return Ok(shown);
        }
        actix_rt::time::sleep(Duration::from_secs(seconds)).await;
    }
}
