//! Stopping: nothing is lost, nothing is run twice, and it comes to an end.

use std::time::{Duration, Instant};

use gaia_actors::{Error, async_fn, blocking_fn, messages::StopGaia, prelude::*};
use serde_json::{Value, json};

use crate::support::{Database, Gate, NodeProcess, THEME, effects, ended, eventually, options, task, total};

#[actix_rt::test]
async fn what_runs_ends_and_what_waits_is_handed_back() {
    let database = Database::fresh();
    let gate = Gate::closed();
    let gaia = database
        .builder()
        .handler("Demo", "Gate", gate.handler())
        .scheduler(options().worker_num(3))
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    gate.let_pass(100);
    demo.add_tasks(vec![task("Gate"); 100]).await.expect("are added");
    gate.entered(100).await;
    demo.add_tasks(vec![task("Gate"); 50]).await.expect("are added");
    gate.entered(3).await;

    let stopping = actix_rt::spawn({
        let gaia = gaia.clone();
        async move { gaia.stop().await }
    });
    eventually("the buffer handed back", async || {
        let counts = demo.count_by_status().await.expect("counts");
        (counts[&TaskStatus::Running] == 3 && counts[&TaskStatus::Wait] == 47).then_some(())
    })
    .await;
    assert!(!stopping.is_finished(), "it waits for what runs");
    gate.let_pass(3);
    stopping.await.expect("joins").expect("stops");
    let counts = demo.count_by_status().await.expect("the store still answers");
    assert_eq!((counts[&TaskStatus::Success], counts[&TaskStatus::Wait]), (103, 47));
    assert_eq!(database.number("SELECT COUNT(*) FROM asynctask_exec_row"), 103);
    assert_eq!(
        database.number("SELECT COUNT(*) FROM asynctasks WHERE retry_time > 0"),
        0
    );
    assert_eq!(database.number("SELECT COUNT(*) FROM gaia_nodes"), 0);
}

