//! What one process asks of another, and what operators say with it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::validate::{Faults, MAX_WORKERS};

/// A request that no node has taken for so long is over.
pub(crate) const REQUEST_LIFE: Duration = Duration::from_secs(60);

/// The most characters of a reason.
pub(crate) const MAX_REASON_CHARS: usize = 500;

/// The most characters of an author.
pub(crate) const MAX_AUTHOR_CHARS: usize = 100;

/// The most characters of the id of a node: the width of its column.
const MAX_NODE_CHARS: usize = 64;

/// How long an operator may wait for the answer of another process.
const WAIT: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(120);

/// Who asks, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) by: Option<String>,
    pub(crate) reason: Option<String>,
}

impl Note {
    /// Checks both texts.
    pub(crate) fn checked(faults: &mut Faults, by: Option<String>, reason: Option<String>) -> Self {
        if let Some(by) = &by {
            faults.name("by", by, MAX_AUTHOR_CHARS);
        }
        if let Some(reason) = &reason {
            faults.name("reason", reason, MAX_REASON_CHARS);
        }
        Self { by, reason }
    }
}

/// What one process asks of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asked {
    RunJob { job_id: i64 },
    Resize { theme: String, workers: usize },
}

/// The result of a request, as its row holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "result")]
pub(crate) enum Answer {
    /// The run of the job has begun.
    Begun {
        run_id: i64,
    },
    JobNotFound,
    JobIsBad {
        faults: Vec<String>,
    },
    JobIsRunning {
        reason: String,
    },
    JobIsLocked,
    Resized,
    /// The node does not run the theme.
    NotScheduled,
    /// Another error of the node.
    Failed {
        error: String,
    },
    /// No node has taken it in time, and none may take it any more.
    Withdrawn,
    /// The node has died before it gave an answer.
    NodeIsGone,
    /// The node does not know this request, or the answer is unreadable: another version has written it, or plain SQL.
    #[serde(other)]
    Unknown,
}

impl Answer {
    pub(crate) fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    pub(crate) fn from_text(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or(Self::Unknown)
    }
}

/// Checks for how long an operator waits.
pub(crate) fn check_wait(faults: &mut Faults, timeout: Duration) {
    faults.require(WAIT.contains(&timeout), || {
        format!(
            "timeout is {timeout:?}, expected {:?} to {:?}",
            WAIT.start(),
            WAIT.end()
        )
    });
}

/// Checks the id of a node.
pub(crate) fn check_node(faults: &mut Faults, node: &str) {
    faults.name("node", node, MAX_NODE_CHARS);
}

/// Checks how many workers a theme is to have.
pub(crate) fn check_workers(faults: &mut Faults, workers: usize) {
    faults.require(workers <= MAX_WORKERS, || {
        format!("{workers} workers, expected at most {MAX_WORKERS}")
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_the_same_after_its_way_through_the_row() {
        let answers = [
            Answer::Begun { run_id: 7 },
            Answer::JobIsBad {
                faults: vec!["x".to_owned()],
            },
            Answer::Resized,
            Answer::Unknown,
        ];
        for answer in answers {
            assert_eq!(Answer::from_text(&answer.to_text()), answer);
        }
        assert_eq!(Answer::from_text(r#"{"result": "of_later"}"#), Answer::Unknown);
        assert_eq!(Answer::from_text("{"), Answer::Unknown);
    }
}
