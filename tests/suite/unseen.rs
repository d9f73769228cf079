//! Runs of which the rows of their tasks say nothing yet: a claim leaves the rows alone.

use std::time::Duration;

use gaia_actors::{
    CancelAnswer, Clock, Outcome,
    prelude::*,
    store::{Claim, ClaimedTask, Store},
};

use crate::support::{Database, Gate, THEME, ended, eventually, options, task};

/// A client, and a store that plays a node without actors.
async fn node(database: &Database) -> (Gaia, Scheduler, Store) {
    let gaia = database.builder().start().await.expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let store = Store::connect(&database.url(), Clock::system()).await.expect("opens");
    let now = database.in_seconds(0);
    database.execute(&format!(
        "INSERT INTO gaia_nodes (id, host, pid, version, started_at, heartbeat, beat, lease_ms, themes, protocol) \
         VALUES ('a', 'host', 1, '0', {now}, {now}, 1, 3600000, '[]', 3)"
    ));
    (gaia, demo, store)
}

async fn claim(store: &Store, limit: usize, first: Vec<i64>) -> Vec<ClaimedTask> {
    let claim = Claim {
        theme: THEME.to_owned(),
        node: "a".to_owned(),
        limit,
        first,
        methods: None,
        above: None,
    };
    store.tasks().claim(claim).await.expect("claims").tasks
}

async fn record(store: &Store, run: &ClaimedTask, outcome: Outcome) -> Option<TaskStatus> {
    let runs = vec![(run.clone(), outcome)];
    store
        .tasks()
        .record(runs, RetryPolicy::immediate())
        .await
        .expect("writes")[0]
}

fn success() -> Outcome {
    Outcome::Succeeded(Json::null())
}

async fn listed(demo: &Scheduler, status: TaskStatus) -> Vec<i64> {
    let filter = TaskFilter {
        statuses: vec![status],
        ..TaskFilter::default()
    };
    let list = ListTasks {
        page: PageRequest::new(1, 100),
        filter,
    };
    let page = demo.list_tasks(list).await.expect("lists");
    assert_eq!(usize::try_from(page.total), Ok(page.items.len()));
    assert!(page.items.iter().all(|task| task.status == status));
    page.items.iter().map(|task| task.id).collect()
}

fn row_says(database: &Database, id: i64, status: &str) -> bool {
    database.number(&format!(
        "SELECT COUNT(*) FROM asynctasks WHERE id = {id} AND task_status = '{status}'"
    )) == 1
}

