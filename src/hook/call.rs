//! What a hook is asked, and what it answers.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::{
    domain::{HookMethod, HookSecret},
    lease::Hold,
};

/// What to send. It has no `Debug`, since its headers may hold credentials.
#[cfg_attr(not(feature = "hooks"), expect(dead_code, reason = "nothing is sent"))]
pub(crate) struct HookCall {
    pub(crate) method: HookMethod,
    pub(crate) url: String,
    /// The job's own headers; they may replace `content-type` and `user-agent`.
    pub(crate) headers: BTreeMap<String, String>,
    /// The job's arguments; `GET` and `HEAD` do not send them.
    pub(crate) body: String,
    pub(crate) secret: Option<HookSecret>,
    /// The same for every attempt at one run, so that the service may tell a repetition.
    pub(crate) run_id: String,
    /// When this attempt was made; services refuse signatures that are older than some minutes.
    pub(crate) sent_at: DateTime<Utc>,
    /// What makes the run this node's; asked once more when the connection is there.
    pub(crate) hold: Option<Hold>,
}

/// A successful answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HookAnswer {
    /// 200 to 299.
    pub(crate) status: u16,
    /// The body as text, cut at the limit, visibly; without NUL.
    pub(crate) body: String,
}
