//! Section `Alerts`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::list_or_commas;

/// Section `Alerts`: settings that hold unless [`AlertOptions`](crate::AlertOptions) set them.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[non_exhaustive]
pub struct AlertsConfig {
    /// Where messages are sent. Default: nowhere.
    pub webhooks: Vec<WebhookConfig>,
    /// The language of messages, `en` or `zh`. Default `en`.
    pub language: String,
    /// The URL of the dashboard, for links to it. Default: none.
    pub link: String,
    /// The kinds of alerts, such as `TaskFailed`: a list, or one text with commas. Default: all.
    #[serde(deserialize_with = "list_or_commas")]
    pub kinds: Vec<String>,
    /// Seconds for which the oldest due task of a theme may wait. Default 600.
    pub oldest_due: f64,
    /// Seconds for which due tasks may have no node that serves them. Default 60.
    pub unserved: f64,
    /// The share of a method's tasks that may fail for good within five minutes, from 0 to 1. Default 0.1.
    pub failure_share: f64,
    /// Up to so many failures within five minutes are no alert, whatever their share. Default 5.
    pub failures: u64,
    /// Seconds for which a fire of a job may be past without a claim. Default 60.
    pub job_overdue: f64,
    /// Seconds between messages about a state that lasts. Default 3600.
    pub remind: f64,
    /// Seconds between messages about something that happens again and again. Default 600.
    pub repeat: f64,
    /// Seconds after which something that has not happened again counts as over. Default 900.
    pub quiet: f64,
}

/// A webhook of the section `Alerts`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct WebhookConfig {
    /// Whose form the messages have.
    pub format: WebhookFormat,
    /// Where they are sent.
    pub url: String,
    /// The secret that signs them, for the formats that have signatures. Default: none.
    #[serde(default)]
    pub secret: Option<String>,
}

/// Whose form the messages of a webhook have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum WebhookFormat {
    /// A custom bot of Feishu (Lark): a card. Signed, if the bot has a secret.
    Feishu,
    /// A custom robot of DingTalk: Markdown. Signed, if the robot has a secret.
    DingTalk,
    /// A group robot of WeCom: Markdown. WeCom has no signatures; the URL itself is the secret.
    WeCom,
    /// An incoming webhook of Slack. Slack has no signatures; the URL itself is the secret.
    Slack,
    /// An [`Alert`](crate::Alert) as JSON, for a program of yours. Signed by the rules of
    /// [Standard Webhooks](https://www.standardwebhooks.com), if there is a secret.
    Json,
}

impl WebhookFormat {
    /// Whether messages can be signed with a secret.
    pub(crate) const fn is_signed(self) -> bool {
        matches!(self, Self::Feishu | Self::DingTalk | Self::Json)
    }
}

impl Default for AlertsConfig {
    fn default() -> Self {
        Self {
            webhooks: Vec::new(),
            language: "en".to_owned(),
            link: String::new(),
            kinds: Vec::new(),
            oldest_due: 600.0,
            unserved: 60.0,
            failure_share: 0.1,
            failures: 5,
            job_overdue: 60.0,
            remind: 3_600.0,
            repeat: 600.0,
            quiet: 900.0,
        }
    }
}

impl AlertsConfig {
    /// The settings that are seconds, with their keys.
    pub(super) const fn seconds(&self) -> [(&'static str, f64); 6] {
        [
            ("Alerts.OldestDue", self.oldest_due),
            ("Alerts.Unserved", self.unserved),
            ("Alerts.JobOverdue", self.job_overdue),
            ("Alerts.Remind", self.remind),
            ("Alerts.Repeat", self.repeat),
            ("Alerts.Quiet", self.quiet),
        ]
    }
}

impl fmt::Debug for AlertsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlertsConfig")
            .field("webhooks", &self.webhooks)
            .field("language", &self.language)
            .field("kinds", &self.kinds)
            .field("oldest_due", &self.oldest_due)
            .field("unserved", &self.unserved)
            .field("failure_share", &self.failure_share)
            .field("failures", &self.failures)
            .field("job_overdue", &self.job_overdue)
            .field("remind", &self.remind)
            .field("repeat", &self.repeat)
            .field("quiet", &self.quiet)
            .finish_non_exhaustive()
    }
}

/// Shows neither the URL, which is a secret with most services, nor the secret.
impl fmt::Debug for WebhookConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookConfig")
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}
