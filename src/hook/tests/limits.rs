//! Slow, endless and abandoned calls.

use std::{
    pin::pin,
    sync::{Arc, Mutex, mpsc},
};

use actix_rt::net::TcpSocket;
use futures_util::future::{Either, select};
use tokio::sync::oneshot;

use super::*;

/// A server that sends `answer` and no more, notifies the receiver, and then waits for the client to close.
async fn stalling(answer: &'static str) -> (String, oneshot::Receiver<()>, JoinHandle<()>) {
    let (reached, at_that_point) = oneshot::channel();
    let (url, closed) = serving(async move |mut stream| {
        request(&mut stream).await;
        stream.write_all(answer.as_bytes()).await.unwrap();
        reached.send(()).unwrap();
        // The client closes: the read meets the end, or a reset if the client has not read everything.
        let end = stream.read(&mut [0]).await;
        assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    })
    .await;
    (url, at_that_point, closed)
}

/// Calls, and drops the call when the server stalls.
async fn given_up(answer: &'static str) {
    let (url, stalled, closed) = stalling(answer).await;
    given_up_when(url, stalled, closed).await;
}

async fn given_up_when(url: String, stalled: oneshot::Receiver<()>, closed: JoinHandle<()>) {
    {
        let call = pin!(call(url));
        match select(call, stalled).await {
            Either::Left((answer, _)) => panic!("{answer:?}"),
            Either::Right((stalled, _call)) => stalled.unwrap(),
        }
    }
    soon(closed).await.unwrap();
}

#[actix_rt::test]
async fn giving_up_before_the_head_closes_the_connection() {
    given_up("").await;
}

#[actix_rt::test]
async fn giving_up_within_the_head_closes_the_connection() {
    given_up("HTTP/1.1 200 OK\r\nx-slow: ").await;
}

#[actix_rt::test]
async fn giving_up_within_the_body_closes_the_connection() {
    given_up("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").await;
}

#[actix_rt::test]
async fn giving_up_during_the_handshake_closes_the_connection() {
    let (reached, at_that_point) = oneshot::channel();
    let (url, closed) = serving(async move |mut stream| {
        // The TLS record of the client's hello: its first five bytes hold its length (RFC 8446, section 5.1).
        let mut head = [0; 5];
        stream.read_exact(&mut head).await.unwrap();
        let mut hello = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
        stream.read_exact(&mut hello).await.unwrap();
        reached.send(()).unwrap();
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    })
    .await;
    given_up_when(url.replace("http:", "https:"), at_that_point, closed).await;
}

