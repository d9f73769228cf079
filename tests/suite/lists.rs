//! Lists of tasks: every condition, and what a browser sends.

use actix_web::web::Query;
use chrono::{DateTime, TimeDelta, Utc};
use gaia_actors::{CancelAnswer, JobType, admin::SearchTasks, async_fn, prelude::*};
use serde_json::{Value, json};

use crate::support::{Database, Gate, THEME, ended, eventually, options, refusal, task};

/// Tasks in all kinds of states.
struct Tasks {
    done: i64,
    failed: i64,
    runs: i64,
    waits: i64,
}

async fn tasks(demo: &Scheduler, gate: &Gate) -> Tasks {
    let add = async |task: NewTask| demo.add_task(task).await.expect("is added").id;
    let done = add(task("Noop").unique_key("order-1")).await;
    ended(demo, done).await;
    let failed = add(task("Fail").max_retry(0)).await;
    ended(demo, failed).await;
    let runs = add(task("Gate")).await;
    gate.entered(1).await;
    let waits = add(task("Noop").run_at(Utc::now() + TimeDelta::days(1))).await;
    Tasks {
        done,
        failed,
        runs,
        waits,
    }
}

async fn listed(demo: &Scheduler, filter: TaskFilter) -> Vec<i64> {
    let list = ListTasks {
        filter,
        ..ListTasks::default()
    };
    let page = demo.list_tasks(list).await.expect("lists");
    assert_eq!(usize::try_from(page.total), Ok(page.items.len()));
    page.items.iter().map(|task| task.id).collect()
}

