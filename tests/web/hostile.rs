//! Clients that mean harm, or that are broken: each is refused, and the others go on.

use std::time::{Duration, Instant};

use gaia_actors::web::{AdminOptions, ROUTES};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    client::{Answer, OPERATOR, Served, tokens},
    events::Listener,
    support::PATIENCE,
};

const MIB: usize = 1 << 20;

/// A path below the API's, with something for each variable part.
fn path(pattern: &str, id: &str, name: &str) -> String {
    let path = pattern.replace("{id}", id).replace("{theme}", name);
    let path = path.replace("{name}", name).replace("{node}", name);
    path.replace("{service}", name).replace("{method}", name)
}

/// What the server answers, until it closes the connection or the answer is whole.
async fn answer(mut stream: TcpStream) -> Answer {
    let mut bytes = Vec::new();
    let mut piece = vec![0; 64 << 10];
    let read = async {
        while let Ok(count @ 1..) = stream.read(&mut piece).await {
            bytes.extend_from_slice(&piece[..count]);
            if bytes.ends_with(b"}") {
                break;
            }
        }
    };
    actix_rt::time::timeout(PATIENCE, read).await.expect("answers");
    Answer::of(&bytes)
}

/// The memory of this process, which is that of the server, in bytes.
#[cfg(target_os = "linux")]
fn memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("is there");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .expect("is there");
    let kib: usize = line.trim().trim_end_matches(" kB").parse().expect("is a number");
    kib << 10
}

#[actix_rt::test]
async fn a_body_of_a_gigabyte_is_refused_when_it_is_announced() {
    let served = Served::start().await;
    for route in ROUTES.iter().filter(|route| route.method != "GET") {
        let headers = "content-type: application/json\r\ncontent-length: 1073741824\r\n";
        let stream = served
            .begin(route.method, &path(route.path, "1", "demo"), headers)
            .await;
        answer(stream).await.refused(413, "body_too_long");
    }
    served.stop().await;
}

/// Nothing says how long the body will be.
#[actix_rt::test]
async fn a_body_of_a_gigabyte_in_chunks_is_refused_early() {
    let served = Served::start().await;
    #[cfg(target_os = "linux")]
    let before = memory();
    for (method, path, limit) in [
        ("POST", "/tasks/batch", 64 * MIB),
        ("POST", "/tasks", 9 * MIB),
        ("POST", "/themes/demo/pause", MIB),
    ] {
        let headers = "content-type: application/json\r\ntransfer-encoding: chunked\r\n";
        let (mut reader, mut writer) = served.begin(method, path, headers).await.into_split();
        let chunk = [format!("{MIB:x}\r\n").into_bytes(), vec![b' '; MIB], b"\r\n".to_vec()].concat();
        let mut sent = 0;
        let write = async {
            for _ in 0..1_024 {
                if writer.write_all(&chunk).await.is_err() {
                    break;
                }
                sent += MIB;
                // A server that drains what it has refused takes it as fast as it comes: the answer must be looked for in between.
                tokio::task::yield_now().await;
            }
        };
        let mut bytes = vec![0; 64 << 10];
        let mut count = 0;
        let read = async {
            while !bytes[..count].ends_with(b"}") {
                match reader.read(&mut bytes[count..]).await {
                    Ok(more @ 1..) => count += more,
                    _ => break,
                }
            }
        };
        // The answer comes while the client still sends.
        let done = futures_util::future::select(Box::pin(read), Box::pin(write));
        drop(actix_rt::time::timeout(PATIENCE, done).await.expect("answers"));
        if count > 0 {
            Answer::of(&bytes[..count]).refused(413, "body_too_long");
        }
        // What the kernel holds of the connection comes on top.
        assert!(sent <= limit + 32 * MIB, "{path}: {sent} bytes were taken");
    }
    #[cfg(target_os = "linux")]
    assert!(memory() < before + 320 * MIB, "{} {before}", memory());
    served.stop().await;
}

#[actix_rt::test]
async fn json_of_a_hundred_thousand_levels_is_refused() {
    let served = Served::start().await;
    // As long as the smallest limit of a route allows.
    let arrays = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let objects = "{\"a\":".repeat(10_000);
    for route in ROUTES.iter().filter(|route| route.method != "GET") {
        let path = path(route.path, "1", "demo");
        for body in [&arrays, &objects] {
            served.send(route.method, &path, body).await.refused(400, "bad_json");
        }
    }
    for path in ["/tasks", "/tasks/batch", "/jobs"] {
        served.send("POST", path, &deep).await.refused(400, "bad_json");
    }
    served.stop().await;
}

