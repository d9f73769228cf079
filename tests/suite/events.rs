//! What observers hear.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use gaia_actors::{
    Event, Failure, RunFlag, async_fn,
    events::{Component, DatabaseWork, SkipPolicy, TaskOutcome},
    prelude::*,
};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::support::{Database, NodeProcess, THEME, Tested, ended, eventually, options, task};

/// Events in the order in which they came.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<Event>>>);

impl Heard {
    fn observer(&self) -> impl Fn(&Event) + Send + Sync + 'static {
        let heard = self.clone();
        move |event| heard.0.lock().expect("is not poisoned").push(event.clone())
    }

    fn all(&self) -> Vec<Event> {
        self.0.lock().expect("is not poisoned").clone()
    }

    /// Waits until events of a kind have come so often.
    async fn wait<T>(&self, what: &str, count: usize, pick: impl Fn(&Event) -> Option<T>) -> Vec<T> {
        eventually(what, async || {
            let picked: Vec<T> = self.all().iter().filter_map(&pick).collect();
            (picked.len() >= count).then_some(picked)
        })
        .await
    }
}

#[actix_rt::test]
async fn observers_hear_of_each_attempt_from_the_claim_to_the_end() {
    let heard = Heard::default();
    let builder = Gaia::builder()
        .observe(|_| panic!("on purpose: observers are called on"))
        .observe(heard.observer())
        .handler(
            "Demo",
            "Run",
            async_fn(async |ctx: TaskContext, _: Value| match ctx.attempt() {
                1 => Err(TaskError::failed("no")),
                _ => Ok(7),
            }),
        );
    let test = Tested::start(builder.scheduler(options())).await;
    let demo = test.scheduler(THEME).expect("is a theme");
    let later = test.now() + chrono::TimeDelta::seconds(90);
    let id = demo.add_task(task("Run").run_at(later)).await.expect("is added").id;
    // It is due for two seconds before the scanner can see it.
    test.advance(Duration::from_secs(92));
    assert_eq!(ended(&demo, id).await.status, TaskStatus::Success);

    let ends = heard.wait("two ends", 2, |event| match event {
        Event::TaskEnded(ended) => Some(ended.clone()),
        _ => None,
    });
    let ends = ends.await;
    let outcomes: Vec<_> = ends.iter().map(|end| (end.outcome, end.status)).collect();
    assert_eq!(
        outcomes,
        [
            (TaskOutcome::Failed(Failure::Error), Some(TaskStatus::Retry)),
            (TaskOutcome::Succeeded, Some(TaskStatus::Success)),
        ]
    );
    let [first, second] = &ends[..] else { panic!("{ends:?}") };
    assert!(first.is_to_be_retried() && !first.is_final());
    assert!(second.is_final() && !second.is_to_be_retried());
    assert_eq!(first.error.as_deref(), Some("no"));
    assert_eq!(first.waited, Some(Duration::from_secs(2)));
    assert_eq!(
        (first.run.attempt, second.run.attempt, first.run.max_attempts),
        (1, 2, 4)
    );
    assert_eq!((first.run.theme.as_ref(), first.run.task_id), (THEME, id));
    assert_eq!((first.run.service.as_str(), first.run.method.as_str()), ("Demo", "Run"));
    let records = demo
        .get_task_exec_records(id, PageRequest::default())
        .await
        .expect("has some");
    let log_ids: Vec<_> = records.items.iter().map(|record| record.log_id.as_deref()).collect();
    assert_eq!(
        log_ids,
        [Some(second.run.log_id.as_ref()), Some(first.run.log_id.as_ref())]
    );

    let names: Vec<_> = heard
        .all()
        .iter()
        .filter_map(|event| match event {
            Event::TasksClaimed { tasks, .. } => Some(format!("claimed {tasks}")),
            Event::TaskStarted(started) => Some(format!("started {}", started.run.attempt)),
            Event::TaskEnded(ended) => Some(format!("ended {}", ended.run.attempt)),
            _ => None,
        })
        .collect();
    let [a, b] = ["claimed 1", "claimed 1"];
    assert_eq!(names, [a, "started 1", "ended 1", b, "started 2", "ended 2"]);
    assert!(heard.all().iter().any(|event| matches!(
        event,
        Event::OutcomesWritten { component: Component::Theme(theme), outcomes: 1, .. } if theme.as_ref() == THEME
    )));
    let counted = demo.status().await.expect("runs here");
    assert_eq!((counted.executed, counted.retried, counted.succeeded), (2, 1, 1));
}

