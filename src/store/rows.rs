//! Rows as the tables hold them, and the values of the domain they become.

#[cfg(any(feature = "sqlite", feature = "mysql"))]
use std::collections::BTreeSet;
use std::{sync::Arc, time::Duration};

use chrono::{DateTime, NaiveDateTime, Utc};
use diesel::{
    dsl::SqlTypeOf,
    prelude::*,
    sql_types::{BigInt, Nullable, Text},
};

use super::{
    HeldClaim,
    claims::unseen_run,
    lenient::{AnyInt, AnyText, AnyTime, is_set, narrow, number, text, time},
    schema::{asynctask_exec_row, asynctasks, gaia_nodes},
};
use crate::domain::{
    Attempt, ExecRecord, Form, Json, NewTask, Next, Outcome, RetryPolicy, Task, TaskStatus, Texts, next,
};

/// The guide's default where a row holds none.
const DEFAULT_MAX_RETRY: i32 = 3;

/// How many scheduled tasks one claim moves to the due ones at most, so that its transaction stays short.
pub(super) const PROMOTED_AT_ONCE: i64 = 1_000;

/// How often a unique key may be found taken by a task that is not there a moment later.
pub(super) const TRIES_OF_A_KEY: usize = 20;

/// The error after that: another unique index of the table is in the way, or somebody plays.
pub(super) fn key_is_elusive() -> diesel::result::Error {
    let text = "the table refused the task as a duplicate, but no unfinished task has its unique key; \
                look for other unique indexes of asynctasks";
    diesel::result::Error::DatabaseError(
        diesel::result::DatabaseErrorKind::UniqueViolation,
        Box::new(text.to_owned()),
    )
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = asynctasks)]
pub(super) struct TaskRow {
    #[diesel(embed)]
    facts: TaskFacts,
    arg: Option<AnyText>,
    last_result: Option<AnyText>,
    last_err_msg: Option<AnyText>,
}

/// A task without its long texts.
#[derive(Queryable, Selectable)]
#[diesel(table_name = asynctasks)]
pub(super) struct TaskFacts {
    id: AnyInt,
    system_name: AnyText,
    service_name: AnyText,
    method_name: AnyText,
    task_name: AnyText,
    task_status: Option<AnyText>,
    retry_time: Option<AnyInt>,
    max_retry_time: Option<AnyInt>,
    priority: AnyInt,
    run_at: Option<AnyTime>,
    timeout_ms: Option<AnyInt>,
    unique_key: Option<AnyText>,
    lease_owner: Option<AnyText>,
    cancel_requested: AnyInt,
    progress: Option<AnyInt>,
    progress_note: Option<AnyText>,
    last_run_time: Option<AnyTime>,
    last_run_end_time: Option<AnyTime>,
    last_run_duration: Option<AnyInt>,
    log_id: Option<AnyText>,
    create_time: Option<AnyTime>,
    update_time: Option<AnyTime>,
    lease_token: AnyInt,
    queued: AnyInt,
}

/// The run of a task, of which the task's row says nothing yet.
pub(super) struct Unseen {
    pub(super) node: String,
    pub(super) token: i64,
    pub(super) log_id: String,
    pub(super) claimed_at: DateTime<Utc>,
}

impl TaskRow {
    /// Whether a claim may have the task, of which the row says nothing.
    pub(super) fn may_be_unseen(&self) -> bool {
        number(Some(self.facts.queued)) == Some(1)
    }

    /// The task, as it is under these claims.
    pub(super) fn task(self, claims: &[HeldClaim]) -> Task {
        let arg = Json::from_column(text(self.arg)).into_string();
        let facts = self.facts.seen(claims);
        facts.with(arg, text(self.last_result), text(self.last_err_msg))
    }
}

impl TaskFacts {
    /// What the row would say if it said which of these claims has the task.
    pub(super) fn seen(self, claims: &[HeldClaim]) -> Self {
        let status = text(self.task_status.clone());
        let waits = matches!(status.as_deref(), Some("Wait" | "Retry"));
        let numbers = number(Some(self.queued)).zip(number(Some(self.lease_token)));
        let run = numbers
            .filter(|_| waits)
            .and_then(|(queued, token)| unseen_run(claims, key(self.id), queued, token));
        match run {
            None => self,
            Some(run) => Self {
                task_status: Some(AnyText(TaskStatus::Running.as_str().to_owned())),
                lease_owner: Some(AnyText(run.node)),
                log_id: Some(AnyText(run.log_id)),
                last_run_time: Some(run.claimed_at.into()),
                update_time: Some(run.claimed_at.into()),
                progress: None,
                progress_note: None,
                ..self
            },
        }
    }

