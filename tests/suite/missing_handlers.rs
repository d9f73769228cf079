//! Tasks whose method a node does not serve: nothing fails by that, and nothing is kept from those who serve it.

use std::time::Duration;

use actix::{Actor, Context, Handler};
use gaia_actors::{Endpoint, MethodName, Registry, Task, UnservedMethod, async_fn, prelude::*};
use serde_json::Value;

use crate::support::{Database, Gate, NodeProcess, THEME, Tested, ended, eventually, options, task};

fn noop() -> Endpoint {
    async_fn(async |_, _: Value| Ok(()))
}

/// A runtime whose time stands still, and which serves `Demo.Noop` alone.
async fn started(options: SchedulerOptions) -> (Tested, Scheduler) {
    let builder = Gaia::builder().handler("Demo", "Noop", noop()).scheduler(options);
    let gaia = Tested::start(builder).await;
    let demo = gaia.scheduler(THEME).expect("is a theme");
    (gaia, demo)
}

/// Waits until the node lists this method with so many tasks.
async fn listed(demo: &Scheduler, method: &str, waiting: u64) -> UnservedMethod {
    eventually("the method in the list", async || {
        let unserved = demo.status().await.expect("runs here").unserved.into_iter();
        let mut found = unserved.filter(|unserved| unserved.method == method);
        found.find(|found| found.waiting == waiting)
    })
    .await
}

async fn waiting(demo: &Scheduler, id: i64) -> Task {
    eventually("the task waits", async || {
        let task = demo.get_task_detail(id).await.expect("is there");
        (task.status == TaskStatus::Wait).then_some(task)
    })
    .await
}

fn has_failed_nowhere(database: &Database) {
    let unsound = "SELECT COUNT(*) FROM asynctasks WHERE task_status = 'Failed' OR retry_time > 0";
    assert_eq!(database.number(unsound), 0);
    let records = "SELECT COUNT(*) FROM asynctask_exec_row WHERE task_status <> 'Success'";
    assert_eq!(database.number(records), 0);
}

