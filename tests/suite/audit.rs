//! Who has changed what, and changes of one task of any theme.

use std::time::Duration;

use chrono::TimeDelta;
use gaia_actors::{
    Error, TaskStatus,
    admin::{Admin, AuditChange, AuditEntry, EndAudit, ListAudit, NewAudit},
    async_fn,
    prelude::*,
};
use serde_json::Value;

use crate::{
    columns::{Holds, Table},
    support::{Database, Gate, THEME, Tested, ended, eventually, options, refusal, task},
};

const DAY: Duration = Duration::from_secs(86_400);

/// The columns of an entry, but for those that need a value of their own kind.
const AUDIT: Table = Table {
    name: "gaia_audit",
    columns: &[
        ("id", Holds::Key),
        ("at", Holds::Time),
        ("author", Holds::Text),
        ("action", Holds::Text),
        ("target", Holds::Text),
        ("theme", Holds::Text),
        ("reason", Holds::Text),
        ("result", Holds::Text),
        ("target_name", Holds::Text),
        ("changes", Holds::Text),
    ],
};

fn entry(author: &str, action: &str, theme: Option<&str>) -> NewAudit {
    NewAudit {
        theme: theme.map(str::to_owned),
        ..NewAudit::new(author, action, "17")
    }
}

async fn list(admin: &Admin, list: ListAudit) -> Vec<AuditEntry> {
    admin.audit(list).await.expect("answers")
}

fn ids(entries: &[AuditEntry]) -> Vec<i64> {
    entries.iter().map(|entry| entry.id).collect()
}

