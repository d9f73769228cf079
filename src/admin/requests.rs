//! What another process is asked for, and waiting for its answer.

use std::time::{Duration, Instant};

use super::Admin;
use crate::{
    domain::{Answer, Asked, Note, REQUEST_LIFE},
    error::{Error, ask},
    store::{RequestState, Store, StoreError},
};

/// How long the asker waits between two looks at its request.
const SHORTEST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_millis(250);

/// How long a node that has taken a request at the last moment may take to answer.
const GRACE: Duration = Duration::from_secs(2);

/// For how long a node that has taken a request is trusted to be alive.
const TRUST: Duration = Duration::from_secs(1);

/// How a request has ended.
enum Ended {
    Answered {
        node: String,
        answer: Answer,
    },
    /// This node has taken it. It has not answered in time.
    Silent(String),
}

impl Admin {
    /// Asks another process, and waits for its answer: the node that has taken the request, and the answer. `node`: the one to ask; `None`:
    /// any that runs jobs.
    pub(super) async fn request(
        &self,
        node: Option<String>,
        asked: Asked,
        note: Note,
        timeout: Duration,
    ) -> Result<(String, Answer), Error> {
        let why = match &node {
            Some(node) => format!("node {node} does not answer"),
            None => "no node that runs jobs (`GaiaBuilder::jobs`) is alive, or may claim anything".to_owned(),
        };
        let began = Instant::now();
        let request = |store: Store| async move {
            let id = store.cluster().ask(node.as_deref(), &asked, &note).await?;
            wait(&store, id, timeout).await
        };
        match ask(&self.store, request).await? {
            Ended::Answered {
                answer: Answer::Withdrawn,
                ..
            } => Err(Error::NotTaken {
                waited: began.elapsed(),
                why,
            }),
            Ended::Answered {
                node,
                answer: Answer::NodeIsGone,
            } => Err(Error::NotAnswered {
                node,
                why: "is dead".to_owned(),
            }),
            Ended::Silent(node) => Err(Error::NotAnswered {
                node,
                why: format!("has not answered within {timeout:?}"),
            }),
            Ended::Answered { node, answer } => Ok((node, answer)),
        }
    }
}

async fn wait(store: &Store, id: i64, timeout: Duration) -> Result<Ended, StoreError> {
    let (began, mut pause) = (Instant::now(), SHORTEST);
    let cluster = store.cluster();
    loop {
        match cluster.request_state(id).await? {
            Some(RequestState::Done { node, answer }) => return Ok(Ended::Answered { node, answer }),
            Some(RequestState::Taken(node)) if began.elapsed() >= timeout + GRACE => return Ok(Ended::Silent(node)),
            Some(RequestState::Taken(node)) if began.elapsed() >= TRUST && !cluster.has_node(&node).await? => {
                let answer = Answer::NodeIsGone;
                if cluster.answer(id, Some(&node), &answer).await? {
                    return Ok(Ended::Answered { node, answer });
                }
            }
            Some(RequestState::Open) if began.elapsed() >= timeout.min(REQUEST_LIFE) => {
                let answer = Answer::Withdrawn;
                if cluster.answer(id, None, &answer).await? {
                    let node = String::new();
                    return Ok(Ended::Answered { node, answer });
                }
            }
            Some(RequestState::Taken(_) | RequestState::Open) => {}
            // Plain SQL has deleted it.
            None => {
                return Ok(Ended::Answered {
                    node: String::new(),
                    answer: Answer::Withdrawn,
                });
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST);
    }
}

/// What an answer says that belongs to no request of this kind.
pub(super) fn not_followed(node: String, answer: Answer) -> Error {
    let reason = match answer {
        Answer::Failed { error } => error,
        _ => "it has another version, and knows no such request".to_owned(),
    };
    Error::NotFollowed { node, reason }
}
