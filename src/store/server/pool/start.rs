//! How a process that starts waits for connections.

use std::time::{Duration, Instant};

use super::{CHECK_AFTER, Connect, Connections, Refusal};
use crate::{
    backoff::Backoff,
    store::{StoreError, url::ServerUrl},
};

/// The longest wait between two attempts: connections that a running process has given back are not free for long.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Repeats `attempt` while the server has no connection to give, for the URL's `start_timeout` at most. The waits are random, so that
/// processes that start together do not ask together.
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
    /// Waits until this process has the two connections that a node cannot do without, and the server could give one more, which is left to
    /// the nodes that run.
    pub(in crate::store) async fn reserve_connections(&self) -> Result<(), StoreError> {
        patiently(&self.url, || self.take_needed()).await
    }

    async fn take_needed(&self) -> Result<(), Refusal> {
        let taken = self.hold_needed().await;
        if taken.is_err() {
            // Another process that waits may get all of its connections with these.
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
