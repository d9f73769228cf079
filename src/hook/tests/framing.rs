//! Where an answer ends, in all the ways in which services state the end or leave it open.

use super::*;

const NO_CONTENT: [&str; 8] = [
    // An answer of Python's http.server.
    "HTTP/1.0 200 OK\r\nServer: BaseHTTP/0.6 Python/3.12.3\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.0 201 Created\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
    "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 0\r\n\r\n",
    "HTTP/1.0 204 No Content\r\n\r\n",
    "HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
    "HTTP/1.1 200 OK\r\nupgrade: websocket\r\ncontent-length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n0\r\nx-sum: 0\r\n\r\n",
];

/// Serves one connection: answers, and keeps the connection open until the client closes it.
async fn keeping_open(answer: &'static str) -> (String, JoinHandle<()>) {
    serving(async move |mut stream| {
        request(&mut stream).await;
        stream.write_all(answer.as_bytes()).await.unwrap();
        let end = stream.read(&mut [0]).await;
        assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    })
    .await
}

/// The body of a success, which must be the same whether the service closes after its answer or not.
async fn body_either_way(answer: &'static str) -> String {
    let (url, request) = answering(answer).await;
    let closed = call(url).await.unwrap_or_else(|error| panic!("{answer}: {error}"));
    request.await.unwrap();
    let (url, served) = keeping_open(answer).await;
    let open = soon(call(url))
        .await
        .unwrap_or_else(|error| panic!("kept open: {answer}: {error}"));
    soon(served).await.unwrap();
    assert_eq!(closed, open, "{answer}");
    open.body
}

#[actix_rt::test]
async fn an_answer_of_length_0_is_a_success() {
    for answer in NO_CONTENT {
        assert_eq!(body_either_way(answer).await, "", "{answer}");
    }
}

#[actix_rt::test]
async fn an_answer_ends_where_its_head_says() {
    for (answer, body) in [
        ("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nhi", "hi"),
        (
            "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nhi",
            "hi",
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nupgrade: websocket\r\n\r\nhi",
            "hi",
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 9\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
            "hi",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;a=b\r\nhi\r\n0\r\nx-sum: 1\r\n\r\n",
            "hi",
        ),
    ] {
        assert_eq!(body_either_way(answer).await, body, "{answer}");
    }
}

#[actix_rt::test]
async fn an_answer_without_a_length_ends_with_the_connection() {
    for (answer, body) in [
        ("HTTP/1.0 200 OK\r\n\r\n", ""),
        ("HTTP/1.0 200 OK\r\nconnection: keep-alive\r\n\r\nhi", "hi"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\n\r\nhi", "hi"),
        // HTTP/1.0 knows no codings: the text that looks like chunks is the body.
        (
            "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi",
            "2\r\nhi",
        ),
    ] {
        let (url, request) = answering(answer).await;
        assert_eq!(call(url).await.unwrap().body, body, "{answer}");
        request.await.unwrap();
    }
}

#[actix_rt::test]
async fn the_answer_to_head_has_no_body_in_any_version() {
    for answer in [
        "HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\n",
        "HTTP/1.0 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n",
    ] {
        let (url, served) = keeping_open(answer).await;
        let head = HookCall {
            method: HookMethod::Head,
            ..to(url)
        };
        let answered = soon(client(&HookOptions::default()).call(head)).await.unwrap();
        assert_eq!((answered.status, answered.body.as_str()), (200, ""), "{answer}");
        soon(served).await.unwrap();
    }
}

/// After a reset, Linux still delivers the bytes that came before it; not every system does.
#[cfg(target_os = "linux")]
mod resets {
    use super::*;

    /// Answers and closes without having read the request, which resets the connection. Returns the result of the client.
    async fn answer_unread(answer: &'static str, body: String) -> Result<HookAnswer, HookError> {
        let (url, served) = serving(async move |mut stream| {
            stream.peek(&mut [0]).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
        })
        .await;
        let call = HookCall { body, ..to(url) };
        let answered = soon(client(&HookOptions::default()).call(call)).await;
        served.await.unwrap();
        answered
    }

    #[actix_rt::test]
    async fn a_reset_after_a_complete_answer_changes_nothing() {
        for (answer, body) in [
            (OK, "hi"),
            ("HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n", ""),
            ("HTTP/1.1 204 No Content\r\n\r\n", ""),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
                "hi",
            ),
        ] {
            let answered = answer_unread(answer, "{}".to_owned()).await.unwrap();
            assert_eq!(answered.body, body, "{answer}");
        }
    }

    #[actix_rt::test]
    async fn a_reset_of_an_answer_without_a_length_leaves_its_success_and_is_said() {
        for (answer, body) in [("HTTP/1.0 200 OK\r\n\r\n", ""), ("HTTP/1.1 200 OK\r\n\r\nhi", "hi")] {
            let answered = answer_unread(answer, "{}".to_owned()).await.unwrap();
            let note = "… [the connection was lost here: this may not be all]";
            assert_eq!(answered.body, format!("{body}{note}"), "{answer}");
        }
    }

    #[actix_rt::test]
    async fn a_reset_within_an_answer_is_an_error() {
        let answered = answer_unread("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", "{}".to_owned()).await;
        assert!(
            matches!(answered, Err(HookError::CutOff { received: 4, .. })),
            "{answered:?}"
        );
    }

    #[actix_rt::test]
    async fn a_success_that_comes_before_the_request_is_read_counts() {
        for answer in ["HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n", OK] {
            let answered = answer_unread(answer, "x".repeat(8 << 20)).await;
            let answered = answered.unwrap_or_else(|error| panic!("{answer}: {error}"));
            assert_eq!(answered.status, 200);
        }
    }
}
