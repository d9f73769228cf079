//! Messages of alerts to webhooks, from the task that fails to the request that a service gets.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use actix_rt::net::TcpListener;
use gaia_actors::{
    AlertOptions, Config, GaiaBuilder, Webhook, WebhookFormat, async_fn, prelude::*, schedule::Language,
    testing::TestGaia,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Database, THEME, ended, eventually, options, refusal, task};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const TAKEN: &str = r#"{"code":0,"errcode":0}"#;

/// What a service has got: the head, and the body.
type Request = (String, Value);

/// A service on this machine. `None`: it never answers.
struct Service {
    url: String,
    got: Arc<Mutex<Vec<Request>>>,
}

impl Service {
    async fn start(answers: &'static [Option<&'static str>]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let port = listener.local_addr().expect("has one").port();
        let got = Arc::<Mutex<Vec<Request>>>::default();
        let requests = Arc::clone(&got);
        actix_rt::spawn(async move {
            let mut calls = 0;
            loop {
                let (mut stream, _) = listener.accept().await.expect("accepts");
                let answer = answers[calls.min(answers.len() - 1)];
                calls += 1;
                let requests = Arc::clone(&requests);
                actix_rt::spawn(async move {
                    let request = read(&mut stream).await;
                    requests.lock().expect("is not poisoned").push(request);
                    let Some(body) = answer else {
                        return std::future::pending().await;
                    };
                    let length = body.len();
                    let text = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
                    stream.write_all(text.as_bytes()).await.expect("writes");
                });
            }
        });
        Self {
            url: format!("http://127.0.0.1:{port}/hook/T0KEN"),
            got,
        }
    }

    fn got(&self) -> Vec<Request> {
        self.got.lock().expect("is not poisoned").clone()
    }

    fn webhook(&self, format: WebhookFormat) -> Webhook {
        Webhook::new(format, &self.url)
    }
}

async fn read(stream: &mut actix_rt::net::TcpStream) -> Request {
    let mut bytes = Vec::new();
    loop {
        let read = stream.read_buf(&mut bytes).await.expect("reads");
        assert_ne!(read, 0, "the request ends early");
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n")
            && let Ok(body) = serde_json::from_str(body)
        {
            return (head.to_owned(), body);
        }
    }
}

/// A process with a task that has failed for good.
async fn failing(database: &Database, builder: GaiaBuilder, theme: &str) -> TestGaia {
    let fails = async_fn(async |_, _: Value| Err::<(), _>(TaskError::discard("no")));
    let builder = builder.handler("Demo", "Fail", fails);
    let builder = builder.scheduler(SchedulerOptions::new(theme).worker_num(1));
    let gaia = TestGaia::start_on(database.url(), builder).await.expect("starts");
    let tasks = gaia.scheduler(theme).expect("is a theme");
    let id = tasks.add_task(task("Fail")).await.expect("is added").id;
    ended(&tasks, id).await;
    gaia
}

/// Lets time pass until a service has got so many requests.
async fn wait(gaia: &TestGaia, service: &Service, count: usize) -> Vec<Request> {
    eventually("requests", async || {
        gaia.advance(Duration::from_secs(2));
        actix_rt::time::sleep(Duration::from_millis(45)).await;
        Some(service.got()).filter(|got| got.len() >= count)
    })
    .await
}

