//! The operations of [`Admin`] as messages to its address, and by their names.

use actix::{Actor, Context};

use super::{
    Admin, AuditEntry, BulkOperation, BulkPreview, BulkTasks, CancelBulk, CancelTaskById, CountTasks, DeleteTask,
    EndAudit, ExportTasks, ExportedTasks, FindJobs, FindRuns, FoundJobs, FoundRuns, FoundTasks, GetBulkOperation,
    GetErrors, GetHistory, GetLimits, GetMethods, GetNode, GetRun, GetRunLog, GetTask, GetTaskLog, GetTheme, GetThemes,
    History, JobBegun, ListAlerts, ListAudit, ListBulkOperations, MethodInfo, MethodLimit, NewAudit, OpenAlert,
    PauseTheme, PreviewBulk, RemoveLimit, ResizeNode, ResizeTheme, ResumeTheme, RetryTaskById, RunJob, RunTaskNow,
    SearchTasks, SetLimit, TaskCount, TaskErrors, ThemeInfo,
};
use crate::{
    asynctask::CancelAnswer,
    domain::{JobRecord, Task},
    error::Error,
    logs::RunLog,
    node::NodeDetail,
    operations::operations,
};

impl Actor for Admin {
    type Context = Context<Self>;
}

operations! {
    Admin:
    Read search_tasks(SearchTasks) => |admin, search| admin.search_tasks(search).await, FoundTasks;
    Read count_tasks(CountTasks) => |admin, count| admin.count_tasks(count.filter, count.up_to).await, TaskCount;
    Read export_tasks(ExportTasks) => |admin, ExportTasks(search)| admin.export_tasks(search).await, ExportedTasks;
    Read errors(GetErrors) => |admin, get| admin.errors(get).await, TaskErrors;
    Read task(GetTask) => |admin, GetTask(id)| admin.task(id).await, Task;
    Change retry_task(RetryTaskById) => |admin, RetryTaskById(id)| admin.retry_task(id).await, ();
    Change cancel_task(CancelTaskById) => |admin, CancelTaskById(id)| admin.cancel_task(id).await, CancelAnswer;
    Change run_task_now(RunTaskNow) => |admin, RunTaskNow(id)| admin.run_task_now(id).await, ();
    Change delete_task(DeleteTask) => |admin, DeleteTask(id)| admin.delete_task(id).await, ();
    Read history(GetHistory) => |admin, get| admin.history(get).await, History;
    Change bulk_tasks(BulkTasks) => |admin, bulk| admin.bulk_tasks(bulk).await, BulkOperation;
    Read preview_bulk(PreviewBulk) => |admin, PreviewBulk(bulk)| admin.preview_bulk(bulk).await, BulkPreview;
    Read bulk_operation(GetBulkOperation) => |admin, GetBulkOperation(id)| admin.bulk_operation(id).await, BulkOperation;
    Read bulk_operations(ListBulkOperations) => |admin, list| admin.bulk_operations(list).await, Vec<BulkOperation>;
    Change cancel_bulk(CancelBulk) => |admin, CancelBulk(id)| admin.cancel_bulk(id).await, BulkOperation;
    Read node(GetNode) => |admin, GetNode(id)| admin.node(&id).await, NodeDetail;
    Read methods(GetMethods) => |admin, get| admin.methods(get).await, Vec<MethodInfo>;
    Read themes(GetThemes) => |admin, GetThemes| admin.themes().await, Vec<ThemeInfo>;
    Read theme(GetTheme) => |admin, GetTheme(theme)| admin.theme(&theme).await, ThemeInfo;
    Read find_jobs(FindJobs) => |admin, find| admin.find_jobs(find).await, FoundJobs;
    Read find_runs(FindRuns) => |admin, find| admin.find_runs(find).await, FoundRuns;
    Read run(GetRun) => |admin, GetRun(id)| admin.run(id).await, JobRecord;
    Read task_log(GetTaskLog) => |admin, get| admin.task_log(get).await, RunLog;
    Read run_log(GetRunLog) => |admin, GetRunLog(id)| admin.run_log(id).await, RunLog;
    Change run_job(RunJob) => |admin, run| admin.run_job(run).await, JobBegun;
    Change resize_node(ResizeNode) => |admin, resize| admin.resize_node(resize).await, ();
    Change pause_theme(PauseTheme) => |admin, pause| admin.pause_theme(pause).await, ();
    Change resume_theme(ResumeTheme) => |admin, resume| admin.resume_theme(resume).await, ();
    Change resize_theme(ResizeTheme) => |admin, resize| admin.resize_theme(resize).await, ();
    Read limits(GetLimits) => |admin, GetLimits| admin.limits().await, Vec<MethodLimit>;
    Change set_limit(SetLimit) => |admin, set| admin.set_limit(set).await, ();
    Change remove_limit(RemoveLimit) => |admin, remove| admin.remove_limit(remove).await, bool;
    Read alerts(ListAlerts) => |admin, list| admin.alerts(list).await, Vec<OpenAlert>;
    Read audit(ListAudit) => |admin, list| admin.audit(list).await, Vec<AuditEntry>;
    Change begin_audit(NewAudit) => |admin, audit| admin.begin_audit(audit).await, i64;
    Change end_audit(EndAudit) => |admin, end| admin.end_audit(end).await, bool;
}
