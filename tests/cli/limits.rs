//! Limits of methods.

use serde_json::json;

use crate::{
    program::Way,
    served::{Served, VIEWER, kinds},
    support::eventually,
};

#[actix_rt::test]
async fn a_limit_is_set_listed_and_removed() {
    for kind in kinds() {
        let served = Served::on(kind).await;
        for way in served.ways() {
            let said = way.ends(0, &["limit", "list"]).await;
            assert_eq!(
                (said.stdout.as_str(), said.stderr.as_str()),
                ("", "No method has a limit.\n")
            );
            let set = way
                .ends(
                    0,
                    &[
                        "limit",
                        "set",
                        "Mail",
                        "Send",
                        "--running",
                        "5",
                        "--reason",
                        "供应商要求",
                    ],
                )
                .await;
            assert_eq!(set.stdout, "Mail.Send\n");
            assert_eq!(set.stderr, "Mail.Send is limited: 5 at once. Tasks beyond that wait.\n");
            let both = [
                "limit",
                "set",
                "Mail",
                "Send",
                "--running",
                "5",
                "--starts",
                "100",
                "--per",
                "1m",
            ];
            let limit = way.json(&both).await;
            assert_eq!(
                limit["limit"],
                json!({
                    "running": 5, "starts": {"count": 100, "per_ms": 60_000}, "running_per_key": null, "starts_per_key": null,
                })
            );
            // It takes the place of the whole limit.
            let pace = ["limit", "set", "邮件/v1", "..", "--starts", "1", "--per", "500ms"];
            let said = way.ends(0, &pace).await.stderr;
            assert!(said.starts_with("邮件/v1... is limited: 1 per 500 ms."), "{said}");
            let of_keys = [
                "limit",
                "set",
                "Shop",
                "Sync",
                "--running-per-key",
                "2",
                "--starts-per-key",
                "10",
                "--per-key",
                "1h",
            ];
            let said = way.ends(0, &of_keys).await.stderr;
            assert!(
                said.starts_with("Shop.Sync is limited: of each key 2 at once, 10 per 1 h."),
                "{said}"
            );
            let listed = way.out(&["limit", "list"]).await;
            let rows: Vec<Vec<&str>> = listed.lines().map(|line| line.split_whitespace().collect()).collect();
            assert_eq!(
                rows,
                [
                    &["METHOD", "AT", "ONCE", "USED", "STARTS", "PER", "KEY", "STATE"][..],
                    &["Mail.Send", "5", "0", "100", "per", "1", "min", "free"],
                    &["Shop.Sync", "2", "at", "once,", "10", "per", "1", "h", "free"],
                    &["邮件/v1...", "1", "per", "500", "ms", "free"],
                ]
            );
            assert_eq!(
                way.out(&["limit", "list", "-o", "name"]).await,
                "Mail.Send\nShop.Sync\n邮件/v1...\n"
            );
            assert_eq!(way.json(&["limit", "list"]).await[0]["service"], "Mail");

            assert_eq!(way.out(&["limit", "remove", "Mail", "Send"]).await, "Mail.Send\n");
            let gone = way.ends(3, &["limit", "remove", "Mail", "Send"]).await;
            assert!(
                gone.stderr.contains("the method Mail.Send has no limit"),
                "{}",
                gone.stderr
            );
            way.ends(0, &["limit", "remove", "Shop", "Sync"]).await;
            way.ends(0, &["limit", "remove", "邮件/v1", ".."]).await;
        }
        let audit = served.local().json(&["audit", "list", "--action", "limit.set"]).await;
        assert_eq!(audit[3]["reason"], "供应商要求", "{audit}");
        served.stop().await;
    }
}

#[actix_rt::test]
async fn bad_limits_are_refused() {
    let served = Served::start().await;
    for words in [
        &[][..],
        &["--running", "none"],
        &["--starts", "5"],
        &["--per", "1m"],
        &["--running", "1", "--per", "1m"],
        &["--starts", "5", "--per", "soon"],
        &["--starts-per-key", "5"],
        &["--starts-per-key", "5", "--per", "1m"],
        &["--running-per-key", "5", "--per-key", "1m"],
    ] {
        let set = ["limit", "set", "Mail", "Send"];
        Way::default().ends(2, &[&set[..], words].concat()).await;
    }
    for way in served.ways() {
        let words = [
            "limit",
            "set",
            "Mail",
            "Send",
            "--running",
            "0",
            "--starts",
            "1",
            "--per",
            "10000h",
        ];
        let said = way.ends(2, &words).await.stderr;
        assert!(
            said.contains("0 tasks at once: 1 to 1000000") && said.contains("1 ms to 366 days"),
            "{said}"
        );
    }
    let viewer = served.with_token(VIEWER);
    viewer.ends(0, &["limit", "list"]).await;
    viewer
        .ends(5, &["limit", "set", "Mail", "Send", "--running", "1"])
        .await;
    served.stop().await;
}

