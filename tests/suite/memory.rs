//! Memory goes by bytes, not by rows.

use std::time::Duration;

use gaia_actors::{
    MAX_ARG_BYTES, async_fn,
    messages::{ListJobs, ListTasks},
    prelude::*,
};
use serde_json::Value;

use crate::support::{Database, NodeProcess, THEME, Tested, ended, eventually, options, task};

/// A text that is `bytes` long as JSON.
fn text(bytes: usize) -> String {
    "x".repeat(bytes - 2)
}

/// The most memory that a process has had, in MB.
fn peak(node: &NodeProcess) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.pid())).expect("is readable");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .expect("is there");
    let kilobytes = line.split_whitespace().nth(1).expect("has a value");
    kilobytes.parse::<u64>().expect("is a number") >> 10
}

fn is_mysql(database: &Database) -> bool {
    database.url().starts_with("mysql")
}

/// How often all rows are copied. SQLite, which needs less memory, writes each row anew for each change.
fn copies(database: &Database) -> u32 {
    if database.is_on_a_server() { 6 } else { 5 }
}

/// All of them could be claimed at once, and there are workers for all.
#[actix_rt::test]
async fn long_arguments_are_read_when_there_is_room_for_them() {
    let database = Database::fresh();
    // MySQL's driver keeps buffers as large as the largest rows, one for each connection: more rows, but shorter ones, since that server reads
    // the long columns of a row for each change of it.
    let copies = copies(&database) + u32::from(is_mysql(&database));
    let count = 1 << copies;
    let length = if is_mysql(&database) {
        MAX_ARG_BYTES / 2
    } else {
        MAX_ARG_BYTES
    };
    let client = database.builder().start().await.expect("starts");
    let demo = client.scheduler(THEME).expect("is a theme");
    demo.add_task(task("Noop").args(&text(length))).await.expect("is added");
    for _ in 0..copies {
        let columns = "system_name, service_name, method_name, task_name, arg, task_status, create_time, update_time";
        database.execute(&format!(
            "INSERT INTO asynctasks ({columns}) SELECT {columns} FROM asynctasks"
        ));
    }
    let node = NodeProcess::start(&database, &[("THEME", THEME), ("WORKERS", "64")]);
    eventually("the end of all", async || {
        let done = demo.count_by_status().await.expect("counts")[&TaskStatus::Success];
        (usize::try_from(done) == Ok(count)).then_some(())
    })
    .await;
    let (peak, all) = (peak(&node), (count * length) as u64 >> 20);
    assert!(peak < all, "{peak} MB, of {all} MB of arguments");
    node.stop();
    client.stop().await.expect("stops");
}

/// All fires are missed, and due at once when the node starts.
#[actix_rt::test]
async fn jobs_with_long_arguments_are_claimed_a_few_at_a_time() {
    const BYTES: usize = 4 << 20;
    let database = Database::fresh();
    let count = 1 << copies(&database);
    let client = database.builder().start().await.expect("starts");
    let jobs = client.jobs();
    let job = NewJob::cron_job("copy-0", "0 0 * * *", "Demo", "Noop").args(&text(BYTES));
    jobs.add_job(job).await.expect("is added");
    let columns =
        "job_type, cron_expr, service_name, service_method, args, enabled, scheduled_from, scheduled_by, misfire_grace";
    for copy in 1..count {
        database.execute(&format!(
            "INSERT INTO job_center (job_name, {columns}) SELECT 'copy-{copy}', {columns} FROM job_center WHERE job_name = 'copy-0'"
        ));
    }
    let days_ago = database.in_seconds(-2 * 86_400);
    database.execute(&format!(
        "UPDATE job_center SET scheduled_from = {days_ago}, misfire_grace = 864000"
    ));
    let node = NodeProcess::start(&database, &[("JOBS", "1")]);
    eventually("the end of all", async || {
        let done = "SELECT COUNT(*) FROM job_record WHERE job_result_flag = 'success'";
        (usize::try_from(database.number(done)) == Ok(count)).then_some(())
    })
    .await;
    // A claim of all fires would have all arguments three times: of the jobs, of the records and of the runs. MySQL's driver keeps buffers as
    // large as the largest statements, one for each connection.
    let (peak, all) = (peak(&node), (count * BYTES) as u64 >> 20);
    let most = if is_mysql(&database) { 5 * all / 2 } else { 2 * all };
    assert!(peak < most, "{peak} MB, of {all} MB of arguments");
    node.stop();
    client.stop().await.expect("stops");
}

