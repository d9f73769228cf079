//! Statements do not depend on what the planner believes.

use chrono::{TimeDelta, Utc};
use gaia_actors::{
    Clock, Failure, Json, Outcome,
    admin::{FindRuns, RunState},
    prelude::*,
    store::{Claim, Store},
};

use crate::support::{Database, Kind, THEME, ended, eventually, options, task};

const TASKS: usize = 3_000;

/// Claims tasks and writes the ends of their runs: half of them are failures.
async fn run_tasks(store: &Store, limit: usize) {
    let claim = Claim {
        theme: THEME.to_owned(),
        node: "a".to_owned(),
        limit,
        first: Vec::new(),
        methods: None,
        above: None,
    };
    let claimed = store.tasks().claim(claim).await.expect("claims").tasks;
    assert_eq!(claimed.len(), limit);
    let success = || Outcome::Succeeded(Json::null());
    let failure = || Outcome::Failed {
        error: "no".to_owned(),
        failure: Failure::Discarded,
    };
    for (at, batch) in claimed.chunks(500).enumerate() {
        let outcome = |at: usize| if at.is_multiple_of(2) { success() } else { failure() };
        let runs = batch.iter().map(|task| (task.clone(), outcome(at)));
        let written = store.tasks().record(runs.collect(), RetryPolicy::immediate()).await;
        assert!(written.expect("writes").iter().all(Option::is_some));
    }
}

/// The planner could read the whole table for each batch, or for each task of a batch.
async fn rows_are_found_by_key(database: &Database, analyzed: usize) {
    let gaia = database.builder().start().await.expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    demo.add_tasks(vec![task("Noop"); analyzed]).await.expect("are added");
    database.execute("ALTER TABLE asynctasks SET (autovacuum_enabled = false)");
    database.execute("ANALYZE asynctasks");
    let now = database.in_seconds(0);
    database.execute(&format!(
        "INSERT INTO gaia_nodes (id, host, pid, version, started_at, heartbeat, beat, lease_ms, themes, protocol) \
         VALUES ('a', 'host', 1, '0', {now}, {now}, 1, 3600000, '[]', 3)"
    ));
    let store = Store::connect(&database.url_with("pool_size=1"), Clock::system()).await;
    let store = store.expect("opens");
    if analyzed < TASKS {
        // The server keeps the plans that it makes now.
        for _ in 0..3 {
            run_tasks(&store, 1).await;
        }
        demo.add_tasks(vec![task("Noop"); TASKS]).await.expect("are added");
    }
    run_tasks(&store, TASKS).await;
    // A connection tells what it has read when it ends.
    drop(store);
    let read = |index: &str| {
        database.number(&format!(
            "SELECT idx_tup_read::BIGINT AS number FROM pg_stat_user_indexes WHERE indexrelname = '{index}'"
        ))
    };
    let tasks = i64::try_from(TASKS).expect("is small");
    let by_key = eventually("the server's counts", async || {
        let by_key = read("asynctasks_pkey");
        (by_key >= tasks).then_some(by_key)
    })
    .await;
    let scanned = "SELECT seq_tup_read::BIGINT AS number FROM pg_stat_user_tables WHERE relname = 'asynctasks'";
    let scanned = database.number(scanned);
    // Each of three statements is planned before the settings hold, the first time on a connection.
    assert!(scanned <= 3 * tasks, "{scanned} by scans of the table, {by_key} by key");
    assert!(by_key <= 20 * tasks, "{scanned} by scans of the table, {by_key} by key");
    gaia.stop().await.expect("stops");
}

/// When its statistics were taken nothing ran, and the planner knows little of how many tasks a batch names.
#[actix_rt::test]
async fn ends_are_written_by_key_when_the_statistics_know_of_no_running_task() {
    let database = Database::of_kind(Kind::Postgres);
    rows_are_found_by_key(&database, TASKS).await;
}

/// For a table of three rows no index is worth its while.
#[actix_rt::test]
async fn tasks_are_found_by_key_when_the_statistics_take_the_table_for_tiny() {
    let database = Database::of_kind(Kind::Postgres);
    rows_are_found_by_key(&database, 3).await;
}