#[actix_rt::test]
async fn a_slow_answer_is_waited_for() {
    let (go, gone) = oneshot::channel::<()>();
    let (url, _served) = serving(async move |mut stream| {
        request(&mut stream).await;
        gone.await.unwrap();
        for byte in OK.as_bytes() {
            stream.write_all(&[*byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
    })
    .await;
    let call = spawn(call(url));
    go.send(()).unwrap();
    assert_eq!(call.await.unwrap().unwrap().body, "hi");
}

#[actix_rt::test]
async fn an_endless_body_is_cut_at_the_limit_and_the_connection_closed() {
    for head in [
        "content-length: 99999999999",
        "transfer-encoding: chunked",
        "x-until: close",
    ] {
        let (url, closed) = serving(async move |mut stream| {
            request(&mut stream).await;
            let head = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            let chunk = format!("1000\r\n{}\r\n", "é".repeat(0x800));
            while stream.write_all(chunk.as_bytes()).await.is_ok() {}
        })
        .await;
        let client = client(&HookOptions::default().response_limit(10_000));
        let answer = soon(client.call(to(url))).await.unwrap();
        assert_eq!(answer.status, 200);
        assert!(
            answer.body.len() <= 10_000 && answer.body.len() > 9_900,
            "{}",
            answer.body.len()
        );
        assert!(answer.body.ends_with("… [cut: only the first 10000 bytes were read]"));
        soon(closed).await.unwrap();
    }
}

#[actix_rt::test]
async fn a_body_as_long_as_the_limit_is_not_cut() {
    let client = client(&HookOptions::default().response_limit(2));
    let (url, _request) = answering(OK).await;
    assert_eq!(client.call(to(url)).await.unwrap().body, "hi");
    let (url, _request) = answering("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nhi!").await;
    assert!(client.call(to(url)).await.unwrap().body.contains("cut"));
}

#[actix_rt::test]
async fn an_endless_head_is_an_error() {
    let (url, closed) = serving(async |mut stream| {
        request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nx: ").await.unwrap();
        while stream.write_all(&[b'y'; 4096]).await.is_ok() {}
    })
    .await;
    let error = call(url).await.unwrap_err();
    assert!(matches!(error, HookError::NoAnswer { .. }), "{error}");
    soon(closed).await.unwrap();
}

#[actix_rt::test]
async fn a_name_that_is_not_answered_in_time_is_an_error() {
    let (_never, asked) = mpsc::channel::<()>();
    let asked = Mutex::new(asked);
    let lookup = move |_: &str, _| {
        let _ = asked.lock().unwrap().recv_timeout(Duration::from_secs(1));
        Ok(Vec::new())
    };
    let options = HookOptions::default().connect_timeout(Duration::from_millis(20));
    let client = HookClient::with_lookup(&options, Arc::new(lookup)).unwrap();
    let error = client.call(to("http://slow.example/")).await.unwrap_err().to_string();
    assert!(error.contains("within 20ms, while its name was looked up"), "{error}");
}

#[actix_rt::test]
async fn a_large_body_that_is_refused_unread_is_not_sent_to_its_end() {
    // After a reset, Linux still delivers the bytes that came before it; not every system does.
    let cases: &[bool] = if cfg!(target_os = "linux") {
        &[false, true]
    } else {
        &[false]
    };
    for &closes in cases {
        let (url, served) = serving(async move |mut stream| {
            stream.read_exact(&mut [0; 300]).await.unwrap();
            let refusal = b"HTTP/1.1 413 X\r\ncontent-length: 3\r\n\r\nbig";
            stream.write_all(refusal).await.unwrap();
            // The server either closes the connection with megabytes unread, or keeps it and reads nothing more.
            (!closes).then_some(stream)
        })
        .await;
        let call = HookCall {
            body: "x".repeat(8 << 20),
            ..to(url)
        };
        let error = soon(client(&HookOptions::default()).call(call)).await.unwrap_err();
        let text = "the hook answered 413 Payload Too Large, expected 2xx; its body: big";
        assert_eq!(error.to_string(), text);
        drop(served);
    }
}

/// A listener whose queue is full, so that a further connection is neither made nor refused; and the connections that fill the queue.
async fn deaf() -> (u16, TcpListener, Vec<JoinHandle<std::io::Result<TcpStream>>>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut fill = Vec::new();
    loop {
        let mut connection = spawn(TcpStream::connect(address));
        let connected = timeout(Duration::from_millis(100), &mut connection).await;
        fill.push(connection);
        if connected.is_err() {
            return (address.port(), listener, fill);
        }
    }
}

#[actix_rt::test]
async fn an_address_that_is_silent_is_an_error() {
    let (port, _listener, fill) = deaf().await;
    let options = HookOptions::default().connect_timeout(Duration::from_millis(50));
    let error = client(&options).call(to(format!("http://127.0.0.1:{port}/"))).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("within 50ms, while connecting"), "{error}");
    fill.iter().for_each(JoinHandle::abort);
}

#[actix_rt::test]
async fn a_silent_address_leaves_time_for_the_next() {
    let (deaf_port, _listener, fill) = deaf().await;
    let (listener, port) = listener().await;
    let served = spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        request(&mut stream).await;
        stream.write_all(OK.as_bytes()).await.unwrap();
    });
    let addresses = [deaf_port, port].map(|port| ([127, 0, 0, 1], port).into()).to_vec();
    let lookup = move |_: &str, _| Ok(addresses.clone());
    let options = HookOptions::default().connect_timeout(Duration::from_millis(500));
    let client = HookClient::with_lookup(&options, Arc::new(lookup)).unwrap();
    assert_eq!(client.call(to("http://two.example/")).await.unwrap().body, "hi");
    served.await.unwrap();
    fill.iter().for_each(JoinHandle::abort);
}

#[actix_rt::test]
async fn a_handshake_that_is_not_answered_in_time_is_an_error() {
    let (listener, port) = listener().await;
    let options = HookOptions::default().connect_timeout(Duration::from_millis(50));
    let error = client(&options).call(to(format!("https://127.0.0.1:{port}/"))).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("within 50ms, during the TLS handshake"), "{error}");
    drop(listener);
}

#[test]
fn no_time_to_connect_is_refused() {
    let error = HookClient::new(&HookOptions::default().connect_timeout(Duration::ZERO));
    assert!(error.err().unwrap().to_string().contains("connect_timeout is 0"));
}
