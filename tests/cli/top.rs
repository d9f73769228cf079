//! The live view.

use std::{
    io::{Read, Write},
    process::Stdio,
};

use crate::{program::quoted, served::Served};

#[actix_rt::test]
async fn without_a_terminal_it_looks_once() {
    let served = Served::start().await;
    for way in served.ways() {
        way.ends(0, &["task", "add", "demo", "Demo", "Ecko"]).await;
        let seen = way.out(&["top"]).await;
        assert!(seen.contains("  1 node alive, 0 of 4 workers busy"), "{seen}");
        assert!(
            seen.contains("NO NODE") && seen.contains(served.gaia.node_id()),
            "{seen}"
        );
        let json = way.json(&["top"]).await;
        assert_eq!(json["themes"][0]["theme"], "demo");
        assert_eq!(json["nodes"].as_array().map(Vec::len), Some(1));
    }
    served.stop().await;
}

/// Starts in a terminal, is drawn at least twice, ends by ctrl-c, and gives the terminal back.
#[actix_rt::test]
async fn in_a_terminal_it_draws_until_it_is_ended() {
    let served = Served::start().await;
    for way in served.ways() {
        let words: Vec<String> = way.options.iter().map(|word| quoted(word)).collect();
        let line = format!(
            "stty cols 100 rows 30; exec {} {} top --every 1",
            crate::program::GAIA,
            words.join(" ")
        );
        let mut script = std::process::Command::new("script");
        script.args(["--quiet", "--return", "--flush", "--command", &line, "/dev/null"]);
        script
            .envs(way.environment.clone())
            .env("TERM", "xterm-256color")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let (seen, code) = actix_rt::task::spawn_blocking(move || {
            let mut child = script.spawn().expect("starts");
            let mut stdout = child.stdout.take().expect("is piped");
            let mut stdin = child.stdin.take().expect("is piped");
            let (mut seen, mut part) = (String::new(), [0; 4_096]);
            while seen.matches("workers busy").count() < 2 {
                let read = stdout.read(&mut part).expect("goes on");
                assert!(read > 0, "ended too early: {seen:?}");
                seen.push_str(&String::from_utf8_lossy(&part[..read]));
            }
            // What the key ctrl-c sends.
            stdin.write_all(b"\x03").expect("is read");
            let mut rest = Vec::new();
            stdout.read_to_end(&mut rest).expect("ends");
            seen.push_str(&String::from_utf8_lossy(&rest));
            (seen, child.wait().expect("ends").code())
        })
        .await
        .expect("does not panic");
        assert_eq!(code, Some(130), "{seen:?}");
        assert!(
            seen.contains("\u{1b}[?1049h") && seen.contains("\u{1b}[?25l"),
            "{seen:?}"
        );
        let end = seen.rfind("\u{1b}[?1049l").expect("leaves the second screen");
        assert!(
            end > seen.rfind("workers busy").expect("is drawn") && seen.contains("\u{1b}[?25h"),
            "{seen:?}"
        );
    }
    served.stop().await;
}
