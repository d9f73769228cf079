//! The defaults of the Go framework, by one switch, and each by its own option.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use gaia_actors::{Compat, Error, ExecRecord, GaiaBuilder, MissingHandler, Task, TaskStatus, async_fn, prelude::*};
use serde_json::{Value, json};

use crate::support::{Database, THEME, ended, eventually, refusal, task};

const SCAN: Duration = Duration::from_millis(300);

fn plain() -> SchedulerOptions {
    SchedulerOptions::new(THEME).scan_interval(SCAN)
}

fn serving(builder: GaiaBuilder) -> GaiaBuilder {
    builder
        .handler("Demo", "Echo", async_fn(async |_, args: Value| Ok(args)))
        .handler(
            "Demo",
            "Fail",
            async_fn(async |_, _: Value| Err::<(), _>(TaskError::failed("as asked"))),
        )
}

async fn started(builder: GaiaBuilder) -> (Gaia, Scheduler) {
    let gaia = serving(builder).start().await.expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    (gaia, demo)
}

async fn run(demo: &Scheduler, task: NewTask) -> Task {
    let id = demo.add_task(task).await.expect("is added").id;
    ended(demo, id).await
}

async fn records(demo: &Scheduler, id: i64) -> Vec<ExecRecord> {
    let page = demo.get_task_exec_records(id, PageRequest::new(1, 100)).await;
    page.expect("lists").items
}

