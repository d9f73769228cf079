//! What handlers log is kept with their runs.

use std::{
    cell::Cell,
    collections::BTreeSet,
    fmt::{Display, Formatter},
    sync::Mutex,
    time::Duration,
};

use gaia_actors::{
    Admin, JobsOptions, NewJob,
    admin::GetTaskLog,
    async_fn, blocking_fn,
    logs::{KeepLogs, LogCapture, RunLog},
    prelude::*,
};
use log::{Level, LevelFilter, Log, Metadata, Record};
use serde_json::Value;

use crate::{
    lines::{lines, listen},
    support::{Database, Gate, PATIENCE, THEME, Tested, ended, eventually, refusal, task},
};

fn keeping() -> SchedulerOptions {
    listen();
    SchedulerOptions::new(THEME).keep_logs(KeepLogs::default())
}

async fn log_of(admin: &Admin, id: i64, log_id: Option<String>) -> RunLog {
    admin.task_log(GetTaskLog { id, log_id }).await.expect("answers")
}

/// The log of the last run of a task, once it has so many lines.
async fn with_lines(admin: &Admin, id: i64, count: usize) -> RunLog {
    eventually("lines of a run", async || {
        let log = log_of(admin, id, None).await;
        (log.lines.len() >= count).then_some(log)
    })
    .await
}

fn messages(log: &RunLog) -> Vec<&str> {
    log.lines.iter().map(|line| line.message.as_str()).collect()
}

