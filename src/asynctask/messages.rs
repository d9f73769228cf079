//! The operations of a [`Scheduler`] as messages to its address.

use std::{collections::BTreeMap, time::Duration};

use actix::{Actor, Context, Handler, Message, ResponseFuture};

use super::{CancelAnswer, Scheduler, SchedulerStatus};
use crate::{
    domain::{AddedTask, ExecRecord, ListTasks, NewTask, Page, PageRequest, Task, TaskStatus},
    error::{Error, operations},
};

impl Actor for Scheduler {
    type Context = Context<Self>;
}

/// Add a task: [`Scheduler::add_task`].
#[derive(Debug, Clone)]
pub struct AddTask(pub NewTask);

/// Add many tasks in one transaction: [`Scheduler::add_tasks`].
#[derive(Debug, Clone)]
pub struct AddTasks(pub Vec<NewTask>);

/// Add a task without waking any worker: [`Scheduler::receive_task`].
#[derive(Debug, Clone)]
pub struct ReceiveTask(pub NewTask);

/// Pick this task now: [`Scheduler::task_quick_queue`].
#[derive(Debug, Clone, Copy)]
pub struct TaskQuickQueue(pub i64);

/// One task: [`Scheduler::get_task_detail`].
#[derive(Debug, Clone, Copy)]
pub struct GetTaskDetail(pub i64);

/// The records of a task's runs: [`Scheduler::get_task_exec_records`].
#[derive(Debug, Clone, Copy)]
pub struct GetTaskExecRecords {
    /// The task.
    pub task_id: i64,
    /// Which page.
    pub page: PageRequest,
}

/// How many tasks have each status: [`Scheduler::count_by_status`].
#[derive(Debug, Clone, Copy)]
pub struct CountByStatus;

/// Answer when the task has come to an end: [`Scheduler::wait_for`].
#[derive(Debug, Clone, Copy)]
pub struct WaitFor {
    /// The task.
    pub task_id: i64,
    /// For how long at most.
    pub timeout: Duration,
}

/// Queue a finished task again: [`Scheduler::retry_task`].
#[derive(Debug, Clone, Copy)]
pub struct RetryTask(pub i64);

/// Cancel a task: [`Scheduler::cancel_task`].
#[derive(Debug, Clone, Copy)]
pub struct CancelTask(pub i64);

/// Take no tasks of the theme anywhere: [`Scheduler::pause`].
#[derive(Debug, Clone, Copy)]
pub struct PauseTheme;

/// Take tasks of the theme again: [`Scheduler::resume`].
#[derive(Debug, Clone, Copy)]
pub struct ResumeTheme;

/// Have this many workers in this process: [`Scheduler::resize_workers`].
#[derive(Debug, Clone, Copy)]
pub struct ResizeWorkers(pub usize);

/// Have this many workers in every process, or as many as each says for itself: [`Scheduler::resize_theme`].
#[derive(Debug, Clone, Copy)]
pub struct ResizeTheme(pub Option<usize>);

/// The counters of the theme in this process: [`Scheduler::status`].
#[derive(Debug, Clone, Copy)]
pub struct GetSchedulerStatus;

operations! {
    Scheduler:
    AddTask => |scheduler, AddTask(task)| scheduler.add_task(task).await, AddedTask;
    AddTasks => |scheduler, AddTasks(tasks)| scheduler.add_tasks(tasks).await, Vec<AddedTask>;
    ReceiveTask => |scheduler, ReceiveTask(task)| scheduler.receive_task(task).await, AddedTask;
    TaskQuickQueue => |scheduler, TaskQuickQueue(id)| { scheduler.task_quick_queue(id); Ok(()) }, ();
    ListTasks => |scheduler, list| scheduler.list_tasks(list).await, Page<Task>;
    GetTaskDetail => |scheduler, GetTaskDetail(id)| scheduler.get_task_detail(id).await, Task;
    GetTaskExecRecords => |scheduler, GetTaskExecRecords { task_id, page }|
        scheduler.get_task_exec_records(task_id, page).await, Page<ExecRecord>;
    CountByStatus => |scheduler, CountByStatus| scheduler.count_by_status().await, BTreeMap<TaskStatus, i64>;
    WaitFor => |scheduler, WaitFor { task_id, timeout }| scheduler.wait_for(task_id, timeout).await, Task;
    RetryTask => |scheduler, RetryTask(id)| scheduler.retry_task(id).await, ();
    CancelTask => |scheduler, CancelTask(id)| scheduler.cancel_task(id).await, CancelAnswer;
    PauseTheme => |scheduler, PauseTheme| scheduler.pause().await, ();
    ResumeTheme => |scheduler, ResumeTheme| scheduler.resume().await, ();
    ResizeWorkers => |scheduler, ResizeWorkers(workers)| scheduler.resize_workers(workers).await, ();
    ResizeTheme => |scheduler, ResizeTheme(workers)| scheduler.resize_theme(workers).await, ();
    GetSchedulerStatus => |scheduler, GetSchedulerStatus| scheduler.status().await, SchedulerStatus;
}