#[actix_rt::test]
async fn what_outlasts_the_grace_is_cut_off_and_not_counted_as_an_attempt() {
    let database = Database::fresh();
    let gate = Gate::closed();
    let gaia = database
        .builder()
        .grace(Duration::from_millis(50))
        .handler("Demo", "Gate", gate.handler())
        .handler(
            "Demo",
            "Obeys",
            async_fn(async |ctx: TaskContext, _: Value| {
                ctx.cancelled().await;
                Err::<(), _>(TaskError::failed("as told"))
            }),
        )
        .scheduler(options())
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let deaf = demo.add_task(task("Gate").max_retry(0)).await.expect("is added").id;
    gate.entered(1).await;
    let obedient = demo.add_task(task("Obeys").max_retry(0)).await.expect("is added").id;
    eventually("both", async || {
        let status = demo.status().await.expect("runs here");
        (status.running_workers == 2).then_some(())
    })
    .await;
    let report = gaia.stop().await.expect("stops");
    assert_eq!((report.handed_back, report.unwritten), (2, 0));
    for id in [deaf, obedient] {
        let task = demo.get_task_detail(id).await.expect("is there");
        assert_eq!((task.status, task.retry_time), (TaskStatus::Wait, 0));
        assert!(task.last_error.expect("has one").contains("handed back"));
    }
    // Another node finishes them.
    gate.let_pass(1);
    let gaia = database
        .builder()
        .handler("Demo", "Gate", gate.handler())
        .handler("Demo", "Obeys", async_fn(async |_, _: Value| Ok(())))
        .scheduler(options())
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    for id in [deaf, obedient] {
        assert_eq!(ended(&demo, id).await.status, TaskStatus::Success);
    }
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_blocked_thread_cannot_keep_a_stop_from_ending() {
    let database = Database::fresh();
    let (block, blocked) = std::sync::mpsc::channel::<()>();
    let blocked = std::sync::Mutex::new(blocked);
    let gaia = database
        .builder()
        .grace(Duration::ZERO)
        .handler(
            "Demo",
            "Block",
            async_fn(async move |_, _: Value| {
                let _ = blocked.lock().map(|blocked| blocked.recv());
                Ok(())
            }),
        )
        .scheduler(options())
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let id = demo.add_task(task("Block")).await.expect("is added").id;
    eventually("the run", async || {
        let status = demo.status().await.expect("runs here");
        (status.running_workers == 1).then_some(())
    })
    .await;
    assert_eq!(gaia.stop().await.expect("stops").handed_back, 1);
    assert_eq!(
        demo.get_task_detail(id).await.expect("is there").status,
        TaskStatus::Wait
    );
    drop(block);
}

#[actix_rt::test]
async fn a_stopped_gaia_says_so_and_stops_once() {
    let database = Database::fresh();
    let blocking = blocking_fn(|_, _: Value| Ok(()));
    let builder = database.builder().handler("Demo", "Run", blocking);
    let gaia = builder.scheduler(options()).start().await.expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let address = gaia.addr();
    let (first, second, third) = futures_util::join!(gaia.stop(), gaia.stop(), address.send(StopGaia));
    let first = first.expect("stops");
    assert_eq!(
        (first, first),
        (second.expect("stops"), third.expect("alive").expect("stops"))
    );
    assert!(matches!(
        demo.resize_workers(3).await,
        Err(Error::NotScheduledHere { .. })
    ));
    assert!(matches!(gaia.start_scheduler(options()).await, Err(Error::Stopped)));
}

/// What actix-web does at every signal.
#[test]
fn the_end_of_the_callers_system_does_not_end_the_actors() {
    let database = Database::fresh();
    let gate = Gate::closed();
    let system = actix_rt::System::new();
    let gaia = system.block_on(async {
        let builder = database.builder().handler("Demo", "Gate", gate.handler());
        let gaia = builder.scheduler(options()).start().await.expect("starts");
        gaia.scheduler(THEME)
            .expect("is a theme")
            .add_task(task("Gate"))
            .await
            .expect("is added");
        gate.entered(1).await;
        gaia
    });
    actix_rt::System::current().stop();
    system.run().expect("ends");
    // In another system (or in none), the run ends and the stop is graceful.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("builds");
    gate.let_pass(1);
    let report = runtime.block_on(gaia.stop()).expect("stops");
    assert_eq!((report.handed_back, report.unwritten), (0, 0));
    assert_eq!(
        database.number("SELECT COUNT(*) FROM asynctasks WHERE task_status = 'Success'"),
        1
    );
    assert_eq!(database.number("SELECT COUNT(*) FROM gaia_nodes"), 0);
}

#[actix_rt::test]
async fn a_handler_that_holds_the_runtime_does_not_keep_it_alive() {
    struct Told(std::sync::mpsc::Sender<()>);
    impl Drop for Told {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }
    let (tell, told) = std::sync::mpsc::channel();
    let database = Database::fresh();
    let gaia = database.builder().start().await.expect("starts");
    let held = (gaia.clone(), Told(tell));
    let handler = async_fn(async move |_, _: Value| {
        let _ = &held;
        Ok(())
    });
    gaia.registry()
        .register("Demo", "Holds", handler)
        .await
        .expect("is free");
    gaia.stop().await.expect("stops");
    told.recv_timeout(Duration::from_secs(60))
        .expect("the handler is dropped");
}

#[actix_rt::test]
async fn sigterm_under_load_ends_with_code_0_and_nothing_lost() {
    let database = Database::fresh();
    let client = database.builder().start().await.expect("starts");
    let demo = client.scheduler(THEME).expect("is a theme");
    let nap = task("Sleep").args(&json!({"ms": 5}));
    demo.add_tasks(vec![nap; 3_000]).await.expect("are added");

    for settings in [[("WORKERS", "8")], [("WORKERS", "50")]] {
        let node = NodeProcess::start(&database, &settings);
        let before = demo.count_by_status().await.expect("counts")[&TaskStatus::Success];
        eventually("work under way", async || {
            let counts = demo.count_by_status().await.expect("counts");
            (counts[&TaskStatus::Success] > before + 100).then_some(())
        })
        .await;
        assert_eq!(node.stop(), Some(0));
        let counts = demo.count_by_status().await.expect("counts");
        assert_eq!(counts[&TaskStatus::Running], 0, "{counts:?}");
        assert_eq!(
            counts[&TaskStatus::Success] + counts[&TaskStatus::Wait],
            3_000,
            "{counts:?}"
        );
    }
    // Each run that began has ended, and is recorded.
    let effects = effects(&database);
    let starts = effects.iter().filter(|effect| effect.is_start).count();
    let counts = demo.count_by_status().await.expect("counts");
    assert_eq!(starts * 2, effects.len());
    assert_eq!(i64::try_from(starts), Ok(counts[&TaskStatus::Success]));
    assert_eq!(total(&counts), 3_000);
    client.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_second_signal_cuts_the_grace_short() {
    let database = Database::fresh();
    let node = NodeProcess::start(&database, &[("GAIA__NODE__GRACE", "3600")]);
    let client = database.builder().start().await.expect("starts");
    let demo = client.scheduler(THEME).expect("is a theme");
    let long = task("Sleep").args(&json!({"ms": 3_600_000}));
    let id = demo.add_task(long).await.expect("is added").id;
    eventually("the run", async || {
        let task = demo.get_task_detail(id).await.expect("is there");
        (task.status == TaskStatus::Running).then_some(())
    })
    .await;
    node.signal("INT");
    // The signals would be one if they came together.
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(300) {
        actix_rt::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(node.stop(), Some(0));
    let task = demo.get_task_detail(id).await.expect("is there");
    assert_eq!((task.status, task.retry_time), (TaskStatus::Wait, 0));
    client.stop().await.expect("stops");
}
