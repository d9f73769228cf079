//! Refusals as `application/problem+json` (RFC 9457).
//!
//! Each has a `code` that stays the same from version to version. Texts of the database never leave the process: they go to the log, with
//! the id that the client gets.

use std::{fmt::Display, time::Duration};

use actix_web::{
    HttpResponse, ResponseError,
    http::{
        StatusCode,
        header::{ALLOW, CONTENT_TYPE, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE},
    },
};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::permission::Permission;
use crate::{
    domain::{InvalidInput, TaskStatus},
    error::Error,
    store::StoreError,
};

/// When a client should try again, in seconds.
const SOON: u64 = 2;
const LATER: u64 = 30;

/// A wait as callers are told of it.
pub(super) fn whole_seconds(wait: Duration) -> Duration {
    Duration::from_secs(wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(Duration::from_secs(1))
}

/// One fault of a request.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub(super) struct Fault {
    /// What is wrong, in one sentence.
    pub(super) detail: String,
    /// Where in the body, as a JSON pointer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pointer: Option<String>,
    /// Which parameter of the query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) parameter: Option<String>,
    /// Which task of a list, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) index: Option<usize>,
}

impl Fault {
    pub(super) fn of(detail: impl Into<String>) -> Self {
        Self {
            detail: detail.into(),
            ..Self::default()
        }
    }

    pub(super) fn parameter(name: &str, detail: impl Into<String>) -> Self {
        Self {
            parameter: Some(name.to_owned()),
            ..Self::of(detail)
        }
    }
}

/// A refusal as JSON, for the description of the API: [`Problem::into_response`] writes it.
#[derive(ToSchema)]
#[schema(as = Problem)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct ProblemSchema {
    /// `about:blank`: the code says more.
    r#type: String,
    /// The words of the status.
    title: String,
    /// The status.
    status: u16,
    /// What is wrong, as a word that stays the same from version to version.
    code: String,
    /// What is wrong, in one sentence or more.
    detail: String,
    /// Every fault of the request.
    #[schema(nullable = false)]
    faults: Option<Vec<Fault>>,
    /// Which permissions the request needs: one of them.
    #[schema(nullable = false)]
    needs: Option<Vec<Permission>>,
    /// The longest body.
    #[schema(nullable = false)]
    limit_bytes: Option<usize>,
    /// The status of the task, from which the change is not allowed.
    #[schema(nullable = false)]
    task_status: Option<TaskStatus>,
    /// The statuses from which the change is allowed.
    #[schema(nullable = false)]
    allowed_from: Option<Vec<TaskStatus>>,
    /// The id of the job that has the name.
    #[schema(nullable = false)]
    holder: Option<i64>,
    /// The log says more at this id.
    #[schema(nullable = false)]
    request_id: Option<String>,
    /// What became of a change after an error of the database: `no` if it was not made, `unknown` if nobody knows.
    #[schema(nullable = false)]
    stored: Option<String>,
}

