//! Calls over connections that are kept open from one call to the next, for services that are called often.

use std::time::{Duration, Instant};

use awc::error::{ConnectError as TransportError, SendRequestError};
use url::Url;

use super::{
    HookCall, HookClient, HookError, ServiceAnswer, answer,
    client::{no_answer, send},
    pool::{Kept, Pool},
    wire::Seen,
};
use crate::traces::Span;

/// A connection that was closed while it was idle ends so soon after the next request is sent.
const CLOSED_WITHIN: Duration = Duration::from_millis(500);

/// Calls one service. The name of its host is looked up, and its addresses are judged, whenever a connection is made.
pub(crate) struct KeptClient {
    client: HookClient,
    pool: Pool,
}

impl KeptClient {
    /// `idle`: so many connections are kept open on each thread.
    pub(crate) fn new(client: HookClient, idle: usize) -> Self {
        let pool = Pool::new(idle);
        Self { client, pool }
    }

    /// Sends the request and reads the answer, whatever its status. Dropping the future closes the connection.
    pub(crate) async fn call(&self, url: &Url, call: HookCall) -> Result<ServiceAnswer, HookError> {
        let span = Span::of_hook(call.method.as_str(), url.host_str().unwrap_or_default());
        let answer = span.clone().around(self.exchange(url, &call)).await;
        match &answer {
            Ok(answer) => span.answered(answer.status),
            Err(error) => error.tell(&span),
        }
        answer
    }

    async fn exchange(&self, url: &Url, call: &HookCall) -> Result<ServiceAnswer, HookError> {
        if let Some(kept) = self.pool.take() {
            let began = Instant::now();
            match self.over(kept, url, call).await {
                // The service has closed the connection while it was idle. An end that comes later may be that of a service which has begun.
                Err(Fault { is_silent: true, .. }) if began.elapsed() < CLOSED_WITHIN => {}
                answered => return answered.map_err(|fault| fault.error),
            }
        }
        let fresh = self.client.connector.connect(url).await?;
        self.over(Kept::new(fresh), url, call)
            .await
            .map_err(|fault| fault.error)
    }

    async fn over(&self, kept: Kept, url: &Url, call: &HookCall) -> Result<ServiceAnswer, Fault> {
        kept.watch.renew();
        let request = self.client.request(&kept.client, url, call)?;
        let response = send(request, call.method, call.body.clone()).await;
        let response = response.map_err(|error| Fault {
            is_silent: is_silent(&error, &kept.watch.seen),
            error: no_answer(url, &error),
        })?;
        let (answer, is_read) = answer::read_any(response, &kept.watch.seen, self.client.response_limit).await?;
        if is_read && kept.watch.may_go_on() {
            self.pool.put(kept);
        }
        Ok(answer)
    }
}

/// Why a connection gave no answer.
struct Fault {
    error: HookError,
    /// The connection ended before any byte of an answer came.
    is_silent: bool,
}

impl From<HookError> for Fault {
    fn from(error: HookError) -> Self {
        let is_silent = false;
        Self { error, is_silent }
    }
}

/// Whether the connection ended before any byte of an answer came. awc has no other connection than this one to try.
fn is_silent(error: &SendRequestError, seen: &Seen) -> bool {
    match error {
        SendRequestError::Connect(TransportError::Disconnected)
        | SendRequestError::Send(_)
        | SendRequestError::Response(_) => seen.is_silent(),
        SendRequestError::Connect(_) => true,
        _ => false,
    }
}
