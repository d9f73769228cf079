//! The metrics for Prometheus.

use crate::{
    exit::{Exit, Result},
    session::Session,
};

pub async fn run(session: &Session) -> Result {
    let metrics = session.api().await?.get(&["metrics"]).send().await?;
    session.out.text(&metrics.body)?;
    Ok(Exit::Done)
}