#[actix_rt::test]
async fn each_attempt_keeps_its_lines_with_their_level_and_place() {
    let talk = async_fn(async |ctx: TaskContext, _: Value| {
        log::info!("attempt {}", ctx.attempt());
        log::warn!(target: "shop::orders", "quote \" and\nbreak, 订单 🎉 and \0");
        log::debug!("not kept");
        match ctx.attempt() {
            1 => Err(TaskError::failed("not yet")),
            _ => Ok(()),
        }
    });
    let options = keeping().retry(RetryPolicy {
        base: Duration::from_millis(1),
        ..RetryPolicy::default()
    });
    let database = Database::fresh();
    let gaia = database
        .builder()
        .handler("Demo", "Talk", talk)
        .scheduler(options)
        .start()
        .await
        .expect("starts");
    let (demo, admin) = (gaia.scheduler(THEME).expect("is a theme"), gaia.admin());
    let id = demo.add_task(task("Talk").max_retry(1)).await.expect("is added").id;
    ended(&demo, id).await;
    let last = with_lines(&admin, id, 2).await;
    assert_eq!(messages(&last), ["attempt 2", "quote \" and\nbreak, 订单 🎉 and \0"]);
    let facts: Vec<_> = last
        .lines
        .iter()
        .map(|line| (line.level, line.target.as_str(), line.left_out))
        .collect();
    assert_eq!(
        facts,
        [(Level::Info, "suite::run_logs", 0), (Level::Warn, "shop::orders", 0)]
    );

    let records = demo
        .get_task_exec_records(id, PageRequest::default())
        .await
        .expect("answers")
        .items;
    let first = records
        .iter()
        .find(|record| record.attempt == Some(1))
        .expect("is there");
    let first = log_of(&admin, id, first.log_id.clone()).await;
    assert_eq!(messages(&first)[0], "attempt 1");
    assert_ne!(first.log_id, last.log_id);
    // The application's logger still gets lines of the crate, and they are no lines of the run.
    assert!(!lines(&[&first.log_id, "not yet"]).is_empty());

    let none = log_of(&admin, id, Some("0".repeat(32))).await;
    assert_eq!((none.lines.len(), none.is_over), (0, true));
    let error = refusal(
        admin
            .task_log(GetTaskLog {
                id,
                log_id: Some("x".repeat(101)),
            })
            .await,
    );
    assert!(error.contains("log_id has 101"), "{error}");
    assert!(matches!(
        admin
            .task_log(GetTaskLog {
                id: id + 1,
                log_id: None
            })
            .await,
        Err(gaia_actors::Error::TaskNotFound { .. })
    ));
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_run_is_followed_while_it_goes_on() {
    let gate = Gate::closed();
    let slow = {
        let gate = gate.clone();
        async_fn(async move |_: TaskContext, _: Value| {
            log::info!("begins");
            gate.pass().await?;
            log::info!("goes on");
            gate.pass().await?;
            log::info!("ends");
            Ok::<_, TaskError>(())
        })
    };
    let database = Database::fresh();
    let gaia = database
        .builder()
        .handler("Demo", "Slow", slow)
        .scheduler(keeping())
        .start()
        .await
        .expect("starts");
    let (demo, admin) = (gaia.scheduler(THEME).expect("is a theme"), gaia.admin());
    let id = demo.add_task(task("Slow")).await.expect("is added").id;
    for count in 1..=2 {
        gate.entered(1).await;
        let log = with_lines(&admin, id, count).await;
        assert_eq!(
            (messages(&log), log.is_over),
            (["begins", "goes on"][..count].to_vec(), false)
        );
        gate.let_pass(1);
    }
    ended(&demo, id).await;
    let log = eventually("the end of the log", async || {
        let log = log_of(&admin, id, None).await;
        log.is_over.then_some(log)
    })
    .await;
    assert_eq!(messages(&log), ["begins", "goes on", "ends"]);
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn lines_come_from_threads_spawned_futures_and_the_pre_handler() {
    let blocking = blocking_fn(|_: TaskContext, _: Value| {
        log::info!("on a thread");
        Ok::<_, TaskError>(())
    });
    let spawning = async_fn(async |ctx: TaskContext, _: Value| {
        actix_rt::spawn(async { log::info!("outside") }).await?;
        actix_rt::spawn(ctx.log_scope(async { log::info!("inside") })).await?;
        Ok::<_, TaskError>(())
    });
    let options = keeping().pre_handler(async |_| {
        log::info!("before");
        Ok(())
    });
    let database = Database::fresh();
    let gaia = database
        .builder()
        .handler("Demo", "Blocking", blocking)
        .handler("Demo", "Spawning", spawning)
        .scheduler(options)
        .start()
        .await
        .expect("starts");
    let (demo, admin) = (gaia.scheduler(THEME).expect("is a theme"), gaia.admin());
    for (method, last) in [("Blocking", "on a thread"), ("Spawning", "inside")] {
        let id = demo.add_task(task(method)).await.expect("is added").id;
        ended(&demo, id).await;
        assert_eq!(messages(&with_lines(&admin, id, 2).await), ["before", last]);
    }
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn of_many_lines_the_first_and_the_last_stay_and_long_ones_are_cut() {
    let much = async_fn(async |_: TaskContext, lines: u32| {
        for line in 0..lines {
            log::info!("line {line}");
        }
        Ok::<_, TaskError>(())
    });
    let long = async_fn(async |_: TaskContext, bytes: usize| {
        log::info!("{}", "é".repeat(bytes / 2));
        log::info!("after");
        Ok::<_, TaskError>(())
    });
    listen();
    let options = SchedulerOptions::new(THEME).keep_logs(KeepLogs::default().lines(10));
    let database = Database::fresh();
    let gaia = database
        .builder()
        .handler("Demo", "Much", much)
        .handler("Demo", "Long", long)
        .scheduler(options)
        .start()
        .await
        .expect("starts");
    let (demo, admin) = (gaia.scheduler(THEME).expect("is a theme"), gaia.admin());
    for (count, left_out) in [(10, 0), (11, 1), (100_000, 99_990)] {
        let id = demo.add_task(task("Much").args(&count)).await.expect("is added").id;
        ended(&demo, id).await;
        let log = with_lines(&admin, id, 10).await;
        let last: Vec<String> = (0..5)
            .chain(count - 5..count)
            .map(|line| format!("line {line}"))
            .collect();
        assert_eq!(messages(&log), last);
        let gaps: Vec<u64> = log.lines.iter().map(|line| line.left_out).collect();
        assert_eq!(gaps, [0, 0, 0, 0, 0, left_out, 0, 0, 0, 0]);
    }
    for bytes in [8_192, 8_194, 10_000_000] {
        let id = demo.add_task(task("Long").args(&bytes)).await.expect("is added").id;
        ended(&demo, id).await;
        let log = with_lines(&admin, id, 2).await;
        let expected = if bytes == 8_192 {
            "é".repeat(4_096)
        } else {
            format!("{}…", "é".repeat(4_096))
        };
        assert_eq!(messages(&log), [expected.as_str(), "after"]);
    }
    let bytes = SchedulerOptions::new("other").keep_logs(KeepLogs::default().bytes(1_024));
    let other = gaia.start_scheduler(bytes).await.expect("starts");
    let id = other.add_task(task("Much").args(&1_000)).await.expect("is added").id;
    ended(&other, id).await;
    let log = with_lines(&admin, id, 2).await;
    assert!((10..40).contains(&log.lines.len()), "{log:?}");
    assert_eq!(log.lines.last().map(|line| line.message.as_str()), Some("line 999"));
    gaia.stop().await.expect("stops");
}

static TOLD: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// A logger that keeps all that it is told.
struct Told;

impl Log for Told {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let order = record.key_values().get("order".into());
        let place = (record.module_path(), record.file_static(), record.line());
        let (level, target, args) = (record.level(), record.target(), record.args());
        let told = format!("{level} {target} {place:?} {order:?} {args}");
        TOLD.lock().expect("is sound").push(told);
    }

    fn flush(&self) {}
}

/// A text that a function makes.
struct Shown<F>(F);

impl<F: Fn(&mut Formatter<'_>) -> std::fmt::Result> Display for Shown<F> {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        (self.0)(f)
    }
}

/// Logs a text; answers how often the text was made.
fn log_once(logger: &dyn Log, text: &str) -> usize {
    let made = Cell::new(0);
    let counted = Shown(|f: &mut Formatter<'_>| {
        made.set(made.get() + 1);
        f.write_str(text)
    });
    logger.log(
        &Record::builder()
            .args(format_args!("{counted}"))
            .level(Level::Warn)
            .target("shop")
            .module_path(Some("shop::orders"))
            .file_static(Some("orders.rs"))
            .line(Some(7))
            .key_values(&[("order", 17)])
            .build(),
    );
    made.get()
}

