//! Cron jobs.

use crate::{
    program::value,
    served::{Served, kinds},
};

#[actix_rt::test]
async fn a_job_is_added_changed_run_and_deleted() {
    for kind in kinds() {
        let served = Served::on(kind).await;
        for (way, name) in served.ways().iter().zip(["每日报表", "daily report"]) {
            let added = way
                .ends(
                    0,
                    &[
                        "job",
                        "add",
                        name,
                        "--cron",
                        "0 0 1 1 *",
                        "--call",
                        "Demo.Echo",
                        "--args",
                        "{\"n\": 1.50}",
                        "--zone",
                        "Asia/Shanghai",
                        "--max-retry",
                        "2",
                        "--retry-delay",
                        "1s",
                    ],
                )
                .await;
            let id = added.stdout.trim();
            let taken = way
                .ends(4, &["job", "add", name, "--cron", "@daily", "--call", "Demo.Echo"])
                .await;
            assert!(taken.stderr.contains("has the name"), "{taken:?}");

            let shown = way.out(&["job", "get", name]).await;
            assert!(
                value(&shown, "calls") == Some("Demo.Echo") && value(&shown, "next fires").is_some(),
                "{shown}"
            );
            way.ends(
                0,
                &[
                    "job",
                    "edit",
                    name,
                    "--cron",
                    "0 0 2 1 *",
                    "--timeout",
                    "90s",
                    "--overlap",
                    "replace",
                    "--misfire",
                    "skip",
                    "--reason",
                    "later",
                ],
            )
            .await;
            let json = way.out(&["job", "get", id, "-o", "json"]).await;
            assert!(
                json.contains("\"n\": 1.50"),
                "an edit keeps the digits of the arguments: {json}"
            );
            let job: serde_json::Value = serde_json::from_str(&json).expect("is JSON");
            assert_eq!(
                (
                    &job["cron_expr"],
                    &job["timeout"],
                    &job["overlap_policy"],
                    &job["misfire_policy"]
                ),
                (&"0 0 2 1 *".into(), &90.into(), &"replace".into(), &"skip".into())
            );
            assert_eq!(
                (&job["time_zone"], &job["max_retry"], &job["retry_delay_ms"]),
                (&"Asia/Shanghai".into(), &2.into(), &1_000.into())
            );
            way.ends(2, &["job", "edit", name]).await;
            way.ends(2, &["job", "edit", name, "--cron", "61 * * * *"]).await;

            way.ends(0, &["job", "disable", name]).await;
            assert_eq!(way.json(&["job", "get", name]).await["enabled"], false);
            assert_eq!(
                way.out(&["job", "list", "--disabled", "-o", "name"]).await,
                format!("{id}\n")
            );
            way.ends(0, &["job", "enable", name]).await;

            let run = way.ends(0, &["job", "run", name, "--wait=120"]).await;
            assert!(value(&run.stdout, "answer") == Some("{\"n\": 1.50}"), "{run:?}");
            let runs = way.json(&["job", "runs", name, "--state", "ended"]).await;
            assert_eq!(runs[0]["job_result_flag"], "success");
            let run = runs[0]["id"].to_string();
            way.ends(0, &["job", "run-get", &run]).await;
            way.ends(0, &["job", "run-log", &run]).await;
            way.ends(0, &["job", "cancel", name]).await;

            let unasked = way.ends(2, &["job", "delete", name]).await;
            assert!(unasked.stderr.contains("--yes"), "{unasked:?}");
            way.ends(0, &["job", "delete", name, "--yes"]).await;
            way.ends(3, &["job", "get", name]).await;
        }
        served.stop().await;
    }
}

#[actix_rt::test]
async fn a_file_of_jobs_is_applied_twice_with_one_result() {
    let served = Served::start().await;
    let yaml = "- job_name: sync\n  job_type: cron_hook\n  cron_expr: '0 */5 * * * *'\n  hook_url: https://orders.example/sync\n  \
        hook_headers:\n    x-team: data\n- job_name: report\n  job_type: cron_job\n  cron_expr: '@daily'\n  service_name: Demo\n  \
        service_method: Echo\n  args: {type: full}\n";
    for way in served.ways() {
        let first = way.fed(yaml, &["job", "apply", "-f", "-"]).await;
        assert_eq!((first.code, first.stdout.lines().count()), (0, 2), "{first:?}");
        assert_eq!(way.fed(yaml, &["job", "apply", "-f", "-"]).await.stdout, first.stdout);
        let job = way.json(&["job", "get", "sync"]).await;
        assert_eq!(
            (&job["hook_url"], &job["hook_headers"]["x-team"]),
            (&"https://orders.example/sync".into(), &"(hidden)".into())
        );

        // What is hidden stays; the other header is new.
        way.ends(0, &["job", "edit", "sync", "--header", "x-more=1"]).await;
        let job = way.json(&["job", "get", "sync"]).await;
        assert_eq!(
            job["hook_headers"],
            serde_json::json!({"x-more": "(hidden)", "x-team": "(hidden)"})
        );
        let json = "{\"job_name\": \"report\", \"job_type\": \"cron_job\", \"cron_expr\": \"@hourly\", \"service_name\": \"Demo\", \"service_method\": \"Echo\"}";
        assert_eq!(way.fed(json, &["job", "apply", "-f", "-"]).await.code, 0);
        assert_eq!(way.json(&["job", "get", "report"]).await["cron_expr"], "@hourly");

        for (bad, said) in [
            ("nothing", "no job"),
            ("- cron_expr: '@daily'", "no job_name"),
            ("a: [", "neither JSON"),
            ("job_name: x\njob_tpye: cron_job", "job_type"),
        ] {
            let refused = way.fed(bad, &["job", "apply", "-f", "-"]).await;
            assert!(refused.code == 2 && refused.stderr.contains(said), "{bad}: {refused:?}");
        }
    }
    served.stop().await;
}

#[actix_rt::test]
async fn secrets_go_in_by_a_file_and_never_come_out() {
    let served = Served::start().await;
    let secret = served.database.file("secret");
    std::fs::write(&secret, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").expect("is written");
    let secret = secret.display().to_string();
    for (way, name) in served.ways().iter().zip(["one", "two"]) {
        way.ends(
            0,
            &[
                "job",
                "add",
                name,
                "--cron",
                "@daily",
                "--hook",
                "https://orders.example/sync",
                "--hook-secret-file",
                &secret,
                "--header",
                "authorization=Bearer 1234567890",
            ],
        )
        .await;
        for words in [
            &["job", "get", name][..],
            &["job", "get", name, "-o", "json"],
            &["audit", "list", "-o", "json"],
        ] {
            let text = way.out(words).await;
            assert!(
                !text.contains("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw") && !text.contains("1234567890"),
                "{text}"
            );
        }
        assert_eq!(way.json(&["job", "get", name]).await["has_hook_secret"], true);
        let bad = way
            .ends(
                2,
                &["job", "edit", name, "--header", "authorization: Bearer 1234567890"],
            )
            .await;
        assert!(!bad.stderr.contains("1234567890"), "{bad:?}");
    }
    served.stop().await;
}
