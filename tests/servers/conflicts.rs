//! Transactions that meet others.

use std::time::Duration;

use actix_rt::task::JoinHandle;
use chrono::TimeDelta;
use gaia_actors::{
    Clock, Outcome,
    prelude::*,
    store::{Claim, Store},
    testing::TestGaia,
};
use tokio::sync::oneshot;

use crate::{
    kinds,
    support::{Database, Gate, Kind, THEME, ended, eventually, options, task},
};

/// A transaction of somebody else, open until it is told to commit.
pub struct Holder {
    commit: oneshot::Sender<String>,
    done: JoinHandle<()>,
}

impl Holder {
    /// Begins a transaction and does this in it.
    pub async fn of(database: &Database, sql: &str) -> Self {
        let (commit, committed) = oneshot::channel();
        let (began, begun) = oneshot::channel();
        let (kind, url, sql) = (database.kind(), database.url(), sql.to_owned());
        let done = actix_rt::spawn(async move {
            match kind {
                #[cfg(feature = "sqlite")]
                Kind::Sqlite => panic!("a file has one writer"),
                #[cfg(feature = "postgres")]
                Kind::Postgres => {
                    let sql = format!("BEGIN; SET LOCAL deadlock_timeout = '60s'; {sql}");
                    hold::<diesel_async::AsyncPgConnection>(&url, &sql, began, committed).await;
                }
                #[cfg(feature = "mysql")]
                Kind::Mysql => {
                    let sql = format!("START TRANSACTION; {sql}");
                    hold::<diesel_async::AsyncMysqlConnection>(&url, &sql, began, committed).await;
                }
            }
        });
        begun.await.expect("begins");
        Self { commit, done }
    }

    pub async fn release(self) {
        self.end_with("SELECT 1").await;
    }

    /// Does this as the last thing, and commits.
    pub async fn end_with(self, sql: &str) {
        self.commit.send(sql.to_owned()).expect("is there");
        self.done.await.expect("commits");
    }
}

async fn hold<C>(url: &str, sql: &str, began: oneshot::Sender<()>, committed: oneshot::Receiver<String>)
where
    C: diesel_async::AsyncConnection + diesel_async::SimpleAsyncConnection,
{
    let mut conn = C::establish(url).await.expect("connects");
    conn.batch_execute(sql).await.expect("begins");
    began.send(()).expect("is awaited");
    let last = committed.await.expect("is told");
    conn.batch_execute(&last).await.expect("runs");
    conn.batch_execute("COMMIT").await.expect("commits");
}

/// Somebody locks two rows the other way round: the database picks us as the one who has to begin anew.
#[actix_rt::test]
async fn a_batch_that_meets_a_deadlock_is_written_all_the_same() {
    for kind in kinds() {
        let database = Database::of_kind(kind);
        let gaia = database.builder().start().await.expect("starts");
        let demo = gaia.scheduler(THEME).expect("is a theme");
        demo.add_tasks(vec![task("Noop"); 2]).await.expect("are added");
        let store = Store::connect(&database.url(), Clock::system()).await.expect("opens");
        // The node that lives here would give back what its process does not run.
        let now = database.in_seconds(0);
        database.execute(&format!(
            "INSERT INTO gaia_nodes (id, host, pid, version, started_at, heartbeat, beat, lease_ms, themes, protocol) \
             VALUES ('a', 'host', 1, '0', {now}, {now}, 1, 3600000, '[]', 3)"
        ));
        let claim = Claim {
            theme: THEME.to_owned(),
            node: "a".to_owned(),
            limit: 2,
            first: Vec::new(),
            methods: None,
            above: None,
        };
        let claimed = store.tasks().claim(claim).await.expect("claims").tasks;
        let ids: Vec<i64> = claimed.iter().map(|task| task.id).collect();
        // Rows to make the other transaction the heavier one: MySQL lets the lighter one begin anew.
        demo.add_tasks(vec![task("Other"); 500]).await.expect("are added");
        let held = format!("UPDATE asynctasks SET task_name = 'held' WHERE id > {}", ids[0]);
        let holder = Holder::of(&database, &held).await;
        let ends = claimed
            .into_iter()
            .map(|task| (task, Outcome::Succeeded(Json::null())))
            .collect();
        let recording = store.clone();
        let recorded = actix_rt::spawn(async move { recording.tasks().record(ends, RetryPolicy::default()).await });
        // It holds the first row and waits for the second.
        actix_rt::time::sleep(Duration::from_millis(300)).await;
        let last = format!("UPDATE asynctasks SET task_name = 'held' WHERE id = {}", ids[0]);
        holder.end_with(&last).await;
        let statuses = recorded.await.expect("joins").expect("writes");
        assert_eq!(statuses, [Some(TaskStatus::Success); 2]);
        assert!(store.conflicts() > 0, "{kind:?}: there was no conflict");
        let records = database.number("SELECT COUNT(*) FROM asynctask_exec_row");
        assert_eq!(records, 2);
        gaia.stop().await.expect("stops");
    }
}

