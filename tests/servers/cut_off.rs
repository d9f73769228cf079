//! Writes that cost their connection each time. The database does not refuse them: it looks as if it had gone.

use gaia_actors::{async_fn, prelude::*};
use serde_json::Value;

use crate::{
    conflicts::Holder,
    kinds,
    support::{Database, Gate, Kind, PATIENCE, THEME, ended, eventually, options, task},
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

/// Both ends are in one batch, and no other write shows that the database takes ends.
#[actix_rt::test]
async fn the_end_beside_it_is_written_even_if_nothing_else_ends() {
    if !kinds().contains(&Kind::Postgres) {
        return;
    }
    let database = Database::of_kind(Kind::Postgres);
    let (first, others) = (Gate::closed(), Gate::closed());
    let builder = database.builder().handler("Demo", "First", first.handler());
    let builder = builder.handler("Demo", "Gate", others.handler());
    let gaia = builder.jobs(JobsOptions::default()).start().await.expect("starts");
    let jobs = gaia.jobs();
    let mut runs = Vec::new();
    for (name, method) in [("first", "First"), ("poison", "Gate"), ("other", "Gate")] {
        let job = NewJob::cron_job(name, "@yearly", "Demo", method);
        let job = jobs.add_job(job).await.expect("is added");
        runs.push(jobs.execute_job_immediately(job).await.expect("runs").id);
    }
    first.entered(1).await;
    others.entered(2).await;
    cut_off_who_ends(
        &database,
        "job_record",
        "NEW.job_name = 'poison' AND NEW.job_result_flag = 'success'",
    );
    let unwritten = async |count: usize| {
        eventually("the ends", async || {
            let status = jobs.status().await.expect("answers");
            (status.unwritten == count).then_some(())
        })
        .await;
    };
    let lock = format!("SELECT id FROM job_record WHERE id = {} FOR UPDATE", runs[0]);
    let holder = Holder::of(&database, &lock).await;
    first.let_pass(1);
    unwritten(1).await;
    others.let_pass(2);
    unwritten(3).await;
    holder.release().await;
    jobs.wait_for_run(runs[2], PATIENCE).await.expect("ends");
    assert!(jobs.get_run(runs[1]).await.expect("is there").is_open());
    database.execute("DROP FUNCTION cut_off CASCADE");
    jobs.wait_for_run(runs[1], PATIENCE).await.expect("ends");
    gaia.stop().await.expect("stops");
}
