//! Finding tasks of any theme.

use std::{collections::BTreeSet, time::Duration};

use gaia_actors::{
    Clock, Outcome, TaskStatus,
    admin::{Admin, FoundTasks, SearchTasks, TaskFilter},
    prelude::*,
    store::{Claim, ClaimedTask, Store},
};
use serde_json::json;

use crate::support::{Database, THEME, refusal, task};

/// A client, and a store that plays the node "a" without actors.
struct Cluster {
    gaia: Gaia,
    store: Store,
    database: Database,
}

impl Cluster {
    async fn start() -> Self {
        let database = Database::fresh();
        let gaia = database.builder().start().await.expect("starts");
        let store = Store::connect(&database.url(), Clock::system()).await.expect("opens");
        let now = database.in_seconds(0);
        database.execute(&format!(
            "INSERT INTO gaia_nodes (id, host, pid, version, started_at, heartbeat, beat, lease_ms, themes, protocol) \
             VALUES ('a', 'host', 1, '0', {now}, {now}, 1, 3600000, '[]', 3)"
        ));
        Self { gaia, store, database }
    }

    fn admin(&self) -> Admin {
        self.gaia.admin()
    }

    async fn add(&self, theme: &str, task: NewTask) -> i64 {
        let scheduler = self.gaia.scheduler(theme).expect("is a theme");
        scheduler.add_task(task).await.expect("is added").id
    }

    async fn claim(&self, first: Vec<i64>) -> Vec<ClaimedTask> {
        let claim = Claim {
            theme: THEME.to_owned(),
            node: "a".to_owned(),
            limit: first.len(),
            first,
            methods: None,
            above: None,
        };
        self.store.tasks().claim(claim).await.expect("claims").tasks
    }

    async fn end(&self, run: &ClaimedTask, outcome: Outcome) {
        let runs = vec![(run.clone(), outcome)];
        let policy = RetryPolicy::immediate();
        self.store.tasks().record(runs, policy).await.expect("writes");
    }

    /// The tasks that a search finds, and that a count counts.
    async fn find(&self, filter: TaskFilter) -> Vec<i64> {
        let search = SearchTasks {
            filter: filter.clone(),
            ..SearchTasks::default()
        };
        let found = self.admin().search_tasks(search).await.expect("finds");
        assert_eq!((found.next, found.searched_back_to), (None, None));
        assert_eq!(self.count(filter, None).await, (found.tasks.len() as u64, false));
        ids(&found)
    }

    async fn count(&self, filter: TaskFilter, up_to: Option<u64>) -> (u64, bool) {
        let count = self.admin().count_tasks(filter, up_to).await.expect("counts");
        (count.tasks, count.more)
    }
}

fn ids(found: &FoundTasks) -> Vec<i64> {
    found.tasks.iter().map(|task| task.id).collect()
}

fn failed(error: &str) -> Outcome {
    Outcome::Failed {
        error: error.to_owned(),
        failure: gaia_actors::Failure::Discarded,
    }
}

#[actix_rt::test]
async fn pages_go_through_all_themes_and_miss_and_repeat_nothing() {
    let cluster = Cluster::start().await;
    let mut added = BTreeSet::new();
    for n in 0..25 {
        added.insert(cluster.add(["one", "two", "三"][n % 3], task("Run")).await);
    }
    let (mut seen, mut before) = (Vec::new(), None);
    loop {
        let search = SearchTasks {
            limit: 10,
            before,
            ..SearchTasks::default()
        };
        let found = cluster.admin().search_tasks(search).await.expect("finds");
        seen.extend(ids(&found));
        // A page that follows does not move when tasks are added.
        cluster.add("one", task("Run")).await;
        match found.next {
            Some(next) => before = Some(next),
            None => break,
        }
    }
    assert!(seen.is_sorted_by(|a, b| a > b), "{seen:?}");
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), added);
}

