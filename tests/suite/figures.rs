//! The history of what ended: counts by time, from any process.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use actix::Actor;
use chrono::{TimeDelta, Utc};
use gaia_actors::{
    Admin, Clock, Event, GaiaBuilder,
    admin::{GetHistory, History, HistoryKind, HistoryPoint},
    async_fn,
    events::DatabaseWork,
    prelude::*,
};
use serde_json::{Value, json};

use crate::support::{Database, PATIENCE, THEME, Tested, ended, eventually, options, refusal, task};

const SPAN: Duration = Duration::from_secs(10);
const HOUR: Duration = Duration::from_secs(3_600);

/// Handlers for each kind of end.
fn with_handlers(builder: GaiaBuilder) -> GaiaBuilder {
    let fails_once = async_fn(async |ctx: TaskContext, _: Value| match ctx.attempt() {
        1 => Err(TaskError::failed("not yet")),
        _ => Ok(()),
    });
    builder
        .handler("Demo", "Noop", async_fn(async |_, _: Value| Ok(())))
        .handler(
            "Demo",
            "Fail",
            async_fn(async |_, _: Value| Err::<(), _>(TaskError::discard("no"))),
        )
        .handler("Demo", "Flaky", fails_once)
}

/// The last hour, and the next: the clocks of servers may differ a little.
fn around_now() -> GetHistory {
    let now = Utc::now();
    GetHistory {
        step: 3_600,
        ..GetHistory::between(now - TimeDelta::hours(1), now + TimeDelta::hours(1))
    }
}

async fn history(gaia: &Gaia, get: GetHistory) -> History {
    gaia.admin().history(get).await.expect("answers")
}

/// Succeeded, failed, retried.
fn sums(history: &History) -> [u64; 3] {
    let sum = |count: fn(&HistoryPoint) -> u64| history.points.iter().map(count).sum();
    [
        sum(|point| point.succeeded),
        sum(|point| point.failed),
        sum(|point| point.retried),
    ]
}

fn options_of(theme: &str) -> SchedulerOptions {
    SchedulerOptions::new(theme)
        .worker_num(4)
        .scan_interval(Duration::from_millis(200))
        .retry(RetryPolicy::immediate())
}

