//! Answers of services, and the results that the client makes of them.

use std::sync::Arc;

use super::*;

/// The error of a call that a service answers with `answer`.
async fn error_of(answer: &'static str) -> HookError {
    let (url, request) = answering(answer).await;
    let error = call(url).await.expect_err(answer);
    request.await.unwrap();
    error
}

/// The body that a call returns when a service answers with `answer`.
async fn body_of(answer: impl AsRef<[u8]> + 'static) -> String {
    let (url, request) = answering(answer).await;
    let answer = call(url).await.unwrap();
    request.await.unwrap();
    answer.body
}

#[actix_rt::test]
async fn only_2xx_is_a_success() {
    for (line, status) in [
        ("404 Not Found", 404),
        ("500 Oops", 500),
        ("299 Fine", 299),
        ("600 Odd", 600),
    ] {
        let (url, _request) = answering(format!("HTTP/1.1 {line}\r\ncontent-length: 4\r\n\r\nwhy?")).await;
        match call(url).await {
            Ok(answer) => assert_eq!((answer.status, status, answer.body.as_str()), (299, 299, "why?")),
            Err(HookError::Status { status: got, body, .. }) => assert_eq!((got, body.as_str()), (status, "why?")),
            Err(error) => panic!("{error}"),
        }
    }
}

#[actix_rt::test]
async fn an_error_says_the_status_and_the_beginning_of_the_body() {
    let error = error_of("HTTP/1.1 500 X\r\ncontent-length: 12\r\n\r\nno database\n").await;
    let text = "the hook answered 500 Internal Server Error, expected 2xx; its body: no database";
    assert_eq!(error.to_string(), text);
    let error = error_of("HTTP/1.1 404 X\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(error.to_string(), "the hook answered 404 Not Found, expected 2xx");
    let (url, _request) = answering(format!(
        "HTTP/1.1 502 Bad\r\ncontent-length: 9000\r\n\r\n{}",
        "é".repeat(4500)
    ))
    .await;
    let Err(HookError::Status { body, .. }) = call(url).await else {
        panic!("no error");
    };
    assert!(
        body.len() <= 2048 && body.ends_with("é… [cut: only the first 2048 bytes were read]"),
        "{body}"
    );
}

#[actix_rt::test]
async fn a_redirect_is_not_followed_and_its_target_is_said() {
    let error =
        error_of("HTTP/1.1 302 Found\r\nlocation: https://me:geheim@new.example/x\r\ncontent-length: 0\r\n\r\n").await;
    let text = "the hook answered 302 Found, expected 2xx; redirects are not followed: \
                if \"https://new.example/x\" is the right address, give the job that URL";
    assert_eq!(error.to_string(), text);
    let error = error_of("HTTP/1.1 302 X\r\nlocation: //me:geheim@new.example/x\r\ncontent-length: 0\r\n\r\n").await;
    assert!(error.to_string().contains("\"***@new.example/x\""), "{error}");
    let error = error_of("HTTP/1.1 307 X\r\nlocation: /moved\r\ncontent-length: 0\r\n\r\n").await;
    assert!(error.to_string().contains("\"/moved\""), "{error}");
}

#[actix_rt::test]
async fn answers_without_a_body() {
    // Even if such an answer announces a length, the client must not wait for a body.
    for head in [
        "204 No Content\r\ncontent-length: 5",
        "204 No Content",
        "205 Reset Content",
        "200 OK\r\ncontent-length: 0",
    ] {
        assert_eq!(body_of(format!("HTTP/1.1 {head}\r\n\r\n")).await, "");
    }
    let (url, _request) = answering("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n").await;
    let head = HookCall {
        method: HookMethod::Head,
        ..to(url)
    };
    let answer = client(&HookOptions::default()).call(head).await.unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
    assert!(
        error_of("HTTP/1.1 304 X\r\ncontent-length: 5\r\n\r\n")
            .await
            .to_string()
            .contains("304")
    );
}

#[actix_rt::test]
async fn an_interim_answer_is_not_the_answer() {
    let early = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n";
    assert_eq!(body_of(format!("{early}{OK}")).await, "hi");
    let error = error_of("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n").await;
    assert!(error.to_string().contains("101 Switching Protocols"), "{error}");
}

#[actix_rt::test]
async fn a_body_may_be_chunked_or_last_until_the_connection_ends() {
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    assert_eq!(body_of(chunked).await, "abcde");
    for version in ["1.1", "1.0"] {
        assert_eq!(
            body_of(format!("HTTP/{version} 200 OK\r\n\r\nto the end")).await,
            "to the end"
        );
    }
}

#[actix_rt::test]
async fn a_body_that_is_cut_off_is_an_error() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nhalf",
    ] {
        match error_of(answer).await {
            HookError::CutOff {
                status: 200,
                received: 4,
            } => {}
            error => panic!("{answer}: {error}"),
        }
    }
    // If the answer is an error, the part of its body that came is worth more than the news that the body broke off.
    let error = error_of("HTTP/1.1 500 X\r\ncontent-length: 10\r\n\r\nhalf")
        .await
        .to_string();
    assert!(error.ends_with("its body: half"), "{error}");
}

