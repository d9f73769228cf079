//! The database refuses something.

use gaia_actors::{async_fn, prelude::*};
use serde_json::Value;

use crate::support::{Database, Kind, THEME, ended, eventually, options, task};

/// Plain SQL that makes the database refuse an outcome, and that takes it back.
fn poison(kind: Kind) -> (&'static str, &'static str) {
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
    let records = "SELECT COUNT(*) FROM asynctask_exec_row WHERE task_id <= 60";
    assert_eq!(database.number(records), 60);
    gaia.stop().await.expect("stops");
}
