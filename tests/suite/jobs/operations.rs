//! The operations of the guide.

use std::time::Duration;

use gaia_actors::{
    HookMethod, HookSecret, JobType, MisfirePolicy, RunFlag, ScheduleForm,
    messages::{ExecuteJobImmediately, GetJobDetail, ListJobs, ToggleJob, WaitForRun},
    prelude::*,
};

use super::{echo, ended, finished, flag, flags, gate_job, gated, records, serving, tested};
use crate::support::{Database, PATIENCE, Tested, refusal};

#[actix_rt::test]
async fn a_job_is_added_seen_changed_and_removed() {
    let test = tested().await;
    let jobs = test.jobs();
    let report = NewJob::cron_job("每日报表生成", "0 0 1 * * *", "Demo", "Echo")
        .args(&serde_json::json!({ "date": "auto" }))
        .time_zone("Asia/Shanghai")
        .misfire(MisfirePolicy::Skip)
        .timeout(Duration::from_secs(60));
    let id = jobs.add_job(report.clone()).await.expect("is added");

    let detail = jobs.get_job_detail(id).await.expect("is there");
    assert_eq!(detail.job.args.as_deref(), Some(r#"{"date":"auto"}"#));
    assert_eq!((detail.job.timeout, detail.job.enabled), (60, true));
    assert_eq!(
        (detail.job.run_status.as_str(), detail.job.misfire_policy.as_str()),
        ("待运行", "skip")
    );
    assert_eq!(detail.job.error, None);
    // 1 o'clock in Shanghai is 17 o'clock UTC the day before; the test's time is midnight UTC.
    let fires: Vec<String> = detail.next_fires.iter().map(ToString::to_string).collect();
    assert_eq!(fires[0], "2026-01-01 17:00:00 UTC");
    assert_eq!(fires.len(), 5);
    assert_eq!(detail.job.next_run_time, Some(detail.next_fires[0]));
    let (english, chinese) = (
        detail.description.expect("is good"),
        detail.description_zh.expect("is good"),
    );
    assert!(english.contains("Asia/Shanghai"), "{english}");
    assert!(chinese.contains("每天"), "{chinese}");

    let later = NewJob::cron_hook("每日报表生成", "0 30 2 * * *", "http://localhost:1/x").hook_method(HookMethod::Put);
    assert_eq!(jobs.update_job(id, later).await.expect("is there"), 1);
    let job = jobs.get_job_detail(id).await.expect("is there").job;
    assert_eq!(
        (job.job_type.as_str(), job.cron_expr.as_str()),
        ("cron_hook", "0 30 2 * * *")
    );
    assert_eq!((&job.service_name, &job.time_zone, job.timeout), (&None, &None, 300));
    assert_eq!(job.hook_method, "PUT");

    // What it is can be taken and changed in one respect.
    let sooner = NewJob::from(job).cron_expr("0 0 2 * * *");
    jobs.update_job(id, sooner).await.expect("is there");
    let changed = jobs.get_job_detail(id).await.expect("is there").job;
    assert_eq!(
        (changed.cron_expr.as_str(), changed.hook_method.as_str()),
        ("0 0 2 * * *", "PUT")
    );

    jobs.remove_job(id).await.expect("is there");
    assert_eq!(refusal(jobs.get_job_detail(id).await), format!("there is no job {id}"));
    assert_eq!(refusal(jobs.remove_job(id).await), format!("there is no job {id}"));
    assert_eq!(
        refusal(jobs.update_job(id, report).await),
        format!("there is no job {id}")
    );
    assert_eq!(
        refusal(jobs.toggle_job(id, true).await),
        format!("there is no job {id}")
    );
    assert_eq!(
        refusal(jobs.execute_job_immediately(id).await),
        format!("there is no job {id}")
    );
    assert_eq!(refusal(jobs.cancel_job(id).await), format!("there is no job {id}"));
}

#[actix_rt::test]
async fn lists_are_filtered_and_paged() {
    let test = tested().await;
    let jobs = test.jobs();
    for at in 0..5 {
        let job = echo(&format!("报表 {at}%"), "@daily").enabled(at % 2 == 0);
        jobs.add_job(job).await.expect("is added");
    }
    jobs.add_job(NewJob::cron_hook("sync", "@hourly", "http://localhost:1/"))
        .await
        .expect("is added");

    let total = async |list| jobs.list_jobs(list).await.expect("answers").total;
    assert_eq!(total(ListJobs::default()).await, 6);
    let hooks = ListJobs {
        job_type: Some(JobType::CronHook),
        ..ListJobs::default()
    };
    assert_eq!(total(hooks).await, 1);
    let disabled = ListJobs {
        enabled: Some(false),
        ..ListJobs::default()
    };
    assert_eq!(total(disabled).await, 2);
    let named = ListJobs {
        name_contains: Some("3%".to_owned()),
        ..ListJobs::default()
    };
    assert_eq!(total(named).await, 1);
    let page = ListJobs {
        page: PageRequest::new(2, 4),
        ..ListJobs::default()
    };
    let page = jobs.list_jobs(page).await.expect("answers");
    let names: Vec<&str> = page.items.iter().map(|job| job.job_name.as_str()).collect();
    assert_eq!(names, ["报表 1%", "报表 0%"]);
    let none = ListJobs {
        page: PageRequest::new(0, 4),
        ..ListJobs::default()
    };
    assert!(refusal(jobs.list_jobs(none).await).contains("page is 0"));
}

#[actix_rt::test]
async fn bad_input_is_refused_and_nothing_is_stored() {
    let test = tested().await;
    let jobs = test.jobs();
    let bad = |job| {
        let jobs = jobs.clone();
        async move { refusal(jobs.add_job(job).await) }
    };
    let hook = |url: &str| NewJob::cron_hook("x", "@daily", url);
    for (job, expected) in [
        (echo("", "@daily"), "job_name is empty"),
        (echo("x", "61 * * * *"), "minute"),
        (echo("x", "0 0 30 2 *"), "never"),
        (echo("x", "* * * * * * *"), "7 fields"),
        (echo("x", &format!("{} * * * *", "1,".repeat(60))), "at most 100 fit"),
        (echo("x", "@daily").time_zone("Asia/Shangai"), "Asia/Shanghai"),
        (
            NewJob::cron_job("x", "@daily", "", "Echo"),
            "service_name (which a cron_job needs) is empty",
        ),
        (
            NewJob::cron_job("x", "@daily", "Demo", " "),
            "service_method (which a cron_job needs) is empty",
        ),
        (hook(""), "hook_url is empty"),
        (hook("ftp://host/x"), "scheme"),
        (hook("http://me:s3cret@host/x"), "user name or a password"),
        (hook("http://"), "hook"),
        (echo("x", "@daily").timeout(Duration::ZERO), "timeout is 0 s"),
        (
            echo("x", "@daily").timeout(Duration::from_millis(1_500)),
            "timeout is 1.5 s",
        ),
        (echo("x", "@daily").raw_args("{oops"), "not JSON"),
        (echo("x", "@daily").max_retry(-1), "max_retry is -1"),
        (hook("http://host/").header("host", "x"), "host"),
        (hook("http://host/").header("x y", "z"), "header"),
    ] {
        let text = bad(job).await;
        assert!(text.contains(expected), "expected {expected:?} in: {text}");
        assert!(!text.contains("s3cret"), "{text}");
    }
    let from_json = |json: &str| serde_json::from_str::<NewJob>(json).expect("has the shape");
    let unknown = r#"{"job_name": "x", "job_type": "cron_foo", "cron_expr": "@daily", "overlap_policy": "maybe"}"#;
    let text = bad(from_json(unknown)).await;
    assert!(
        text.contains(r#"unknown job_type "cron_foo", expected one of cron_job, cron_hook"#),
        "{text}"
    );
    assert!(
        text.contains(r#"unknown overlap_policy "maybe""#),
        "every fault at once: {text}"
    );
    let negative = r#"{"job_name": "x", "job_type": "cron_job", "cron_expr": "@daily",
        "service_name": "Demo", "service_method": "Echo", "timeout": -5}"#;
    assert!(bad(from_json(negative)).await.contains("timeout is -5 s"));
    assert!(serde_json::from_str::<NewJob>(r#"{"job_nam": "x"}"#).is_err());
    assert_eq!(jobs.list_jobs(ListJobs::default()).await.expect("answers").total, 0);

    // An update is checked in the same way, and changes nothing either.
    let id = jobs.add_job(echo("x", "@daily")).await.expect("is added");
    refusal(jobs.update_job(id, echo("x", "oops")).await);
    assert_eq!(jobs.get_job_detail(id).await.expect("is there").job.cron_expr, "@daily");
}

#[actix_rt::test]
async fn two_jobs_cannot_have_one_name() {
    let test = tested().await;
    let jobs = test.jobs();
    let a = jobs.add_job(echo("a", "@daily")).await.expect("is added");
    let b = jobs.add_job(echo("b", "@daily")).await.expect("is added");
    let taken = format!("job {a} has the name \"a\" already; choose another, or update that job");
    assert_eq!(refusal(jobs.add_job(echo("a", "@hourly")).await), taken);
    assert_eq!(refusal(jobs.update_job(b, echo("a", "@hourly")).await), taken);
    let races = (0..8).map(|_| jobs.add_job(echo("c", "@daily")));
    let added = futures_util::future::join_all(races).await;
    assert_eq!(added.iter().filter(|added| added.is_ok()).count(), 1);

    // Two that plain SQL has given one name can be changed all the same, and renamed.
    test.database
        .execute(&format!("UPDATE job_center SET job_name = 'b' WHERE id = {a}"));
    for (id, name) in [(a, "b"), (b, "b"), (b, "was b")] {
        jobs.update_job(id, echo(name, "@hourly")).await.expect("is changed");
    }
    // Plain SQL may rename and copy: the name it took away is free.
    test.database
        .execute(&format!("UPDATE job_center SET job_name = 'z' WHERE id = {a}"));
    jobs.add_job(echo("a", "@daily")).await.expect("is free");
    assert!(refusal(jobs.add_job(echo("z", "@daily")).await).contains("has the name"));
}

#[actix_rt::test]
async fn a_job_that_a_program_declares_is_brought_up_to_date_and_left_alone_otherwise() {
    let test = tested().await;
    let jobs = test.jobs();
    let secret = HookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("is one");
    let declared = || {
        NewJob::cron_hook("sync", "@hourly", "http://localhost:1/")
            .args(&serde_json::json!({ "type": "full" }))
            .header("x-team", "data")
            .secret(&secret)
    };
    let id = jobs.ensure_job(declared()).await.expect("is added");
    let before = jobs.get_job_detail(id).await.expect("is there").job;
    jobs.toggle_job(id, false).await.expect("is there");
    test.advance(Duration::from_secs(60));
    assert_eq!(jobs.ensure_job(declared()).await.expect("is there"), id);
    let same = jobs.get_job_detail(id).await.expect("is there").job;
    assert!(!same.enabled && same.update_time == before.update_time, "{same:?}");

    let other = declared().timeout(Duration::from_secs(5));
    assert_eq!(jobs.ensure_job(other).await.expect("is there"), id);
    let updated = jobs.get_job_detail(id).await.expect("is there").job;
    assert_eq!(
        (updated.timeout, updated.enabled, updated.has_hook_secret),
        (5, false, true)
    );
    let many = (0..6).map(|_| jobs.ensure_job(echo("many", "@daily")));
    let ids: Vec<i64> = futures_util::future::try_join_all(many).await.expect("are all one");
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}

#[actix_rt::test]
async fn a_job_runs_at_once_even_if_it_is_disabled() {
    let test = tested().await;
    let jobs = test.jobs();
    let id = jobs
        .add_job(echo("hello", "@daily").enabled(false))
        .await
        .expect("is added");
    let run = jobs.execute_job_immediately(id).await.expect("runs");
    assert_eq!((run.job_id, run.scheduled_at), (Some(id), None));
    let run = finished(&jobs, &run).await;
    assert_eq!(
        (flag(&run), run.run_result.as_deref()),
        (Some(RunFlag::Success), Some("\"hello\""))
    );
    assert_eq!((run.attempt, run.run_err.as_deref()), (Some(1), None));
    assert_eq!(run.node_id.as_deref(), Some(test.node_id()));
    assert!(run.log_id.is_some() && run.started_at.is_some() && run.ended_at.is_some() && run.duration.is_some());
    let job = jobs.get_job_detail(id).await.expect("is there").job;
    assert_eq!(job.run_status, "待运行");
    assert!(job.last_run_time.is_some() && job.next_run_time.is_none());
}

#[actix_rt::test]
async fn the_operations_are_messages_too() {
    let test = tested().await;
    let jobs = test.jobs().addr();
    let id = jobs
        .send(gaia_actors::messages::AddJob(echo("a", "@daily")))
        .await
        .expect("lives")
        .expect("is added");
    let off = ToggleJob { id, enabled: false };
    jobs.send(off).await.expect("lives").expect("is there");
    let detail = jobs.send(GetJobDetail(id)).await.expect("lives").expect("is there");
    assert!(!detail.job.enabled);
    let run = jobs
        .send(ExecuteJobImmediately(id))
        .await
        .expect("lives")
        .expect("runs");
    let wait = WaitForRun {
        run_id: run.id,
        timeout: PATIENCE,
    };
    let run = jobs.send(wait).await.expect("lives").expect("ends");
    assert_eq!(flag(&run), Some(RunFlag::Success));
}

#[actix_rt::test]
async fn a_running_job_is_listed_and_can_be_cancelled() {
    let test = tested().await;
    let jobs = test.jobs();
    let (id, gate) = gated(&jobs, test.registry(), gate_job("slow", "@daily")).await;
    let run = jobs.execute_job_immediately(id).await.expect("runs");
    gate.entered(1).await;
    let running = jobs.get_running_jobs().await.expect("answers");
    assert_eq!(running.iter().map(|run| run.id).collect::<Vec<_>>(), [run.id]);
    assert_eq!(
        jobs.get_job_detail(id).await.expect("is there").job.run_status,
        "运行中"
    );
    let again = refusal(jobs.execute_job_immediately(id).await);
    assert!(again.contains(&format!("run {} is still under way", run.id)), "{again}");

    assert_eq!(jobs.cancel_job(id).await.expect("is there"), 1);
    // The handler does not listen: it is dropped after the grace, which is measured by the test's time.
    let cancelled = crate::support::eventually("the run's end", async || {
        test.advance(Duration::from_secs(1));
        jobs.get_run(run.id).await.ok().filter(|run| !run.is_open())
    })
    .await;
    assert_eq!(flag(&cancelled), Some(RunFlag::Cancelled));
    assert_eq!(cancelled.run_err.as_deref(), Some("cancelled by request"));
    assert_eq!(gate.inside(), 0);
    assert!(jobs.get_running_jobs().await.expect("answers").is_empty());
    assert_eq!(
        jobs.get_job_detail(id).await.expect("is there").job.run_status,
        "待运行"
    );
    assert_eq!(jobs.cancel_job(id).await.expect("is there"), 0);
}

#[actix_rt::test]
async fn records_stay_with_their_job_when_it_is_renamed_or_removed() {
    let test = tested().await;
    let jobs = test.jobs();
    let id = jobs.add_job(echo("before", "@daily")).await.expect("is added");
    let run = jobs.execute_job_immediately(id).await.expect("runs");
    finished(&jobs, &run).await;
    jobs.update_job(id, echo("after", "@daily")).await.expect("is there");
    let run = jobs.execute_job_immediately(id).await.expect("runs");
    finished(&jobs, &run).await;
    let names = async || {
        let records = records(&jobs, id).await;
        records.into_iter().map(|record| record.job_name).collect::<Vec<_>>()
    };
    assert_eq!(names().await, ["before", "after"]);
    jobs.remove_job(id).await.expect("is there");
    assert_eq!(names().await, ["before", "after"]);
}

#[actix_rt::test]
async fn a_failing_job_says_why_and_is_tried_again_as_often_as_it_may() {
    let test = tested().await;
    let jobs = test.jobs();
    let fail = |name: &str| NewJob::cron_job(name, "@daily", "Demo", "Fail").retry_delay(Duration::ZERO);
    let once = jobs.add_job(fail("once")).await.expect("is added");
    let thrice = jobs.add_job(fail("thrice").max_retry(2)).await.expect("is added");
    let missing = NewJob::cron_job("missing", "@daily", "Demo", "Ech");
    let missing = jobs.add_job(missing).await.expect("is added");
    for (id, attempts, error) in [
        (once, 1, "as asked"),
        (thrice, 3, "as asked"),
        (
            missing,
            1,
            "service \"Demo\" has no method \"Ech\"; its registered methods: Echo, Fail",
        ),
    ] {
        let run = jobs.execute_job_immediately(id).await.expect("runs");
        let run = finished(&jobs, &run).await;
        assert_eq!((flag(&run), run.attempt), (Some(RunFlag::Failed), Some(attempts)));
        assert_eq!(run.run_err.as_deref(), Some(error));
    }
    let status = jobs.status().await.expect("answers");
    assert_eq!((status.failed, status.succeeded, status.running), (3, 0, 0));
}

#[actix_rt::test]
async fn a_panic_and_what_is_not_worth_another_attempt_end_the_run() {
    let test = tested().await;
    let jobs = test.jobs();
    let registry = test.registry();
    let attempts = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let count = std::sync::Arc::clone(&attempts);
    let parameters = async_fn(async move |_: TaskContext, _: serde_json::Value| {
        count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Err::<(), _>(TaskError::failed("PARAM_ERROR: no amount"))
    });
    registry.register("Demo", "Param", parameters).await.expect("is new");
    let panics = async_fn(async |_: TaskContext, _: serde_json::Value| -> Result<(), TaskError> { panic!("oh no") });
    registry.register("Demo", "Panic", panics).await.expect("is new");
    let mut errors = Vec::new();
    for method in ["Param", "Panic"] {
        let job = NewJob::cron_job(method, "@daily", "Demo", method)
            .max_retry(3)
            .retry_delay(Duration::ZERO);
        let id = jobs.add_job(job).await.expect("is added");
        let run = jobs.execute_job_immediately(id).await.expect("runs");
        errors.push(finished(&jobs, &run).await.run_err.expect("has one"));
    }
    assert_eq!(errors, ["PARAM_ERROR: no amount", "the handler panicked: oh no"]);
    assert_eq!(attempts.load(std::sync::atomic::Ordering::SeqCst), 1);
    let status = jobs.status().await.expect("answers");
    assert_eq!((status.failed, status.panicked, status.timed_out), (2, 1, 0));
}

#[actix_rt::test]
async fn a_runner_may_take_one_form_of_expressions_only() {
    let options = JobsOptions::default()
        .form(ScheduleForm::SixFields)
        .time_zone("Asia/Tokyo");
    let test = Tested::start(Gaia::builder().jobs(options)).await;
    let jobs = test.jobs();
    let text = refusal(jobs.add_job(echo("x", "0 1 * * *")).await);
    assert!(text.contains("expected six"), "{text}");
    let id = jobs.add_job(echo("x", "0 0 1 * * *")).await.expect("is added");
    let next = jobs.get_job_detail(id).await.expect("is there").next_fires[0];
    assert_eq!(next.to_string(), "2026-01-01 16:00:00 UTC");
}

#[actix_rt::test]
async fn a_banned_environment_runs_no_jobs_and_says_so() {
    let options = JobsOptions::default()
        .environment("Test")
        .ban_env_list(["local", "test"]);
    let test = Tested::start(Gaia::builder().jobs(options)).await;
    let jobs = test.jobs();
    let id = jobs
        .add_job(echo("x", "* * * * * *"))
        .await
        .expect("looking after jobs is no harm");
    assert_eq!(jobs.status().await.expect("answers").banned.as_deref(), Some("Test"));
    assert_eq!(
        refusal(jobs.execute_job_immediately(id).await),
        "jobs must not run in the environment \"Test\": it is in Jobs.BanEnvList"
    );
    test.advance(Duration::from_secs(5));
    assert_eq!(records(&jobs, id).await.len(), 0);
}

#[actix_rt::test]
async fn a_process_without_a_runner_only_looks_after_jobs() {
    let test = Tested::start(Gaia::builder()).await;
    let jobs = test.jobs();
    let id = jobs.add_job(echo("x", "* * * * * *")).await.expect("is added");
    let text = refusal(jobs.execute_job_immediately(id).await);
    assert!(text.contains("GaiaBuilder::jobs"), "{text}");
}

#[actix_rt::test]
async fn a_run_can_be_cancelled_while_schedules_cannot_be_read() {
    let database = Database::fresh();
    let options = JobsOptions::default().cancel_grace(Duration::ZERO);
    let gaia = serving(database.builder()).jobs(options).start().await.expect("starts");
    let jobs = gaia.jobs();
    let (id, gate) = gated(&jobs, gaia.registry(), gate_job("gate", "@yearly")).await;
    let run = jobs.execute_job_immediately(id).await.expect("runs");
    gate.entered(1).await;
    database.execute("ALTER TABLE job_center RENAME COLUMN misfire_grace TO elsewhere");
    assert_eq!(jobs.cancel_job(id).await.expect("is there"), 1);
    let record = finished(&jobs, &run).await;
    assert_eq!(flag(&record), Some(RunFlag::Cancelled));
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_secret_is_kept_by_an_update_and_never_shown() {
    let test = tested().await;
    let jobs = test.jobs();
    let text = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let secret = HookSecret::parse(text).expect("is one");
    let hook = || NewJob::cron_hook("x", "@daily", "http://localhost:1/").header("authorization", "Bearer tok3n");
    let id = jobs.add_job(hook().secret(&secret)).await.expect("is added");
    jobs.update_job(id, hook()).await.expect("is there");
    let detail = jobs.get_job_detail(id).await.expect("is there");
    assert!(detail.job.has_hook_secret);
    let shown = format!("{detail:?} {}", serde_json::to_string(&detail).expect("is JSON"));
    assert!(!shown.contains("MfKQ9r8"), "{shown}");
    assert!(!format!("{detail:?} {:?}", hook()).contains("tok3n"));
    jobs.update_job(id, hook().without_secret()).await.expect("is there");
    assert!(!jobs.get_job_detail(id).await.expect("is there").job.has_hook_secret);
}

#[actix_rt::test]
async fn results_of_any_size_and_script_are_recorded() {
    let test = tested().await;
    let jobs = test.jobs();
    let registry = test.registry();
    let big = async_fn(async |_: TaskContext, _: serde_json::Value| Ok("🚀".repeat(500_000)));
    registry.register("Demo", "Big", big).await.expect("is new");
    let odd = async_fn(async |_: TaskContext, _: serde_json::Value| Err::<(), _>(TaskError::failed("a\0b 错误 🚀")));
    registry.register("Demo", "Odd", odd).await.expect("is new");
    let mut ids = Vec::new();
    for method in ["Big", "Odd"] {
        let id = jobs
            .add_job(NewJob::cron_job(method, "@daily", "Demo", method))
            .await
            .expect("is added");
        jobs.execute_job_immediately(id).await.expect("runs");
        ids.push(id);
    }
    // A long page would show its beginning.
    let run = ended(&jobs, ids[0], 1).await[0].id;
    let big = jobs.get_run(run).await.expect("is there");
    let result = big.run_result.as_deref().expect("has one");
    assert!(
        result.starts_with("\"🚀") && result.ends_with("bytes in all]"),
        "{}",
        result.len()
    );
    let odd = ended(&jobs, ids[1], 1).await;
    assert_eq!(odd[0].run_err.as_deref(), Some("a\u{fffd}b 错误 🚀"));
    assert_eq!(flags(&odd), [Some(RunFlag::Failed)]);
}