#[actix_rt::test]
async fn counts_are_those_of_the_ends_and_any_process_can_read_them() {
    let database = Database::fresh();
    for theme in ["one", "two"] {
        let options = options_of(theme);
        let gaia = with_handlers(database.builder()).scheduler(options).start().await;
        let gaia = gaia.expect("starts");
        let scheduler = gaia.scheduler(theme).expect("is a theme");
        let mut added = scheduler.add_tasks(vec![task("Noop"); 20]).await.expect("are added");
        for method in ["Fail", "Flaky", "Flaky"] {
            added.push(scheduler.add_task(task(method)).await.expect("is added"));
        }
        for added in added {
            ended(&scheduler, added.id).await;
        }
        gaia.stop().await.expect("stops");
    }
    let reader = database.builder().start().await.expect("starts");
    let all = history(&reader, around_now()).await;
    assert_eq!((sums(&all), all.resolution), ([44, 2, 4], 10));
    let times = |history: &History, times: fn(&HistoryPoint) -> u64| -> u64 { history.points.iter().map(times).sum() };
    assert_eq!(times(&all, |point| point.running.count), 50);
    assert_eq!(times(&all, |point| point.waiting.count), 50);
    let point = &all.points[0];
    assert!(point.running.p50 <= point.running.p95 && point.running.p95 <= point.running.p99);
    assert_eq!((&point.theme, &point.method), (&None, &None));

    let by_method = GetHistory {
        theme: Some("two".to_owned()),
        by_method: true,
        ..around_now()
    };
    let of_two = history(&reader, by_method).await;
    let of_method = |method: &str| {
        let points = of_two
            .points
            .iter()
            .filter(|point| point.method.as_deref() == Some(method));
        points.fold([0; 3], |[succeeded, failed, retried], point| {
            [
                succeeded + point.succeeded,
                failed + point.failed,
                retried + point.retried,
            ]
        })
    };
    assert_eq!(
        ["Noop", "Fail", "Flaky"].map(of_method),
        [[20, 0, 0], [0, 1, 0], [2, 0, 2]]
    );
    for point in &of_two.points {
        assert_eq!(
            (point.theme.as_deref(), point.service.as_deref()),
            (Some("two"), Some("Demo"))
        );
    }
    let one = GetHistory {
        method: Some("Fail".to_owned()),
        ..around_now()
    };
    assert_eq!(sums(&history(&reader, one).await), [0, 2, 0]);
    // As a message, and by name, from JSON to JSON.
    let sent = reader
        .admin()
        .start()
        .send(around_now())
        .await
        .expect("alive")
        .expect("answers");
    let json = serde_json::to_string(&sent).expect("is written");
    assert!(
        json.contains(r#""total_ms":"#) && json.contains(r#""p95_ms":"#),
        "{json}"
    );
    assert_eq!(serde_json::from_str::<History>(&json).expect("is read"), sent);
    reader.stop().await.expect("stops");
}

#[actix_rt::test]
async fn runs_of_jobs_count_under_the_name_of_the_job() {
    let database = Database::fresh();
    let gaia = with_handlers(database.builder())
        .jobs(JobsOptions::default())
        .start()
        .await;
    let gaia = gaia.expect("starts");
    let jobs = gaia.jobs();
    for (name, method) in [("works", "Noop"), ("fails", "Fail"), ("tries again", "Flaky")] {
        let job = NewJob::cron_job(name, "@yearly", "Demo", method).max_retry(1);
        let job = job.retry_delay(Duration::from_millis(1));
        let id = jobs.add_job(job).await.expect("is added");
        let run = jobs.execute_job_immediately(id).await.expect("runs");
        jobs.wait_for_run(run.id, PATIENCE).await.expect("ends");
    }
    gaia.stop().await.expect("stops");
    let reader = database.builder().start().await.expect("starts");
    let of_jobs = GetHistory {
        kind: HistoryKind::Job,
        ..around_now()
    };
    assert_eq!(sums(&history(&reader, of_jobs.clone()).await), [2, 1, 1]);
    let one = GetHistory {
        theme: Some("tries again".to_owned()),
        by_method: true,
        ..of_jobs
    };
    let one = history(&reader, one).await;
    assert_eq!(sums(&one), [1, 0, 1]);
    assert_eq!(one.points[0].method.as_deref(), Some("Flaky"));
    assert_eq!(sums(&history(&reader, around_now()).await), [0, 0, 0]);
    reader.stop().await.expect("stops");
}

/// Rows come with the heartbeats, once a span of time is over.
#[actix_rt::test]
async fn counts_survive_an_outage_of_the_database() {
    let (failures, ends) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (failed, counted) = (Arc::clone(&failures), Arc::clone(&ends));
    let builder = Gaia::builder().lease(Duration::from_secs(2)).observe(move |event| {
        // An event is counted before observers hear of it.
        match event {
            Event::DatabaseFailed(failure) if failure.work == DatabaseWork::WriteHistory => {
                failed.fetch_add(1, Ordering::SeqCst);
            }
            Event::TaskEnded(_) => {
                counted.fetch_add(1, Ordering::SeqCst);
            }
            _ => {}
        }
    });
    let gaia = Tested::start(with_handlers(builder).scheduler(options())).await;
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let run = async |tasks: usize| {
        let all = ends.load(Ordering::SeqCst) + tasks;
        demo.add_tasks(vec![task("Noop"); tasks]).await.expect("are added");
        eventually("the ends", async || (ends.load(Ordering::SeqCst) == all).then_some(())).await;
        gaia.advance(SPAN);
    };
    let get = GetHistory {
        step: 10,
        ..GetHistory::between(gaia.now(), gaia.now() + TimeDelta::minutes(10))
    };
    let seen = async || history(&gaia, get.clone()).await;
    run(7).await;
    eventually("the first counts", async || (sums(&seen().await)[0] == 7).then_some(())).await;

    gaia.database
        .execute("ALTER TABLE gaia_history RENAME TO gaia_history_away");
    for tasks in [3, 5] {
        let before = failures.load(Ordering::SeqCst);
        run(tasks).await;
        eventually("a write that fails", async || {
            (failures.load(Ordering::SeqCst) > before).then_some(())
        })
        .await;
    }
    gaia.database
        .execute("ALTER TABLE gaia_history_away RENAME TO gaia_history");
    eventually("all counts", async || (sums(&seen().await)[0] >= 15).then_some(())).await;
    let seen: Vec<_> = seen().await.points.iter().map(|point| point.succeeded).collect();
    assert_eq!(seen, [7, 3, 5]);
    gaia.stop().await.expect("stops");
}

/// A row of plain SQL, `seconds` after the beginning of 2026.
fn row(number: usize, seconds: i64) -> String {
    let at = chrono::DateTime::from_timestamp(1_767_225_600 + seconds, 0).expect("is a time");
    let at = at.format("%F %T");
    let method = number % 3;
    format!(
        "(10, '{at}', {number}, 'n', 'task', 'demo', 'Demo', 'm{method}', 2, 1, 0, 0, 0, 0, 30, '[1,2]', 7, '[0,0,1]')"
    )
}

/// Two nodes fold at once, and one that reads never sees another sum.
#[actix_rt::test]
async fn folding_keeps_the_sums_and_old_hours_go() {
    let database = Database::fresh();
    let clock = Clock::manual("2026-01-01T00:00:00Z".parse().expect("is a time"));
    let start = async || {
        let builder = with_handlers(database.builder()).clock(clock.clone());
        builder.scheduler(options()).start().await.expect("starts")
    };
    let (first, second) = (start().await, start_other(&database, &clock).await);
    // Some hours, 3 methods and 6 rows in each minute: many more rows than one piece has.
    let rows: Vec<String> = (0..2_700)
        .map(|at| row(at, i64::try_from(at).expect("fits") * 10 / 3))
        .collect();
    for rows in rows.chunks(300) {
        database.execute(&format!("INSERT INTO gaia_history VALUES {}", rows.join(", ")));
    }
    let get = GetHistory {
        step: 3_600,
        ..GetHistory::between(clock.now(), clock.now() + TimeDelta::hours(4))
    };
    let count = |width: i64| database.number(&format!("SELECT COUNT(*) FROM gaia_history WHERE width = {width}"));
    let whole = history(&first, get.clone()).await;
    assert_eq!((sums(&whole), whole.resolution), ([5_400, 2_700, 0], 10));
    let folded = async |age: Duration, from: i64, to: i64| {
        clock.advance(age);
        eventually("the fold", async || {
            let seen = history(&second, get.clone()).await;
            assert_eq!(seen.points, whole.points);
            (count(from) == 0 && seen.resolution == u32::try_from(to).expect("fits")).then_some(())
        })
        .await;
    };
    folded(HOUR * 6, 10, 60).await;
    // 150 minutes of three methods. What two nodes have folded of one minute may be two rows.
    assert!((450..=900).contains(&count(60)), "{}", count(60));
    folded(HOUR * 24 * 3, 60, 3_600).await;
    assert!((9..=36).contains(&count(3_600)), "{}", count(3_600));
    // The pruner has looked at the clock, and is certain of it.
    eventually("a look", async || {
        let now = clock.now() - TimeDelta::hours(1);
        let seen = format!(
            "SELECT COUNT(*) FROM gaia_retention WHERE seen > '{}'",
            now.format("%F %T")
        );
        (database.number(&seen) > 0).then_some(())
    })
    .await;
    clock.advance(HOUR * 24 * 91);
    eventually("the hours to go", async || (count(3_600) == 0).then_some(())).await;
    for gaia in [first, second] {
        gaia.stop().await.expect("stops");
    }
}

async fn start_other(database: &Database, clock: &Clock) -> Gaia {
    let options = options_of("other");
    let builder = with_handlers(database.builder()).clock(clock.clone());
    // Without a retention it folds, too.
    builder
        .retention(None)
        .scheduler(options)
        .start()
        .await
        .expect("starts")
}

#[actix_rt::test]
async fn a_history_that_cannot_be_given_is_refused_with_reasons() {
    let database = Database::fresh();
    let gaia = database.builder().start().await.expect("starts");
    let good = around_now();
    for (bad, why) in [
        (
            GetHistory {
                step: 0,
                ..good.clone()
            },
            "step is 0 s, expected a multiple of 10",
        ),
        (
            GetHistory {
                step: 15,
                ..good.clone()
            },
            "step is 15 s",
        ),
        (
            GetHistory {
                step: 604_810,
                ..good.clone()
            },
            "at most 604800",
        ),
        (
            GetHistory {
                to: good.from,
                ..good.clone()
            },
            "expected a time before to",
        ),
        (
            GetHistory {
                step: 10,
                to: good.from + TimeDelta::seconds(10_010),
                ..good.clone()
            },
            "1001 steps of 10 s apart, at most 1000",
        ),
        (
            GetHistory {
                from: chrono::DateTime::<Utc>::MIN_UTC,
                to: chrono::DateTime::<Utc>::MIN_UTC + TimeDelta::hours(1),
                ..good.clone()
            },
            "the end of the calendar",
        ),
        (
            GetHistory {
                theme: Some(String::new()),
                method: Some("x".repeat(256)),
                ..good.clone()
            },
            "theme is empty; method has 256 characters",
        ),
    ] {
        let refused = refusal(gaia.admin().history(bad).await);
        assert!(
            refused.starts_with("invalid input: ") && refused.contains(why),
            "{refused}"
        );
    }
    let operation = Admin::OPERATIONS.iter().find(|operation| operation.name == "history");
    let operation = operation.expect("is in the table");
    for (message, why) in [
        (json!({ "from": good.from }), "missing field `to`"),
        (
            json!({ "from": good.from, "to": good.to, "steps": 10 }),
            "unknown field `steps`",
        ),
        (
            json!({ "from": good.from, "to": good.to, "kind": "node" }),
            "unknown variant `node`",
        ),
    ] {
        let refused = refusal(operation.run(&gaia.admin(), &message.to_string()).await);
        assert!(refused.contains(why), "{refused}");
    }
    let least = json!({ "from": good.from, "to": good.to });
    let answer = operation.run(&gaia.admin(), &least.to_string()).await.expect("answers");
    assert_eq!(answer, r#"{"points":[],"resolution":0}"#);
    gaia.stop().await.expect("stops");
}