    /// The task with its texts as a list shows them.
    pub(super) fn listed(self, [arg, result, error]: [Option<AnyText>; 3]) -> Task {
        let arg = Json::from_column(text(arg)).into_string();
        self.with(arg, text(result), text(error))
    }

    fn with(self, arg: String, last_result: Option<String>, last_error: Option<String>) -> Task {
        Task {
            id: key(self.id),
            theme: self.system_name.0,
            service: self.service_name.0,
            method: self.method_name.0,
            name: self.task_name.0,
            arg,
            status: status_of(text(self.task_status).as_deref()),
            retry_time: narrow(self.retry_time).unwrap_or(0),
            max_retry_time: narrow(self.max_retry_time).unwrap_or(DEFAULT_MAX_RETRY),
            priority: narrow(self.priority).unwrap_or(0),
            run_at: time(self.run_at),
            timeout: millis(self.timeout_ms),
            unique_key: text(self.unique_key),
            node: text(self.lease_owner),
            cancel_requested: is_set(self.cancel_requested),
            progress: narrow(self.progress),
            progress_note: text(self.progress_note),
            last_run_time: time(self.last_run_time),
            last_run_end_time: time(self.last_run_end_time),
            last_run_duration: millis(self.last_run_duration).unwrap_or_default(),
            last_result,
            last_error,
            log_id: text(self.log_id),
            create_time: time(self.create_time),
            update_time: time(self.update_time),
        }
    }
}

/// A status written by somebody else that we do not know is shown as Failed: it is not run, and can be retried by hand.
pub(super) fn status_of(text: Option<&str>) -> TaskStatus {
    text.and_then(|text| text.parse().ok()).unwrap_or(TaskStatus::Failed)
}

fn millis(column: Option<AnyInt>) -> Option<Duration> {
    let millis = number(column).and_then(|value| u64::try_from(value).ok());
    millis.map(Duration::from_millis)
}

/// The id of a row. It is a key: nothing but a whole number can be in its column.
fn key(column: AnyInt) -> i64 {
    number(column).unwrap_or_default()
}

/// An execution record without its long texts.
#[derive(Queryable, Selectable)]
#[diesel(table_name = asynctask_exec_row)]
pub(super) struct RecordFacts {
    id: AnyInt,
    task_id: AnyInt,
    task_status: Option<AnyText>,
    attempt: Option<AnyInt>,
    node_id: Option<AnyText>,
    lease_token: Option<AnyInt>,
    last_run_time: Option<AnyTime>,
    last_run_end_time: Option<AnyTime>,
    last_run_duration: Option<AnyInt>,
    log_id: Option<AnyText>,
}

impl RecordFacts {
    /// The record with its texts as a list shows them.
    pub(super) fn listed(self, [result, error]: [Option<AnyText>; 2]) -> ExecRecord {
        ExecRecord {
            id: key(self.id),
            task_id: key(self.task_id),
            status: text(self.task_status).unwrap_or_default(),
            attempt: narrow(self.attempt),
            node: text(self.node_id),
            lease_token: number(self.lease_token),
            result: text(result),
            error: text(error),
            run_time: time(self.last_run_time),
            end_time: time(self.last_run_end_time),
            duration: millis(self.last_run_duration).unwrap_or_default(),
            log_id: text(self.log_id),
        }
    }
}

/// A task to add, with the status Wait.
#[derive(Debug, Clone)]
pub(crate) struct NewTaskRow {
    pub(super) system_name: Arc<str>,
    pub(super) service_name: String,
    pub(super) method_name: String,
    pub(super) task_name: String,
    pub(super) arg: String,
    pub(super) max_retry_time: i32,
    pub(super) create_time: NaiveDateTime,
    pub(super) priority: i32,
    pub(super) run_at: Option<NaiveDateTime>,
    pub(super) timeout_ms: Option<i64>,
    pub(super) retry_delay_ms: Option<i64>,
    pub(super) unique_key: Option<String>,
}

