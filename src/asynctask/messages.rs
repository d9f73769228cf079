//! The operations of a [`Scheduler`] as messages to its address.

use std::{collections::BTreeMap, time::Duration};

use actix::{Actor, Context};
use serde::{Deserialize, Serialize};

use super::{CancelAnswer, Scheduler, SchedulerStatus};
use crate::{
    domain::{
        AddedBatch, AddedBatchOnce, AddedOnce, AddedTask, ExecRecord, ListTasks, NewTask, Page, PageRequest,
        Predecessor, Task, TaskStatus, WaitsFor, as_millis, millis,
    },
    error::Error,
    operations::operations,
};

impl Actor for Scheduler {
    type Context = Context<Self>;
}

/// Add a task: [`Scheduler::add_task`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AddTask(pub NewTask);

/// Add many tasks in one transaction: [`Scheduler::add_tasks`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AddTasks(pub Vec<NewTask>);

/// Add many tasks in one transaction, and only once: [`Scheduler::add_tasks_once`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddTasksOnce {
    /// By which a repeated call is known.
    pub key: String,
    /// The tasks.
    pub tasks: Vec<NewTask>,
}

/// Add a task without waking any worker: [`Scheduler::receive_task`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReceiveTask(pub NewTask);

/// Pick this task now: [`Scheduler::task_quick_queue`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct TaskQuickQueue(pub i64);

/// One task: [`Scheduler::get_task_detail`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct GetTaskDetail(pub i64);

/// The records of a task's runs: [`Scheduler::get_task_exec_records`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GetTaskExecRecords {
    /// The task.
    pub task_id: i64,
    /// Which page. JSON may leave it out: then the first.
    #[serde(default)]
    pub page: PageRequest,
}

/// Add tasks each of which waits for the one before it: [`Scheduler::add_chain`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AddChain(pub Vec<NewTask>);

/// Add a task that waits for others: [`Scheduler::add_after`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddAfter {
    /// The tasks for which it waits.
    pub after: Vec<i64>,
    /// The task.
    pub task: NewTask,
}

/// Add tasks, and a task that waits for all of them: [`Scheduler::add_batch`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddBatch {
    /// The tasks.
    pub tasks: Vec<NewTask>,
    /// The task that runs when they have ended.
    pub callback: NewTask,
}

/// Add a chain, and only once: [`Scheduler::add_chain_once`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddChainOnce {
    /// By which a repeated call is known.
    pub key: String,
    /// The tasks.
    pub tasks: Vec<NewTask>,
}

/// Add a task that waits for others, and only once: [`Scheduler::add_after_once`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddAfterOnce {
    /// By which a repeated call is known.
    pub key: String,
    /// The tasks for which it waits.
    pub after: Vec<i64>,
    /// The task.
    pub task: NewTask,
}

/// Add tasks, and a task that waits for all of them, and only once: [`Scheduler::add_batch_once`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddBatchOnce {
    /// By which a repeated call is known.
    pub key: String,
    /// The tasks.
    pub tasks: Vec<NewTask>,
    /// The task that runs when they have ended.
    pub callback: NewTask,
}

/// What a task waits for, or has waited for: [`Scheduler::waited_for`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct GetWaitedFor(pub i64);

/// The tasks for which a task has waited: [`Scheduler::predecessors`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GetPredecessors {
    /// The task.
    pub task_id: i64,
    /// Only those with greater ids. JSON may leave it out: then from the first on.
    #[serde(default)]
    pub after: i64,
}

/// How many tasks have each status: [`Scheduler::count_by_status`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct CountByStatus;

/// Answer when the task has come to an end: [`Scheduler::wait_for`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaitFor {
    /// The task.
    pub task_id: i64,
    /// For how long at most. Serialised as `timeout_ms`.
    #[serde(rename = "timeout_ms", serialize_with = "as_millis", deserialize_with = "millis")]
    pub timeout: Duration,
}

/// Queue a finished task again: [`Scheduler::retry_task`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct RetryTask(pub i64);

/// Cancel a task: [`Scheduler::cancel_task`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct CancelTask(pub i64);

/// Take no tasks of the theme anywhere: [`Scheduler::pause`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct PauseTheme;