#[actix_rt::test]
async fn jobs_with_long_arguments_that_are_due_together_have_them_whole() {
    const COUNT: usize = 5;
    let length = async_fn(async |_: TaskContext, args: Value| Ok(args.as_str().map(str::len)));
    let builder = Gaia::builder()
        .handler("Demo", "Length", length)
        .jobs(JobsOptions::default());
    let tested = Tested::start(builder).await;
    let jobs = tested.jobs();
    let mut ids = Vec::new();
    for number in 0..COUNT {
        let job = NewJob::cron_job(format!("job-{number}"), "* * * * *", "Demo", "Length");
        let job = job.args(&text(MAX_ARG_BYTES - number));
        ids.push(jobs.add_job(job).await.expect("is added"));
    }
    eventually("that all are scheduled", async || {
        let scheduled = jobs.status().await.expect("answers").scheduled;
        (scheduled == COUNT).then_some(())
    })
    .await;
    tested.advance(Duration::from_secs(60));
    for (number, id) in ids.into_iter().enumerate() {
        let run = eventually("a run", async || {
            let page = jobs.get_job_records(id, PageRequest::new(1, 1)).await.expect("answers");
            page.items.into_iter().find(|run| !run.is_open())
        })
        .await;
        let length = MAX_ARG_BYTES - number;
        assert_eq!(run.run_result, Some((length - 2).to_string()), "{:?}", run.run_err);
        assert_eq!(run.args.map(|args| args.len()), Some(length));
    }
}

#[actix_rt::test]
async fn a_long_page_of_jobs_shows_the_beginnings_of_long_arguments_and_calls_no_good_job_bad() {
    let database = Database::fresh();
    let client = database.builder().start().await.expect("starts");
    let jobs = client.jobs();
    let job = NewJob::cron_job("long", "@daily", "Demo", "Noop").args(&text(1 << 20));
    let id = jobs.add_job(job).await.expect("is added");
    for (size, is_whole) in [(10, true), (1_000, false)] {
        let list = ListJobs {
            page: PageRequest::new(1, size),
            ..ListJobs::default()
        };
        let job = jobs.list_jobs(list).await.expect("lists").items.remove(0);
        let args = job.args.expect("are there");
        assert_eq!(
            (args.len() == 1 << 20, args.contains("… [cut: ")),
            (is_whole, !is_whole)
        );
        assert!(job.error.is_none() && job.next_run_time.is_some(), "{:?}", job.error);
    }
    let detail = jobs.get_job_detail(id).await.expect("is there").job;
    assert_eq!(detail.args.map(|args| args.len()), Some(1 << 20));
    client.stop().await.expect("stops");
}

#[actix_rt::test]
async fn arguments_of_any_length_reach_their_handlers_whole() {
    let database = Database::fresh();
    let length = async_fn(async |_: TaskContext, args: Value| Ok(args.as_str().map(str::len)));
    let gaia = database
        .builder()
        .handler("Demo", "Length", length)
        .scheduler(options())
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let lengths = [2, 4_096, 4_097, 70_000, 1 << 20, (1 << 20) + 1, 3 << 20, MAX_ARG_BYTES];
    let tasks = lengths.map(|bytes| task("Length").args(&text(bytes)).max_retry(0));
    let added = demo.add_tasks(tasks.to_vec()).await.expect("are added");
    for (task, bytes) in added.into_iter().zip(lengths) {
        let task = ended(&demo, task.id).await;
        assert_eq!(task.last_result, Some((bytes - 2).to_string()), "{:?}", task.last_error);
    }
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_long_page_shows_the_beginnings_of_long_texts() {
    let database = Database::fresh();
    let client = database.builder().start().await.expect("starts");
    let demo = client.scheduler(THEME).expect("is a theme");
    let long = text(1 << 20);
    let added = demo
        .add_tasks(vec![task("Noop").args(&long); 3])
        .await
        .expect("are added");
    let page = |size| ListTasks {
        page: PageRequest::new(1, size),
        ..ListTasks::default()
    };
    let short = demo.list_tasks(page(10)).await.expect("lists").items;
    assert!(short.iter().all(|task| task.arg.len() == 1 << 20));
    // Its characters have four bytes each.
    let wide = task("Noop").args(&"\u{10348}".repeat(1 << 18));
    demo.add_task(wide).await.expect("is added");
    let long = demo.list_tasks(page(1_000)).await.expect("lists").items;
    for task in &long {
        let bytes = task.arg.len();
        assert!(
            (4_000..17_000).contains(&bytes) && task.arg.contains("… [cut: "),
            "{bytes}"
        );
    }
    let detail = demo.get_task_detail(added[0].id).await.expect("is there");
    assert_eq!(detail.arg.len(), 1 << 20);
    client.stop().await.expect("stops");
}