#[actix_rt::test]
async fn whoever_asks_the_crate_sees_it_running_from_its_claim_on() {
    let database = Database::fresh();
    let (gaia, demo, store) = node(&database).await;
    let added = demo.add_tasks(vec![task("Noop"); 50]).await.expect("are added");
    let waiting = demo.add_task(task("Noop").priority(-1)).await.expect("is added").id;
    let claimed = claim(&store, 50, Vec::new()).await;
    assert_eq!(claimed.len(), 50);
    let run = &claimed[0];
    assert!(row_says(&database, run.id, "Wait"));

    let seen = demo.get_task_detail(run.id).await.expect("is there");
    assert_eq!(seen.status, TaskStatus::Running);
    assert_eq!(
        (seen.node.as_deref(), seen.log_id.as_deref()),
        (Some("a"), Some(&*run.log_id))
    );
    let mut running = listed(&demo, TaskStatus::Running).await;
    running.sort_unstable();
    assert_eq!(running, added.iter().map(|added| added.id).collect::<Vec<_>>());
    assert_eq!(listed(&demo, TaskStatus::Wait).await, [waiting]);
    let counts = demo.count_by_status().await.expect("counts");
    assert_eq!((counts[&TaskStatus::Running], counts[&TaskStatus::Wait]), (50, 1));

    // What is handed back waits again, although its claim has other runs.
    assert_eq!(
        record(&store, run, Outcome::HandedBack { started: false }).await,
        Some(TaskStatus::Wait)
    );
    assert_eq!(
        demo.get_task_detail(run.id).await.expect("is there").status,
        TaskStatus::Wait
    );
    assert_eq!(listed(&demo, TaskStatus::Wait).await, [waiting, run.id]);
    let counts = demo.count_by_status().await.expect("counts");
    assert_eq!((counts[&TaskStatus::Running], counts[&TaskStatus::Wait]), (49, 2));
    assert_eq!(record(&store, run, success()).await, None);
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn the_row_of_a_run_that_lasts_says_so() {
    let database = Database::fresh();
    let gate = Gate::closed();
    let gaia = database
        .builder()
        .handler("Demo", "Slow", gate.handler())
        .scheduler(options())
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let added = demo.add_tasks(vec![task("Slow"); 40]).await.expect("are added");
    gate.entered(4).await;
    eventually("the note", async || {
        let running = "SELECT COUNT(*) FROM asynctasks WHERE task_status = 'Running' AND lease_owner IS NOT NULL \
            AND log_id IS NOT NULL AND last_run_time IS NOT NULL";
        (database.number(running) >= 4).then_some(())
    })
    .await;
    gate.let_pass(40);
    for added in added {
        assert_eq!(ended(&demo, added.id).await.status, TaskStatus::Success);
    }
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn it_is_cancelled_by_its_node() {
    let database = Database::fresh();
    let (gaia, demo, store) = node(&database).await;
    let id = demo.add_task(task("Noop")).await.expect("is added").id;
    let run = claim(&store, 1, Vec::new()).await.remove(0);
    assert_eq!(demo.cancel_task(id).await.expect("runs"), CancelAnswer::Requested);
    assert!(row_says(&database, id, "Running"));
    assert_eq!(
        record(&store, &run, Outcome::Cancelled).await,
        Some(TaskStatus::Cancelled)
    );
    gaia.stop().await.expect("stops");
}

/// Plain SQL does not see that it runs.
#[actix_rt::test]
async fn a_task_that_plain_sql_ends_meanwhile_can_be_queued_again() {
    let database = Database::fresh();
    let (gaia, demo, store) = node(&database).await;
    for is_in_a_segment in [false, true] {
        let count = if is_in_a_segment { 50 } else { 1 };
        let id = demo.add_tasks(vec![task("Noop"); count]).await.expect("are added")[0].id;
        let runs = claim(&store, count, Vec::new()).await;
        let run = runs.iter().find(|run| run.id == id).expect("is claimed");
        database.execute(&format!(
            "UPDATE asynctasks SET task_status = 'Cancelled', lease_owner = NULL WHERE id = {id}"
        ));
        assert_eq!(record(&store, run, success()).await, None);
        demo.retry_task(id).await.expect("has ended");
        let again = claim(&store, 100, Vec::new()).await;
        assert_eq!(again.iter().map(|run| run.id).collect::<Vec<_>>(), [id]);
        assert_eq!(record(&store, run, success()).await, None);
        assert_eq!(record(&store, &again[0], success()).await, Some(TaskStatus::Success));
        for run in runs.iter().filter(|run| run.id != id) {
            assert_eq!(record(&store, run, success()).await, Some(TaskStatus::Success));
        }
    }
    gaia.stop().await.expect("stops");
}

/// Its unique key is live again, too: by another trigger on PostgreSQL.
#[actix_rt::test]
async fn a_task_with_a_unique_key_that_is_queued_again_is_claimed_once() {
    let database = Database::fresh();
    let (gaia, demo, store) = node(&database).await;
    let id = demo
        .add_task(task("Noop").unique_key("key"))
        .await
        .expect("is added")
        .id;
    for by_plain_sql in [false, true] {
        demo.cancel_task(id).await.expect("waits");
        match by_plain_sql {
            false => demo.retry_task(id).await.expect("has ended"),
            true => database.execute(&format!("UPDATE asynctasks SET task_status = 'Wait' WHERE id = {id}")),
        }
        let again = demo.add_task(task("Noop").unique_key("key")).await.expect("answers");
        assert_eq!((again.id, again.duplicate), (id, true));
        let run = claim(&store, 1, Vec::new()).await.remove(0);
        assert_eq!(run.id, id);
        assert!(claim(&store, 1, Vec::new()).await.is_empty());
        let handed_back = Outcome::HandedBack { started: false };
        assert_eq!(record(&store, &run, handed_back).await, Some(TaskStatus::Wait));
    }
    gaia.stop().await.expect("stops");
}

/// Its segment is one of the theme before.
#[actix_rt::test]
async fn a_task_that_plain_sql_moves_to_another_theme_can_be_cancelled() {
    let database = Database::fresh();
    let (gaia, demo, store) = node(&database).await;
    let other = gaia.scheduler("other").expect("is a theme");
    for count in [1, 50] {
        let added = demo.add_tasks(vec![task("Noop"); count]).await.expect("are added");
        let id = added[0].id;
        database.execute(&format!("UPDATE asynctasks SET system_name = 'other' WHERE id = {id}"));
        assert_eq!(other.cancel_task(id).await.expect("waits"), CancelAnswer::Cancelled);
        assert_eq!(claim(&store, 100, Vec::new()).await.len(), count - 1);
    }
    gaia.stop().await.expect("stops");
}

/// Another framework writes no node.
#[actix_rt::test]
async fn a_task_that_plain_sql_has_running_meanwhile_can_be_cancelled() {
    let database = Database::fresh();
    let (gaia, demo, store) = node(&database).await;
    for is_told in [false, true] {
        let added = demo.add_tasks(vec![task("Noop"); 50]).await.expect("are added");
        let runs = claim(&store, 50, Vec::new()).await;
        let run = runs.iter().find(|run| run.id == added[0].id).expect("is claimed");
        let id = run.id;
        database.execute(&format!(
            "UPDATE asynctasks SET task_status = 'Running' WHERE id = {id}"
        ));
        if is_told {
            assert_eq!(record(&store, run, success()).await, None);
        }
        assert_eq!(demo.cancel_task(id).await.expect("is there"), CancelAnswer::Cancelled);
        assert_eq!(record(&store, run, success()).await, None);
        demo.retry_task(id).await.expect("has ended");
        let again = claim(&store, 100, Vec::new()).await;
        assert_eq!(again.iter().map(|run| run.id).collect::<Vec<_>>(), [id]);
        assert_eq!(record(&store, &again[0], success()).await, Some(TaskStatus::Success));
        for run in runs.iter().filter(|run| run.id != id) {
            assert_eq!(record(&store, run, success()).await, Some(TaskStatus::Success));
        }
    }
    gaia.stop().await.expect("stops");
}

/// Its claim says another node.
#[actix_rt::test]
async fn a_task_that_plain_sql_puts_under_a_dead_node_is_taken_over() {
    let database = Database::fresh();
    let (client, demo, store) = node(&database).await;
    let id = demo.add_task(task("Noop")).await.expect("is added").id;
    let run = claim(&store, 1, Vec::new()).await.remove(0);
    database.begin(&run);
    database.execute(&format!("UPDATE asynctasks SET lease_owner = 'ghost' WHERE id = {id}"));
    database.execute("DELETE FROM gaia_nodes WHERE id = 'a'");
    let gaia = database
        .builder()
        .lease(Duration::from_millis(800))
        .handler("Demo", "Noop", gaia_actors::async_fn(async |_, (): ()| Ok(())))
        .scheduler(options())
        .start()
        .await
        .expect("starts");
    assert_eq!(ended(&demo, id).await.status, TaskStatus::Success);
    gaia.stop().await.expect("stops");
    client.stop().await.expect("stops");
}

/// The node is dead, and nobody writes an end that would be stale.
#[actix_rt::test]
async fn so_can_one_of_a_dead_node() {
    let database = Database::fresh();
    let (client, demo, store) = node(&database).await;
    let added = demo.add_tasks(vec![task("Noop"); 50]).await.expect("are added");
    assert_eq!(claim(&store, 50, Vec::new()).await.len(), 50);
    let id = added[0].id;
    database.execute(&format!(
        "UPDATE asynctasks SET task_status = 'Cancelled', lease_owner = NULL WHERE id = {id}"
    ));
    database.execute("DELETE FROM gaia_nodes WHERE id = 'a'");
    let gaia = database
        .builder()
        .lease(Duration::from_millis(800))
        .handler("Demo", "Noop", gaia_actors::async_fn(async |_, (): ()| Ok(())))
        .scheduler(options())
        .start()
        .await
        .expect("starts");
    for added in &added[1..] {
        assert_eq!(ended(&demo, added.id).await.status, TaskStatus::Success);
    }
    eventually("the removal of the claim", async || {
        (database.number("SELECT COUNT(*) FROM gaia_claims WHERE node_id = 'a'") == 0).then_some(())
    })
    .await;
    demo.retry_task(id).await.expect("has ended");
    assert_eq!(ended(&demo, id).await.status, TaskStatus::Success);
    gaia.stop().await.expect("stops");
    client.stop().await.expect("stops");
}

/// The claim of the run before has another run, and names the task still.
#[actix_rt::test]
async fn a_task_that_plain_sql_sets_back_belongs_to_no_claim_before() {
    let database = Database::fresh();
    let (gaia, demo, store) = node(&database).await;
    for is_seen in [false, true] {
        demo.add_tasks(vec![task("Noop"); 2]).await.expect("are added");
        let runs = claim(&store, 2, Vec::new()).await;
        let [before, other] = &runs[..] else {
            panic!("{} of 2 are claimed", runs.len());
        };
        if is_seen {
            database.begin(before);
        }
        let id = before.id;
        // An unseen task stays with its run if nothing but its token changes.
        database.execute(&format!(
            "UPDATE asynctasks SET task_status = 'Wait', lease_owner = NULL, lease_token = 0, queued = 0 WHERE id = {id}"
        ));
        let again = claim(&store, 100, Vec::new()).await;
        assert_eq!(again.iter().map(|run| run.id).collect::<Vec<_>>(), [id]);
        for outcome in [success(), Outcome::HandedBack { started: false }, Outcome::Cancelled] {
            assert_eq!(record(&store, before, outcome).await, None);
        }
        assert_eq!(record(&store, &again[0], success()).await, Some(TaskStatus::Success));
        assert_eq!(record(&store, other, success()).await, Some(TaskStatus::Success));
    }
    gaia.stop().await.expect("stops");
}

/// A lease token that plain SQL has written is greater than that of any claim.
#[actix_rt::test]
async fn a_task_with_an_odd_token_runs_and_has_one_end() {
    let database = Database::fresh();
    let (gaia, demo, store) = node(&database).await;
    let added = demo.add_tasks(vec![task("Noop"); 50]).await.expect("are added");
    let id = added[0].id;
    database.execute(&format!(
        "UPDATE asynctasks SET lease_token = 9000000000000000000 WHERE id = {id}"
    ));
    let mut claimed = claim(&store, 100, Vec::new()).await;
    // On PostgreSQL the task comes into a segment with another token first.
    claimed.extend(claim(&store, 100, Vec::new()).await);
    assert_eq!(claimed.len(), 50);
    for run in &claimed {
        assert_eq!(record(&store, run, success()).await, Some(TaskStatus::Success));
        assert_eq!(record(&store, run, success()).await, None);
    }
    gaia.stop().await.expect("stops");
}

/// One that is wanted before others comes out of its segment: nothing must be left of it there.
#[actix_rt::test]
async fn a_wanted_task_out_of_a_segment_is_claimed_once() {
    let database = Database::fresh();
    let (gaia, demo, store) = node(&database).await;
    let added = demo.add_tasks(vec![task("Noop"); 50]).await.expect("are added");
    let id = added[40].id;
    let first = claim(&store, 1, vec![id]).await;
    assert_eq!(first.iter().map(|run| run.id).collect::<Vec<_>>(), [id]);
    let mut rest: Vec<i64> = claim(&store, 1, vec![id]).await.iter().map(|run| run.id).collect();
    assert_ne!(rest, [id]);
    let retried = Outcome::Failed {
        error: "no".to_owned(),
        failure: gaia_actors::Failure::Error,
    };
    assert_eq!(record(&store, &first[0], retried).await, Some(TaskStatus::Retry));
    eventually("the claim of all", async || {
        rest.extend(claim(&store, 7, Vec::new()).await.iter().map(|run| run.id));
        (rest.len() >= 50).then_some(())
    })
    .await;
    rest.sort_unstable();
    let count = rest.len();
    rest.dedup();
    assert_eq!((rest.len(), rest.contains(&id)), (count, true));
    gaia.stop().await.expect("stops");
}
