//! How many requests are answered.

use std::net::Ipv4Addr;

use gaia_actors::web::{Access, AdminOptions, Caller, Permission};

use crate::client::{API, LIMITED, Served, tokens};

#[actix_rt::test]
async fn each_caller_has_an_allowance_of_requests() {
    let served = Served::with(AdminOptions::new(tokens()).requests_per_second(1)).await;
    let answers = async |path: &str| {
        let mut answers = Vec::new();
        for _ in 0..20 {
            answers.push(served.get(path).await);
        }
        answers
    };
    let answers = answers("/whoami").await;
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status == 429).collect();
    assert!(answers[..2].iter().all(|answer| answer.status == 200));
    assert!(refused.len() >= 10, "{}", refused.len());
    refused[0].refused(429, "too_many_requests");
    assert_eq!(refused[0].header("retry-after"), Some("1"));
    // Another caller, probes, and additions of tasks.
    served.send_as(LIMITED, "GET", "/whoami", "").await.with(200);
    for _ in 0..20 {
        served.get("/healthz").await.with(200);
        let task = r#"{"theme":"later","service":"A","method":"B"}"#;
        served.send("POST", "/tasks", task).await.with(201);
    }
    served.stop().await;
}

/// More than an address may have at once.
const FAILURES: usize = 70;

#[actix_rt::test]
async fn an_address_that_fails_often_is_told_to_wait_and_no_other() {
    let served = Served::start().await;
    let path = format!("{API}/whoami");
    let address = Ipv4Addr::new(127, 0, 0, 9);
    let mut refused = 0;
    for _ in 0..FAILURES {
        let headers = [("authorization", "Bearer nobody's")];
        let answer = served.raw_from(address, "GET", &path, &headers, "").await;
        if answer.status != 401 {
            answer.refused(429, "too_many_requests");
            assert_eq!(answer.header("retry-after"), Some("1"));
            refused += 1;
        }
    }
    assert!((1..=20).contains(&refused), "{refused}");
    // A token cannot be guessed: who has it is let in, whoever else has this address.
    let bearer = format!("Bearer {LIMITED}");
    let headers = [("authorization", bearer.as_str())];
    served.raw_from(address, "GET", &path, &headers, "").await.with(200);
    served.raw("GET", &path, &[], "").await.refused(401, "no_access");
    served.stop().await;
}

#[actix_rt::test]
async fn passwords_are_not_guessed_quickly() {
    let access = Access::custom(|request| {
        let password = request.headers.get("x-password")?.to_str().ok()?;
        (password == "123").then(|| Caller::new("one").permissions(&[Permission::View]))
    });
    let served = Served::with(AdminOptions::new(access)).await;
    let path = format!("{API}/whoami");
    let address = Ipv4Addr::new(127, 0, 0, 9);
    let right = [("x-password", "123")];
    for _ in 0..FAILURES {
        let answer = served
            .raw_from(address, "GET", &path, &[("x-password", "122")], "")
            .await;
        if answer.status == 429 {
            break;
        }
    }
    served
        .raw_from(address, "GET", &path, &right, "")
        .await
        .refused(429, "too_many_requests");
    served.raw("GET", &path, &right, "").await.with(200);
    served.stop().await;
}
