//! What Prometheus reads.

use std::collections::BTreeSet;

use gaia_actors::{NewTask, SchedulerOptions};
use serde_json::json;

use crate::{
    client::{API, LIMITED, Served},
    support::{PATIENCE, eventually},
};

/// Names each metric.
const DOCUMENT: &str = include_str!("../../docs/monitoring.md");

impl Served {
    async fn metrics(&self) -> String {
        let answer = self.get("/metrics").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(
            answer.header("content-type"),
            Some("text/plain; version=0.0.4; charset=utf-8")
        );
        answer.body
    }

    async fn adds_demo(&self, theme: &str, method: &str) -> i64 {
        let task = json!({"theme": theme, "service": "Demo", "method": method});
        let added = self.send("POST", "/tasks", &task.to_string()).await.with(201);
        added["id"].as_i64().expect("an id")
    }
}

/// The value of a metric with exactly these labels.
fn value(metrics: &str, metric: &str) -> Option<f64> {
    let line = metrics
        .lines()
        .find(|line| line.strip_prefix(metric).is_some_and(|rest| rest.starts_with(' ')));
    line.and_then(|line| line.rsplit_once(' ')?.1.parse().ok())
}

/// Waits until each of these metrics has its value.
async fn has(served: &Served, wanted: &[(&str, f64)]) -> String {
    let mut seen = String::new();
    for (metric, wanted) in wanted {
        seen = eventually(metric, async || {
            let metrics = served.metrics().await;
            (value(&metrics, metric) == Some(*wanted)).then_some(metrics)
        })
        .await;
    }
    seen
}

