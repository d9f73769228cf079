//! What `gaia check` finds.

use crate::{
    program::Way,
    served::{Served, kinds},
};

/// What a check says, which must have this exit code.
async fn check(way: &Way, code: i32, words: &[&str]) -> String {
    way.ends(code, &[&["check"], words].concat()).await.stdout
}

fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "expected {part:?} in {text}");
    }
}

#[actix_rt::test]
async fn a_good_installation_has_nothing_wrong() {
    for kind in kinds() {
        let served = Served::on(kind).await;
        for way in served.ways() {
            let said = check(&way, 0, &[]).await;
            has(
                &said,
                &[
                    "ok     the database answers",
                    "ok     the clocks of the",
                    "ok     1 node is alive, 1 of them with workers",
                ],
            );
            assert!(!said.contains("wrong"), "{said}");
            check(&way, 0, &["demo"]).await;
        }
        served.stop().await;
    }
}

#[actix_rt::test]
async fn a_task_that_waits_says_for_what() {
    let served = Served::start().await;
    for way in served.ways() {
        let later = way.out(&["task", "add", "demo", "Demo", "Echo", "--in", "1h"]).await;
        has(
            &check(&way, 0, &[later.trim()]).await,
            &["waits for its time", &format!("do: gaia task run-now {}", later.trim())],
        );

        let typo = way.out(&["task", "add", "demo", "Demo", "Ecko"]).await;
        has(
            &check(&way, 1, &[typo.trim()]).await,
            &[
                "wrong  no living node with workers for the theme demo serves Demo.Ecko",
                "expected: ",
                "do: gaia theme methods demo",
            ],
        );
        has(
            &check(&way, 1, &["demo"]).await,
            &["1 due task calls Demo.Ecko, which no living node"],
        );
        has(&check(&way, 1, &[]).await, &["1 due task calls Demo.Ecko"]);
        way.ends(0, &["task", "cancel", typo.trim()]).await;

        way.ends(0, &["theme", "pause", "demo", "--reason", "the supplier is closed"])
            .await;
        let due = way.out(&["task", "add", "demo", "Demo", "Echo"]).await;
        has(
            &check(&way, 1, &[due.trim()]).await,
            &[
                "the theme demo is paused by",
                ": the supplier is closed",
                "do: gaia theme resume demo",
            ],
        );
        has(&check(&way, 1, &[]).await, &["the theme demo is paused"]);
        way.ends(0, &["theme", "resume", "demo"]).await;
        way.ends(0, &["task", "wait", due.trim(), "--timeout", "2m"]).await;
        has(&check(&way, 0, &[due.trim()]).await, &["has succeeded"]);

        let nowhere = way.out(&["task", "add", "another theme", "Demo", "Echo"]).await;
        has(
            &check(&way, 1, &[nowhere.trim()]).await,
            &[
                "no node works on the theme another theme",
                "nodes that do not work on this theme serve it",
            ],
        );
        has(&check(&way, 1, &["no such theme"]).await, &["known themes: ", "demo"]);
        way.ends(0, &["task", "cancel", nowhere.trim()]).await;
    }
    served.stop().await;
}

#[actix_rt::test]
async fn a_task_that_has_failed_says_why_and_what_to_do() {
    let served = Served::start().await;
    for (way, key) in served.ways().iter().zip(["one", "two"]) {
        let failed = way
            .ends(
                1,
                &[
                    "task",
                    "add",
                    "demo",
                    "Demo",
                    "Fail",
                    "1",
                    "--unique-key",
                    key,
                    "--wait",
                    "-o",
                    "name",
                ],
            )
            .await
            .stdout;
        let failed = failed.trim();
        let said = check(way, 1, &[failed]).await;
        has(
            &said,
            &[
                "refused by a handler",
                &format!("do: gaia task log {failed}"),
                &format!("do: gaia task retry {failed}"),
            ],
        );
        let holder = way
            .out(&["task", "add", "demo", "Demo", "Echo", "--unique-key", key, "--in", "1h"])
            .await;
        has(
            &check(way, 1, &[failed]).await,
            &[&format!("the unfinished task {} has the unique key", holder.trim())],
        );
        let json: serde_json::Value =
            serde_json::from_str(&way.ends(1, &["check", failed, "-o", "json"]).await.stdout).expect("is JSON");
        assert_eq!(json[0]["state"], "wrong");
        assert_eq!(json[0]["do"][2], format!("gaia task retry {failed}"));

        let cancelled = way.out(&["task", "add", "demo", "Demo", "Echo", "--in", "1h"]).await;
        way.ends(0, &["task", "cancel", cancelled.trim()]).await;
        has(
            &check(way, 1, &[cancelled.trim()]).await,
            &["was cancelled", "do: gaia audit list"],
        );
    }
    served.stop().await;
}

