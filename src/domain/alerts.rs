//! Alerts, and messages about them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    audit::MAX_LISTED_THEMES,
    text_enum::text_enum,
    validate::{Faults, InvalidInput, MAX_THEME_CHARS},
};
use crate::schedule::Language;

/// The most open alerts. Further ones of a kind share one.
pub(crate) const MOST_ALERTS: usize = 500;

text_enum! {
    /// The kind of an alert.
    AlertKind, "kind of alert" {
        /// A task has failed for good: it has no attempt left.
        TaskFailed = "task_failed",
        /// Too many of the tasks of one method fail for good.
        FailureShare = "failure_share",
        /// The oldest due task of a theme has waited for too long.
        OldestDue = "oldest_due",
        /// Tasks are due, and no living node serves their methods.
        Unserved = "unserved",
        /// A node has died.
        NodeDead = "node_dead",
        /// A node has lost its lease: it has cancelled its runs and claims nothing.
        NodeFenced = "node_fenced",
        /// The schedule of an enabled job cannot be read: the job never fires.
        JobBad = "job_bad",
        /// An enabled job should have fired, and no node has claimed the fire.
        JobOverdue = "job_overdue",
        /// A run of a job has failed or was out of time.
        JobFailed = "job_failed",
        /// A process cannot write the ends of its runs.
        OutcomesUnwritten = "outcomes_unwritten",
        /// The database refuses the end of a run in every form.
        OutcomeRefused = "outcome_refused",
        /// A process cannot reach the database.
        DatabaseAway = "database_away",
    }
}

text_enum! {
    /// The state of an alert, as a message has it.
    AlertState, "state of an alert" {
        /// The cause is new.
        Raised = "raised",
        /// The cause goes on.
        Reminded = "reminded",
        /// The cause is over.
        Recovered = "recovered",
    }
}

text_enum! {
    /// How urgent an alert is.
    AlertSeverity, "severity" {
        /// An operator should act now.
        Page = "page",
        /// An operator should look on the next working day.
        Ticket = "ticket",
    }
}

impl AlertKind {
    /// How urgent alerts of this kind are.
    #[must_use]
    pub const fn severity(self) -> AlertSeverity {
        match self {
            Self::OldestDue | Self::Unserved | Self::NodeFenced | Self::OutcomesUnwritten | Self::DatabaseAway => {
                AlertSeverity::Page
            }
            Self::TaskFailed
            | Self::FailureShare
            | Self::NodeDead
            | Self::JobBad
            | Self::JobOverdue
            | Self::JobFailed
            | Self::OutcomeRefused => AlertSeverity::Ticket,
        }
    }

    /// Whether it tells of something that happens, rather than of a state that lasts.
    pub(crate) const fn is_event(self) -> bool {
        matches!(
            self,
            Self::TaskFailed | Self::NodeDead | Self::JobFailed | Self::OutcomeRefused
        )
    }

    /// Whether it is about one process, which alone decides about it.
    pub(crate) const fn is_of_one_process(self) -> bool {
        matches!(self, Self::NodeFenced | Self::OutcomesUnwritten | Self::DatabaseAway)
    }
}

/// A message about an alert. As JSON it is what a webhook of the format `Json` gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Alert {
    /// The kind.
    pub kind: AlertKind,
    /// The kind and the subject, the same in each message about one cause: such as `task_failed:orders Mail.Send`.
    pub key: String,
    /// The subject: a theme, a theme and a method, a job, a node.
    pub subject: String,
    /// The theme to which the subject belongs. `None`: it belongs to none.
    pub theme: Option<String>,
    /// Whether the cause is new, goes on or is over.
    pub state: AlertState,
    /// How urgent it is.
    pub severity: AlertSeverity,
    /// When the alert was raised.
    pub since: DateTime<Utc>,
    /// When this message was made.
    pub time: DateTime<Utc>,
    /// The node that tells it.
    pub node: String,
    /// How often it has happened since the alert was raised. A state that lasts has happened once.
    pub times: u64,
    /// How often it has happened since the last message, without a separate message.
    pub held_back: u64,
    /// One sentence in English.
    pub text_en: String,
    /// The same in Chinese.
    pub text_zh: String,
    /// The page of the dashboard, if [`AlertOptions::link`](crate::AlertOptions::link) says where the dashboard is.
    pub link: Option<String>,
}

impl Alert {
    /// The sentence in this language.
    #[must_use]
    pub fn text(&self, language: Language) -> &str {
        match language {
            Language::English => &self.text_en,
            Language::Chinese => &self.text_zh,
        }
    }
}

/// An alert whose cause goes on: [`Admin::alerts`](crate::Admin::alerts).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "web", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct OpenAlert {
    /// The kind.
    pub kind: AlertKind,
    /// How urgent it is.
    pub severity: AlertSeverity,
    /// The subject: a theme, a theme and a method, a job, a node.
    pub subject: String,
    /// The theme to which the subject belongs. `None`: it belongs to none.
    pub theme: Option<String>,
    /// The node that has told of it last.
    pub node: String,
    /// When it was raised.
    pub since: DateTime<Utc>,
    /// When the cause was seen last. For a state that lasts, this is up to a minute old.
    pub last_time: DateTime<Utc>,
    /// When the last message was sent.
    pub last_sent: DateTime<Utc>,
    /// How often it has happened since it was raised. A state that lasts has happened once.
    pub times: u64,
    /// How often of that without a message yet.
    pub held_back: u64,
    /// The page of the dashboard, such as `themes/orders`, below the dashboard's own path.
    pub place: String,
    /// One sentence in English.
    pub text_en: String,
    /// The same in Chinese.
    pub text_zh: String,
}

/// Which open alerts to list, the newest first: all unless told otherwise.
///
/// ```
/// use gaia_actors::admin::ListAlerts;
///
/// let of_mail = ListAlerts { themes: vec!["mail".to_owned()], ..ListAlerts::default() };
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ListAlerts {
    /// Only alerts of these themes, at most 100; empty: all, also those that belong to no theme.
    pub themes: Vec<String>,
}

impl ListAlerts {
    pub(crate) fn check(&self) -> Result<(), InvalidInput> {
        let mut faults = Faults::default();
        faults.require(self.themes.len() <= MAX_LISTED_THEMES, || {
            format!("{} themes, at most {MAX_LISTED_THEMES} are allowed", self.themes.len())
        });
        for theme in &self.themes {
            faults.label("theme", theme, MAX_THEME_CHARS);
        }
        faults.into_result()
    }
}
