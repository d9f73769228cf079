//! Help texts and their examples.

use std::process::Command;

use crate::{
    program::{GAIA, Way, command, ended, path},
    served::Served,
};

/// The texts themselves, usage errors, and commands that need no database. `TRYCMD=overwrite` writes them anew.
#[test]
fn texts_are_as_they_were() {
    let cases = trycmd::TestCases::new();
    cases.register_bin("gaia", std::path::Path::new(GAIA));
    cases.env("DATABASE_URL", "").env("GAIA_SERVER", "");
    cases
        .case("tests/cli/help/*.md")
        .case("docs/cli.md")
        .case("docs/cli.zh-CN.md");
}

/// Every command of the program, as words.
async fn commands() -> Vec<Vec<String>> {
    let (mut found, mut open) = (Vec::new(), vec![Vec::new()]);
    while let Some(words) = open.pop() {
        let mut help = command();
        help.args(&words).arg("--help");
        let help = ended(help, String::new()).await;
        assert_eq!(help.code, 0, "{words:?}: {help:?}");
        let listed = help.stdout.split("Commands:\n").nth(1).unwrap_or_default();
        for line in listed.lines().take_while(|line| !line.is_empty()) {
            let name = line.split_whitespace().next().unwrap_or_default();
            if line.starts_with("  ") && !line.starts_with("   ") && name != "help" {
                open.push([words.clone(), vec![name.to_owned()]].concat());
            }
        }
        found.push(words);
    }
    found
}

/// The lines of all help texts that are commands of a shell, each run as it is written.
#[actix_rt::test]
async fn examples_work() {
    let served = Served::start().await;
    let way = prepared(&served).await;
    let mut tried = 0;
    for words in commands().await {
        let help = Way::default()
            .out(&[&words.iter().map(String::as_str).collect::<Vec<_>>()[..], &["--help"]].concat())
            .await;
        for example in help
            .split("Examples:\n")
            .skip(1)
            .flat_map(str::lines)
            .take_while(|line| !line.is_empty())
        {
            let mut shell = Command::new("sh");
            shell
                .args(["-c", example.trim()])
                .env("PATH", path())
                .envs(way.environment.clone());
            let folder = served.database.file("gaia.db");
            shell.current_dir(folder.parent().expect("lies in a folder"));
            let done = ended(shell, String::new()).await;
            assert_eq!(done.code, 0, "{words:?}: {example}: {done:?}");
            tried += 1;
        }
    }
    assert!(tried > 20, "{tried} examples");
    served.stop().await;
}

/// What the examples speak of.
async fn prepared(served: &Served) -> Way {
    let way = served.local();
    way.ends(
        0,
        &["job", "add", "report", "--cron", "0 0 1 1 *", "--call", "Demo.Echo"],
    )
    .await;
    let jobs = "job_name: sync\njob_type: cron_hook\ncron_expr: '@hourly'\nhook_url: https://orders.example/sync\n";
    std::fs::write(served.database.file("jobs.yaml"), jobs).expect("is written");
    let tasks = "{\"service\": \"Demo\", \"method\": \"Echo\", \"args\": {\"order\": 17}}\n";
    std::fs::write(served.database.file("tasks.jsonl"), tasks).expect("is written");
    way
}

#[actix_rt::test]
async fn shells_get_completions_that_they_understand() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = Way::default().out(&["completion", shell]).await;
        assert!(script.contains("run-now"), "{shell}: {script}");
    }
    let mut bash = Command::new("bash");
    let line = format!(
        "source <({GAIA} completion bash); COMP_WORDS=(gaia task ru); COMP_CWORD=2; _gaia gaia ru task; echo \"${{COMPREPLY[*]}}\""
    );
    bash.args(["-c", &line]);
    assert_eq!(ended(bash, String::new()).await.stdout, "run-now\n");
    Way::default().ends(2, &["completion", "tcsh"]).await;
}

#[actix_rt::test]
async fn there_is_a_page_of_the_manual_for_each_command() {
    let folder = tempfile::tempdir().expect("is made");
    let folder = folder.path().display().to_string();
    Way::default().ends(0, &["man", &folder]).await;
    for words in commands().await {
        let page = [vec!["gaia".to_owned()], words].concat().join("-");
        let text =
            std::fs::read_to_string(format!("{folder}/{page}.1")).unwrap_or_else(|error| panic!("{page}: {error}"));
        assert!(text.contains(".TH "), "{page}: {text}");
    }
    assert!(Way::default().out(&["man"]).await.contains(".SH NAME"));
}
