//! A run of `gaia serve` or `gaia demo`.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};

use actix_web::http::Method;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::{program::command, support::eventually};

/// Longer than any step takes, also on a machine with much to do.
pub const PATIENCE: Duration = Duration::from_secs(90);
pub const TOKEN: &str = "operator-0123456789";

/// A server that runs.
pub struct Serving {
    child: Child,
    lines: UnboundedReceiver<String>,
    /// Where the dashboard is.
    pub url: String,
}

pub struct Answer {
    pub status: u16,
    pub body: String,
}

impl Serving {
    /// Starts it with these words, and waits until it says that it is ready.
    pub async fn start(words: &[&str]) -> Self {
        Self::of(&[&["serve"], words].concat()).await
    }

    pub async fn of(words: &[&str]) -> Self {
        let mut child = command().args(words).stderr(Stdio::piped()).spawn().expect("starts");
        let (sender, lines) = unbounded_channel();
        let stderr = child.stderr.take().expect("is piped");
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                // The test may have ended.
                let _ = sender.send(line);
            }
        });
        let mut serving = Self {
            child,
            lines,
            url: String::new(),
        };
        let address = serving.says("gaia: dashboard ").await;
        address
            .trim_start_matches("gaia: dashboard ")
            .clone_into(&mut serving.url);
        serving.says("gaia: ready").await;
        serving
    }

    /// The next line with this text.
    pub async fn says(&mut self, text: &str) -> String {
        let mut before = Vec::new();
        let found = async {
            while let Some(line) = self.lines.recv().await {
                if line.contains(text) {
                    return Some(line);
                }
                before.push(line);
            }
            None
        };
        let found = tokio::time::timeout(PATIENCE, found).await;
        found
            .ok()
            .flatten()
            .unwrap_or_else(|| panic!("nobody says {text:?}: {before:?}"))
    }

    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &id]).status();
        assert!(sent.expect("starts").success());
    }

    pub async fn ends(mut self, code: i32) {
        let ended = actix_rt::task::spawn_blocking(move || self.child.wait());
        let status = tokio::time::timeout(PATIENCE, ended).await.expect("ends in time");
        let status = status.expect("does not panic").expect("ends");
        assert_eq!(status.code(), Some(code), "{status:?}");
    }

    pub async fn stop(mut self) {
        self.signal("TERM");
        self.says("gaia: stopped").await;
        self.ends(0).await;
    }

    pub async fn send(&self, method: &str, path: &str, token: Option<&str>) -> Answer {
        let method = Method::from_bytes(method.as_bytes()).expect("is a method");
        let mut request = awc::Client::default()
            .request(method, format!("{}{path}", self.url))
            .timeout(PATIENCE);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let mut answer = request.send().await.expect("answers");
        let body = match answer.headers().get("content-type") {
            // A stream does not end.
            Some(kind) if kind == "text/event-stream" => Vec::new(),
            _ => answer.body().limit(1 << 24).await.expect("has a body").to_vec(),
        };
        Answer {
            status: answer.status().as_u16(),
            body: String::from_utf8_lossy(&body).into_owned(),
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, None).await
    }

    /// Waits until this process has so many workers for a theme.
    pub async fn has_workers(&self, theme: &str, expected: u64) {
        eventually(theme, async || (self.workers(theme).await == expected).then_some(())).await;
    }

    /// How many workers this process has for a theme, as Prometheus is told.
    pub async fn workers(&self, theme: &str) -> u64 {
        let metrics = self.send("GET", "api/v1/metrics", Some(TOKEN)).await.body;
        let lines = metrics
            .lines()
            .filter(|line| line.starts_with("gaia_workers{") && line.contains(&format!("theme=\"{theme}\"")));
        let numbers = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        numbers.sum()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It has ended, unless the test has failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