#[actix_rt::test]
async fn the_applications_logger_gets_each_record_whole() {
    let texts = || ["paid".to_owned(), "é".repeat(10_000)];
    let made = async_fn(async move |_: TaskContext, _: Value| {
        let capture = LogCapture::around(Told);
        Ok(texts().map(|text| log_once(&capture, &text)))
    });
    let database = Database::fresh();
    let gaia = database
        .builder()
        .handler("Demo", "Talk", made)
        .scheduler(keeping())
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let id = demo.add_task(task("Talk")).await.expect("is added").id;
    let task = ended(&demo, id).await;
    // The line that is cut is made for each of them.
    assert_eq!(task.last_result.as_deref(), Some("[1,2]"));
    assert_eq!(with_lines(&gaia.admin(), id, 2).await.lines.len(), 2);
    let of_capture = std::mem::take(&mut *TOLD.lock().expect("is sound"));
    for text in texts() {
        log_once(&Told, &text);
    }
    assert_eq!(of_capture, *TOLD.lock().expect("is sound"));
    assert_eq!(of_capture.len(), 2);
    gaia.stop().await.expect("stops");
}

/// Runs that end at the same time share rows: each is found in them, and alone.
#[actix_rt::test]
async fn runs_that_log_at_the_same_time_do_not_mix() {
    const TASKS: i64 = 600;
    let chatty = async_fn(async |ctx: TaskContext, _: Value| {
        for line in 0..3 {
            log::info!("{} of {}", line, ctx.id());
            actix_rt::task::yield_now().await;
        }
        Ok::<_, TaskError>(())
    });
    let database = Database::fresh();
    let gaia = database
        .builder()
        .handler("Demo", "Chatty", chatty)
        .scheduler(keeping())
        .start()
        .await
        .expect("starts");
    let (demo, admin) = (gaia.scheduler(THEME).expect("is a theme"), gaia.admin());
    let added = demo
        .add_tasks((0..TASKS).map(|_| task("Chatty")).collect())
        .await
        .expect("are added");
    for added in &added {
        ended(&demo, added.id).await;
    }
    // Each line is written before the process leaves.
    gaia.stop().await.expect("stops");
    let reader = database.builder().start().await.expect("starts");
    let admin_of_reader = reader.admin();
    drop(admin);
    for added in &added {
        let log = log_of(&admin_of_reader, added.id, None).await;
        let expected: Vec<String> = (0..3).map(|line| format!("{line} of {}", added.id)).collect();
        assert_eq!(messages(&log), expected);
    }
    let rows = database.number("SELECT COUNT(*) FROM gaia_run_logs");
    assert!(rows < TASKS / 4, "{rows} rows of {TASKS} runs");
    reader.stop().await.expect("stops");
}

