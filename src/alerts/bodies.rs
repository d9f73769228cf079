//! Messages in the forms of chat services, and their signatures.
//!
//! Names and errors are written by users. No text may mention people, make a link or end the text around it: the services get it as plain text
//! where they have plain text, and else without the characters that they read as marks.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use url::Url;

use super::{cause::title, options::Webhook};
use crate::{
    config::WebhookFormat,
    domain::{Alert, AlertSeverity, AlertState, HookSecret},
    hook::hmac_sha256,
    line::beginning,
    schedule::Language,
};

/// The most bytes of WeCom's Markdown.
const MAX_WECOM_BYTES: usize = 4_096;

/// The most characters of a heading and of a text in Slack.
const MAX_SLACK_TITLE: usize = 150;
const MAX_SLACK_TEXT: usize = 3_000;

/// What is sent.
pub(super) struct Request {
    pub(super) url: String,
    pub(super) body: String,
    /// For the signature in the headers.
    pub(super) secret: Option<HookSecret>,
}

/// The words of a message.
struct Words {
    title: String,
    text: String,
    open: &'static str,
    link: Option<String>,
}

impl Words {
    /// `lost`: how many messages before this one were not delivered.
    fn new(alert: &Alert, language: Language, lost: u64) -> Self {
        let titles = title(alert.kind);
        let text = alert.text(language);
        let (title, note, open) = match language {
            Language::English => (
                format!("[{}] {}", state(alert.state), titles.en),
                format!(" ({lost} messages before this one were not delivered)"),
                "Open the dashboard",
            ),
            Language::Chinese => (
                format!("【{}】{}", state_zh(alert.state), titles.zh),
                format!("（此前有 {lost} 条消息未能送达）"),
                "打开控制台",
            ),
        };
        Self {
            title,
            text: format!("{text}{}", if lost > 0 { note.as_str() } else { "" }),
            open,
            link: alert.link.clone(),
        }
    }
}

const fn state(state: AlertState) -> &'static str {
    match state {
        AlertState::Raised => "Alert",
        AlertState::Reminded => "Reminder",
        AlertState::Recovered => "Over",
    }
}

const fn state_zh(state: AlertState) -> &'static str {
    match state {
        AlertState::Raised => "告警",
        AlertState::Reminded => "提醒",
        AlertState::Recovered => "恢复",
    }
}

/// The request that tells an alert to a webhook.
pub(super) fn request(webhook: &Webhook, alert: &Alert, language: Language, lost: u64, now: DateTime<Utc>) -> Request {
    let words = Words::new(alert, language, lost);
    let secret = webhook.secret.as_deref();
    let (url, body) = match webhook.format {
        WebhookFormat::Feishu => (webhook.url.clone(), feishu(&words, alert, secret, now)),
        WebhookFormat::DingTalk => (dingtalk_url(&webhook.url, secret, now), dingtalk(&words)),
        WebhookFormat::WeCom => (webhook.url.clone(), wecom(&words)),
        WebhookFormat::Slack => (webhook.url.clone(), slack(&words)),
        WebhookFormat::Json => (webhook.url.clone(), plain(alert, lost)),
    };
    Request {
        url,
        body: body.to_string(),
        secret: secret
            .filter(|_| webhook.format == WebhookFormat::Json)
            .and_then(|secret| HookSecret::parse(secret).ok()),
    }
}

/// Whether the service has taken the message: some answer 200 with an error in the body.
pub(super) fn check(format: WebhookFormat, body: &str) -> Result<(), String> {
    let keys: &[&str] = match format {
        WebhookFormat::Feishu => &["code", "StatusCode"],
        WebhookFormat::DingTalk | WebhookFormat::WeCom => &["errcode"],
        WebhookFormat::Slack | WebhookFormat::Json => return Ok(()),
    };
    let answer: Value = serde_json::from_str(body).unwrap_or_default();
    let code = keys.iter().find_map(|key| answer.get(key)).and_then(Value::as_i64);
    match code {
        Some(0) => Ok(()),
        Some(code) => Err(format!("it answered with the error code {code}")),
        None => Err(format!(
            "its answer has no {:?}, expected an answer of {format:?}",
            keys[0]
        )),
    }
}

