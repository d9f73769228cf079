//! The tasks that a claim is to take, and the tasks that it has taken.

use std::{borrow::Cow, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{
    dsl::SqlTypeOf,
    prelude::*,
    sql_types::{BigInt, Nullable, Text},
};

use super::{new_row::NewTaskRow, run_key::RunKey};
use crate::{
    domain::{Json, RetryState, is_traceparent},
    store::{
        lenient::{AnyInt, AnyText, AnyTime, key, millis, narrow, number, text, time},
        schema::asynctasks,
        time::StoredTime,
    },
};

/// The number of retries if the row holds none: the Go framework's default.
pub(in crate::store) const DEFAULT_MAX_RETRY: i32 = 3;

/// The most scheduled tasks that one claim moves to the due ones, so that its transaction stays short.
pub(in crate::store) const MAX_PROMOTED_PER_CLAIM: i64 = 1_000;

/// A method whose tasks may be claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The service.
    pub service: String,
    /// The method.
    pub method: String,
    /// How many tasks of this method alone would fill the claim. Each task of it takes up 1 / `most` of the claim, so that a claim takes
    /// fewer tasks of a slow method than of a quick one.
    pub most: usize,
    /// The claim takes no more than this of the method, whatever else it takes, and says how many due tasks it has left for that
    /// ([`Claimed::left`]). `None`: no limit of its own.
    pub at_most: Option<usize>,
}

/// What to claim.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The theme whose tasks are wanted.
    pub theme: String,
    /// The node that will hold the tasks. It must have a row in `gaia_nodes`: a node that others have declared dead gets
    /// nothing until it has registered again. It must not be the node of a running [`Gaia`](crate::Gaia), which would give back tasks that
    /// its process does not run.
    pub node: String,
    /// At most this many, highest priority first, oldest first.
    pub limit: usize,
    /// Claim these tasks before all others, if they wait and are due.
    pub first: Vec<i64>,
    /// Only tasks of these methods; `None`: of all. Tasks of other methods cost the claim nothing.
    pub methods: Option<Arc<[Wanted]>>,
    /// Only tasks with a higher priority than this one.
    pub above: Option<i32>,
}

/// The most bytes of arguments that one claim reads, approximately.
pub(in crate::store) const MAX_ARGS_PER_CLAIM: usize = 16 << 20;

/// A claim always reads arguments of up to so many bytes: to read them later would cost more than to hold them in memory.
const SHORT_ARGS: usize = 4 << 10;

/// A claim never reads longer arguments, except [`TaskStore::claim`](crate::store::TaskStore::claim), which reads all.
const LONG_ARGS: usize = 1 << 20;

impl Claim {
    /// The methods that the claim takes. A claim of all methods has a single one, whose names are empty.
    pub(in crate::store) fn wanted(&self) -> Cow<'_, [Wanted]> {
        match &self.methods {
            Some(methods) => Cow::Borrowed(methods),
            None => Cow::Owned(vec![Wanted {
                service: String::new(),
                method: String::new(),
                most: self.limit,
                at_most: None,
            }]),
        }
    }

    /// The claim takes only tasks with a higher priority than this.
    pub(in crate::store) fn above(&self) -> i64 {
        self.above.map_or(i64::MIN, i64::from)
    }

    /// Arguments with more bytes stay in the database until the run of their task begins, so that a claim of many tasks does not need too much
    /// memory.
    pub(in crate::store) fn arg_limit(&self, claim_id: &ClaimId) -> i64 {
        if claim_id.takes_all_args {
            return i64::MAX;
        }
        let bytes = (MAX_ARGS_PER_CLAIM / self.limit.max(1)).clamp(SHORT_ARGS, LONG_ARGS);
        i64::try_from(bytes).unwrap_or(i64::MAX)
    }
}

