//! Writes that cost their connection each time. The database does not refuse them: it looks as if it had gone.

use gaia_actors::{async_fn, prelude::*};
use serde_json::Value;

use crate::{
    kinds,
    support::{Database, Kind, PATIENCE, THEME, ended, eventually, options, task},
};

/// Ends the connection of a session that writes the end of something that is called so.
fn cut_off_who_ends(database: &Database, table: &str, condition: &str) {
    database.execute(&format!(
        "CREATE FUNCTION cut_off() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END $$;
         CREATE TRIGGER cut_off BEFORE UPDATE ON {table} FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION cut_off()"
    ));
}

#[actix_rt::test]
async fn an_end_that_costs_its_connection_each_time_holds_up_no_other() {
    if !kinds().contains(&Kind::Postgres) {
        return;
    }
    let database = Database::of_kind(Kind::Postgres);
    let noop = async_fn(async |_, _: Value| Ok(()));
    let builder = database.builder().handler("Demo", "Noop", noop);
    let builder = builder.scheduler(options()).jobs(JobsOptions::default());
    let gaia = builder.start().await.expect("starts");
    let (demo, jobs) = (gaia.scheduler(THEME).expect("is a theme"), gaia.jobs());

    cut_off_who_ends(
        &database,
        "asynctasks",
        "NEW.task_name = 'poison' AND NEW.task_status = 'Success'",
    );
    let mut tasks = vec![task("Noop"); 20];
    tasks[7] = task("Noop").name("poison");
    let added = demo.add_tasks(tasks).await.expect("are added");
    eventually("all the others", async || {
        let counts = demo.count_by_status().await.expect("counts");
        (counts[&TaskStatus::Success] == 19).then_some(())
    })
    .await;
    database.execute("DROP FUNCTION cut_off CASCADE");
    assert_eq!(ended(&demo, added[7].id).await.status, TaskStatus::Success);

    cut_off_who_ends(
        &database,
        "job_record",
        "NEW.job_name = 'poison' AND NEW.job_result_flag = 'success'",
    );
    let yearly = |name: &str| NewJob::cron_job(name, "@yearly", "Demo", "Noop");
    let poison = jobs.add_job(yearly("poison")).await.expect("is added");
    let other = jobs.add_job(yearly("other")).await.expect("is added");
    let poison = jobs.execute_job_immediately(poison).await.expect("runs");
    for _ in 0..3 {
        let run = jobs.execute_job_immediately(other).await.expect("runs");
        jobs.wait_for_run(run.id, PATIENCE).await.expect("ends");
    }
    assert!(jobs.get_run(poison.id).await.expect("is there").is_open());
    database.execute("DROP FUNCTION cut_off CASCADE");
    jobs.wait_for_run(poison.id, PATIENCE).await.expect("ends");
    gaia.stop().await.expect("stops");
}
