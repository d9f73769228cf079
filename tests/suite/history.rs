//! What of a database's history is pruned, and by which time.

use std::{
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use gaia_actors::{Clock, GaiaBuilder, async_fn, prelude::*, store::Store};
use serde_json::Value;

#[cfg(feature = "sqlite")]
use crate::support::Kind;
use crate::support::{Database, NodeProcess, THEME, ended, eventually, example, options, task};

const DAY: Duration = Duration::from_secs(86_400);

/// Another program's rows, with the guide's columns alone, and old. Two of its tasks are of the theme that is run here; one
/// has a record, and another record has lost its task.
const HISTORY: &str = "
    INSERT INTO asynctasks (service_name, method_name, task_name, system_name, task_status, create_time, update_time, \
        last_run_time, last_run_end_time, log_id)
      VALUES ('Demo', 'Noop', 'theirs', 'demo', 'Success', '2025-06-01 00:00:00', '2025-06-01 00:01:00', \
        '2025-06-01 00:00:30', '2025-06-01 00:01:00', 'a');
    INSERT INTO asynctasks (service_name, method_name, task_name, system_name, task_status, create_time, update_time)
      VALUES ('Demo', 'Noop', 'theirs', 'demo', 'Failed', '2025-06-01 00:00:00', '2025-06-01 00:01:00');
    INSERT INTO asynctasks (service_name, method_name, task_name, system_name, task_status, create_time, update_time)
      VALUES ('Demo', 'Noop', 'theirs', 'other', 'Success', '2025-06-01 00:00:00', '2025-06-01 00:01:00');
    INSERT INTO asynctask_exec_row (task_id, task_status, last_run_time, create_time)
      VALUES (1, 'Success', '2025-06-01 00:00:30', '2025-06-01 00:01:00');
    INSERT INTO asynctask_exec_row (task_id, task_status, create_time) VALUES (999999, 'Success', '2025-06-01 00:01:00');
    INSERT INTO job_record (job_name, job_type, cron_expr, job_result_flag, create_time, update_time)
      VALUES ('theirs', 'cron_job', '@daily', 'success', '2025-06-01 00:00:00', '2025-06-01 00:01:00');";

/// A database with another program's history.
async fn adopted() -> Database {
    let database = Database::fresh();
    let store = Store::connect(&database.url(), Clock::system()).await.expect("opens");
    store.migrate().await.expect("migrates");
    database.execute(HISTORY);
    database
}

fn new_year() -> Clock {
    Clock::manual(DateTime::<Utc>::from_timestamp(1_767_225_600, 0).expect("is a time"))
}

fn handlers(builder: GaiaBuilder) -> GaiaBuilder {
    let failing = async_fn(async |_, _: Value| Err::<(), _>(TaskError::discard("no")));
    let snoozing = async_fn(async |_, _: Value| Err::<(), _>(TaskError::Snooze(DAY / 4)));
    builder
        .handler("Demo", "Noop", async_fn(async |_, _: Value| Ok(())))
        .handler("Demo", "Fail", failing)
        .handler("Demo", "Snooze", snoozing)
}

async fn start(database: &Database, clock: &Clock, builder: impl FnOnce(GaiaBuilder) -> GaiaBuilder) -> Gaia {
    let gaia = builder(handlers(database.builder())).clock(clock.clone());
    gaia.start().await.expect("starts")
}

async fn start_demo(database: &Database, clock: &Clock) -> (Gaia, Scheduler) {
    let gaia = start(database, clock, |builder| builder.scheduler(options())).await;
    let demo = gaia.scheduler(THEME).expect("is a theme");
    (gaia, demo)
}

async fn run(scheduler: &Scheduler, method: &str) -> i64 {
    let id = scheduler.add_task(task(method)).await.expect("is added").id;
    ended(scheduler, id).await.id
}

fn rows(database: &Database, what: &str) -> i64 {
    database.number(&format!("SELECT COUNT(*) FROM {what}"))
}

/// Waits for a look for old rows at this time of the clock.
async fn looked(database: &Database, clock: &Clock) {
    let now = clock.now().format("%F %T").to_string();
    eventually("a look for old rows", async || {
        (rows(database, &format!("gaia_retention WHERE seen >= '{now}'")) > 0).then_some(())
    })
    .await;
}

async fn gone(database: &Database, what: &str) {
    eventually(&format!("the end of {what}"), async || {
        (rows(database, what) == 0).then_some(())
    })
    .await;
}

#[actix_rt::test]
async fn what_another_program_has_finished_is_kept() {
    let (database, clock) = (adopted().await, new_year());
    let gaia = start(&database, &clock, |builder| {
        builder.scheduler(options()).jobs(JobsOptions::default())
    })
    .await;
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let ours = run(&demo, "Noop").await;
    // One that we have run, and another program after us.
    let both = run(&demo, "Fail").await;
    database.execute(&format!(
        "UPDATE asynctasks SET task_status = 'Success', last_run_end_time = '2026-01-01 00:00:01', \
         update_time = '2026-01-01 00:00:01' WHERE id = {both}"
    ));
    // One that we have finished, and somebody has edited.
    let edited = run(&demo, "Noop").await;
    database.execute(&format!(
        "UPDATE asynctasks SET task_name = 'edited', update_time = update_time WHERE id = {edited}"
    ));
    let job = NewJob::cron_job("x", "@yearly", "Demo", "Noop");
    let job = gaia.jobs().add_job(job).await.expect("is added");
    let run = gaia.jobs().execute_job_immediately(job).await.expect("runs");
    gaia.jobs()
        .wait_for_run(run.id, crate::support::PATIENCE)
        .await
        .expect("ends");

    looked(&database, &clock).await;
    clock.advance(DAY * 8);
    gone(&database, &format!("asynctasks WHERE id IN ({ours}, {edited})")).await;
    gone(&database, "job_record WHERE job_name = 'x'").await;
    assert_eq!(rows(&database, "asynctasks WHERE task_name = 'theirs'"), 3);
    assert_eq!(rows(&database, &format!("asynctasks WHERE id = {both}")), 1);
    assert_eq!(rows(&database, "asynctask_exec_row WHERE node_id IS NULL"), 2);
    assert_eq!(
        rows(&database, &format!("asynctask_exec_row WHERE task_id = {both}")),
        1
    );
    assert_eq!(
        rows(
            &database,
            &format!("asynctask_exec_row WHERE task_id IN ({ours}, {edited})")
        ),
        0
    );
    assert_eq!(rows(&database, "job_record WHERE job_name = 'theirs'"), 1);
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn it_goes_if_somebody_says_so_but_only_of_themes_that_run_here() {
    let (database, clock) = (adopted().await, new_year());
    let gaia = start(&database, &clock, |builder| {
        let builder = builder.scheduler(options()).jobs(JobsOptions::default());
        builder.prune_foreign_history(true)
    })
    .await;
    looked(&database, &clock).await;
    clock.advance(DAY / 24);
    gone(&database, "asynctasks WHERE system_name = 'demo'").await;
    gone(&database, "asynctask_exec_row").await;
    gone(&database, "job_record").await;
    assert_eq!(rows(&database, "asynctasks WHERE system_name = 'other'"), 1);
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn each_node_prunes_its_own_themes_by_its_own_retention() {
    let (database, clock) = (Database::fresh(), new_year());
    let (keeps, kept) = {
        let theme = SchedulerOptions::new("kept");
        let gaia = start(&database, &clock, |builder| builder.scheduler(theme).retention(None)).await;
        let kept = gaia.scheduler("kept").expect("is a theme");
        (gaia, kept)
    };
    let client = start(&database, &clock, |builder| builder.retention(DAY)).await;
    let (gaia, demo) = start_demo(&database, &clock).await;
    run(&kept, "Noop").await;
    run(&demo, "Noop").await;
    looked(&database, &clock).await;
    clock.advance(DAY * 8);
    gone(&database, "asynctasks WHERE system_name = 'demo'").await;
    assert_eq!(
        (rows(&database, "asynctasks"), rows(&database, "asynctask_exec_row")),
        (1, 1)
    );
    for gaia in [keeps, client, gaia] {
        gaia.stop().await.expect("stops");
    }
}

#[actix_rt::test]
async fn no_record_outlives_its_task_and_those_of_a_task_that_goes_on_do_not_pile_up() {
    let (database, clock) = (Database::fresh(), new_year());
    let (gaia, demo) = start_demo(&database, &clock).await;
    let deleted = run(&demo, "Noop").await;
    database.execute(&format!("DELETE FROM asynctasks WHERE id = {deleted}"));
    let often = run(&demo, "Noop").await;
    // It has run so often that its records are more than one page.
    database.execute(&format!(
        "INSERT INTO asynctask_exec_row (task_id, task_status) \
         SELECT {often}, 'Retry' FROM asynctask_exec_row a, asynctask_exec_row b WHERE a.task_id = {often}"
    ));
    for _ in 0..11 {
        database.execute(&format!(
            "INSERT INTO asynctask_exec_row (task_id, task_status) \
             SELECT task_id, 'Retry' FROM asynctask_exec_row WHERE task_id = {often}"
        ));
    }
    let goes_on = demo.add_task(task("Snooze")).await.expect("is added").id;
    for runs in 1..=40 {
        eventually("a run", async || {
            let records = demo.get_task_exec_records(goes_on, PageRequest::new(1, 1)).await.ok()?;
            let task = demo.get_task_detail(goes_on).await.ok()?;
            (records.items.first()?.run_time? > clock.now() - TimeDelta::hours(6) && task.status != TaskStatus::Running)
                .then_some(runs)
        })
        .await;
        clock.advance(DAY / 4);
    }
    gone(
        &database,
        "asynctasks WHERE task_name <> 'Demo.Snooze' AND method_name <> 'Snooze'",
    )
    .await;
    gone(&database, &format!("asynctask_exec_row WHERE task_id <> {goes_on}")).await;
    eventually("the end of its old records", async || {
        (rows(&database, "asynctask_exec_row") < 33).then_some(())
    })
    .await;
    demo.get_task_detail(goes_on).await.expect("is kept");
    gaia.stop().await.expect("stops");
}

// ---- the clock ----

#[actix_rt::test]
async fn a_clock_that_jumps_ahead_deletes_nothing() {
    let (database, clock) = (Database::fresh(), new_year());
    let (gaia, demo) = start_demo(&database, &clock).await;
    let id = run(&demo, "Noop").await;
    // A task that waits for people, and one of which nobody may have heard.
    let failed = run(&demo, "Fail").await;
    let cancelled = demo
        .add_task(task("Noop").run_at(clock.now() + TimeDelta::days(1)))
        .await;
    let cancelled = cancelled.expect("is added").id;
    demo.cancel_task(cancelled).await.expect("waits");
    let young = async || {
        for id in [id, failed, cancelled] {
            demo.get_task_detail(id).await.expect("is young");
        }
    };
    looked(&database, &clock).await;
    clock.advance(DAY);
    looked(&database, &clock).await;
    for jump in [TimeDelta::days(50 * 365), TimeDelta::days(8)] {
        clock.jump(jump);
        for _ in 0..2 {
            clock.advance(Duration::from_secs(300));
            looked(&database, &clock).await;
        }
        young().await;
        // It comes back: a look finds that, too.
        clock.jump(-jump);
        let now = (clock.now() + TimeDelta::seconds(1)).format("%F %T").to_string();
        clock.advance(Duration::from_secs(300));
        eventually("a look at the right time", async || {
            (rows(
                &database,
                &format!("gaia_retention WHERE seen BETWEEN '{now}' AND '2027-01-01'"),
            ) > 0)
                .then_some(())
        })
        .await;
        young().await;
    }
    clock.advance(DAY * 6);
    gone(&database, "asynctasks").await;
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_time_that_stays_wrong_is_believed_after_a_whole_retention() {
    let (database, clock) = (Database::fresh(), new_year());
    let (gaia, demo) = start_demo(&database, &clock).await;
    let id = run(&demo, "Noop").await;
    looked(&database, &clock).await;
    clock.jump(TimeDelta::days(30));
    clock.advance(Duration::from_secs(300));
    looked(&database, &clock).await;
    clock.advance(DAY * 6);
    looked(&database, &clock).await;
    demo.get_task_detail(id).await.expect("is six days old");
    clock.advance(DAY);
    gone(&database, "asynctasks").await;
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_process_that_was_off_for_a_month_waits_for_a_retention() {
    let (database, clock) = (Database::fresh(), new_year());
    let (gaia, demo) = start_demo(&database, &clock).await;
    let id = run(&demo, "Noop").await;
    looked(&database, &clock).await;
    gaia.stop().await.expect("stops");
    clock.advance(DAY * 30);
    let (gaia, demo) = start_demo(&database, &clock).await;
    looked(&database, &clock).await;
    clock.advance(DAY * 6);
    looked(&database, &clock).await;
    // The look after that one comes when whatever the first one deletes is gone.
    clock.advance(Duration::from_secs(300));
    looked(&database, &clock).await;
    demo.get_task_detail(id).await.expect("may be six days old");
    clock.advance(DAY);
    gone(&database, "asynctasks").await;
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn what_a_wrong_clock_has_put_off_for_years_waits_as_long_as_it_was_meant_to() {
    put_off_by(TimeDelta::days(50 * 365)).await;
}

/// A server's clock is that of all nodes.
#[actix_rt::test]
#[cfg(feature = "sqlite")]
async fn what_a_wrong_clock_has_put_off_for_hours_waits_as_long_as_it_was_meant_to() {
    if Database::fresh().kind() == Kind::Sqlite {
        put_off_by(TimeDelta::hours(5)).await;
    }
}

/// The clock is ahead by so much, and set right.
async fn put_off_by(lead: TimeDelta) {
    let (database, clock) = (Database::fresh(), new_year());
    let is_well = Arc::new(AtomicBool::new(false));
    let flaky = {
        let is_well = Arc::clone(&is_well);
        async_fn(move |_: TaskContext, _: Value| {
            let is_well = is_well.load(Ordering::SeqCst);
            async move { is_well.then_some(()).ok_or_else(|| TaskError::failed("not yet")) }
        })
    };
    let gaia = start(&database, &clock, |builder| {
        let builder = builder.handler("Demo", "Flaky", flaky).scheduler(options());
        builder.lease(Duration::from_secs(1))
    })
    .await;
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let meant_for_later = task("Noop").run_at(clock.now() + TimeDelta::days(22_000));
    let meant_for_later = demo.add_task(meant_for_later).await.expect("is added").id;
    clock.jump(lead);
    // A busy machine may cost the node its short lease: an attempt that this cuts off is made again at once.
    let flaky = task("Flaky").max_retry(100).retry_delay(Duration::from_secs(3_600));
    let id = demo.add_task(flaky.unique_key("k")).await.expect("is added").id;
    eventually("an attempt that has failed", async || {
        let task = demo.get_task_detail(id).await.expect("is there");
        (task.status == TaskStatus::Retry && task.run_at.is_some()).then_some(())
    })
    .await;
    // The node looks at the clock with each beat.
    let beat = || database.number("SELECT MAX(beat) FROM gaia_nodes");
    let first = beat();
    eventually("two beats", async || (beat() > first + 1).then_some(())).await;
    clock.jump(-lead);
    let due = eventually("a time that will come", async || {
        let task = demo.get_task_detail(id).await.expect("is there");
        task.run_at.filter(|at| *at < clock.now() + lead)
    })
    .await;
    assert!(due > clock.now() + TimeDelta::minutes(30), "{due}");
    is_well.store(true, Ordering::SeqCst);
    clock.advance((due - clock.now()).to_std().expect("lies ahead"));
    assert_eq!(ended(&demo, id).await.status, TaskStatus::Success);
    let waits = demo.get_task_detail(meant_for_later).await.expect("is there");
    assert_eq!(waits.run_at, Some(new_year().now() + TimeDelta::days(22_000)));
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_second_that_a_wrong_clock_has_claimed_stands_for_no_fire_before_it() {
    let (database, clock) = (Database::fresh(), new_year());
    let with_jobs = |builder: GaiaBuilder| builder.jobs(JobsOptions::default());
    let records = async |count: i64| {
        eventually(&format!("{count} records"), async || {
            (rows(&database, "job_record WHERE job_result_flag IS NOT NULL") == count).then_some(())
        })
        .await;
    };
    let gaia = start(&database, &clock, with_jobs).await;
    let hourly = NewJob::cron_job("x", "@hourly", "Demo", "Noop");
    gaia.jobs().add_job(hourly).await.expect("is added");
    // Half past an hour: one fire was missed, and none is due.
    let fifty_years = TimeDelta::days(50 * 365) + TimeDelta::minutes(30);
    clock.jump(fifty_years);
    clock.advance(Duration::from_secs(2));
    records(1).await;
    clock.jump(-fifty_years);
    let ticks = async || gaia.jobs().status().await.expect("run here").ticks;
    let before = ticks().await;
    clock.advance(Duration::from_secs(2));
    eventually("a tick at the right time", async || {
        (ticks().await > before).then_some(())
    })
    .await;
    clock.advance(Duration::from_secs(3_600));
    records(2).await;
    assert_eq!(rows(&database, "job_center WHERE scheduled_from > '2027-01-01'"), 0);
    gaia.stop().await.expect("stops");
    // What comes due while nobody is there is missed, and made up for.
    clock.advance(Duration::from_secs(5_400));
    let gaia = start(&database, &clock, with_jobs).await;
    records(3).await;
    gaia.stop().await.expect("stops");
}

// ---- what is said ----

/// A node that keeps rows for so many seconds, and what it says as a warning.
fn says(database: &Database, retention: &str, settings: &[(&str, &str)]) -> (std::process::Child, std::path::PathBuf) {
    let said = database.file("said");
    let node = std::process::Command::new(example("node"))
        .env("DATABASE_URL", database.url())
        .env("EFFECTS", database.file("effects"))
        .env("RUST_LOG", "warn")
        .env("GAIA__NODE__RETENTION", retention)
        .envs(settings.iter().copied())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&said).expect("is made"))
        .spawn()
        .expect("starts");
    (node, said)
}

async fn heard(said: &std::path::Path, text: &str) -> String {
    eventually(text, async || {
        let all = std::fs::read_to_string(said).ok()?;
        all.lines().find(|line| line.contains(text)).map(str::to_owned)
    })
    .await
}

#[actix_rt::test]
async fn the_first_start_on_a_history_says_what_is_kept_and_what_is_pruned() {
    let database = adopted().await;
    let (mut node, said) = says(&database, "604800", &[]);
    let line = heard(&said, "theme demo").await;
    assert!(
        line.contains("WARN") && line.contains("KEPT: 2 finished tasks"),
        "{line}"
    );
    assert!(
        line.contains("PRUNED") && line.contains("prune_foreign_history"),
        "{line}"
    );
    node.kill().and_then(|()| node.wait()).expect("ends");
}

#[actix_rt::test]
async fn a_node_that_starts_with_a_clock_far_ahead_deletes_nothing() {
    let database = Database::fresh();
    let right = NodeProcess::start(&database, &[("GAIA__NODE__RETENTION", "30")]);
    let client = database.builder().start().await.expect("starts");
    let demo = client.scheduler(THEME).expect("is a theme");
    run(&demo, "Noop").await;
    assert_eq!(right.stop(), Some(0));
    let fifty_years = (50 * 365 * 86_400_000_i64).to_string();
    let (mut node, said) = says(&database, "30", &[("SKEW_MS", &fifty_years)]);
    if database.is_on_a_server() {
        // It follows the server's clock: there is no doubt.
    } else {
        let line = heard(&said, "nothing is deleted before").await;
        assert!(line.contains("the clock is ahead"), "{line}");
    }
    // It would look every three seconds.
    actix_rt::time::sleep(Duration::from_secs(7)).await;
    assert_eq!(
        (rows(&database, "asynctasks"), rows(&database, "asynctask_exec_row")),
        (1, 1)
    );
    node.kill().and_then(|()| node.wait()).expect("ends");
    client.stop().await.expect("stops");
}
