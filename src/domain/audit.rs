//! Who has changed what: the audit of operators.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    requests::{MAX_AUTHOR_CHARS, MAX_REASON_CHARS},
    validate::{Faults, InvalidInput, MAX_NAME_CHARS, MAX_THEME_CHARS},
};

/// The longest action, target and result of an entry, in characters: the widths of their columns on MySQL.
pub(crate) const MAX_ACTION_CHARS: usize = 64;
pub(crate) const MAX_TARGET_CHARS: usize = 300;
const MAX_RESULT_CHARS: usize = 100;

/// The longest name of a target, in characters, which is the limit of names of jobs.
const MAX_TARGET_NAME_CHARS: usize = MAX_NAME_CHARS;

/// The most changes of an entry, and their longest text as JSON, in bytes.
const MAX_CHANGES: usize = 50;
const MAX_CHANGES_BYTES: usize = 16_384;

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
    /// What the target is called, if its name is not the target itself: the name of the job, at most 255 characters. JSON may leave it out.
    #[serde(default)]
    pub target_name: Option<String>,
    /// What the change sets, at most 50 fields and 16 KiB as JSON. It must hold no secret. JSON may leave it out.
    #[serde(default)]
    pub changes: Vec<AuditChange>,
}

/// What a change sets: a field with its earlier and its new value, such as `workers` from 8 to 16.
///
/// ```
/// use gaia_actors::admin::{AuditChange, NewAudit};
///
/// let resize = NewAudit {
///     changes: vec![AuditChange::new("workers", Some(8.into()), Some(16.into()))],
///     ..NewAudit::new("night shift", "theme.resize", "mail")
/// };
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "web", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AuditChange {
    /// The field, such as `workers` or `cron_expr`, at most 64 characters.
    pub field: String,
    /// Its value before the change. `None`: it had none, or the value is not written down.
    #[serde(default)]
    pub from: Option<Value>,
    /// Its value after the change, if the change succeeds. `None`: it has none, or the value is not written down.
    #[serde(default)]
    pub to: Option<Value>,
}

impl AuditChange {
    /// `None` stands for no value, or for a value that must not be written down.
    #[must_use]
    pub fn new(field: impl Into<String>, from: Option<Value>, to: Option<Value>) -> Self {
        Self {
            field: field.into(),
            from,
            to,
        }
    }
}

impl NewAudit {
    /// Without a theme, a reason, a name and changes.
    #[must_use]
    pub fn new(author: impl Into<String>, action: impl Into<String>, target: impl Into<String>) -> Self {
        Self {
            author: author.into(),
            action: action.into(),
            target: target.into(),
            theme: None,
            reason: None,
            target_name: None,
            changes: Vec::new(),
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
        if let Some(name) = &self.target_name {
            faults.label("target_name", name, MAX_TARGET_NAME_CHARS);
        }
        check_changes(&mut faults, &self.changes);
        faults.into_result()
    }
}

fn check_changes(faults: &mut Faults, changes: &[AuditChange]) {
    let count = changes.len();
    faults.require(count <= MAX_CHANGES, || {
        format!("{count} changes, at most {MAX_CHANGES} are allowed")
    });
    for change in changes.iter().take(MAX_CHANGES) {
        faults.name("the field of a change", &change.field, MAX_ACTION_CHARS);
    }
    let bytes = changes_text(changes).map_or(0, |text| text.len());
    faults.require(bytes <= MAX_CHANGES_BYTES, || {
        format!("the changes have {bytes} bytes as JSON, at most {MAX_CHANGES_BYTES} are allowed")
    });
}

/// The changes as their column has them. `None`: there are none.
pub(crate) fn changes_text(changes: &[AuditChange]) -> Option<String> {
    match changes {
        [] => None,
        changes => serde_json::to_string(changes).ok(),
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
    /// What the target is called, if its name is not the target itself: the name of the job at that time.
    pub target_name: Option<String>,
    /// What the change sets. An entry that was refused or has failed has changed nothing.
    pub changes: Vec<AuditChange>,
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