#[actix_rt::test]
async fn nothing_is_kept_that_was_not_asked_for() {
    listen();
    let talk = || {
        async_fn(async |_: TaskContext, _: Value| {
            log::error!("is kept nowhere");
            Ok::<_, TaskError>(())
        })
    };
    let database = Database::fresh();
    let gaia = database
        .builder()
        .handler("Demo", "Talk", talk())
        .scheduler(SchedulerOptions::new(THEME))
        .scheduler(SchedulerOptions::new("off").keep_logs(LevelFilter::Off.into()))
        .start()
        .await
        .expect("starts");
    for theme in [THEME, "off"] {
        let scheduler = gaia.scheduler(theme).expect("is a theme");
        let id = scheduler.add_task(task("Talk")).await.expect("is added").id;
        ended(&scheduler, id).await;
    }
    gaia.stop().await.expect("stops");
    assert_eq!(database.number("SELECT COUNT(*) FROM gaia_run_logs"), 0);

    for (keep, fault) in [
        (KeepLogs::default().lines(1), "keeps 1 lines, expected 2 to 100000"),
        (
            KeepLogs::default().bytes(1_023),
            "keeps 1023 bytes, expected 1024 to 4194304",
        ),
    ] {
        let tasks = database
            .builder()
            .scheduler(SchedulerOptions::new(THEME).keep_logs(keep))
            .start()
            .await;
        assert!(refusal(tasks).contains(fault));
        let jobs = JobsOptions::default().keep_logs_of("report", keep);
        let error = refusal(database.builder().jobs(jobs).start().await);
        assert!(error.contains(fault) && error.contains("job \"report\""), "{error}");
    }
}

#[actix_rt::test]
async fn a_job_keeps_the_lines_of_all_its_attempts_unless_it_is_left_out() {
    listen();
    let report = async_fn(async |ctx: TaskContext, _: Value| {
        log::info!("attempt {} of {}", ctx.attempt(), ctx.theme());
        match ctx.attempt() {
            1 => Err(TaskError::failed("not yet")),
            _ => Ok(()),
        }
    });
    let jobs = JobsOptions::default()
        .keep_logs(KeepLogs::default())
        .keep_logs_of("quiet", LevelFilter::Off.into());
    let database = Database::fresh();
    let gaia = database
        .builder()
        .handler("Demo", "Report", report)
        .jobs(jobs)
        .start()
        .await
        .expect("starts");
    let (jobs, admin) = (gaia.jobs(), gaia.admin());
    let mut logs = Vec::new();
    for name in ["loud", "quiet"] {
        let job = NewJob::cron_job(name, "@yearly", "Demo", "Report")
            .max_retry(1)
            .retry_delay(Duration::from_millis(1));
        let id = jobs.add_job(job).await.expect("is added");
        let run = jobs.execute_job_immediately(id).await.expect("begins").id;
        jobs.wait_for_run(run, PATIENCE).await.expect("ends");
        logs.push(run);
    }
    let loud = eventually("lines of the job", async || {
        let log = admin.run_log(logs[0]).await.expect("answers");
        (log.lines.len() == 2).then_some(log)
    })
    .await;
    assert_eq!(messages(&loud), ["attempt 1 of loud", "attempt 2 of loud"]);
    // Each line is written before the process leaves.
    gaia.stop().await.expect("stops");
    let reader = database.builder().start().await.expect("starts");
    let quiet = reader.admin().run_log(logs[1]).await.expect("answers");
    assert_eq!(quiet.lines, []);
    reader.stop().await.expect("stops");
}

