//! A webhook with its queue. Each has a task of its own, so that one that does not answer delays no other.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::Utc;
use tokio::sync::{Notify, watch};
use url::Url;

use super::{
    bodies::{Request, check, request},
    options::{AlertSettings, Webhook},
};
use crate::{
    domain::{Alert, HookMethod, InvalidInput},
    hook::{HookCall, HookClient, HookError},
    repeats::Repeats,
    schedule::Language,
};

/// The most messages that wait for one webhook. Beyond that the oldest is dropped.
const MOST_WAITING: usize = 100;

/// The longest time for one try.
const TRY_FOR: Duration = Duration::from_secs(10);

/// The pauses before the further tries of a message.
const PAUSES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(4), Duration::from_secs(15)];

/// Sends messages to one webhook. Cloning is cheap.
#[derive(Clone)]
pub(super) struct Sender(Arc<Shared>);

struct Shared {
    webhook: Webhook,
    client: HookClient,
    language: Language,
    pauses: [Duration; 3],
    queue: Mutex<Queue>,
    /// Notified when a message has come.
    come: Notify,
    /// How many messages wait or are under way.
    open: watch::Sender<usize>,
    failures: Mutex<Repeats<()>>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Alert>,
    /// Messages that were dropped or not delivered, and of which no later message has told.
    lost: u64,
}

impl Sender {
    pub(super) fn all(settings: &AlertSettings) -> Result<Vec<Self>, InvalidInput> {
        let client = HookClient::new(&settings.hooks)?;
        let sender = |webhook: &Webhook| Self::new(webhook.clone(), client.clone(), settings.language, PAUSES);
        Ok(settings.webhooks.iter().map(sender).collect())
    }

    fn new(webhook: Webhook, client: HookClient, language: Language, pauses: [Duration; 3]) -> Self {
        Self(Arc::new(Shared {
            webhook,
            client,
            language,
            pauses,
            queue: Mutex::default(),
            come: Notify::new(),
            open: watch::Sender::new(0),
            failures: Mutex::default(),
        }))
    }

    /// Queues a message.
    pub(super) fn push(&self, alert: Alert) {
        let mut queue = self.queue();
        if queue.waiting.len() >= MOST_WAITING {
            queue.waiting.pop_front();
            queue.lost += 1;
        } else {
            self.0.open.send_modify(|open| *open += 1);
        }
        queue.waiting.push_back(alert);
        drop(queue);
        self.0.come.notify_one();
    }

    /// Sends what is queued. Never ends.
    pub(super) async fn run(self) {
        loop {
            let next = {
                let mut queue = self.queue();
                let next = queue.waiting.pop_front();
                next.map(|alert| (alert, std::mem::take(&mut queue.lost)))
            };
            let Some((alert, lost)) = next else {
                self.0.come.notified().await;
                continue;
            };
            if !self.deliver(&alert, lost).await {
                self.queue().lost += lost + 1;
            }
            self.0.open.send_modify(|open| *open -= 1);
        }
    }

    /// Completes when no message waits or is under way.
    pub(super) async fn sent(&self) {
        // The sender lives as long as this value.
        let _ = self.0.open.subscribe().wait_for(|open| *open == 0).await;
    }

    /// Tries to send a message, up to four times. False: it was not delivered.
    async fn deliver(&self, alert: &Alert, lost: u64) -> bool {
        // The same for each try, so that the service can recognize a repetition.
        let id = uuid::Uuid::now_v7().to_string();
        let mut pauses = self.0.pauses.into_iter();
        loop {
            let Err(reason) = self.post(alert, lost, &id).await else {
                self.failures().over(&());
                return true;
            };
            let Some(pause) = pauses.next() else {
                self.say(&reason);
                return false;
            };
            tokio::time::sleep(pause).await;
        }
    }

    async fn post(&self, alert: &Alert, lost: u64, id: &str) -> Result<(), String> {
        let (webhook, now) = (&self.0.webhook, Utc::now());
        let Request { url, body, secret } = request(webhook, alert, self.0.language, lost, now);
        let call = HookCall {
            method: HookMethod::Post,
            url,
            headers: BTreeMap::new(),
            body,
            secret,
            run_id: id.to_owned(),
            sent_at: now,
            hold: None,
        };
        match tokio::time::timeout(TRY_FOR, self.0.client.call(call)).await {
            Ok(Ok(answer)) => check(webhook.format, &answer.body),
            Ok(Err(error)) => Err(reason(&error)),
            Err(_) => Err(format!("it gave no answer within {TRY_FOR:?}")),
        }
    }

    fn say(&self, reason: &str) {
        let (format, host) = (self.0.webhook.format, host(&self.0.webhook.url));
        // The lock is released before the line is written.
        let said = self.failures().say((), reason);
        if let Some(said) = said {
            say!(
                Error,
                "a message of an alert was not delivered to {format:?} at {host}: {said}"
            );
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failures(&self) -> MutexGuard<'_, Repeats<()>> {
        self.0.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a call failed, without the service's own words: an answer may repeat the URL, which is a secret.
fn reason(error: &HookError) -> String {
    match error {
        HookError::Status { status, .. } => format!("it answered {status}, expected 2xx (redirects are not followed)"),
        HookError::NoAnswer { .. } => "it closed the connection, or did not answer with HTTP".to_owned(),
        HookError::CutOff { status, .. } => format!("its answer {status} was cut off"),
        error => error.to_string(),
    }
}

fn host(url: &str) -> String {
    let url = Url::parse(url).ok();
    let host = url.as_ref().and_then(Url::host_str);
    host.unwrap_or("an unknown host").to_owned()
}
