//! Tables of later versions of the Go framework than its guide: narrower columns, letters of utf8mb3, columns of their own.

use gaia_actors::{Clock, prelude::*, store::Store};

use crate::support::{Database, Kind, NodeProcess, THEME, ended, refusal};

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
