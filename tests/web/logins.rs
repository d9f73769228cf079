//! Users with passwords, users whom a proxy has checked, and several kinds of access at once.

use std::time::{Duration, Instant};

use argon2::{Algorithm, Argon2, Params, Version, password_hash::PasswordHasher};
use base64::{Engine, engine::general_purpose::STANDARD};
use gaia_actors::web::{Access, AccessToken, AdminOptions, BasicUser, Caller, Permission};
use serde_json::json;

use crate::client::{API, Served};

fn hash(password: &str) -> String {
    let params = Params::new(64, 1, 1, None).expect("is good");
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hash = argon2.hash_password_with_salt(password.as_bytes(), b"salt of a test");
    hash.expect("is hashed").to_string()
}

fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

fn users() -> Access {
    let user = |name: &str, password: &str| BasicUser::new(name, &hash(password)).expect("is good");
    Access::basic([
        user("ada", "pass:word ü").permissions(Permission::ALL),
        user("bob", "secret")
            .permissions(Permission::VIEWER)
            .themes(["allowed"]),
    ])
}

#[actix_rt::test]
async fn users_are_known_by_their_passwords() {
    let served = Served::with(AdminOptions::new(users())).await;
    let whoami = format!("{API}/whoami");
    let ask = async |authorization: &str| {
        served
            .raw("GET", &whoami, &[("authorization", authorization)], "")
            .await
    };
    for _ in 0..2 {
        let me = ask(&basic("ada", "pass:word ü")).await.with(200);
        assert_eq!((&me["name"], &me["themes"]), (&json!("ada"), &json!(null)));
        let me = ask(&basic("bob", "secret")).await.with(200);
        assert_eq!((&me["name"], &me["themes"]), (&json!("bob"), &json!(["allowed"])));
        assert_eq!(me["permissions"], json!(["view"]));
        for wrong in [
            basic("ada", "secret"),
            basic("ada", ""),
            basic("bob", "pass:word ü"),
            basic("eve", "secret"),
            basic("", ""),
            basic("ada", &"x".repeat(2_000)),
            "Basic".to_owned(),
            "Basic !!!".to_owned(),
            format!("Basic {}", STANDARD.encode("ada")),
            format!("Basic {}", STANDARD.encode([0xff, b':', b'a'])),
            "Bearer secret".to_owned(),
        ] {
            let answer = ask(&wrong).await;
            answer.refused(401, "no_access");
            assert_eq!(
                answer.header("www-authenticate"),
                Some("Basic realm=\"gaia\", charset=\"UTF-8\"")
            );
        }
    }
    served.stop().await;
}

/// A browser sends a password with whatever a page of another site asks for.
#[actix_rt::test]
async fn a_password_is_no_reason_to_allow_a_change_that_another_site_asks_for() {
    let role = Caller::new("role").permissions(Permission::ALL);
    let proxied = Access::header("x-forwarded-user", ["127.0.0.0/8"], role).expect("is good");
    let served = Served::with(AdminOptions::new(Access::any([users(), proxied]))).await;
    let pause = format!("{API}/themes/demo/pause");
    let password = basic("ada", "pass:word ü");
    for who in [("authorization", password.as_str()), ("x-forwarded-user", "ada")] {
        for from in [("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")] {
            served
                .raw("POST", &pause, &[who, from], "")
                .await
                .refused(403, "cross_site");
        }
        served
            .raw("POST", &pause, &[who, ("sec-fetch-site", "same-origin")], "")
            .await
            .with(200);
    }
    served.stop().await;
}

#[actix_rt::test]
async fn a_header_is_believed_from_trusted_peers_alone() {
    let whoami = format!("{API}/whoami");
    for (peers, is_trusted) in [(["127.0.0.0/8"], true), (["10.0.0.0/8"], false)] {
        let role = Caller::new("role").permissions(Permission::VIEWER).themes(["allowed"]);
        let access = Access::header("X-Forwarded-User", peers, role).expect("is good");
        let served = Served::with(AdminOptions::new(access)).await;
        let headers = [("x-forwarded-user", "李雷")];
        let answer = served.raw("GET", &whoami, &headers, "").await;
        if is_trusted {
            let me = answer.with(200);
            assert_eq!((&me["name"], &me["themes"]), (&json!("李雷"), &json!(["allowed"])));
            let twice = [headers[0], ("x-forwarded-user", "root")];
            served.raw("GET", &whoami, &twice, "").await.refused(401, "no_access");
        } else {
            answer.refused(401, "no_access");
        }
        served.raw("GET", &whoami, &[], "").await.refused(401, "no_access");
        served.stop().await;
    }
    assert!(Access::header("a b", ["10.0.0.0/33"], Caller::new("role")).is_err());
}

#[actix_rt::test]
async fn the_first_kind_of_access_that_knows_the_caller_counts() {
    let token = AccessToken::new("grafana", &AccessToken::hash_of("a token")).expect("is good");
    let access = Access::any([
        Access::tokens([token.permissions(Permission::VIEWER)]),
        Access::any([users()]),
    ]);
    let served = Served::with(AdminOptions::new(access)).await;
    let whoami = format!("{API}/whoami");
    for (authorization, name) in [("Bearer a token", "grafana"), (&basic("ada", "pass:word ü"), "ada")] {
        let me = served
            .raw("GET", &whoami, &[("authorization", authorization)], "")
            .await;
        assert_eq!(me.with(200)["name"], name);
    }
    let answer = served
        .raw("GET", &whoami, &[("authorization", "Bearer other")], "")
        .await;
    answer.refused(401, "no_access");
    let asked: Vec<&str> = answer
        .headers
        .iter()
        .filter(|(name, _)| name == "www-authenticate")
        .map(|(_, value)| value.as_str())
        .collect();
    assert_eq!(asked, ["Bearer", "Basic realm=\"gaia\", charset=\"UTF-8\""]);
    served.stop().await;
}

/// Many requests at once of a user, and wrong passwords beside them: the threads that serve requests go on.
#[actix_rt::test]
async fn passwords_are_hashed_beside_the_requests() {
    // So much memory and so many rounds that a hash takes some hundred milliseconds.
    let params = Params::new(64 << 10, 3, 1, None).expect("is good");
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hash = argon2.hash_password_with_salt(b"secret", b"salt of a test");
    let user = BasicUser::new("ada", hash.expect("is hashed").to_string().as_str()).expect("is good");
    let served = Served::with(AdminOptions::new(Access::basic([user.permissions(Permission::ALL)]))).await;
    let whoami = format!("{API}/whoami");
    let right = basic("ada", "secret");
    let began = Instant::now();
    served
        .raw("GET", &whoami, &[("authorization", &right)], "")
        .await
        .with(200);
    let once = began.elapsed();
    let wrong: Vec<String> = (0..8).map(|n| basic("ada", &format!("wrong {n}"))).collect();
    let wrong = wrong
        .iter()
        .map(|wrong| async { served.raw("GET", &whoami, &[("authorization", wrong)], "").await.status });
    let many = async {
        let began = Instant::now();
        for _ in 0..50 {
            served
                .raw("GET", &whoami, &[("authorization", &right)], "")
                .await
                .with(200);
        }
        began.elapsed()
    };
    let (statuses, many) = futures_util::future::join(futures_util::future::join_all(wrong), many).await;
    assert_eq!(statuses, [401; 8]);
    // Each of fifty hashes would take as long as the first.
    assert!(many < once * 25 || many < Duration::from_secs(1), "{once:?} {many:?}");
    served.stop().await;
}
