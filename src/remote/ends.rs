//! Ends of runs of remote workers.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{Done, Remote, Run, runs::claims};
use crate::{
    domain::{Failure, Json, Outcome, PARAM_ERROR, TEXT_LIMIT, TaskStatus, truncated},
    events::{Event, TaskOutcome},
    node::write_ends,
    run::{ended, run_info},
    store::{Finish, Finished},
};

/// How a worker says that a run has ended.
#[derive(Debug, Clone)]
pub(crate) enum End {
    Finished(Json),
    Failed {
        error: String,
        /// No further attempt.
        discard: bool,
    },
    Snoozed(Duration),
    Released {
        /// Whether the handler had begun.
        started: bool,
    },
}

/// What became of an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Written(TaskStatus),
    /// The run did not hold the task any more: nothing was written.
    Lost,
}

impl End {
    fn outcome(self) -> Outcome {
        match self {
            Self::Finished(result) => {
                let result = truncated(result.into_string(), TEXT_LIMIT);
                Outcome::Succeeded(Json::from_column(Some(result)))
            }
            Self::Failed { error, discard } => {
                let discard = discard || error.starts_with(PARAM_ERROR);
                Outcome::Failed {
                    error: truncated(error, TEXT_LIMIT),
                    failure: if discard { Failure::Discarded } else { Failure::Error },
                }
            }
            Self::Snoozed(delay) => Outcome::Snoozed(delay),
            Self::Released { started } => Outcome::HandedBack { started },
        }
    }
}

/// The end of one run, about to be written.
struct Ending {
    /// Which of the runs it is.
    at: usize,
    theme: Arc<str>,
    kind: TaskOutcome,
    finish: Finish,
}

impl Remote {
    /// Gives the slots of limited methods back whose runs have ended. If that fails, they come back when all runs of their claim have ended.
    async fn free_slots(&self, runs: &[Run], ended: &[Ended]) {
        let mut freed: BTreeMap<(&str, &str, &str), Vec<i64>> = BTreeMap::new();
        for (run, ended) in runs.iter().zip(ended) {
            if let (Run::Leased { claim, task, .. }, Ended::Written(_)) = (run, ended)
                && self.themes.limits().is_limited(&task.service, &task.method)
            {
                freed
                    .entry((&claim.mark, &task.service, &task.method))
                    .or_default()
                    .push(task.id);
            }
        }
        for ((mark, service, method), ids) in freed {
            let runs = ids.len();
            let of_method = (service, method);
            let limits = self.themes.limits();
            if let Err(error) = limits.end_remote_keys(&self.store, of_method, mark, &ids).await {
                say!(Debug, "cannot give slots of keys of {service}.{method} back: {error}");
            }
            if self.themes.limits().end_remote(service, method, mark, runs) {
                continue;
            }
            if let Err(error) = self.store.cluster().free_remote(mark, service, method, runs).await {
                say!(Debug, "cannot give {runs} slots of {service}.{method} back: {error}");
            }
        }
    }

    /// Writes how these runs have ended, in the same order. An end that was written before is lost.
    pub(crate) async fn end(&self, runs: &[Run], ends: Vec<End>) -> Done<Vec<Ended>> {
        let now = self.store.clock().now();
        let mut endings = Vec::with_capacity(runs.len());
        for (at, (run, end)) in runs.iter().zip(ends).enumerate() {
            let (Some(task), Some(theme)) = (run.task(), run.theme()) else {
                continue;
            };
            let outcome = end.outcome();
            let kind = TaskOutcome::of(&outcome);
            let finish = Finish::without_run(task, outcome, self.themes.rules(theme).retry, now);
            let theme = theme.into();
            endings.push(Ending {
                at,
                theme,
                kind,
                finish,
            });
        }
        let finishes = endings.iter().map(|ending| ending.finish.clone()).collect();
        let finished = write_ends(&self.store, finishes, "its remote worker has ended it", &self.said).await?;
        let mut answers = vec![Ended::Lost; runs.len()];
        let mut statuses: BTreeMap<Arc<str>, Vec<(i64, TaskStatus)>> = BTreeMap::new();
        for (ending, finished) in endings.iter().zip(finished) {
            let Some(task) = runs[ending.at].task() else { continue };
            let info = Arc::new(run_info(&ending.theme, task));
            let waited = (task.claimed_at - task.due_at).to_std().ok();
            self.events.tell(&Event::TaskEnded(ended(
                info,
                waited,
                ending.kind,
                &ending.finish,
                finished,
            )));
            if let Finished::Written(status) = finished {
                answers[ending.at] = Ended::Written(status);
                statuses
                    .entry(Arc::clone(&ending.theme))
                    .or_default()
                    .push((task.id, status));
            }
        }
        for (theme, statuses) in &statuses {
            self.tell(theme, statuses);
        }
        self.free_slots(runs, &answers).await;
        let claims = claims(runs);
        self.settled.note(claims.iter().map(|claim| claim.claim_id));
        Ok(answers)
    }
}