#[actix_rt::test]
async fn each_condition_finds_its_tasks() {
    let cluster = Cluster::start().await;
    let plain = cluster.add(THEME, task("Run")).await;
    let other = cluster
        .add(
            "other",
            NewTask::new("Billing", "Charge")
                .unique_key("order-17")
                .limit_key("tenant-17"),
        )
        .await;
    let named = cluster.add(THEME, task("Run").name("50%_off 订单")).await;
    let fails = cluster.add(THEME, task("Run")).await;
    let run = cluster.claim(vec![fails]).await.remove(0);
    cluster.end(&run, failed("connection refused by 10.0.0.1")).await;
    let held = cluster.add(THEME, task("Run")).await;
    let held_run = cluster.claim(vec![held]).await.remove(0);
    // Another framework has run it.
    let sql = format!("UPDATE asynctasks SET log_id = 'go-20261129' WHERE id = {plain}");
    cluster.database.execute(&sql);
    let sql = format!(
        "INSERT INTO asynctask_exec_row (task_id, task_status, log_id) VALUES ({named}, 'Retry', 'go-earlier')"
    );
    cluster.database.execute(&sql);
    let any = TaskFilter::default;
    let some = |text: &str| Some(text.to_owned());
    let cases = [
        (any(), vec![held, fails, named, other, plain]),
        (
            TaskFilter {
                themes: vec!["other".into()],
                ..any()
            },
            vec![other],
        ),
        (
            TaskFilter {
                themes: vec!["other".into(), THEME.into(), "none".into()],
                ..any()
            },
            vec![held, fails, named, other, plain],
        ),
        (
            TaskFilter {
                service: some("Billing"),
                ..any()
            },
            vec![other],
        ),
        (
            TaskFilter {
                method: some("Charge"),
                ..any()
            },
            vec![other],
        ),
        (
            TaskFilter {
                method: some("charge"),
                ..any()
            },
            vec![],
        ),
        (
            TaskFilter {
                name_contains: some("%_off 订"),
                ..any()
            },
            vec![named],
        ),
        (
            TaskFilter {
                name_contains: some("5_%"),
                ..any()
            },
            vec![],
        ),
        (
            TaskFilter {
                unique_key: some("order-17"),
                ..any()
            },
            vec![other],
        ),
        (
            TaskFilter {
                limit_key: some("tenant-17"),
                ..any()
            },
            vec![other],
        ),
        (
            TaskFilter {
                limit_key: some("TENANT-17"),
                ..any()
            },
            vec![],
        ),
        (
            TaskFilter {
                ids: vec![plain, held, i64::MAX, -1, plain],
                ..any()
            },
            vec![held, plain],
        ),
        (
            TaskFilter {
                ids: vec![plain, other],
                themes: vec!["other".into()],
                ..any()
            },
            vec![other],
        ),
        (
            TaskFilter {
                node: some("a"),
                ..any()
            },
            vec![held],
        ),
        (
            TaskFilter {
                node: some("b"),
                ..any()
            },
            vec![],
        ),
        (
            TaskFilter {
                log_id: Some(held_run.log_id.to_string()),
                ..any()
            },
            vec![held],
        ),
        (
            TaskFilter {
                log_id: Some(run.log_id.to_string()),
                ..any()
            },
            vec![fails],
        ),
        (
            TaskFilter {
                log_id: Some(format!("elsewhere-{plain}")),
                ..any()
            },
            vec![],
        ),
        (
            TaskFilter {
                log_id: some("of another framework"),
                ..any()
            },
            vec![],
        ),
        (
            TaskFilter {
                log_id: some("go-20261129"),
                ..any()
            },
            vec![plain],
        ),
        (
            TaskFilter {
                log_id: some("go-earlier"),
                ..any()
            },
            vec![named],
        ),
        (
            TaskFilter {
                log_id: some("go-20261129"),
                ids: vec![plain, other],
                ..any()
            },
            vec![plain],
        ),
        (
            TaskFilter {
                log_id: Some(run.log_id.to_string()),
                ids: vec![plain, other],
                ..any()
            },
            vec![],
        ),
        (
            TaskFilter {
                error_contains: some("refused by"),
                ..any()
            },
            vec![fails],
        ),
        (
            TaskFilter {
                statuses: vec![TaskStatus::Failed],
                ..any()
            },
            vec![fails],
        ),
        (
            TaskFilter {
                statuses: vec![TaskStatus::Failed, TaskStatus::Running],
                ..any()
            },
            vec![held, fails],
        ),
        (
            TaskFilter {
                statuses: vec![TaskStatus::Failed, TaskStatus::Wait],
                ..any()
            },
            vec![fails, named, other, plain],
        ),
        (
            TaskFilter {
                statuses: vec![TaskStatus::Success],
                ..any()
            },
            vec![],
        ),
        (
            TaskFilter {
                created_from: Some(chrono::Utc::now() + Duration::from_secs(3600)),
                ..any()
            },
            vec![],
        ),
        (
            TaskFilter {
                created_before: Some(chrono::Utc::now() + Duration::from_secs(3600)),
                ..any()
            },
            vec![held, fails, named, other, plain],
        ),
        (
            TaskFilter {
                ended_from: Some(run.claimed_at - Duration::from_secs(3600)),
                ..any()
            },
            vec![fails],
        ),
        (
            TaskFilter {
                ended_before: Some(run.claimed_at - Duration::from_secs(3600)),
                ..any()
            },
            vec![],
        ),
    ];
    for (filter, expected) in cases {
        assert_eq!(cluster.find(filter.clone()).await, expected, "{filter:?}");
    }
}