/// The server itself ends a head that does not come; the service ends a body that does not come.
#[actix_rt::test]
async fn slow_heads_and_bodies_end() {
    let served = Served::start().await;
    let mut head = served.connect().await;
    head.write_all(b"GET /a/b/api/v1/whoami HTTP/1.1\r\nhost: x\r\n")
        .await
        .expect("is sent");
    let began = Instant::now();
    let headers = "content-type: application/json\r\ncontent-length: 100\r\n";
    let stream = served.begin("POST", "/tasks", headers).await;
    let (reader, mut writer) = stream.into_split();
    let drip = async {
        while writer.write_all(b" ").await.is_ok() {
            actix_rt::time::sleep(Duration::from_secs(1)).await;
        }
    };
    let body = async {
        let mut bytes = Vec::new();
        let mut reader = reader;
        let mut piece = vec![0; 4 << 10];
        while let Ok(count @ 1..) = reader.read(&mut piece).await {
            bytes.extend_from_slice(&piece[..count]);
            if bytes.ends_with(b"}") {
                break;
            }
        }
        bytes
    };
    let listen = futures_util::future::select(Box::pin(body), Box::pin(drip));
    let listen = actix_rt::time::timeout(PATIENCE, listen).await.expect("answers");
    let futures_util::future::Either::Left((bytes, _)) = listen else {
        panic!("the connection was closed without an answer");
    };
    Answer::of(&bytes).refused(408, "body_too_slow");
    assert!(began.elapsed() >= Duration::from_secs(30));
    assert_eq!(answer(head).await.status, 408);
    served.get("/whoami").await.with(200);
    served.stop().await;
}

#[actix_rt::test]
async fn a_client_that_hangs_up_in_the_middle_of_a_batch_leaves_nothing_half_done() {
    let served = Served::start().await;
    let task = json!({"theme": "later", "service": "A", "method": "B"});
    let batch = json!(vec![task; 500]).to_string();
    for sent in [0, 1, batch.len() / 2, batch.len() - 1] {
        let headers = format!("content-type: application/json\r\ncontent-length: {}\r\n", batch.len());
        let mut stream = served.begin("POST", "/tasks/batch", &headers).await;
        stream.write_all(&batch.as_bytes()[..sent]).await.expect("is sent");
        stream.shutdown().await.expect("is closed");
        drop(stream);
    }
    // The whole batch has come, and nobody waits for the answer: all or none.
    for _ in 0..3 {
        let headers = format!("content-type: application/json\r\ncontent-length: {}\r\n", batch.len());
        let mut stream = served.begin("POST", "/tasks/batch", &headers).await;
        stream.write_all(batch.as_bytes()).await.expect("is sent");
        drop(stream);
    }
    // Later than all of these.
    served.send("POST", "/tasks/batch", &batch).await.with(201);
    let count = served.get("/themes/later?count=exact").await.with(200)["tasks"]["Wait"].as_i64();
    let count = count.expect("a number");
    assert!(count % 500 == 0 && (500..=2_000).contains(&count), "{count}");
    served.stop().await;
}

#[actix_rt::test]
async fn strange_names_and_ids_are_refused_or_found_on_every_route() {
    let served = Served::start().await;
    let ids = [
        "9223372036854775808",
        "-9223372036854775809",
        "18446744073709551616",
        &"9".repeat(5_000),
    ];
    let names = [
        "%2F",
        "a%2Fb",
        "%2E%2E",
        "%2E",
        "%2F%2E%2E%2F",
        "%00",
        "a%00b",
        "%FF",
        "%0A",
        "%7F",
        "%E8%AE%A2%E5%8D%95",
        "%F0%9F%8E%89",
        "%EF%BB%BF",
        "%E2%80%AE",
        "%25",
        "%2B",
        "%3Cscript%3E",
    ];
    for route in ROUTES {
        let body = if route.method == "GET" { "" } else { "{}" };
        if route.path.contains("{id}") {
            for id in ids {
                let answer = served.send(route.method, &path(route.path, id, "x"), body).await;
                assert!([404, 422].contains(&answer.status), "{route:?} {id}: {answer:?}");
            }
            for id in names {
                let answer = served.send(route.method, &path(route.path, id, "x"), body).await;
                assert!([400, 404, 422].contains(&answer.status), "{route:?} {id}: {answer:?}");
            }
        }
        if ["{theme}", "{name}", "{node}", "{service}"]
            .iter()
            .any(|part| route.path.contains(part))
        {
            for name in names.iter().copied().chain([&*"x".repeat(5_000)]) {
                let answer = served.send(route.method, &path(route.path, "1", name), body).await;
                assert!(answer.status < 500, "{route:?} {name}: {answer:?}");
                let is_known = name.contains("%00") || name == "%FF" || name.len() > 1_000;
                assert!(!is_known || answer.status >= 400, "{route:?} {name}: {answer:?}");
            }
        }
    }
    served.stop().await;
}

