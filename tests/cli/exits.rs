//! Each exit code, on both ways where both can have it.

use std::{io::Write, net::TcpListener, os::unix::fs::PermissionsExt};

use crate::{
    program::{Way, command, ended},
    served::{Served, VIEWER},
    support::{Database, Kind},
};

fn server(url: &str) -> Way {
    Way {
        options: vec!["--server".to_owned(), url.to_owned()],
        ..Way::default()
    }
}

#[actix_rt::test]
async fn bad_usage_is_two_and_does_nothing() {
    for words in [
        &["task", "list", "--limit", "0"][..],
        &["task", "get", "many"],
        &["task", "add", "demo", "Demo"],
        &["task", "add", "demo", "Demo", "Echo", "1", "--timeout", "soon"],
        &["theme", "resize", "demo"],
        &["no-such-noun"],
        &["task", "list", "-o", "xml"],
    ] {
        let done = Way::default().ends(2, words).await;
        assert!(done.stdout.is_empty() && !done.stderr.is_empty(), "{done:?}");
    }
    let nowhere = Way::default().ends(2, &["task", "list"]).await;
    for name in ["DATABASE_URL", "GAIA_SERVER", "--config"] {
        assert!(nowhere.stderr.contains(name), "{nowhere:?}");
    }
}

#[actix_rt::test]
async fn the_api_judges_input_and_names_all_faults() {
    let served = Served::start().await;
    for way in served.ways() {
        let bad = way
            .ends(2, &["task", "add", "demo", "", "", "1", "--unique-key", ""])
            .await;
        assert!(bad.stderr.lines().count() >= 3, "all faults at once: {bad:?}");
        let bad = way.ends(2, &["task", "add", "demo", "Demo", "Echo", "{not JSON"]).await;
        assert!(bad.stderr.contains("the arguments are no JSON"), "{bad:?}");
        way.ends(2, &["theme", "resize", "demo", "many"]).await;
        way.ends(2, &["task", "cancel", "stauts:failed", "--yes"]).await;
    }
    served.stop().await;
}

#[actix_rt::test]
async fn what_is_not_there_is_three() {
    let served = Served::start().await;
    for way in served.ways() {
        for words in [
            &["task", "get", "4711"][..],
            &["task", "cancel", "4711"],
            &["task", "wait", "4711"],
            &["job", "get", "4711"],
            &["job", "get", "no such job"],
            &["job", "run-get", "4711"],
            &["node", "get", "4711"],
            &["operation", "get", "4711"],
            &["check", "4711"],
        ] {
            way.ends(3, words).await;
        }
    }
    served.stop().await;
}

#[actix_rt::test]
async fn what_the_state_forbids_is_four() {
    let served = Served::start().await;
    for way in served.ways() {
        let id = way
            .ends(0, &["task", "add", "demo", "Demo", "Echo", "1", "--wait", "-o", "name"])
            .await
            .stdout;
        let refused = way.ends(4, &["task", "retry", id.trim()]).await;
        assert!(
            refused
                .stderr
                .contains("it is Success, and only Failed, Cancelled may be"),
            "{refused:?}"
        );
    }
    served.stop().await;
}

#[actix_rt::test]
async fn no_right_is_five() {
    let served = Served::start().await;
    let viewer = served.with_token(VIEWER);
    viewer.ends(0, &["task", "list"]).await;
    let add = ["task", "add", "demo", "Demo", "Fail", "1", "--wait"];
    served.local().ends(1, &add).await;
    for words in [
        &["task", "add", "demo", "Demo", "Echo"][..],
        &["theme", "pause", "demo"],
        &["task", "retry", "--all", "--yes"],
        &["job", "disable", "1"],
    ] {
        let refused = viewer.ends(5, words).await;
        assert!(refused.stderr.contains("this needs the permission"), "{refused:?}");
    }
    let stranger = served.with_token("stranger-0123456789");
    let refused = stranger.ends(5, &["task", "list"]).await;
    assert!(refused.stderr.contains("--token-file"), "{refused:?}");
    assert!(
        !refused.stderr.contains("stranger-0123456789"),
        "no token is repeated: {refused:?}"
    );
    server(&served.url).ends(5, &["task", "list"]).await;
    served.stop().await;
}

