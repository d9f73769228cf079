//! The machine of a node is suspended: its monotonic clock stands, and others have taken over what it held.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use gaia_actors::{Clock, async_fn, blocking_fn, prelude::*};
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::support::{Database, THEME, ended, eventually, options, task};

/// Beats and looks at the lease are far apart, so that a suspension is not noticed before a run asks.
const LEASE: Duration = Duration::from_secs(3_600);

/// Counts its calls, and holds each until it is let through.
#[derive(Clone)]
struct Door {
    called: Arc<AtomicUsize>,
    reached: Arc<Semaphore>,
    open: Arc<Semaphore>,
}

impl Door {
    fn closed() -> Self {
        Self {
            called: Arc::default(),
            reached: Arc::new(Semaphore::new(0)),
            open: Arc::new(Semaphore::new(0)),
        }
    }

    async fn pass(&self) -> Result<(), TaskError> {
        self.called.fetch_add(1, Ordering::SeqCst);
        self.reached.add_permits(1);
        self.open.acquire().await?.forget();
        Ok(())
    }

    async fn reached(&self) {
        self.reached.acquire().await.expect("never closed").forget();
    }
}

/// The pre-handler of a last attempt comes after its mark `began` was written, and right before the handler.
async fn a_run_that_slept(handler: impl FnOnce(Arc<AtomicUsize>) -> gaia_actors::Endpoint) {
    let database = Database::fresh();
    let (clock, door, calls) = (Clock::system(), Door::closed(), Arc::new(AtomicUsize::new(0)));
    let at_door = door.clone();
    let options = options().worker_num(1).pre_handler(move |_| {
        let door = at_door.clone();
        async move { door.pass().await }
    });
    let gaia = database
        .builder()
        .clock(clock.clone())
        .lease(LEASE)
        .handler("Demo", "Count", handler(Arc::clone(&calls)))
        .scheduler(options)
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let id = demo.add_task(task("Count").max_retry(0)).await.expect("is added").id;
    door.reached().await;
    assert_eq!(database.number("SELECT COUNT(*) FROM asynctasks WHERE began = 1"), 1);
    clock.suspend(LEASE * 2);
    door.open.add_permits(1);
    eventually("the run to be handed back", async || {
        let task = demo.get_task_detail(id).await.expect("is there");
        (task.status == TaskStatus::Wait).then_some(())
    })
    .await;
    assert_eq!(calls.load(Ordering::SeqCst), 0);
    // No attempt was used, and nothing is claimed while the lease is over. The next claim takes the mark back.
    assert_eq!(database.number("SELECT COUNT(*) FROM asynctask_exec_row"), 0);
    assert_eq!(door.called.load(Ordering::SeqCst), 1);
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_run_whose_node_slept_past_its_lease_does_not_call_its_handler() {
    a_run_that_slept(|calls| {
        async_fn(async move |_, _: Value| {
            calls.fetch_add(1, Ordering::SeqCst);
            Ok(())
        })
    })
    .await;
}

#[actix_rt::test]
async fn a_blocking_function_is_not_called_either() {
    a_run_that_slept(|calls| {
        blocking_fn(move |_, _: Value| {
            calls.fetch_add(1, Ordering::SeqCst);
            Ok(())
        })
    })
    .await;
}

/// What nobody has taken over goes on, and so does the node.
#[actix_rt::test]
async fn a_node_that_wakes_up_beats_and_goes_on() {
    let database = Database::fresh();
    let (clock, door) = (Clock::system(), Door::closed());
    let at_door = door.clone();
    let gaia = database
        .builder()
        .clock(clock.clone())
        .lease(Duration::from_secs(10))
        .handler("Demo", "Door", async_fn(async move |_, _: Value| at_door.pass().await))
        .scheduler(options())
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let id = demo.add_task(task("Door")).await.expect("is added").id;
    door.reached().await;
    clock.suspend(Duration::from_secs(60));
    let next = demo.add_task(task("Door")).await.expect("is added").id;
    // It is claimed once the node has beaten.
    door.reached().await;
    door.open.add_permits(2);
    for id in [id, next] {
        assert_eq!(ended(&demo, id).await.status, TaskStatus::Success);
    }
    assert_eq!(door.called.load(Ordering::SeqCst), 2);
    gaia.stop().await.expect("stops");
}
