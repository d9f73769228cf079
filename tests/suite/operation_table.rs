//! Operations by name, and values on their way through JSON.

use std::collections::BTreeSet;

use gaia_actors::{
    AddedTask, Admin, JobDetail, NodeInfo, Page, SchedulerStatus, StopReport, Task,
    operations::{Operation, OperationKind},
    prelude::*,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::support::{Database, PATIENCE, THEME, Tested, ended, options, refusal};

fn named<H: Clone>(table: &'static [Operation<H>], name: &str) -> &'static Operation<H> {
    let found = table.iter().find(|operation| operation.name == name);
    found.unwrap_or_else(|| panic!("no operation {name}"))
}

async fn run<H: Clone, A: DeserializeOwned>(
    table: &'static [Operation<H>],
    handle: &H,
    name: &str,
    message: Value,
) -> A {
    let answer = named(table, name).run(handle, &message.to_string()).await;
    serde_json::from_str(&answer.expect("answers")).expect("is an answer of this operation")
}

fn there_and_back<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T) -> String {
    let json = serde_json::to_string(value).expect("is written");
    let back: T = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {json}"));
    assert_eq!(back, *value);
    json
}

#[test]
fn each_table_names_each_operation_once() {
    fn names<H>(table: &[Operation<H>]) -> Vec<&'static str> {
        table.iter().map(|operation| operation.name).collect()
    }
    let [tasks, jobs, process, admin] = [
        names(Scheduler::OPERATIONS),
        names(Jobs::OPERATIONS),
        names(Gaia::OPERATIONS),
        names(Admin::OPERATIONS),
    ];
    for table in [&tasks, &jobs, &process, &admin] {
        assert_eq!(table.iter().collect::<BTreeSet<_>>().len(), table.len());
    }
    assert_eq!((tasks.len(), jobs.len(), process.len(), admin.len()), (25, 14, 4, 36));
    let reads: Vec<_> = Scheduler::OPERATIONS
        .iter()
        .filter(|operation| operation.kind == OperationKind::Read)
        .map(|operation| operation.name)
        .collect();
    assert_eq!(
        reads,
        [
            "list_tasks",
            "get_task_detail",
            "get_task_exec_records",
            "count_by_status",
            "wait_for",
            "waited_for",
            "predecessors",
            "status"
        ]
    );
}