#[actix_rt::test]
async fn one_switch_gives_the_defaults_of_the_go_framework() {
    let database = Database::fresh();
    let (gaia, demo) = started(database.builder().compat(Compat::Go).scheduler(plain())).await;

    let once = run(&demo, task("Fail")).await;
    assert_eq!((once.status, once.max_retry_time), (TaskStatus::Failed, 0));
    assert_eq!(records(&demo, once.id).await.len(), 1);

    let queued = demo.receive_task(task("Fail")).await.expect("is added").id;
    demo.task_quick_queue(queued);
    assert_eq!(ended(&demo, queued).await.max_retry_time, 0);

    // Each attempt waits for a scan, and no longer.
    let thrice = run(&demo, task("Fail").max_retry(2)).await;
    assert_eq!((thrice.status, thrice.retry_time), (TaskStatus::Failed, 2));
    let mut began: Vec<_> = records(&demo, thrice.id)
        .await
        .iter()
        .filter_map(|record| record.run_time)
        .collect();
    began.sort_unstable();
    assert_eq!(began.len(), 3);
    let shortest = began.windows(2).map(|pair| pair[1] - pair[0]).min().expect("has two");
    assert!(shortest.to_std().expect("goes on") >= SCAN * 5 / 6, "{shortest}");

    let unserved = run(&demo, task("Nowhere")).await;
    assert_eq!(unserved.status, TaskStatus::Failed);

    let good = run(&demo, task("Echo")).await;
    demo.retry_task(good.id).await.expect("may be retried");
    eventually("the second run", async || {
        (records(&demo, good.id).await.len() == 2).then_some(())
    })
    .await;
    assert_eq!(ended(&demo, good.id).await.status, TaskStatus::Success);
    gaia.admin().retry_task(good.id).await.expect("may be retried");
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn without_the_switch_nothing_changes() {
    let database = Database::fresh();
    let (gaia, demo) = started(database.builder().scheduler(plain())).await;
    let good = run(&demo, task("Echo")).await;
    assert_eq!(good.max_retry_time, 3);
    let refused = demo.retry_task(good.id).await;
    assert!(
        matches!(
            refused,
            Err(Error::NotAllowed {
                status: TaskStatus::Success,
                ..
            })
        ),
        "{refused:?}"
    );
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn an_option_wins_over_the_switch_and_a_theme_over_the_process() {
    let database = Database::fresh();
    let own = plain()
        .missing_handler(MissingHandler::Wait)
        .max_retry(1)
        .compat(Compat::Go)
        .retry_succeeded(false);
    let other = SchedulerOptions::new("other").compat(Compat::Off);
    let (gaia, demo) = started(database.builder().compat(Compat::Go).scheduler(own).scheduler(other)).await;
    let failed = run(&demo, task("Fail")).await;
    assert_eq!((failed.max_retry_time, failed.retry_time), (1, 1));
    let good = run(&demo, task("Echo")).await;
    assert!(demo.retry_task(good.id).await.is_err());
    let waits = demo.add_task(task("Nowhere")).await.expect("is added").id;
    eventually("the unserved method", async || {
        let status = demo.status().await.expect("answers");
        (!status.unserved.is_empty()).then_some(())
    })
    .await;
    assert_eq!(
        demo.get_task_detail(waits).await.expect("is there").status,
        TaskStatus::Wait
    );

    let other = gaia.scheduler("other").expect("is a theme");
    let as_ever = run(&other, task("Echo")).await;
    assert_eq!(as_ever.max_retry_time, 3);
    assert!(other.retry_task(as_ever.id).await.is_err());
    // A theme that is started later is as the process.
    let later = gaia
        .start_scheduler(SchedulerOptions::new("later"))
        .await
        .expect("starts");
    assert_eq!(run(&later, task("Fail")).await.max_retry_time, 0);
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn an_error_and_a_panic_of_the_pre_handler_end_the_task_if_the_options_say_so() {
    let guarded = |options: SchedulerOptions| {
        let asked = AtomicUsize::new(0);
        options.pre_handler(async move |_| match asked.fetch_add(1, Ordering::SeqCst) {
            0 => Err(TaskError::failed("the database is away")),
            _ => panic!("worse"),
        })
    };
    for options in [
        guarded(plain().compat(Compat::Go)),
        guarded(plain().pre_handler_fails_task(true)),
    ] {
        let database = Database::fresh();
        let (gaia, demo) = started(database.builder().scheduler(options)).await;
        for why in ["pre_handler: the database is away", "in pre_handler: worse"] {
            let ended = run(&demo, task("Echo").max_retry(5)).await;
            assert_eq!((ended.status, ended.retry_time), (TaskStatus::Failed, 0));
            let error = ended.last_error.expect("has one");
            assert!(error.contains(why), "{error}");
        }
        gaia.stop().await.expect("stops");
    }
}

#[actix_rt::test]
async fn the_configuration_has_the_switch_and_its_exceptions() {
    let database = Database::fresh();
    let json = json!({
        "Databases": {"default": database.url()},
        "Node": {"Compat": "Go"},
        "AsyncTask": {"MissingHandler": "Wait", "ScanTaskInterval": 0.3},
        "Themes": {"demo": {"RetrySucceeded": false}, "mail": {"MaxRetry": 2}},
        "Jobs": {"Overlap": "forbid"},
    });
    let config = Config::from_json(&json.to_string()).expect("is good");
    let (gaia, demo) = started(Gaia::builder().config(config).configured()).await;
    let good = run(&demo, task("Echo")).await;
    assert_eq!(good.max_retry_time, 0);
    assert!(demo.retry_task(good.id).await.is_err());
    let mail = gaia.scheduler("mail").expect("is a theme");
    let mail = run(&mail, task("Echo")).await;
    assert_eq!(mail.max_retry_time, 2);
    gaia.admin().retry_task(mail.id).await.expect("may be retried");
    let job = NewJob::cron_job("x", "@yearly", "Demo", "Echo");
    let job = gaia.jobs().add_job(job).await.expect("is added");
    let detail = gaia.jobs().get_job_detail(job).await.expect("is there");
    assert_eq!(detail.job.overlap_policy, "forbid");
    gaia.stop().await.expect("stops");

    // A process that runs no theme adds tasks by the same rules.
    let config = Config::from_json(&json!({"Node": {"Compat": "Go"}}).to_string()).expect("is good");
    let client = database.builder().config(config).start().await.expect("starts");
    let elsewhere = client.scheduler("elsewhere").expect("is a theme");
    let added = elsewhere.add_tasks(vec![task("Echo"), task("Echo").max_retry(4)]).await;
    let mut most = Vec::new();
    for added in added.expect("are added") {
        most.push(
            elsewhere
                .get_task_detail(added.id)
                .await
                .expect("is there")
                .max_retry_time,
        );
    }
    assert_eq!(most, [0, 4]);
    client.stop().await.expect("stops");
}

#[test]
fn bad_values_are_refused() {
    let text = refusal(Config::from_json(r#"{"Node": {"Compat": "Golang"}}"#));
    assert!(text.contains("Node.Compat") && text.contains("`Off` or `Go`"), "{text}");
    let text = refusal(Config::from_json(r#"{"Node": {"Compatible": "Go"}}"#));
    assert!(text.contains("the nearest known key is \"Compat\""), "{text}");
    let text = refusal(Config::from_json(r#"{"AsyncTask": {"MaxRetry": -1}}"#));
    assert!(
        text.contains("AsyncTask.MaxRetry is -1, expected 0 to 2147483646"),
        "{text}"
    );
    let text = refusal(Config::from_json(r#"{"Themes": {"mail": {"MaxRetry": 2147483647}}}"#));
    assert!(text.contains("Themes.mail.MaxRetry is 2147483647"), "{text}");
    let text = refusal(Gaia::builder().scheduler(plain().max_retry(-1)).check());
    assert!(text.contains("theme \"demo\": max_retry is -1"), "{text}");
    let config = Config::from_json(r#"{"Jobs": {"Overlap": "later"}}"#).expect("is read");
    let text = refusal(Gaia::builder().config(config).jobs(JobsOptions::default()).check());
    assert!(text.contains("Jobs.Overlap") && text.contains("delay"), "{text}");
}