/// A statement that adds one task, with the parameters that each of them begins with.
macro_rules! adding {
    ($sql:expr, $row:expr) => {{
        let row: &$crate::store::rows::NewTaskRow = $row;
        $crate::store::prepared::prepared($sql)
            .bind::<diesel::sql_types::Text, _>(&*row.system_name)
            .bind::<diesel::sql_types::Text, _>(&row.service_name)
            .bind::<diesel::sql_types::Text, _>(&row.method_name)
            .bind::<diesel::sql_types::Text, _>(&row.task_name)
            .bind::<diesel::sql_types::Text, _>(&row.arg)
            .bind::<diesel::sql_types::Integer, _>(row.max_retry_time)
            .bind::<diesel::sql_types::Timestamp, _>(row.create_time)
    }};
}
pub(super) use adding;

impl NewTaskRow {
    /// The row of a task that has passed its check.
    pub(crate) fn new(theme: &Arc<str>, mut task: NewTask, now: DateTime<Utc>) -> Self {
        let as_millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self {
            system_name: Arc::clone(theme),
            task_name: task.take_name(),
            service_name: task.service,
            method_name: task.method,
            arg: task.arg.unwrap_or_default(),
            max_retry_time: i32::try_from(task.max_retry).unwrap_or(i32::MAX),
            create_time: now.naive_utc(),
            priority: task.priority,
            run_at: task.run_at.filter(|at| *at > now).map(|at| at.naive_utc()),
            timeout_ms: task.timeout.map(as_millis),
            retry_delay_ms: task.retry_delay.map(as_millis),
            unique_key: task.unique_key,
        }
    }

    /// The service and the method that it calls.
    pub(crate) fn calls(&self) -> (&str, &str) {
        (&self.service_name, &self.method_name)
    }

    /// Whether it may be claimed by its insert: it is due, and no other task can be in its way.
    pub(crate) fn is_free(&self) -> bool {
        self.run_at.is_none() && self.unique_key.is_none()
    }

    /// The task that has become of it, if it was claimed by its insert.
    pub(super) fn claimed(&self, id: i64, token: i64, mark: &ClaimMark) -> ClaimedTask {
        let row = ClaimedRow {
            held: HeldRow {
                id: id.into(),
                service_name: AnyText(self.service_name.clone()),
                method_name: AnyText(self.method_name.clone()),
                retry_time: None,
                max_retry_time: Some(i64::from(self.max_retry_time).into()),
                priority: i64::from(self.priority).into(),
                timeout_ms: self.timeout_ms.map(Into::into),
                retry_delay_ms: self.retry_delay_ms.map(Into::into),
                lease_token: token.into(),
            },
            arg: Some(AnyText(self.arg.clone())),
            arg_bytes: None,
        };
        row.held(Arc::clone(&mark.node), Arc::clone(&mark.run), mark.now.and_utc())
    }

    /// Whether it wants nothing but the defaults of the columns that only some tasks need.
    pub(super) fn is_plain(&self) -> bool {
        let extras = [self.timeout_ms, self.retry_delay_ms];
        self.priority == 0 && self.run_at.is_none() && extras == [None, None] && self.unique_key.is_none()
    }
}

/// What is read of a claimed task beside its arguments, which may be long.
#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = asynctasks)]
pub(super) struct HeldRow {
    id: AnyInt,
    service_name: AnyText,
    method_name: AnyText,
    retry_time: Option<AnyInt>,
    max_retry_time: Option<AnyInt>,
    priority: AnyInt,
    timeout_ms: Option<AnyInt>,
    retry_delay_ms: Option<AnyInt>,
    lease_token: AnyInt,
}

/// What a claim reads of a task, in the order of its statements.
#[derive(Debug, Queryable)]
pub(super) struct ClaimedRow {
    held: HeldRow,
    /// `None` if it is longer than the claim takes along.
    arg: Option<AnyText>,
    arg_bytes: Option<AnyInt>,
}

/// The types of its columns.
pub(super) type ClaimedColumns<DB> = (
    SqlTypeOf<<HeldRow as Selectable<DB>>::SelectExpression>,
    Nullable<Text>,
    Nullable<BigInt>,
);

