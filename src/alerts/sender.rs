//! A webhook with its queue. Each webhook has a separate task, so that a service that does not answer delays no other.

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

    /// Sends the queued messages. Never ends.
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
            traceparent: None,
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use actix_rt::net::TcpListener;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::{
        config::WebhookFormat,
        domain::{AlertKind, AlertSeverity, AlertState},
        hook::HookOptions,
    };

    const BRIEF: [Duration; 3] = [Duration::from_millis(1); 3];

    fn alert(number: usize) -> Alert {
        Alert {
            kind: AlertKind::TaskFailed,
            key: number.to_string(),
            subject: String::new(),
            theme: None,
            state: AlertState::Raised,
            severity: AlertSeverity::Ticket,
            since: Utc::now(),
            time: Utc::now(),
            node: String::new(),
            times: 1,
            held_back: 0,
            text_en: String::new(),
            text_zh: String::new(),
            link: None,
        }
    }

    fn sender(port: u16) -> Sender {
        let webhook = Webhook::new(WebhookFormat::Json, format!("http://127.0.0.1:{port}/T0KEN"));
        let client = HookClient::new(&HookOptions::default()).expect("are good");
        Sender::new(webhook, client, Language::English, BRIEF)
    }

    /// A service that gives these answers, one for each connection, the last one again and again. Answers with its port, and what it got.
    async fn service(answers: &'static [&'static str]) -> (u16, Arc<Mutex<Vec<String>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let port = listener.local_addr().expect("has one").port();
        let (got, calls) = (Arc::<Mutex<Vec<String>>>::default(), AtomicUsize::new(0));
        let requests = Arc::clone(&got);
        actix_rt::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.expect("accepts");
                let (mut bytes, mut text) = (vec![0; 1 << 16], String::new());
                while !text.trim_end().ends_with('}') {
                    let read = stream.read(&mut bytes).await.expect("reads");
                    text.push_str(&String::from_utf8_lossy(&bytes[..read]));
                }
                requests.lock().expect("is not poisoned").push(text);
                let call = calls.fetch_add(1, Ordering::SeqCst);
                let answer = answers[call.min(answers.len() - 1)];
                stream.write_all(answer.as_bytes()).await.expect("writes");
                stream.shutdown().await.expect("ends");
            }
        });
        (port, got)
    }

    const GOOD: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    const BAD: &str = "HTTP/1.1 500 No\r\ncontent-length: 5\r\n\r\nT0KEN";

    #[actix_rt::test]
    async fn a_message_is_tried_four_times_and_a_lost_one_is_counted_in_the_next() {
        let (port, got) = service(&[BAD, BAD, BAD, BAD, BAD, GOOD]).await;
        let sender = sender(port);
        actix_rt::spawn(sender.clone().run());
        for number in [1, 2] {
            sender.push(alert(number));
            sender.sent().await;
        }
        let got = got.lock().expect("is not poisoned").clone();
        let keys: Vec<bool> = got.iter().map(|request| request.contains(r#""key":"1""#)).collect();
        assert_eq!(keys, [true, true, true, true, false, false]);
        assert!(got[5].contains(r#""lost_messages":1"#), "{}", got[5]);
        // The tries of one message have one id.
        let id = |request: &str| {
            let line = request.lines().find(|line| line.starts_with("idempotency-key"));
            line.map(ToOwned::to_owned)
        };
        assert_eq!(id(&got[0]), id(&got[3]));
        assert!(id(&got[0]).is_some() && id(&got[3]) != id(&got[4]));
    }

    #[actix_rt::test]
    async fn beyond_a_hundred_messages_the_oldest_are_dropped_and_counted() {
        let (port, got) = service(&[GOOD]).await;
        let sender = sender(port);
        for number in 0..MOST_WAITING + 7 {
            sender.push(alert(number));
        }
        assert_eq!(*sender.0.open.borrow(), MOST_WAITING);
        actix_rt::spawn(sender.clone().run());
        sender.sent().await;
        let got = got.lock().expect("is not poisoned").clone();
        assert_eq!(got.len(), MOST_WAITING);
        assert!(
            got[0].contains(r#""key":"7""#) && got[0].contains(r#""lost_messages":7"#),
            "{}",
            got[0]
        );
        assert!(got[1].contains(r#""lost_messages":0"#), "{}", got[1]);
    }

    #[actix_rt::test]
    async fn why_a_message_was_not_delivered_shows_no_secret() {
        let moved = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1/T0KEN\r\ncontent-length: 0\r\n\r\n";
        let (moved, _) = service(vec![moved].leak()).await;
        let (bad, _) = service(&[BAD]).await;
        let (garbage, _) = service(&["T0KEN\r\n\r\n"]).await;
        for (port, words) in [
            (moved, "it answered 302, expected 2xx (redirects are not followed)"),
            (bad, "it answered 500"),
            (garbage, "did not answer with HTTP"),
            (1, "cannot connect to the host \"127.0.0.1\""),
        ] {
            let reason = sender(port).post(&alert(1), 0, "id").await.expect_err("fails");
            assert!(reason.contains(words) && !reason.contains("T0KEN"), "{reason}");
        }
        assert_eq!(host("https://open.feishu.cn/hook/T0KEN"), "open.feishu.cn");
        let webhook = Webhook::new(WebhookFormat::Json, "http://169.254.169.254/T0KEN");
        let client = HookClient::new(&HookOptions::default()).expect("are good");
        let forbidden = Sender::new(webhook, client, Language::English, BRIEF);
        let reason = forbidden.post(&alert(1), 0, "id").await.expect_err("is forbidden");
        assert!(
            reason.contains("may not be called") && !reason.contains("T0KEN"),
            "{reason}"
        );
    }
}
