//! What an operator asks of another process, and what operators say of themes.

use std::{collections::BTreeSet, time::Duration};

use futures_util::future::join_all;
use gaia_actors::{
    Admin, Error, GaiaBuilder, NodeDetail, OverlapPolicy,
    admin::{JobBegun, PauseTheme, ResizeNode, ResizeTheme, ResumeTheme, RunJob, ThemeInfo, ThemeNote},
    async_fn,
    prelude::*,
};
use serde_json::Value;

use crate::{
    columns::REQUESTS,
    support::{Database, Gate, NodeProcess, PATIENCE, THEME, eventually, options, refusal, task},
};

fn serving(builder: GaiaBuilder) -> GaiaBuilder {
    builder
        .handler("Demo", "Echo", async_fn(async |_, args: Value| Ok(args)))
        .jobs(JobsOptions::default())
}

/// A process that runs jobs.
async fn with_jobs(database: &Database) -> Gaia {
    serving(database.builder()).start().await.expect("starts")
}

/// A process that runs nothing.
async fn without_jobs(database: &Database) -> Gaia {
    database.builder().start().await.expect("starts")
}

fn echo(name: &str) -> NewJob {
    NewJob::cron_job(name, "0 0 0 1 1 *", "Demo", "Echo")
        .args(&name)
        .overlap(OverlapPolicy::Allow)
}

fn patient(job_id: i64) -> RunJob {
    RunJob {
        timeout: PATIENCE,
        ..RunJob::new(job_id)
    }
}

fn impatient(job_id: i64) -> RunJob {
    RunJob {
        timeout: Duration::from_secs(1),
        ..RunJob::new(job_id)
    }
}

/// The id of the node of this process.
async fn id_of(gaia: &Gaia, node: &NodeProcess) -> String {
    eventually("its first beat", async || {
        let nodes = gaia.nodes().await.expect("lists");
        let found = nodes.into_iter().find(|listed| listed.pid == i64::from(node.pid()))?;
        (!found.themes.is_empty()).then_some(found.id)
    })
    .await
}

async fn workers_of(gaia: &Gaia, id: &str) -> usize {
    let nodes = gaia.nodes().await.expect("lists");
    nodes.iter().find(|node| node.id == id).expect("is listed").workers
}

async fn theme_of(admin: &Admin, theme: &str) -> ThemeInfo {
    let themes = admin.themes().await.expect("lists");
    let found = themes.into_iter().find(|info| info.theme == theme);
    found.expect("is listed")
}

#[actix_rt::test]
async fn a_process_without_jobs_has_another_one_run_a_job() {
    let database = Database::fresh();
    let looker = without_jobs(&database).await;
    let runner = with_jobs(&database).await;
    let id = looker.jobs().add_job(echo("x").enabled(false)).await.expect("is added");
    let run = RunJob {
        by: Some("ops".to_owned()),
        reason: Some("无数据".to_owned()),
        ..patient(id)
    };
    let begun = looker.admin().run_job(run).await.expect("runs");
    assert_eq!(begun.node, runner.node_id());
    let ended = looker.jobs().wait_for_run(begun.run_id, PATIENCE).await.expect("ends");
    assert_eq!(ended.job_result_flag.as_deref(), Some("success"));
    let kept = "SELECT COUNT(*) FROM gaia_requests WHERE asked_by = 'ops' AND reason = '无数据' AND taken_by IS NOT NULL \
                AND done_at IS NOT NULL AND open_for IS NULL AND job_id IS NOT NULL";
    assert_eq!(database.number(kept), 1);

    // A process with jobs asks nobody.
    let begun = runner.admin().run_job(patient(id)).await.expect("runs");
    assert_eq!(begun.node, runner.node_id());
    runner.jobs().wait_for_run(begun.run_id, PATIENCE).await.expect("ends");
    assert_eq!(database.number("SELECT COUNT(*) FROM gaia_requests"), 1);
    looker.stop().await.expect("stops");
    runner.stop().await.expect("stops");
}

