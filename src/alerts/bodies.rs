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
    line::beginning,
    mac::hmac_sha256_base64,
    schedule::Language,
};

/// The most bytes of WeCom's Markdown.
const MAX_WECOM_BYTES: usize = 4_096;

/// The most characters of a heading and of a text in Slack.
const MAX_SLACK_TITLE: usize = 150;
const MAX_SLACK_TEXT: usize = 3_000;

/// A request to a webhook.
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
        body["sign"] = json!(hmac_sha256_base64(format!("{timestamp}\n{secret}").as_bytes(), ""));
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
    let sign = hmac_sha256_base64(secret.as_bytes(), &format!("{timestamp}\n{secret}"));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::AlertKind;

    /// Longer than a block of SHA-256, together with a time.
    const SECRET: &str = "SECabc-very-long-secret-of-a-robot-0123456789012345678901234567890123456789";

    const HOSTILE: &str = r#""><script> @all <@everyone> <!channel> [x](http://evil) **b** `c` <at id=all></at> \"}"#;

    fn at() -> DateTime<Utc> {
        DateTime::from_timestamp(1_767_225_600, 0).expect("is a time")
    }

    fn alert(text: &str) -> Alert {
        Alert {
            kind: AlertKind::TaskFailed,
            key: format!("task_failed:{text}"),
            subject: text.to_owned(),
            theme: Some(text.to_owned()),
            state: AlertState::Raised,
            severity: AlertSeverity::Ticket,
            since: at(),
            time: at(),
            node: "n".to_owned(),
            times: 1,
            held_back: 0,
            text_en: format!("theme {text}: failed"),
            text_zh: format!("主题 {text}：失败"),
            link: Some("https://ops.example/gaia/errors?theme=a%20b".to_owned()),
        }
    }

    fn sent(format: WebhookFormat, secret: Option<&str>, text: &str) -> (String, Value) {
        let webhook = Webhook::new(format, "https://bot.example/send?access_token=T0KEN");
        let webhook = secret.map_or(webhook.clone(), |secret| webhook.secret(secret));
        let request = request(&webhook, &alert(text), Language::Chinese, 0, at());
        (request.url, serde_json::from_str(&request.body).expect("is JSON"))
    }

    #[test]
    fn feishu_gets_a_card_with_its_signature() {
        let (url, body) = sent(WebhookFormat::Feishu, Some(SECRET), "orders");
        assert_eq!(url, "https://bot.example/send?access_token=T0KEN");
        let text = |content| json!({ "tag": "plain_text", "content": content });
        assert_eq!(
            body,
            json!({
                "timestamp": "1767225600",
                // As OpenSSL has it: printf '' | openssl dgst -sha256 -hmac "$(printf '%s\n%s' 1767225600 $SECRET)" -binary | base64
                "sign": "VzQm99NOJgurXOkbbGVnD/uMlJKx4F3A8spq9BOXiKY=",
                "msg_type": "interactive",
                "card": {
                    "config": { "wide_screen_mode": true },
                    "header": { "template": "orange", "title": text("【告警】任务最终失败") },
                    "elements": [
                        { "tag": "div", "text": text("主题 orders：失败") },
                        { "tag": "action", "actions": [{
                            "tag": "button", "type": "default", "text": text("打开控制台"),
                            "url": "https://ops.example/gaia/errors?theme=a%20b",
                        }] },
                    ],
                },
            })
        );
        let (_, body) = sent(WebhookFormat::Feishu, Some("demo"), "orders");
        assert_eq!(body["sign"], "OeJmDC3C7FsudJ7/9z2vZtAnXCvb3MhsqwPgUZXABqw=");
        let (_, body) = sent(WebhookFormat::Feishu, None, "orders");
        assert!(body.get("sign").is_none() && body.get("timestamp").is_none());
    }

    #[test]
    fn dingtalk_gets_markdown_with_its_signature_in_the_url() {
        let (url, body) = sent(WebhookFormat::DingTalk, Some(SECRET), "orders");
        // printf '%s\n%s' 1767225600000 $SECRET | openssl dgst -sha256 -hmac $SECRET -binary | base64
        let sign = "8SYSiDx2QWdB9WeGqrRw8JX9xRN6CRGWG6Ul8WyL9%2FY%3D";
        assert_eq!(
            url,
            format!("https://bot.example/send?access_token=T0KEN&timestamp=1767225600000&sign={sign}")
        );
        let text = "#### 【告警】任务最终失败\n\n主题 orders：失败\n\n[打开控制台](https://ops.example/gaia/errors?theme=a%20b)";
        assert_eq!(
            body,
            json!({
                "msgtype": "markdown",
                "markdown": { "title": "【告警】任务最终失败", "text": text },
                "at": { "isAtAll": false },
            })
        );
        let (url, _) = sent(WebhookFormat::DingTalk, None, "orders");
        assert_eq!(url, "https://bot.example/send?access_token=T0KEN");
    }

    #[test]
    fn wecom_gets_markdown_that_is_not_too_long() {
        let (_, body) = sent(WebhookFormat::WeCom, None, "orders");
        let text =
            "### 【告警】任务最终失败\n主题 orders：失败\n[打开控制台](https://ops.example/gaia/errors?theme=a%20b)";
        assert_eq!(body, json!({ "msgtype": "markdown", "markdown": { "content": text } }));
        let (_, body) = sent(WebhookFormat::WeCom, None, &"长".repeat(3_000));
        let content = body["markdown"]["content"].as_str().expect("is a text");
        assert!((4_090..=4_096).contains(&content.len()), "{}", content.len());
        assert!(content.ends_with("theme=a%20b)"), "{content}");
    }

    #[test]
    fn slack_gets_blocks_of_plain_text() {
        let (_, body) = sent(WebhookFormat::Slack, None, "a & <b>");
        assert_eq!(body["text"], "【告警】任务最终失败: 主题 a &amp; &lt;b&gt;：失败");
        let types: Vec<_> = body["blocks"]
            .as_array()
            .expect("are some")
            .iter()
            .map(|block| &block["text"]["type"])
            .collect();
        assert_eq!(types, ["plain_text", "plain_text", "mrkdwn"]);
        assert_eq!(body["blocks"][1]["text"]["text"], "主题 a & <b>：失败");
    }

    #[test]
    fn a_program_gets_the_alert_itself() {
        let (_, body) = sent(WebhookFormat::Json, None, "orders");
        assert_eq!(
            (&body["kind"], &body["state"], &body["severity"]),
            (&json!("task_failed"), &json!("raised"), &json!("ticket"))
        );
        assert_eq!(body["text_en"], "theme orders: failed");
        let back: Alert = serde_json::from_value(body).expect("is an alert");
        assert_eq!(back, alert("orders"));
    }

    #[test]
    fn no_name_mentions_people_or_makes_a_link() {
        for format in [WebhookFormat::DingTalk, WebhookFormat::WeCom] {
            let (_, body) = sent(format, None, HOSTILE);
            let markdown = &body["markdown"];
            let text = markdown
                .get("text")
                .or(markdown.get("content"))
                .and_then(Value::as_str)
                .expect("is a text");
            let own = "[打开控制台](https://ops.example/gaia/errors?theme=a%20b)";
            let text = text.strip_suffix(own).expect("ends with the link");
            assert!(!text.contains(['<', '>', '[', ']', '@', '*', '`', '\\']), "{text}");
        }
        let (_, body) = sent(WebhookFormat::Slack, None, HOSTILE);
        assert!(!body["text"].as_str().expect("is a text").contains(['<', '>']));
        // Plain text: no tag of a card is read in it.
        let (_, body) = sent(WebhookFormat::Feishu, None, HOSTILE);
        assert_eq!(body["card"]["elements"][0]["text"]["tag"], "plain_text");
        assert_eq!(
            body["card"]["elements"][0]["text"]["content"],
            format!("主题 {HOSTILE}：失败")
        );
    }

    #[test]
    fn an_error_in_the_body_is_a_failure() {
        use WebhookFormat::{DingTalk, Feishu, Json, Slack, WeCom};
        for (format, body, is_taken) in [
            (Feishu, r#"{"code":0,"msg":"success"}"#, true),
            (Feishu, r#"{"StatusCode":0,"StatusMessage":"success"}"#, true),
            (Feishu, r#"{"code":19021,"msg":"sign match fail T0KEN"}"#, false),
            (DingTalk, r#"{"errcode":0,"errmsg":"ok"}"#, true),
            (
                DingTalk,
                r#"{"errcode":310000,"errmsg":"keywords not in content"}"#,
                false,
            ),
            (WeCom, r#"{"errcode":93000,"errmsg":"invalid webhook url"}"#, false),
            (WeCom, "<html>", false),
            (Slack, "ok", true),
            (Json, "", true),
        ] {
            let checked = check(format, body);
            assert_eq!(checked.is_ok(), is_taken, "{format:?} {body}");
            assert!(!format!("{checked:?}").contains("T0KEN"));
        }
    }

    #[test]
    fn a_message_says_how_many_before_it_were_lost() {
        let webhook = Webhook::new(WebhookFormat::Slack, "https://bot.example/");
        let body = request(&webhook, &alert("a"), Language::English, 7, at()).body;
        assert!(
            body.contains("theme a: failed (7 messages before this one were not delivered)"),
            "{body}"
        );
    }
}