/// Why a request is refused, or cannot be answered.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    faults: Vec<Fault>,
    more: Map<String, Value>,
    headers: Vec<(HeaderName, String)>,
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            faults: Vec::new(),
            more: Map::new(),
            headers: Vec::new(),
        }
    }

    fn header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The client should try again after so many seconds.
    fn again_after(self, seconds: u64) -> Self {
        self.header(RETRY_AFTER, seconds.to_string())
    }

    fn with(mut self, key: &str, value: Value) -> Self {
        self.more.insert(key.to_owned(), value);
        self
    }

    /// `challenges`: how the caller may say who it is.
    pub(super) fn no_access(challenges: Vec<&'static str>) -> Self {
        let hint = match challenges.as_slice() {
            [] => "this API does not know the caller",
            ["Bearer"] => "send a token that this API knows, as Authorization: Bearer …",
            _ => "this API does not know the caller; send Authorization, as WWW-Authenticate says",
        };
        let refusal = Self::new(StatusCode::UNAUTHORIZED, "no_access", hint);
        challenges.into_iter().fold(refusal, |refusal, challenge| {
            refusal.header(WWW_AUTHENTICATE, challenge)
        })
    }

    pub(super) fn too_many_logins() -> Self {
        let detail = "too many passwords wait to be checked; try again later";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_logins", detail).again_after(SOON)
    }

    pub(super) fn too_many_listeners() -> Self {
        let detail = "this process has as many listeners as may be; try again later, or ask another process";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_listeners", detail).again_after(LATER)
    }

    pub(super) fn no_permission(needed: &[Permission]) -> Self {
        let names: Vec<&str> = needed.iter().map(|permission| permission.as_str()).collect();
        let detail = format!("this needs the permission {}", names.join(" or "));
        Self::new(StatusCode::FORBIDDEN, "no_permission", detail).with("needs", json!(names))
    }

    pub(super) fn too_many_workers() -> Self {
        let detail =
            "this process knows as many remote workers as may be; give workers fewer names, or ask another process";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_workers", detail).again_after(LATER)
    }

    pub(super) fn run_lost() -> Self {
        let detail = "the run has ended before, or other hands have the task; nothing was written, so drop the run";
        Self::new(StatusCode::CONFLICT, "run_lost", detail)
    }

    pub(super) fn other_theme() -> Self {
        let detail = "the caller is limited to some themes, and this is outside of them";
        Self::new(StatusCode::FORBIDDEN, "theme_not_allowed", detail)
    }

    pub(super) fn cross_site() -> Self {
        let detail = "a page of another site has asked for this change; a proxy must leave the Host header as it is";
        Self::new(StatusCode::FORBIDDEN, "cross_site", detail)
    }

    pub(super) fn no_route(path: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "route_not_found",
            format!("there is nothing at {path:?}"),
        )
    }

    pub(super) fn other_method(method: &str, allowed: &[&str]) -> Self {
        let allow = allowed.join(", ");
        let detail = format!("{method} is not answered here, expected {allow}");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail).header(ALLOW, allow)
    }

    pub(super) fn bad_path(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_path", detail)
    }

    pub(super) fn bad_query(faults: Vec<Fault>) -> Self {
        let details: Vec<&str> = faults.iter().map(|fault| fault.detail.as_str()).collect();
        let detail = details.join("; ");
        Self {
            faults,
            ..Self::new(StatusCode::BAD_REQUEST, "bad_query", detail)
        }
    }

    pub(super) fn bad_cursor(detail: &str) -> Self {
        Self {
            faults: vec![Fault::parameter("cursor", detail)],
            ..Self::new(StatusCode::BAD_REQUEST, "bad_cursor", detail)
        }
    }

    pub(super) fn bad_json(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_json", detail)
    }

    pub(super) fn bad_idempotency_key(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_idempotency_key", detail)
    }

    pub(super) fn bad_header(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_header", detail)
    }

    pub(super) fn body_lost() -> Self {
        let detail = "the body of the request did not arrive whole";
        Self::new(StatusCode::BAD_REQUEST, "body_lost", detail)
    }

    pub(super) fn too_slow(limit: Duration) -> Self {
        let detail = format!("the body has not arrived within {} s", limit.as_secs());
        Self::new(StatusCode::REQUEST_TIMEOUT, "body_too_slow", detail)
    }

    pub(super) fn too_long(limit: usize) -> Self {
        let detail = format!("the body is longer than {limit} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_long", detail).with("limit_bytes", json!(limit))
    }

    pub(super) fn other_type(expected: &str) -> Self {
        let detail = format!("the body must be {expected}, in UTF-8");
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_type", detail)
    }

    pub(super) fn invalid(faults: Vec<Fault>) -> Self {
        let details: Vec<&str> = faults.iter().map(|fault| fault.detail.as_str()).collect();
        let detail = format!("invalid input: {}", details.join("; "));
        Self {
            faults,
            ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", detail)
        }
    }

    pub(super) fn no_task(id: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "task_not_found",
            format!("there is no task {id}"),
        )
    }

    pub(super) fn not_found(what: &str, id: &str) -> Self {
        let code = match what {
            "task" => return Self::no_task(id),
            "job" => "job_not_found",
            "run" => "run_not_found",
            _ => "bulk_operation_not_found",
        };
        Self::new(StatusCode::NOT_FOUND, code, format!("there is no {what} {id}"))
    }

    pub(super) fn no_limit(service: &str, method: &str) -> Self {
        let detail = format!("the method {service}.{method} has no limit");
        Self::new(StatusCode::NOT_FOUND, "limit_not_found", detail)
    }

    pub(super) fn too_many_searches() -> Self {
        let detail = "too many searches, counts and exports run at the same time; try again";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_searches", detail).again_after(SOON)
    }

    pub(super) fn too_many_requests(wait: Duration) -> Self {
        let seconds = whole_seconds(wait).as_secs();
        let detail = format!("too many requests in a short time; try again in {seconds} s");
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", detail).again_after(seconds)
    }

    /// An answer that cannot be written in its form.
    pub(super) fn unwritable(error: &dyn Display) -> Self {
        let id = uuid::Uuid::now_v7().to_string();
        say!(Error, "HTTP request {id}: the answer cannot be written: {error}");
        let detail = format!("the answer cannot be written; the log says more at request {id}");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "unwritable", detail).with("request_id", json!(id))
    }

    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    pub(super) fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// Whether the detail says no more than the faults.
    pub(super) fn is_its_faults(&self) -> bool {
        matches!(self.code, "invalid" | "bad_query" | "bad_cursor") && !self.faults.is_empty()
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    pub(super) fn code(&self) -> &'static str {
        self.code
    }

    /// The change that was asked for was not tried: whatever the database has done with other rows, it has not made the change.
    pub(super) fn before_the_change(mut self) -> Self {
        if let Some(stored) = self.more.get_mut("stored") {
            *stored = json!("no");
        }
        self
    }

    fn internal(code: &'static str, what: &str, error: &Error) -> Self {
        let id = uuid::Uuid::now_v7().to_string();
        say!(Error, "HTTP request {id}: {error}");
        let detail = format!("{what}; the log says more at request {id}");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, code, detail).with("request_id", json!(id))
    }

    /// The database cannot be asked now. `stored` says what is known about a change.
    fn database(error: &StoreError) -> Self {
        let id = uuid::Uuid::now_v7().to_string();
        say!(Error, "HTTP request {id}: {error}");
        let (code, what) = store_code(error);
        let is_refusal = error.is_refusal();
        let status = match is_refusal {
            true => StatusCode::INTERNAL_SERVER_ERROR,
            false => StatusCode::SERVICE_UNAVAILABLE,
        };
        // A refusal, a conflict that was rolled back, and a statement that was never sent have changed nothing.
        let is_undone = matches!(error, StoreError::Conflict(_)) || error.is_unreachable();
        let stored = if is_refusal || is_undone { "no" } else { "unknown" };
        let detail = format!("{what}; the log says more at request {id}");
        let problem = Self::new(status, code, detail)
            .with("request_id", json!(id))
            .with("stored", json!(stored));
        if is_refusal { problem } else { problem.again_after(SOON) }
    }

    pub(super) fn into_response(self) -> HttpResponse {
        let mut body = Map::new();
        body.insert("type".to_owned(), json!("about:blank"));
        body.insert("title".to_owned(), json!(self.status.canonical_reason()));
        body.insert("status".to_owned(), json!(self.status.as_u16()));
        body.insert("code".to_owned(), json!(self.code));
        body.insert("detail".to_owned(), json!(self.detail));
        if !self.faults.is_empty() {
            body.insert("faults".to_owned(), json!(self.faults));
        }
        body.extend(self.more);
        let mut response = HttpResponse::build(self.status);
        response.insert_header((CONTENT_TYPE, "application/problem+json"));
        for header in self.headers {
            response.append_header(header);
        }
        response.body(Value::Object(body).to_string())
    }
}

