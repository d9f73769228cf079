//! The stream of what changes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use actix_rt::time::timeout;
use gaia_actors::web::{Access, AdminOptions, Caller, Permission};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    client::{API, Answer, LIMITED, OPERATOR, Served, tokens},
    conformance,
    support::{PATIENCE, eventually},
};

/// A listener.
pub struct Listener {
    stream: TcpStream,
    text: String,
}

/// One event.
#[derive(Debug)]
pub struct Event {
    pub name: String,
    pub id: i64,
    pub data: Value,
}

impl Listener {
    pub async fn begin(served: &Served, headers: &str) -> Self {
        let mut stream = served.connect().await;
        let head = format!("GET {API}/events HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n");
        stream.write_all(head.as_bytes()).await.expect("is sent");
        let text = String::new();
        Self { stream, text }
    }

    pub async fn of(served: &Served, token: &str) -> Self {
        Self::begin(served, &format!("authorization: Bearer {token}\r\n")).await
    }

    /// Reads on; false if the stream has ended.
    async fn read(&mut self) -> bool {
        let mut piece = vec![0; 16 << 10];
        let bytes = timeout(PATIENCE, self.stream.read(&mut piece)).await;
        let bytes = bytes.expect("something comes").unwrap_or(0);
        self.text.push_str(&String::from_utf8_lossy(&piece[..bytes]));
        bytes > 0
    }

    /// The next event of this name for which `is_it` holds.
    pub async fn next(&mut self, name: &str, is_it: impl Fn(&Event) -> bool) -> Event {
        let (began, mut last) = (Instant::now(), String::new());
        loop {
            while let Some(end) = self.text.find("\n\n") {
                let rest = self.text.split_off(end + 2);
                let piece = std::mem::replace(&mut self.text, rest);
                match event(&piece) {
                    Some(event) if event.name == name && is_it(&event) => return event,
                    Some(event) if event.name == name => last = event.data.to_string(),
                    _ => {}
                }
            }
            assert!(self.read().await, "the stream has ended before an event {name}");
            assert!(
                began.elapsed() < PATIENCE,
                "waited in vain for an event {name}, the last one was {last}"
            );
        }
    }

    async fn ended(&mut self) {
        while self.read().await {}
    }

    async fn refused(mut self, status: u16, code: &str) -> Answer {
        while !self.text.ends_with('}') && self.read().await {}
        let answer = Answer::of(self.text.as_bytes());
        answer.refused(status, code);
        answer
    }
}

fn event(piece: &str) -> Option<Event> {
    let field = |name: &str| {
        let mut lines = piece.lines();
        lines.find_map(|line| line.strip_prefix(name)).map(str::to_owned)
    };
    let event = Event {
        name: field("event: ")?,
        id: field("id: ")?.parse().expect("is a number"),
        data: serde_json::from_str(&field("data: ")?).expect("is JSON"),
    };
    conformance::check_event(&event.name, &event.data);
    Some(event)
}

fn theme<'a>(event: &'a Event, name: &str) -> Option<&'a Value> {
    let themes = event.data["themes"].as_array().expect("a list");
    themes.iter().find(|theme| theme["theme"] == name)
}

fn is_paused(event: &Event, name: &str) -> bool {
    theme(event, name).is_some_and(|theme| theme["paused"] == true)
}

