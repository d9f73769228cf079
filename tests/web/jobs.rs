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
        .get("/jobs?type=cron_job&name=rep&enabled=true&page=1&page_size=5")
        .await
        .with(200);
    assert_eq!((&list["total"], &list["items"][0]["id"].to_string()), (&json!(1), &id));
    served.get("/jobs?type=cron").await.refused(400, "bad_query");

    let run = served.send("POST", &format!("/jobs/{id}/run"), "").await.with(202);
    let run = run["run_id"].as_i64().expect("an id");
    served.gaia.jobs().wait_for_run(run, PATIENCE).await.expect("ends");
    let runs = served.get(&format!("/jobs/{id}/runs")).await.with(200);
    assert_eq!(
        (&runs["items"][0]["job_result_flag"], &runs["items"][0]["run_result"]),
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
    assert!(
        problem["faults"].as_array().is_some_and(|faults| faults.len() >= 3),
        "{problem}"
    );
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
    assert_eq!(served.get("/jobs").await.with(200)["total"], json!(0));
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