#[actix_rt::test]
async fn the_asker_gets_the_errors_of_the_other_process() {
    let database = Database::fresh();
    let looker = without_jobs(&database).await;
    let gate = Gate::closed();
    let builder = database.builder().handler("Demo", "Gate", gate.handler());
    let runner = builder.jobs(JobsOptions::default()).start().await.expect("starts");
    let (jobs, admin) = (looker.jobs(), looker.admin());
    let missing = admin.run_job(patient(4711)).await;
    assert!(matches!(missing, Err(Error::JobNotFound { id: 4711 })), "{missing:?}");
    let alone = NewJob::cron_job("alone", "0 0 0 1 1 *", "Demo", "Gate").overlap(OverlapPolicy::Forbid);
    let id = jobs.add_job(alone).await.expect("is added");
    let begun = admin.run_job(patient(id)).await.expect("runs");
    gate.entered(1).await;
    let second = admin.run_job(patient(id)).await;
    assert!(matches!(second, Err(Error::JobIsRunning { .. })), "{second:?}");
    gate.let_pass(1);
    jobs.wait_for_run(begun.run_id, PATIENCE).await.expect("ends");
    database.execute("UPDATE job_center SET cron_expr = 'never'");
    let bad = admin.run_job(patient(id)).await;
    assert!(matches!(bad, Err(Error::JobIsBad { .. })), "{bad:?}");
    looker.stop().await.expect("stops");
    runner.stop().await.expect("stops");
}

#[actix_rt::test]
async fn of_two_nodes_one_follows_each_request() {
    const REQUESTS: usize = 100;
    let database = Database::fresh();
    let looker = without_jobs(&database).await;
    let nodes = [with_jobs(&database).await, with_jobs(&database).await];
    let id = looker.jobs().add_job(echo("x")).await.expect("is added");
    let admin = looker.admin();
    let begun = join_all((0..REQUESTS).map(|_| admin.run_job(patient(id)))).await;
    let begun: Vec<JobBegun> = begun.into_iter().map(|begun| begun.expect("runs")).collect();
    for run in &begun {
        looker.jobs().wait_for_run(run.run_id, PATIENCE).await.expect("ends");
    }
    let ids: BTreeSet<i64> = begun.iter().map(|begun| begun.run_id).collect();
    assert_eq!(ids.len(), REQUESTS);
    assert_eq!(database.number("SELECT COUNT(*) FROM job_record"), 100);
    assert_eq!(
        database.number("SELECT COUNT(*) FROM gaia_requests WHERE done_at IS NULL"),
        0
    );
    looker.stop().await.expect("stops");
    for node in nodes {
        node.stop().await.expect("stops");
    }
}

#[actix_rt::test]
async fn without_a_node_the_asker_is_told_so_and_the_job_does_not_run_later() {
    let database = Database::fresh();
    let looker = without_jobs(&database).await;
    let jobs = looker.jobs();
    let early = jobs.add_job(echo("early")).await.expect("is added");
    let late = jobs.add_job(echo("late")).await.expect("is added");
    let untaken = looker.admin().run_job(impatient(early)).await;
    assert!(matches!(untaken, Err(Error::NotTaken { .. })), "{untaken:?}");
    let said = refusal(untaken);
    assert!(
        said.contains("no node that runs jobs") && said.contains("withdrawn"),
        "{said}"
    );
    let runner = with_jobs(&database).await;
    let begun = looker.admin().run_job(patient(late)).await.expect("runs");
    jobs.wait_for_run(begun.run_id, PATIENCE).await.expect("ends");
    assert_eq!(
        database.number(&format!("SELECT COUNT(*) FROM job_record WHERE job_id = {early}")),
        0
    );
    looker.stop().await.expect("stops");
    runner.stop().await.expect("stops");
}

fn insert_request(database: &Database, id: i64, job_id: i64, created_at: &str) {
    database.execute(&format!(
        "INSERT INTO gaia_requests (id, kind, open_for, job_id, created_at) VALUES ({id}, 'run_job', '', {job_id}, {created_at})"
    ));
}

