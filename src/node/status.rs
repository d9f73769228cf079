//! What a node says of itself in the database, so that every process can read its counters.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::NodeInfo;
use crate::{
    asynctask::SchedulerStatus,
    jobs::{JobsSlot, JobsStatus},
    store::{Store, StoreError},
};

/// How often a node writes its counters even if they have not changed.
const EVERY: Duration = Duration::from_secs(60);

/// The most bytes of JSON that a node writes of itself.
const MAX_BYTES: usize = 64 << 10;

/// Room for all but the themes.
const MARGIN: usize = 4 << 10;

/// The counters of one node, as it wrote them into the database last. A node writes them with its heartbeat if they have changed, and once a
/// minute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "web", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct NodeStatus {
    /// When the node wrote this, by the database's time. 1970, if the row holds no time.
    pub written_at: DateTime<Utc>,
    /// The counters of its themes, by theme.
    pub themes: Vec<SchedulerStatus>,
    /// How many of its themes are left out: all of them together have at most 64 KiB of JSON.
    pub themes_left_out: usize,
    /// The counters of its jobs; `None` if it runs none.
    pub jobs: Option<JobsStatus>,
}

/// One node, with its counters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NodeDetail {
    /// The node.
    pub node: NodeInfo,
    /// Its counters; `None` if it has written none yet, or none that this version can read.
    pub status: Option<NodeStatus>,
}

/// The column `status` of `gaia_node_status`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Column {
    themes: Vec<SchedulerStatus>,
    themes_left_out: usize,
    jobs: Option<JobsStatus>,
}

impl NodeStatus {
    pub(crate) fn of(text: &str, written_at: Option<DateTime<Utc>>) -> Option<Self> {
        let column: Column = serde_json::from_str(text).ok()?;
        Some(Self {
            written_at: written_at.unwrap_or_default(),
            themes: column.themes,
            themes_left_out: column.themes_left_out,
            jobs: column.jobs,
        })
    }
}

impl NodeDetail {
    pub(crate) fn new(node: NodeInfo, status: Option<NodeStatus>) -> Self {
        Self { node, status }
    }
}

/// The counters that a node has written.
#[derive(Debug, Clone)]
pub(super) struct Written {
    /// Without the counters that grow on an idle node, too.
    text: String,
    at: Instant,
}

/// Writes the counters of a node if they have changed, or were written long ago; answers with those that were written last.
pub(super) async fn write_status(
    store: Store,
    node: String,
    mut themes: Vec<SchedulerStatus>,
    jobs: JobsSlot,
    written: Option<Written>,
) -> Result<Option<Written>, StoreError> {
    let mut jobs = match jobs.get() {
        Some(jobs) => jobs.status().await.ok(),
        None => None,
    };
    let column = status_column(&themes, jobs.as_ref());
    still(&mut themes, jobs.as_mut());
    let text = status_column(&themes, jobs.as_ref());
    let is_known = |written: &Written| written.text == text && written.at.elapsed() < EVERY;
    if written.as_ref().is_some_and(is_known) {
        return Ok(written);
    }
    store.cluster().say_status(&node, &column).await?;
    let at = Instant::now();
    Ok(Some(Written { text, at }))
}

/// The text that a node writes: the themes that fit, in their order.
fn status_column(themes: &[SchedulerStatus], jobs: Option<&JobsStatus>) -> String {
    let mut column = Column {
        jobs: jobs.cloned(),
        ..Column::default()
    };
    let mut bytes = MARGIN;
    for theme in themes {
        // With the comma behind it.
        let more = serde_json::to_string(theme).map_or(MAX_BYTES, |text| text.len() + 1);
        if bytes + more <= MAX_BYTES {
            bytes += more;
            column.themes.push(theme.clone());
        } else {
            column.themes_left_out += 1;
        }
    }
    serde_json::to_string(&column).unwrap_or_default()
}

/// Sets the counters to zero that grow on an idle node, too: a text without them changes only if the node does something.
fn still(themes: &mut [SchedulerStatus], jobs: Option<&mut JobsStatus>) {
    for theme in themes {
        theme.scans = 0;
    }
    if let Some(jobs) = jobs {
        jobs.ticks = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn theme(name: String) -> SchedulerStatus {
        SchedulerStatus {
            theme: name,
            ..SchedulerStatus::default()
        }
    }

    #[test]
    fn many_themes_stay_within_the_limit_and_are_counted() {
        let themes: Vec<_> = (0..1_000).map(|n| theme(format!("{n:-<100}"))).collect();
        let text = status_column(&themes, Some(&JobsStatus::default()));
        assert!(text.len() <= MAX_BYTES, "{}", text.len());
        let status = NodeStatus::of(&text, None).expect("is read");
        assert!(status.themes.len() > 50, "{}", status.themes.len());
        assert_eq!(status.themes.len() + status.themes_left_out, 1_000);
        assert_eq!(status.themes[0], themes[0]);
        assert_eq!(status.jobs, Some(JobsStatus::default()));
    }

    #[test]
    fn a_large_theme_does_not_keep_others_out() {
        let large = theme("x".repeat(MAX_BYTES));
        let text = status_column(&[large, theme("demo".to_owned())], None);
        let status = NodeStatus::of(&text, None).expect("is read");
        assert_eq!((status.themes.len(), status.themes_left_out), (1, 1));
    }

    #[test]
    fn the_text_of_an_idle_node_does_not_change() {
        let text = |scans, ticks| {
            let mut themes = [SchedulerStatus {
                scans,
                ..theme("demo".to_owned())
            }];
            let mut jobs = JobsStatus {
                ticks,
                ..JobsStatus::default()
            };
            still(&mut themes, Some(&mut jobs));
            status_column(&themes, Some(&jobs))
        };
        assert_eq!(text(1, 2), text(30, 40));
    }

    #[test]
    fn a_text_that_is_no_status_is_none() {
        assert_eq!(NodeStatus::of("[7]", None), None);
        assert_eq!(NodeStatus::of("", None), None);
    }
}
