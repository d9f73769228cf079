//! Rows of tasks and of their records as the tables hold them, and their conversion into the values of the domain.

use diesel::{dsl::sql, expression::SqlLiteral, prelude::*, sql_types::Text};

use super::{
    claimed::{DEFAULT_MAX_RETRY, traceparent},
    held_claim::{HeldClaim, unseen_run},
};
use crate::{
    domain::{ExecRecord, Json, Task, TaskStatus},
    store::{
        lenient::{AnyInt, AnyText, AnyTime, is_set, key, millis, narrow, number, text, time},
        schema::{asynctask_exec_row, asynctasks},
    },
};

#[derive(Queryable, Selectable)]
#[diesel(table_name = asynctasks)]
pub(in crate::store) struct TaskRow {
    #[diesel(embed)]
    facts: TaskFacts,
    arg: Option<AnyText>,
    last_result: Option<AnyText>,
    last_err_msg: Option<AnyText>,
}

/// A task without its long texts.
#[derive(Queryable, Selectable)]
#[diesel(table_name = asynctasks)]
pub(in crate::store) struct TaskFacts {
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
    traceparent: Option<AnyText>,
    limit_key: Option<AnyText>,
    // The schema has as many columns as diesel's tables may have.
    #[diesel(select_expression = sql::<Text>("asynctasks.tenant_id"))]
    #[diesel(select_expression_type = SqlLiteral<Text>)]
    tenant_id: AnyText,
}

impl TaskRow {
    /// Whether the task may be unseen: its claim must be read to know that.
    pub(in crate::store) fn may_be_unseen(&self) -> bool {
        number(Some(self.facts.queued)) == Some(1)
    }

    /// The task, as Running if one of these claims holds it unseen.
    pub(in crate::store) fn task(self, claims: &[HeldClaim]) -> Task {
        let arg = Json::from_column(text(self.arg)).into_string();
        let facts = self.facts.seen(claims);
        facts.with(arg, text(self.last_result), text(self.last_err_msg))
    }
}

impl TaskFacts {
    /// The row as it would be if it named the claim that holds the task, in case the task is unseen.
    pub(in crate::store) fn seen(self, claims: &[HeldClaim]) -> Self {
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
    pub(in crate::store) fn listed(self, [arg, result, error]: [Option<AnyText>; 3]) -> Task {
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
            waits_for: None,
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
            traceparent: traceparent(self.traceparent),
            limit_key: text(self.limit_key),
            tenant_id: text(Some(self.tenant_id)).filter(|tenant| !tenant.is_empty()),
            create_time: time(self.create_time),
            update_time: time(self.update_time),
        }
    }
}

/// An unknown status, which another program has written, is shown as Failed: the task is not run, and can be retried by hand.
pub(in crate::store) fn status_of(text: Option<&str>) -> TaskStatus {
    text.and_then(|text| text.parse().ok()).unwrap_or(TaskStatus::Failed)
}

/// An execution record without its long texts.
#[derive(Queryable, Selectable)]
#[diesel(table_name = asynctask_exec_row)]
pub(in crate::store) struct RecordFacts {
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
    pub(in crate::store) fn listed(self, [result, error]: [Option<AnyText>; 2]) -> ExecRecord {
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