/// The JSON of events is what other programs read.
#[actix_rt::test]
async fn events_are_flat_json() {
    let heard = Heard::default();
    let handler = async_fn(async |_, _: Value| Err::<(), _>(TaskError::discard("bad")));
    let builder = Gaia::builder()
        .observe(heard.observer())
        .handler("Demo", "Run", handler);
    let test = Tested::start(builder.scheduler(options())).await;
    let demo = test.scheduler(THEME).expect("is a theme");
    let id = demo.add_task(task("Run")).await.expect("is added").id;
    let ends = heard.wait("its end", 1, |event| match event {
        Event::TaskEnded(_) => serde_json::to_value(event).ok(),
        _ => None,
    });
    let mut end = ends.await.remove(0);
    let fields = end.as_object_mut().expect("is an object");
    assert!(fields.remove("log_id").is_some_and(|log_id| log_id.is_string()));
    assert!(fields.remove("due_at").is_some_and(|due_at| due_at.is_string()));
    assert_eq!(
        end,
        json!({
            "event": "task_ended",
            "theme": THEME,
            "task_id": id,
            "service": "Demo",
            "method": "Run",
            "attempt": 1,
            "max_attempts": 4,
            "waited_ms": 0,
            "ran_ms": 0,
            "outcome": { "kind": "failed", "failure": "discarded" },
            "status": "Failed",
            "next_run_at": null,
            "error": "bad",
        })
    );
}

#[actix_rt::test]
async fn observers_hear_of_each_run_of_a_job_from_the_fire_to_the_end() {
    let heard = Heard::default();
    let fails_once = async_fn(async |ctx: TaskContext, _: Value| match ctx.attempt() {
        1 => Err(TaskError::failed("no")),
        _ => Ok(7),
    });
    let builder = Gaia::builder()
        .observe(heard.observer())
        .handler("Demo", "Run", fails_once)
        .jobs(JobsOptions::default());
    let test = Tested::start(builder).await;
    let job = NewJob::cron_job("nightly", "* * * * * *", "Demo", "Run")
        .max_retry(1)
        .retry_delay(Duration::ZERO);
    let id = test.jobs().add_job(job).await.expect("is added");
    test.advance(Duration::from_secs(1));
    let ends = heard.wait("its end", 1, |event| match event {
        Event::JobEnded(ended) => Some(ended.clone()),
        _ => None,
    });
    let end = ends.await.remove(0);
    assert_eq!((end.flag, end.attempts, end.recorded), (RunFlag::Success, 2, true));
    let run = &end.run;
    assert_eq!((run.job_id, run.job_name.as_deref()), (id, Some("nightly")));
    assert_eq!(
        (run.service.as_deref(), run.method.as_deref()),
        (Some("Demo"), Some("Run"))
    );
    let mut steps = Vec::new();
    for event in heard.all() {
        match event {
            Event::JobFired(fired) if fired.run == *run => {
                assert!(fired.late.is_some_and(|late| late < Duration::from_secs(1)));
                steps.push("fired".to_owned());
            }
            Event::JobStarted(started) if started.run == *run => steps.push(format!("started {}", started.attempt)),
            Event::JobRetried(retried) if retried.run == *run => steps.push(format!("retried: {}", retried.error)),
            Event::JobEnded(ended) if ended.run == *run => steps.push("ended".to_owned()),
            _ => {}
        }
    }
    assert_eq!(steps, ["fired", "started 1", "retried: no", "started 2", "ended"]);
}

#[actix_rt::test]
async fn observers_hear_of_a_fire_that_is_skipped() {
    let heard = Heard::default();
    let gate = Arc::new(Semaphore::new(0));
    let waits = {
        let gate = Arc::clone(&gate);
        async_fn(async move |_, _: Value| {
            gate.acquire().await.expect("is open").forget();
            Ok(())
        })
    };
    let builder = Gaia::builder()
        .observe(heard.observer())
        .handler("Demo", "Run", waits)
        .jobs(JobsOptions::default());
    let test = Tested::start(builder).await;
    let job = NewJob::cron_job("long", "* * * * * *", "Demo", "Run");
    let job = test.jobs().add_job(job).await.expect("is added");
    test.advance(Duration::from_secs(1));
    let started = heard.wait("the first run", 1, |event| match event {
        Event::JobStarted(started) => started.run.scheduled_at,
        _ => None,
    });
    let first = started.await[0];
    test.advance(Duration::from_secs(1));
    let skipped = heard.wait("the second fire", 1, |event| match event {
        Event::JobSkipped(skipped) => Some(skipped.clone()),
        _ => None,
    });
    let skipped = skipped.await.remove(0);
    assert_eq!((skipped.job_id, skipped.policy), (job, SkipPolicy::Overlap));
    assert_eq!(skipped.scheduled_at, Some(first + Duration::from_secs(1)));
    assert!(
        skipped.reason.contains("overlap policy is forbid"),
        "{}",
        skipped.reason
    );
    gate.add_permits(1000);
}