/// Nobody tells when a lock is let go, and the clock of the theme may stand still: the scanner looks again by itself.
#[actix_rt::test]
async fn due_tasks_that_somebody_has_locked_run_soon_after() {
    for kind in kinds() {
        let database = Database::of_kind(kind);
        let builder = Gaia::builder().scheduler(options()).handler(
            "Demo",
            "Noop",
            async_fn(async |_, _: serde_json::Value| Ok::<_, TaskError>(())),
        );
        let gaia = TestGaia::start_on(database.url(), builder).await.expect("starts");
        let demo = gaia.scheduler(THEME).expect("is a theme");
        demo.pause().await.expect("pauses");
        demo.add_task(task("Noop")).await.expect("is added");
        let later = task("Noop").run_at(gaia.now() + TimeDelta::minutes(1));
        demo.add_task(later).await.expect("is added");
        let holder = Holder::of(&database, "SELECT id FROM asynctasks FOR UPDATE").await;
        gaia.advance(Duration::from_secs(60));
        demo.resume().await.expect("resumes");
        let scans = demo.status().await.expect("answers").scans;
        eventually("looks in vain", async || {
            (demo.status().await.expect("answers").scans >= scans + 2).then_some(())
        })
        .await;
        holder.release().await;
        assert_eq!(gaia.drain(THEME).await[&TaskStatus::Success], 2, "{kind:?}");
        gaia.stop().await.expect("stops");
    }
}

/// A backup is put back between the end of a claim's last task and the moment when the node removes the claim: the task is to run again.
#[actix_rt::test]
async fn a_claim_whose_tasks_are_set_back_while_its_node_removes_it_stays() {
    for kind in kinds() {
        let database = Database::of_kind(kind);
        let gate = Gate::closed();
        let builder = database.builder().handler("Demo", "Slow", gate.handler());
        let builder = builder.scheduler(options()).lease(Duration::from_secs(2));
        let gaia = builder.start().await.expect("starts");
        let demo = gaia.scheduler(THEME).expect("is a theme");
        let id = demo.add_task(task("Slow")).await.expect("is added").id;
        gate.entered(1).await;
        let lock = match kind {
            #[cfg(feature = "sqlite")]
            Kind::Sqlite => panic!("a file has one writer"),
            #[cfg(feature = "postgres")]
            Kind::Postgres => "FOR SHARE",
            #[cfg(feature = "mysql")]
            Kind::Mysql => "LOCK IN SHARE MODE",
        };
        let holder = Holder::of(&database, &format!("SELECT id FROM gaia_claims {lock}")).await;
        gate.let_pass(1);
        assert_eq!(ended(&demo, id).await.status, TaskStatus::Success);
        // The node asks what others want of it, and removes what has ended, with each of its beats.
        let beats = || database.number("SELECT MAX(beat) FROM gaia_nodes");
        let before = beats();
        eventually("beats", async || (beats() >= before + 3).then_some(())).await;
        let set_back = format!(
            "UPDATE asynctasks SET task_status = 'Wait', queued = 1, lease_token = 0, finished_at = NULL, log_id = NULL WHERE id = {id}"
        );
        holder.end_with(&set_back).await;
        gate.entered(1).await;
        gate.let_pass(1);
        assert_eq!(ended(&demo, id).await.status, TaskStatus::Success);
        gaia.stop().await.expect("stops");
    }
}

