//! Requests, as the service gets them.

use std::net::Ipv4Addr;

use super::*;

#[actix_rt::test]
async fn the_arguments_are_posted_as_json_with_the_run_id() {
    let (url, request) = answering(OK).await;
    let answer = call(&url).await.unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (200, "hi"));
    let request = request.await.unwrap();
    assert!(request.starts_with("POST /report HTTP/1.1\r\n"), "{request}");
    assert_eq!(body(&request), r#"{"n":1}"#);
    for (name, value) in [
        ("content-type", "application/json"),
        ("content-length", "7"),
        ("user-agent", concat!("gaia-actors/", env!("CARGO_PKG_VERSION"))),
        ("idempotency-key", RUN_ID),
        ("accept-encoding", "identity"),
        ("connection", "close"),
        ("host", url.trim_start_matches("http://").trim_end_matches("/report")),
    ] {
        assert_eq!(header(&request, name), Some(value), "{name} of {request}");
    }
    assert!(!request.contains("webhook-"), "{request}");
}

#[actix_rt::test]
async fn headers_of_the_job_are_sent_and_replace_defaults() {
    let (url, request) = answering(OK).await;
    let mut call = to(url);
    for (name, value) in [
        ("Authorization", "Bearer a.b"),
        ("Content-Type", "text/plain"),
        ("USER-AGENT", "reports/2"),
    ] {
        call.headers.insert(name.to_owned(), value.to_owned());
    }
    client(&HookOptions::default()).call(call).await.unwrap();
    let request = request.await.unwrap();
    assert_eq!(header(&request, "authorization"), Some("Bearer a.b"));
    assert_eq!(header(&request, "content-type"), Some("text/plain"));
    assert_eq!(header(&request, "user-agent"), Some("reports/2"));
}

#[actix_rt::test]
async fn put_patch_and_delete_have_a_body_get_and_head_have_none() {
    for method in HookMethod::ALL {
        let (url, request) = answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        let call = HookCall { method, ..to(url) };
        client(&HookOptions::default()).call(call).await.unwrap();
        let request = request.await.unwrap();
        assert!(request.starts_with(&format!("{method} /report")), "{request}");
        if method.has_body() {
            assert_eq!(body(&request), r#"{"n":1}"#);
        } else {
            assert_eq!(body(&request), "");
            assert_eq!(header(&request, "content-type"), None);
            assert_eq!(header(&request, "content-length"), None);
            assert_eq!(header(&request, "transfer-encoding"), None);
        }
    }
}

#[actix_rt::test]
async fn a_large_body_arrives_whole() {
    let (url, request) = answering(OK).await;
    let sent = "ä".repeat(1 << 20);
    let call = HookCall {
        body: sent.clone(),
        ..to(url)
    };
    client(&HookOptions::default()).call(call).await.unwrap();
    assert_eq!(body(&request.await.unwrap()), sent);
}

#[actix_rt::test]
async fn the_path_and_the_query_are_sent_and_the_fragment_is_not() {
    let (url, request) = answering(OK).await;
    let url = url.replace("/report", "/täglich/{a}|b?q=\"x\" y#part");
    call(url).await.unwrap();
    let request = request.await.unwrap();
    let line = request.lines().next().unwrap();
    assert_eq!(line, "POST /t%C3%A4glich/%7Ba%7D|b?q=%22x%22%20y HTTP/1.1");
}

#[actix_rt::test]
async fn a_name_is_sent_as_host_and_port_443_is_kept() {
    let (listener, port) = listener().await;
    let lookup = move |_: &str, asked| {
        assert_eq!(asked, 443);
        Ok(vec![(Ipv4Addr::LOCALHOST, port).into()])
    };
    let served = spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let request = request(&mut stream).await;
        stream.write_all(OK.as_bytes()).await.unwrap();
        request
    });
    let client = HookClient::with_lookup(&HookOptions::default(), std::sync::Arc::new(lookup)).unwrap();
    client.call(to("http://hooks.example:443/")).await.unwrap();
    assert_eq!(header(&served.await.unwrap(), "host"), Some("hooks.example:443"));
}

#[actix_rt::test]
async fn each_call_has_its_own_connection() {
    let (listener, port) = listener().await;
    let client = client(&HookOptions::default());
    for _ in 0..2 {
        let call = client.call(to(format!("http://127.0.0.1:{port}/")));
        let served = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            request(&mut stream).await;
            stream.write_all(OK.as_bytes()).await.unwrap();
            // The client closes the connection; this server would keep it.
            assert_eq!(soon(stream.read(&mut [0])).await.unwrap(), 0);
        };
        futures_util::join!(async { call.await.unwrap() }, served);
    }
}

#[actix_rt::test]
async fn what_may_not_be_sent_is_refused_before_connecting() {
    let error = call("http://me:geheim@127.0.0.1:1/").await.unwrap_err().to_string();
    assert!(
        error.contains("authorization header") && !error.contains("geheim"),
        "{error}"
    );
    let mut with_header = to("http://127.0.0.1:1/");
    let signature = ("Webhook-Signature".to_owned(), "v1,forged".to_owned());
    with_header.headers.extend([signature]);
    let error = client(&HookOptions::default()).call(with_header).await.unwrap_err();
    assert!(matches!(error, HookError::Invalid(_)), "{error}");
}

#[actix_rt::test]
async fn a_client_calls_from_whatever_arbiter_it_was_sent_to() {
    let (url, _request) = answering(OK).await;
    let client = client(&HookOptions::default());
    let (answered, answer) = tokio::sync::oneshot::channel();
    let arbiter = actix_rt::Arbiter::new();
    // The arbiter makes the future, which is not `Send`.
    arbiter.spawn_fn(move || {
        spawn(async move { answered.send(client.call(to(url)).await).unwrap() });
    });
    assert_eq!(answer.await.unwrap().unwrap().body, "hi");
    arbiter.stop();
}

#[test]
fn a_client_is_shared_between_threads() {
    fn shared<T: Clone + Send + Sync + 'static>(_: &T) {}
    shared(&client(&HookOptions::default()));
}
