//! Tables of later versions of the Go framework than its guide: narrower columns, letters of utf8mb3, columns of their own.

use std::time::Duration;

use chrono::Utc;
use gaia_actors::{Clock, RunFlag, async_fn, messages::ListJobs, prelude::*, store::Store};
use serde_json::Value;

use crate::{
    go_worker::GoWorker,
    support::{Database, Gate, Kind, NodeProcess, THEME, ended, eventually, options, refusal},
};

const TABLES: &str = "
CREATE TABLE asynctasks (
  id bigint AUTO_INCREMENT PRIMARY KEY,
  system_name varchar(32) DEFAULT '' NOT NULL,
  service_name varchar(32) DEFAULT '' NOT NULL,
  method_name varchar(64) DEFAULT '' NOT NULL,
  task_name varchar(128) DEFAULT '' NOT NULL,
  arg longtext NULL,
  task_status varchar(32) DEFAULT 'Wait' NOT NULL,
  create_time datetime DEFAULT CURRENT_TIMESTAMP NOT NULL,
  update_time datetime DEFAULT CURRENT_TIMESTAMP NOT NULL ON UPDATE CURRENT_TIMESTAMP,
  max_retry_time int DEFAULT 0 NOT NULL,
  priority int DEFAULT 0 NOT NULL,
  tenant_id varchar(64) DEFAULT '' NOT NULL,
  retry_time int DEFAULT 0 NOT NULL,
  last_result longtext NULL,
  last_err_msg varchar(512) DEFAULT '' NOT NULL,
  last_run_time datetime(3) NULL,
  last_run_end_time datetime(3) NULL,
  last_run_duration int DEFAULT 0 NOT NULL,
  log_id varchar(64) NULL,
  KEY asynctasks_create_time_index (create_time),
  KEY asynctasks_method_name_index (method_name),
  KEY asynctasks_service_name_index (service_name),
  KEY asynctasks_system_name_index (system_name),
  KEY asynctasks_task_name_index (task_name),
  KEY asynctasks_task_status_index (task_status),
  KEY asynctasks_priority_index (priority),
  KEY asynctasks_tenant_id_index (tenant_id)
) CHARSET = utf8mb3;
CREATE TABLE async_task_heartbeat (
  id int NOT NULL AUTO_INCREMENT PRIMARY KEY,
  task_id int NOT NULL,
  heart_beat_time datetime(3) DEFAULT NULL,
  heart_beat_nano_time bigint DEFAULT 0,
  UNIQUE KEY async_task_heartbeat_task_id_uindex (task_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb3 COLLATE = utf8mb3_bin;
CREATE TABLE asynctask_exec_row (
  id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY,
  task_id bigint NOT NULL DEFAULT 0,
  task_status varchar(32) NOT NULL DEFAULT 'Wait',
  last_result longtext,
  last_err_msg varchar(512) NOT NULL DEFAULT '',
  last_run_time datetime(3) DEFAULT NULL,
  last_run_end_time datetime(3) DEFAULT NULL,
  last_run_duration int NOT NULL DEFAULT 0,
  log_id varchar(128) NOT NULL DEFAULT '',
  KEY asynctasks_create_time_index (last_run_time)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb3;
CREATE TABLE job_record (
  id int AUTO_INCREMENT PRIMARY KEY,
  system_name varchar(64) DEFAULT '' NOT NULL,
  job_name varchar(64) DEFAULT '' NOT NULL,
  job_type varchar(64) DEFAULT '' NOT NULL,
  cron_expr varchar(32) DEFAULT '' NOT NULL,
  service_name varchar(128) DEFAULT '' NOT NULL,
  service_method varchar(64) DEFAULT '' NOT NULL,
  args longtext NULL,
  job_result_flag varchar(32) DEFAULT '' NOT NULL,
  hook_url varchar(512) DEFAULT '' NOT NULL,
  run_err text NULL,
  run_result text NULL,
  create_time datetime(3) NULL,
  update_time datetime(3) NULL,
  timeout int NULL,
  duration_ms bigint DEFAULT 0 NOT NULL,
  instance_id varchar(96) DEFAULT '' NOT NULL
) COLLATE = utf8mb3_bin;
CREATE TABLE job_center (
  id int AUTO_INCREMENT PRIMARY KEY,
  system_name varchar(64) DEFAULT '' NOT NULL,
  job_name varchar(64) DEFAULT '' NOT NULL,
  job_type varchar(64) DEFAULT '' NOT NULL,
  cron_expr varchar(32) DEFAULT '' NOT NULL,
  service_name varchar(128) DEFAULT '' NOT NULL,
  service_method varchar(64) DEFAULT '' NOT NULL,
  timeout int NULL,
  args longtext NULL,
  hook_url varchar(512) DEFAULT '' NOT NULL,
  run_status varchar(32) DEFAULT '待运行' NOT NULL,
  last_run_time datetime(3) NULL,
  create_time datetime(3) NULL,
  update_time datetime(3) NULL,
  enabled tinyint DEFAULT 0 NOT NULL,
  lease_owner varchar(96) DEFAULT '' NOT NULL,
  lease_expire_at datetime(3) NULL,
  last_heartbeat_time datetime(3) NULL,
  CONSTRAINT job_center_pk UNIQUE (system_name, job_name)
) COLLATE = utf8mb3_bin;
";

/// Each status, a record, and jobs whose names differ in the case of a letter only.
const ROWS: &str = "
INSERT INTO asynctasks (system_name, service_name, method_name, task_name, arg, priority, tenant_id)
  VALUES ('demo', 'Demo', 'Echo', '创建订单', '{\"order\": 1}', 5, 'acme');
INSERT INTO asynctasks (system_name, service_name, method_name, task_name, arg, task_status, last_err_msg, last_run_duration, log_id)
  VALUES ('demo', 'Demo', 'Echo', 'ended', '1', 'Failed', 'it was so', 250, 'go-log-1');
INSERT INTO asynctask_exec_row (task_id, task_status, last_err_msg, last_run_time, last_run_end_time, last_run_duration, log_id)
  VALUES (2, 'Failed', 'it was so', '2026-11-01 08:00:00.125', '2026-11-01 08:00:00.375', 250, 'go-log-1');
INSERT INTO job_center (system_name, job_name, job_type, cron_expr, service_name, service_method, enabled)
  VALUES ('shop', 'report', 'cron_job', '0 0 1 * * *', 'Demo', 'Echo', 0), ('shop', 'Report', 'cron_job', '0 0 1 * * *', 'Demo', 'Echo', 0),
         ('mail', 'report', 'cron_job', '0 0 1 * * *', 'Demo', 'Echo', 0);
INSERT INTO job_record (system_name, job_name, job_type, cron_expr, service_name, service_method, job_result_flag, create_time, duration_ms, instance_id)
  VALUES ('shop', 'report', 'cron_job', '0 0 1 * * *', 'Demo', 'Echo', 'success', '2026-11-01 01:00:00.500', 40, 'host-1-2');
";

/// As the framework's driver sends it.
const GO_INSERT: &str = "INSERT INTO `asynctasks` (`service_name`,`method_name`,`task_name`,`arg`,`max_retry_time`,`priority`,`tenant_id`,\
     `system_name`,`task_status`,`last_run_time`,`last_run_end_time`,`last_run_duration`,`create_time`,`update_time`,\
     `retry_time`,`last_result`,`last_err_msg`,`log_id`) VALUES ('Demo','Echo','from Go','{\"a\":\"b\"}',0,0,'',\
     'demo','Wait',NULL,NULL,0,NOW(),NOW(),0,'','','')";

/// The tables of the guide.
const GUIDE: &str = include_str!("../../migrations/mysql/2026-11-22-000001_guide_tables/up.sql");

/// The local time of the framework's programs. The session of plain SQL is in UTC.
const LOCAL: &str = "UTC_TIMESTAMP(3) + INTERVAL 8 HOUR";

fn field() -> Database {
    let database = Database::of_kind(Kind::Mysql);
    database.execute(TABLES);
    database.execute(ROWS);
    database
}

#[actix_rt::test]
async fn tables_of_later_versions_are_adopted_and_go_on_taking_their_inserts() {
    let database = field();
    let node = NodeProcess::start(&database, &[]);
    let client = database.builder().migrate(false).start().await.expect("starts");
    let demo = client.scheduler(THEME).expect("is a theme");
    let adopted = ended(&demo, 1).await;
    assert_eq!(
        (adopted.status, adopted.name.as_str()),
        (TaskStatus::Success, "创建订单")
    );
    assert_eq!(
        (adopted.last_result.as_deref(), adopted.priority),
        (Some("{\"order\":1}"), 5)
    );
    assert_eq!(
        database.number("SELECT COUNT(*) FROM asynctasks WHERE tenant_id = 'acme' AND id = 1"),
        1
    );

    database.execute(GO_INSERT);
    let from_go = ended(&demo, 3).await;
    assert_eq!(
        (from_go.status, from_go.last_result.as_deref()),
        (TaskStatus::Success, Some("{\"a\":\"b\"}"))
    );

    // What is longer than the columns were, and has letters that they lacked.
    let wide = NewTask::new("Demo", "Echo").name("🚀".repeat(255)).args(&"🚀");
    let wide = demo.add_task(wide).await.expect("is added").id;
    let wide = ended(&demo, wide).await;
    assert_eq!(
        (wide.name, wide.last_result.as_deref()),
        ("🚀".repeat(255), Some("\"🚀\""))
    );

    // History is as it was.
    let ended = demo.get_task_detail(2).await.expect("is there");
    assert_eq!(
        (ended.status, ended.last_error.as_deref()),
        (TaskStatus::Failed, Some("it was so"))
    );
    let untouched = "SELECT COUNT(*) FROM asynctask_exec_row WHERE task_id = 2 AND last_run_time = '2026-11-01 08:00:00.125' \
                     AND last_run_duration = 250 AND log_id = 'go-log-1'";
    assert_eq!(database.number(untouched), 1);
    let record = "SELECT COUNT(*) FROM job_record WHERE duration_ms = 40 AND instance_id = 'host-1-2' AND job_result_flag = 'success'";
    assert_eq!(database.number(record), 1);
    assert_eq!(database.number("SELECT COUNT(*) FROM job_center"), 3);
    assert_eq!(node.stop(), Some(0));
    client.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_text_that_is_too_long_is_refused_before_the_first_change() {
    let database = field();
    database.execute("UPDATE asynctasks SET arg = REPEAT('x', 16777216) WHERE id = 2");
    let store = Store::connect(&database.url(), Clock::system()).await.expect("opens");
    let text = refusal(store.migrate().await);
    assert!(
        text.contains("the row 2 of asynctasks has a text of more than 16 MB"),
        "{text}"
    );
    let changed = "SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = DATABASE() AND character_set_name = 'utf8mb4' \
                   AND table_name = 'asynctasks'";
    assert_eq!(database.number(changed), 0);
    database.execute("UPDATE asynctasks SET arg = '1' WHERE id = 2");
    store.migrate().await.expect("migrates");
    store.check_schema().await.expect("is complete");
}

#[actix_rt::test]
async fn a_dry_run_lists_the_changes_and_makes_none() {
    let database = field();
    let store = Store::connect(&database.url(), Clock::system()).await.expect("opens");
    let changes = store.changes_before_migrations().await.expect("answers");
    assert_eq!(changes.len(), 5, "{changes:#?}");
    assert!(
        changes[0]
            .starts_with("ALTER TABLE asynctasks CONVERT TO CHARACTER SET utf8mb4, MODIFY task_name varchar(255)"),
        "{changes:#?}"
    );
    assert_eq!(store.changes_before_migrations().await.expect("answers"), changes);
    // As a run leaves it that was killed after the first of them.
    database.execute(&changes[0]);
    assert_eq!(store.changes_before_migrations().await.expect("answers"), changes[1..]);
    store.migrate().await.expect("migrates");
    assert!(store.changes_before_migrations().await.expect("answers").is_empty());

    // The guide's own tables need none.
    let guide = Database::of_kind(Kind::Mysql);
    guide.execute(GUIDE);
    let store = Store::connect(&guide.url(), Clock::system()).await.expect("opens");
    assert!(store.changes_before_migrations().await.expect("answers").is_empty());
}

/// Adds tasks as producers in Go do, for `Demo.Sleep`.
fn add(database: &Database, theme: &str, millis: &[u32]) {
    let rows: Vec<String> = millis
        .iter()
        .map(|ms| format!("('Demo', 'Sleep', 'from Go', '{{\"ms\": {ms}}}', 3, '{theme}', 'Wait', {LOCAL}, {LOCAL})"))
        .collect();
    database.execute(&format!(
        "INSERT INTO asynctasks (service_name, method_name, task_name, arg, max_retry_time, system_name, task_status, create_time, update_time) \
         VALUES {}",
        rows.join(", ")
    ));
}

fn with(database: &Database, status: &str, theme: &str) -> i64 {
    database.number(&format!(
        "SELECT COUNT(*) FROM asynctasks WHERE task_status = '{status}' AND system_name = '{theme}'"
    ))
}

async fn all_succeed(database: &Database, theme: &str) {
    eventually("all tasks succeed", async || {
        let open = database.number(&format!(
            "SELECT COUNT(*) FROM asynctasks WHERE task_status NOT IN ('Success', 'Failed') AND system_name = '{theme}'"
        ));
        (open == 0).then_some(())
    })
    .await;
}

fn node_of(database: &Database, theme: &str) -> NodeProcess {
    let url = database.url_with("time_zone=+08:00");
    NodeProcess::start(database, &[("THEME", theme), ("DATABASE_URL", &url)])
}

/// Moves two themes from workers of the framework to nodes, one after the other under load, and one of them back.
async fn rollout(tables: &str, beats: bool) {
    let database = Database::of_kind(Kind::Mysql);
    database.execute(tables);
    database.execute(
        "INSERT INTO asynctasks (id, service_name, method_name, task_name, system_name, task_status, last_err_msg, create_time, update_time) \
         VALUES (1, 'Demo', 'Sleep', 'of old', 'order', 'Failed', 'it was so', '2026-01-02 03:04:05', '2026-01-02 03:04:05'); \
         INSERT INTO asynctask_exec_row (task_id, task_status, last_err_msg, last_run_time) \
         VALUES (1, 'Failed', 'it was so', '2026-01-02 03:04:05')",
    );
    let (order, mail) = (
        GoWorker::start(&database, "order", beats),
        GoWorker::start(&database, "mail", beats),
    );
    for theme in ["order", "mail"] {
        add(&database, theme, &[50; 12]);
    }
    eventually("both sides of the framework work", async || {
        let works = |theme| with(&database, "Success", theme) >= 4;
        (works("order") && works("mail")).then_some(())
    })
    .await;

    // The first theme moves.
    order.finish();
    add(&database, "order", &[50; 20]);
    let first = node_of(&database, "order");
    let second = node_of(&database, "order");
    // It takes longer than the framework waits for a heartbeat.
    add(&database, "order", &[if beats { 36_000 } else { 2_000 }]);
    add(&database, "order", &[50; 20]);
    add(&database, "mail", &[50; 12]);
    all_succeed(&database, "mail").await;

    // A worker of the other theme dies, and a node takes that theme over, too.
    add(&database, "mail", &[3_000]);
    eventually("the task runs", async || {
        (with(&database, "Running", "mail") == 1).then_some(())
    })
    .await;
    mail.die();
    if !beats {
        // Without heartbeats nothing tells that the worker is dead: an operator does.
        database.execute(
            "UPDATE asynctasks SET task_status = 'Wait' WHERE task_status = 'Running' AND system_name = 'mail'",
        );
    }
    let third = node_of(&database, "mail");
    add(&database, "mail", &[50; 12]);
    let other = GoWorker::start(&database, "other", beats);
    all_succeed(&database, "mail").await;
    all_succeed(&database, "order").await;
    other.finish();

    // The first theme moves back.
    assert_eq!((first.stop(), second.stop()), (Some(0), Some(0)));
    add(&database, "order", &[50; 20]);
    let order = GoWorker::start(&database, "order", beats);
    all_succeed(&database, "order").await;
    order.finish();
    assert_eq!(third.stop(), Some(0));

    let none = |what: &str, sql: &str| assert_eq!(database.number(&format!("SELECT COUNT(*) FROM {sql}")), 0, "{what}");
    none("lost", "asynctasks WHERE task_status <> 'Success' AND id <> 1");
    none(
        "run twice at once",
        "asynctask_exec_row a JOIN asynctask_exec_row b ON a.task_id = b.task_id AND a.id < b.id \
         AND a.last_run_time < b.last_run_end_time AND b.last_run_time < a.last_run_end_time",
    );
    none(
        "run twice, or without a record",
        "(SELECT t.id FROM asynctasks t LEFT JOIN asynctask_exec_row r ON r.task_id = t.id AND r.task_status = 'Success' WHERE t.id <> 1 \
          GROUP BY t.id HAVING COUNT(r.id) <> 1) odd",
    );
    for column in ["create_time", "update_time", "last_run_time", "last_run_end_time"] {
        none(
            column,
            &format!("asynctasks WHERE id <> 1 AND ABS(TIMESTAMPDIFF(SECOND, {column}, {LOCAL})) > 600"),
        );
    }
    assert_eq!(
        database.number(
            "SELECT COUNT(*) FROM asynctasks t JOIN asynctask_exec_row r ON r.task_id = t.id WHERE t.id = 1 AND t.task_status = 'Failed' \
             AND t.last_err_msg = 'it was so' AND t.update_time = '2026-01-02 03:04:05' AND r.last_run_time = '2026-01-02 03:04:05'"
        ),
        1,
        "history is untouched"
    );
}

#[actix_rt::test]
async fn themes_move_one_by_one_and_back_on_tables_with_heartbeats() {
    rollout(TABLES, true).await;
}

#[actix_rt::test]
async fn themes_move_one_by_one_and_back_on_the_tables_of_the_guide() {
    rollout(GUIDE, false).await;
}

#[actix_rt::test]
async fn a_theme_on_which_workers_of_the_framework_live_is_left_to_them() {
    let database = field();
    let go = GoWorker::start(&database, THEME, true);
    add(&database, THEME, &[8_000]);
    let long = "SELECT COUNT(*) FROM asynctasks WHERE task_status = 'Running' AND method_name = 'Sleep'";
    eventually("the task runs", async || (database.number(long) == 1).then_some(())).await;
    let gaia = Gaia::builder()
        .database(database.url_with("time_zone=+08:00"))
        .handler("Demo", "Here", async_fn(async |_, _: Value| Ok("here")))
        .scheduler(options())
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    // The worker of the framework has no handler of this method, and would end the task as well.
    let waits = demo.add_task(NewTask::new("Demo", "Here")).await.expect("is added").id;
    let status = demo.status().await.expect("answers");
    assert!(status.shared && !status.paused, "{status:?}");
    let ran = ended(&demo, waits).await;
    assert_eq!(ran.last_result.as_deref(), Some("\"by Go\""));
    go.finish();
    let here = demo.add_task(NewTask::new("Demo", "Here")).await.expect("is added").id;
    assert_eq!(ended(&demo, here).await.last_result.as_deref(), Some("\"here\""));
    assert!(!demo.status().await.expect("answers").shared);
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn runs_go_on_where_heartbeats_cannot_be_written_and_after_their_table_is_dropped() {
    let database = field();
    let gate = Gate::closed();
    let gaia = Gaia::builder()
        .database(database.url_with("time_zone=+08:00"))
        .handler("Demo", "Held", gate.handler())
        .scheduler(options())
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    eventually("the theme's tasks are taken", async || {
        (!demo.status().await.expect("answers").shared).then_some(())
    })
    .await;
    // As a team may change its own table.
    database.execute("ALTER TABLE async_task_heartbeat CHANGE task_id other_id bigint NOT NULL");
    let id = demo.add_task(NewTask::new("Demo", "Held")).await.expect("is added").id;
    gate.entered(1).await;
    eventually("its row is Running", async || {
        (with(&database, "Running", THEME) == 1).then_some(())
    })
    .await;
    gate.let_pass(1);
    assert_eq!(ended(&demo, id).await.status, TaskStatus::Success);

    // A further theme begins once nothing of the framework is there.
    let later = gaia
        .start_scheduler(SchedulerOptions::new("later"))
        .await
        .expect("starts");
    assert!(later.status().await.expect("answers").shared);
    database.execute("DROP TABLE async_task_heartbeat");
    let id = later.add_task(NewTask::new("Demo", "Held")).await.expect("is added").id;
    gate.let_pass(1);
    assert_eq!(ended(&later, id).await.status, TaskStatus::Success);
    assert!(!later.status().await.expect("answers").shared);
    gaia.stop().await.expect("stops");
}

fn jobs_of(database: &Database, system: &str) -> GaiaBuilder {
    Gaia::builder()
        .database(database.url_with("time_zone=+08:00"))
        .handler("Demo", "Echo", async_fn(async |_, args: Value| Ok(args)))
        .jobs(JobsOptions::default().system_name(system).time_zone("Asia/Shanghai"))
}

async fn names(gaia: &Gaia) -> Vec<String> {
    let page = gaia.jobs().list_jobs(ListJobs::default()).await.expect("lists");
    let mut names: Vec<String> = page.items.into_iter().map(|job| job.job_name).collect();
    names.sort_unstable();
    names
}

#[actix_rt::test]
async fn jobs_of_several_systems_are_kept_apart() {
    let database = field();
    let shop = jobs_of(&database, "shop").start().await.expect("starts");
    let mail = jobs_of(&database, "mail").start().await.expect("starts");
    let none = jobs_of(&database, "").start().await.expect("starts");
    assert_eq!(names(&shop).await, ["Report", "report"]);
    assert_eq!(names(&mail).await, ["report"]);
    assert!(names(&none).await.is_empty());

    // A name is taken in one system.
    let each_second = |name: &str| NewJob::cron_job(name, "* * * * * *", "Demo", "Echo").args(&name);
    let taken = shop.jobs().add_job(each_second("report")).await;
    assert!(matches!(taken, Err(Error::JobNameTaken { .. })), "{taken:?}");
    let in_shop = shop.jobs().add_job(each_second("fires")).await.expect("is added");
    let in_mail = mail.jobs().add_job(each_second("fires")).await.expect("is added");
    for (gaia, id) in [(&shop, in_shop), (&mail, in_mail)] {
        eventually("the job runs", async || {
            let records = gaia
                .jobs()
                .get_job_records(id, PageRequest::default())
                .await
                .expect("answers");
            (records.total > 1).then_some(())
        })
        .await;
    }
    // A job of another system is not there: not to be seen, and not to be run.
    assert!(matches!(
        mail.jobs().get_job_detail(in_shop).await,
        Err(Error::JobNotFound { .. })
    ));
    assert!(none.jobs().execute_job_immediately(in_shop).await.is_err());
    let strange =
        "SELECT COUNT(*) FROM job_record r JOIN job_center j ON j.id = r.job_id WHERE r.system_name <> j.system_name";
    assert_eq!(database.number(strange), 0);
    for gaia in [shop, mail, none] {
        gaia.stop().await.expect("stops");
    }
}

#[actix_rt::test]
async fn a_second_that_the_other_side_has_fired_is_not_fired_again() {
    let database = field();
    let shop = jobs_of(&database, "shop").start().await.expect("starts");
    let job = NewJob::cron_job("each second", "* * * * * *", "Demo", "Echo")
        .args(&1)
        .enabled(false);
    let id = shop.jobs().add_job(job).await.expect("is added");
    // Its clock may be a little ahead.
    let enable = |seconds: u32| {
        database.execute(&format!(
            "UPDATE job_center SET enabled = 1, lease_owner = '', last_run_time = {LOCAL} + INTERVAL {seconds} SECOND WHERE id = {id}"
        ));
        Utc::now() + Duration::from_secs(seconds.into())
    };
    let first = async || {
        eventually("the job runs", async || {
            let page = shop
                .jobs()
                .get_job_records(id, PageRequest::default())
                .await
                .expect("answers");
            page.items.last().and_then(|record| record.scheduled_at)
        })
        .await
    };
    let fired = enable(5);
    assert!(first().await > fired - Duration::from_secs(1), "{fired}");
    shop.jobs().toggle_job(id, false).await.expect("is disabled");
    database.execute(&format!("DELETE FROM job_record WHERE job_id = {id}"));
    // A time that lies far ahead was written in another zone.
    let far = enable(28_800);
    assert!(first().await < far - Duration::from_secs(20_000));
    shop.stop().await.expect("stops");
}

/// The statement with which a program of the framework takes a job.
fn go_takes(id: i64) -> String {
    format!(
        "UPDATE job_center SET run_status = '运行中', lease_owner = 'host-1-2', lease_expire_at = {LOCAL} + INTERVAL 4 SECOND, \
         last_heartbeat_time = {LOCAL}, last_run_time = {LOCAL}, update_time = {LOCAL} WHERE id = {id} AND enabled = 1 \
         AND (run_status = '待运行' OR lease_expire_at IS NULL OR lease_expire_at < {LOCAL})"
    )
}

#[actix_rt::test]
async fn a_job_that_one_side_holds_is_not_fired_by_the_other() {
    let database = field();
    let shop = jobs_of(&database, "shop").start().await.expect("starts");
    // Held by a program of the framework before its first fire here.
    let job = NewJob::cron_job("held", "* * * * * *", "Demo", "Echo")
        .args(&1)
        .enabled(false);
    let id = shop.jobs().add_job(job).await.expect("is added");
    database.execute(&format!("UPDATE job_center SET enabled = 1 WHERE id = {id}"));
    database.execute(&go_takes(id));
    let until = Utc::now() + Duration::from_secs(3);
    let run = shop.jobs().execute_job_immediately(id).await;
    assert!(matches!(&run, Err(Error::JobIsRunning { .. })), "{run:?}");
    let text = refusal(run);
    assert!(text.contains("another program, host-1-2, runs the job"), "{text}");
    // Its lease runs out, as if the program had died. The fires before that are recorded as skipped.
    let ran = eventually("the job runs here", async || {
        let records = shop
            .jobs()
            .get_job_records(id, PageRequest::default())
            .await
            .expect("answers");
        records
            .items
            .into_iter()
            .find(|record| record.job_result_flag.as_deref() == Some(RunFlag::Success.as_str()))
    })
    .await;
    assert!(
        ran.scheduled_at.is_some_and(|at| at > until - Duration::from_secs(1)),
        "{ran:?}"
    );
    let skipped = format!("SELECT COUNT(*) FROM job_record WHERE job_id = {id} AND job_result_flag = 'skipped'");
    assert!(database.number(&skipped) >= 1);
    shop.jobs().toggle_job(id, false).await.expect("is disabled");

    // The other way round.
    let slow = NewJob::cron_job("slow", "0 0 1 * * *", "Demo", "Slow");
    let gaia = jobs_of(&database, "shop")
        .handler(
            "Demo",
            "Slow",
            async_fn(async |ctx: TaskContext, _: Value| {
                ctx.cancelled().await;
                Ok(())
            }),
        )
        .start()
        .await
        .expect("starts");
    let id = gaia.jobs().add_job(slow).await.expect("is added");
    gaia.jobs().execute_job_immediately(id).await.expect("begins");
    database.execute(&go_takes(id));
    let ours = format!(
        "SELECT COUNT(*) FROM job_center WHERE id = {id} AND lease_owner LIKE 'gaia:%' AND lease_expire_at > {LOCAL}"
    );
    assert_eq!(
        database.number(&ours),
        1,
        "the program of the framework has not taken it"
    );
    gaia.jobs().cancel_job(id).await.expect("is asked to stop");
    eventually("the job is free", async || {
        database.execute(&go_takes(id));
        (database.number(&ours) == 0).then_some(())
    })
    .await;
    for gaia in [shop, gaia] {
        gaia.stop().await.expect("stops");
    }
}
