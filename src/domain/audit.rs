//! Who has changed what: the audit of operators.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    requests::{MAX_AUTHOR_CHARS, MAX_REASON_CHARS},
    validate::{Faults, InvalidInput, MAX_THEME_CHARS},
};

/// The longest action, target and result of an entry, in characters: the widths of their columns on MySQL.
pub(crate) const MAX_ACTION_CHARS: usize = 64;
pub(crate) const MAX_TARGET_CHARS: usize = 300;
const MAX_RESULT_CHARS: usize = 100;

/// The most entries on a page of a list, and the most themes that a list names.
const MAX_LISTED: u32 = 200;
pub(crate) const MAX_LISTED_THEMES: usize = 100;

/// A change that an operator is about to make. No text of it may hold a control character.
///
/// ```
/// use gaia_actors::admin::NewAudit;
///
/// let pause = NewAudit {
///     theme: Some("mail".to_owned()),
///     reason: Some("the mail server is away".to_owned()),
///     ..NewAudit::new("night shift", "theme.pause", "mail")
/// };
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewAudit {
    /// Who makes the change, at most 100 characters.
    pub author: String,
    /// The kind of the change, such as `theme.pause` or `task.retry`, at most 64 characters.
    pub action: String,
    /// What is changed, such as the id of a task, at most 300 characters. It must hold no secret: everybody who may look reads it.
    pub target: String,
    /// The theme to which the target belongs. `None`: it belongs to none, or to several. JSON may leave it out.
    #[serde(default)]
    pub theme: Option<String>,
    /// Why, at most 500 characters. JSON may leave it out.
    #[serde(default)]
    pub reason: Option<String>,
}

impl NewAudit {
    /// Without a theme and a reason.
    #[must_use]
    pub fn new(author: impl Into<String>, action: impl Into<String>, target: impl Into<String>) -> Self {
        Self {
            author: author.into(),
            action: action.into(),
            target: target.into(),
            theme: None,
            reason: None,
        }
    }

    pub(crate) fn check(&self) -> Result<(), InvalidInput> {
        let mut faults = Faults::default();
        faults.name("author", &self.author, MAX_AUTHOR_CHARS);
        faults.name("action", &self.action, MAX_ACTION_CHARS);
        faults.name("target", &self.target, MAX_TARGET_CHARS);
        if let Some(theme) = &self.theme {
            faults.name("theme", theme, MAX_THEME_CHARS);
        }
        if let Some(reason) = &self.reason {
            faults.name("reason", reason, MAX_REASON_CHARS);
        }
        faults.into_result()
    }
}

/// The result of a change whose entry is there: [`Admin::end_audit`](crate::Admin::end_audit).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndAudit {
    /// The id of the entry.
    pub id: i64,
    /// What came of the change, at most 100 characters. The HTTP API writes `done`, `refused: code` and `failed: code`.
    pub result: String,
}

impl EndAudit {
    pub(crate) fn check(&self) -> Result<(), InvalidInput> {
        let mut faults = Faults::default();
        faults.name("result", &self.result, MAX_RESULT_CHARS);
        faults.into_result()
    }
}

/// An entry of the audit: a change that an operator has made, or has tried to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "web", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct AuditEntry {
    /// Its id. Later entries have greater ones.
    pub id: i64,
    /// When the change began.
    pub at: DateTime<Utc>,
    /// Who made it.
    pub author: String,
    /// The kind of the change, such as `theme.pause` or `task.retry`.
    pub action: String,
    /// What was changed, such as the id of a task.
    pub target: String,
    /// The theme to which the target belongs. `None`: it belongs to none, or to several.
    pub theme: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// What came of the change: `done`, `refused: code` or `failed: code`, if the HTTP API has written it. `None`: the change has begun, and
    /// its end is unknown. Either it is under way, or its process has died, or the result could not be written.
    pub result: Option<String>,
}

/// Which entries of the audit to list, the newest first: the first 50 of all unless told otherwise.
///
/// ```
/// use gaia_actors::admin::ListAudit;
///
/// let pauses = ListAudit { action: Some("theme.pause".to_owned()), ..ListAudit::default() };
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ListAudit {
    /// The most entries of one answer, 1 to 200.
    pub limit: u32,
    /// Only entries whose ids are less than this. `None`: from the newest on.
    pub before: Option<i64>,
    /// Only entries of these themes, at most 100; empty: all, also those that belong to no theme.
    pub themes: Vec<String>,
    /// Only entries of this author.
    pub author: Option<String>,
    /// Only entries of this action.
    pub action: Option<String>,
}

impl Default for ListAudit {
    fn default() -> Self {
        Self {
            limit: 50,
            before: None,
            themes: Vec::new(),
            author: None,
            action: None,
        }
    }
}

impl ListAudit {
    pub(crate) fn check(&self) -> Result<(), InvalidInput> {
        let mut faults = Faults::default();
        faults.require((1..=MAX_LISTED).contains(&self.limit), || {
            format!("limit is {}, expected 1 to {MAX_LISTED}", self.limit)
        });
        faults.require(self.themes.len() <= MAX_LISTED_THEMES, || {
            format!("{} themes, at most {MAX_LISTED_THEMES} are allowed", self.themes.len())
        });
        for theme in &self.themes {
            faults.label("theme", theme, MAX_THEME_CHARS);
        }
        if let Some(author) = &self.author {
            faults.label("author", author, MAX_AUTHOR_CHARS);
        }
        if let Some(action) = &self.action {
            faults.label("action", action, MAX_ACTION_CHARS);
        }
        faults.into_result()
    }
}
