//! A database of the Go framework, taken over.

use gaia_actors::{Clock, prelude::*, store::Store};

use crate::support::{Database, Kind, NodeProcess, THEME, ended};

/// The guide's own statements: the first migration is made of them, word for word.
fn guide() -> String {
    let migration = include_str!("../../migrations/mysql/2026-11-22-000001_guide_tables/up.sql");
    migration.replace(" IF NOT EXISTS", "")
}

const ROWS: &str = "INSERT INTO asynctasks (service_name, method_name, task_name, arg, system_name, max_retry_time) \
       VALUES ('Demo', 'Echo', '创建订单 🚀', '{\"order\": 1}', 'demo', 3); \
     INSERT INTO asynctasks (service_name, method_name, task_name, arg, system_name, task_status) \
       VALUES ('Demo', 'Echo', 'left behind', '1', 'demo', 'Running'); \
     INSERT INTO asynctask_exec_row (task_id, task_status) VALUES (99, 'Success'); \
     INSERT INTO job_center (job_name, job_type, cron_expr, hook_url) VALUES ('j', 'cron_hook', '0 0 * * * *', 'http://localhost/')";

/// As the Go framework's driver sends it.
const GO_INSERT: &str = "INSERT INTO `asynctasks` (`service_name`,`method_name`,`task_name`,`arg`,`max_retry_time`,\
     `system_name`,`task_status`,`last_run_time`,`last_run_end_time`,`last_run_duration`,`create_time`,`update_time`,\
     `retry_time`,`last_result`,`last_err_msg`,`log_id`) VALUES ('Demo','Echo','from Go','{\"a\":\"b\"}',3,'demo','Wait',\
     NULL,NULL,0,NOW(),NOW(),0,'','','')";

#[actix_rt::test]
async fn the_guides_tables_are_adopted_with_their_rows_and_go_on_taking_its_inserts() {
    let database = Database::of_kind(Kind::Mysql);
    database.execute(&guide());
    database.execute(ROWS);
    let node = NodeProcess::start(&database, &[]);
    let client = database.builder().migrate(false).start().await.expect("starts");
    let demo = client.scheduler(THEME).expect("is a theme");
    let adopted = ended(&demo, 1).await;
    assert_eq!(
        (adopted.status, adopted.name.as_str()),
        (TaskStatus::Success, "创建订单 🚀")
    );
    assert_eq!(adopted.last_result.as_deref(), Some("{\"order\":1}"));
    // What another framework runs, or has left behind, is not ours to judge.
    assert_eq!(
        demo.get_task_detail(2).await.expect("is there").status,
        TaskStatus::Running
    );

    database.execute(GO_INSERT);
    let from_go = ended(&demo, 3).await;
    assert_eq!(
        (from_go.status, from_go.last_result.as_deref()),
        (TaskStatus::Success, Some("{\"a\":\"b\"}"))
    );
    assert_eq!(
        database.number("SELECT COUNT(*) FROM asynctask_exec_row WHERE task_status = 'Success'"),
        3
    );
    assert_eq!(database.number("SELECT COUNT(*) FROM job_center"), 1);
    assert_eq!(node.stop(), Some(0));
    client.stop().await.expect("stops");
}

/// These servers commit each statement of a migration by itself: it may have been killed after any of them.
#[actix_rt::test]
async fn a_migration_that_was_killed_half_way_is_taken_up_where_it_stopped() {
    let columns = include_str!("../../migrations/mysql/2026-11-22-000002_gaia_columns/up.sql");
    let statements: Vec<&str> = columns.split_inclusive(";\n").collect();
    for done in 1..=statements.len() {
        let database = Database::of_kind(Kind::Mysql);
        database.execute(&guide());
        database.execute(&statements[..done].concat());
        let store = Store::connect(&database.url(), Clock::system()).await.expect("opens");
        store.migrate().await.expect("goes on");
        store.check_schema().await.expect("is complete");
        let indexes = "SELECT COUNT(DISTINCT index_name) FROM information_schema.statistics \
                       WHERE table_schema = DATABASE() AND index_name LIKE 'gaia\\_%'";
        assert_eq!(database.number(indexes), 4);
    }
}

/// These servers compare texts without regard to case, unless they are told otherwise.
#[actix_rt::test]
async fn themes_and_keys_differ_by_case() {
    let database = Database::of_kind(Kind::Mysql);
    let gaia = database.builder().start().await.expect("starts");
    let (lower, upper) = (
        gaia.scheduler("demo").expect("is one"),
        gaia.scheduler("DEMO").expect("is one"),
    );
    let task = || NewTask::new("Demo", "Noop");
    let id = lower.add_task(task().unique_key("k")).await.expect("is added").id;
    assert!(upper.get_task_detail(id).await.is_err());
    assert!(
        !lower
            .add_task(task().unique_key("K"))
            .await
            .expect("is added")
            .duplicate
    );
    assert!(lower.add_task(task().unique_key("k")).await.expect("answers").duplicate);
    gaia.stop().await.expect("stops");
}
