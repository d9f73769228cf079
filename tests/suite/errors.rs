//! Errors of tasks in groups.

use gaia_actors::admin::{ErrorAttempts, ErrorsSince, GetErrors};

use crate::support::{Database, THEME, refusal, task};

#[actix_rt::test]
async fn errors_that_differ_in_numbers_and_quoted_parts_are_one_group() {
    let database = Database::fresh();
    let gaia = database.builder().start().await.expect("starts");
    let scheduler = gaia.scheduler(THEME).expect("is a theme");
    // Another program has run them.
    let ended = async |method: &str, status: &str, error: &str, seconds_ago: i32| {
        let id = scheduler.add_task(task(method)).await.expect("is added").id;
        let (now, error) = (database.in_seconds(-seconds_ago), error.replace('\'', "''"));
        database.execute(&format!(
            "UPDATE asynctasks SET task_status = '{status}', last_err_msg = '{error}', last_run_end_time = {now} WHERE id = {id}"
        ));
        id
    };
    let mut orders = Vec::new();
    for n in 0..5 {
        let status = if n == 3 { "Retry" } else { "Failed" };
        orders.push(
            ended(
                "Create",
                status,
                &format!("order {n} of 'user {n}' is unknown"),
                600 - n,
            )
            .await,
        );
    }
    let late = ended("Create", "Failed", "connection refused", 60).await;
    let other = ended("Cancel", "Failed", "order 7 of 'user 8' is unknown", 60).await;
    ended("Create", "Failed", "from before", 7_200).await;
    // These have ended well, or have not run yet.
    ended("Create", "Success", "order 9 of 'user 9' is unknown", 60).await;
    scheduler.add_task(task("Create")).await.expect("is added");

    let admin = gaia.admin();
    let get = |since, limit| GetErrors {
        since,
        limit,
        ..GetErrors::new(THEME)
    };
    let errors = admin.errors(get(ErrorsSince::Hour, 50)).await.expect("answers");
    assert_eq!(
        (errors.tasks, errors.more_groups, errors.searched_back_to),
        (7, 0, None)
    );
    let groups: Vec<_> = errors
        .groups
        .iter()
        .map(|group| (group.method.as_str(), group.error.as_str(), group.tasks, group.retrying))
        .collect();
    let unknown = "order … of … is unknown";
    assert_eq!(groups[0], ("Create", unknown, 5, 1));
    assert!(
        groups[1..].contains(&("Create", "connection refused", 1, 0)),
        "{groups:?}"
    );
    assert!(groups[1..].contains(&("Cancel", unknown, 1, 0)), "{groups:?}");
    let group = &errors.groups[0];
    assert_eq!(group.newest, [orders[4], orders[3], orders[2]]);
    let sample = group.sample.as_ref().expect("has one");
    assert_eq!(sample.text, "order 4 of 'user 4' is unknown");
    let took = group
        .last
        .zip(group.first)
        .map(|(last, first)| (last - first).num_seconds());
    assert!(took.is_some_and(|seconds| (3..60).contains(&seconds)), "{group:?}");
    let newest: Vec<i64> = errors.groups[1..]
        .iter()
        .flat_map(|group| group.newest.clone())
        .collect();
    assert!(newest.contains(&late) && newest.contains(&other), "{newest:?}");

    let day = admin.errors(get(ErrorsSince::Day, 1)).await.expect("answers");
    assert_eq!((day.tasks, day.groups.len(), day.more_groups), (8, 1, 3));
    let none = admin.errors(GetErrors::new("other")).await.expect("answers");
    assert_eq!((none.tasks, none.groups), (0, Vec::new()));
    let error = refusal(
        admin
            .errors(GetErrors {
                limit: 201,
                ..GetErrors::new("")
            })
            .await,
    );
    assert!(
        error.contains("theme is empty") && error.contains("limit is 201"),
        "{error}"
    );
}

#[actix_rt::test]
async fn attempts_that_a_retry_made_good_are_found_if_all_are_asked_for() {
    let database = Database::fresh();
    let gaia = database.builder().start().await.expect("starts");
    let scheduler = gaia.scheduler(THEME).expect("is a theme");
    // Another program has run them: each attempt with the status of its task behind it, its error, and how long ago it ended.
    let ran = async |theme: &str, status: &str, attempts: &[(&str, Option<&str>, i32)]| {
        let id = gaia
            .scheduler(theme)
            .expect("is a theme")
            .add_task(task("Create"))
            .await;
        let id = id.expect("is added").id;
        database.execute(&format!(
            "UPDATE asynctasks SET task_status = '{status}' WHERE id = {id}"
        ));
        for (status, error, seconds_ago) in attempts {
            let error = error.map_or_else(|| "NULL".to_owned(), |error| format!("'{error}'"));
            database.execute(&format!(
                "INSERT INTO asynctask_exec_row (task_id, task_status, last_err_msg, last_run_end_time) \
                 VALUES ({id}, '{status}', {error}, {})",
                database.in_seconds(-seconds_ago)
            ));
        }
        id
    };
    let refused = |n: u32| format!("refused {n} times");
    let (one, two) = (refused(1), refused(2));
    let attempts = [
        ("Retry", Some(one.as_str()), 300),
        ("Retry", Some(two.as_str()), 200),
        ("Success", None, 100),
    ];
    let made_good = ran(THEME, "Success", &attempts).await;
    let retrying = ran(THEME, "Retry", &[("Retry", None, 90), ("Retry", Some(&one), 80)]).await;
    let failed = ran(
        THEME,
        "Failed",
        &[("Retry", Some("from before"), 7_200), ("Failed", None, 70)],
    )
    .await;
    ran("other", "Failed", &[("Failed", Some(&one), 60)]).await;
    scheduler.add_task(task("Create")).await.expect("is added");

    let get = GetErrors {
        since: ErrorsSince::Hour,
        attempts: ErrorAttempts::All,
        ..GetErrors::new(THEME)
    };
    let errors = gaia.admin().errors(get.clone()).await.expect("answers");
    assert_eq!((errors.tasks, errors.searched_back_to), (3, None));
    let groups: Vec<_> = errors
        .groups
        .iter()
        .map(|group| {
            let counts = [group.attempts, group.tasks, group.succeeded, group.retrying];
            (group.error.as_str(), counts, group.newest.as_slice())
        })
        .collect();
    let expected = [
        ("refused … times", [3, 2, 1, 1], &[retrying, made_good][..]),
        ("", [1, 1, 0, 0], &[failed]),
    ];
    assert_eq!(groups, expected);

    // More than one page of attempts, in windows of tasks.
    let values: Vec<String> = (0..2_500)
        .map(|_| format!("({retrying}, 'Retry', 'many', {})", database.in_seconds(-50)))
        .collect();
    for values in values.chunks(500) {
        let values = values.join(", ");
        database.execute(&format!(
            "INSERT INTO asynctask_exec_row (task_id, task_status, last_err_msg, last_run_end_time) VALUES {values}"
        ));
    }
    let errors = gaia.admin().errors(get).await.expect("answers");
    let many = &errors.groups[0];
    assert_eq!((many.error.as_str(), many.attempts, many.tasks), ("many", 2_500, 1));
    gaia.stop().await.expect("stops");
}