/// What the tasks of one claim have in common.
#[derive(Debug)]
pub(crate) struct ClaimMark {
    pub(super) node: Arc<str>,
    /// Of no other claim: each task's log id begins with it.
    pub(super) run: Arc<str>,
    pub(super) now: NaiveDateTime,
    /// Whether the claim leaves no arguments in the database, however long.
    pub(super) takes_all_args: bool,
}

impl ClaimMark {
    pub(super) fn new(node: &str, now: NaiveDateTime) -> Self {
        Self {
            node: node.into(),
            run: uuid::Uuid::now_v7().simple().to_string().into(),
            now,
            takes_all_args: false,
        }
    }

    /// What the log id of each of its tasks begins with.
    pub(crate) fn run(&self) -> Arc<str> {
        Arc::clone(&self.run)
    }

    /// The claimed task, with node, log id and time of the claim: the statements read none of these back, and most rows
    /// do not hold them yet.
    pub(super) fn task(&self, row: ClaimedRow) -> ClaimedTask {
        let log_id = format!("{}-{}", self.run, row.id());
        row.held(Arc::clone(&self.node), log_id.into(), self.now.and_utc())
    }
}

impl HeldRow {
    pub(super) fn id(&self) -> i64 {
        key(self.id)
    }

    pub(super) fn token(&self) -> i64 {
        key(self.lease_token)
    }

    pub(super) fn held(self, owner: Arc<str>, log_id: Arc<str>, claimed_at: DateTime<Utc>) -> ClaimedTask {
        ClaimedTask {
            id: key(self.id),
            service: self.service_name.0,
            method: self.method_name.0,
            args: Json::null(),
            left_out: None,
            retry_time: narrow(self.retry_time).unwrap_or(0).max(0),
            max_retry_time: narrow(self.max_retry_time).unwrap_or(DEFAULT_MAX_RETRY).max(0),
            priority: narrow(self.priority).unwrap_or(0),
            timeout: millis(self.timeout_ms).filter(|timeout| !timeout.is_zero()),
            retry_delay: millis(self.retry_delay_ms),
            owner,
            token: key(self.lease_token),
            log_id,
            claimed_at,
        }
    }
}

impl ClaimedRow {
    /// The row under the claim with this number, whether the claim has written the row or not.
    #[cfg(feature = "mysql")]
    pub(super) fn under(mut self, token: i64) -> Self {
        self.held.lease_token = token.into();
        self
    }

    pub(super) fn id(&self) -> i64 {
        key(self.held.id)
    }

    /// What the row has said of it before the claim.
    #[cfg(feature = "mysql")]
    pub(super) fn token(&self) -> i64 {
        key(self.held.lease_token)
    }

    pub(super) fn held(self, owner: Arc<str>, log_id: Arc<str>, claimed_at: DateTime<Utc>) -> ClaimedTask {
        let bytes = number(self.arg_bytes).and_then(|bytes| usize::try_from(bytes).ok());
        ClaimedTask {
            left_out: bytes.filter(|bytes| *bytes > 0 && self.arg.is_none()),
            args: Json::from_column(text(self.arg)),
            ..self.held.held(owner, log_id, claimed_at)
        }
    }
}

/// A task that a node holds: what it needs to run it, and what every later write about the run must name.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClaimedTask {
    /// The task.
    pub id: i64,
    /// The service to call.
    pub service: String,
    /// The method to call.
    pub method: String,
    /// The arguments.
    pub args: Json,
    /// How many bytes of arguments the claim has left in the database, to be read when the run begins.
    pub(crate) left_out: Option<usize>,
    /// Attempts used by failures before this one.
    pub retry_time: i32,
    /// How often it may be tried again.
    pub max_retry_time: i32,
    /// Higher runs first.
    pub priority: i32,
    /// The task's own limit for one run.
    pub timeout: Option<Duration>,
    /// The task's own first delay before a retry.
    pub retry_delay: Option<Duration>,
    /// The node that holds it.
    pub owner: Arc<str>,
    /// The number of its claim in `gaia_claims`: greater than that of any claim before.
    pub token: i64,
    /// Names this run in every log line about it. No two claims give the same one.
    pub log_id: Arc<str>,
    /// When it was claimed.
    pub claimed_at: DateTime<Utc>,
}

impl ClaimedTask {
    /// Whether a failure of this run would be the task's last.
    pub(crate) fn is_last_attempt(&self) -> bool {
        self.retry_time >= self.max_retry_time
    }

