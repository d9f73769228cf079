//! Tables as they look.

use gaia_actors::prelude::*;

use crate::{served::Served, support::ended};

/// How many columns of a terminal a text takes.
fn columns(line: &str) -> usize {
    unicode_width::UnicodeWidthStr::width(line)
}

/// The rest of a line from this column of the terminal on.
fn from_column(line: &str, column: usize) -> &str {
    let at = line.char_indices().find(|(at, _)| columns(&line[..*at]) == column);
    at.map_or("", |(at, _)| &line[at..])
}

/// A line without colours.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match char {
            '\u{1b}' => {
                chars.by_ref().find(char::is_ascii_alphabetic);
            }
            '\r' => {}
            char => plain.push(char),
        }
    }
    plain
}

async fn with_odd_tasks() -> Served {
    let served = Served::start().await;
    let scheduler = served.scheduler();
    let names = [
        "夜间报表生成任务，每天凌晨两点执行，需要很长时间才能完成的那一种".to_owned(),
        "a ".repeat(100),
        "plain".to_owned(),
    ];
    for name in names {
        let id = scheduler
            .add_task(NewTask::new("Demo", "Fail").name(name))
            .await
            .expect("is added")
            .id;
        ended(&scheduler, id).await;
    }
    served
}

#[actix_rt::test]
async fn a_table_fits_the_terminal() {
    let served = with_odd_tasks().await;
    for way in served.ways() {
        for width in [80, 120, 160] {
            let seen = way.typed(width, "", &["task", "list"]).await;
            assert_eq!(seen.code, 0, "{seen:?}");
            assert!(seen.stdout.contains("\u{1b}["), "colours: {seen:?}");
            let text = plain(&seen.stdout);
            assert_eq!(text.lines().count(), 4, "a line for each task: {text}");
            for line in text.lines() {
                assert!(columns(line) <= usize::from(width), "{width}: {line}");
            }
            // The columns stand below their heads.
            let head = text.lines().next().expect("is there");
            let place = columns(&head[..head.find("ADDED").expect("is there")]);
            for line in text.lines().skip(1) {
                let cell = from_column(line, place);
                assert!(
                    cell.starts_with("now") || cell.starts_with(|char: char| char.is_ascii_digit()),
                    "{text}"
                );
            }
            assert!(text.contains('…'), "{text}");
        }
    }
    served.stop().await;
}

#[actix_rt::test]
async fn without_a_terminal_nothing_is_cut_and_nothing_coloured() {
    let served = with_odd_tasks().await;
    for way in served.ways() {
        let text = way.out(&["task", "list"]).await;
        assert!(
            text.contains("需要很长时间才能完成的那一种") && !text.contains('\u{1b}') && !text.contains('…'),
            "{text}"
        );
        let mut quiet = way.clone();
        quiet.environment.push(("NO_COLOR", "1".to_owned()));
        let seen = quiet.typed(100, "", &["task", "list"]).await;
        assert!(!seen.stdout.contains('\u{1b}'), "{seen:?}");
    }
    served.stop().await;
}

/// A list that is watched is drawn again until the program is ended.
#[actix_rt::test]
async fn a_list_is_watched() {
    let served = Served::start().await;
    let way = served.local();
    let line = format!("{} theme list --watch 1 -o name | head -n 2", crate::program::GAIA);
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &line]).envs(way.environment.clone());
    let done = crate::program::ended(shell, String::new()).await;
    assert_eq!(done.stdout, "demo\ndemo\n", "{done:?}");
    served.stop().await;
}
