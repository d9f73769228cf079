//! Which alerts there are, and where they are sent.

use std::{collections::BTreeSet, fmt, time::Duration};

use chrono::TimeDelta;

use crate::{
    config::{AlertsConfig, WebhookConfig, WebhookFormat},
    domain::{AlertKind, Faults, HookSecret, check_hook_url},
    hook::HookOptions,
    schedule::Language,
};

/// The longest URL of a webhook and of the dashboard, in characters: a signature is added to some.
const MAX_URL_CHARS: usize = 380;

/// The longest secret of a bot, in bytes.
const MAX_SECRET_BYTES: usize = 256;

/// The most webhooks: a guard against a typing error.
const MAX_WEBHOOKS: usize = 20;

/// Where messages about alerts are sent: the URL of a bot, or of a program of yours. `Debug` shows neither the URL nor the secret.
///
/// ```
/// use gaia_actors::{Webhook, WebhookFormat};
///
/// let bot = Webhook::new(WebhookFormat::Feishu, "https://open.feishu.cn/open-apis/bot/v2/hook/0195f3c2").secret("x7Gk");
/// assert_eq!(format!("{bot:?}"), "Webhook { format: Feishu, .. }");
/// ```
#[derive(Clone, PartialEq, Eq)]
#[must_use = "a webhook does nothing until `AlertOptions::webhook` takes it"]
pub struct Webhook {
    pub(super) format: WebhookFormat,
    pub(super) url: String,
    pub(super) secret: Option<String>,
}

impl Webhook {
    /// Messages in this form, to this URL.
    pub fn new(format: WebhookFormat, url: impl Into<String>) -> Self {
        Self {
            format,
            url: url.into(),
            secret: None,
        }
    }

    /// Signs the messages: with the secret that Feishu or DingTalk shows beside the bot, or for `Json` with a [`HookSecret`], as text.
    pub fn secret(mut self, secret: impl Into<String>) -> Self {
        self.secret = Some(secret.into());
        self
    }

    fn of(config: &WebhookConfig) -> Self {
        Self {
            format: config.format,
            url: config.url.clone(),
            secret: config.secret.clone(),
        }
    }

    fn check(&self, place: usize, faults: &mut Faults) {
        let (format, at) = (self.format, place + 1);
        let chars = self.url.chars().count();
        faults.require(cfg!(feature = "hooks"), || {
            format!(
                "webhook {at} of the alerts ({format:?}) cannot be called: this program is built without the feature `hooks` of \
                 gaia-actors; build it with that feature, or use `on_alert`"
            )
        });
        faults.require(chars <= MAX_URL_CHARS, || {
            format!("webhook {at} of the alerts ({format:?}): its URL has {chars} characters, expected at most {MAX_URL_CHARS}")
        });
        faults.take(
            check_hook_url(&self.url).map_err(|error| format!("webhook {at} of the alerts ({format:?}): {error}")),
        );
        let Some(secret) = &self.secret else { return };
        faults.require(format.is_signed(), || {
            format!("webhook {at} of the alerts has a secret, but {format:?} has no signatures; leave the secret out")
        });
        let is_fitting = !secret.trim().is_empty() && secret.len() <= MAX_SECRET_BYTES;
        faults.require(is_fitting, || {
            format!(
                "webhook {at} of the alerts ({format:?}): its secret is empty, or longer than {MAX_SECRET_BYTES} bytes"
            )
        });
        if format == WebhookFormat::Json {
            let parsed = HookSecret::parse(secret);
            faults.take(parsed.map_err(|error| format!("webhook {at} of the alerts ({format:?}): {error}")));
        }
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook")
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

/// Which alerts there are, when they are raised, and where they are sent. For options that are not set, the configuration's section
/// `Alerts` holds.
///
/// All nodes of a database should have the same options: one of them sends the message for all.
///
/// ```
/// use std::time::Duration;
/// use gaia_actors::{AlertKind, AlertOptions, Gaia, Webhook, WebhookFormat, schedule::Language};
///
/// let options = AlertOptions::default()
///     .webhook(Webhook::new(WebhookFormat::Slack, "https://hooks.slack.com/services/T0/B0/x"))
///     .language(Language::Chinese)
///     .link("https://ops.example/gaia")
///     .kinds([AlertKind::TaskFailed, AlertKind::OldestDue, AlertKind::JobFailed])
///     .oldest_due(Duration::from_secs(300));
/// let builder = Gaia::builder().alerts(options);
/// # drop(builder);
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "options do nothing until `GaiaBuilder::alerts` takes them"]
pub struct AlertOptions {
    webhooks: Vec<Webhook>,
    language: Option<Language>,
    link: Option<String>,
    kinds: Option<BTreeSet<AlertKind>>,
    oldest_due: Option<Duration>,
    unserved: Option<Duration>,
    failure_share: Option<f64>,
    failures: Option<u64>,
    job_overdue: Option<Duration>,
    remind: Option<Duration>,
    repeat: Option<Duration>,
    quiet: Option<Duration>,
    hooks: HookOptions,
}

impl AlertOptions {
    /// Sends messages there, too. Needs the feature `hooks`. The first webhook here replaces the webhooks of the configuration.
    pub fn webhook(mut self, webhook: Webhook) -> Self {
        self.webhooks.push(webhook);
        self
    }

