//! A database of the Go framework, taken over.

use gaia_actors::{Clock, JobRecord, async_fn, prelude::*, store::Store};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::support::{Database, Kind, NodeProcess, THEME, ended, eventually};

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
    let columns = concat!(
        include_str!("../../migrations/mysql/2026-11-22-000002_gaia_columns/up.sql"),
        include_str!("../../migrations/mysql/2026-11-22-000003_theme_size/up.sql"),
        include_str!("../../migrations/mysql/2026-11-24-000004_job_columns/up.sql"),
        include_str!("../../migrations/mysql/2026-11-27-000006_retention/up.sql"),
        include_str!("../../migrations/mysql/2026-11-27-000007_node_methods/up.sql"),
    );
    let columns: Vec<&str> = columns.split_inclusive(";\n").collect();
    let segments = include_str!("../../migrations/mysql/2026-11-28-000008_segments/up.sql");
    let segments = segments.replace("{exact}", "utf8mb4_nopad_bin");
    let segments: Vec<&str> = segments.split_inclusive(";\n").collect();
    // A migration that is complete is noted before the next one begins.
    let before = "INSERT INTO gaia_migrations (version) VALUES ('20261122000001'), ('20261122000002'), ('20261122000003'), \
                  ('20261124000004'), ('20261127000005'), ('20261127000006'), ('20261127000007');\n";
    let noted = format!("CREATE TABLE gaia_migrations (version varchar(50) NOT NULL PRIMARY KEY);\n{before}");
    let in_columns = (1..=columns.len()).map(|done| columns[..done].concat());
    let in_segments = (1..=segments.len()).map(|done| columns.concat() + &noted + &segments[..done].concat());
    for done in in_columns.chain(in_segments) {
        let database = Database::of_kind(Kind::Mysql);
        database.execute(&guide());
        database.execute(&done);
        let store = Store::connect(&database.url(), Clock::system()).await.expect("opens");
        store.migrate().await.expect("goes on");
        store.check_schema().await.expect("is complete");
        let indexes = "SELECT COUNT(DISTINCT index_name) FROM information_schema.statistics \
                       WHERE table_schema = DATABASE() AND index_name LIKE 'gaia\\_%'";
        assert_eq!(database.number(indexes), 24);
    }
}

/// As they stand in the guide.
const JOBS: &str = r#"INSERT INTO `job_center`
(`job_name`, `job_type`, `cron_expr`, `service_name`, `service_method`, `args`, `enabled`)
VALUES
('每日报表生成', 'cron_job', '0 0 1 * * *', 'ReportService', 'GenerateDailyReport', '{"date":"auto"}', 1);
INSERT INTO `job_center`
(`job_name`, `job_type`, `cron_expr`, `hook_url`, `args`, `enabled`)
VALUES
('数据同步通知', 'cron_hook', '0 */5 * * * *', 'http://localhost:8080/api/sync', '{"type":"full"}', 1);"#;

/// A server that answers every request; tells its address.
async fn sync_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("has one").to_string();
    actix_rt::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.ends_with(br#"{"type":"full"}"#) {
                stream.read_buf(&mut request).await.expect("is sent");
            }
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n已同步"
                .replace("length: 6", &format!("length: {}", "已同步".len()));
            stream.write_all(answer.as_bytes()).await.expect("is read");
        }
    });
    address
}

#[actix_rt::test]
async fn the_guides_jobs_fire_on_schedule_and_leave_correct_records() {
    let database = Database::of_kind(Kind::Mysql);
    database.execute(&guide());
    let report = async_fn(async |_: TaskContext, args: serde_json::Value| {
        assert_eq!(args["date"], "auto");
        Ok("报表生成成功")
    });
    let gaia = database
        .builder()
        .handler("ReportService", "GenerateDailyReport", report)
        .jobs(JobsOptions::default())
        .start()
        .await
        .expect("starts");
    // Made frequent, and sent where somebody listens. Nothing else is changed.
    let frequent = JOBS
        .replace("0 0 1 * * *", "*/2 * * * * *")
        .replace("0 */5 * * * *", "*/3 * * * * *")
        .replace("localhost:8080", &sync_server().await);
    database.execute(&frequent);
    for (id, every, result) in [(1, 2, "\"报表生成成功\""), (2, 3, "已同步")] {
        let records = records(&gaia.jobs(), id, 3).await;
        for record in &records {
            assert_eq!(record.job_result_flag.as_deref(), Some("success"));
            assert_eq!(
                (record.run_result.as_deref(), record.run_err.as_deref()),
                (Some(result), None)
            );
            let due = record.scheduled_at.expect("by schedule");
            assert_eq!(due.timestamp() % every, 0);
            let late = record.started_at.expect("has begun") - due;
            assert!((0..2_000).contains(&late.num_milliseconds()), "{late}");
        }
        for pair in records.windows(2) {
            let apart = pair[1].scheduled_at.zip(pair[0].scheduled_at).map(|(b, a)| b - a);
            assert_eq!(apart.map(|apart| apart.num_seconds()), Some(every));
        }
    }
    // What the guide's own tools read.
    let as_guided = "SELECT COUNT(*) FROM job_record WHERE job_name = '数据同步通知' AND job_type = 'cron_hook' \
                     AND cron_expr = '*/3 * * * * *' AND job_result_flag = 'success' AND run_result = '已同步' \
                     AND args = '{\"type\":\"full\"}' AND service_name IS NULL";
    assert!(database.number(as_guided) >= 3);
    gaia.stop().await.expect("stops");
    let waiting = "SELECT COUNT(*) FROM job_center WHERE run_status = '待运行' AND last_run_time IS NOT NULL";
    assert_eq!(database.number(waiting), 2);
}

/// The first records of a job, once so many of its runs have ended.
async fn records(jobs: &Jobs, id: i64, count: usize) -> Vec<JobRecord> {
    eventually("records", async || {
        let page = jobs.get_job_records(id, PageRequest::default()).await.expect("answers");
        let mut records: Vec<_> = page.items.into_iter().filter(|record| !record.is_open()).collect();
        records.reverse();
        (records.len() >= count).then_some(records)
    })
    .await
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