/// What the server is told for one statement must not stay for the next one, on the same connection: it keeps the plans of
/// statements that claim, write and add, of no others; a claim's commit may be late, others not.
#[actix_rt::test]
async fn settings_of_one_statement_are_not_those_of_the_next() {
    let database = Database::of_kind(Kind::Postgres);
    let url = database.url_with("pool_size=1");
    let builder = Gaia::builder().database(url).scheduler(options());
    let handler = async_fn(async |_, _: serde_json::Value| Ok::<_, TaskError>(()));
    let gaia = builder.handler("Demo", "Noop", handler).start().await.expect("starts");
    database.execute(
        "CREATE TABLE seen (op TEXT, status TEXT, plans TEXT, scans TEXT, commits TEXT); \
         CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
           IF NEW.service_name = 'Bad' THEN RAISE check_violation; END IF; \
           INSERT INTO seen VALUES (TG_OP, NEW.task_status, current_setting('plan_cache_mode'), \
             current_setting('enable_seqscan'), current_setting('synchronous_commit')); \
           RETURN NEW; END $$; \
         CREATE TRIGGER see BEFORE INSERT OR UPDATE ON asynctasks FOR EACH ROW EXECUTE FUNCTION see(); \
         CREATE FUNCTION see_claim() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
           INSERT INTO seen VALUES ('CLAIM', '', current_setting('plan_cache_mode'), \
             current_setting('enable_seqscan'), current_setting('synchronous_commit')); \
           RETURN NEW; END $$; \
         CREATE TRIGGER see BEFORE INSERT ON gaia_claims FOR EACH ROW EXECUTE FUNCTION see_claim()",
    );
    let demo = gaia.scheduler(THEME).expect("is a theme");
    for _ in 0..10 {
        // Claimed by its insert, claimed by the scanner, and refused.
        let id = demo.add_task(task("Noop")).await.expect("is added").id;
        ended(&demo, id).await;
        let added = demo.add_tasks(vec![task("Noop"); 20]).await.expect("are added");
        for added in added {
            ended(&demo, added.id).await;
        }
        demo.add_task(NewTask::new("Bad", "Noop"))
            .await
            .expect_err("is refused");
        let bad = vec![NewTask::new("Bad", "Noop"); 2];
        demo.add_tasks(bad).await.expect_err("are refused");
        // By a statement that has no plan of its own.
        let later = task("Noop").run_at(Utc::now() + TimeDelta::hours(1));
        let id = demo.add_task(later).await.expect("is added").id;
        demo.cancel_task(id).await.expect("is cancelled");
    }
    gaia.stop().await.expect("stops");
    let seen = |which: &str| database.number(&format!("SELECT COUNT(*) AS number FROM seen WHERE {which}"));
    let is_kept = "plans = 'force_generic_plan' AND scans = 'off'";
    let is_new = "plans = 'force_custom_plan' AND scans = 'on'";
    assert!(seen(&format!("op = 'INSERT' AND {is_kept}")) > 0);
    assert!(seen(&format!("status = 'Success' AND {is_kept}")) > 0);
    assert!(seen(&format!("op = 'CLAIM' AND {is_kept} AND commits = 'off'")) > 0);
    assert_eq!(seen(&format!("NOT ({is_kept}) AND NOT ({is_new})")), 0);
    assert_eq!(seen(&format!("status = 'Cancelled' AND {is_new}")), 10);
    assert_eq!(seen("op <> 'CLAIM' AND commits <> 'on'"), 0);
}

/// Beside many runs, a page of them costs as much as beside few.
#[actix_rt::test]
async fn runs_of_jobs_are_found_by_index() {
    const RUNS: i64 = 200_000;
    let database = Database::of_kind(Kind::Postgres);
    let gaia = database.builder().start().await.expect("starts");
    database.execute(&format!(
        "ALTER TABLE job_record SET (autovacuum_enabled = false); \
         INSERT INTO job_record (job_id, job_name, job_type, cron_expr, job_result_flag, node_id) \
         SELECT 1 + n % 1000, 'x', 'cron_job', '@yearly', CASE WHEN n % 20000 <> 0 THEN 'success' END, 'a' \
         FROM generate_series(1, {RUNS}) n; \
         ANALYZE job_record"
    ));
    let scanned = "SELECT seq_tup_read::BIGINT AS number FROM pg_stat_user_tables WHERE relname = 'job_record'";
    let read =
        "SELECT (seq_tup_read + idx_tup_fetch)::BIGINT AS number FROM pg_stat_user_tables WHERE relname = 'job_record'";
    let before = database.number(read);
    let admin = gaia.admin();
    let mut found = 0;
    for state in [None, Some(RunState::Open), Some(RunState::Ended)] {
        for job_id in [None, Some(1), Some(7)] {
            for before in [None, Some(RUNS / 2)] {
                let find = FindRuns {
                    job_id,
                    state,
                    before,
                    ..FindRuns::default()
                };
                found += admin.find_runs(find).await.expect("finds").runs.len();
            }
        }
    }
    // Open are ten runs, all of job 1, four of them before the middle.
    assert_eq!(found, 12 * 50 + 14 + 14);
    gaia.stop().await.expect("stops");
    // A connection tells what it has read when it ends.
    let rows = eventually("the server's counts", async || {
        let rows = database.number(read) - before;
        (rows > 0).then_some(rows)
    })
    .await;
    assert!(
        rows < 5_000,
        "{rows} rows were read, {} by scans",
        database.number(scanned)
    );
}
