//! A remote service that is registered: it makes the calls.

use std::{pin::pin, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{
    FutureExt,
    future::{Either, LocalBoxFuture, select},
};
use tokio::sync::Semaphore;
use url::Url;

#[cfg(feature = "web")]
use super::answer::lease;
use super::{answer::outcome, request, silence::Silence};
#[cfg(feature = "web")]
use crate::registry::{ONLY_TASKS, Ticket};
use crate::{
    clock::Clock,
    domain::{HookSecret, Json, TaskError},
    hook::{HookCall, HookError, KeptClient, ServiceAnswer},
    registry::{AnyMethod, InvokeError, RunKind, TaskContext},
};

/// The status by which a service says that it has taken the run over, and will end it later.
const ACCEPTED: u16 = 202;

#[cfg(not(feature = "web"))]
const NO_API: &str = "the service answered 202, by which it would end the run later, but this program is built without the HTTP API; \
     build it with the feature `web` of gaia-actors";

/// What a [`Remote`] is made from.
pub(super) struct RemoteParts {
    pub(super) name: String,
    pub(super) url: Url,
    pub(super) secret: Option<HookSecret>,
    pub(super) timeout: Option<Duration>,
    pub(super) max_concurrent: usize,
    pub(super) client: KeptClient,
    pub(super) clock: Clock,
}

/// Calls the methods of one service.
pub(super) struct Remote {
    name: String,
    url: Url,
    secret: Option<HookSecret>,
    timeout: Option<Duration>,
    /// One permit for each call.
    calls: Semaphore,
    client: KeptClient,
    clock: Clock,
    silence: Silence,
}

impl Remote {
    pub(super) fn new(parts: RemoteParts) -> Self {
        Self {
            name: parts.name,
            url: parts.url,
            secret: parts.secret,
            timeout: parts.timeout,
            calls: Semaphore::new(parts.max_concurrent),
            client: parts.client,
            clock: parts.clock,
            silence: Silence::default(),
        }
    }

    async fn answer(&self, method: &str, ctx: &TaskContext, args: &str) -> Result<Json, InvokeError> {
        let url = request::url_of(&self.url, method);
        let url = url.map_err(|fault| InvokeError::Handler(TaskError::discard(fault)))?;
        // The semaphore is never closed.
        let _permit = self.calls.acquire().await;
        let (secret, now) = (self.secret.as_ref(), self.clock.now());
        #[cfg_attr(not(feature = "web"), expect(unused_mut, reason = "no run can be parked"))]
        let mut call = request::call(&url, ctx, args, secret, now, self.deadline(ctx, now));
        #[cfg(feature = "web")]
        let ticket = ctx.ticket().map(|(ticket, token)| {
            call.headers.insert("gaia-run-token".to_owned(), token);
            ticket
        });
        match self.in_time(&url, call).await? {
            Ok(answer) => {
                self.note_answer();
                match answer.status {
                    #[cfg(feature = "web")]
                    ACCEPTED => Err(parked(ticket, &answer)),
                    #[cfg(not(feature = "web"))]
                    ACCEPTED => Err(InvokeError::Handler(TaskError::failed(NO_API))),
                    _ => outcome(ctx, &answer, self.clock.now()).map_err(InvokeError::Handler),
                }
            }
            Err(HookError::Withdrawn) => Err(InvokeError::Withdrawn),
            Err(HookError::NoThread) => Err(InvokeError::NoThread),
            Err(error) => Err(InvokeError::Handler(self.unanswered(ctx, &error))),
        }
    }

    /// When the run is out of time, or the call, whichever comes first.
    fn deadline(&self, ctx: &TaskContext, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let limit = self.timeout.and_then(|limit| TimeDelta::from_std(limit).ok());
        let of_call = limit.and_then(|limit| now.checked_add_signed(limit));
        ctx.deadline().into_iter().chain(of_call).min()
    }

    /// The answer of the service, if it comes within the timeout of the service.
    async fn in_time(&self, url: &Url, call: HookCall) -> Result<Result<ServiceAnswer, HookError>, InvokeError> {
        let answer = self.client.call(url, call);
        let Some(limit) = self.timeout else {
            return Ok(answer.await);
        };
        match select(pin!(answer), pin!(self.clock.sleep(limit))).await {
            Either::Left((answer, _)) => Ok(answer),
            Either::Right(_) => Err(InvokeError::Handler(TaskError::failed(format!(
                "the service gave no answer within {limit:?}, the timeout of the service; see its own log, or raise the timeout"
            )))),
        }
    }

    /// A task waits for a service that is down: a refused connection uses no attempt at first.
    fn unanswered(&self, ctx: &TaskContext, error: &HookError) -> TaskError {
        let is_down = matches!(error, HookError::Connect { refused: true, .. });
        let pause = match is_down && ctx.kind() == Some(RunKind::Task) {
            true => self.pause(error),
            false => None,
        };
        pause.map_or_else(|| TaskError::failed(error.to_string()), TaskError::Snooze)
    }

    fn pause(&self, error: &HookError) -> Option<Duration> {
        let refusal = self.silence.refused(self.clock.elapsed());
        if refusal.is_first {
            let name = &self.name;
            say!(
                Warn,
                "service {name} is down: {error}; its tasks come again and use no attempt for ten minutes"
            );
        }
        refusal.pause
    }

    fn note_answer(&self) {
        if let Some(lasted) = self.silence.end(self.clock.elapsed()) {
            say!(Info, "service {} answers again after {} s", self.name, lasted.as_secs());
        }
    }
}

/// The service has answered [`ACCEPTED`]: it has taken the run over. Its body may say how often it will beat.
#[cfg(feature = "web")]
fn parked(ticket: Option<Ticket>, answer: &ServiceAnswer) -> InvokeError {
    match ticket {
        Some(ticket) => InvokeError::Parked(ticket, lease(answer)),
        None => InvokeError::Handler(TaskError::discard(ONLY_TASKS)),
    }
}

impl AnyMethod for Remote {
    fn call<'a>(
        &'a self,
        method: &'a str,
        ctx: TaskContext,
        args: &'a str,
    ) -> LocalBoxFuture<'a, Result<Json, InvokeError>> {
        async move {
            // A call that is dropped closes its connection.
            match select(pin!(self.answer(method, &ctx, args)), pin!(ctx.cancelled())).await {
                Either::Left((answer, _)) => answer,
                Either::Right(_) => Err(InvokeError::Stopped(
                    "the run was stopped, and the connection to the service was closed",
                )),
            }
        }
        .boxed_local()
    }
}