    pub(crate) fn key(&self) -> RunKey {
        RunKey {
            task_id: self.id,
            owner: Arc::clone(&self.owner),
            token: self.token,
            log_id: Arc::clone(&self.log_id),
        }
    }

    pub(crate) fn attempt(&self) -> Attempt {
        Attempt {
            retry_time: self.retry_time,
            max_retry_time: self.max_retry_time,
            retry_delay: self.retry_delay,
        }
    }
}

/// What names one run: every write about it must.
#[derive(Debug, Clone)]
pub(crate) struct RunKey {
    pub(crate) task_id: i64,
    /// The node that claimed the task.
    pub(crate) owner: Arc<str>,
    /// The number of the claim.
    pub(crate) token: i64,
    /// Tells two claims with one number apart: a claim that a crash of the database has undone, and the one after it.
    pub(crate) log_id: Arc<str>,
}

/// Number, node and mark of a claim. Only all three together name one: after a crash of the database a number may come again.
pub(super) type ClaimKey<'a> = (i64, &'a str, &'a str);

impl RunKey {
    /// The run of a task that a claim has unseen.
    pub(super) fn unseen(task_id: i64, node: &str, token: i64, mark: &str) -> Self {
        Self {
            task_id,
            owner: node.into(),
            token,
            log_id: format!("{mark}-{task_id}").into(),
        }
    }

    /// The claim, if it may have left the rows of its tasks alone: then the log id is made of its mark and the task.
    pub(super) fn claim(&self) -> Option<ClaimKey<'_>> {
        let (mark, task) = self.log_id.rsplit_once('-')?;
        (task.parse() == Ok(self.task_id)).then_some((self.token, &self.owner, mark))
    }
}

/// The end of one run, to be written if the run still holds its task.
#[derive(Debug, Clone)]
pub(crate) struct Finish {
    pub(crate) run: RunKey,
    pub(crate) attempt: i32,
    pub(crate) started_at: DateTime<Utc>,
    pub(crate) ended_at: DateTime<Utc>,
    pub(crate) duration: Duration,
    pub(crate) next: Next,
}

/// What the recorder writes in one transaction. An end whose [`Next`] leaves no record has none written, whatever else.
#[derive(Debug, Clone, Default)]
pub(crate) struct Writes {
    pub(crate) begins: Vec<Begin>,
    pub(crate) finishes: Vec<Finish>,
    pub(crate) progress: Vec<Progress>,
}

#[cfg(any(feature = "sqlite", feature = "mysql"))]
impl Writes {
    #[cfg(feature = "sqlite")]
    pub(super) fn rows(&self) -> usize {
        self.begins.len() + self.finishes.len() + self.progress.len()
    }

    /// The claims of the runs, as far as these may have their tasks unseen.
    pub(super) fn claims(&self) -> BTreeSet<ClaimKey<'_>> {
        let runs = self.finishes.iter().map(|finish| &finish.run);
        let runs = runs.chain(self.begins.iter().map(|begin| &begin.run));
        let runs = runs.chain(self.progress.iter().map(|report| &report.run));
        runs.filter_map(RunKey::claim).collect()
    }
}

/// What became of [`Writes`]: whether each beginning, and how each end, was written.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) begins: Vec<bool>,
    pub(crate) finishes: Vec<Finished>,
}

/// The row of a task is to say that its run goes on.
#[derive(Debug, Clone)]
pub(crate) struct Begin {
    pub(crate) run: RunKey,
    /// The handler of the task's last attempt is about to be called.
    pub(crate) is_last: bool,
}

/// What became of a [`Finish`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finished {
    /// Written; the task has this status now.
    Written(TaskStatus),
    /// The task is in other hands since: nothing was written.
    Stale,
}

impl Finish {
    /// The end of a run that nobody timed: it lasted from its claim until now.
    pub(crate) fn without_run(task: &ClaimedTask, outcome: Outcome, policy: RetryPolicy, now: DateTime<Utc>) -> Self {
        let spread = fastrand::f64() * 2.0 - 1.0;
        Self {
            run: task.key(),
            attempt: task.retry_time.saturating_add(1),
            next: next(task.attempt(), outcome, policy, now, spread),
            started_at: task.claimed_at,
            ended_at: now,
            duration: (now - task.claimed_at).to_std().unwrap_or_default(),
        }
    }

