//! Alerts of the crate itself: what raises them, what ends them, and that people get one message.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use gaia_actors::{
    Alert, AlertKind, AlertOptions, AlertState, Clock, Event, GaiaBuilder,
    admin::{ListAlerts, OpenAlert, PauseTheme, ResumeTheme},
    async_fn,
    prelude::*,
};
use serde_json::Value;

use crate::{
    outage::poison,
    support::{Database, Gate, NodeProcess, PATIENCE, THEME, eventually, options, task},
};

/// How often alerts are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// Messages in the order in which they came, and the events of the same processes.
#[derive(Clone, Default)]
struct Told {
    alerts: Arc<Mutex<Vec<Alert>>>,
    failures: Arc<AtomicUsize>,
}

impl Told {
    /// The builder of a process that tells its alerts here.
    fn of(&self, database: &Database, clock: &Clock) -> GaiaBuilder {
        self.on(database.builder(), clock)
    }

    fn on(&self, builder: GaiaBuilder, clock: &Clock) -> GaiaBuilder {
        let (alerts, failures) = (Arc::clone(&self.alerts), Arc::clone(&self.failures));
        builder
            .clock(clock.clone())
            .on_alert(move |alert| alerts.lock().expect("is not poisoned").push(alert.clone()))
            .observe(move |event| {
                let failed = match event {
                    Event::TaskEnded(ended) => ended.status == Some(TaskStatus::Failed),
                    Event::JobEnded(_) => true,
                    _ => false,
                };
                failures.fetch_add(usize::from(failed), Ordering::SeqCst);
            })
            .handler(
                "Demo",
                "Fail",
                async_fn(async |_, error: String| Err::<(), _>(TaskError::discard(error))),
            )
            .handler("Demo", "Noop", async_fn(async |_, _: Value| Ok(())))
    }

    fn all(&self) -> Vec<Alert> {
        self.alerts.lock().expect("is not poisoned").clone()
    }

    fn states(&self, kind: AlertKind) -> Vec<AlertState> {
        let all = self.all();
        all.iter()
            .filter(|alert| alert.kind == kind)
            .map(|alert| alert.state)
            .collect()
    }