#[actix_rt::test]
async fn entries_are_found_newest_first_by_page_and_by_condition() {
    let database = Database::fresh();
    let gaia = database.builder().start().await.expect("starts");
    let admin = gaia.admin();
    assert_eq!(list(&admin, ListAudit::default()).await, []);
    let mut begun = Vec::new();
    for (author, action, theme) in [
        ("day shift", "theme.pause", Some("mail")),
        ("night shift", "theme.pause", Some("订单/🎉")),
        ("day shift", "job.delete", None),
        ("night shift", "task.retry", Some("mail")),
        // Each letter counts, and each blank.
        ("Day Shift", "theme.pause", Some("MAIL")),
        ("day shift ", "theme.pause", Some("mail ")),
    ] {
        begun.push(admin.begin_audit(entry(author, action, theme)).await.expect("is noted"));
    }
    assert!(begun.is_sorted());
    begun.reverse();
    let all = list(&admin, ListAudit::default()).await;
    assert_eq!(ids(&all), begun);
    assert_eq!(
        (all[4].author.as_str(), all[4].theme.as_deref(), all[4].target.as_str()),
        ("night shift", Some("订单/🎉"), "17")
    );

    // Pages of two.
    let (mut before, mut seen) = (None, Vec::new());
    loop {
        let page = ListAudit {
            limit: 2,
            before,
            ..ListAudit::default()
        };
        let page = list(&admin, page).await;
        let Some(last) = page.last() else { break };
        before = Some(last.id);
        seen.extend(page);
        // Whatever comes in between is newer.
        admin
            .begin_audit(entry("other", "job.run", None))
            .await
            .expect("is noted");
    }
    assert_eq!(seen, all);

    let of = |themes: &[&str], author: Option<&str>, action: Option<&str>| ListAudit {
        themes: themes.iter().map(|&theme| theme.to_owned()).collect(),
        author: author.map(str::to_owned),
        action: action.map(str::to_owned),
        ..ListAudit::default()
    };
    for (conditions, places) in [
        (of(&["mail"], None, None), &[2, 5][..]),
        (of(&["mail", "订单/🎉"], None, None), &[2, 4, 5]),
        (of(&["nothing"], None, None), &[]),
        (of(&[], Some("day shift"), None), &[3, 5]),
        (of(&[], Some("Day Shift"), None), &[1]),
        (of(&[], None, Some("theme.pause")), &[0, 1, 4, 5]),
        (of(&["mail"], Some("night shift"), Some("task.retry")), &[2]),
    ] {
        let expected: Vec<i64> = places.iter().map(|place| begun[*place]).collect();
        assert_eq!(ids(&list(&admin, conditions.clone()).await), expected, "{conditions:?}");
    }
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn an_entry_is_there_before_its_result_and_gets_one_result() {
    let test = Tested::start(Gaia::builder()).await;
    let admin = test.admin();
    let pause = NewAudit {
        reason: Some("the mail server is away".to_owned()),
        target_name: Some("日报/🎉".to_owned()),
        changes: vec![
            AuditChange::new("workers", Some(8.into()), Some(16.into())),
            AuditChange::new("args", None, None),
        ],
        ..entry("night shift", "theme.pause", Some("mail"))
    };
    let id = admin.begin_audit(pause.clone()).await.expect("is noted");
    let begun = list(&admin, ListAudit::default()).await;
    assert_eq!((begun[0].result.as_deref(), begun[0].at), (None, test.now()));
    assert_eq!(begun[0].reason.as_deref(), Some("the mail server is away"));
    assert_eq!(
        (&begun[0].target_name, &begun[0].changes),
        (&pause.target_name, &pause.changes)
    );
    let end = |id: i64, result: &str| {
        let (admin, result) = (admin.clone(), result.to_owned());
        async move { admin.end_audit(EndAudit { id, result }).await.expect("answers") }
    };
    test.advance(Duration::from_secs(1));
    assert!(end(id, "refused: theme_not_allowed").await);
    assert!(!end(id, "done").await);
    assert!(!end(id + 1, "done").await);
    let ended = list(&admin, ListAudit::default()).await;
    assert_eq!(ended[0].result.as_deref(), Some("refused: theme_not_allowed"));
    assert_eq!((ended.len(), ended[0].at), (1, begun[0].at));
    test.stop().await.expect("stops");
}

#[actix_rt::test]
async fn texts_that_do_not_fit_are_refused_with_every_fault() {
    let database = Database::fresh();
    let gaia = database.builder().start().await.expect("starts");
    let admin = gaia.admin();
    let bad = NewAudit {
        theme: Some("x".repeat(101)),
        reason: Some("é".repeat(501)),
        target_name: Some(" ".to_owned()),
        changes: vec![AuditChange::new("", None, Some("x".repeat(20_000).into())); 51],
        ..NewAudit::new("a\nb", "x".repeat(65), "")
    };
    let error = refusal(admin.begin_audit(bad).await);
    for fault in [
        "author holds",
        "action has 65",
        "target is empty",
        "theme has 101",
        "reason has 501",
        "target_name is empty",
        "51 changes",
        "the field of a change is empty",
        "bytes as JSON, at most 16384",
    ] {
        assert!(error.contains(fault), "{error}");
    }
    let longest = NewAudit {
        theme: Some("订".repeat(100)),
        reason: Some("🎉".repeat(500)),
        ..NewAudit::new("é".repeat(100), "x".repeat(64), "🎉".repeat(300))
    };
    let id = admin.begin_audit(longest.clone()).await.expect("fits");
    let error = refusal(
        admin
            .end_audit(EndAudit {
                id,
                result: "x".repeat(101),
            })
            .await,
    );
    assert!(error.contains("result has 101"), "{error}");
    let result = "x".repeat(100);
    assert!(
        admin
            .end_audit(EndAudit {
                id,
                result: result.clone()
            })
            .await
            .expect("fits")
    );
    let stored = list(&admin, ListAudit::default()).await;
    assert_eq!(
        (&stored[0].target, &stored[0].reason),
        (&longest.target, &longest.reason)
    );
    assert_eq!((stored.len(), stored[0].result.as_ref()), (1, Some(&result)));
    for bad in [
        ListAudit {
            limit: 0,
            ..ListAudit::default()
        },
        ListAudit {
            limit: 201,
            ..ListAudit::default()
        },
        ListAudit {
            author: Some("x".repeat(101)),
            ..ListAudit::default()
        },
        ListAudit {
            action: Some(String::new()),
            ..ListAudit::default()
        },
        ListAudit {
            themes: vec!["a".to_owned(); 101],
            ..ListAudit::default()
        },
        ListAudit {
            themes: vec!["\0".to_owned()],
            ..ListAudit::default()
        },
    ] {
        assert!(
            matches!(admin.audit(bad.clone()).await, Err(Error::Invalid(_))),
            "{bad:?}"
        );
    }
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_database_that_refuses_an_entry_says_so() {
    let database = Database::fresh();
    let gaia = database.builder().start().await.expect("starts");
    let admin = gaia.admin();
    database.refuse("gaia_audit", "no_night", "@author = 'night shift'");
    let refused = admin.begin_audit(entry("night shift", "theme.pause", None)).await;
    assert!(matches!(refused, Err(Error::Store(_))), "{refused:?}");
    let id = admin
        .begin_audit(entry("day shift", "theme.pause", None))
        .await
        .expect("is noted");
    assert_eq!(ids(&list(&admin, ListAudit::default()).await), [id]);
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn odd_values_of_plain_sql_keep_no_entry_from_being_read() {
    let database = Database::fresh();
    let gaia = database.builder().start().await.expect("starts");
    let now = database.in_seconds(0);
    let good = [
        ("token", "'{n}'"),
        ("at", now.as_str()),
        ("author", "'a'"),
        ("action", "'b'"),
        ("target", "'c'"),
    ];
    for (column, holds) in AUDIT.columns {
        database.insert_odd(AUDIT, &good, column, *holds);
    }
    let rows = database.number("SELECT COUNT(*) FROM gaia_audit");
    let admin = gaia.admin();
    let all = ListAudit {
        limit: 200,
        ..ListAudit::default()
    };
    assert_eq!(i64::try_from(list(&admin, all).await.len()), Ok(rows));
    gaia.stop().await.expect("stops");
}

/// More than one batch of them.
#[actix_rt::test]
async fn entries_go_after_400_days() {
    let test = Tested::start(Gaia::builder().scheduler(options())).await;
    let rows = |from: i64, at: chrono::DateTime<chrono::Utc>| {
        let row = |number| format!("('{number}', '{}', 'a', 'b', 'c')", at.format("%F %T"));
        let rows: Vec<String> = (from..from + 1_200).map(row).collect();
        format!(
            "INSERT INTO gaia_audit (token, at, author, action, target) VALUES {}",
            rows.join(", ")
        )
    };
    test.database.execute(&rows(0, test.now() - TimeDelta::days(395)));
    let young = test.now() - TimeDelta::days(389);
    test.database.execute(&rows(2_000, young));
    // The pruner is certain of the time once it has seen it go on for the retention.
    for _ in 0..3 {
        test.advance(DAY * 3);
        let now = test.now() - TimeDelta::hours(1);
        let seen = format!(
            "SELECT COUNT(*) FROM gaia_retention WHERE seen > '{}'",
            now.format("%F %T")
        );
        eventually("a look", async || (test.database.number(&seen) > 0).then_some(())).await;
    }
    let count = || test.database.number("SELECT COUNT(*) FROM gaia_audit");
    eventually("the old entries to go", async || (count() <= 1_200).then_some(())).await;
    assert_eq!(count(), 1_200);
    let left = list(&test.admin(), ListAudit::default()).await;
    assert!(
        left.iter().all(|entry| (entry.at - young).num_seconds() == 0),
        "{left:?}"
    );
    test.stop().await.expect("stops");
}

// ---- one task of any theme ----

/// The status that keeps a task from being changed, and the statuses from which it may be.
fn not_allowed(result: Result<(), Error>) -> (TaskStatus, Vec<TaskStatus>) {
    match result {
        Err(Error::NotAllowed { action, status, .. }) => (status, action.allowed_from().to_vec()),
        other => panic!("{other:?}"),
    }
}

async fn node(database: &Database, gate: &Gate) -> (Gaia, Scheduler) {
    let fail = async_fn(async |_, _: Value| Err::<(), _>(TaskError::failed("no")));
    let gaia = database
        .builder()
        .handler("Demo", "Noop", async_fn(async |_, args: Value| Ok(args)))
        .handler("Demo", "Fail", fail)
        .handler("Demo", "Hold", gate.handler())
        .scheduler(options())
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    (gaia, demo)
}

#[actix_rt::test]
async fn a_task_of_any_theme_is_read_whole() {
    let (database, gate) = (Database::fresh(), Gate::closed());
    let (gaia, demo) = node(&database, &gate).await;
    let args = "é".repeat(10_000);
    let id = demo.add_task(task("Noop").args(&args)).await.expect("is added").id;
    let done = ended(&demo, id).await;
    let read = gaia.admin().task(id).await.expect("is there");
    assert_eq!(read, done);
    assert_eq!((read.theme.as_str(), read.arg), (THEME, format!("\"{args}\"")));
    // A task that runs is shown as Running, although its row may not say so yet.
    let held = demo.add_task(task("Hold")).await.expect("is added").id;
    gate.entered(1).await;
    let running = gaia.admin().task(held).await.expect("is there");
    assert_eq!(
        (running.status, running.node.as_deref()),
        (TaskStatus::Running, Some(gaia.node_id()))
    );
    gate.let_pass(1);
    for id in [0, -1, id + 1_000, i64::MAX, i64::MIN] {
        let error = gaia.admin().task(id).await;
        assert!(
            matches!(error, Err(Error::TaskNotFound { theme: None, .. })),
            "{error:?}"
        );
        assert_eq!(refusal(error), format!("there is no task {id}"));
    }
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_task_that_waits_for_a_later_time_runs_now() {
    let (database, gate) = (Database::fresh(), Gate::closed());
    let (gaia, demo) = node(&database, &gate).await;
    let admin = gaia.admin();
    let later = chrono::Utc::now() + TimeDelta::hours(1);
    let scheduled = demo.add_task(task("Noop").run_at(later)).await.expect("is added").id;
    admin.run_task_now(scheduled).await.expect("waits");
    assert_eq!(ended(&demo, scheduled).await.status, TaskStatus::Success);

    let again = task("Fail").max_retry(1).retry_delay(Duration::from_secs(3_600));
    let again = demo.add_task(again).await.expect("is added").id;
    eventually("a retry that waits", async || {
        let task = admin.task(again).await.expect("is there");
        (task.status == TaskStatus::Retry).then_some(())
    })
    .await;
    admin.run_task_now(again).await.expect("waits");
    assert_eq!(ended(&demo, again).await.status, TaskStatus::Failed);

    // Of a theme that no node runs: due already, so nothing changes.
    let other = gaia.scheduler("other").expect("is a theme");
    let due = other.add_task(task("Noop")).await.expect("is added").id;
    let before = admin.task(due).await.expect("is there");
    admin.run_task_now(due).await.expect("is due");
    assert_eq!(admin.task(due).await.expect("is there"), before);

    let held = demo.add_task(task("Hold")).await.expect("is added").id;
    gate.entered(1).await;
    let allowed = vec![TaskStatus::Wait, TaskStatus::Retry];
    for (id, status) in [
        (held, TaskStatus::Running),
        (scheduled, TaskStatus::Success),
        (again, TaskStatus::Failed),
    ] {
        assert_eq!(not_allowed(admin.run_task_now(id).await), (status, allowed.clone()));
    }
    let error = refusal(admin.run_task_now(scheduled).await);
    assert_eq!(
        error,
        format!("cannot bring forward task {scheduled}: it is Success, and only Wait, Retry may be")
    );
    assert!(matches!(
        admin.run_task_now(1_000).await,
        Err(Error::TaskNotFound { theme: None, id: 1_000 })
    ));
    gate.let_pass(1);
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_finished_task_is_deleted_with_its_records_and_no_other() {
    let (database, gate) = (Database::fresh(), Gate::closed());
    let (gaia, demo) = node(&database, &gate).await;
    let admin = gaia.admin();
    let other = gaia.scheduler("other").expect("is a theme");
    let rows = |table: &str| database.number(&format!("SELECT COUNT(*) FROM {table}"));
    let mut finished = Vec::new();
    for method in ["Noop", "Fail"] {
        let id = demo.add_task(task(method).max_retry(0)).await.expect("is added").id;
        ended(&demo, id).await;
        finished.push(id);
    }
    let waiting = other.add_task(task("Noop")).await.expect("is added").id;
    let cancelled = other.add_task(task("Noop")).await.expect("is added").id;
    other.cancel_task(cancelled).await.expect("waits");
    finished.push(cancelled);
    let held = demo.add_task(task("Hold")).await.expect("is added").id;
    gate.entered(1).await;
    assert_eq!((rows("asynctasks"), rows("asynctask_exec_row")), (5, 2));
    let allowed = vec![TaskStatus::Success, TaskStatus::Failed, TaskStatus::Cancelled];
    for (id, status) in [(waiting, TaskStatus::Wait), (held, TaskStatus::Running)] {
        assert_eq!(not_allowed(admin.delete_task(id).await), (status, allowed.clone()));
    }
    for id in finished {
        admin.delete_task(id).await.expect("is finished");
        assert!(matches!(admin.delete_task(id).await, Err(Error::TaskNotFound { .. })));
    }
    assert_eq!((rows("asynctasks"), rows("asynctask_exec_row")), (2, 0));
    gate.let_pass(1);
    assert_eq!(ended(&demo, held).await.status, TaskStatus::Success);
    gaia.stop().await.expect("stops");
}
