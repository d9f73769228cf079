//! Memory goes by bytes, not by rows.

use gaia_actors::{ListTasks, MAX_ARG_BYTES, async_fn, prelude::*};
use serde_json::Value;

use crate::support::{Database, NodeProcess, THEME, ended, eventually, options, task};

/// A text that is `bytes` long as JSON.
fn text(bytes: usize) -> String {
    "x".repeat(bytes - 2)
}

/// The most memory that a process has had, in MB.
fn peak(node: &NodeProcess) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.pid())).expect("is readable");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .expect("is there");
    let kilobytes = line.split_whitespace().nth(1).expect("has a value");
    kilobytes.parse::<u64>().expect("is a number") >> 10
}

/// All of them could be claimed at once, and there are workers for all.
#[actix_rt::test]
async fn long_arguments_are_read_when_there_is_room_for_them() {
    // The first row is copied six times with all others.
    const COUNT: usize = 64;
    let database = Database::fresh();
    let client = database.builder().start().await.expect("starts");
    let demo = client.scheduler(THEME).expect("is a theme");
    demo.add_task(task("Noop").args(&text(MAX_ARG_BYTES)))
        .await
        .expect("is added");
    for _ in 0..6 {
        let columns = "system_name, service_name, method_name, task_name, arg, task_status, create_time, update_time";
        database.execute(&format!(
            "INSERT INTO asynctasks ({columns}) SELECT {columns} FROM asynctasks"
        ));
    }
    let node = NodeProcess::start(&database, &[("THEME", THEME), ("WORKERS", "64")]);
    eventually("the end of all", async || {
        let done = demo.count_by_status().await.expect("counts")[&TaskStatus::Success];
        (usize::try_from(done) == Ok(COUNT)).then_some(())
    })
    .await;
    let (peak, all) = (peak(&node), (COUNT * MAX_ARG_BYTES) as u64 >> 20);
    assert!(peak < all, "{peak} MB, of {all} MB of arguments");
    node.stop();
    client.stop().await.expect("stops");
}

#[actix_rt::test]
async fn arguments_of_any_length_reach_their_handlers_whole() {
    let database = Database::fresh();
    let length = async_fn(async |_: TaskContext, args: Value| Ok(args.as_str().map(str::len)));
    let gaia = database
        .builder()
        .handler("Demo", "Length", length)
        .scheduler(options())
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let lengths = [2, 4_096, 4_097, 70_000, 1 << 20, (1 << 20) + 1, 3 << 20, MAX_ARG_BYTES];
    let tasks = lengths.map(|bytes| task("Length").args(&text(bytes)).max_retry(0));
    let added = demo.add_tasks(tasks.to_vec()).await.expect("are added");
    for (task, bytes) in added.into_iter().zip(lengths) {
        let task = ended(&demo, task.id).await;
        assert_eq!(task.last_result, Some((bytes - 2).to_string()), "{:?}", task.last_error);
    }
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_long_page_shows_the_beginnings_of_long_texts() {
    let database = Database::fresh();
    let client = database.builder().start().await.expect("starts");
    let demo = client.scheduler(THEME).expect("is a theme");
    let long = text(1 << 20);
    let added = demo
        .add_tasks(vec![task("Noop").args(&long); 3])
        .await
        .expect("are added");
    let page = |size| ListTasks {
        page: PageRequest::new(1, size),
        ..ListTasks::default()
    };
    let short = demo.list_tasks(page(10)).await.expect("lists").items;
    assert!(short.iter().all(|task| task.arg.len() == 1 << 20));
    let long = demo.list_tasks(page(1_000)).await.expect("lists").items;
    for task in &long {
        assert!(
            task.arg.len() < 20_000 && task.arg.contains("… [cut: "),
            "{}",
            task.arg.len()
        );
    }
    let detail = demo.get_task_detail(added[0].id).await.expect("is there");
    assert_eq!(detail.arg.len(), 1 << 20);
    client.stop().await.expect("stops");
}
