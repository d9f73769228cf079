//! One odd row, written by plain SQL, is in the way of no other: whatever the value, in whatever column, on each database.

use std::time::Duration;

use gaia_actors::{
    RunFlag, async_fn,
    messages::{ListJobs, ListTasks},
    prelude::*,
};
use serde_json::Value;

use crate::{
    columns::{Holds, JOBS, NODES, RECORDS, RUNS, TASKS, THEMES, odd_values},
    support::{Database, PATIENCE, THEME, ended, eventually, options, task},
};

async fn node(database: &Database) -> (Gaia, Scheduler) {
    let gaia = database
        .builder()
        .lease(Duration::from_secs(1))
        .handler("Demo", "Echo", async_fn(async |_, args: Value| Ok(args)))
        .scheduler(options().worker_num(2))
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    (gaia, demo)
}

/// Tasks that a claim takes, one of them when its time has come, come to their ends; and every list is answered.
async fn goes_on(demo: &Scheduler, beside: &str) {
    let soon = chrono::Utc::now() + chrono::TimeDelta::milliseconds(30);
    let tasks = vec![task("Echo"), task("Echo").run_at(soon)];
    for added in demo.add_tasks(tasks).await.expect("are added") {
        let task = demo.wait_for(added.id, PATIENCE / 4).await;
        let task = task.unwrap_or_else(|error| panic!("beside odd values of {beside}: {error}"));
        assert_eq!(task.status, TaskStatus::Success, "beside odd values of {beside}");
    }
    let list = ListTasks {
        page: PageRequest::new(1, 1_000),
        ..ListTasks::default()
    };
    let tasks = demo.list_tasks(list).await.expect("lists").items;
    for task in tasks.iter().take(20) {
        demo.get_task_detail(task.id).await.expect("is read");
    }
    demo.count_by_status().await.expect("counts");
}

const GOOD_TASK: &[(&str, &str)] = &[
    ("service_name", "'Demo'"),
    ("method_name", "'Echo'"),
    ("task_name", "'odd'"),
    ("system_name", "'demo'"),
];

#[actix_rt::test]
async fn tasks_that_wait_stop_no_other() {
    let database = Database::fresh();
    let (gaia, demo) = node(&database).await;
    for (column, holds) in TASKS.columns {
        database.insert_odd(TASKS, GOOD_TASK, column, *holds);
        goes_on(&demo, column).await;
    }
    // And each of them that can be claimed comes to an end.
    eventually("the odd ones", async || {
        (database.number("SELECT COUNT(*) FROM asynctasks WHERE task_status = 'Running'") == 0).then_some(())
    })
    .await;
    assert_eq!(demo.status().await.expect("runs here").database_errors, 0);
    gaia.stop().await.expect("stops");
}

/// Both times of a scheduled task are such dates: when it comes due, one of them is copied.
#[cfg(feature = "mysql")]
#[actix_rt::test]
async fn dates_that_do_not_exist_come_due() {
    let database = Database::fresh();
    if database.kind() != crate::support::Kind::Mysql {
        return;
    }
    let (gaia, demo) = node(&database).await;
    let insert = |run_at: &str, update_time: &str| {
        format!(
            "INSERT INTO asynctasks (service_name, method_name, task_name, system_name, run_at, update_time) \
             VALUES ('Demo', 'Echo', 'odd', 'demo', {run_at}, {update_time})"
        )
    };
    let rows = [
        insert("'2026-02-31 00:00:00'", "NULL"),
        insert("'2026-02-31 00:00:00'", "'2020-01-01 00:00:00'"),
        insert("'2020-01-01 00:00:00'", "'2020-02-31 00:00:00'"),
    ];
    assert_eq!(
        database.try_each("SET SESSION sql_mode = 'ALLOW_INVALID_DATES'", &rows),
        3
    );
    goes_on(&demo, "both times").await;
    eventually("the odd ones", async || {
        let ended =
            database.number("SELECT COUNT(*) FROM asynctasks WHERE task_name = 'odd' AND task_status = 'Success'");
        (ended == 3).then_some(())
    })
    .await;
    assert_eq!(demo.status().await.expect("runs here").database_errors, 0);
    gaia.stop().await.expect("stops");
}

