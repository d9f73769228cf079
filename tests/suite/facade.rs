//! Events through the facade `metrics`, to the recorder of an application.

use std::collections::{BTreeMap, BTreeSet};

use gaia_actors::{JobsOptions, NewJob, async_fn, events::to_metrics, prelude::*};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use serde_json::Value;

use crate::support::{Database, PATIENCE, THEME, ended, eventually, options, task};

/// What a recorder has got: values by name and labels. Of a histogram, how many values.
type Seen = BTreeMap<String, f64>;

#[actix_rt::test]
async fn what_ends_is_counted_under_the_names_of_the_document() {
    let recorder = DebuggingRecorder::new();
    let snapshots = recorder.snapshotter();
    recorder.install().expect("no other test installs one");
    let flaky = async_fn(async |ctx: TaskContext, _: Value| match ctx.attempt() {
        1 => Err(TaskError::failed("not yet")),
        _ => Ok(()),
    });
    let never = async_fn(async |_: TaskContext, _: Value| Err::<(), _>(TaskError::discard("never")));
    let database = Database::fresh();
    let gaia = database
        .builder()
        .observe(to_metrics())
        .handler("Demo", "Flaky", flaky)
        .handler("Demo", "Never", never)
        .scheduler(options())
        .jobs(JobsOptions::default())
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    for method in ["Flaky", "Flaky", "Never"] {
        let task = task(method)
            .max_retry(1)
            .retry_delay(std::time::Duration::from_millis(1));
        let id = demo.add_task(task).await.expect("is added").id;
        ended(&demo, id).await;
    }
    let jobs = gaia.jobs();
    let job = NewJob::cron_job("<job>", "@yearly", "Demo", "Never");
    let job = jobs.add_job(job).await.expect("is added");
    let run = jobs.execute_job_immediately(job).await.expect("begins").id;
    jobs.wait_for_run(run, PATIENCE).await.expect("ends");

    let mut seen = Seen::new();
    let expected = [
        (
            "gaia_task_runs_total{method=Demo.Flaky,outcome=retried,theme=demo}",
            2.0,
        ),
        (
            "gaia_task_runs_total{method=Demo.Flaky,outcome=succeeded,theme=demo}",
            2.0,
        ),
        ("gaia_task_runs_total{method=Demo.Never,outcome=failed,theme=demo}", 1.0),
        (
            "gaia_task_failures_total{error_type=error,method=Demo.Flaky,theme=demo}",
            2.0,
        ),
        (
            "gaia_task_failures_total{error_type=discarded,method=Demo.Never,theme=demo}",
            1.0,
        ),
        ("gaia_task_run_duration_seconds{method=Demo.Flaky,theme=demo}", 4.0),
        ("gaia_task_wait_duration_seconds{method=Demo.Flaky,theme=demo}", 4.0),
        ("gaia_tasks_claimed_total{theme=demo}", 5.0),
        ("gaia_job_runs_total{job=<job>,outcome=failed}", 1.0),
        ("gaia_job_run_duration_seconds{job=<job>}", 1.0),
        ("gaia_outcomes_written_total{component=jobs,theme=}", 1.0),
    ];
    eventually("the last event", async || {
        for (key, _, _, value) in snapshots.snapshot().into_vec() {
            let key = key.key();
            let labels: BTreeSet<String> = key
                .labels()
                .map(|label| format!("{}={}", label.key(), label.value()))
                .collect();
            let labels: Vec<String> = labels.into_iter().collect();
            // A snapshot empties histograms, and sets counters to 0.
            #[expect(clippy::cast_precision_loss, reason = "the numbers are small")]
            let value = match value {
                DebugValue::Counter(count) => count as f64,
                DebugValue::Gauge(value) => value.into_inner(),
                DebugValue::Histogram(values) => values.len() as f64,
            };
            *seen
                .entry(format!("{}{{{}}}", key.name(), labels.join(",")))
                .or_default() += value;
        }
        expected
            .iter()
            .all(|(name, value)| seen.get(*name) == Some(value))
            .then_some(())
    })
    .await;
    let document = include_str!("../../docs/monitoring.md");
    for name in seen.keys().filter_map(|key| key.split('{').next()) {
        assert!(document.contains(&format!("`{name}`")), "{name}");
    }
    gaia.stop().await.expect("stops");
}
