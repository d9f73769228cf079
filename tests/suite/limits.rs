//! Names that are refused, names that are made, and loops that are not hot.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use gaia_actors::{async_fn, prelude::*};
use serde_json::Value;

use crate::support::{Database, THEME, Tested, ended, options, refusal, task};

#[actix_rt::test]
async fn control_characters_are_refused_in_every_name() {
    let database = Database::fresh();
    let gaia = database.builder().start().await.expect("starts");
    let noop = || async_fn(async |_, _: Value| Ok(()));
    let text = refusal(gaia.scheduler("orders\nnew"));
    assert!(text.contains("theme holds the control character U+000A"), "{text}");
    let text = refusal(gaia.start_scheduler(SchedulerOptions::new("a\u{85}b")).await);
    assert!(text.contains("theme holds the control character U+0085"), "{text}");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let odd = NewTask::new("a\tb", "a\0b").name("a\rb").unique_key("a\u{1b}b");
    let text = refusal(demo.add_task(odd).await);
    for name in ["service", "method", "task name", "unique key"] {
        assert!(text.contains(&format!("{name} holds the control character")), "{text}");
    }
    let text = refusal(gaia.registry().register("Demo", "a\nb", noop()).await);
    assert!(text.contains("method holds the control character"), "{text}");
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_name_that_nobody_gave_refuses_no_task() {
    let (service, method) = ("S".repeat(200), "é".repeat(100));
    let builder = Gaia::builder()
        .handler(&*service, &*method, async_fn(async |_, _: Value| Ok(())))
        .scheduler(options());
    let gaia = Tested::start(builder).await;
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let id = demo
        .add_task(NewTask::new(&*service, &*method))
        .await
        .expect("is added")
        .id;
    let task = ended(&demo, id).await;
    assert_eq!(
        (task.status, task.service, task.method),
        (TaskStatus::Success, service, method)
    );
    assert_eq!(
        task.name,
        format!("{}...{}", "S".repeat(126), {
            let end = format!("{}.{}", "S".repeat(200), "é".repeat(100));
            end.chars().skip(301 - 126).collect::<String>()
        })
    );
    let text = refusal(demo.add_task(NewTask::new("S".repeat(256), "m")).await);
    assert!(!text.contains("task name"), "{text}");
}

#[actix_rt::test]
async fn a_running_task_without_a_node_can_be_queued_again() {
    let database = Database::fresh();
    let client = database.builder().start().await.expect("starts");
    let demo = client.scheduler(THEME).expect("is a theme");
    let id = demo.add_task(task("Noop")).await.expect("is added").id;
    // A node gives back what its process does not run: the row names another one, which lives.
    let now = database.in_seconds(0);
    database.execute(&format!(
        "INSERT INTO gaia_nodes (id, host, pid, version, started_at, heartbeat, beat, lease_ms, themes, protocol) \
         VALUES ('a', 'host', 1, '0', {now}, {now}, 1, 3600000, '[]', 3)"
    ));
    let set = |owner: &str| {
        database.execute(&format!(
            "UPDATE asynctasks SET task_status = 'Running', retry_time = 2, lease_owner = {owner} WHERE id = {id}"
        ));
    };
    set("'a'");
    let text = refusal(demo.retry_task(id).await);
    assert!(text.contains("it is Running"), "{text}");
    set("NULL");
    demo.retry_task(id).await.expect("nobody runs it");
    let task = demo.get_task_detail(id).await.expect("is there");
    assert_eq!((task.status, task.retry_time), (TaskStatus::Wait, 0));
    client.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_snooze_of_no_time_for_ever_is_one_run_for_each_scan() {
    let runs = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&runs);
    let snoozes = async_fn(async move |_, _: Value| {
        counted.fetch_add(1, Ordering::SeqCst);
        Err::<(), _>(TaskError::Snooze(Duration::ZERO))
    });
    let scheduler = options().worker_num(1).scan_interval(Duration::from_secs(5));
    let gaia = Tested::start(Gaia::builder().handler("Demo", "Snooze", snoozes).scheduler(scheduler)).await;
    let demo = gaia.scheduler(THEME).expect("is a theme");
    demo.add_task(task("Snooze")).await.expect("is added");
    for run in 1..=3 {
        assert_eq!(gaia.drain(THEME).await[&TaskStatus::Wait], 1);
        assert_eq!(runs.load(Ordering::SeqCst), run);
        gaia.advance(Duration::from_secs(5));
    }
}