/// A rolling deployment: the old process lacks what the new one has.
#[actix_rt::test]
async fn what_one_process_lacks_the_other_runs() {
    const TASKS: i64 = 1_000;
    let database = Database::fresh();
    let old = NodeProcess::start(&database, &[("GAIA__NODE__LEASE", "2")]);
    let gaia = database
        .builder()
        .handler("Demo", "Special", noop())
        .scheduler(options())
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let tasks = (0..TASKS).map(|at| task(["Special", "Noop"][usize::from(at % 4 == 0)]).max_retry(0));
    demo.add_tasks(tasks.collect()).await.expect("are added");
    eventually("all of them", async || {
        let counts = demo.count_by_status().await.expect("counts");
        assert_eq!(counts[&TaskStatus::Failed], 0, "{counts:?}");
        (counts[&TaskStatus::Success] == TASKS).then_some(())
    })
    .await;
    has_failed_nowhere(&database);
    assert_eq!(database.number("SELECT COUNT(*) FROM asynctask_exec_row"), TASKS);
    assert_eq!(old.stop(), Some(0));
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn what_nobody_serves_waits_is_listed_and_does_not_disturb() {
    let (gaia, demo) = started(options()).await;
    let id = demo.add_task(task("Walk").max_retry(0)).await.expect("is added").id;
    let unserved = listed(&demo, "Walk", 1).await;
    assert!(!unserved.handler_died && !unserved.served_elsewhere, "{unserved:?}");
    for _ in 0..10 {
        let other = demo.add_task(task("Noop")).await.expect("is added").id;
        assert_eq!(ended(&demo, other).await.status, TaskStatus::Success);
    }
    let status = demo.status().await.expect("runs here");
    assert_eq!((status.handed_back, status.failed, status.retried), (0, 0, 0));
    // Nobody has touched it.
    let task = demo.get_task_detail(id).await.expect("is there");
    assert_eq!(
        (task.status, task.last_run_time, task.update_time),
        (TaskStatus::Wait, None, task.create_time)
    );
    let claims = format!("SELECT lease_token FROM asynctasks WHERE id = {id}");
    assert_eq!(gaia.database.number(&claims), 0);
    has_failed_nowhere(&gaia.database);
    // People can still call it off, and then nothing waits.
    demo.cancel_task(id).await.expect("waits");
    eventually("the end of the list", async || {
        let unserved = demo.status().await.expect("runs here").unserved;
        unserved.is_empty().then_some(())
    })
    .await;
}

/// The queue forgets a task that is called off; one that people retry is found again.
#[actix_rt::test]
async fn a_task_that_was_called_off_waits_again_when_it_is_retried() {
    let (gaia, demo) = started(options()).await;
    let id = demo.add_task(task("Walk")).await.expect("is added").id;
    listed(&demo, "Walk", 1).await;
    demo.cancel_task(id).await.expect("waits");
    eventually("the end of the list", async || {
        let unserved = demo.status().await.expect("runs here").unserved;
        unserved.is_empty().then_some(())
    })
    .await;
    demo.retry_task(id).await.expect("was cancelled");
    listed(&demo, "Walk", 1).await;
    gaia.registry().register("Demo", "Walk", noop()).await.expect("is free");
    assert_eq!(ended(&demo, id).await.status, TaskStatus::Success);
}

/// Tasks that no handler of this node serves wait in front of the others.
#[actix_rt::test]
async fn many_tasks_of_another_method_keep_no_other_waiting() {
    let (gaia, demo) = started(options()).await;
    demo.add_tasks(vec![task("Walk").priority(9); 5_000])
        .await
        .expect("are added");
    let id = demo.add_task(task("Noop")).await.expect("is added").id;
    assert_eq!(ended(&demo, id).await.status, TaskStatus::Success);
    listed(&demo, "Walk", 5_000).await;
    let touched = "SELECT COUNT(*) FROM asynctasks WHERE method_name = 'Walk' AND lease_token <> 0";
    assert_eq!(gaia.database.number(touched), 0);
}

#[actix_rt::test]
async fn a_method_that_is_registered_later_is_served_at_once() {
    let (gaia, demo) = started(options()).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(demo.add_task(task("Walk")).await.expect("is added").id);
    }
    let snoozer = demo
        .add_task(task("Walk").run_at(gaia.now() + Duration::from_secs(3_600)))
        .await
        .expect("is added")
        .id;
    listed(&demo, "Walk", 5).await;
    gaia.registry().register("Demo", "Walk", noop()).await.expect("is free");
    for id in ids {
        assert_eq!(ended(&demo, id).await.status, TaskStatus::Success);
    }
    assert_eq!(demo.status().await.expect("runs here").unserved, []);
    // One that somebody has scheduled keeps its time.
    let scheduled = demo.get_task_detail(snoozer).await.expect("is there");
    assert_eq!(scheduled.status, TaskStatus::Wait);
    has_failed_nowhere(&gaia.database);

    // One that is taken away is missing from then on, and comes back with its handler.
    assert!(gaia.registry().unregister("Demo", "Walk").await.expect("alive"));
    let id = demo.add_task(task("Walk")).await.expect("is added").id;
    listed(&demo, "Walk", 1).await;
    gaia.registry().register("Demo", "Walk", noop()).await.expect("is free");
    assert_eq!(ended(&demo, id).await.status, TaskStatus::Success);
}

struct Fragile;

impl Actor for Fragile {
    type Context = Context<Self>;
}

impl Handler<Invoke> for Fragile {
    type Result = Result<Json, TaskError>;

    fn handle(&mut self, call: Invoke, _: &mut Context<Self>) -> Self::Result {
        assert!(call.args::<u8>()? < 100, "too much");
        Ok(Json::null())
    }
}

#[actix_rt::test]
async fn an_actor_that_has_died_serves_nothing_and_fails_nothing() {
    let (gaia, demo) = started(options()).await;
    let register = || {
        let actor = Fragile.start().recipient::<Invoke>();
        gaia.registry().register("Demo", "Fragile", actor)
    };
    register().await.expect("is free");
    let good = task("Fragile").args(&1).max_retry(0);
    let bad = task("Fragile").args(&100).max_retry(0);
    let id = demo.add_task(good.clone()).await.expect("is added").id;
    assert_eq!(ended(&demo, id).await.status, TaskStatus::Success);
    // Its own panic is that task's failure.
    let id = demo.add_task(bad).await.expect("is added").id;
    assert_eq!(ended(&demo, id).await.status, TaskStatus::Failed);
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(demo.add_task(good.clone()).await.expect("is added").id);
    }
    assert!(listed(&demo, "Fragile", 5).await.handler_died);
    // Another takes its place, without a word of `replace`.
    register().await.expect("the dead are no hindrance");
    for id in ids {
        assert_eq!(ended(&demo, id).await.status, TaskStatus::Success);
    }
    let twice = register().await;
    assert!(twice.is_err(), "{twice:?}");
}