/// The code and the words for an error of the database. The words hold nothing that the database has said.
fn store_code(error: &StoreError) -> (&'static str, &'static str) {
    match error {
        StoreError::Disconnected(_) => ("database_connection_lost", "the connection to the database was lost"),
        StoreError::Connect { .. } => ("database_unreachable", "the database cannot be reached"),
        StoreError::NoConnection { .. } => ("database_busy", "no connection to the database was free"),
        StoreError::ServerFull { .. } => ("database_full", "the database gives no further connection"),
        StoreError::Conflict(_) => ("database_conflict", "other transactions kept changing the same rows"),
        StoreError::SchemaMissing { .. } => ("schema_missing", "the tables are older than this program"),
        StoreError::SchemaTooNew { .. } => ("schema_too_new", "the tables are newer than this program"),
        StoreError::ReadOnly(_) => ("database_read_only", "the database takes no writes"),
        StoreError::FileDeleted { .. } | StoreError::FileReplaced { .. } | StoreError::LogGone { .. } => (
            "database_file_gone",
            "the file of the database was moved away while it was open",
        ),
        StoreError::Url(_)
        | StoreError::Encoding { .. }
        | StoreError::Migration { .. }
        | StoreError::OtherDatabase { .. }
        | StoreError::TimeZone { .. } => ("database_unusable", "the database cannot be used"),
        StoreError::Duplicate(_) => ("database_duplicate", "the database has refused a duplicate"),
        StoreError::Database(_) => ("database_error", "the database has not done this"),
    }
}