#[actix_rt::test]
async fn a_task_that_runs_says_where() {
    let served = Served::start().await;
    for way in served.ways() {
        let id = way.out(&["task", "add", "demo", "Demo", "Gate", "1"]).await;
        served.gate.entered(1).await;
        // Its row says Running a quarter of a second after its begin.
        crate::support::eventually("a row that says Running", async || {
            let task = way.json(&["task", "get", id.trim()]).await;
            (task["status"] == "Running").then_some(())
        })
        .await;
        has(
            &check(&way, 0, &[id.trim()]).await,
            &[served.gaia.node_id(), &format!("gaia task log {} --follow", id.trim())],
        );
        served.gate.let_pass(1);
        way.ends(0, &["task", "wait", id.trim(), "--timeout", "2m"]).await;
    }
    served.stop().await;
}

#[actix_rt::test]
async fn workers_that_are_missing_or_busy_are_told() {
    let served = Served::start().await;
    for way in served.ways() {
        way.ends(0, &["theme", "resize", "demo", "0"]).await;
        crate::support::eventually("no workers", async || {
            let theme = way.json(&["theme", "get", "demo"]).await;
            (theme["node_workers"] == 0).then_some(())
        })
        .await;
        has(
            &check(&way, 1, &["demo"]).await,
            &["0 workers for the theme demo", "do: gaia theme resize demo default"],
        );
        way.ends(0, &["theme", "resize", "demo", "1"]).await;
        for _ in 0..3 {
            way.ends(0, &["task", "add", "demo", "Demo", "Gate", "1"]).await;
        }
        served.gate.entered(1).await;
        crate::support::eventually("a busy worker", async || {
            let theme = way.json(&["theme", "get", "demo"]).await;
            (theme["running"] == 1 && theme["node_workers"] == 1).then_some(())
        })
        .await;
        has(
            &check(&way, 0, &["demo"]).await,
            &[
                "note   1 worker of the theme demo, all of them busy, and ",
                "do: gaia theme resize demo 2",
            ],
        );
        served.gate.let_pass(3);
        served.gate.entered(2).await;
        way.ends(0, &["theme", "resize", "demo", "default"]).await;
    }
    served.stop().await;
}

#[actix_rt::test]
async fn a_job_says_why_it_does_not_run() {
    let served = Served::start().await;
    for (way, name) in served.ways().iter().zip(["one", "two"]) {
        way.ends(0, &["job", "add", name, "--cron", "0 0 1 1 *", "--call", "Demo.Echo"])
            .await;
        has(
            &check(way, 0, &["--job", name]).await,
            &[
                "the job",
                "is enabled",
                "Demo.Echo is served by",
                "it fires next at",
                "the job has not run yet",
            ],
        );
        way.ends(0, &["job", "disable", name]).await;
        has(
            &check(way, 1, &["--job", name]).await,
            &["is disabled", "do: gaia job enable"],
        );
        way.ends(0, &["job", "enable", name]).await;
        way.ends(0, &["job", "edit", name, "--call", "Demo.Ecko"]).await;
        has(
            &check(way, 1, &["--job", name]).await,
            &["no living node that runs jobs serves Demo.Ecko"],
        );
        way.ends(0, &["job", "edit", name, "--call", "Demo.Fail"]).await;
        way.ends(1, &["job", "run", name, "--wait=120"]).await;
        has(
            &check(way, 1, &["--job", name]).await,
            &["the last run", "refused by a handler", "do: gaia job run-log"],
        );
        way.ends(3, &["check", "--job", "no such job"]).await;
    }
    served.stop().await;
}

#[actix_rt::test]
async fn a_database_that_is_away_is_a_finding() {
    let said = check(&Way::database("sqlite:/nowhere/at/all.db"), 1, &[]).await;
    has(&said, &["wrong  there is no database file", "expected: "]);
    let server = Way {
        options: vec!["--server=http://127.0.0.1:1".to_owned()],
        ..Way::default()
    };
    has(&check(&server, 1, &[]).await, &["wrong  cannot reach the server"]);
}