#[actix_rt::test]
async fn listeners_hear_of_themes_nodes_and_operations() {
    let served = Served::start().await;
    let mut listener = Listener::of(&served, OPERATOR).await;
    let first = listener.next("themes", |_| true).await;
    let nodes = listener.next("nodes", |_| true).await;
    assert_eq!(nodes.data["nodes"][0]["id"], json!(served.gaia.node_id()));
    assert_eq!(nodes.data["nodes"][0]["methods"], json!([]));
    let operations = listener.next("operations", |_| true).await;
    assert_eq!(operations.data, json!({"operations": []}));
    assert_eq!((first.id, nodes.id), (operations.id, operations.id));

    served.send("POST", "/themes/demo/pause", "").await.with(200);
    let mut later = served
        .send("POST", "/tasks", r#"{"theme":"later","service":"A","method":"B"}"#)
        .await;
    later.with(201);
    later = served
        .send(
            "POST",
            "/tasks",
            r#"{"theme":"later","service":"A","method":"B","run_at":"2999-01-01T00:00:00Z"}"#,
        )
        .await;
    later.with(201);
    // The workers are known by the node's beat.
    let demo = |event: &Event| theme(event, "demo").is_some_and(|demo| demo["node_workers"] == 4);
    let later = |event: &Event| {
        let unfinished = &theme(event, "later").unwrap_or(&Value::Null)["unfinished"];
        let counts = ["due", "unserved", "scheduled"].map(|count| unfinished[count].as_u64());
        counts == [Some(1); 3] && unfinished["oldest_due"].is_string()
    };
    let paused = listener
        .next("themes", |event| {
            is_paused(event, "demo") && demo(event) && later(event)
        })
        .await;
    assert!(paused.id > first.id);
    served.stop().await;
}

/// The samples are taken once for all.
#[actix_rt::test]
async fn all_listeners_get_the_same_samples() {
    let served = Served::start().await;
    let mut listeners = Vec::new();
    for _ in 0..10 {
        listeners.push(Listener::of(&served, OPERATOR).await);
    }
    served.send("POST", "/themes/demo/pause", "").await.with(200);
    let mut ids = Vec::new();
    for listener in &mut listeners {
        ids.push(listener.next("themes", |event| is_paused(event, "demo")).await.id);
    }
    ids.dedup();
    assert_eq!(ids.len(), 1, "{ids:?}");
    served.stop().await;
}

#[actix_rt::test]
async fn a_caller_who_is_limited_to_themes_hears_of_these_alone() {
    let served = Served::start().await;
    for theme in ["allowed", "secret"] {
        served
            .send("POST", &format!("/themes/{theme}/pause"), "")
            .await
            .with(200);
    }
    let mut listener = Listener::of(&served, LIMITED).await;
    let event = listener.next("themes", |event| is_paused(event, "allowed")).await;
    assert_eq!(event.data["themes"].as_array().map(Vec::len), Some(1));
    let nodes = listener.next("nodes", |_| true).await;
    assert_eq!(
        (&nodes.data["nodes"][0]["themes"], &nodes.data["nodes"][0]["workers"]),
        (&json!([]), &json!(0))
    );
    served.stop().await;
}

#[actix_rt::test]
async fn a_stream_ends_when_its_caller_loses_the_access() {
    for may_still_ask in [true, false] {
        let (has_access, sees) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(true)));
        let (access, view) = (Arc::clone(&has_access), Arc::clone(&sees));
        let access = Access::custom(move |_| {
            let permissions = if view.load(Ordering::SeqCst) {
                Permission::VIEWER
            } else {
                Permission::PRODUCER
            };
            access
                .load(Ordering::SeqCst)
                .then(|| Caller::new("somebody").permissions(permissions))
        });
        let served = Served::with(AdminOptions::new(access)).await;
        let mut listener = Listener::begin(&served, "").await;
        listener.next("themes", |_| true).await;
        match may_still_ask {
            true => sees.store(false, Ordering::SeqCst),
            false => has_access.store(false, Ordering::SeqCst),
        }
        listener.ended().await;
        let (status, code) = if may_still_ask {
            (403, "no_permission")
        } else {
            (401, "no_access")
        };
        Listener::begin(&served, "").await.refused(status, code).await;
        served.stop().await;
    }
}

#[actix_rt::test]
async fn there_are_so_many_listeners_at_most() {
    let served = Served::with(AdminOptions::new(tokens()).events(2)).await;
    let mut listeners = Vec::new();
    for _ in 0..2 {
        let mut listener = Listener::of(&served, OPERATOR).await;
        listener.next("themes", |_| true).await;
        listeners.push(listener);
    }
    let refused = Listener::of(&served, OPERATOR)
        .await
        .refused(503, "too_many_listeners")
        .await;
    assert_eq!(refused.header("retry-after"), Some("30"));
    listeners.pop();
    eventually("the place of a listener that has hung up", async || {
        let answer = served.send("GET", "/events", "").await;
        (answer.status == 200).then_some(())
    })
    .await;
    served.stop().await;
}

#[actix_rt::test]
async fn listeners_hear_that_the_database_cannot_be_asked() {
    let served = Served::start().await;
    let mut listener = Listener::of(&served, OPERATOR).await;
    listener.next("operations", |_| true).await;
    served
        .database
        .execute("ALTER TABLE gaia_bulk RENAME TO hidden_by_a_test");
    let problem = listener.next("problem", |_| true).await;
    assert_eq!(problem.data, json!({"code": "database_error"}));
    served
        .database
        .execute("ALTER TABLE hidden_by_a_test RENAME TO gaia_bulk");
    // Everything is told again.
    for name in ["themes", "nodes", "operations"] {
        listener.next(name, |_| true).await;
    }
    served.stop().await;
}

#[actix_rt::test]
async fn no_stream_is_silent_for_fifteen_seconds() {
    let served = Served::start().await;
    let mut listener = Listener::of(&served, LIMITED).await;
    listener.next("operations", |_| true).await;
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(20) {
        let piece = timeout(Duration::from_secs(15), listener.read()).await;
        assert!(piece.expect("something comes"), "{}", listener.text);
    }
    served.stop().await;
}

#[actix_rt::test]
async fn streams_end_with_their_gaia() {
    let served = Served::start().await;
    let mut listener = Listener::of(&served, OPERATOR).await;
    listener.next("themes", |_| true).await;
    served.gaia.stop().await.expect("stops");
    listener.ended().await;
}