#[actix_rt::test]
async fn operations_run_by_name_and_json() {
    let handler = gaia_actors::async_fn(async |_, args: Value| Ok(args));
    let builder = Gaia::builder().handler("Demo", "Echo", handler);
    let test = Tested::start(builder.scheduler(options()).jobs(JobsOptions::default())).await;
    let demo = test.scheduler(THEME).expect("is a theme");
    let tasks = Scheduler::OPERATIONS;
    let new = json!({ "service": "Demo", "method": "Echo", "args": { "order": 17 }, "timeout_ms": 60_000 });
    let added: AddedTask = run(tasks, &demo, "add_task", new).await;
    let wait = json!({ "task_id": added.id, "timeout_ms": u64::try_from(PATIENCE.as_millis()).expect("fits") });
    let task: Task = run(tasks, &demo, "wait_for", wait).await;
    assert_eq!(
        (task.status, task.last_result.as_deref()),
        (TaskStatus::Success, Some(r#"{"order":17}"#))
    );
    let page: Page<Task> = run(tasks, &demo, "list_tasks", json!({ "page": { "page_size": 5 } })).await;
    assert_eq!(page.items, [task]);
    let _: () = run(tasks, &demo, "resize_workers", json!(7)).await;
    let status: SchedulerStatus = run(tasks, &demo, "status", Value::Null).await;
    assert_eq!((status.all_workers, status.succeeded), (7, 1));

    let jobs = test.jobs();
    let id: i64 = run(
        Jobs::OPERATIONS,
        &jobs,
        "add_job",
        json!({ "job_name": "x", "job_type": "cron_job", "cron_expr": "@hourly", "service_name": "Demo", "service_method": "Echo" }),
    )
    .await;
    let _: () = run(
        Jobs::OPERATIONS,
        &jobs,
        "toggle_job",
        json!({ "id": id, "enabled": false }),
    )
    .await;
    let detail: JobDetail = run(Jobs::OPERATIONS, &jobs, "get_job_detail", json!(id)).await;
    assert!(!detail.job.enabled);
}

/// What does not fit is refused, and changes nothing.
#[actix_rt::test]
async fn messages_that_do_not_fit_are_refused() {
    let database = Database::fresh();
    let gaia = database.builder().start().await.expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    for (name, message, why) in [
        ("add_task", "{", "EOF"),
        ("add_task", r#"{"service": "Demo"}"#, "missing field `method`"),
        (
            "add_task",
            r#"{"service": "Demo", "method": "x", "prio": 1}"#,
            "unknown field `prio`",
        ),
        ("add_task", r#"{"service": "Demo", "method": ""}"#, "method"),
        ("retry_task", "9223372036854775808", "retry_task"),
        ("retry_task", r#""7""#, "invalid type"),
        ("resize_workers", "-1", "resize_workers"),
        (
            "list_tasks",
            r#"{"page": {"page": 1, "size": 3}}"#,
            r#"unknown parameter "size""#,
        ),
        (
            "list_tasks",
            r#"{"statuses": ["Done"]}"#,
            r#"unknown task status "Done""#,
        ),
        ("pause", "{}", "pause"),
    ] {
        let error = refusal(named(Scheduler::OPERATIONS, name).run(&demo, message).await);
        assert!(
            error.starts_with("invalid input: ") && error.contains(why),
            "{name} {message}: {error}"
        );
    }
    assert_eq!(database.number("SELECT COUNT(*) FROM asynctasks"), 0);
    gaia.stop().await.expect("stops");
}

/// Errors reach logs.
#[actix_rt::test]
async fn messages_that_do_not_fit_show_no_secret() {
    let database = Database::fresh();
    let gaia = database.builder().start().await.expect("starts");
    let add = named(Jobs::OPERATIONS, "add_job");
    for message in [
        r#"{"hook_secret": "whsec_c2VjcmV0", "job_nam": "x"}"#,
        r#"{"hook_headers": "Authorization: whsec_c2VjcmV0"}"#,
        r#"{"hook_secret": ["whsec_c2VjcmV0"]}"#,
    ] {
        let error = refusal(add.run(&gaia.jobs(), message).await);
        assert!(!error.contains("c2VjcmV0"), "{error}");
    }
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_job_that_was_read_can_be_changed_and_written_again() {
    let database = Database::fresh();
    let gaia = database.builder().start().await.expect("starts");
    let jobs = gaia.jobs();
    // No float could hold these numbers.
    let args = r#"{"z": 12345678901234567890123, "a": [1e400, "é"]}"#;
    let hook = NewJob::cron_hook("hook", "@daily", "http://localhost:1/x")
        .raw_args(args)
        .header("x-team", "data")
        .misfire_grace(std::time::Duration::from_secs(60));
    let id = jobs.add_job(hook).await.expect("is added");
    let bare = jobs
        .add_job(NewJob::cron_job("bare", "@daily", "Demo", "Echo"))
        .await
        .expect("is added");
    for id in [id, bare] {
        let before = jobs.get_job_detail(id).await.expect("is there");
        let json = there_and_back(&before);
        let changed: NewJob = serde_json::from_str(&json.replace("@daily", "@hourly")).expect("is a job");
        jobs.update_job(id, changed).await.expect("is written");
        let after = jobs.get_job_detail(id).await.expect("is there").job;
        assert_eq!(after.cron_expr, "@hourly");
        let mut expected = before.job;
        expected.cron_expr = "@hourly".to_owned();
        expected.version += 1;
        (expected.next_run_time, expected.update_time) = (after.next_run_time, after.update_time);
        assert_eq!(after, expected);
    }
    assert_eq!(
        jobs.get_job_detail(id).await.expect("is there").job.args.as_deref(),
        Some(args)
    );
    gaia.stop().await.expect("stops");
}

/// Plain SQL has written args that are no JSON: a program that reads and writes such a job must not make a JSON text of them.
#[actix_rt::test]
async fn args_that_are_no_json_come_as_text_and_are_refused_when_they_come_back() {
    let database = Database::fresh();
    let gaia = database.builder().start().await.expect("starts");
    let jobs = gaia.jobs();
    let id = jobs
        .add_job(NewJob::cron_job("x", "@daily", "Demo", "Echo"))
        .await
        .expect("is added");
    database.execute("UPDATE job_center SET args = 'date=auto'");
    let job = jobs.get_job_detail(id).await.expect("is there").job;
    let json = there_and_back(&job);
    let shown: Value = serde_json::from_str(&json).expect("is JSON");
    assert_eq!((shown.get("args"), &shown["args_text"]), (None, &json!("date=auto")));
    let again: NewJob = serde_json::from_str(&json).expect("is a job");
    there_and_back(&again);
    let error = refusal(jobs.update_job(id, again).await);
    assert!(error.contains("date=auto") || error.contains("JSON"), "{error}");
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn values_are_the_same_after_their_way_through_json() {
    let new = NewTask::new("Demo", "Fail")
        .args(&json!({ "order": 17 }))
        .name("订单")
        .max_retry(0)
        .priority(-3)
        .timeout(std::time::Duration::from_millis(1_500))
        .retry_delay(std::time::Duration::ZERO)
        .unique_key("order-17");
    there_and_back(&new);
    there_and_back(&NewTask::new("Demo", "Noop"));
    let job = NewJob::cron_job("x", "@daily", "Demo", "Echo")
        .without_secret()
        .max_retry(2);
    there_and_back(&job);
    let handler = gaia_actors::async_fn(async |_, _: Value| Err::<(), _>(TaskError::failed("no")));
    let builder = Gaia::builder()
        .handler("Demo", "Fail", handler)
        .jobs(JobsOptions::default());
    let test = Tested::start(builder.scheduler(options())).await;
    let demo = test.scheduler(THEME).expect("is a theme");
    let id = demo.add_task(new).await.expect("is added").id;
    there_and_back(&ended(&demo, id).await);
    there_and_back(
        &demo
            .get_task_exec_records(id, PageRequest::default())
            .await
            .expect("has some"),
    );
    there_and_back(&demo.status().await.expect("runs here"));
    let jobs = test.jobs();
    let id = jobs
        .add_job(NewJob::cron_job("x", "@daily", "Demo", "Fail"))
        .await
        .expect("is added");
    let run = jobs.execute_job_immediately(id).await.expect("runs");
    there_and_back(&run);
    there_and_back(&jobs.wait_for_run(run.id, PATIENCE).await.expect("ends"));
    there_and_back(&jobs.status().await.expect("answers"));
    let database = Database::fresh();
    let gaia = database.builder().start().await.expect("starts");
    let nodes: Vec<NodeInfo> = gaia.nodes().await.expect("answers");
    assert!(there_and_back(&nodes).contains(r#""lease_ms":20000"#));
    let report: StopReport = gaia.stop().await.expect("stops");
    there_and_back(&report);
}