#[actix_rt::test]
async fn each_service_gets_its_own_form_and_a_silent_one_delays_nobody() {
    let database = Database::fresh();
    let silent = Service::start(&[None]).await;
    let formats = [
        (WebhookFormat::Feishu, "/card/elements/0/text/content"),
        (WebhookFormat::DingTalk, "/markdown/text"),
        (WebhookFormat::WeCom, "/markdown/content"),
        (WebhookFormat::Slack, "/blocks/1/text/text"),
        (WebhookFormat::Json, "/text_zh"),
    ];
    let mut alerts = AlertOptions::default()
        .webhook(silent.webhook(WebhookFormat::Slack))
        .language(Language::Chinese)
        .kinds([gaia_actors::AlertKind::TaskFailed]);
    let mut services = Vec::new();
    for (format, _) in formats {
        let service = Service::start(&[Some(TAKEN)]).await;
        let webhook = service.webhook(format);
        alerts = alerts.webhook(match format {
            WebhookFormat::Json => webhook.secret(SECRET),
            WebhookFormat::Feishu | WebhookFormat::DingTalk => webhook.secret("demo"),
            _ => webhook,
        });
        services.push(service);
    }
    let theme = "\"><script>@all\\";
    let gaia = failing(&database, Gaia::builder().alerts(alerts), theme).await;
    for (service, (format, place)) in services.iter().zip(formats) {
        let (head, body) = wait(&gaia, service, 1).await.remove(0);
        let text = body
            .pointer(place)
            .and_then(Value::as_str)
            .unwrap_or_else(|| panic!("{format:?}: {body}"));
        assert!(text.contains("任务 1（Demo.Fail）最终失败：no"), "{format:?}: {text}");
        match format {
            WebhookFormat::Json => verify(&head, &body),
            WebhookFormat::DingTalk => assert!(head.contains("?timestamp=") && head.contains("&sign="), "{head}"),
            WebhookFormat::Feishu => assert!(body["sign"].is_string(), "{body}"),
            _ => {}
        }
    }
    assert_eq!(silent.got().len(), 1);
    // A message is under way to the silent one: the stop waits two seconds for it.
    let began = Instant::now();
    gaia.stop().await.expect("stops");
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
}

/// As the authors of the standard verify it.
fn verify(head: &str, body: &Value) {
    let fields: BTreeMap<String, String> = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let mut headers = http::HeaderMap::new();
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        headers.insert(name, fields[name].parse().expect("is a value"));
    }
    let webhook = standardwebhooks::Webhook::new(SECRET).expect("is a secret");
    webhook
        .verify(body.to_string().as_bytes(), &headers)
        .expect("is signed");
}

#[actix_rt::test]
async fn a_message_that_a_service_refuses_in_words_is_sent_again() {
    let database = Database::fresh();
    let service = Service::start(&[Some(r#"{"code":9499,"msg":"Bad Request"}"#), Some(TAKEN)]).await;
    let kinds = [gaia_actors::AlertKind::TaskFailed];
    let alerts = AlertOptions::default()
        .webhook(service.webhook(WebhookFormat::Feishu))
        .kinds(kinds);
    let gaia = failing(&database, Gaia::builder().alerts(alerts), THEME).await;
    let got = wait(&gaia, &service, 2).await;
    assert_eq!(got[0].1, got[1].1);
    gaia.stop().await.expect("stops");
    assert_eq!(service.got().len(), 2);
}

#[actix_rt::test]
async fn the_configuration_says_where_messages_go() {
    let database = Database::fresh();
    let service = Service::start(&[Some(TAKEN)]).await;
    let config = json!({ "Alerts": {
        "Webhooks": [{ "Format": "Json", "Url": service.url }],
        "Kinds": "TaskFailed",
        "Language": "zh",
        "Link": "https://ops.example/gaia",
        "Repeat": 60,
    } });
    let config = Config::from_json(&config.to_string()).expect("is good");
    let gaia = failing(&database, Gaia::builder().config(config), THEME).await;
    let (_, body) = wait(&gaia, &service, 1).await.remove(0);
    assert_eq!(body["link"], "https://ops.example/gaia/tasks/1");
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_webhook_that_cannot_be_called_is_refused_at_the_start() {
    let webhook = Webhook::new(WebhookFormat::WeCom, "ftp://T0KEN.example/").secret("T0KEN");
    let builder = Gaia::builder()
        .alerts(AlertOptions::default().webhook(webhook))
        .scheduler(options());
    let text = refusal(builder.start().await);
    assert!(
        text.contains("webhook 1 of the alerts (WeCom)") && text.contains("has no signatures"),
        "{text}"
    );
    assert!(!text.contains("T0KEN"), "{text}");
}
