//! Who has set the workers of one node last, and from which number: the audit has it.

use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::{parts::time, view::View};
use crate::{
    domain::{AuditEntry, MAX_LISTED_THEMES},
    web::{
        audit::{Asked, found},
        call::Call,
        problem::Problem,
    },
};

/// How many of the newest entries are looked at.
const LOOKED_AT: u32 = 200;

/// Resizes of single nodes, the newest first.
pub(super) struct Resizes(Vec<AuditEntry>);

impl Resizes {
    /// Of these themes.
    pub(super) async fn of(call: &Call, mut themes: Vec<String>) -> Result<Self, Problem> {
        themes.truncate(MAX_LISTED_THEMES);
        if themes.is_empty() {
            return Ok(Self(Vec::new()));
        }
        let asked = Asked {
            limit: LOOKED_AT,
            themes,
            author: None,
            action: Some("node.resize".to_owned()),
            cursor: None,
        };
        let mut entries = found(call, asked).await?.entries;
        entries.retain(|entry| entry.result.as_deref() == Some("done"));
        Ok(Self(entries))
    }

    /// Who has set the node to so many workers, and why, unless all nodes were resized after that.
    pub(super) fn note(
        &self,
        view: &View,
        node: &str,
        theme: &str,
        workers: usize,
        all: Option<DateTime<Utc>>,
    ) -> Markup {
        let is_it = |entry: &&AuditEntry| entry.target == node && entry.theme.as_deref() == Some(theme);
        let Some(entry) = self.0.iter().find(is_it).filter(|entry| all < Some(entry.at)) else {
            return html! {};
        };
        let set = entry.changes.iter().find(|change| change.field == "workers");
        if set.and_then(|set| set.to.as_ref()?.as_u64()) != Some(workers as u64) {
            return html! {};
        }
        let from = set.and_then(|set| set.from.as_ref()?.as_u64());
        html! {
            div.sub {
                ((view.words.set_on_node)(from, &entry.author, entry.reason.as_deref())) " (" (time(view, entry.at)) ")"
            }
        }
    }
}