/// Each kind of unfinished task lies elsewhere in the database.
#[actix_rt::test]
async fn unfinished_tasks_are_found_wherever_they_lie() {
    use TaskStatus::{Retry, Running, Success, Wait};
    let cluster = Cluster::start().await;
    let waiting = cluster.add(THEME, task("Run")).await;
    let later = chrono::Utc::now() + Duration::from_secs(3600);
    let scheduled = cluster.add(THEME, task("Run").run_at(later)).await;
    let [unseen, done, again, elsewhere] = [
        cluster.add(THEME, task("Run")).await,
        cluster.add(THEME, task("Run")).await,
        cluster.add(THEME, task("Run").max_retry(3)).await,
        cluster.add("other", task("Run")).await,
    ];
    cluster.database.execute(
        "INSERT INTO asynctasks (service_name, method_name, task_name, arg, system_name, task_status) \
         VALUES ('Demo', 'Run', 'by plain SQL', '{}', 'demo', 'Wait')",
    );
    let by_sql = cluster.database.number("SELECT MAX(id) FROM asynctasks");
    for run in cluster.claim(vec![done, again]).await {
        let outcome = match run.id == done {
            true => Outcome::Succeeded(Json::null()),
            false => Outcome::Failed {
                error: "no".to_owned(),
                failure: gaia_actors::Failure::Error,
            },
        };
        cluster.end(&run, outcome).await;
    }
    cluster.claim(vec![unseen]).await;
    let of = |statuses: &[TaskStatus]| TaskFilter {
        statuses: statuses.to_vec(),
        ..TaskFilter::default()
    };
    assert_eq!(cluster.find(of(&[Wait])).await, [by_sql, elsewhere, scheduled, waiting]);
    assert_eq!(cluster.find(of(&[Retry])).await, [again]);
    assert_eq!(cluster.find(of(&[Running])).await, [unseen]);
    assert_eq!(
        cluster.find(of(&[Wait, Retry, Running])).await,
        [by_sql, elsewhere, again, unseen, scheduled, waiting]
    );
    assert_eq!(cluster.find(of(&[Success])).await, [done]);
    let here = TaskFilter {
        themes: vec![THEME.to_owned()],
        ..of(&[Wait, Retry])
    };
    assert_eq!(cluster.find(here).await, [by_sql, again, scheduled, waiting]);
    // Plain SQL, or another framework, has left it without a node.
    cluster.database.execute(&format!(
        "UPDATE asynctasks SET task_status = 'Running' WHERE id = {waiting}"
    ));
    let left = TaskFilter {
        without_node: true,
        ..of(&[Running])
    };
    assert_eq!(cluster.find(left).await, [waiting]);
    // A status that this crate does not know counts as Failed.
    cluster
        .database
        .execute(&format!("UPDATE asynctasks SET task_status = 'Odd' WHERE id = {done}"));
    assert_eq!(cluster.find(of(&[TaskStatus::Failed])).await, [done]);
}