fn status_of(error: &Error) -> StatusCode {
    match error {
        Error::Invalid(_) | Error::IdempotencyKeyReused { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        Error::TaskNotFound { .. }
        | Error::BulkOperationNotFound { .. }
        | Error::JobNotFound { .. }
        | Error::RunNotFound { .. }
        | Error::NodeNotFound { .. } => StatusCode::NOT_FOUND,
        Error::NotAllowed { .. }
        | Error::PredecessorEnded { .. }
        | Error::UniqueKeyTaken { .. }
        | Error::TaskUnsuccessful { .. }
        | Error::IdempotencyKeyBusy { .. }
        | Error::AlreadyScheduled { .. }
        | Error::NotScheduledHere { .. }
        | Error::JobNameTaken { .. }
        | Error::JobIsBad { .. }
        | Error::JobIsRunning { .. }
        | Error::JobIsLocked { .. }
        | Error::NotScheduledThere { .. }
        | Error::NotFollowed { .. }
        | Error::JobsNotRunHere
        | Error::JobsBanned { .. } => StatusCode::CONFLICT,
        Error::JobChanged { .. } => StatusCode::PRECONDITION_FAILED,
        Error::WaitTimedOut { .. } | Error::RunWaitTimedOut { .. } => StatusCode::ACCEPTED,
        Error::NotAnswered { .. } => StatusCode::GATEWAY_TIMEOUT,
        Error::NotTaken { .. } | Error::Fenced | Error::Stopped | Error::ActorsGone { .. } | Error::Store(_) => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        Error::ResultMismatch { .. }
        | Error::Start(_)
        | Error::Config(_)
        | Error::Registry(_)
        | Error::Statement(_)
        | Error::NoGaia => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The code of each error. A new error does not compile without one.
fn code_of(error: &Error) -> &'static str {
    match error {
        Error::Invalid(_) => "invalid",
        Error::TaskNotFound { .. } => "task_not_found",
        Error::NotAllowed { .. } => "not_allowed",
        Error::PredecessorEnded { .. } => "predecessor_ended",
        Error::UniqueKeyTaken { .. } => "unique_key_taken",
        Error::IdempotencyKeyReused { .. } => "idempotency_key_reused",
        Error::IdempotencyKeyBusy { .. } => "idempotency_key_busy",
        Error::WaitTimedOut { .. } => "not_ended_yet",
        Error::TaskUnsuccessful { .. } => "task_unsuccessful",
        Error::ResultMismatch { .. } => "result_mismatch",
        Error::AlreadyScheduled { .. } => "already_scheduled",
        Error::NotScheduledHere { .. } => "not_scheduled_here",
        Error::BulkOperationNotFound { .. } => "bulk_operation_not_found",
        Error::JobNotFound { .. } => "job_not_found",
        Error::JobNameTaken { .. } => "job_name_taken",
        Error::JobIsBad { .. } => "job_is_bad",
        Error::JobIsRunning { .. } => "job_is_running",
        Error::JobChanged { .. } => "job_changed",
        Error::JobIsLocked { .. } => "job_is_locked",
        Error::RunNotFound { .. } => "run_not_found",
        Error::RunWaitTimedOut { .. } => "run_not_ended_yet",
        Error::NotTaken { .. } => "not_taken",
        Error::NotAnswered { .. } => "not_answered",
        Error::NotFollowed { .. } => "not_followed",
        Error::NodeNotFound { .. } => "node_not_found",
        Error::NotScheduledThere { .. } => "not_scheduled_there",
        Error::JobsNotRunHere => "jobs_not_run_here",
        Error::JobsBanned { .. } => "jobs_banned",
        Error::Fenced => "fenced",
        Error::Stopped => "stopped",
        Error::ActorsGone { .. } => "actors_gone",
        Error::Start(_) => "start",
        Error::Config(_) => "config",
        Error::Registry(_) => "registry",
        Error::Store(error) => store_code(error).0,
        Error::Statement(_) => "statement",
        Error::NoGaia => "no_gaia",
    }
}

fn faults_of(input: &InvalidInput) -> Vec<Fault> {
    input.faults().iter().map(Fault::of).collect()
}

impl From<InvalidInput> for Problem {
    fn from(input: InvalidInput) -> Self {
        Self::from(&input)
    }
}

impl From<&InvalidInput> for Problem {
    fn from(input: &InvalidInput) -> Self {
        Self::invalid(faults_of(input))
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::from(&error)
    }
}

impl From<&Error> for Problem {
    fn from(error: &Error) -> Self {
        let code = code_of(error);
        let plain = Self::new(status_of(error), code, error.to_string());
        match error {
            Error::Invalid(input) => input.into(),
            Error::Store(error) => Self::database(error),
            Error::TaskNotFound { id, .. } => Self::no_task(&id.to_string()),
            Error::NotAllowed { action, status, .. } => {
                let allowed: Vec<&str> = action.allowed_from().iter().map(|status| status.as_str()).collect();
                plain
                    .with("task_status", json!(status.as_str()))
                    .with("allowed_from", json!(allowed))
            }
            Error::JobNameTaken { holder, .. } => plain.with("holder", json!(holder)),
            Error::JobIsBad { fault, .. } => Self {
                faults: faults_of(fault),
                ..plain
            },
            Error::JobIsLocked { .. }
            | Error::IdempotencyKeyBusy { .. }
            | Error::NotTaken { .. }
            | Error::Fenced
            | Error::Stopped => plain.again_after(SOON),
            Error::ActorsGone { .. } => {
                Self::internal(code, "the actors of this process are gone", error).again_after(SOON)
            }
            Error::NotFollowed { node, .. } => {
                let what = format!("node {node} could not follow the request");
                Self {
                    status: StatusCode::CONFLICT,
                    ..Self::internal(code, &what, error)
                }
            }
            Error::Start(_) | Error::Config(_) | Error::Registry(_) | Error::Statement(_) | Error::NoGaia => {
                Self::internal(code, "this process is at fault", error)
            }
            _ => plain,
        }
    }
}

/// So that a route of the application may answer with this error by `?`: with the same status and the same `application/problem+json` as the API
/// of this crate. What the database or this process is at fault for is logged, and the answer names the place in the log.
impl ResponseError for Error {
    fn status_code(&self) -> StatusCode {
        status_of(self)
    }

    fn error_response(&self) -> HttpResponse {
        Problem::from(self).into_response()
    }
}
