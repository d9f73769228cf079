//! Tasks: the same verbs on each database, directly and through a server.

use crate::{
    program::{Way, value},
    served::{Served, kinds},
    support::PATIENCE,
};

fn id_of(text: &str) -> i64 {
    text.trim()
        .parse()
        .unwrap_or_else(|_| panic!("expected an id, got {text:?}"))
}

#[actix_rt::test]
async fn a_task_is_added_waited_for_and_shown() {
    for kind in kinds() {
        let served = Served::on(kind).await;
        for way in served.ways() {
            // More digits than a float holds.
            let args = r#"{"order": 9007199254740993, "name": "订单"}"#;
            let added = way
                .ends(
                    0,
                    &[
                        "task",
                        "add",
                        "demo",
                        "Demo",
                        "Echo",
                        args,
                        "--name",
                        "夜间 one",
                        "--priority",
                        "5",
                    ],
                )
                .await;
            let id = id_of(&added.stdout).to_string();
            assert_eq!(added.stderr, format!("The task {id} is added to the theme demo.\n"));
            let waited = way.json(&["task", "wait", &id, "--timeout", "2m"]).await;
            assert_eq!((&waited["status"], &waited["priority"]), (&"Success".into(), &5.into()));

            let shown = way.out(&["task", "get", &id]).await;
            assert!(value(&shown, "name") == Some("夜间 one"), "{shown}");
            assert!(value(&shown, "result") == Some(args), "{shown}");
            let yaml = way.out(&["task", "get", &id, "-o", "yaml"]).await;
            assert!(yaml.contains("  order: 9007199254740993\n"), "{yaml}");
            let json = way.out(&["task", "get", &id, "-o", "json"]).await;
            assert!(json.contains("\"order\": 9007199254740993"), "{json}");

            let records = way.json(&["task", "records", &id]).await;
            assert_eq!(records[0]["status"], "Success");
            let listed = way.out(&["task", "list", &format!("id:{id}"), "-o", "name"]).await;
            assert_eq!(listed, format!("{id}\n"));
        }
        served.stop().await;
    }
}

#[actix_rt::test]
async fn arguments_and_options_reach_the_task() {
    let served = Served::start().await;
    for (way, key) in served.ways().iter().zip(["a key", "another key"]) {
        let words = [
            "task",
            "add",
            "demo",
            "Demo",
            "Echo",
            "-",
            "--in",
            "1h",
            "--unique-key",
            key,
            "--limit-key",
            "tenant 17",
            "--max-retry",
            "7",
            "--timeout",
            "90s",
            "--retry-delay",
            "500ms",
        ];
        let added = way.fed("[1.50, 2]", &words).await;
        let id = id_of(&added.stdout).to_string();
        let task = way.json(&["task", "get", &id]).await;
        assert_eq!(
            (
                &task["status"],
                &task["timeout_ms"],
                &task["max_retry_time"],
                &task["unique_key"],
                &task["limit_key"]
            ),
            (
                &"Wait".into(),
                &90_000.into(),
                &7.into(),
                &key.into(),
                &"tenant 17".into()
            )
        );
        let shown = way.out(&["task", "get", &id]).await;
        assert!(shown.contains("limit key") && shown.contains("tenant 17"), "{shown}");
        let found = way
            .out(&["task", "list", "limit-key:\"tenant 17\"", "-o", "name"])
            .await;
        assert!(found.lines().any(|line| line == id), "{found}");
        let run_at: chrono::DateTime<chrono::Utc> =
            task["run_at"].as_str().expect("is set").parse().expect("is a time");
        let minutes = (run_at - chrono::Utc::now()).num_minutes();
        assert!((55..=60).contains(&minutes), "{minutes}");
        let json = way.out(&["task", "get", &id, "-o", "json"]).await;
        assert!(json.contains("1.50"), "the digits are kept: {json}");

        let twice = way.fed("[3]", &words).await;
        assert_eq!(id_of(&twice.stdout).to_string(), id);
        assert!(twice.stderr.contains("Nothing was added"), "{twice:?}");

        way.ends(0, &["task", "run-now", &id]).await;
        way.ends(0, &["task", "wait", &id, "--timeout", "2m"]).await;
    }
    served.stop().await;
}