    /// The language of messages. Default English.
    pub fn language(self, language: Language) -> Self {
        Self {
            language: Some(language),
            ..self
        }
    }

    /// The URL of the dashboard, such as `https://ops.example/gaia`: messages get a link to the page of the theme, task, job or node.
    /// Default: none.
    pub fn link(self, url: impl Into<String>) -> Self {
        Self {
            link: Some(url.into()),
            ..self
        }
    }

    /// Only these kinds of alerts. Default: all.
    pub fn kinds(self, kinds: impl IntoIterator<Item = AlertKind>) -> Self {
        Self {
            kinds: Some(kinds.into_iter().collect()),
            ..self
        }
    }

    /// For how long the oldest due task of a theme may wait. Default ten minutes.
    pub fn oldest_due(self, limit: Duration) -> Self {
        Self {
            oldest_due: Some(limit),
            ..self
        }
    }

    /// For how long due tasks may have no node that serves them. Default a minute.
    pub fn unserved(self, limit: Duration) -> Self {
        Self {
            unserved: Some(limit),
            ..self
        }
    }

    /// Which share of a method's tasks may fail for good within five minutes, from 0 to 1, and how many failures are no alert whatever
    /// their share. Each process judges its own runs. Default 0.1 and 5.
    pub fn failure_share(self, share: f64, failures: u64) -> Self {
        Self {
            failure_share: Some(share),
            failures: Some(failures),
            ..self
        }
    }

    /// For how long a fire of a job may be past without a claim by any node. Default a minute.
    pub fn job_overdue(self, limit: Duration) -> Self {
        Self {
            job_overdue: Some(limit),
            ..self
        }
    }

    /// The time between messages about a state that lasts. Default an hour.
    pub fn remind(self, every: Duration) -> Self {
        Self {
            remind: Some(every),
            ..self
        }
    }

    /// The time between messages about something that happens again and again. Default ten minutes; the next message says how often it has
    /// happened.
    pub fn repeat(self, every: Duration) -> Self {
        Self {
            repeat: Some(every),
            ..self
        }
    }

    /// After which time something that has not happened again counts as over. Default 15 minutes.
    pub fn quiet(self, after: Duration) -> Self {
        Self {
            quiet: Some(after),
            ..self
        }
    }

    /// Which addresses webhooks may have, and which authorities are trusted. Default: as for the hooks of jobs.
    #[cfg(feature = "hooks")]
    pub fn hooks(self, hooks: HookOptions) -> Self {
        Self { hooks, ..self }
    }