#[actix_rt::test]
async fn metrics_tell_what_happened_and_what_waits() {
    let served = Served::start().await;
    for method in ["Echo", "Echo", "Fail"] {
        served.adds_demo("demo", method).await;
    }
    served.adds_demo("mail", "Send").await;
    served.send("POST", "/themes/mail/pause", "{}").await.with(200);
    let job = json!({"job_name": "report", "job_type": "cron_job", "cron_expr": "@yearly", "service_name": "Demo",
        "service_method": "Echo"});
    let job = served.send("POST", "/jobs", &job.to_string()).await.with(201);
    served
        .send("POST", &format!("/jobs/{}/run", job["id"]), "{}")
        .await
        .with(202);
    for (name, path) in [("well", "healthz"), ("refused", "whoami")] {
        let url = format!("http://{}{API}/{path}", served.address);
        let hook = json!({"job_name": name, "job_type": "cron_hook", "cron_expr": "@yearly", "hook_url": url, "hook_method": "GET"});
        let hook = served.send("POST", "/jobs", &hook.to_string()).await.with(201);
        served
            .send("POST", &format!("/jobs/{}/run", hook["id"]), "{}")
            .await
            .with(202);
    }
    served
        .send("DELETE", "/jobs/999999", "")
        .await
        .refused(404, "job_not_found");
    let metrics = has(
        &served,
        &[
            (r#"gaia_hook_responses_total{class="2xx"}"#, 1.0),
            (r#"gaia_hook_responses_total{class="4xx"}"#, 1.0),
            (r#"gaia_admin_actions_total{action="job.run",result="done"}"#, 3.0),
            (r#"gaia_admin_actions_total{action="job.delete",result="refused"}"#, 1.0),
            (
                r#"gaia_task_runs_total{theme="demo",method="Demo.Echo",outcome="succeeded"}"#,
                2.0,
            ),
            (
                r#"gaia_task_runs_total{theme="demo",method="Demo.Fail",outcome="failed"}"#,
                1.0,
            ),
            (
                r#"gaia_task_failures_total{theme="demo",method="Demo.Fail",error_type="discarded"}"#,
                1.0,
            ),
            (
                r#"gaia_task_run_duration_seconds_count{theme="demo",method="Demo.Echo"}"#,
                2.0,
            ),
            (
                r#"gaia_task_wait_duration_seconds_bucket{theme="demo",method="Demo.Echo",le="+Inf"}"#,
                2.0,
            ),
            (r#"gaia_job_runs_total{job="report",outcome="succeeded"}"#, 1.0),
            (r#"gaia_tasks_added_total{theme="demo"}"#, 3.0),
            (r#"gaia_tasks_added_total{theme="mail"}"#, 1.0),
            (r#"gaia_tasks_claimed_total{theme="demo"}"#, 3.0),
            (r#"gaia_outcomes_written_total{component="tasks",theme="demo"}"#, 3.0),
            (r#"gaia_workers{theme="demo",state="idle"}"#, 4.0),
            (r#"gaia_tasks{theme="mail",status="due"}"#, 1.0),
            (r#"gaia_tasks_unserved{theme="mail"}"#, 1.0),
            (r#"gaia_theme_paused{theme="mail"}"#, 1.0),
            (r#"gaia_theme_paused{theme="demo"}"#, 0.0),
            (r#"gaia_nodes{state="alive"}"#, 1.0),
            (r#"gaia_jobs{state="scheduled"}"#, 3.0),
            ("gaia_database_up", 1.0),
            ("gaia_fenced", 0.0),
        ],
    )
    .await;
    let age = value(&metrics, r#"gaia_task_oldest_due_seconds{theme="mail"}"#);
    assert!(age.is_some_and(|age| age > 0.0 && age < 600.0), "{age:?}");
    assert!(value(&metrics, r#"gaia_job_last_success_timestamp_seconds{job="report"}"#) > Some(1.7e9));
    assert!(value(&metrics, r#"gaia_job_last_failure_timestamp_seconds{job="refused"}"#) > Some(1.7e9));
    assert_eq!(
        value(&metrics, r#"gaia_job_last_failure_timestamp_seconds{job="well"}"#),
        None
    );
    served.get("/metrics?x=1").await.refused(400, "bad_query");
    served
        .send_as(LIMITED, "GET", "/metrics", "")
        .await
        .refused(403, "theme_not_allowed");
    served.stop().await;
}

#[actix_rt::test]
async fn metrics_are_told_while_the_database_cannot_be_read() {
    let served = Served::start().await;
    served
        .database
        .execute("ALTER TABLE gaia_due RENAME TO hidden_by_a_test");
    let metrics = has(
        &served,
        &[
            ("gaia_database_up", 0.0),
            (r#"gaia_workers{theme="demo",state="idle"}"#, 4.0),
        ],
    )
    .await;
    assert!(!metrics.contains("gaia_task_oldest_due_seconds"), "{metrics}");
    served
        .database
        .execute("ALTER TABLE hidden_by_a_test RENAME TO gaia_due");
    has(
        &served,
        &[
            ("gaia_database_up", 1.0),
            (r#"gaia_tasks{theme="demo",status="due"}"#, 0.0),
        ],
    )
    .await;
    served.stop().await;
}

#[actix_rt::test]
async fn hostile_names_stay_within_their_label() {
    let served = Served::start().await;
    let hostile = "a\"} 1 \\";
    let options = SchedulerOptions::new(hostile);
    let theme = served.gaia.start_scheduler(options).await.expect("starts");
    let task = NewTask::new("Demo", "Echo").args(&1);
    let added = theme.add_task(task).await.expect("is added");
    theme.wait_for(added.id, PATIENCE).await.expect("ends");
    let escaped = r#"gaia_task_runs_total{theme="a\"} 1 \\",method="Demo.Echo",outcome="succeeded"}"#;
    let metrics = has(&served, &[(escaped, 1.0)]).await;
    let is_plain = |line: &str| line.starts_with("# ") || line.starts_with("gaia_");
    assert!(metrics.lines().all(is_plain), "{metrics}");
    served.stop().await;
}

/// The document names each metric and no other.
#[actix_rt::test]
async fn each_metric_is_documented() {
    let served = Served::start().await;
    served.adds_demo("demo", "Echo").await;
    served.adds_demo("demo", "Fail").await;
    let metrics = has(
        &served,
        &[(
            r#"gaia_task_runs_total{theme="demo",method="Demo.Fail",outcome="failed"}"#,
            1.0,
        )],
    )
    .await;
    let of_document = |name: &&str| DOCUMENT.contains(&format!("`{name}`"));
    let told: BTreeSet<&str> = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    assert!(told.len() > 25, "{told:?}");
    let missing: Vec<&&str> = told.iter().filter(|name| !of_document(name)).collect();
    assert!(missing.is_empty(), "docs/monitoring.md lacks {missing:?}");
    served.stop().await;
}