/// Take tasks of the theme again: [`Scheduler::resume`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct ResumeTheme;

/// Have this many workers in this process: [`Scheduler::resize_workers`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct ResizeWorkers(pub usize);

/// Have this many workers in every process, or as many as each says for itself: [`Scheduler::resize_theme`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct ResizeTheme(pub Option<usize>);

/// The counters of the theme in this process: [`Scheduler::status`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct GetSchedulerStatus;

operations! {
    Scheduler:
    Change add_task(AddTask) => |scheduler, AddTask(task)| scheduler.add_task(task).await, AddedTask;
    Change add_tasks(AddTasks) => |scheduler, AddTasks(tasks)| scheduler.add_tasks(tasks).await, Vec<AddedTask>;
    Change add_tasks_once(AddTasksOnce) => |scheduler, AddTasksOnce { key, tasks }|
        scheduler.add_tasks_once(&key, tasks).await, AddedOnce;
    Change add_chain(AddChain) => |scheduler, AddChain(tasks)| scheduler.add_chain(tasks).await, Vec<AddedTask>;
    Change add_after(AddAfter) => |scheduler, AddAfter { after, task }| scheduler.add_after(after, task).await, AddedTask;
    Change add_batch(AddBatch) => |scheduler, AddBatch { tasks, callback }| scheduler.add_batch(tasks, callback).await, AddedBatch;
    Change add_chain_once(AddChainOnce) => |scheduler, AddChainOnce { key, tasks }|
        scheduler.add_chain_once(&key, tasks).await, AddedOnce;
    Change add_after_once(AddAfterOnce) => |scheduler, AddAfterOnce { key, after, task }|
        scheduler.add_after_once(&key, after, task).await, AddedOnce;
    Change add_batch_once(AddBatchOnce) => |scheduler, AddBatchOnce { key, tasks, callback }|
        scheduler.add_batch_once(&key, tasks, callback).await, AddedBatchOnce;
    Change receive_task(ReceiveTask) => |scheduler, ReceiveTask(task)| scheduler.receive_task(task).await, AddedTask;
    Change task_quick_queue(TaskQuickQueue) => |scheduler, TaskQuickQueue(id)| { scheduler.task_quick_queue(id); Ok(()) }, ();
    Read list_tasks(ListTasks) => |scheduler, list| scheduler.list_tasks(list).await, Page<Task>;
    Read get_task_detail(GetTaskDetail) => |scheduler, GetTaskDetail(id)| scheduler.get_task_detail(id).await, Task;
    Read get_task_exec_records(GetTaskExecRecords) => |scheduler, GetTaskExecRecords { task_id, page }|
        scheduler.get_task_exec_records(task_id, page).await, Page<ExecRecord>;
    Read count_by_status(CountByStatus) => |scheduler, CountByStatus| scheduler.count_by_status().await, BTreeMap<TaskStatus, i64>;
    Read wait_for(WaitFor) => |scheduler, WaitFor { task_id, timeout }| scheduler.wait_for(task_id, timeout).await, Task;
    Read waited_for(GetWaitedFor) => |scheduler, GetWaitedFor(id)| scheduler.waited_for(id).await, Option<WaitsFor>;
    Read predecessors(GetPredecessors) => |scheduler, GetPredecessors { task_id, after }|
        scheduler.predecessors(task_id, after).await, Vec<Predecessor>;
    Change retry_task(RetryTask) => |scheduler, RetryTask(id)| scheduler.retry_task(id).await, ();
    Change cancel_task(CancelTask) => |scheduler, CancelTask(id)| scheduler.cancel_task(id).await, CancelAnswer;
    Change pause(PauseTheme) => |scheduler, PauseTheme| scheduler.pause().await, ();
    Change resume(ResumeTheme) => |scheduler, ResumeTheme| scheduler.resume().await, ();
    Change resize_workers(ResizeWorkers) => |scheduler, ResizeWorkers(workers)| scheduler.resize_workers(workers).await, ();
    Change resize_theme(ResizeTheme) => |scheduler, ResizeTheme(workers)| scheduler.resize_theme(workers).await, ();
    Read status(GetSchedulerStatus) => |scheduler, GetSchedulerStatus| scheduler.status().await, SchedulerStatus;
}
