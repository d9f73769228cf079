//! The conditions of a filter that the row of a task alone decides, for looks at many tasks.

/// The condition that a task has one of the filter's statuses by its row. A status that this crate does not know counts as Failed.
macro_rules! status_is_named {
    ($filter:expr) => {{
        let statuses: Vec<&str> = $filter.statuses.iter().map(|status| status.as_str()).collect();
        let known = TaskStatus::ALL.map(TaskStatus::as_str);
        let is_unknown = asynctasks::task_status
            .is_null()
            .or(asynctasks::task_status.ne_all(known).assume_not_null());
        let unknown_counts = match $filter.statuses.contains(&TaskStatus::Failed) {
            true => "1 = 1",
            false => "1 = 0",
        };
        asynctasks::task_status
            .eq_any(statuses)
            .assume_not_null()
            .or(sql::<Bool>(unknown_counts).and(is_unknown))
    }};
}
pub(super) use status_is_named;

/// A boxed query, limited to the tasks that meet the filter's conditions of texts and times. `$log_id`: the log id that their rows, or the
/// records of their runs, must have.
macro_rules! by_texts_and_times {
    ($query:expr, $filter:expr, $log_id:expr) => {{
        let filter: &TaskFilter = $filter;
        let mut query = $query;
        if let Some(service) = &filter.service {
            query = query.filter(asynctasks::service_name.eq(service));
        }
        if let Some(method) = &filter.method {
            query = query.filter(asynctasks::method_name.eq(method));
        }
        if let Some(name) = &filter.name_contains {
            query = query.filter(asynctasks::task_name.like(containing(name)).escape('\\'));
        }
        if let Some(error) = &filter.error_contains {
            query = query.filter(asynctasks::last_err_msg.like(containing(error)).escape('\\'));
        }
        if let Some(key) = &filter.unique_key {
            query = query.filter(asynctasks::unique_key.eq(key));
        }
        if let Some(key) = &filter.limit_key {
            query = query.filter(asynctasks::limit_key.eq(key));
        }
        if let Some(log_id) = $log_id {
            let earlier = asynctask_exec_row::table
                .filter(asynctask_exec_row::task_id.eq(asynctasks::id))
                .filter(asynctask_exec_row::log_id.eq(log_id));
            let last = asynctasks::log_id.eq(log_id).assume_not_null();
            query = query.filter(last.or(diesel::dsl::exists(earlier)));
        }
        if let Some(from) = filter.created_from {
            query = query.filter(asynctasks::create_time.ge($crate::store::time::StoredTime::from(from)));
        }
        if let Some(before) = filter.created_before {
            query = query.filter(asynctasks::create_time.lt($crate::store::time::StoredTime::from(before)));
        }
        if let Some(from) = filter.ended_from {
            query = query.filter(asynctasks::last_run_end_time.ge($crate::store::time::StoredTime::from(from)));
        }
        if let Some(before) = filter.ended_before {
            query = query.filter(asynctasks::last_run_end_time.lt($crate::store::time::StoredTime::from(before)));
        }
        query
    }};
}
pub(super) use by_texts_and_times;
