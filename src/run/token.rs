//! The token of a run: what a remote worker names a run by.
//!
//! It holds whatever a write about the run needs, so that no row is read first, and a code by the secret of the claim, so that a worker can
//! neither change it nor make one. It is no password: the caller's own token says what the caller may do.

use std::{sync::Arc, time::Duration};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::{
    domain::Json,
    mac::hmac_sha256,
    store::{ClaimedTask, RemoteClaim},
};

/// The bytes of the code at the end of a token.
const CODE: usize = 16;

/// A longer text is no token: names have 255 characters at most.
const LONGEST: usize = 4_096;

const LONGEST_MARK: usize = 64;

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Facts {
    mark: String,
    task_id: i64,
    /// `None`: the mark, `-`, and the id of the task.
    log_id: Option<String>,
    service: String,
    method: String,
    retry_time: i32,
    max_retry_time: i32,
    retry_delay: Option<Duration>,
    /// Microseconds since 1970.
    claimed_at: i64,
    due_at: i64,
}

/// A token that a caller has sent. Nothing of it may be believed before [`opened`](Self::opened).
#[derive(Debug, Clone)]
pub(crate) struct RunToken {
    facts: Facts,
    bytes: Vec<u8>,
}

/// The token of the run of `task` under the claim with this mark and secret.
pub(crate) fn sealed(mark: &str, secret: &str, task: &ClaimedTask) -> String {
    let log_id = &*task.log_id;
    let facts = Facts {
        mark: mark.to_owned(),
        task_id: task.id,
        log_id: (log_id != usual_log_id(mark, task.id)).then(|| log_id.to_owned()),
        service: task.service.clone(),
        method: task.method.clone(),
        retry_time: task.retry_time,
        max_retry_time: task.max_retry_time,
        retry_delay: task.retry_delay,
        claimed_at: task.claimed_at.timestamp_micros(),
        due_at: task.due_at.timestamp_micros(),
    };
    // Each of these values has a form in memory.
    let mut bytes = postcard::to_stdvec(&facts).unwrap_or_default();
    let code = code(secret, &bytes);
    bytes.extend_from_slice(&code);
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

fn usual_log_id(mark: &str, task: i64) -> String {
    format!("{mark}-{task}")
}

fn code(secret: &str, facts: &[u8]) -> [u8; CODE] {
    let mut code = [0; CODE];
    code.copy_from_slice(&hmac_sha256(secret.as_bytes(), facts)[..CODE]);
    code
}

fn at(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or_default()
}

impl RunToken {
    /// `None`: the text is no token.
    pub(crate) fn read(text: &str) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        let end = bytes.len().checked_sub(CODE)?;
        let (facts, rest) = postcard::take_from_bytes::<Facts>(&bytes[..end]).ok()?;
        let is_mark = facts.mark.len() <= LONGEST_MARK && facts.mark.bytes().all(|byte| byte.is_ascii_alphanumeric());
        (rest.is_empty() && is_mark).then_some(Self { facts, bytes })
    }

    pub(crate) fn mark(&self) -> &str {
        &self.facts.mark
    }

    pub(crate) fn task_id(&self) -> i64 {
        self.facts.task_id
    }

    /// Whether the run was handed to a service by a call: its claim is made when the service parks it.
    pub(crate) fn is_of_a_call(&self) -> bool {
        self.facts.log_id.is_some()
    }

    /// The run, as a node would hold it, without arguments. `None`: the token was not made for this claim.
    pub(crate) fn opened(&self, claim: &RemoteClaim) -> Option<ClaimedTask> {
        let (facts, sent) = self.bytes.split_at_checked(self.bytes.len() - CODE)?;
        if !bool::from(code(&claim.secret, facts).ct_eq(sent)) {
            return None;
        }
        let facts = self.facts.clone();
        let log_id = facts.log_id.unwrap_or_else(|| usual_log_id(&facts.mark, facts.task_id));
        Some(ClaimedTask {
            id: facts.task_id,
            service: facts.service,
            method: facts.method,
            args: Json::null(),
            left_out: None,
            retry_time: facts.retry_time,
            max_retry_time: facts.max_retry_time,
            priority: 0,
            timeout: None,
            retry_delay: facts.retry_delay,
            traceparent: None,
            owner: Arc::from(claim.worker.as_str()),
            token: claim.claim_id,
            log_id: log_id.into(),
            due_at: at(facts.due_at),
            claimed_at: at(facts.claimed_at),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(secret: &str) -> RemoteClaim {
        RemoteClaim {
            mark: "0190".to_owned(),
            claim_id: 7,
            worker: "remote:w".to_owned(),
            theme: "t".to_owned(),
            secret: secret.to_owned(),
            lease: Duration::from_secs(30),
            expires_at: DateTime::UNIX_EPOCH,
            deadline: None,
            beat: 0,
        }
    }

    fn task(log_id: &str) -> ClaimedTask {
        ClaimedTask {
            id: 17,
            service: "Order".to_owned(),
            method: "Create".to_owned(),
            args: Json::null(),
            left_out: None,
            retry_time: 1,
            max_retry_time: 3,
            priority: 0,
            timeout: None,
            retry_delay: Some(Duration::from_millis(1_500)),
            traceparent: None,
            owner: "remote:w".into(),
            token: 7,
            log_id: log_id.into(),
            due_at: at(1_000_000),
            claimed_at: at(2_000_000),
        }
    }

    #[test]
    fn a_token_says_what_it_was_made_of() {
        for log_id in ["0190-17", "0042-17"] {
            let task = task(log_id);
            let text = sealed("0190", "s", &task);
            let token = RunToken::read(&text).expect("is a token");
            assert_eq!((token.mark(), token.task_id()), ("0190", 17));
            assert_eq!(token.is_of_a_call(), log_id == "0042-17");
            let opened = token.opened(&claim("s")).expect("is genuine");
            assert_eq!(format!("{opened:?}"), format!("{task:?}"));
        }
    }

    #[test]
    fn no_other_text_is_a_token_of_the_claim() {
        let text = sealed("0190", "s", &task("0190-17"));
        let token = RunToken::read(&text).expect("is a token");
        assert!(token.opened(&claim("other")).is_none());
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(&text).expect("is base64");
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let token = RunToken::read(&BASE64_URL_SAFE_NO_PAD.encode(changed));
            assert!(
                token.is_none_or(|token| token.opened(&claim("s")).is_none()),
                "byte {at}"
            );
        }
        for text in ["", "AAAA", "not base64!", &"A".repeat(5_000), &text[1..]] {
            let token = RunToken::read(text);
            assert!(token.is_none_or(|token| token.opened(&claim("s")).is_none()), "{text}");
        }
    }
}