/// The asker may have died before it could withdraw it.
#[actix_rt::test]
async fn a_request_is_over_after_a_minute_whoever_has_left_it() {
    let database = Database::fresh();
    let looker = without_jobs(&database).await;
    let id = looker.jobs().add_job(echo("x")).await.expect("is added");
    insert_request(&database, 1, id, &database.in_seconds(-62));
    insert_request(&database, 2, id, &database.in_seconds(600));
    insert_request(&database, 3, id, &database.in_seconds(-2));
    let runner = with_jobs(&database).await;
    eventually("the answer to the young one", async || {
        let done = "SELECT COUNT(*) FROM gaia_requests WHERE id = 3 AND done_at IS NOT NULL";
        (database.number(done) == 1).then_some(())
    })
    .await;
    let untouched = "SELECT COUNT(*) FROM gaia_requests WHERE id <> 3 AND taken_by IS NULL AND done_at IS NULL";
    assert_eq!(database.number(untouched), 2);
    assert_eq!(database.number("SELECT COUNT(*) FROM job_record"), 1);
    looker.stop().await.expect("stops");
    runner.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_request_of_a_dead_node_says_so() {
    let database = Database::fresh();
    let looker = without_jobs(&database).await;
    let mut node = NodeProcess::start(&database, &[("GAIA__NODE__LEASE", "2")]);
    let id = id_of(&looker, &node).await;
    let now = database.in_seconds(0);
    database.execute(&format!(
        "INSERT INTO gaia_requests (id, kind, job_id, created_at, taken_by, taken_at) \
         VALUES (1, 'run_job', 1, {now}, '{id}', {now})"
    ));
    node.kill();
    eventually("the result", async || {
        let gone = "SELECT COUNT(*) FROM gaia_requests WHERE done_at IS NOT NULL AND result LIKE '%node_is_gone%'";
        (database.number(gone) == 1).then_some(())
    })
    .await;
    looker.stop().await.expect("stops");
}

#[actix_rt::test]
async fn the_asker_learns_that_the_node_that_took_the_request_is_dead() {
    let database = Database::fresh();
    let looker = without_jobs(&database).await;
    let admin = looker.admin();
    let asks = actix_rt::spawn(async move { admin.run_job(patient(1)).await });
    eventually("the request", async || {
        (database.number("SELECT COUNT(*) FROM gaia_requests") == 1).then_some(())
    })
    .await;
    // A node takes it that is dead by now.
    database.execute("UPDATE gaia_requests SET taken_by = 'ghost', open_for = NULL");
    let answer = asks.await.expect("ends");
    assert!(
        matches!(&answer, Err(Error::NotAnswered { node, .. }) if node == "ghost"),
        "{answer:?}"
    );
    let gone = "SELECT COUNT(*) FROM gaia_requests WHERE result LIKE '%node_is_gone%'";
    assert_eq!(database.number(gone), 1);
    looker.stop().await.expect("stops");
}

#[actix_rt::test]
async fn one_node_is_resized_and_no_other() {
    let database = Database::fresh();
    let settings = [("GAIA__NODE__LEASE", "2"), ("WORKERS", "3")];
    let (first, second) = (
        NodeProcess::start(&database, &settings),
        NodeProcess::start(&database, &settings),
    );
    let gaia = database.builder().start().await.expect("starts");
    let (first, second) = (
        (id_of(&gaia, &first).await, first),
        (id_of(&gaia, &second).await, second),
    );
    let admin = gaia.admin();
    let resize = ResizeNode {
        by: Some("ops".to_owned()),
        timeout: PATIENCE,
        ..ResizeNode::new(&first.0, THEME, 9)
    };
    admin.resize_node(resize).await.expect("is followed");
    eventually("the beat that tells", async || {
        (workers_of(&gaia, &first.0).await == 9).then_some(())
    })
    .await;
    assert_eq!(workers_of(&gaia, &second.0).await, 3);
    // It holds until the theme is resized again.
    let all = ResizeTheme {
        theme: THEME.to_owned(),
        workers: Some(5),
        ..ResizeTheme::default()
    };
    admin.resize_theme(all).await.expect("is stored");
    eventually("the same number everywhere", async || {
        let workers = [workers_of(&gaia, &first.0).await, workers_of(&gaia, &second.0).await];
        (workers == [5, 5]).then_some(())
    })
    .await;
    let stranger = admin.resize_node(ResizeNode::new("stranger", THEME, 1)).await;
    assert!(matches!(stranger, Err(Error::NodeNotFound { .. })), "{stranger:?}");
    let other = admin.resize_node(ResizeNode::new(&first.0, "other", 1)).await;
    assert!(matches!(other, Err(Error::NotScheduledThere { .. })), "{other:?}");
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_process_resizes_itself_without_a_request() {
    let database = Database::fresh();
    let gaia = database.builder().scheduler(options()).start().await.expect("starts");
    let me = gaia.node_id().to_owned();
    let resize = ResizeNode::new(&me, THEME, 7);
    gaia.admin().resize_node(resize).await.expect("is followed");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    assert_eq!(demo.status().await.expect("runs here").all_workers, 7);
    let other = gaia.admin().resize_node(ResizeNode::new(&me, "other", 1)).await;
    assert!(matches!(other, Err(Error::NotScheduledHere { .. })), "{other:?}");
    assert_eq!(database.number("SELECT COUNT(*) FROM gaia_requests"), 0);
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn the_counters_of_a_node_are_read_from_another_process() {
    let database = Database::fresh();
    let node = NodeProcess::start(&database, &[("GAIA__NODE__LEASE", "2"), ("JOBS", "1")]);
    let gaia = database.builder().start().await.expect("starts");
    let id = id_of(&gaia, &node).await;
    let demo = gaia.scheduler(THEME).expect("is a theme");
    demo.add_tasks(vec![task("Noop"); 3]).await.expect("are added");
    let detail: NodeDetail = eventually("the counters", async || {
        let detail = gaia.admin().node(&id).await.expect("is there");
        let status = detail.status.as_ref()?;
        let theme = status.themes.iter().find(|theme| theme.theme == THEME)?;
        (theme.succeeded == 3).then_some(detail)
    })
    .await;
    assert_eq!((&detail.node.id, detail.node.pid), (&id, i64::from(node.pid())));
    let status = detail.status.clone().expect("was written");
    assert_eq!(status.themes_left_out, 0);
    assert!(status.jobs.is_some());
    assert!(status.written_at > detail.node.started_at);
    let json = serde_json::to_string(&detail).expect("is written");
    assert_eq!(serde_json::from_str::<NodeDetail>(&json).expect("is read"), detail);
    // Text that is no status is none, and harms nothing.
    assert_eq!(node.stop(), Some(0));
    let gone = gaia.admin().node(&id).await;
    assert!(matches!(gone, Err(Error::NodeNotFound { .. })), "{gone:?}");
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn pause_resume_and_resize_keep_who_and_why_over_a_restart() {
    let database = Database::fresh();
    let gaia = database.builder().scheduler(options()).start().await.expect("starts");
    let some = |text: &str| Some(text.to_owned());
    let pause = PauseTheme {
        theme: THEME.to_owned(),
        by: some("张伟"),
        reason: some("the mail server is away"),
    };
    gaia.admin().pause_theme(pause).await.expect("is stored");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    assert!(demo.status().await.expect("runs here").paused);
    gaia.stop().await.expect("stops");

    let gaia = database.builder().scheduler(options()).start().await.expect("starts");
    let (admin, demo) = (gaia.admin(), gaia.scheduler(THEME).expect("is a theme"));
    assert!(demo.status().await.expect("runs here").paused);
    let info = theme_of(&admin, THEME).await;
    let note = info.pause.clone().expect("was paused");
    assert_eq!(
        (info.paused, note.by, note.reason),
        (true, some("张伟"), some("the mail server is away"))
    );
    assert!((chrono::Utc::now() - note.at).num_seconds().abs() < 300, "{}", note.at);
    assert_eq!((info.workers, info.resize), (None, None));

    let resume = ResumeTheme {
        theme: THEME.to_owned(),
        by: some("ops"),
        reason: None,
    };
    admin.resume_theme(resume).await.expect("is stored");
    let resize = ResizeTheme {
        theme: THEME.to_owned(),
        workers: Some(2),
        by: some("ops"),
        reason: some("too many connections"),
    };
    admin.resize_theme(resize).await.expect("is stored");
    let info = theme_of(&admin, THEME).await;
    let (pause, resize) = (info.pause.expect("was resumed"), info.resize.expect("was resized"));
    assert_eq!((info.paused, pause.by, pause.reason), (false, some("ops"), None));
    assert_eq!((info.workers, resize.reason), (Some(2), some("too many connections")));

    // A call of the scheduler names no author: the author of before does not stay.
    demo.pause().await.expect("is stored");
    let note = theme_of(&admin, THEME).await.pause.expect("was paused");
    assert_eq!((note.by, note.reason), (None, None));
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn every_known_theme_is_listed() {
    let database = Database::fresh();
    let gaia = database
        .builder()
        .lease(Duration::from_secs(2))
        .scheduler(options())
        .start()
        .await
        .expect("starts");
    let waiting = gaia.scheduler("waiting").expect("is a theme");
    waiting.add_task(task("Run")).await.expect("is added");
    let paused = PauseTheme {
        theme: "paused".to_owned(),
        ..PauseTheme::default()
    };
    gaia.admin().pause_theme(paused).await.expect("is stored");
    let themes = eventually("the beat that tells of the theme, and the segment", async || {
        let themes = gaia.admin().themes().await.expect("lists");
        (themes.len() == 3).then_some(themes)
    })
    .await;
    let names: Vec<&str> = themes.iter().map(|info| info.theme.as_str()).collect();
    assert_eq!(names, [THEME, "paused", "waiting"]);
    assert_eq!((themes[0].nodes, themes[0].node_workers, themes[0].running), (1, 4, 0));
    assert_eq!((themes[1].nodes, themes[2].nodes), (0, 0));
    let json = serde_json::to_string(&themes).expect("is written");
    assert_eq!(serde_json::from_str::<Vec<ThemeInfo>>(&json).expect("is read"), themes);
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn bad_input_is_refused_and_changes_nothing() {
    let database = Database::fresh();
    let gaia = database.builder().start().await.expect("starts");
    let admin = gaia.admin();
    let long = "x".repeat(501);
    for (name, message, why) in [
        (
            "run_job",
            format!(r#"{{"job_id": 1, "reason": "{long}"}}"#),
            "at most 500",
        ),
        (
            "run_job",
            format!(r#"{{"job_id": 1, "by": "{}"}}"#, &long[..101]),
            "at most 100",
        ),
        ("run_job", r#"{"job_id": 1, "by": "a\nb"}"#.to_owned(), "U+000A"),
        ("run_job", r#"{"job_id": 1, "reason": ""}"#.to_owned(), "is empty"),
        ("run_job", r#"{"job_id": 1, "timeout_ms": 0}"#.to_owned(), "timeout"),
        (
            "run_job",
            r#"{"job_id": 1, "timeout_ms": 120001}"#.to_owned(),
            "timeout",
        ),
        (
            "run_job",
            r#"{"job_id": 1, "job": 1}"#.to_owned(),
            "unknown field `job`",
        ),
        (
            "resize_node",
            r#"{"node": "a", "theme": "demo", "workers": 100001}"#.to_owned(),
            "100001 workers",
        ),
        (
            "resize_node",
            r#"{"node": "a", "theme": "demo", "workers": -1}"#.to_owned(),
            "invalid value",
        ),
        (
            "resize_node",
            format!(r#"{{"node": "{}", "theme": "", "workers": 1}}"#, &long[..65]),
            "theme is empty",
        ),
        (
            "resize_theme",
            r#"{"theme": "demo"}"#.to_owned(),
            "missing field `workers`",
        ),
        (
            "resize_theme",
            r#"{"theme": "demo", "workers": 18446744073709551615}"#.to_owned(),
            "expected at most",
        ),
        ("pause_theme", r#"{"theme": "de\u0000mo"}"#.to_owned(), "U+0000"),
        (
            "resume_theme",
            r#"{"theme": "demo", "why": "x"}"#.to_owned(),
            "unknown field `why`",
        ),
        ("node", r#""""#.to_owned(), "node is empty"),
    ] {
        let operation = Admin::OPERATIONS.iter().find(|operation| operation.name == name);
        let error = refusal(operation.expect("is there").run(&admin, &message).await);
        assert!(
            error.starts_with("invalid input: ") && error.contains(why),
            "{name} {message}: {error}"
        );
    }
    assert_eq!(database.number("SELECT COUNT(*) FROM gaia_requests"), 0);
    assert_eq!(database.number("SELECT COUNT(*) FROM gaia_themes"), 0);
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn requests_and_counters_are_deleted_after_a_day() {
    let database = Database::fresh();
    without_jobs(&database).await.stop().await.expect("stops");
    let (old, young) = (database.in_seconds(-86_500), database.in_seconds(-80_000));
    insert_request(&database, 1, 1, &old);
    insert_request(&database, 2, 1, &young);
    database.execute(&format!(
        "INSERT INTO gaia_node_status (node_id, written_at, status) VALUES ('old', {old}, '{{}}'), ('young', {young}, '{{}}')"
    ));
    let gaia = without_jobs(&database).await;
    eventually("the deletion", async || {
        let old = "SELECT (SELECT COUNT(*) FROM gaia_requests WHERE id = 1) \
                   + (SELECT COUNT(*) FROM gaia_node_status WHERE node_id = 'old')";
        (database.number(old) == 0).then_some(())
    })
    .await;
    let young = "SELECT (SELECT COUNT(*) FROM gaia_requests WHERE id = 2) \
                 + (SELECT COUNT(*) FROM gaia_node_status WHERE node_id = 'young')";
    assert_eq!(database.number(young), 2);
    gaia.stop().await.expect("stops");
}

/// Plain SQL has written requests that no program of this crate writes. They keep no other request from being followed.
#[actix_rt::test]
async fn odd_requests_keep_no_other_from_being_followed() {
    let database = Database::fresh();
    let looker = without_jobs(&database).await;
    let id = looker.jobs().add_job(echo("x")).await.expect("is added");
    let now = database.in_seconds(0);
    for (column, holds) in REQUESTS.columns.iter().skip(1) {
        let job = id.to_string();
        let number = format!("{}", number_of(column));
        let good = [
            ("id", number.as_str()),
            ("kind", "'run_job'"),
            ("open_for", "''"),
            ("job_id", job.as_str()),
            ("created_at", now.as_str()),
        ];
        for (place, value) in crate::columns::odd_values(database.kind(), *holds)
            .into_iter()
            .enumerate()
        {
            let mut row: Vec<(&str, String)> = good
                .iter()
                .filter(|(name, _)| name != column)
                .map(|(name, value)| (*name, (*value).to_owned()))
                .collect();
            row[0].1 = format!("{}{place:02}", row[0].1);
            row.push((column, value.to_owned()));
            let (names, values): (Vec<&str>, Vec<String>) = row.into_iter().unzip();
            let insert = format!(
                "INSERT INTO gaia_requests ({}) VALUES ({})",
                names.join(", "),
                values.join(", ")
            );
            database.write_odd(&[insert]);
        }
    }
    let runner = serving(database.builder())
        .scheduler(options())
        .start()
        .await
        .expect("starts");
    let begun = looker.admin().run_job(patient(id)).await.expect("runs");
    looker.jobs().wait_for_run(begun.run_id, PATIENCE).await.expect("ends");
    looker.stop().await.expect("stops");
    runner.stop().await.expect("stops");
}

/// A number of its own for each column.
fn number_of(column: &str) -> usize {
    REQUESTS
        .columns
        .iter()
        .position(|(name, _)| *name == column)
        .unwrap_or(0)
        + 10
}

#[actix_rt::test]
async fn a_further_pause_keeps_who_has_paused_first() {
    let database = Database::fresh();
    let gaia = database.builder().start().await.expect("starts");
    let admin = gaia.admin();
    let pause = async |by: Option<&str>, reason: &str| {
        let pause = PauseTheme {
            theme: THEME.to_owned(),
            by: by.map(str::to_owned),
            reason: Some(reason.to_owned()),
        };
        admin.pause_theme(pause).await.expect("pauses");
        let info = theme_of(&admin, THEME).await;
        let note = |note: Option<ThemeNote>| note.map(|note| (note.by, note.reason));
        (note(info.pause), note(info.first_pause))
    };
    let told = |by: Option<&str>, reason: &str| Some((by.map(str::to_owned), Some(reason.to_owned())));
    let (early, late) = (Some("早班"), Some("late shift"));
    assert_eq!(pause(None, "at the start").await, (told(None, "at the start"), None));
    let since = theme_of(&admin, THEME).await.pause.expect("is there").at;
    assert_eq!(
        pause(early, "没有货").await,
        (told(early, "没有货"), told(None, "at the start"))
    );
    assert_eq!(
        pause(late, "still none").await,
        (told(late, "still none"), told(None, "at the start"))
    );
    let first = theme_of(&admin, THEME).await.first_pause.expect("is there");
    assert_eq!(first.at, since);
    let resume = ResumeTheme {
        theme: THEME.to_owned(),
        ..ResumeTheme::default()
    };
    admin.resume_theme(resume).await.expect("resumes");
    assert_eq!(theme_of(&admin, THEME).await.first_pause, None);
    assert_eq!(pause(late, "once more").await, (told(late, "once more"), None));
    gaia.stop().await.expect("stops");
}
