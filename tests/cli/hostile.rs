//! Texts of others cannot command the terminal of the person who looks.

use gaia_actors::prelude::*;

use crate::{program::Way, served::Served, support::ended};

/// Clears the screen, sets its title, rings its bell, goes back in the line, and turns the direction of reading; also by C1 characters.
const HOSTILE: &str = "x\u{1b}[2J\u{1b}]0;owned\u{7}\r\u{9b}31m\u{202e}y\u{7f}z";

fn is_harmless(text: &str, what: &str) {
    let found: Vec<char> = text
        .chars()
        .filter(|char| (char.is_control() && !matches!(char, '\n' | '\t')) || *char == '\u{202e}')
        .collect();
    assert!(found.is_empty(), "{what} has {found:?} in {text:?}");
}

async fn looked_at(way: &Way, id: &str, job: &str) {
    for words in [
        &["task", "list"][..],
        &["task", "list", "-o", "wide"],
        &["task", "list", "-o", "json"],
        &["task", "list", "-o", "jsonl"],
        &["task", "get", id],
        &["task", "get", id, "-o", "json"],
        &["task", "records", id],
        &["task", "log", id],
        &["task", "log", id, "-o", "jsonl"],
        &["theme", "list"],
        &["theme", "get", "demo"],
        &["theme", "errors", "demo"],
        &["theme", "methods", "demo"],
        &["job", "list"],
        &["job", "get", job],
        &["audit", "list"],
        &["top"],
    ] {
        let done = way.ends(0, words).await;
        is_harmless(&done.stdout, &format!("{words:?}"));
        is_harmless(&done.stderr, &format!("{words:?}"));
    }
    // A file of YAML has what is in the database; a terminal has no part of it that is a command.
    for words in [
        &["task", "list", "-o", "yaml"][..],
        &["task", "get", id, "-o", "yaml"],
        &["job", "get", job, "-o", "yaml"],
    ] {
        let done = way.typed(200, "", words).await;
        assert_eq!(done.code, 0, "{words:?}: {done:?}");
        is_harmless(&done.stdout.replace('\r', ""), &format!("{words:?}"));
    }
    for words in [&["check", id][..], &["check", "demo"], &["check"]] {
        let done = way.run(words).await;
        is_harmless(&done.stdout, &format!("{words:?}"));
        is_harmless(&done.stderr, &format!("{words:?}"));
    }
}

#[actix_rt::test]
async fn texts_of_others_command_no_terminal() {
    let served = Served::start().await;
    // What goes past the checks of names: plain SQL writes it.
    let failed = served
        .scheduler()
        .add_task(NewTask::new("Demo", "Fail").args(&HOSTILE))
        .await
        .expect("is added")
        .id;
    let logged = served
        .scheduler()
        .add_task(NewTask::new("Demo", "Log").args(&HOSTILE))
        .await
        .expect("is added")
        .id;
    for id in [failed, logged] {
        ended(&served.scheduler(), id).await;
    }
    let job = NewJob::cron_job("job", "0 0 1 1 *", "Demo", "Echo").args(&HOSTILE);
    let job = served.gaia.jobs().add_job(job).await.expect("is added");
    let sql = HOSTILE.replace('\'', "''");
    served.database.execute(&format!(
        "UPDATE asynctasks SET task_name = '{sql}', last_err_msg = '{sql}', unique_key = '{sql}' WHERE id = {failed}; \
         UPDATE asynctask_exec_row SET last_err_msg = '{sql}' WHERE task_id = {failed}; \
         UPDATE job_center SET job_name = '{sql}' WHERE id = {job}"
    ));
    for way in served.ways() {
        for id in [failed, logged] {
            looked_at(&way, &id.to_string(), &job.to_string()).await;
        }
        let refused = way.ends(2, &["theme", "pause", "demo", "--reason", HOSTILE]).await;
        is_harmless(&refused.stderr, "the refusal of a reason");
    }
    served.stop().await;
}

#[actix_rt::test]
async fn a_terminal_gets_exports_without_commands_and_files_get_them_whole() {
    let served = Served::start().await;
    let id = served
        .scheduler()
        .add_task(NewTask::new("Demo", "Echo").args(&HOSTILE))
        .await
        .expect("is added")
        .id;
    ended(&served.scheduler(), id).await;
    for way in served.ways() {
        let file = way.out(&["task", "export", "--theme", "demo"]).await;
        assert!(file.contains('\u{9b}'), "a file has what is in the database: {file:?}");
        let seen = way.typed(100, "", &["task", "export", "--theme", "demo"]).await;
        is_harmless(&seen.stdout.replace('\r', ""), "the terminal");
    }
    served.stop().await;
}