/// Plain SQL need not know which index keeps unique keys.
#[cfg(feature = "postgres")]
#[actix_rt::test]
async fn plain_sql_may_leave_out_a_task_whose_unique_key_is_taken() {
    let database = Database::of_kind(Kind::Postgres);
    let gaia = database.builder().start().await.expect("starts");
    let keyed = |status: &str| {
        format!(
            "INSERT INTO asynctasks (service_name, method_name, task_name, system_name, unique_key, task_status) \
             VALUES ('Demo', 'Noop', 'noop', '{THEME}', 'key', '{status}') ON CONFLICT DO NOTHING"
        )
    };
    for status in ["Success", "Wait", "Wait", "Retry", "Running", "Failed"] {
        database.execute(&keyed(status));
    }
    assert_eq!(database.number("SELECT COUNT(*) FROM asynctasks"), 3);
    // The key is free when the task has ended, whoever has ended it.
    database.execute("UPDATE asynctasks SET task_status = 'Success' WHERE task_status = 'Wait'");
    database.execute(&keyed("Wait"));
    assert_eq!(database.number("SELECT COUNT(*) FROM asynctasks"), 4);
    gaia.stop().await.expect("stops");
}

/// No node looks for such a task: its row says that it is in a claim, and the claim has gone with the end of the run before.
#[cfg(feature = "postgres")]
#[actix_rt::test]
async fn a_finished_task_that_plain_sql_puts_under_a_dead_node_is_taken_over() {
    let database = Database::of_kind(Kind::Postgres);
    let builder = database
        .builder()
        .handler("Demo", "Noop", gaia_actors::async_fn(async |_, (): ()| Ok(())));
    let gaia = builder.scheduler(options()).start().await.expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let id = demo.add_task(task("Noop")).await.expect("is added").id;
    ended(&demo, id).await;
    database.execute(&format!(
        "UPDATE asynctasks SET queued = 2, task_status = 'Failed' WHERE id = {id}"
    ));
    database.execute(&format!(
        "UPDATE asynctasks SET task_status = 'Running', lease_owner = 'ghost', log_id = 'lost' WHERE id = {id}"
    ));
    assert_eq!(ended(&demo, id).await.status, TaskStatus::Success);
    assert_eq!(demo.get_task_detail(id).await.expect("is there").retry_time, 1);
    gaia.stop().await.expect("stops");
}

/// Each trigger of a statement is fired for the row as the statement has left it, whatever the triggers before have made of it.
#[cfg(feature = "postgres")]
#[actix_rt::test]
async fn a_trigger_of_the_users_does_not_have_a_task_queued_twice() {
    let database = Database::of_kind(Kind::Postgres);
    let gaia = database.builder().start().await.expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    database.execute(
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
           UPDATE asynctasks SET task_name = 'noted' WHERE id = NEW.id; RETURN NULL; END $$; \
         CREATE TRIGGER a_note AFTER INSERT OR UPDATE ON asynctasks FOR EACH ROW WHEN (NEW.task_name <> 'noted') \
           EXECUTE FUNCTION note()",
    );
    database.execute(&format!(
        "INSERT INTO asynctasks (service_name, method_name, task_name, system_name) VALUES ('Demo', 'Noop', 'noop', '{THEME}')"
    ));
    let queued = || database.number("SELECT COUNT(*) FROM gaia_due WHERE ids @> ARRAY[1::bigint]");
    assert_eq!(queued(), 1);
    demo.cancel_task(1).await.expect("waits");
    assert_eq!(queued(), 0);
    database.execute("UPDATE asynctasks SET task_status = 'Wait', task_name = 'again'");
    assert_eq!(queued(), 1);
    gaia.stop().await.expect("stops");
}
