//! The database refuses something.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use gaia_actors::{Event, async_fn, events::DatabaseWork, prelude::*};
use serde_json::Value;

use crate::support::{Database, Gate, Kind, THEME, ended, eventually, options, task};

/// Plain SQL that makes the database refuse an outcome, and that takes it back.
pub fn poison(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        #[cfg(feature = "sqlite")]
        Kind::Sqlite => (
            "CREATE TRIGGER poison BEFORE UPDATE OF task_status ON asynctasks \
             WHEN NEW.task_status = 'Success' AND NEW.task_name = 'poison' \
             BEGIN SELECT RAISE(ABORT, 'not this one'); END",
            "DROP TRIGGER poison",
        ),
        #[cfg(any(feature = "postgres", feature = "mysql"))]
        _ => (
            "ALTER TABLE asynctasks ADD CONSTRAINT poison \
             CHECK (NOT (task_status = 'Success' AND task_name = 'poison'))",
            "ALTER TABLE asynctasks DROP CONSTRAINT poison",
        ),
    }
}

/// An outcome that the database never takes must not hold up the others, whatever batch it is in.
#[actix_rt::test]
async fn an_outcome_that_is_refused_for_good_holds_up_no_other() {
    let database = Database::fresh();
    let gaia = database
        .builder()
        .handler("Demo", "Noop", async_fn(async |_, _: Value| Ok(())))
        .scheduler(options())
        .start()
        .await
        .expect("starts");
    let (poison, cure) = poison(database.kind());
    database.execute(poison);
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let mut tasks = vec![task("Noop"); 60];
    for at in [0, 20, 59] {
        tasks[at] = task("Noop").name("poison");
    }
    let added = demo.add_tasks(tasks).await.expect("are added");
    eventually("all the others", async || {
        // Something goes on all the time, as in life.
        demo.add_task(task("Noop")).await.expect("is added");
        let counts = demo.count_by_status().await.expect("counts");
        (counts[&TaskStatus::Success] >= 60 && counts[&TaskStatus::Running] == 3).then_some(())
    })
    .await;
    database.execute(cure);
    for added in added {
        assert_eq!(ended(&demo, added.id).await.status, TaskStatus::Success);
    }
    // The cure may come between two tries of a refused end: in its plainest form such an end is written without its record.
    let records = "SELECT COUNT(*) FROM asynctask_exec_row WHERE task_id <= 60 AND task_id NOT IN (1, 21, 60)";
    assert_eq!(database.number(records), 57);
    gaia.stop().await.expect("stops");
}

/// The database is away when a run reports its progress. A later report, which comes before the first one can be written, must not be
/// overwritten by it.
#[actix_rt::test]
async fn reports_of_progress_that_wait_for_the_database_do_not_overtake_each_other() {
    let failures = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&failures);
    let (gate, reports) = (Gate::closed(), Gate::closed());
    let [waits, reported] = [gate.clone(), reports.clone()];
    let handler = async_fn(async move |ctx: TaskContext, percents: Vec<u8>| {
        for percent in percents {
            waits.pass().await?;
            ctx.progress(percent, "");
            reported.pass().await?;
        }
        Ok(())
    });
    let database = Database::fresh();
    let gaia = database
        .builder()
        .observe(move |event| {
            if matches!(event, Event::DatabaseFailed(failure) if failure.work == DatabaseWork::WriteOutcomes) {
                count.fetch_add(1, Ordering::SeqCst);
            }
        })
        .handler("Demo", "Report", handler)
        .handler("Demo", "Noop", async_fn(async |_, _: Value| Ok(())))
        .scheduler(options())
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let long = task("Report").args(&[10, 20]);
    let id = demo.add_task(long).await.expect("is added").id;
    gate.entered(1).await;
    database.execute("ALTER TABLE asynctasks RENAME TO asynctasks_away");
    for failed in [1, 2] {
        let before = failures.load(Ordering::SeqCst);
        gate.let_pass(1);
        reports.entered(1).await;
        eventually("a report that cannot be written", async || {
            (failures.load(Ordering::SeqCst) > before).then_some(())
        })
        .await;
        if failed == 1 {
            reports.let_pass(1);
            gate.entered(1).await;
        }
    }
    database.execute("ALTER TABLE asynctasks_away RENAME TO asynctasks");
    // Whatever was kept is written before the ends of these.
    for _ in 0..3 {
        let other = demo.add_task(task("Noop")).await.expect("is added").id;
        ended(&demo, other).await;
    }
    let progress = demo.get_task_detail(id).await.expect("is there").progress;
    assert_eq!(progress, Some(20));
    reports.let_pass(1);
    assert_eq!(ended(&demo, id).await.status, TaskStatus::Success);
    gaia.stop().await.expect("stops");
}