/// Which parameters a route knows: it says so when it is asked for another one.
async fn parameters(served: &Served, method: &str, path: &str) -> Vec<String> {
    let problem = served.send(method, &format!("{path}?zzzzzzzz=1"), "").await;
    let problem = problem.refused(400, "bad_query");
    let fault = &problem["faults"][0];
    assert_eq!(fault["parameter"], "zzzzzzzz", "{problem}");
    let detail = fault["detail"].as_str().expect("a text");
    let Some((_, known)) = detail.split_once("known are ") else {
        assert!(detail.ends_with("no parameter is known here"), "{detail}");
        return Vec::new();
    };
    known.split(", ").map(str::to_owned).collect()
}

#[actix_rt::test]
async fn every_route_refuses_unknown_doubled_and_impossible_parameters() {
    const NUMBERS: [&str; 6] = ["limit", "page", "page_size", "wait_ms", "step", "id"];
    let served = Served::start().await;
    let (mut known, mut numbers) = (0, 0);
    for route in ROUTES {
        let path = path(route.path, "1", "demo");
        for parameter in parameters(&served, route.method, &path).await {
            known += 1;
            // Parameters that hold lists.
            let is_list = match route.path {
                "/tasks" | "/tasks/export" => ["theme", "status", "id"].contains(&parameter.as_str()),
                "/audit" | "/alerts" => parameter == "theme",
                _ => false,
            };
            if !is_list {
                let doubled = format!("{path}?{parameter}=1&{parameter}=1");
                let problem = served.send(route.method, &doubled, "").await.refused(400, "bad_query");
                assert!(
                    problem["detail"].as_str().is_some_and(|text| text.contains("2 times")),
                    "{problem}"
                );
            }
            let is_number = NUMBERS.contains(&parameter.as_str());
            for value in [
                "-1",
                "99999999999999999999",
                "-99999999999999999999",
                "4294967296",
                "1e3",
                "1.5",
                "NaN",
                "0x10",
                "",
                "%EF%BC%91",
                "%00",
                "1,",
                "+1",
            ] {
                let answer = served
                    .send(route.method, &format!("{path}?{parameter}={value}"), "")
                    .await;
                assert!(answer.status < 500, "{route:?} {parameter}={value}: {answer:?}");
                // Ids may be any number of 64 bits.
                if is_number && (parameter != "id" || !["-1", "4294967296", "+1"].contains(&value)) {
                    answer.refused(400, "bad_query");
                    numbers += 1;
                }
            }
        }
    }
    assert!(known > 40 && numbers > 100, "{known} {numbers}");
    served.stop().await;
}

/// How many files this process may have open.
fn files() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    soft.unwrap_or(1_024)
}

/// `GAIA_WEB_LISTENERS=10000` for more of them. Each takes two files of this process: its end, and the server's.
#[actix_rt::test]
async fn two_thousand_listeners_all_hear_of_a_change() {
    let wanted = std::env::var("GAIA_WEB_LISTENERS")
        .ok()
        .and_then(|text| text.parse().ok());
    let count = wanted.unwrap_or(2_000).min(files().saturating_sub(500) / 2);
    let served = Served::with(AdminOptions::new(tokens()).events(count).requests_per_second(1_000_000)).await;
    #[cfg(target_os = "linux")]
    let before = memory();
    let mut listeners = Vec::with_capacity(count);
    for _ in 0..count {
        listeners.push(Listener::of(&served, OPERATOR).await);
    }
    for listener in &mut listeners {
        listener.next("operations", |_| true).await;
    }
    #[cfg(target_os = "linux")]
    {
        let each = memory().saturating_sub(before) / count;
        // Of the client's end, too.
        assert!(each < 256 << 10, "{each} bytes for each listener");
    }
    served
        .send("GET", "/events", "")
        .await
        .refused(503, "too_many_listeners");
    served.send("POST", "/themes/demo/pause", "").await.with(200);
    let paused = |event: &crate::events::Event| event.data.to_string().contains("\"paused\":true");
    for listener in &mut listeners {
        listener.next("themes", paused).await;
    }
    served.get("/whoami").await.with(200);
    served.stop().await;
}
