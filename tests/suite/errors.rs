//! Errors of tasks in groups.

use gaia_actors::admin::{ErrorsSince, GetErrors};

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