    /// Its result and its error text.
    pub(crate) fn texts(&self) -> Texts<'_> {
        Texts {
            result: self.next.result.as_deref(),
            error: self.next.error.as_deref(),
        }
    }

    /// The same end in this form, since the database refused the whole for this reason.
    pub(crate) fn in_form(&self, form: Form, reason: &str) -> Self {
        let (result, error) = self.texts().in_form(form, reason);
        Self {
            run: self.run.clone(),
            next: Next {
                result,
                error,
                record: self.next.record && form != Form::Apart,
                ..self.next
            },
            ..*self
        }
    }

    /// Whether the row of the task is to tell of this run: not if it is given back as if it had not been claimed.
    #[cfg(feature = "mysql")]
    pub(super) fn is_history(&self) -> bool {
        self.next.record || !self.next.requeues()
    }

    /// The end of the same run, if somebody has asked to cancel its task.
    pub(super) fn cancelled_instead(&self) -> Self {
        Self {
            next: self.next.clone().cancelled_instead(),
            ..self.clone()
        }
    }

    pub(super) fn duration_ms(&self) -> i64 {
        i64::try_from(self.duration.as_millis()).unwrap_or(i64::MAX)
    }
}

/// What a running task last said of its progress.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    pub(crate) run: RunKey,
    pub(crate) percent: i32,
    pub(crate) note: String,
}

impl Progress {
    /// The same report, its note in this form. No sentence: a note is not the place for it.
    pub(crate) fn in_form(&self, form: Form) -> Self {
        let note = Texts {
            result: Some(&self.note),
            error: None,
        };
        Self {
            run: self.run.clone(),
            note: note.in_form(form, "").0.unwrap_or_default(),
            ..*self
        }
    }
}

/// A process, as it writes its own row. The times there are the database's.
#[derive(Debug, Clone, Insertable)]
#[diesel(table_name = gaia_nodes)]
pub(crate) struct NodeRow {
    pub(crate) id: String,
    pub(crate) host: String,
    pub(crate) pid: i64,
    pub(crate) version: String,
    pub(crate) beat: i64,
    pub(crate) lease_ms: i64,
    pub(crate) themes: String,
    pub(crate) methods: Option<String>,
    /// [`PROTOCOL`].
    pub(crate) protocol: i32,
}

/// By which rules a node claims. The column has no default, and takes no earlier number: a node of a version before cannot make its row,
/// and a node without a row gets no task.
pub(crate) const PROTOCOL: i32 = 3;

#[derive(Queryable, Selectable)]
#[diesel(table_name = gaia_nodes)]
pub(super) struct SeenRow {
    id: AnyText,
    host: AnyText,
    pid: AnyInt,
    version: AnyText,
    beat: AnyInt,
    lease_ms: AnyInt,
    themes: AnyText,
    methods: Option<AnyText>,
    started_at: AnyTime,
    heartbeat: AnyTime,
}

/// A process as others see it, whatever has become of its row.
#[derive(Debug, Clone)]
pub(crate) struct SeenNode {
    pub(crate) id: String,
    pub(crate) host: String,
    pub(crate) pid: i64,
    pub(crate) version: String,
    /// `None`: not a number. A node that lives writes one with its next beat.
    pub(crate) beat: Option<i64>,
    pub(crate) lease: Duration,
    pub(crate) themes: String,
    pub(crate) methods: Option<String>,
    pub(crate) started_at: Option<DateTime<Utc>>,
    pub(crate) heartbeat: Option<DateTime<Utc>>,
}

/// That of a row that holds none: the default of the settings.
const DEFAULT_LEASE: Duration = Duration::from_secs(20);

impl From<SeenRow> for SeenNode {
    fn from(row: SeenRow) -> Self {
        Self {
            id: row.id.0,
            host: row.host.0,
            pid: number(row.pid).unwrap_or_default(),
            version: row.version.0,
            beat: number(row.beat),
            lease: millis(Some(row.lease_ms))
                .filter(|lease| !lease.is_zero())
                .unwrap_or(DEFAULT_LEASE),
            themes: row.themes.0,
            methods: text(row.methods),
            started_at: time(row.started_at),
            heartbeat: time(row.heartbeat),
        }
    }
}