#[actix_rt::test]
async fn a_wait_in_vain_is_six() {
    let served = Served::start().await;
    for way in served.ways() {
        let id = way
            .out(&["task", "add", "demo", "Demo", "Echo", "1", "--in", "1h"])
            .await;
        let done = way.ends(6, &["task", "wait", id.trim(), "--timeout", "300ms"]).await;
        assert!(done.stderr.contains(&format!("gaia check {}", id.trim())), "{done:?}");
        way.ends(
            6,
            &["task", "add", "demo", "Demo", "Echo", "1", "--in", "1h", "--wait=0"],
        )
        .await;
    }
    served.stop().await;
}

/// A database that is not there, a server that is not there, and servers that are something else.
#[actix_rt::test]
async fn what_is_away_is_eight() {
    let database = Database::of_kind(Kind::Sqlite);
    let missing = Way::database(&database.url()).ends(8, &["task", "list"]).await;
    assert!(missing.stderr.contains("gaia migrate"), "{missing:?}");
    assert!(!database.path().exists(), "a look makes no file");
    Way::database("postgres://nobody:secret@127.0.0.1:1/none")
        .ends(8, &["task", "list"])
        .await;

    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = listener.local_addr().expect("has one");
    drop(listener);
    let away = server(&format!("http://{address}")).ends(8, &["task", "list"]).await;
    assert!(away.stderr.contains("cannot reach the server"), "{away:?}");

    for (head, said) in [
        (
            "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 9\r\n\r\n\x1b[31mdown!",
            "is not this API",
        ),
        (
            "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
            "sends callers elsewhere",
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
            "not what this program knows",
        ),
        ("HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n{\"ta", "broke off"),
        ("", "gave no answer"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        let address = listener.local_addr().expect("has one");
        let answering = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("is asked");
            let mut request = [0; 4096];
            std::io::Read::read(&mut stream, &mut request).expect("is asked");
            stream.write_all(head.as_bytes()).expect("is heard");
        });
        let done = server(&format!("http://{address}")).ends(8, &["task", "list"]).await;
        answering.join().expect("does not panic");
        assert!(done.stderr.contains(said), "{head:?}: {done:?}");
        assert!(!done.stderr.contains('\x1b'), "{done:?}");
    }
}

#[actix_rt::test]
async fn tables_of_another_version_name_the_way_out() {
    let database = Database::of_kind(Kind::Sqlite);
    std::fs::write(database.path(), "").expect("is written");
    let old = Way::database(&database.url()).ends(8, &["task", "list"]).await;
    assert!(old.stderr.contains("run `gaia migrate`"), "{old:?}");
}

#[actix_rt::test]
async fn tokens_lie_in_files_that_others_cannot_read() {
    let served = Served::start().await;
    let way = served.remote();
    assert_eq!(way.ends(0, &["task", "list", "-o", "json"]).await.stderr, "");

    let file = way.options.last().expect("is the file").clone();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).expect("is ours");
    let warned = way.ends(0, &["task", "list", "-o", "json"]).await;
    assert!(
        warned.stderr.contains("others may read the token file") && warned.stderr.contains("chmod 600"),
        "{warned:?}"
    );

    std::fs::write(&file, "two words").expect("is written");
    let refused = way.ends(2, &["task", "list"]).await;
    assert!(
        refused.stderr.contains("holds no token") && !refused.stderr.contains("two words"),
        "{refused:?}"
    );
    std::fs::remove_file(&file).expect("is there");
    let refused = way.ends(2, &["task", "list"]).await;
    assert!(refused.stderr.contains("cannot read the token file"), "{refused:?}");
    served.stop().await;
}

/// Whoever reads the output may leave.
#[actix_rt::test]
async fn a_reader_that_leaves_is_no_fault() {
    let served = Served::start().await;
    for way in served.ways() {
        let lines = "{\"service\": \"Demo\", \"method\": \"Echo\"}\n".repeat(5_000);
        way.fed(&lines, &["task", "add", "demo", "--batch", "-"]).await;
        let mut shell = std::process::Command::new("sh");
        let words: Vec<String> = way.options.iter().map(|word| crate::program::quoted(word)).collect();
        let line = format!(
            "{{ {} {} task export --theme demo; echo $? >&2; }} | head -n 1",
            crate::program::GAIA,
            words.join(" ")
        );
        shell.args(["-c", &line]).envs(way.environment.clone());
        let done = ended(shell, String::new()).await;
        assert_eq!(
            (done.stdout.lines().count(), done.stderr.as_str()),
            (1, "0\n"),
            "{done:?}"
        );
    }
    served.stop().await;
    let mut help = command();
    help.arg("--help");
    assert_eq!(ended(help, String::new()).await.code, 0);
}