/// The answer to a claim.
#[derive(Debug, Default)]
pub struct Claimed {
    /// The tasks. The node holds them now, and they count as Running, although the rows of most of them do not say so yet.
    pub tasks: Vec<ClaimedTask>,
    /// When the next waiting task of the theme becomes due; `None` if none is scheduled.
    pub next_due: Option<DateTime<Utc>>,
    /// Whether due tasks were passed over because another session holds locks on them.
    pub passed_over: bool,
    /// Whether more tasks are due, which the claim left because their methods had filled it.
    pub more: bool,
    /// How many due tasks it has left because of [`Wanted::at_most`], as far as it has looked: the indexes of the methods in the claim, and the
    /// numbers of their tasks.
    pub left: Vec<(usize, usize)>,
}

/// The columns that are read of a task that a node holds, without its arguments, which may be long.
#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = asynctasks)]
pub(in crate::store) struct HeldRow {
    id: AnyInt,
    service_name: AnyText,
    method_name: AnyText,
    retry_time: Option<AnyInt>,
    max_retry_time: Option<AnyInt>,
    priority: AnyInt,
    timeout_ms: Option<AnyInt>,
    retry_delay_ms: Option<AnyInt>,
    update_time: Option<AnyTime>,
    traceparent: Option<AnyText>,
    lease_token: AnyInt,
}

/// The columns of [`HeldRow`] between its id and its lease token, for statements that are written as text.
macro_rules! held_columns {
    () => {
        "service_name, method_name, retry_time, max_retry_time, priority, timeout_ms, retry_delay_ms, update_time, traceparent"
    };
}
pub(in crate::store) use held_columns;

/// What a claim reads of a task, in the order of its statements.
#[derive(Debug, Queryable)]
pub(in crate::store) struct ClaimedRow {
    held: HeldRow,
    /// `None` if the arguments are longer than the claim reads.
    arg: Option<AnyText>,
    arg_bytes: Option<AnyInt>,
}

/// The types of its columns.
pub(in crate::store) type ClaimedColumns<DB> = (
    SqlTypeOf<<HeldRow as Selectable<DB>>::SelectExpression>,
    Nullable<Text>,
    Nullable<BigInt>,
);

/// What names a claim before the database has given it an id, and what its tasks have in common.
#[derive(Debug)]
pub(crate) struct ClaimId {
    pub(in crate::store) node: Arc<str>,
    /// A text that no other claim has: the log id of each of its tasks begins with it.
    pub(in crate::store) mark: Arc<str>,
    pub(in crate::store) now: StoredTime,
    /// Whether the claim reads all arguments, however long.
    pub(in crate::store) takes_all_args: bool,
}

impl ClaimId {
    pub(in crate::store) fn new(node: &str, now: StoredTime) -> Self {
        Self {
            node: node.into(),
            mark: uuid::Uuid::now_v7().simple().to_string().into(),
            now,
            takes_all_args: false,
        }
    }

    /// The text with which the log id of each of its tasks begins.
    pub(crate) fn mark(&self) -> Arc<str> {
        Arc::clone(&self.mark)
    }

    /// Builds the claimed task from a row that was inserted and claimed in one statement.
    pub(in crate::store) fn task_of_insert(&self, row: &NewTaskRow, id: i64, token: i64) -> ClaimedTask {
        let claimed = ClaimedRow {
            held: HeldRow {
                id: id.into(),
                service_name: AnyText(row.service_name.clone()),
                method_name: AnyText(row.method_name.clone()),
                retry_time: None,
                max_retry_time: Some(i64::from(row.max_retry_time).into()),
                priority: i64::from(row.priority).into(),
                timeout_ms: row.timeout_ms.map(Into::into),
                retry_delay_ms: row.retry_delay_ms.map(Into::into),
                update_time: None,
                traceparent: row.traceparent.clone().map(AnyText),
                lease_token: token.into(),
            },
            arg: Some(AnyText(row.arg.clone())),
            arg_bytes: None,
        };
        claimed.into_task(Arc::clone(&self.node), Arc::clone(&self.mark), self.now.utc())
    }

    /// Builds the claimed task from its row, with node, log id and time of the claim: the statements do not read these, since most rows
    /// do not hold them yet.
    pub(in crate::store) fn task(&self, row: ClaimedRow) -> ClaimedTask {
        let log_id = format!("{}-{}", self.mark, row.id());
        row.into_task(Arc::clone(&self.node), log_id.into(), self.now.utc())
    }
}