/// The thread of the first attempt never returns to its actor: another one makes the second attempt.
#[actix_rt::test]
async fn observers_hear_of_the_attempt_that_follows_one_that_blocks_its_thread() {
    let heard = Heard::default();
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let blocks_once = async_fn(async move |ctx: TaskContext, _: Value| {
        if ctx.attempt() == 1 {
            let _ = wait.lock().map(|wait| wait.recv());
        }
        Ok(())
    });
    let database = Database::fresh();
    let gaia = database
        .builder()
        .observe(heard.observer())
        .handler("Demo", "Run", blocks_once)
        .jobs(JobsOptions::default())
        .start()
        .await
        .expect("starts");
    let job = NewJob::cron_job("blocks", "@yearly", "Demo", "Run")
        .max_retry(1)
        .timeout(Duration::from_secs(1));
    let job = gaia.jobs().add_job(job).await.expect("is added");
    gaia.jobs().execute_job_immediately(job).await.expect("runs");
    let ends = heard.wait("its end", 1, |event| match event {
        Event::JobEnded(ended) => Some((ended.flag, ended.attempts)),
        _ => None,
    });
    assert_eq!(ends.await, [(RunFlag::Success, 2)]);
    let retries: Vec<_> = heard
        .all()
        .into_iter()
        .filter_map(|event| match event {
            Event::JobRetried(retried) => Some((retried.attempt, retried.error, retried.delay)),
            _ => None,
        })
        .collect();
    assert_eq!(retries, [(1, "timed out".to_owned(), Duration::ZERO)]);
    drop(go);
    gaia.stop().await.expect("stops");
}

/// What the database refuses in every form.
#[actix_rt::test]
async fn observers_hear_of_outcomes_that_are_refused() {
    let heard = Heard::default();
    let database = Database::fresh();
    let gaia = database
        .builder()
        .observe(heard.observer())
        .handler("Demo", "Run", async_fn(async |_, _: Value| Ok(())))
        .scheduler(options())
        .start()
        .await
        .expect("starts");
    database.refuse(
        "asynctasks",
        "poison",
        "@task_status = 'Success' AND @task_name = 'poison'",
    );
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let id = demo.add_task(task("Run").name("poison")).await.expect("is added").id;
    let refused = heard.wait("the refusal", 1, |event| match event {
        Event::OutcomeRefused {
            id, ended_as, let_go, ..
        } => Some((*id, *ended_as, *let_go)),
        _ => None,
    });
    assert_eq!(refused.await[0], (id, "Success", true));
    gaia.stop().await.expect("stops");
}

/// The outcomes of a theme cannot be written while its table is away.
#[actix_rt::test]
async fn observers_hear_when_the_database_fails_and_when_it_works_again() {
    let heard = Heard::default();
    let database = Database::fresh();
    let gaia = database
        .builder()
        .observe(heard.observer())
        .handler("Demo", "Run", async_fn(async |_, _: Value| Ok(())))
        .scheduler(options())
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    database.execute("ALTER TABLE gaia_due RENAME TO gaia_due_away");
    let component = Component::Theme(THEME.into());
    let failures = heard.wait("two failures", 2, |event| match event {
        Event::DatabaseFailed(failure) if failure.work == DatabaseWork::ClaimTasks => Some(failure.clone()),
        _ => None,
    });
    let failures = failures.await;
    assert_eq!((failures[0].failures, failures[1].failures), (1, 2));
    assert!(failures.iter().all(|failure| failure.component == component));
    database.execute("ALTER TABLE gaia_due_away RENAME TO gaia_due");
    let recovered = heard.wait("the recovery", 1, |event| match event {
        Event::DatabaseRecovered(recovery) if recovery.work == DatabaseWork::ClaimTasks => Some(recovery.clone()),
        _ => None,
    });
    let recovered = recovered.await.remove(0);
    assert_eq!(recovered.component, component);
    assert!(recovered.failures >= 2);
    let counted = demo.status().await.expect("runs here").database_errors;
    assert!(counted >= recovered.failures, "{counted}");
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn observers_hear_of_a_node_that_dies_and_of_its_tasks() {
    let heard = Heard::default();
    let database = Database::fresh();
    let gaia = database
        .builder()
        .lease(Duration::from_secs(1))
        .observe(heard.observer())
        .scheduler(options().worker_num(0))
        .start()
        .await
        .expect("starts");
    let mut node = NodeProcess::start(&database, &[("LEASE", "1")]);
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let sleeps = task("Sleep").args(&json!({ "ms": 600_000 }));
    let id = demo.add_task(sleeps).await.expect("is added").id;
    eventually("the run", async || {
        let task = demo.get_task_detail(id).await.expect("is there");
        (task.status == TaskStatus::Running).then_some(())
    })
    .await;
    node.kill();
    let lost = heard.wait("the death", 1, |event| match event {
        Event::NodeLost { node, .. } => Some(node.clone()),
        _ => None,
    });
    assert_eq!(lost.await.len(), 1);
    let rescued = heard.wait("the rescue", 1, |event| match event {
        Event::TasksRescued { theme, tasks, .. } => Some((theme.to_string(), *tasks)),
        _ => None,
    });
    assert_eq!(rescued.await, [(THEME.to_owned(), 1)]);
    assert_eq!(demo.status().await.expect("runs here").rescued, 1);
    gaia.stop().await.expect("stops");
}