#[actix_rt::test]
async fn a_task_is_added_behind_others() {
    let served = Served::start().await;
    for way in served.ways() {
        let add = async |more: &[&str]| {
            let words = [&["task", "add", "demo", "Demo"], more].concat();
            id_of(&way.ends(0, &words).await.stdout).to_string()
        };
        let first = add(&["Echo", "1"]).await;
        let failed = add(&["Fail", "1"]).await;
        way.ends(0, &["task", "wait", &first, "--timeout", "2m"]).await;
        way.ends(1, &["task", "wait", &failed, "--timeout", "2m"]).await;
        let key = format!("behind-{first}");
        let behind = ["Echo", "2", "--after", &first, "--idempotency-key", &key];
        let second = add(&behind).await;
        assert_eq!(add(&behind).await, second);
        let both = format!("{first},{second}");
        way.ends(
            0,
            &["task", "add", "demo", "Demo", "Echo", "3", "--after", &both, "--wait"],
        )
        .await;
        let before = way.json(&["task", "get", &second]).await;
        assert_eq!(before["status"], "Success");
        let refused = way
            .ends(
                4,
                &[
                    "task", "add", "demo", "Demo", "Echo", "--after", &first, "--after", &failed,
                ],
            )
            .await;
        assert!(
            refused.stderr.contains("no task can be added behind task"),
            "{refused:?}"
        );
        way.ends(
            2,
            &["task", "add", "demo", "Demo", "Echo", "--after", &first, "--in", "1h"],
        )
        .await;
    }
    served.stop().await;
}

#[actix_rt::test]
async fn adding_may_wait_for_the_end() {
    let served = Served::start().await;
    for way in served.ways() {
        let done = way
            .ends(0, &["task", "add", "demo", "Demo", "Echo", "7", "--wait=120"])
            .await;
        assert!(value(&done.stdout, "result") == Some("7"), "{done:?}");
        let failed = way
            .ends(1, &["task", "add", "demo", "Demo", "Fail", "7", "--wait"])
            .await;
        assert!(failed.stdout.contains("refused by a handler"), "{failed:?}");
        assert!(failed.stderr.contains("has ended as Failed"), "{failed:?}");
    }
    served.stop().await;
}

#[actix_rt::test]
async fn a_file_of_tasks_is_added_whole_or_not_at_all() {
    let served = Served::start().await;
    let line = |order: i64| format!("{{\"service\": \"Demo\", \"method\": \"Echo\", \"args\": {order}}}\n");
    let good: String = (0..3).map(line).collect();
    for way in served.ways() {
        let added = way.fed(&good, &["task", "add", "demo", "--batch", "-"]).await;
        assert_eq!((added.code, added.stdout.lines().count()), (0, 3), "{added:?}");
        for id in added.stdout.lines() {
            way.ends(0, &["task", "wait", id, "--timeout", "2m"]).await;
        }
        let before = way.out(&["task", "list", "--count"]).await;
        let bad = way
            .fed(
                &format!("{good}{{\"servce\": \"Demo\"}}\nno JSON\n"),
                &["task", "add", "demo", "--batch", "-"],
            )
            .await;
        assert_eq!(bad.code, 2, "{bad:?}");
        assert!(
            bad.stderr.contains("line 4: ") && bad.stderr.contains("line 5: "),
            "all faults at once: {bad:?}"
        );
        assert_eq!(way.out(&["task", "list", "--count"]).await, before);
    }
    served.stop().await;
}

#[actix_rt::test]
async fn one_task_is_changed_at_once() {
    for kind in kinds() {
        let served = Served::on(kind).await;
        for way in served.ways() {
            let id = failed(&way).await;
            way.ends(0, &["task", "retry", &id, "--reason", "the supplier is back"])
                .await;
            way.ends(1, &["task", "wait", &id, "--timeout", "2m"]).await;
            way.ends(4, &["task", "cancel", &id]).await;
            way.ends(0, &["task", "delete", &id]).await;
            way.ends(3, &["task", "get", &id]).await;

            let waiting = way.out(&["task", "add", "demo", "Demo", "Echo", "--in", "1h"]).await;
            let cancelled = way.json(&["task", "cancel", waiting.trim()]).await;
            assert_eq!(cancelled["cancel"], "cancelled");
        }
        let audit = served.local().json(&["audit", "list", "--action", "task.retry"]).await;
        let authors: Vec<&str> = audit
            .as_array()
            .expect("is a list")
            .iter()
            .filter_map(|entry| entry["author"].as_str())
            .collect();
        let user = whoami::username().expect("has a name");
        assert_eq!(authors, ["operator", &format!("cli:{user}")]);
        assert_eq!(audit[0]["reason"], "the supplier is back");
        served.stop().await;
    }
}