    /// Lets time pass, a look at a time, until a message of this kind and state is there.
    async fn wait(&self, clock: &Clock, kind: AlertKind, state: AlertState) -> Alert {
        let began = Instant::now();
        loop {
            let all = self.all();
            if let Some(alert) = all
                .iter()
                .rev()
                .find(|alert| (alert.kind, alert.state) == (kind, state))
            {
                return alert.clone();
            }
            assert!(
                began.elapsed() < PATIENCE,
                "waited in vain for {kind} {state}: {all:#?}"
            );
            clock.advance(LOOK);
            actix_rt::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until so many tasks have failed for good, or runs of jobs have ended.
    async fn failed(&self, count: usize) {
        eventually("failures", async || {
            (self.failures.load(Ordering::SeqCst) >= count).then_some(())
        })
        .await;
    }
}

fn clock() -> Clock {
    Clock::manual(DateTime::<Utc>::from_timestamp(1_767_225_600, 0).expect("is a time"))
}

async fn open(gaia: &Gaia) -> Vec<OpenAlert> {
    gaia.admin().alerts(ListAlerts::default()).await.expect("are read")
}

/// Lets time pass until the open alert is as it should be.
async fn open_is(gaia: &Gaia, clock: &Clock, what: &str, is_so: impl Fn(&[OpenAlert]) -> bool) {
    eventually(what, async || {
        let open = open(gaia).await;
        if is_so(&open) {
            return Some(());
        }
        clock.advance(LOOK);
        actix_rt::time::sleep(Duration::from_millis(45)).await;
        None
    })
    .await;
}

async fn fail(gaia: &Gaia, told: &Told, tasks: usize, error: &str) {
    let before = told.failures.load(Ordering::SeqCst);
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let failing = task("Fail").args(&error);
    demo.add_tasks(vec![failing; tasks]).await.expect("are added");
    told.failed(before + tasks).await;
}

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

#[actix_rt::test]
async fn failures_are_told_at_once_then_summed_and_over_after_a_quiet_time() {
    let (database, clock, told) = (Database::fresh(), clock(), Told::default());
    let builder = told
        .of(&database, &clock)
        .alerts(AlertOptions::default().link("https://ops.example/gaia/"));
    let gaia = builder.scheduler(options()).start().await.expect("starts");

    fail(&gaia, &told, 1, "no route\nto <host>").await;
    let raised = told.wait(&clock, AlertKind::TaskFailed, AlertState::Raised).await;
    assert_eq!(raised.key, "task_failed:demo Demo.Fail");
    assert_eq!(raised.theme.as_deref(), Some(THEME));
    assert_eq!((raised.times, raised.held_back), (1, 0));
    assert_eq!(
        raised.text_en,
        "theme demo: task 1 (Demo.Fail) failed for good: no route"
    );
    assert_eq!(raised.link.as_deref(), Some("https://ops.example/gaia/tasks/1"));
    assert_eq!(raised.node, gaia.node_id());

    fail(&gaia, &told, 25, "no route").await;
    open_is(&gaia, &clock, "failures that are held back", |open| {
        open.iter()
            .any(|one| one.kind == AlertKind::TaskFailed && (one.times, one.held_back) == (26, 25))
    })
    .await;
    assert_eq!(told.states(AlertKind::TaskFailed), [AlertState::Raised]);

    clock.advance(minutes(10));
    let reminded = told.wait(&clock, AlertKind::TaskFailed, AlertState::Reminded).await;
    assert_eq!(
        (reminded.times, reminded.held_back, reminded.since),
        (26, 24, raised.since)
    );
    assert!(
        reminded
            .text_en
            .starts_with("theme demo: 25 tasks of Demo.Fail failed for good"),
        "{reminded:?}"
    );

    clock.advance(minutes(6));
    let over = told.wait(&clock, AlertKind::TaskFailed, AlertState::Recovered).await;
    assert_eq!((over.key, over.times, over.held_back), (raised.key, 26, 0));
    open_is(&gaia, &clock, "nothing", <[OpenAlert]>::is_empty).await;
    assert_eq!(told.states(AlertKind::TaskFailed).len(), 3);
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_method_whose_tasks_fail_too_often_is_told_until_they_do_not() {
    let (database, clock, told) = (Database::fresh(), clock(), Told::default());
    let gaia = told
        .of(&database, &clock)
        .scheduler(options())
        .start()
        .await
        .expect("starts");
    fail(&gaia, &told, 6, "no").await;
    let raised = told.wait(&clock, AlertKind::FailureShare, AlertState::Raised).await;
    assert_eq!(
        raised.text_en,
        "theme demo: 6 of 6 tasks of Demo.Fail failed for good within 5 minutes (100 %)"
    );
    clock.advance(minutes(6));
    told.wait(&clock, AlertKind::FailureShare, AlertState::Recovered).await;
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn tasks_that_nobody_runs_are_told_until_a_node_does_and_not_while_the_theme_is_paused() {
    let (database, clock, told) = (Database::fresh(), clock(), Told::default());
    let gaia = told.of(&database, &clock).start().await.expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    demo.add_task(task("Noop")).await.expect("is added");
    let unserved = told.wait(&clock, AlertKind::Unserved, AlertState::Raised).await;
    assert_eq!(
        unserved.text_en,
        "theme demo: 1 task is due, and no living node serves their methods"
    );
    assert_eq!(unserved.severity, gaia_actors::AlertSeverity::Page);
    assert_eq!(told.states(AlertKind::OldestDue), []);
    clock.advance(minutes(11));
    let waits = told.wait(&clock, AlertKind::OldestDue, AlertState::Raised).await;
    assert!(
        waits.text_en.contains("the oldest due task has waited for 1"),
        "{waits:?}"
    );

    let pause = PauseTheme {
        theme: THEME.to_owned(),
        ..PauseTheme::default()
    };
    gaia.admin().pause_theme(pause).await.expect("is paused");
    for kind in [AlertKind::Unserved, AlertKind::OldestDue] {
        told.wait(&clock, kind, AlertState::Recovered).await;
    }
    let resume = ResumeTheme {
        theme: THEME.to_owned(),
        ..ResumeTheme::default()
    };
    gaia.admin().resume_theme(resume).await.expect("is resumed");
    let again = |states: Vec<AlertState>| states.len() == 3;
    eventually("both again", async || {
        clock.advance(LOOK);
        actix_rt::time::sleep(Duration::from_millis(45)).await;
        let both = [AlertKind::Unserved, AlertKind::OldestDue].map(|kind| again(told.states(kind)));
        (both == [true, true]).then_some(())
    })
    .await;
    gaia.start_scheduler(options()).await.expect("starts");
    open_is(&gaia, &clock, "nothing", <[OpenAlert]>::is_empty).await;
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_job_that_cannot_be_scheduled_or_that_nobody_fires_is_told() {
    let (database, clock, told) = (Database::fresh(), clock(), Told::default());
    let gaia = told.of(&database, &clock).start().await.expect("starts");
    let jobs = gaia.jobs();
    let bad = jobs
        .add_job(NewJob::cron_job("bad", "0 0 0 1 1 *", "Demo", "Noop"))
        .await
        .expect("is added");
    jobs.add_job(NewJob::cron_job("each minute", "0 * * * * *", "Demo", "Noop"))
        .await
        .expect("is added");
    database.execute(&format!("UPDATE job_center SET cron_expr = 'never' WHERE id = {bad}"));
    let raised = told.wait(&clock, AlertKind::JobBad, AlertState::Raised).await;
    assert!(
        raised
            .text_en
            .starts_with("job bad: its schedule cannot be read, so it never fires: "),
        "{raised:?}"
    );
    let overdue = told.wait(&clock, AlertKind::JobOverdue, AlertState::Raised).await;
    assert!(
        overdue
            .text_en
            .starts_with("job each minute: it was due at 2026-01-01T00:01:00Z, "),
        "{overdue:?}"
    );
    assert_eq!(overdue.key, "job_overdue:each minute");

    jobs.toggle_job(bad, false).await.expect("is disabled");
    told.wait(&clock, AlertKind::JobBad, AlertState::Recovered).await;
    let runner = told
        .of(&database, &clock)
        .jobs(JobsOptions::default())
        .start()
        .await
        .expect("starts");
    told.wait(&clock, AlertKind::JobOverdue, AlertState::Recovered).await;
    runner.stop().await.expect("stops");
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_job_that_fails_is_over_with_its_next_success() {
    let (database, clock, told) = (Database::fresh(), clock(), Told::default());
    let fails = Arc::new(AtomicBool::new(true));
    let asks = Arc::clone(&fails);
    let handler = async_fn(async move |_, _: Value| match asks.load(Ordering::SeqCst) {
        true => Err(TaskError::discard("no")),
        false => Ok(()),
    });
    let builder = told.of(&database, &clock).handler("Demo", "Job", handler);
    let gaia = builder.jobs(JobsOptions::default()).start().await.expect("starts");
    let job = NewJob::cron_job("nightly", "0 0 1 * * *", "Demo", "Job");
    let id = gaia.jobs().add_job(job).await.expect("is added");
    gaia.jobs().execute_job_immediately(id).await.expect("begins");
    told.failed(1).await;
    let raised = told.wait(&clock, AlertKind::JobFailed, AlertState::Raised).await;
    assert_eq!(raised.text_en, "job nightly: run 1 failed: no");
    assert_eq!(raised.key, "job_failed:nightly");
    fails.store(false, Ordering::SeqCst);
    gaia.jobs().execute_job_immediately(id).await.expect("begins");
    told.failed(2).await;
    let over = told.wait(&clock, AlertKind::JobFailed, AlertState::Recovered).await;
    assert!(over.time - raised.time < chrono::TimeDelta::minutes(10), "{over:?}");
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_node_that_dies_and_a_node_that_is_declared_dead_are_told() {
    let (database, clock, told) = (Database::fresh(), clock(), Told::default());
    let builder = told.of(&database, &clock).lease(Duration::from_secs(2));
    let gaia = builder.start().await.expect("starts");
    let (now, then) = (database.in_seconds(0), database.in_seconds(-60));
    database.execute(&format!(
        "INSERT INTO gaia_nodes (id, host, pid, version, started_at, heartbeat, beat, lease_ms, themes, protocol) \
         VALUES ('poor one', 'host', 1, '0', {now}, {then}, 1, 1000, '[]', 3)"
    ));
    let dead = told.wait(&clock, AlertKind::NodeDead, AlertState::Raised).await;
    assert_eq!(dead.key, "node_dead:poor one");
    database.execute("DELETE FROM gaia_nodes");
    let fenced = told.wait(&clock, AlertKind::NodeFenced, AlertState::Raised).await;
    assert_eq!(fenced.subject, gaia.node_id());
    assert!(fenced.text_en.contains("has lost its lease"), "{fenced:?}");
    told.wait(&clock, AlertKind::NodeFenced, AlertState::Recovered).await;
    clock.advance(minutes(16));
    told.wait(&clock, AlertKind::NodeDead, AlertState::Recovered).await;
    open_is(&gaia, &clock, "nothing", <[OpenAlert]>::is_empty).await;
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_task_whose_last_attempt_dies_with_its_node_has_failed_for_good() {
    let (database, clock, told) = (Database::fresh(), clock(), Told::default());
    let builder = told.of(&database, &clock).lease(Duration::from_secs(1));
    let gaia = builder.start().await.expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    demo.add_task(task("Abort").max_retry(0)).await.expect("is added");
    let _dies = NodeProcess::spawn(&database, &[("GAIA__NODE__LEASE", "1")]);
    let raised = told.wait(&clock, AlertKind::TaskFailed, AlertState::Raised).await;
    assert_eq!(raised.key, "task_failed:demo Demo.Abort");
    assert!(raised.text_en.ends_with(" died while it ran"), "{raised:?}");
    told.wait(&clock, AlertKind::NodeDead, AlertState::Raised).await;
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn outcomes_that_cannot_be_written_are_told_until_they_are() {
    let (database, clock, told, gate) = (Database::fresh(), clock(), Told::default(), Gate::closed());
    let builder = told.of(&database, &clock).handler("Demo", "Wait", gate.handler());
    let gaia = builder.scheduler(options()).start().await.expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let id = demo.add_task(task("Wait")).await.expect("is added").id;
    gate.entered(1).await;
    database.execute("ALTER TABLE asynctasks RENAME TO asynctasks_away");
    gate.let_pass(1);
    let raised = told
        .wait(&clock, AlertKind::OutcomesUnwritten, AlertState::Raised)
        .await;
    assert!(
        raised
            .text_en
            .contains("theme demo: ends of runs could not be written for 3"),
        "{raised:?}"
    );
    // The copy of the alert is there for all who look.
    open_is(&gaia, &clock, "the alert", |open| {
        open.iter().any(|one| one.kind == AlertKind::OutcomesUnwritten)
    })
    .await;
    database.execute("ALTER TABLE asynctasks_away RENAME TO asynctasks");
    told.wait(&clock, AlertKind::OutcomesUnwritten, AlertState::Recovered)
        .await;
    assert_eq!(crate::support::ended(&demo, id).await.status, TaskStatus::Success);
    open_is(&gaia, &clock, "nothing", <[OpenAlert]>::is_empty).await;
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn an_outcome_that_the_database_refuses_is_told() {
    let (database, clock, told) = (Database::fresh(), clock(), Told::default());
    let gaia = told
        .of(&database, &clock)
        .scheduler(options())
        .start()
        .await
        .expect("starts");
    let (poison, cure) = poison(database.kind());
    database.execute(poison);
    let demo = gaia.scheduler(THEME).expect("is a theme");
    demo.add_task(task("Noop").name("poison")).await.expect("is added");
    let raised = told.wait(&clock, AlertKind::OutcomeRefused, AlertState::Raised).await;
    assert_eq!(raised.theme.as_deref(), Some(THEME));
    assert!(
        raised
            .text_en
            .contains("the database refuses the end of 1 in every form: "),
        "{raised:?}"
    );
    database.execute(cure);
    gaia.stop().await.expect("stops");
}

/// While the database is away, this process decides alone.
#[actix_rt::test]
async fn a_database_that_is_away_is_told_and_its_return() {
    let (database, clock, told) = (Database::fresh(), clock(), Told::default());
    let builder = told.of(&database, &clock).lease(Duration::from_secs(2));
    let gaia = builder.start().await.expect("starts");
    for table in ["gaia_nodes", "gaia_alerts"] {
        database.execute(&format!("ALTER TABLE {table} RENAME TO {table}_away"));
    }
    let away = told.wait(&clock, AlertKind::DatabaseAway, AlertState::Raised).await;
    assert!(away.text_en.contains("has not reached the database for 3"), "{away:?}");
    told.wait(&clock, AlertKind::NodeFenced, AlertState::Raised).await;
    for table in ["gaia_nodes", "gaia_alerts"] {
        database.execute(&format!("ALTER TABLE {table}_away RENAME TO {table}"));
    }
    for kind in [AlertKind::DatabaseAway, AlertKind::NodeFenced] {
        told.wait(&clock, kind, AlertState::Recovered).await;
        assert_eq!(told.states(kind), [AlertState::Raised, AlertState::Recovered]);
    }
    open_is(&gaia, &clock, "nothing", <[OpenAlert]>::is_empty).await;
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn of_two_nodes_one_tells() {
    let (database, clock, told) = (Database::fresh(), clock(), Told::default());
    let mut nodes = Vec::new();
    for theme in [THEME, "other"] {
        let options = SchedulerOptions::new(theme).worker_num(2);
        let node = told.of(&database, &clock).scheduler(options).start().await;
        nodes.push(node.expect("starts"));
    }
    // Both nodes see that nobody works on this theme.
    let nobody = nodes[0].scheduler("nobody").expect("is a theme");
    nobody.add_task(task("Noop")).await.expect("is added");
    fail(&nodes[0], &told, 3, "no").await;
    told.wait(&clock, AlertKind::Unserved, AlertState::Raised).await;
    told.wait(&clock, AlertKind::TaskFailed, AlertState::Raised).await;
    // A state that lasts is refreshed each minute, by either node.
    let first = told.all()[0].time;
    open_is(&nodes[1], &clock, "a fresh row", |open| {
        open.iter()
            .any(|one| one.kind == AlertKind::Unserved && one.last_time - first > chrono::TimeDelta::minutes(3))
    })
    .await;
    assert_eq!(told.states(AlertKind::Unserved), [AlertState::Raised]);
    // A state is told again each hour.
    clock.advance(minutes(60));
    told.wait(&clock, AlertKind::Unserved, AlertState::Reminded).await;
    let theme = "nobody".to_owned();
    let pause = PauseTheme {
        theme,
        ..PauseTheme::default()
    };
    nodes[1].admin().pause_theme(pause).await.expect("is paused");
    told.wait(&clock, AlertKind::Unserved, AlertState::Recovered).await;
    open_is(&nodes[1], &clock, "nothing", <[OpenAlert]>::is_empty).await;
    for node in &nodes {
        node.stop().await.expect("stops");
    }
    let states = told.states(AlertKind::Unserved);
    assert_eq!(
        states,
        [AlertState::Raised, AlertState::Reminded, AlertState::Recovered]
    );
    assert_eq!(
        told.states(AlertKind::TaskFailed),
        [AlertState::Raised, AlertState::Recovered]
    );
}

#[actix_rt::test]
async fn what_happens_on_two_nodes_is_one_alert() {
    let (database, clock, told) = (Database::fresh(), clock(), Told::default());
    let start = async || {
        told.of(&database, &clock)
            .jobs(JobsOptions::default())
            .start()
            .await
            .expect("starts")
    };
    let nodes = [start().await, start().await];
    let job = NewJob::cron_job("nightly", "0 0 1 * * *", "Demo", "Fail").args(&"no");
    let id = nodes[0].jobs().add_job(job).await.expect("is added");
    for (run, node) in [0, 1, 1, 0, 1].into_iter().enumerate() {
        nodes[node].jobs().execute_job_immediately(id).await.expect("begins");
        told.failed(run + 1).await;
        clock.advance(LOOK);
    }
    open_is(&nodes[0], &clock, "all five", |open| {
        open.iter().any(|one| one.times == 5)
    })
    .await;
    assert_eq!(told.states(AlertKind::JobFailed), [AlertState::Raised]);
    for node in &nodes {
        node.stop().await.expect("stops");
    }
}

#[actix_rt::test]
async fn a_restart_neither_repeats_nor_forgets() {
    let (database, clock, told) = (Database::fresh(), clock(), Told::default());
    let start = async || {
        told.of(&database, &clock)
            .scheduler(options())
            .start()
            .await
            .expect("starts")
    };
    let first = start().await;
    // The stop tells what no look has seen.
    fail(&first, &told, 1, "no").await;
    first.stop().await.expect("stops");
    assert_eq!(told.states(AlertKind::TaskFailed), [AlertState::Raised]);

    let second = start().await;
    fail(&second, &told, 2, "no").await;
    open_is(&second, &clock, "failures that are held back", |open| {
        open.iter().any(|one| (one.times, one.held_back) == (3, 2))
    })
    .await;
    assert_eq!(told.states(AlertKind::TaskFailed), [AlertState::Raised]);
    second.stop().await.expect("stops");

    clock.advance(minutes(16));
    let third = start().await;
    let over = told.wait(&clock, AlertKind::TaskFailed, AlertState::Recovered).await;
    assert_eq!((over.times, over.held_back), (3, 2));
    assert!(
        over.text_en.contains("it had happened 2 times since the last message"),
        "{over:?}"
    );
    third.stop().await.expect("stops");
    assert_eq!(told.states(AlertKind::TaskFailed).len(), 2);
}

/// The row of a process that has died while it was fenced.
#[actix_rt::test]
async fn alerts_of_nodes_that_are_gone_are_over() {
    let (database, clock, told) = (Database::fresh(), clock(), Told::default());
    let gaia = told.of(&database, &clock).start().await.expect("starts");
    for (key, kind, node) in [("a", "node_fenced", "gone"), ("b", "of a newer version", "gone")] {
        database.execute(&format!(
            "INSERT INTO gaia_alerts VALUES ('{key}', '{kind}', 'gone', NULL, '{node}', '2026-01-01 00:00:00', \
             '2026-01-01 00:00:00', '2026-01-01 00:00:00', 1, 0, 0, 'nodes', 'x', 'x')"
        ));
    }
    let over = told.wait(&clock, AlertKind::NodeFenced, AlertState::Recovered).await;
    assert_eq!(over.subject, "gone");
    assert_eq!(told.all().len(), 1);
    assert_eq!(database.number("SELECT COUNT(*) AS number FROM gaia_alerts"), 1);
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn only_the_kinds_that_are_wanted_are_told_and_a_panic_of_a_function_harms_nobody() {
    let (database, clock, told) = (Database::fresh(), clock(), Told::default());
    let panics = database
        .builder()
        .on_alert(|_| panic!("on purpose: functions are called on"));
    let builder = told
        .on(panics, &clock)
        .alerts(AlertOptions::default().kinds([AlertKind::FailureShare]));
    let gaia = builder.scheduler(options()).start().await.expect("starts");
    fail(&gaia, &told, 6, "no").await;
    told.wait(&clock, AlertKind::FailureShare, AlertState::Raised).await;
    clock.advance(minutes(6));
    told.wait(&clock, AlertKind::FailureShare, AlertState::Recovered).await;
    assert_eq!(told.states(AlertKind::TaskFailed), []);
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn an_alert_that_the_database_refuses_holds_up_no_other() {
    let (database, clock, told) = (Database::fresh(), clock(), Told::default());
    let gaia = told
        .of(&database, &clock)
        .scheduler(options())
        .start()
        .await
        .expect("starts");
    database.refuse("gaia_alerts", "no_task", "@kind = 'task_failed'");
    fail(&gaia, &told, 6, "no").await;
    told.wait(&clock, AlertKind::FailureShare, AlertState::Raised).await;
    assert_eq!(told.states(AlertKind::TaskFailed), []);
    gaia.stop().await.expect("stops");
}

/// A process that nobody wants to hear of costs nothing, and leaves the alerts of others alone.
#[actix_rt::test]
async fn without_a_function_nothing_is_raised() {
    let (database, clock, told) = (Database::fresh(), clock(), Told::default());
    let gaia = told
        .of(&database, &clock)
        .scheduler(options())
        .start()
        .await
        .expect("starts");
    fail(&gaia, &told, 1, "no").await;
    told.wait(&clock, AlertKind::TaskFailed, AlertState::Raised).await;
    gaia.stop().await.expect("stops");
    let silent = database.builder().clock(clock.clone()).start().await.expect("starts");
    clock.advance(minutes(60));
    let before = open(&silent).await;
    assert_eq!(before.len(), 1);
    actix_rt::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(open(&silent).await, before);
    silent.stop().await.expect("stops");
}