#[actix_rt::test]
async fn a_check_says_that_a_limit_is_used_up() {
    let served = Served::start().await;
    let [local, remote] = served.ways();
    // Through the server that runs the tasks: it follows at once.
    let gate = ["limit", "set", "Demo", "Gate"];
    let limit = ["--running", "1", "--starts", "1000", "--per", "1s"];
    let of_keys = ["--running-per-key", "7", "--starts-per-key", "9", "--per-key", "3s"];
    remote.ends(0, &[&gate[..], &limit, &of_keys].concat()).await;
    for args in ["1", "2", "3"] {
        local.ends(0, &["task", "add", "demo", "Demo", "Gate", args]).await;
    }
    eventually("two tasks wait for the limit", async || {
        let waits = local.json(&["limit", "list"]).await[0]["waits"] == true;
        (waits && served.gate.inside() == 1).then_some(())
    })
    .await;
    let waiting = local.json(&["task", "list", "status:wait"]).await[0]["id"].to_string();
    let used_up = "whose limit is used up: 1 of 1 slot is taken";
    for way in served.ways() {
        assert!(way.out(&["limit", "list"]).await.contains("tasks wait"));
        for (words, found) in [
            (&["check"][..], format!("note   due tasks call Demo.Gate, {used_up}")),
            (
                &["check", "demo"],
                format!("note   2 due tasks call Demo.Gate, {used_up}"),
            ),
            (
                &["check", &waiting],
                format!("note   the task {waiting} calls Demo.Gate, {used_up}"),
            ),
        ] {
            let said = way.out(words).await;
            // What helps leaves the pace as it is, and the limit for keys.
            let raise = "do: gaia limit set Demo Gate --running 2 --starts 1000 --per 1000ms \
                         --running-per-key 7 --starts-per-key 9 --per-key 3000ms";
            assert!(said.contains(&found) && said.contains(raise), "{said}");
        }
    }
    remote
        .ends(0, &[&gate[..], &["--starts", "1", "--per", "24h"]].concat())
        .await;
    let said = local.out(&["check", "demo"]).await;
    assert!(
        said.contains("Demo.Gate, whose limit lets no more start than 1 per 1 d"),
        "{said}"
    );
    served.stop().await;
}

#[actix_rt::test]
async fn a_check_says_that_tasks_wait_for_their_limit_keys() {
    let served = Served::start().await;
    let [local, remote] = served.ways();
    let limit = [
        "limit",
        "set",
        "Demo",
        "Gate",
        "--running",
        "50",
        "--running-per-key",
        "1",
    ];
    remote.ends(0, &limit).await;
    let waiting = served.waits_for_key("tenant \"17\"").await.to_string();
    let listed = local.out(&["limit", "list"]).await;
    assert!(
        listed.contains("1 at once") && listed.contains("tasks of 1 key wait"),
        "{listed}"
    );
    let waits = "waits until fewer tasks with its limit key run";
    let raise = "do: gaia limit set Demo Gate --running 50 --running-per-key 2";
    for way in served.ways() {
        let keys = "note   tasks of 1 limit key wait to call Demo.Gate, whose limit allows each key 1 at once";
        for words in [&["check"][..], &["check", "demo"]] {
            let said = way.ends(0, words).await.stdout;
            assert!(said.contains(keys) && said.contains(raise), "{said}");
        }
        let said = way.ends(0, &["check", &waiting]).await.stdout;
        let others = r#"gaia task list status:running 'limit-key:"tenant \"17\""'"#;
        assert!(
            said.contains(&format!("note   the task {waiting} {waits}"))
                && said.contains(raise)
                && said.contains(others),
            "{said}"
        );
        assert!(!said.contains("run-now"), "{said}");
        way.ends(0, &["task", "list", "limit-key:\"tenant \\\"17\\\"\""]).await;
        assert!(way.out(&["task", "list", "status:wait"]).await.contains(waits));
        assert!(way.out(&["task", "get", &waiting]).await.contains(waits));
    }
    served.gate.let_pass(2);
    served.stop().await;
}