    /// The settings that hold: these options, completed by the configuration.
    pub(crate) fn settings(self, config: &AlertsConfig, faults: &mut Faults) -> AlertSettings {
        let webhooks = match self.webhooks.is_empty() {
            true => config.webhooks.iter().map(Webhook::of).collect(),
            false => self.webhooks,
        };
        let most = webhooks.len();
        faults.require(most <= MAX_WEBHOOKS, || {
            format!("{most} webhooks of the alerts, expected at most {MAX_WEBHOOKS}")
        });
        for (place, webhook) in webhooks.iter().enumerate() {
            webhook.check(place, faults);
        }
        let language = self.language.or_else(|| faults.take(language(&config.language)));
        let kinds = self.kinds.or_else(|| faults.take(kinds(&config.kinds)));
        let link = self.link.unwrap_or_else(|| config.link.clone());
        let share = self.failure_share.unwrap_or(config.failure_share);
        faults.require((0.0..=1.0).contains(&share), || {
            format!("the failure share of the alerts is {share}, expected 0 to 1")
        });
        let time = |own: Option<Duration>, of_config| own.map_or_else(|| seconds(of_config), delta);
        AlertSettings {
            webhooks,
            hooks: self.hooks,
            language: language.unwrap_or_default(),
            link: faults.take(checked_link(&link)).flatten(),
            kinds: kinds.unwrap_or_default(),
            oldest_due: time(self.oldest_due, config.oldest_due),
            unserved: time(self.unserved, config.unserved),
            failure_share: share,
            failures: self.failures.unwrap_or(config.failures),
            job_overdue: time(self.job_overdue, config.job_overdue),
            remind: time(self.remind, config.remind),
            repeat: time(self.repeat, config.repeat),
            quiet: time(self.quiet, config.quiet),
        }
    }
}

/// Options that have passed their check.
#[derive(Debug, Clone)]
pub(crate) struct AlertSettings {
    pub(super) webhooks: Vec<Webhook>,
    #[cfg_attr(not(feature = "hooks"), expect(dead_code, reason = "nothing is sent"))]
    pub(super) hooks: HookOptions,
    #[cfg_attr(not(feature = "hooks"), expect(dead_code, reason = "nothing is sent"))]
    pub(super) language: Language,
    pub(super) link: Option<String>,
    pub(super) kinds: BTreeSet<AlertKind>,
    pub(super) oldest_due: TimeDelta,
    pub(super) unserved: TimeDelta,
    pub(super) failure_share: f64,
    pub(super) failures: u64,
    pub(super) job_overdue: TimeDelta,
    pub(super) remind: TimeDelta,
    pub(super) repeat: TimeDelta,
    pub(super) quiet: TimeDelta,
}

fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}