#[actix_rt::test]
async fn a_page_shows_the_beginnings_of_long_texts() {
    let cluster = Cluster::start().await;
    let text = "字".repeat(300_000);
    let id = cluster.add(THEME, task("Run").args(&json!({ "text": text }))).await;
    let run = cluster.claim(vec![id]).await.remove(0);
    cluster.end(&run, failed("short")).await;
    let found = cluster
        .admin()
        .search_tasks(SearchTasks::default())
        .await
        .expect("finds");
    let task = &found.tasks[0];
    assert_eq!(task.args.text.chars().count(), 256);
    assert_eq!((task.args.bytes, task.args.is_cut()), (900_011, true));
    let error = task.last_error.as_ref().expect("has one");
    assert_eq!((error.text.as_str(), error.bytes, error.is_cut()), ("short", 5, false));
    assert_eq!(task.last_result, None);
    let json = serde_json::to_string(&found).expect("is written");
    assert_eq!(serde_json::from_str::<FoundTasks>(&json).expect("is read"), found);
}

#[actix_rt::test]
async fn a_count_ends_at_its_limit() {
    use TaskStatus::{Failed, Retry, Wait};
    let cluster = Cluster::start().await;
    let scheduler = cluster.gaia.scheduler(THEME).expect("is a theme");
    let tasks = (0..300).map(|_| task("Run")).collect();
    scheduler.add_tasks(tasks).await.expect("are added");
    let of = |statuses: &[TaskStatus]| TaskFilter {
        statuses: statuses.to_vec(),
        ..TaskFilter::default()
    };
    // Rows alone decide, claims decide while all rows are read, and the queue names the tasks.
    for filter in [of(&[]), of(&[Wait, Failed]), of(&[Wait, Retry])] {
        for (up_to, expected) in [
            (Some(0), (0, true)),
            (Some(1), (1, true)),
            (Some(299), (299, true)),
            (Some(300), (300, false)),
            (Some(u64::MAX), (300, false)),
            (None, (300, false)),
        ] {
            assert_eq!(
                cluster.count(filter.clone(), up_to).await,
                expected,
                "{filter:?} {up_to:?}"
            );
        }
    }
    assert_eq!(cluster.count(of(&[Failed]), Some(0)).await, (0, false));
    let bad = TaskFilter {
        ids: vec![1; 1_001],
        ..of(&[])
    };
    assert!(refusal(cluster.admin().count_tasks(bad, None).await).contains("1001 ids"));
}

#[actix_rt::test]
async fn an_export_has_whole_texts_in_pages_that_fit() {
    use TaskStatus::{Failed, Running, Wait};
    let cluster = Cluster::start().await;
    let text = "字".repeat(500_000);
    let mut added = Vec::new();
    for _ in 0..5 {
        added.push(cluster.add(THEME, task("Run").args(&json!({ "text": text }))).await);
    }
    let run = cluster.claim(vec![added[4]]).await.remove(0);
    cluster.end(&run, failed("no")).await;
    cluster.claim(vec![added[3]]).await;
    let (mut tasks, mut pages, mut before) = (Vec::new(), Vec::new(), None);
    loop {
        let search = SearchTasks {
            before,
            ..SearchTasks::default()
        };
        let page = cluster.admin().export_tasks(search).await.expect("answers");
        pages.push(page.tasks.len());
        tasks.extend(page.tasks);
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(pages, [2, 2, 1]);
    added.reverse();
    assert_eq!(tasks.iter().map(|task| task.id).collect::<Vec<_>>(), added);
    assert!(tasks.iter().all(|task| task.arg.len() == 1_500_011));
    let statuses: Vec<TaskStatus> = tasks.iter().map(|task| task.status).collect();
    assert_eq!(statuses, [Failed, Running, Wait, Wait, Wait]);
    assert_eq!(tasks[0].last_error.as_deref(), Some("no"));
    assert_eq!(tasks[1].node.as_deref(), Some("a"));
}

#[actix_rt::test]
async fn a_bad_search_is_refused_with_every_fault() {
    let cluster = Cluster::start().await;
    let search = SearchTasks {
        limit: 201,
        filter: TaskFilter {
            themes: vec![String::new()],
            ids: vec![1; 1_001],
            name_contains: Some("x".repeat(256)),
            node: Some("a".to_owned()),
            without_node: true,
            ..TaskFilter::default()
        },
        ..SearchTasks::default()
    };
    let error = refusal(cluster.admin().search_tasks(search).await);
    for fault in [
        "limit is 201",
        "theme of the filter is empty",
        "1001 ids",
        "name_contains",
        "without one",
    ] {
        assert!(error.contains(fault), "{fault}: {error}");
    }
}