/// A card, whose texts are plain.
fn feishu(words: &Words, alert: &Alert, secret: Option<&str>, now: DateTime<Utc>) -> Value {
    let colour = match (alert.state, alert.severity) {
        (AlertState::Recovered, _) => "green",
        (_, AlertSeverity::Page) => "red",
        (_, AlertSeverity::Ticket) => "orange",
    };
    let text = |content: &str| json!({ "tag": "plain_text", "content": content });
    let mut elements = vec![json!({ "tag": "div", "text": text(&words.text) })];
    elements.extend(words.link.as_ref().map(|link| {
        let button = json!({ "tag": "button", "type": "default", "text": text(words.open), "url": link });
        json!({ "tag": "action", "actions": [button] })
    }));
    let mut body = json!({
        "msg_type": "interactive",
        "card": {
            "config": { "wide_screen_mode": true },
            "header": { "template": colour, "title": text(&words.title) },
            "elements": elements,
        },
    });
    if let Some(secret) = secret {
        let timestamp = now.timestamp();
        body["timestamp"] = json!(timestamp.to_string());
        body["sign"] = json!(hmac_sha256(format!("{timestamp}\n{secret}").as_bytes(), ""));
    }
    body
}

fn dingtalk(words: &Words) -> Value {
    let (title, text) = (unmarked(&words.title), unmarked(&words.text));
    let link = words.link.as_ref().map(|link| format!("\n\n[{}]({link})", words.open));
    json!({
        "msgtype": "markdown",
        "markdown": { "title": title, "text": format!("#### {title}\n\n{text}{}", link.unwrap_or_default()) },
        "at": { "isAtAll": false },
    })
}

/// The URL with time and signature, if there is a secret.
fn dingtalk_url(url: &str, secret: Option<&str>, now: DateTime<Utc>) -> String {
    let (Some(secret), Ok(mut signed)) = (secret, Url::parse(url)) else {
        return url.to_owned();
    };
    let timestamp = now.timestamp_millis().to_string();
    let sign = hmac_sha256(secret.as_bytes(), &format!("{timestamp}\n{secret}"));
    signed
        .query_pairs_mut()
        .append_pair("timestamp", &timestamp)
        .append_pair("sign", &sign);
    signed.into()
}

fn wecom(words: &Words) -> Value {
    let link = words.link.as_ref().map(|link| format!("\n[{}]({link})", words.open));
    let link = link.unwrap_or_default();
    let text = format!("### {}\n{}", unmarked(&words.title), unmarked(&words.text));
    let text = beginning(&text, MAX_WECOM_BYTES.saturating_sub(link.len()));
    json!({ "msgtype": "markdown", "markdown": { "content": format!("{text}{link}") } })
}

/// Blocks of plain text. The text beside them is for notifications, and is read as Slack's own markup.
fn slack(words: &Words) -> Value {
    let block = |kind: &str, text: &str, most: usize| {
        let text: String = text.chars().take(most).collect();
        json!({ "type": kind, "text": { "type": "plain_text", "text": text, "emoji": false } })
    };
    let mut blocks = vec![
        block("header", &words.title, MAX_SLACK_TITLE),
        block("section", &words.text, MAX_SLACK_TEXT),
    ];
    blocks.extend(words.link.as_ref().map(|link| {
        let link = format!("<{}|{}>", link.replace('&', "&amp;"), words.open);
        json!({ "type": "section", "text": { "type": "mrkdwn", "text": link } })
    }));
    let text = format!("{}: {}", words.title, words.text);
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    json!({ "text": text, "blocks": blocks })
}

/// The alert itself.
fn plain(alert: &Alert, lost: u64) -> Value {
    let mut body = json!(alert);
    body["lost_messages"] = json!(lost);
    body
}

/// A text for Markdown, in which the wide forms stand for characters that make links, mentions and emphasis: not every service knows
/// escapes.
fn unmarked(text: &str) -> String {
    let wide = |char| match char {
        '<' => '＜',
        '>' => '＞',
        '[' => '［',
        ']' => '］',
        '@' => '＠',
        '*' => '＊',
        '`' => '｀',
        '~' => '～',
        '|' => '｜',
        '\\' => '＼',
        char => char,
    };
    text.chars().map(wide).collect()
}