/// The configuration has checked that these are seconds.
fn seconds(seconds: f64) -> TimeDelta {
    delta(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

fn language(name: &str) -> Result<Language, String> {
    match name {
        "en" => Ok(Language::English),
        "zh" => Ok(Language::Chinese),
        other => Err(format!("Alerts.Language is {other:?}, expected \"en\" or \"zh\"")),
    }
}

fn kinds(names: &[String]) -> Result<BTreeSet<AlertKind>, String> {
    if names.is_empty() {
        return Ok(AlertKind::ALL.into());
    }
    let kind = |name: &String| {
        let found = AlertKind::ALL
            .into_iter()
            .find(|kind| pascal_case(kind.as_str()) == *name);
        found.ok_or_else(|| {
            let known = AlertKind::ALL.map(|kind| pascal_case(kind.as_str())).join(", ");
            format!("Alerts.Kinds has {name:?}, expected some of {known}")
        })
    };
    names.iter().map(kind).collect()
}

/// `TaskFailed` for `task_failed`: the keys and values of the configuration are written so.
fn pascal_case(name: &str) -> String {
    let mut is_first = true;
    let letter = |char: char| {
        let upper = std::mem::replace(&mut is_first, char == '_');
        match char {
            '_' => None,
            char if upper => Some(char.to_ascii_uppercase()),
            char => Some(char),
        }
    };
    name.chars().filter_map(letter).collect()
}

/// The URL of the dashboard without a slash at its end. `None`: there is none.
fn checked_link(link: &str) -> Result<Option<String>, String> {
    if link.is_empty() {
        return Ok(None);
    }
    let is_short = link.chars().count() <= MAX_URL_CHARS;
    let is_good =
        is_short && check_hook_url(link).is_ok() && !link.contains(['?', '#', '<', '>', '"', '|', ' ', '(', ')']);
    match is_good {
        true => Ok(Some(link.trim_end_matches('/').to_owned())),
        false => Err(format!(
            "the link of the alerts is not the URL of a dashboard; expected http:// or https:// with a host and a path, at most \
             {MAX_URL_CHARS} characters, such as https://ops.example/gaia"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(options: AlertOptions, config: &AlertsConfig) -> Vec<String> {
        let mut faults = Faults::default();
        let _ = options.settings(config, &mut faults);
        faults.into_error().faults().to_vec()
    }

    #[test]
    fn each_kind_has_a_name_in_the_configuration() {
        let names: Vec<String> = AlertKind::ALL.iter().map(|kind| pascal_case(kind.as_str())).collect();
        assert_eq!(names[..3], ["TaskFailed", "FailureShare", "OldestDue"]);
        assert_eq!(kinds(&names), Ok(AlertKind::ALL.into()));
        assert_eq!(kinds(&[]), Ok(AlertKind::ALL.into()));
        let error = kinds(&["Zebra".to_owned()]).expect_err("is unknown");
        assert!(error.contains("expected some of TaskFailed, "), "{error}");
    }

    #[test]
    fn every_fault_is_named_and_no_secret_is_shown() {
        let options = AlertOptions::default()
            .webhook(Webhook::new(WebhookFormat::Slack, "ftp://hooks.example/T0KEN"))
            .webhook(Webhook::new(WebhookFormat::WeCom, "https://a.example/").secret("T0KEN"))
            .webhook(Webhook::new(WebhookFormat::Json, "https://b.example/").secret("T0KEN"))
            .webhook(Webhook::new(
                WebhookFormat::Feishu,
                format!("https://c.example/{}", "x".repeat(400)),
            ))
            .failure_share(1.5, 0)
            .link("ops.example");
        let config = AlertsConfig {
            language: "fr".to_owned(),
            kinds: vec!["Zebra".to_owned()],
            ..AlertsConfig::default()
        };
        let text = format!("{options:?} {}", faults(options.clone(), &config).join("\n"));
        assert!(!text.contains("T0KEN") && !text.contains("hooks.example"), "{text}");
        for part in [
            "webhook 1 of the alerts (Slack)",
            "but WeCom has no signatures",
            "webhook 3 of the alerts (Json): the hook's secret",
            "webhook 4 of the alerts (Feishu): its URL has 418 characters",
            "failure share of the alerts is 1.5",
            "the link of the alerts",
            "Alerts.Language is \"fr\"",
            "Alerts.Kinds has \"Zebra\"",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn options_win_over_the_configuration() {
        let config = AlertsConfig {
            webhooks: vec![WebhookConfig {
                format: WebhookFormat::Json,
                url: "https://of.config/".to_owned(),
                secret: None,
            }],
            oldest_due: 7.5,
            link: "https://ops.example/gaia/".to_owned(),
            ..AlertsConfig::default()
        };
        let mut faults = Faults::default();
        let settings = AlertOptions::default().settings(&config, &mut faults);
        assert_eq!(settings.webhooks[0].url, "https://of.config/");
        assert_eq!(settings.oldest_due, TimeDelta::milliseconds(7_500));
        assert_eq!(settings.link.as_deref(), Some("https://ops.example/gaia"));
        let own = Webhook::new(WebhookFormat::Slack, "https://own/");
        let options = AlertOptions::default()
            .webhook(own.clone())
            .oldest_due(Duration::from_secs(1));
        let settings = options.settings(&config, &mut faults);
        assert_eq!(settings.webhooks, [own]);
        assert_eq!(settings.oldest_due, TimeDelta::seconds(1));
    }
}