/// A handler that goes while its last attempt is on the way takes nothing along.
#[actix_rt::test]
async fn a_handler_that_goes_under_way_costs_no_attempt() {
    let (gate, asked) = (Gate::closed(), Gate::closed());
    let waits = gate.handler();
    let pre_handler = options().worker_num(1).pre_handler({
        let asked = asked.handler();
        let registry = Registry::start();
        registry.register("Pre", "Handler", asked).await.expect("is free");
        let route = registry.route("Pre", "Handler").expect("is registered");
        async move |_| Ok(route.call::<()>(&()).await?)
    });
    let (gaia, demo) = started(pre_handler).await;
    gaia.registry().register("Demo", "Walk", waits).await.expect("is free");
    let id = demo.add_task(task("Walk").max_retry(0)).await.expect("is added").id;
    asked.entered(1).await;
    assert!(gaia.registry().unregister("Demo", "Walk").await.expect("alive"));
    asked.let_pass(1);
    assert_eq!(waiting(&demo, id).await.retry_time, 0);
    listed(&demo, "Walk", 1).await;
    has_failed_nowhere(&gaia.database);
    asked.let_pass(1);
    gate.let_pass(1);
    gaia.registry()
        .register("Demo", "Walk", gate.handler())
        .await
        .expect("is free");
    assert_eq!(ended(&demo, id).await.status, TaskStatus::Success);
}

#[actix_rt::test]
async fn every_node_says_what_it_serves() {
    let database = Database::fresh();
    let process = NodeProcess::start(&database, &[("GAIA__NODE__LEASE", "2")]);
    let gaia = database.builder().lease(Duration::from_secs(2));
    let gaia = gaia.handler("Mail", "Send", noop()).start().await.expect("starts");
    let methods = async |pid: u32| -> Vec<String> {
        let nodes = gaia.nodes().await.expect("lists");
        let node = nodes.into_iter().find(|node| node.pid == i64::from(pid));
        let methods = node.expect("is listed").methods;
        methods.iter().map(MethodName::to_string).collect()
    };
    assert_eq!(methods(std::process::id()).await, ["Mail.Send"]);
    let others = methods(process.pid()).await;
    assert!(others.contains(&"Demo.Noop".to_owned()), "{others:?}");
    gaia.registry()
        .register("Mail", "Fetch", noop())
        .await
        .expect("is free");
    eventually("the next beat", async || {
        (methods(std::process::id()).await == ["Mail.Fetch", "Mail.Send"]).then_some(())
    })
    .await;
    assert_eq!(process.stop(), Some(0));
    gaia.stop().await.expect("stops");
}

/// No claim asks for the wrong method, so none would come to the tasks.
#[actix_rt::test]
async fn tasks_run_once_plain_sql_has_corrected_their_method() {
    for (tasks, corrected) in [(1, 1), (50, 50), (50, 20)] {
        let database = Database::fresh();
        let gaia = database
            .builder()
            .lease(Duration::from_millis(800))
            .handler("Demo", "Noop", noop())
            .scheduler(options())
            .start()
            .await
            .expect("starts");
        let demo = gaia.scheduler(THEME).expect("is a theme");
        let added = demo.add_tasks(vec![task("Nope"); tasks]).await.expect("are added");
        listed(&demo, "Nope", u64::try_from(tasks).expect("is small")).await;
        let last = added[corrected - 1].id;
        database.execute(&format!(
            "UPDATE asynctasks SET method_name = 'Noop' WHERE id <= {last}"
        ));
        for added in &added[..corrected] {
            assert_eq!(ended(&demo, added.id).await.status, TaskStatus::Success);
        }
        let left = u64::try_from(tasks - corrected).expect("is small");
        if left > 0 {
            listed(&demo, "Nope", left).await;
        }
        gaia.stop().await.expect("stops");
    }
}