#[actix_rt::test]
async fn a_list_takes_every_condition_of_a_search() {
    let database = Database::fresh();
    let gate = Gate::closed();
    let fail = async_fn(async |_, _: Value| Err::<(), _>(TaskError::failed("connection refused")));
    let gaia = database
        .builder()
        .handler("Demo", "Noop", async_fn(async |_, _: Value| Ok(())))
        .handler("Demo", "Fail", fail)
        .handler("Demo", "Gate", gate.handler())
        .scheduler(options())
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let Tasks {
        done,
        failed,
        runs,
        waits,
    } = tasks(&demo, &gate).await;
    // A task of another theme is in no list of this one.
    let other = gaia.scheduler("other").expect("is a theme");
    other
        .add_task(task("Noop").unique_key("order-1"))
        .await
        .expect("is added");

    let log_id = async |id| demo.get_task_detail(id).await.expect("is there").log_id;
    let node = demo.get_task_detail(runs).await.expect("is there").node;
    let end = demo.get_task_detail(failed).await.expect("is there").last_run_end_time;
    let all = TaskFilter::default;
    let text = |text: &str| Some(text.to_owned());
    let cases: [(&str, TaskFilter, &[i64]); 13] = [
        (
            "ids",
            TaskFilter {
                ids: vec![done, runs, 4_711],
                ..all()
            },
            &[runs, done],
        ),
        (
            "unique_key",
            TaskFilter {
                unique_key: text("order-1"),
                ..all()
            },
            &[done],
        ),
        (
            "error",
            TaskFilter {
                error_contains: text("refused"),
                ..all()
            },
            &[failed],
        ),
        (
            "no error",
            TaskFilter {
                error_contains: text("re_used"),
                ..all()
            },
            &[],
        ),
        (
            "ended",
            TaskFilter {
                ended_from: end,
                ..all()
            },
            &[failed],
        ),
        (
            "ended before",
            TaskFilter {
                ended_before: end,
                ..all()
            },
            &[done],
        ),
        (
            "node",
            TaskFilter {
                node: node.clone(),
                ..all()
            },
            &[runs],
        ),
        (
            "no node",
            TaskFilter {
                node: text("nobody"),
                ..all()
            },
            &[],
        ),
        (
            "without",
            TaskFilter {
                without_node: true,
                ..all()
            },
            &[waits, failed, done],
        ),
        (
            "log of an end",
            TaskFilter {
                log_id: log_id(failed).await,
                ..all()
            },
            &[failed],
        ),
        (
            "log of a run",
            TaskFilter {
                log_id: log_id(runs).await,
                ..all()
            },
            &[runs],
        ),
        (
            "log of nobody",
            TaskFilter {
                log_id: text("nobody-17"),
                ..all()
            },
            &[],
        ),
        (
            "statuses",
            TaskFilter {
                statuses: vec![TaskStatus::Running, TaskStatus::Failed],
                ..all()
            },
            &[runs, failed],
        ),
    ];
    for (name, filter, expected) in cases {
        assert_eq!(listed(&demo, filter.clone()).await, expected, "{name}");
        let filter = TaskFilter {
            themes: vec![THEME.to_owned()],
            ..filter
        };
        assert_eq!(listed(&demo, filter.clone()).await, expected, "{name}");
        let search = SearchTasks {
            filter,
            ..SearchTasks::default()
        };
        // On MySQL a search by the node finds a task that was claimed by its insert once the node has made a claim for it.
        eventually(name, async || {
            let found = gaia.admin().search_tasks(search.clone()).await.expect("searches").tasks;
            let found: Vec<i64> = found.iter().map(|task| task.id).collect();
            (found == expected).then_some(())
        })
        .await;
    }
    gate.let_pass(1);
    ended(&demo, runs).await;
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn faults_of_a_list_are_named_together() {
    let database = Database::fresh();
    let gaia = database.builder().start().await.expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let list = ListTasks {
        page: PageRequest::new(0, 1_001),
        filter: TaskFilter {
            themes: vec!["other".to_owned()],
            service: Some(String::new()),
            ..TaskFilter::default()
        },
    };
    let text = refusal(demo.list_tasks(list).await);
    for part in [
        "page is 0",
        "page_size is 1001",
        r#"the theme "other""#,
        "service is empty",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    gaia.stop().await.expect("stops");
}

fn sent(query: &str) -> Result<ListTasks, String> {
    let list = Query::<ListTasks>::from_query(query);
    list.map(Query::into_inner).map_err(|error| error.to_string())
}

#[test]
fn a_list_is_read_from_what_a_browser_sends() {
    assert_eq!(sent(""), Ok(ListTasks::default()));
    let form = "page=2&page_size=50&statuses=Wait&statuses=Retry&service=&method=&name_contains=%E8%AE%A2+50%25&ids=&created_from=\
                &ended_before=2026-01-31T08%3A00%3A00%2B08%3A00&without_node=false";
    let expected = ListTasks {
        page: PageRequest::new(2, 50),
        filter: TaskFilter {
            statuses: vec![TaskStatus::Wait, TaskStatus::Retry],
            name_contains: Some("订 50%".to_owned()),
            ended_before: DateTime::from_timestamp(1_769_817_600, 0),
            ..TaskFilter::default()
        },
    };
    assert_eq!(sent(form), Ok(expected));
    let ids = sent("ids=3,-1&ids=7&statuses=Failed,%20Cancelled&without_node=true").expect("is read");
    assert_eq!((ids.filter.ids, ids.filter.without_node), (vec![3, -1, 7], true));
    assert_eq!(ids.filter.statuses, [TaskStatus::Failed, TaskStatus::Cancelled]);
}

#[test]
fn every_fault_of_a_query_string_is_named() {
    let text = sent("pgae=2&page_size=many&statuses=Done,Wait&ids=x&service=a&service=b&ended_from=yesterday")
        .expect_err("is bad");
    for part in [
        r#"unknown parameter "pgae"; the nearest known is page"#,
        r#"page_size is "many""#,
        r#"unknown task status "Done""#,
        r#"ids is "x""#,
        "service is there 2 times",
        r#"ended_from is "yesterday", expected a time such as"#,
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    for bad in [
        "page=-1",
        "page=99999999999",
        "page=1&page=2",
        "without_node=maybe",
        "error=a&error_contains=b",
        "tehme=x",
        "statsues=",
    ] {
        sent(bad).expect_err(bad);
    }
    let of_the_api =
        sent("theme=x&status=Failed&status=Wait&id=7&name=order&error=&").expect("has the names of the API");
    assert_eq!(
        of_the_api.filter,
        sent("themes=x&statuses=Failed,Wait&ids=7&name_contains=order")
            .expect("has the names of the fields")
            .filter
    );
    for bad in [
        json!({ "pgae": null }),
        json!({ "foo": {} }),
        json!({ "foo": [] }),
        json!({ "foo": { "page": 3 } }),
        json!({ "ids": { "page": 3 } }),
    ] {
        serde_json::from_value::<ListTasks>(bad.clone()).expect_err(&bad.to_string());
    }
    let blank = json!({ "page": null, "service": "", "statuses": [] });
    let read: ListTasks = serde_json::from_value(blank).expect("is read");
    assert_eq!(read, ListTasks::default());
}

#[test]
fn a_list_is_the_same_after_its_way_through_json() {
    let list = ListTasks {
        page: PageRequest::new(3, 7),
        filter: TaskFilter {
            themes: vec![THEME.to_owned()],
            statuses: vec![TaskStatus::Failed],
            ids: vec![1, 2],
            error_contains: Some("a, \"b\"".to_owned()),
            created_from: DateTime::from_timestamp_micros(1_769_860_800_123_456),
            without_node: true,
            ..TaskFilter::default()
        },
    };
    let json = serde_json::to_value(&list).expect("is written");
    assert_eq!((&json["page"], &json["ids"]), (&json!(3), &json!([1, 2])));
    assert_eq!(serde_json::from_value::<ListTasks>(json).expect("is read"), list);
    let nested = json!({ "page": { "page": 3, "page_size": 7 }, "statuses": ["Failed"] });
    assert_eq!(
        serde_json::from_value::<ListTasks>(nested).expect("is read").page,
        list.page
    );
    let jobs: ListJobs =
        serde_json::from_value(json!({ "page": 2, "job_type": "cron_hook", "enabled": true })).expect("is read");
    assert_eq!(
        (jobs.page.page, jobs.job_type, jobs.enabled),
        (2, Some(JobType::CronHook), Some(true))
    );
    let json = serde_json::to_value(&jobs).expect("is written");
    assert_eq!(serde_json::from_value::<ListJobs>(json).expect("is read"), jobs);
}

#[actix_rt::test]
async fn tasks_of_any_theme_are_operated_by_their_ids_alone() {
    let database = Database::fresh();
    let gaia = database.builder().start().await.expect("starts");
    let admin = gaia.admin();
    let mut ids = Vec::new();
    for theme in ["a", "b"] {
        let scheduler = gaia.scheduler(theme).expect("is a theme");
        ids.push(scheduler.add_task(task("Noop")).await.expect("is added").id);
    }
    for id in ids {
        assert_eq!(admin.cancel_task(id).await.expect("waits"), CancelAnswer::Cancelled);
        assert_eq!(admin.task(id).await.expect("is there").status, TaskStatus::Cancelled);
        let text = refusal(admin.cancel_task(id).await);
        assert!(text.contains("it is Cancelled, and only"), "{text}");
        admin.retry_task(id).await.expect("is Cancelled");
        assert_eq!(admin.task(id).await.expect("is there").status, TaskStatus::Wait);
    }
    for refused in [
        refusal(admin.cancel_task(4_711).await),
        refusal(admin.retry_task(4_711).await),
    ] {
        assert!(refused.contains("4711"), "{refused}");
    }
    let themes = admin.themes().await.expect("are there");
    let themes: Vec<&str> = themes.iter().map(|theme| theme.theme.as_str()).collect();
    assert_eq!(themes, ["a", "b"]);
    gaia.stop().await.expect("stops");
}