#[actix_rt::test]
async fn no_answer_or_none_of_http_is_an_error() {
    for (answer, words) in [
        ("", "it closed the connection"),
        ("HTTP/1.1 200 OK\r\nconte", "bytes remaining"),
        ("SSH-2.0-OpenSSH_9.6\r\n", ""),
        ("HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n", ""),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nx", ""),
    ] {
        let error = error_of(answer).await;
        assert!(matches!(error, HookError::NoAnswer { .. }), "{answer}: {error}");
        assert!(error.to_string().contains(words), "{answer}: {error}");
    }
}

#[actix_rt::test]
async fn text_is_decoded_by_its_charset() {
    for (content_type, bytes, text) in [
        ("text/plain; charset=GBK", &b"\xc4\xe3\xba\xc3"[..], "你好"),
        ("text/plain;charset=\"iso-8859-1\"; x=y", b"caf\xe9", "café"),
        ("application/json", "déjà 🚀".as_bytes(), "déjà 🚀"),
        ("text/plain; charset=klingon", b"a\xffb", "a\u{fffd}b"),
        ("text/plain", b"a\0b", "a\u{fffd}b"),
    ] {
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n",
            bytes.len()
        );
        assert_eq!(body_of([head.as_bytes(), bytes].concat()).await, text, "{content_type}");
    }
}

#[actix_rt::test]
async fn a_compressed_body_is_named_not_shown() {
    let body = body_of("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\n\x1f\x0b\x08").await;
    assert_eq!(body, "[a body in content-encoding \"gzip\", which was not asked for]");
}

#[actix_rt::test]
async fn no_error_shows_a_secret() {
    let (url, request) = answering("HTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\n").await;
    let mut call = to(url);
    call.secret = Some(HookSecret::parse(SECRET).unwrap());
    call.headers.insert("authorization".into(), "Bearer geheim".into());
    let error = client(&HookOptions::default()).call(call).await.unwrap_err();
    let request = request.await.unwrap();
    let shown = format!("{error} {error:?}");
    for secret in [SECRET, "geheim", header(&request, "webhook-signature").unwrap()] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[actix_rt::test]
async fn a_service_of_actix_web_answers() {
    use actix_web::{App, HttpRequest, HttpServer, web};

    let server = HttpServer::new(|| {
        App::new().route(
            "/report",
            web::post().to(async |request: HttpRequest, json: web::Json<serde_json::Value>| {
                format!(
                    "{} {}",
                    request.headers().get("idempotency-key").unwrap().to_str().unwrap(),
                    json["n"]
                )
            }),
        )
    });
    let server = server.workers(1).disable_signals().bind("127.0.0.1:0").unwrap();
    let address = server.addrs()[0];
    let server = server.run();
    let handle = server.handle();
    spawn(server);
    let client = Arc::new(client(&HookOptions::default()));
    let answer = client.call(to(format!("http://{address}/report"))).await.unwrap();
    assert_eq!(answer.body, format!("{RUN_ID} 1"));
    handle.stop(false).await;
}