#[actix_rt::test]
async fn lines_go_with_the_records_of_their_runs() {
    const DAY: Duration = Duration::from_secs(86_400);
    let talk = async_fn(async |_: TaskContext, _: Value| {
        log::info!("kept for a week");
        Ok::<_, TaskError>(())
    });
    let gaia = Tested::start(Gaia::builder().handler("Demo", "Talk", talk).scheduler(keeping())).await;
    let (demo, admin) = (gaia.scheduler(THEME).expect("is a theme"), gaia.admin());
    let old = demo.add_task(task("Talk")).await.expect("is added").id;
    ended(&demo, old).await;
    with_lines(&admin, old, 1).await;
    gaia.advance(DAY * 6);
    let young = demo.add_task(task("Talk")).await.expect("is added").id;
    ended(&demo, young).await;
    with_lines(&admin, young, 1).await;
    gaia.advance(DAY + DAY / 2);
    eventually("the old lines to go", async || {
        (gaia.database.number("SELECT COUNT(*) FROM gaia_run_logs") == 1).then_some(())
    })
    .await;
    assert_eq!(messages(&log_of(&admin, young, None).await), ["kept for a week"]);
    gaia.stop().await.expect("stops");
}

/// Lines are worth less than outcomes.
#[actix_rt::test]
async fn a_database_that_refuses_lines_still_gets_the_outcomes() {
    let talk = async_fn(async |ctx: TaskContext, _: Value| {
        log::info!("run {}", ctx.log_id());
        Ok::<_, TaskError>(())
    });
    let database = Database::fresh();
    let gaia = database
        .builder()
        .handler("Demo", "Talk", talk)
        .scheduler(keeping())
        .scheduler(SchedulerOptions::new("other").keep_logs(KeepLogs::default()))
        .start()
        .await
        .expect("starts");
    let (demo, admin) = (gaia.scheduler(THEME).expect("is a theme"), gaia.admin());
    database.refuse("gaia_run_logs", "no_lines", &format!("@scope = '{THEME}'"));
    let other = gaia.scheduler("other").expect("is a theme");
    let beside = other.add_task(task("Talk")).await.expect("is added").id;
    let lost = demo.add_task(task("Talk")).await.expect("is added").id;
    let lost = ended(&demo, lost).await;
    assert_eq!(lost.status, TaskStatus::Success);
    eventually("the warning", async || {
        (!lines(&["the database refuses", "a batch of lines of runs, which is lost"]).is_empty()).then_some(())
    })
    .await;
    // Those that wait with the refused ones are written.
    with_lines(&admin, beside, 1).await;
    database.allow("gaia_run_logs", "no_lines");
    let kept = demo.add_task(task("Talk")).await.expect("is added").id;
    let kept = ended(&demo, kept).await;
    with_lines(&admin, kept.id, 1).await;
    let ids: BTreeSet<_> = [&lost, &kept].map(|task| task.log_id.clone()).into();
    assert_eq!(ids.len(), 2);
    assert_eq!(log_of(&admin, lost.id, None).await.lines, []);
    gaia.stop().await.expect("stops");
}
