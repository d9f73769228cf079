//! Adding, looking, cancelling, retrying: the guide's operations as methods and as messages.

use std::time::Duration;

use gaia_actors::{
    CancelAnswer, Error, async_fn,
    messages::{
        AddTasks, CountByStatus, GetAllSchedulerStatus, GetSchedulerStatus, GetTaskDetail, GetTaskExecRecords,
        PauseTheme, ReceiveTask, ResumeTheme, RetryTask, TaskQuickQueue, WaitFor,
    },
    prelude::*,
};
use serde_json::{Value, json};

use crate::support::{Database, Gate, PATIENCE, THEME, Tested, ended, options, refusal, task, total};

async fn client() -> (Tested, Scheduler) {
    let gaia = Tested::start(Gaia::builder()).await;
    let scheduler = gaia.scheduler(THEME).expect("is a theme");
    (gaia, scheduler)
}

fn noop() -> gaia_actors::Endpoint {
    async_fn(async |_, _: Value| Ok("done"))
}

#[actix_rt::test]
async fn a_task_comes_back_as_it_was_added() {
    let (gaia, demo) = client().await;
    let at = gaia.now() + chrono::TimeDelta::hours(1);
    let added = demo
        .add_task(
            task("Noop")
                .name("创建订单 🚀")
                .args(&json!({"n": 1}))
                .max_retry(7)
                .priority(-3)
                .run_at(at)
                .timeout(Duration::from_millis(1_500))
                .unique_key("k"),
        )
        .await
        .expect("is added");
    let task = demo.get_task_detail(added.id).await.expect("is there");
    assert_eq!(task.theme, THEME);
    assert_eq!((task.service.as_str(), task.method.as_str()), ("Demo", "Noop"));
    assert_eq!(task.name, "创建订单 🚀");
    assert_eq!(task.arg, r#"{"n":1}"#);
    assert_eq!(task.status, TaskStatus::Wait);
    assert_eq!((task.max_retry_time, task.retry_time, task.priority), (7, 0, -3));
    assert_eq!(task.run_at, Some(at));
    assert_eq!(task.timeout, Some(Duration::from_millis(1_500)));
    assert_eq!(task.unique_key.as_deref(), Some("k"));
    assert_eq!(task.create_time, Some(gaia.now()));
}

#[actix_rt::test]
async fn every_fault_of_a_bad_task_is_named_and_nothing_is_stored() {
    let (_gaia, demo) = client().await;
    let long = "ä".repeat(256);
    let text = refusal(
        demo.add_task(
            NewTask::new("", &long)
                .name("a\0b")
                .raw_args("{not json")
                .max_retry(-1)
                .timeout(Duration::ZERO)
                .unique_key(" "),
        )
        .await,
    );
    for fault in [
        "service is empty",
        "method has 256 characters, at most 255 fit its column",
        "task name holds the control character U+0000",
        "unique key is empty",
        "the arguments are not JSON",
        "max_retry is -1",
        "timeout must be at least 1 ms",
    ] {
        assert!(text.contains(fault), "{fault:?} is missing in: {text}");
    }
    let not_text = std::collections::HashMap::from([(vec![1_u8], 1)]);
    let text = refusal(demo.add_task(task("Noop").args(&not_text)).await);
    assert!(text.contains("cannot be serialised to JSON"), "{text}");

    let text = refusal(demo.add_tasks(vec![task("Noop"), task("")]).await);
    assert!(text.contains("task 1 of the list: method is empty"), "{text}");
    assert_eq!(total(&demo.count_by_status().await.expect("counts")), 0);
}

#[actix_rt::test]
async fn names_of_the_columns_full_width_fit() {
    let (_gaia, demo) = client().await;
    let name = "订".repeat(255);
    let added = demo
        .add_task(NewTask::new(&name, &name).name(&name))
        .await
        .expect("fits");
    assert_eq!(demo.get_task_detail(added.id).await.expect("is there").name, name);
}

#[actix_rt::test]
async fn themes_do_not_see_each_other() {
    let (gaia, demo) = client().await;
    let other = gaia.scheduler("other").expect("is a theme");
    let id = demo.add_task(task("Noop")).await.expect("is added").id;
    for text in [
        refusal(other.get_task_detail(id).await),
        refusal(other.cancel_task(id).await),
        refusal(other.retry_task(id).await),
        refusal(other.get_task_exec_records(id, PageRequest::default()).await),
    ] {
        assert_eq!(text, format!("theme \"other\" has no task {id}"));
    }
    assert_eq!(total(&other.count_by_status().await.expect("counts")), 0);
    for theme in ["", "   ", &"t".repeat(101)] {
        assert!(matches!(gaia.scheduler(theme), Err(Error::Invalid(_))), "{theme:?}");
    }
}

#[actix_rt::test]
async fn lists_are_filtered_and_paged() {
    let (gaia, demo) = client().await;
    for name in ["a%b", "a_b", "axb", r"a\b", "it's", "订单-1", "订单-2"] {
        demo.add_task(task("Noop").name(name)).await.expect("is added");
        gaia.advance(Duration::from_secs(60));
    }
    demo.add_task(NewTask::new("Other", "Else").name("z"))
        .await
        .expect("is added");

    let names = async |list: ListTasks| -> Vec<String> {
        let page = demo.list_tasks(list).await.expect("lists");
        page.items.into_iter().map(|task| task.name).collect()
    };
    let of = |filter: TaskFilter| ListTasks {
        filter,
        ..ListTasks::default()
    };
    let named = |text: &str| {
        of(TaskFilter {
            name_contains: Some(text.to_owned()),
            ..TaskFilter::default()
        })
    };
    assert_eq!(names(named("%")).await, ["a%b"]);
    assert_eq!(names(named("_")).await, ["a_b"]);
    assert_eq!(names(named(r"\")).await, [r"a\b"]);
    assert_eq!(names(named("'")).await, ["it's"]);
    assert_eq!(names(named("订单")).await, ["订单-2", "订单-1"]);
    assert_eq!(names(named("nothing")).await, [""; 0]);

    let service = TaskFilter {
        service: Some("Other".to_owned()),
        method: Some("Else".to_owned()),
        ..TaskFilter::default()
    };
    assert_eq!(names(of(service)).await, ["z"]);
    let start = gaia.now() - chrono::TimeDelta::seconds(7 * 60);
    let between = TaskFilter {
        created_from: Some(start + chrono::TimeDelta::seconds(60)),
        created_before: Some(start + chrono::TimeDelta::seconds(180)),
        ..TaskFilter::default()
    };
    assert_eq!(names(of(between)).await, ["axb", "a_b"]);
    let failed = TaskFilter {
        statuses: vec![TaskStatus::Failed],
        ..TaskFilter::default()
    };
    assert!(names(of(failed)).await.is_empty());

    let page = demo
        .list_tasks(ListTasks {
            page: PageRequest::new(2, 3),
            ..ListTasks::default()
        })
        .await
        .expect("lists");
    assert_eq!((page.total, page.page, page.page_size), (8, 2, 3));
    let names: Vec<_> = page.items.iter().map(|task| task.name.as_str()).collect();
    assert_eq!(names, ["it's", r"a\b", "axb"]);
}

#[actix_rt::test]
async fn pages_out_of_range_are_refused() {
    let (_gaia, demo) = client().await;
    let id = demo.add_task(task("Noop")).await.expect("is added").id;
    for (page, fault) in [
        (PageRequest::new(0, 20), "page is 0, pages count from 1"),
        (PageRequest::new(1, 0), "page_size is 0, expected 1 to 1000"),
        (PageRequest::new(1, 1_001), "page_size is 1001, expected 1 to 1000"),
    ] {
        let list = ListTasks {
            page,
            ..ListTasks::default()
        };
        assert!(refusal(demo.list_tasks(list).await).contains(fault));
        assert!(refusal(demo.get_task_exec_records(id, page).await).contains(fault));
    }
    let beyond = ListTasks {
        page: PageRequest::new(u32::MAX, 1_000),
        ..ListTasks::default()
    };
    assert!(demo.list_tasks(beyond).await.expect("lists").items.is_empty());
}

#[actix_rt::test]
async fn a_unique_key_keeps_a_second_task_out_until_the_first_has_ended() {
    let (_gaia, demo) = client().await;
    let keyed = || task("Noop").unique_key("order-1");
    let first = demo.add_task(keyed()).await.expect("is added");
    let second = demo.add_task(keyed()).await.expect("answers");
    assert_eq!((second.id, second.duplicate), (first.id, true));
    let both = demo.add_tasks(vec![keyed(), task("Noop")]).await.expect("answers");
    assert!(both[0].duplicate && !both[1].duplicate);

    demo.cancel_task(first.id).await.expect("is cancelled");
    let third = demo.add_task(keyed()).await.expect("is added");
    assert!(!third.duplicate);
    let text = refusal(demo.retry_task(first.id).await);
    assert!(text.contains("another unfinished task has its unique key"), "{text}");
    demo.cancel_task(third.id).await.expect("is cancelled");
    demo.retry_task(first.id).await.expect("is queued again");
}

#[actix_rt::test]
async fn actions_that_the_status_does_not_allow_are_refused() {
    let (_gaia, demo) = client().await;
    let id = demo.add_task(task("Noop")).await.expect("is added").id;
    let text = refusal(demo.retry_task(id).await);
    assert_eq!(
        text,
        format!("cannot retry task {id}: it is Wait, and only Failed, Cancelled may be")
    );
    assert_eq!(demo.cancel_task(id).await.expect("waits"), CancelAnswer::Cancelled);
    let text = refusal(demo.cancel_task(id).await);
    assert!(
        text.contains("it is Cancelled, and only Wait, Retry, Running may be"),
        "{text}"
    );
    assert!(refusal(demo.cancel_task(4_711).await).contains("has no task 4711"));
}

#[actix_rt::test]
async fn a_retry_by_hand_starts_anew_and_keeps_the_history() {
    let database = Database::fresh();
    let failing = async_fn(async |_, _: Value| Err::<(), _>(TaskError::failed("no")));
    let gaia = database
        .builder()
        .handler("Demo", "Fail", failing)
        .scheduler(options())
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let id = demo.add_task(task("Fail").max_retry(1)).await.expect("is added").id;
    assert_eq!(ended(&demo, id).await.retry_time, 1);
    demo.retry_task(id).await.expect("is Failed");
    let again = ended(&demo, id).await;
    assert_eq!((again.status, again.retry_time), (TaskStatus::Failed, 1));
    let records = demo
        .get_task_exec_records(id, PageRequest::default())
        .await
        .expect("lists");
    let attempts: Vec<_> = records.items.iter().map(|record| record.attempt).collect();
    assert_eq!(attempts, [Some(2), Some(1), Some(2), Some(1)]);
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_task_that_is_quick_queued_again_and_again_runs_once() {
    let database = Database::fresh();
    let gate = Gate::closed();
    let gaia = database
        .builder()
        .handler("Demo", "Gate", gate.handler())
        .scheduler(options())
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    demo.pause().await.expect("pauses");
    let id = demo.add_task(task("Gate")).await.expect("is added").id;
    let other = demo.add_task(task("Gate")).await.expect("is added").id;
    for _ in 0..10 {
        demo.task_quick_queue(id);
    }
    demo.resume().await.expect("resumes");
    gate.entered(2).await;
    gate.let_pass(10);
    for id in [id, other] {
        assert_eq!(ended(&demo, id).await.status, TaskStatus::Success);
    }
    assert_eq!(gate.most(), 2);
    assert_eq!(demo.status().await.expect("answers").stale, 0);
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_quick_queued_task_does_not_wait_for_a_scan() {
    let database = Database::fresh();
    let gaia = database
        .builder()
        .handler("Demo", "Noop", noop())
        .scheduler(options().scan_interval(Duration::from_secs(3_600)))
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    // Let the first scan pass, so that nothing but the quick queue can bring the task in.
    let first = demo.add_task(task("Noop")).await.expect("is added");
    ended(&demo, first.id).await;
    let scans = demo.status().await.expect("runs here").scans;

    let received = demo.receive_task(task("Noop")).await.expect("is added");
    let still = demo.get_task_detail(received.id).await.expect("is there");
    assert_eq!(still.status, TaskStatus::Wait);
    demo.task_quick_queue(received.id);
    assert_eq!(ended(&demo, received.id).await.status, TaskStatus::Success);
    assert!(demo.status().await.expect("runs here").scans > scans);
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_wait_that_is_too_short_says_where_the_task_stands() {
    let (_gaia, demo) = client().await;
    let id = demo.add_task(task("Noop")).await.expect("is added").id;
    let text = refusal(demo.wait_for(id, Duration::from_millis(20)).await);
    assert_eq!(
        text,
        format!("task {id} has not come to an end within 20ms; it is Wait")
    );
    assert!(refusal(demo.wait_for(99, PATIENCE).await).contains("has no task 99"));
}

#[actix_rt::test]
async fn an_operation_may_be_dropped_at_any_moment() {
    let (_gaia, demo) = client().await;
    for _ in 0..200 {
        // Polled once, which sends it to the thread pool, and dropped while it is there.
        let mut add = Box::pin(demo.add_task(task("Noop")));
        let _ = futures_util::poll!(&mut add);
        drop(add);
        let mut list = Box::pin(demo.list_tasks(ListTasks::default()));
        let _ = futures_util::poll!(&mut list);
        drop(list);
    }
    // Nothing is left half done: the connection serves the next one.
    demo.add_task(task("Noop")).await.expect("is added");
    let counts = demo.count_by_status().await.expect("counts");
    assert!(counts[&TaskStatus::Wait] >= 1, "{counts:?}");
}

/// A branch of a `select!` that is not polled, or a stream that is busy with something else.
#[actix_rt::test]
async fn an_operation_that_is_begun_and_left_alone_holds_up_nobody() {
    let (_gaia, demo) = client().await;
    let mut add = Box::pin(demo.add_task(task("Noop")));
    let mut list = Box::pin(demo.list_tasks(ListTasks::default()));
    // Begun, and on a lucky machine done already.
    let (added, listed) = (futures_util::poll!(&mut add), futures_util::poll!(&mut list));
    for _ in 0..3 {
        let added = tokio::time::timeout(PATIENCE, demo.add_task(task("Noop"))).await;
        added.expect("is not held up").expect("is added");
    }
    if added.is_pending() {
        add.await.expect("is added, too");
    }
    if listed.is_pending() {
        list.await.expect("lists");
    }
    assert_eq!(total(&demo.count_by_status().await.expect("counts")), 4);
}

#[actix_rt::test]
async fn more_tasks_at_once_than_a_transaction_should_hold_are_refused() {
    let (_gaia, demo) = client().await;
    let text = refusal(demo.add_tasks(vec![task("Noop"); 100_001]).await);
    assert!(text.contains("100001 tasks at once, expected at most 100000"), "{text}");
}

#[actix_rt::test]
async fn what_needs_workers_says_so_where_there_are_none() {
    let (_gaia, demo) = client().await;
    for text in [refusal(demo.resize_workers(3).await), refusal(demo.status().await)] {
        assert!(text.contains("has no scheduler in this process"), "{text}");
    }
    let text = refusal(demo.resize_workers(100_001).await);
    assert!(text.contains("100001 workers, expected at most 100000"), "{text}");
}

#[actix_rt::test]
async fn every_operation_is_a_message_too() {
    let database = Database::fresh();
    let gate = Gate::closed();
    let gaia = database
        .builder()
        .handler("Demo", "Noop", noop())
        .handler("Demo", "Gate", gate.handler())
        .scheduler(options())
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme").addr();

    let first = demo
        .send(AddTask(task("Noop")))
        .await
        .expect("alive")
        .expect("is added");
    let wait = |task_id| WaitFor {
        task_id,
        timeout: PATIENCE,
    };
    let done = demo.send(wait(first.id)).await.expect("alive").expect("ends");
    assert_eq!(done.last_result.as_deref(), Some("\"done\""));

    let many = AddTasks(vec![task("Noop"), task("Noop")]);
    assert_eq!(demo.send(many).await.expect("alive").expect("are added").len(), 2);
    let received = demo
        .send(ReceiveTask(task("Noop")))
        .await
        .expect("alive")
        .expect("is added");
    demo.send(TaskQuickQueue(received.id))
        .await
        .expect("alive")
        .expect("is sent");
    demo.send(wait(received.id)).await.expect("alive").expect("ends");

    let running = demo
        .send(AddTask(task("Gate")))
        .await
        .expect("alive")
        .expect("is added");
    gate.entered(1).await;
    let answer = demo.send(CancelTask(running.id)).await.expect("alive").expect("runs");
    assert_eq!(answer, CancelAnswer::Requested);
    let ended = demo.send(wait(running.id)).await.expect("alive").expect("ends");
    assert_eq!(ended.status, TaskStatus::Cancelled);
    gate.let_pass(1);
    demo.send(RetryTask(running.id))
        .await
        .expect("alive")
        .expect("is queued");
    demo.send(wait(running.id)).await.expect("alive").expect("ends");

    let detail = demo
        .send(GetTaskDetail(running.id))
        .await
        .expect("alive")
        .expect("is there");
    assert_eq!(detail.status, TaskStatus::Success);
    let records = GetTaskExecRecords {
        task_id: running.id,
        page: PageRequest::default(),
    };
    assert_eq!(demo.send(records).await.expect("alive").expect("lists").total, 2);
    assert_eq!(
        demo.send(ListTasks::default())
            .await
            .expect("alive")
            .expect("lists")
            .total,
        5
    );

    demo.send(PauseTheme).await.expect("alive").expect("pauses");
    assert!(
        demo.send(GetSchedulerStatus)
            .await
            .expect("alive")
            .expect("runs here")
            .paused
    );
    demo.send(ResumeTheme).await.expect("alive").expect("resumes");
    demo.send(ResizeWorkers(9)).await.expect("alive").expect("resizes");
    let status = demo.send(GetSchedulerStatus).await.expect("alive").expect("runs here");
    assert_eq!((status.all_workers, status.paused), (9, false));
    let counts = demo.send(CountByStatus).await.expect("alive").expect("counts");
    assert_eq!(counts[&TaskStatus::Success], 5);

    let all = gaia.addr().send(GetAllSchedulerStatus).await.expect("alive");
    assert_eq!(all.expect("runs here").keys().collect::<Vec<_>>(), [THEME]);
    gaia.stop().await.expect("stops");
}