/// A node that looks again and again for a time that does not come would use a core.
#[actix_rt::test]
async fn times_that_never_come_keep_nobody_awake() {
    let database = Database::fresh();
    let (gaia, demo) = node(&database).await;
    database.insert_odd(TASKS, GOOD_TASK, "run_at", Holds::Time);
    goes_on(&demo, "run_at").await;
    let scans = || async { demo.status().await.expect("runs here").scans };
    let before = scans().await;
    actix_rt::time::sleep(Duration::from_secs(1)).await;
    let looks = scans().await - before;
    assert!(looks < 50, "{looks} looks in a second");
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn tasks_of_dead_nodes_stop_the_rescue_of_no_other() {
    let database = Database::fresh();
    let (gaia, demo) = node(&database).await;
    let running = [GOOD_TASK, &[("task_status", "'Running'"), ("lease_owner", "'gone'")]].concat();
    for (column, holds) in TASKS.columns {
        let (names, values): (Vec<&str>, Vec<&str>) = running.iter().copied().unzip();
        database.insert_odd(TASKS, &running, column, *holds);
        let (names, values) = (names.join(", "), values.join(", "));
        database.execute(&format!("INSERT INTO asynctasks ({names}) VALUES ({values})"));
        let id = database.number("SELECT MAX(id) FROM asynctasks");
        assert_eq!(ended(&demo, id).await.status, TaskStatus::Success, "{column}");
    }
    goes_on(&demo, "running tasks").await;
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn records_and_settings_are_read_whatever_they_hold() {
    let database = Database::fresh();
    let (gaia, demo) = node(&database).await;
    let id = demo.add_task(task("Echo")).await.expect("is added").id;
    ended(&demo, id).await;
    let task_id = id.to_string();
    for (column, holds) in RECORDS.columns {
        let good = [("task_id", task_id.as_str())];
        database.insert_odd(RECORDS, &good, column, *holds);
        let page = PageRequest::new(1, 1_000);
        demo.get_task_exec_records(id, page).await.expect("lists");
    }
    for (column, holds) in THEMES.columns {
        let now = database.in_seconds(0);
        let good = [("theme", "'odd {n}'"), ("update_time", now.as_str())];
        database.insert_odd(THEMES, &good, column, *holds);
        for value in 0..odd_values(database.kind(), *holds).len() {
            let odd = format!("odd {column}{value}");
            let odd = gaia.start_scheduler(SchedulerOptions::new(odd)).await.expect("starts");
            odd.resume().await.expect("is told");
        }
    }
    // Here as well, where the node looks for orders.
    demo.resume().await.expect("is told");
    goes_on(&demo, "settings").await;
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn rows_of_nodes_stop_the_care_for_no_other() {
    let database = Database::fresh();
    let (gaia, demo) = node(&database).await;
    let long_ago = database.in_seconds(-3_600);
    let good = [
        ("id", "'{n}'"),
        ("host", "'h'"),
        ("pid", "1"),
        ("version", "'0'"),
        ("started_at", long_ago.as_str()),
        ("heartbeat", long_ago.as_str()),
        ("beat", "7"),
        ("lease_ms", "1000"),
        ("themes", "'[]'"),
        ("protocol", "3"),
    ];
    for (column, holds) in NODES.columns {
        database.insert_odd(NODES, &good, column, *holds);
    }
    database.execute(&format!(
        "INSERT INTO gaia_nodes (id, host, pid, version, started_at, heartbeat, beat, lease_ms, themes, protocol) \
           VALUES ('~', 'h', 1, '0', {long_ago}, {long_ago}, 1, 1000, '[]', 3); \
         INSERT INTO asynctasks (service_name, method_name, task_name, system_name, task_status, lease_owner) \
           VALUES ('Demo', 'Echo', 'orphan', 'demo', 'Running', '~')"
    ));
    let id = database.number("SELECT MAX(id) FROM asynctasks");
    assert_eq!(ended(&demo, id).await.status, TaskStatus::Success);
    gaia.nodes().await.expect("lists");
    // All are dead. A lease of a thousand years has not ended, and a name that is no text names nobody.
    eventually("the burials", async || {
        let nodes = gaia.nodes().await.expect("lists");
        let left = nodes.iter().filter(|node| {
            let is_named = !node.id.is_empty() && !node.id.contains('\u{fffd}');
            node.id != gaia.node_id() && is_named && node.lease < Duration::from_secs(3_600)
        });
        (left.count() == 0).then_some(())
    })
    .await;
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn jobs_and_their_runs_stop_no_other() {
    let database = Database::fresh();
    let gaia = database
        .builder()
        .lease(Duration::from_secs(1))
        .handler("Demo", "Echo", async_fn(async |_, args: Value| Ok(args)))
        .jobs(JobsOptions::default())
        .start()
        .await
        .expect("starts");
    let jobs = gaia.jobs();
    let good_job = [
        ("job_name", "'job {n}'"),
        ("job_type", "'cron_job'"),
        ("cron_expr", "'* * * * * *'"),
        ("service_name", "'Demo'"),
        ("service_method", "'Echo'"),
        ("enabled", "1"),
    ];
    for (column, holds) in JOBS.columns {
        database.insert_odd(JOBS, &good_job, column, *holds);
    }
    let good = jobs
        .add_job(NewJob::cron_job("good", "* * * * * *", "Demo", "Echo"))
        .await;
    let good = good.expect("is added");
    let job_id = good.to_string();
    let good_run = [
        ("job_name", "'good'"),
        ("job_type", "'cron_job'"),
        ("cron_expr", "'* * * * * *'"),
        ("job_id", job_id.as_str()),
        ("node_id", "'gone'"),
    ];
    for (column, holds) in RUNS.columns {
        database.insert_odd(RUNS, &good_run, column, *holds);
    }
    database.execute(&format!(
        "INSERT INTO job_record (job_name, job_type, cron_expr, job_id, node_id) \
         VALUES ('good', 'cron_job', '* * * * * *', {good}, 'gone')"
    ));
    let orphan = database.number("SELECT MAX(id) FROM job_record WHERE node_id = 'gone'");
    let run = jobs.wait_for_run(orphan, PATIENCE).await.expect("is ended as lost");
    assert_eq!(run.job_result_flag.as_deref(), Some(RunFlag::Failed.as_str()));
    eventually("three runs of the good job", async || {
        let page = jobs
            .get_job_records(good, PageRequest::new(1, 1_000))
            .await
            .expect("lists");
        let fired = page.items.iter().filter(|run| {
            run.scheduled_at.is_some() && run.job_result_flag.as_deref() == Some(RunFlag::Success.as_str())
        });
        (fired.count() >= 3).then_some(())
    })
    .await;
    let list = ListJobs {
        page: PageRequest::new(1, 1_000),
        ..ListJobs::default()
    };
    for job in jobs.list_jobs(list).await.expect("lists").items {
        jobs.get_job_detail(job.id).await.expect("is read");
    }
    jobs.get_running_jobs().await.expect("lists");
    gaia.stop().await.expect("stops");
}

/// What is no version of ours says nothing about the tables.
#[actix_rt::test]
async fn odd_versions_keep_no_process_from_starting() {
    let database = Database::fresh();
    let (gaia, _) = node(&database).await;
    gaia.stop().await.expect("stops");
    for value in odd_values(database.kind(), Holds::Text) {
        let insert = format!("INSERT INTO gaia_migrations (version) VALUES ({value})");
        if database.write_odd(&[insert]) == 0 {
            continue;
        }
        let (gaia, demo) = node(&database).await;
        goes_on(&demo, "versions").await;
        gaia.stop().await.expect("stops");
    }
}
