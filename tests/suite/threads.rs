//! A system that gives a process no further thread.

use std::process::Command;

use gaia_actors::prelude::*;

use crate::support::{Database, NodeProcess, THEME, ended, eventually, task};

/// What each thread of the node takes of its addresses. Far more than the node may need for anything else in the course of the
/// test, so that its memory does not decide whether a thread can be had.
const STACK: u64 = 256 << 20;

/// Lets a process have so many bytes of addresses, or `unlimited`.
fn limit(node: &NodeProcess, bytes: &str) {
    let status = Command::new("prlimit")
        .args(["--pid", &node.pid().to_string(), &format!("--as={bytes}:unlimited")])
        .status();
    assert!(status.expect("prlimit runs").success());
}

fn addresses_in_use(node: &NodeProcess) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.pid())).expect("is readable");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmSize:"))
        .expect("is there");
    let kilobytes = line.split_whitespace().nth(1).expect("has a value");
    kilobytes.parse::<u64>().expect("is a number") * 1_024
}

/// Whether all threads of a process that was stopped stand still.
fn stands_still(node: &NodeProcess) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{}/task", node.pid())).expect("is readable");
    threads.filter_map(Result::ok).all(|thread| {
        let status = std::fs::read_to_string(thread.path().join("status")).unwrap_or_default();
        status.lines().any(|line| line.starts_with("State:\tT"))
    })
}

#[actix_rt::test]
async fn blocking_functions_without_a_thread_wait_and_use_no_attempt() {
    let database = Database::fresh();
    let client = database.builder().start().await.expect("starts");
    let demo = client.scheduler(THEME).expect("is a theme");
    let stack = STACK.to_string();
    // One arena: glibc takes 64 MB of addresses for each further one, and the room is there for small pieces of memory.
    let settings = [
        ("THEME", THEME),
        ("WORKERS", "8"),
        ("RUST_MIN_STACK", &stack),
        ("MALLOC_ARENA_MAX", "1"),
    ];
    let node = NodeProcess::start(&database, &settings);
    let mut least = u64::MAX;
    // Enough for anything but a thread. The room of a thread that ends is taken away, too. The node is stopped meanwhile: a thread that it
    // started between the two calls would have no room for its first small pieces of memory.
    let mut leave_no_room = || {
        node.signal("STOP");
        while !stands_still(&node) {
            std::thread::yield_now();
        }
        let used = addresses_in_use(&node);
        if used < least {
            least = used;
            limit(&node, &(used + STACK * 3 / 4).to_string());
        }
        node.signal("CONT");
    };
    leave_no_room();
    let block = task("Block").args(&serde_json::json!({"ms": 1})).max_retry(0);
    let added = demo.add_tasks(vec![block; 20]).await.expect("are added");
    eventually("tasks that are claimed again", async || {
        leave_no_room();
        let again = database.number("SELECT COUNT(*) FROM asynctasks WHERE lease_token > 1");
        (again >= 4).then_some(())
    })
    .await;
    limit(&node, "unlimited");
    for task in added {
        let task = ended(&demo, task.id).await;
        assert_eq!(
            (task.status, task.retry_time),
            (TaskStatus::Success, 0),
            "{:?}",
            task.last_error
        );
    }
    assert_eq!(database.number("SELECT COUNT(*) FROM asynctask_exec_row"), 20);
    node.stop();
    client.stop().await.expect("stops");
}
