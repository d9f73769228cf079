//! Cron jobs.

use serde_json::{Value, json};

use crate::{client::Served, support::PATIENCE};

const HOOK: &str = r#"{"job_name":"sync","job_type":"cron_hook","cron_expr":"@yearly","hook_url":"http://localhost:9/sync",
    "hook_headers":{"authorization":"Bearer abc","x-team":"data"},"args":{"n":12345678901234567890}}"#;

#[actix_rt::test]
async fn a_job_is_added_changed_run_and_deleted() {
    let served = Served::start().await;
    let job = json!({"job_name": "report", "job_type": "cron_job", "cron_expr": "0 0 1 * * *", "service_name": "Demo",
        "service_method": "Echo", "args": {"n": 1}});
    let answer = served.send("POST", "/jobs", &job.to_string()).await;
    let id = answer.with(201)["id"].to_string();
    assert_eq!(answer.header("location"), Some(format!("jobs/{id}").as_str()));
    let taken = served
        .send("POST", "/jobs", &job.to_string())
        .await
        .refused(409, "job_name_taken");
    assert_eq!(taken["holder"].to_string(), id);

    let shown = served.get(&format!("/jobs/{id}")).await.with(200);
    assert_eq!(
        (&shown["description"], shown["next_fires"].as_array().map(Vec::len)),
        (&json!("At 01:00:00 every day"), Some(5))
    );
    // What was read can be changed and handed in again.
    let mut changed = shown.clone();
    changed["cron_expr"] = json!("@hourly");
    served
        .send("PUT", &format!("/jobs/{id}"), &changed.to_string())
        .await
        .with(200);
    assert_eq!(
        served.get(&format!("/jobs/{id}")).await.with(200)["cron_expr"],
        "@hourly"
    );

    for (word, enabled) in [("disable", false), ("disable", false), ("enable", true)] {
        served.send("POST", &format!("/jobs/{id}/{word}"), "").await.with(200);
        assert_eq!(
            served.get(&format!("/jobs/{id}")).await.with(200)["enabled"],
            json!(enabled)
        );
    }
    let list = served
        .get("/jobs?type=cron_job&name=rep&enabled=true&limit=5")
        .await
        .with(200);
    assert_eq!(list["jobs"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        (&list["next_cursor"], &list["jobs"][0]["id"].to_string()),
        (&json!(null), &id)
    );
    served.get("/jobs?type=cron").await.refused(400, "bad_query");

    let begun = served.send("POST", &format!("/jobs/{id}/run"), "").await;
    let run = begun.with(202);
    let place = format!("../../runs/{}", run["run_id"]);
    assert_eq!(begun.header("location"), Some(place.as_str()));
    let run = run["run_id"].as_i64().expect("an id");
    served.gaia.jobs().wait_for_run(run, PATIENCE).await.expect("ends");
    let runs = served.get(&format!("/jobs/{id}/runs")).await.with(200);
    assert_eq!(
        (&runs["runs"][0]["job_result_flag"], &runs["runs"][0]["run_result"]),
        (&json!("success"), &json!({"n": 1}))
    );
    assert_eq!(
        served.send("POST", &format!("/jobs/{id}/cancel"), "").await.with(200),
        json!({"runs": 0})
    );
    assert_eq!(
        served.send("DELETE", &format!("/jobs/{id}"), "").await.with(204),
        Value::Null
    );
    served
        .send("DELETE", &format!("/jobs/{id}"), "")
        .await
        .refused(404, "job_not_found");
    served.stop().await;
}

#[actix_rt::test]
async fn faults_of_a_job_are_listed_and_nothing_is_stored() {
    let served = Served::start().await;
    let bad = r#"{"job_name":"","job_type":"cron_job","cron_expr":"60 * * * *","max_retry":-1}"#;
    let problem = served.send("POST", "/jobs", bad).await.refused(422, "invalid");
    let pointers: Vec<&str> = problem["faults"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|fault| fault["pointer"].as_str())
        .collect();
    let expected = [
        "/job_name",
        "/cron_expr",
        "/service_name",
        "/service_method",
        "/max_retry",
    ];
    assert_eq!(pointers, expected, "{problem}");
    let problem = served
        .send("POST", "/jobs", r#"{"cron_exp":"@daily"}"#)
        .await
        .refused(422, "invalid");
    assert!(
        problem["detail"]
            .as_str()
            .is_some_and(|text| text.contains("the nearest known is cron_expr")),
        "{problem}"
    );
    let named =
        r#"{"job_name":"other","job_type":"cron_job","cron_expr":"@daily","service_name":"A","service_method":"B"}"#;
    served
        .send("PUT", "/jobs/by_name/report", named)
        .await
        .refused(422, "invalid");
    assert_eq!(served.get("/jobs").await.with(200)["jobs"], json!([]));
    served.stop().await;
}

#[cfg(feature = "hooks")]
#[actix_rt::test]
async fn values_of_headers_are_never_shown_and_kept_by_an_update() {
    let served = Served::start().await;
    let id = served.send("POST", "/jobs", HOOK).await.with(201)["id"]
        .as_i64()
        .expect("an id");
    let path = format!("/jobs/{id}");
    let shown = served.get(&path).await;
    assert!(
        !shown.body.contains("abc") && shown.body.contains("12345678901234567890"),
        "{}",
        shown.body
    );
    let mut job = shown.with(200);
    assert_eq!(
        job["hook_headers"],
        json!({"authorization": "(hidden)", "x-team": "(hidden)"})
    );
    assert!(!served.get("/jobs").await.body.contains("abc"));
    job["hook_headers"]["x-team"] = json!("ops");
    served.send("PUT", &path, &job.to_string()).await.with(200);
    let stored = served
        .gaia
        .jobs()
        .get_job_detail(id)
        .await
        .expect("is there")
        .job
        .hook_headers;
    assert_eq!(
        (stored["authorization"].as_str(), stored["x-team"].as_str()),
        ("Bearer abc", "ops")
    );
    job["hook_headers"]["x-new"] = json!("(hidden)");
    served
        .send("PUT", &path, &job.to_string())
        .await
        .refused(422, "invalid");
    job["job_name"] = json!("another");
    served
        .send("POST", "/jobs", &job.to_string())
        .await
        .refused(422, "invalid");
    served.stop().await;
}

#[actix_rt::test]
async fn an_editor_does_not_overwrite_the_change_of_another() {
    let served = Served::start().await;
    let job = |expr: &str| {
        json!({"job_name": "report", "job_type": "cron_job", "cron_expr": expr, "service_name": "Demo", "service_method": "Echo"})
            .to_string()
    };
    let id = served.send("POST", "/jobs", &job("@yearly")).await.with(201)["id"].to_string();
    let path = format!("/jobs/{id}");
    let tag = async || {
        let answer = served.get(&path).await;
        answer.with(200);
        answer.header("etag").expect("has a tag").to_owned()
    };
    let first = tag().await;
    // A run changes the row, and not the definition.
    let run = served.send("POST", &format!("{path}/run"), "").await.with(202);
    let run = run["run_id"].as_i64().expect("an id");
    served.gaia.jobs().wait_for_run(run, PATIENCE).await.expect("ends");
    assert_eq!(tag().await, first);

    let hourly = job("@hourly");
    served.send_if(&first, "PUT", &path, &hourly).await.with(200);
    for (method, path, body) in [
        ("PUT", path.clone(), job("@daily")),
        ("POST", format!("{path}/disable"), String::new()),
        ("POST", format!("{path}/enable"), String::new()),
        ("DELETE", path.clone(), String::new()),
    ] {
        for tag in [first.as_str(), "\"x\"", "\"99999999999999999999\"", "\"-1\""] {
            served
                .send_if(tag, method, &path, &body)
                .await
                .refused(412, "job_changed");
        }
        for tag in ["7", "", "\"1\", \"2\"", "\"", "W/"] {
            served
                .send_if(tag, method, &path, &body)
                .await
                .refused(400, "bad_header");
        }
    }
    assert_eq!(served.get(&path).await.with(200)["cron_expr"], "@hourly");
    // Each change of the definition gives a new tag; a change that changes nothing leaves it.
    let mut tags = vec![first];
    for (word, is_new) in [("disable", true), ("disable", false), ("enable", true)] {
        let before = tag().await;
        served
            .send_if(&before, "POST", &format!("{path}/{word}"), "")
            .await
            .with(200);
        assert_eq!(tag().await != before, is_new, "{word}");
        tags.push(before);
    }
    // A proxy may mark the tag as weak.
    let weak = format!("W/{}", tag().await);
    served.send_if(&weak, "PUT", &path, &job("@daily")).await.with(200);
    served.send_if("*", "PUT", &path, &job("@weekly")).await.with(200);
    served.send("PUT", &path, &job("@monthly")).await.with(200);
    assert!(!tags.contains(&tag().await));
    let gone = tag().await;
    served.send_if(&gone, "DELETE", &path, "").await.with(204);
    served
        .send_if(&gone, "DELETE", &path, "")
        .await
        .refused(404, "job_not_found");
    served.stop().await;
}

#[actix_rt::test]
async fn of_editors_at_the_same_time_one_wins() {
    let served = Served::start().await;
    let job = |name: &str| {
        json!({"job_name": name, "job_type": "cron_job", "cron_expr": "@yearly", "service_name": "Demo", "service_method": "Echo"})
            .to_string()
    };
    let id = served.send("POST", "/jobs", &job("report")).await.with(201)["id"].to_string();
    let path = format!("/jobs/{id}");
    for round in 0..10 {
        let tag = served.get(&path).await.header("etag").expect("has a tag").to_owned();
        let edits = (0..8).map(|editor| {
            let (tag, path, body) = (tag.clone(), path.clone(), job(&format!("report {round} {editor}")));
            let served = &served;
            async move { served.send_if(&tag, "PUT", &path, &body).await.status }
        });
        let statuses = futures_util::future::join_all(edits).await;
        assert_eq!(
            statuses.iter().filter(|status| **status == 200).count(),
            1,
            "{statuses:?}"
        );
        assert!(
            statuses.iter().all(|status| [200, 412].contains(status)),
            "{statuses:?}"
        );
    }
    served.stop().await;
}

#[actix_rt::test]
async fn runs_of_all_jobs_are_listed_by_pages() {
    let served = Served::start().await;
    let job = |name: &str, method: &str| {
        json!({"job_name": name, "job_type": "cron_job", "cron_expr": "@yearly", "service_name": "Demo", "service_method": method,
            "overlap_policy": "allow"})
            .to_string()
    };
    let mut jobs = Vec::new();
    for (name, method) in [("a", "Echo"), ("b", "Gate")] {
        jobs.push(served.send("POST", "/jobs", &job(name, method)).await.with(201)["id"].to_string());
    }
    let mut runs = Vec::new();
    for _ in 0..3 {
        for job in &jobs {
            let run = served.send("POST", &format!("/jobs/{job}/run"), "").await.with(202);
            runs.push(run["run_id"].as_i64().expect("an id"));
        }
    }
    served.gate.entered(3).await;
    for run in runs.iter().step_by(2) {
        served.gaia.jobs().wait_for_run(*run, PATIENCE).await.expect("ends");
    }
    runs.sort_unstable();
    runs.reverse();
    let all = async |path: &str, rows: &str| {
        let (mut ids, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = served.get(&format!("{path}{cursor}")).await.with(200);
            let found = page[rows].as_array().expect("a list").iter();
            ids.extend(found.map(|run| run["id"].as_i64().expect("an id")));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return ids,
            }
        }
    };
    let of = |job: &str, runs: &[i64]| -> Vec<i64> {
        let skip = usize::from(job == jobs[0]);
        runs.iter().copied().skip(skip).step_by(2).collect()
    };
    for limit in [1, 2, 3, 6, 200] {
        assert_eq!(all(&format!("/runs?limit={limit}"), "runs").await, runs);
        assert_eq!(
            all(&format!("/runs?state=ended&limit={limit}"), "runs").await,
            of(&jobs[0], &runs)
        );
        assert_eq!(
            all(&format!("/runs?state=open&limit={limit}"), "runs").await,
            of(&jobs[1], &runs)
        );
        for job in &jobs {
            assert_eq!(
                all(&format!("/jobs/{job}/runs?limit={limit}"), "runs").await,
                of(job, &runs)
            );
        }
        let open = format!("/jobs/{}/runs?state=open&limit={limit}", jobs[1]);
        assert_eq!(all(&open, "runs").await, of(&jobs[1], &runs));
        let ended = format!("/jobs/{}/runs?state=ended&limit={limit}", jobs[1]);
        assert_eq!(all(&ended, "runs").await, [0; 0]);
        assert_eq!(all(&format!("/jobs?limit={limit}"), "jobs").await.len(), 2);
    }
    let shown = served.get(&format!("/runs/{}", runs[1])).await.with(200);
    assert_eq!(
        (&shown["id"], &shown["job_result_flag"]),
        (&json!(runs[1]), &json!("success"))
    );
    served.get("/runs?state=running").await.refused(400, "bad_query");
    served.get("/runs?limit=201").await.refused(400, "bad_query");
    let cursor = served.get("/runs?limit=1").await.with(200)["next_cursor"].clone();
    let other = format!("/runs?state=open&cursor={}", cursor.as_str().expect("more pages"));
    served.get(&other).await.refused(400, "bad_cursor");
    served.gate.let_pass(3);
    served.stop().await;
}