async fn failed(way: &Way) -> String {
    let added = way
        .ends(1, &["task", "add", "demo", "Demo", "Fail", "1", "--wait", "-o", "name"])
        .await;
    added.stdout.trim().to_owned()
}

#[actix_rt::test]
async fn a_running_task_is_asked_to_stop() {
    let served = Served::start().await;
    for way in served.ways() {
        let id = way.out(&["task", "add", "demo", "Demo", "Gate", "1"]).await;
        served.gate.entered(1).await;
        let asked = way.ends(0, &["task", "cancel", id.trim()]).await;
        assert!(asked.stderr.contains("its handler is asked to stop"), "{asked:?}");
        let ended = way.ends(1, &["task", "wait", id.trim(), "--timeout", "2m"]).await;
        assert!(ended.stdout.contains("Cancelled"), "{ended:?}");
    }
    served.stop().await;
}

#[actix_rt::test]
async fn a_search_line_finds_what_it_says() {
    let served = Served::start().await;
    for way in served.ways() {
        let id = failed(&way).await;
        // The shell has taken the quotes away.
        for words in [
            &["error:refused by a handler", "newer:1h"][..],
            &["status:failed", "method:Demo.Fail"],
            &["status:failed method:Demo.*"],
        ] {
            let found = way.out(&[&["task", "list"], words, &["-o", "name"]].concat()).await;
            assert!(found.lines().any(|line| line == id), "{words:?}: {found}");
        }
        let none = way
            .ends(0, &["task", "list", "error:nobody has said this", "-o", "name"])
            .await;
        assert_eq!(none.stdout, "");
        let bad = way.ends(2, &["task", "list", "stauts:failed"]).await;
        assert!(bad.stderr.contains("the nearest is status"), "{bad:?}");
    }
    served.stop().await;
}

#[actix_rt::test]
async fn long_lists_come_in_pages() {
    let served = Served::start().await;
    let tasks: String = (0..450)
        .map(|_| "{\"service\": \"Demo\", \"method\": \"Echo\", \"run_at\": \"2100-01-01T00:00:00Z\"}\n")
        .collect();
    served
        .local()
        .fed(&tasks, &["task", "add", "demo", "--batch", "-"])
        .await;
    for way in served.ways() {
        assert_eq!(
            way.out(&["task", "list", "--limit", "1000", "-o", "jsonl"])
                .await
                .lines()
                .count(),
            450
        );
        assert_eq!(way.out(&["task", "list", "--count"]).await, "450\n");
        let page = way.ends(0, &["task", "list", "--limit", "300", "-o", "name"]).await;
        assert_eq!(page.stdout.lines().count(), 300);
        let (_, cursor) = page.stderr.trim().rsplit_once("--cursor ").expect("says how to go on");
        let rest = way
            .out(&["task", "list", "--limit", "300", "--cursor", cursor, "-o", "name"])
            .await;
        assert_eq!(rest.lines().count(), 150);
        assert!(rest.lines().all(|id| !page.stdout.lines().any(|other| other == id)));
    }
    served.stop().await;
}

#[actix_rt::test]
async fn tasks_are_exported_whole() {
    let served = Served::start().await;
    for way in served.ways() {
        way.ends(0, &["task", "add", "demo", "Demo", "Echo", "{\"a\": 1.50}", "--wait"])
            .await;
        let lines = way.out(&["task", "export", "status:success"]).await;
        assert!(lines.lines().all(|line| line.contains("1.50")), "{lines}");
        let csv = way.out(&["task", "export", "--theme", "demo", "--format", "csv"]).await;
        assert!(csv.starts_with("id,"), "{csv}");
        assert_eq!(csv.lines().count(), lines.lines().count() + 1);
        let nothing = way.ends(2, &["task", "export"]).await;
        assert!(nothing.stderr.contains("--all"), "{nothing:?}");
    }
    served.stop().await;
}

#[actix_rt::test]
async fn lines_of_a_run_are_shown_and_followed() {
    let served = Served::start().await;
    for way in served.ways() {
        let id = way
            .out(&["task", "add", "demo", "Demo", "Log", "\"hello from a handler\""])
            .await;
        let id = id.trim();
        // Follows from before the first line on until the run has ended.
        let followed = actix_rt::time::timeout(PATIENCE, way.ends(0, &["task", "log", id, "--follow"]))
            .await
            .expect("ends with the run");
        assert!(
            followed.stdout.contains(" WARN  hello from a handler\n"),
            "{followed:?}"
        );
        let again = way.out(&["task", "log", id]).await;
        assert_eq!(again, followed.stdout);
    }
    served.stop().await;
}