/// The text of the column. Other programs may have written anything: what is no `traceparent` counts as none.
pub(in crate::store) fn traceparent(column: Option<AnyText>) -> Option<String> {
    text(column).filter(|text| is_traceparent(text))
}

impl HeldRow {
    pub(in crate::store) fn id(&self) -> i64 {
        key(self.id)
    }

    pub(in crate::store) fn token(&self) -> i64 {
        key(self.lease_token)
    }

    pub(in crate::store) fn into_task(
        self,
        owner: Arc<str>,
        log_id: Arc<str>,
        claimed_at: DateTime<Utc>,
    ) -> ClaimedTask {
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
            traceparent: traceparent(self.traceparent).map(Into::into),
            owner,
            token: key(self.lease_token),
            log_id,
            due_at: time(self.update_time).map_or(claimed_at, |at| at.min(claimed_at)),
            claimed_at,
        }
    }
}

impl ClaimedRow {
    /// Sets the lease token: MySQL reads the row before the claim writes it, if the claim writes it at all.
    #[cfg(feature = "mysql")]
    pub(in crate::store) fn with_token(mut self, token: i64) -> Self {
        self.held.lease_token = token.into();
        self
    }

    pub(in crate::store) fn id(&self) -> i64 {
        key(self.held.id)
    }

    /// The lease token that the row had before this claim.
    #[cfg(feature = "mysql")]
    pub(in crate::store) fn token(&self) -> i64 {
        key(self.held.lease_token)
    }

    pub(in crate::store) fn into_task(
        self,
        owner: Arc<str>,
        log_id: Arc<str>,
        claimed_at: DateTime<Utc>,
    ) -> ClaimedTask {
        let bytes = number(self.arg_bytes).and_then(|bytes| usize::try_from(bytes).ok());
        ClaimedTask {
            left_out: bytes.filter(|bytes| *bytes > 0 && self.arg.is_none()),
            args: Json::from_column(text(self.arg)),
            ..self.held.into_task(owner, log_id, claimed_at)
        }
    }
}

/// A task that a node holds: with everything that the node needs to run it, and with the names that every later write about the run must
/// give.
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
    /// The trace to which it belongs, and the span that has caused it.
    pub traceparent: Option<Arc<str>>,
    /// The node that holds it.
    pub owner: Arc<str>,
    /// The lease token: the id of its claim in `gaia_claims`, greater than the ids of all claims before. A task that MySQL has claimed by its
    /// insert has the token 1, and at first no row in `gaia_claims`.
    pub token: i64,
    /// Names this run in every log line about it. No two claims give the same one.
    pub log_id: Arc<str>,
    /// Since when it waited: when it was added, came due, or went back to the queue, by the `update_time` of its row. An `UPDATE` of the
    /// waiting row by plain SQL counts, too.
    pub due_at: DateTime<Utc>,
    /// When it was claimed.
    pub claimed_at: DateTime<Utc>,
}

impl ClaimedTask {
    /// Whether a failure of this run would be the task's last.
    pub(crate) fn is_last_attempt(&self) -> bool {
        self.retry_time >= self.max_retry_time
    }

    /// When the run is out of time by the timeout of its task.
    pub(crate) fn deadline(&self) -> Option<DateTime<Utc>> {
        let timeout = TimeDelta::from_std(self.timeout?).ok()?;
        self.claimed_at.checked_add_signed(timeout)
    }

    pub(crate) fn key(&self) -> RunKey {
        RunKey {
            task_id: self.id,
            owner: Arc::clone(&self.owner),
            token: self.token,
            log_id: Arc::clone(&self.log_id),
        }
    }

    /// Id, node and mark of the claim that has the task.
    pub(crate) fn claim(&self) -> Option<(i64, String, String)> {
        let key = self.key();
        let (token, node, mark) = key.claim()?;
        Some((token, node.to_owned(), mark.to_owned()))
    }

    pub(crate) fn retry_state(&self) -> RetryState {
        RetryState {
            retry_time: self.retry_time,
            max_retry_time: self.max_retry_time,
            retry_delay: self.retry_delay,
        }
    }
}
