//! Waiting for connections when a process starts.

use std::time::{Duration, Instant};

use super::{CHECK_AFTER, Connect, Connections, Refusal};
use crate::{
    backoff::Backoff,
    store::{StoreError, url::ServerUrl},
};

/// Between two attempts at most: what a process that runs has given back is not there for long.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Makes an attempt again while the server has no connection to give, for as long as the URL lets a start take. Processes that
/// start together do not ask together.
pub(in crate::store) async fn patiently<T, W>(url: &ServerUrl, mut attempt: impl FnMut() -> W) -> Result<T, StoreError>
where
    W: Future<Output = Result<T, Refusal>>,
{
    let (began, mut backoff) = (Instant::now(), Backoff::default());
    loop {
        let refusal = match attempt().await {
            Ok(done) => return Ok(done),
            Err(refusal) => refusal,
        };
        let left = url.start_timeout.saturating_sub(began.elapsed());
        let Refusal::ForNow(reason) = &refusal else {
            return Err(refusal.on(url, url.pool_timeout));
        };
        if left.is_zero() {
            return Err(refusal.on(url, url.start_timeout));
        }
        if backoff.is_fresh() {
            say!(
                Warn,
                "the start waits for a connection, for {left:.1?} at most: {reason}"
            );
        }
        tokio::time::sleep(backoff.failed().min(LONGEST_WAIT).min(left)).await;
    }
}

impl<K: Connect> Connections<K> {
    /// Waits until this process has the two connections that a node cannot do without, and the server could give one more: the
    /// last one is left to the nodes that run.
    pub(in crate::store) async fn reserve_connections(&self) -> Result<(), StoreError> {
        patiently(&self.url, || self.take_needed()).await
    }

    async fn take_needed(&self) -> Result<(), Refusal> {
        let taken = self.hold_needed().await;
        if taken.is_err() {
            // Another process that waits may have more luck.
            self.shared.close_idle();
            self.heartbeats.close_idle();
        }
        taken
    }

    async fn hold_needed(&self) -> Result<(), Refusal> {
        let deadline = Instant::now() + self.url.pool_timeout;
        let _heartbeat = self.heartbeats.take(deadline, CHECK_AFTER).await?;
        let _work = self.shared.take(deadline, CHECK_AFTER).await?;
        self.connector.connect().await.map(drop)
    }
}
