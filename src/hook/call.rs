//! The call of a hook, and its answer.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::{
    domain::{HookMethod, HookSecret},
    lease::Hold,
};

/// A request to send. It has no `Debug`, since its headers may hold credentials.
#[cfg_attr(not(feature = "hooks"), expect(dead_code, reason = "nothing is sent"))]
pub(crate) struct HookCall {
    pub(crate) method: HookMethod,
    pub(crate) url: String,
    /// The headers that the job gives; they may replace `content-type` and `user-agent`.
    pub(crate) headers: BTreeMap<String, String>,
    /// The job's arguments; a `GET` or `HEAD` request does not send them.
    pub(crate) body: String,
    pub(crate) secret: Option<HookSecret>,
    /// The trace of the run, which the request names unless it is within a span that belongs to a trace.
    pub(crate) traceparent: Option<String>,
    /// The same for every attempt of one run, so that the service can recognize a repetition.
    pub(crate) run_id: String,
    /// When this attempt began; services refuse signatures that are older than a few minutes.
    pub(crate) sent_at: DateTime<Utc>,
    /// The proof that this node owns the run. The client checks it again once the connection is made, before it sends anything.
    pub(crate) hold: Option<Hold>,
}

/// A successful answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HookAnswer {
    /// 200 to 299.
    pub(crate) status: u16,
    /// The body as text, without NUL. A body longer than the limit is cut, and a note at its end says so.
    pub(crate) body: String,
}

/// An answer of a remote service, whatever its status.
#[cfg(feature = "hooks")]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ServiceAnswer {
    pub(crate) status: u16,
    /// The header `retry-after`.
    pub(crate) retry_after: Option<String>,
    /// The header `date`: the time by the clock of the service.
    pub(crate) date: Option<String>,
    /// The target of a redirect.
    pub(crate) location: Option<String>,
    /// The body as text, without NUL.
    pub(crate) body: String,
    /// Whether the body is there to its end. A body that was cut has a note at its end.
    pub(crate) is_whole: bool,
}
