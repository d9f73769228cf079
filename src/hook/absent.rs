//! Stands in for the HTTP client in a program that is built without the feature `hooks`: each run of a hook fails with an error that
//! says so.

use super::{HookAnswer, HookCall};
use crate::{domain::InvalidInput, traces::Traces};

/// Without the feature `hooks` there are no options.
#[derive(Debug, Clone, Default)]
pub struct HookOptions;

/// A client whose calls all fail with [`HookError::Absent`].
#[derive(Clone)]
pub(crate) struct HookClient;

/// Why a hook was not called.
#[derive(Debug, thiserror::Error)]
#[expect(dead_code, reason = "as the client has them")]
pub(crate) enum HookError {
    #[error(
        "not run: this program calls no hooks, since it is built without the feature `hooks` of gaia-actors; build it with that \
         feature, or let programs run jobs that have it"
    )]
    Absent,
    #[error("not sent")]
    Withdrawn,
    #[error("not sent")]
    NoThread,
}

impl HookError {
    #[expect(clippy::unused_self, reason = "as the client's error has it")]
    pub(crate) fn status(&self) -> Option<u16> {
        None
    }
}

impl HookClient {
    #[expect(clippy::unnecessary_wraps, reason = "as the client has it")]
    pub(crate) fn new(_: &HookOptions) -> Result<Self, InvalidInput> {
        Ok(Self)
    }

    pub(crate) fn traced(self, _: Traces) -> Self {
        self
    }

    #[expect(clippy::unused_async, reason = "as the client has it")]
    pub(crate) async fn call(&self, _: HookCall) -> Result<HookAnswer, HookError> {
        Err(HookError::Absent)
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};

    use super::*;
    use crate::domain::HookMethod;

    #[actix_rt::test]
    async fn a_run_of_a_hook_says_what_the_program_lacks() {
        let call = HookCall {
            method: HookMethod::Post,
            url: "http://localhost/".to_owned(),
            headers: std::collections::BTreeMap::new(),
            body: String::new(),
            secret: None,
            traceparent: None,
            run_id: "x".to_owned(),
            sent_at: DateTime::<Utc>::UNIX_EPOCH,
            hold: None,
        };
        let client = HookClient::new(&HookOptions).unwrap();
        let error = client.call(call).await.unwrap_err().to_string();
        assert!(error.contains("feature `hooks`"), "{error}");
    }
}
