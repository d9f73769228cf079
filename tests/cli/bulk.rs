//! Many tasks at once: what is meant, what is asked, what is done.

use crate::{
    program::Way,
    served::{Served, kinds},
};

/// Adds tasks that wait until the next century.
async fn add(way: &Way, count: usize) -> Vec<String> {
    let task =
        "{\"service\": \"Demo\", \"method\": \"Echo\", \"name\": \"later\", \"run_at\": \"2100-01-01T00:00:00Z\"}\n";
    let added = way
        .fed(&task.repeat(count), &["task", "add", "demo", "--batch", "-"])
        .await;
    assert_eq!(added.code, 0, "{added:?}");
    added.stdout.lines().map(str::to_owned).collect()
}

async fn waiting(way: &Way) -> String {
    way.out(&["task", "list", "status:wait", "--count"]).await
}

#[actix_rt::test]
async fn many_are_changed_by_ids_by_input_and_by_a_line() {
    for kind in kinds() {
        let served = Served::on(kind).await;
        for way in served.ways() {
            let ids = add(&way, 6).await;
            let done = way.ends(0, &["task", "cancel", &ids[0], &ids[1], "--yes"]).await;
            assert!(done.stderr.contains("cancel: 2 tasks."), "{done:?}");
            // Ids as `-o name` writes them.
            let done = way.fed(&ids[2..4].join("\n"), &["task", "cancel", "-", "--yes"]).await;
            assert_eq!(done.code, 0, "{done:?}");
            let done = way
                .ends(
                    0,
                    &[
                        "task",
                        "cancel",
                        "status:wait",
                        "newer:1h",
                        "--yes",
                        "--reason",
                        "the night is over",
                    ],
                )
                .await;
            assert!(done.stderr.contains("cancel: 2 tasks."), "{done:?}");
            assert_eq!(waiting(&way).await, "0\n");
            let done = way
                .ends(0, &["task", "delete", "status:cancelled", "--yes", "-o", "json"])
                .await;
            let operation: serde_json::Value = serde_json::from_str(&done.stdout).expect("is JSON");
            assert_eq!(
                (&operation["state"], &operation["changed"]),
                (&"done".into(), &6.into())
            );
            let shown = way.json(&["operation", "get", &operation["id"].to_string()]).await;
            assert_eq!(shown, operation);
        }
        served.stop().await;
    }
}

#[actix_rt::test]
async fn all_tasks_must_be_meant_in_words() {
    let served = Served::start().await;
    for way in served.ways() {
        add(&way, 2).await;
        let before = waiting(&way).await;
        for words in [
            &["task", "cancel", "--yes"][..],
            &["task", "cancel", "", "--yes"],
            &["task", "cancel", " ", "--yes"],
        ] {
            let refused = way.ends(2, words).await;
            assert!(refused.stderr.contains("--all"), "{refused:?}");
        }
        let both = way.ends(2, &["task", "cancel", "status:wait", "--all", "--yes"]).await;
        assert!(both.stderr.contains("--all means every task"), "{both:?}");
        assert_eq!(waiting(&way).await, before);
        way.ends(0, &["task", "cancel", "--all", "--yes"]).await;
        assert_eq!(waiting(&way).await, "0\n");
    }
    served.stop().await;
}

#[actix_rt::test]
async fn without_a_terminal_nothing_is_done_unless_it_is_said() {
    let served = Served::start().await;
    for way in served.ways() {
        let ids = add(&way, 3).await;
        let before = waiting(&way).await;
        for words in [
            &["task", "cancel", "status:wait"][..],
            &["task", "cancel", &ids[0], &ids[1]],
            &["task", "cancel", "--all"],
        ] {
            // An answer in a pipe is no answer of a person.
            let refused = way.fed("y\n", words).await;
            assert_eq!(refused.code, 2, "{refused:?}");
            assert!(refused.stderr.contains("nothing was done"), "{refused:?}");
        }
        assert_eq!(waiting(&way).await, before);
    }
    served.stop().await;
}

#[actix_rt::test]
async fn a_person_is_shown_what_is_meant_and_asked() {
    let served = Served::start().await;
    for way in served.ways() {
        add(&way, 12).await;
        let no = way.typed(100, "n\n", &["task", "cancel", "status:wait"]).await;
        assert_eq!(no.code, 1, "{no:?}");
        assert!(
            no.stdout.contains("Cancel 12 tasks? [y/N]") && no.stdout.contains("Nothing was done."),
            "{no:?}"
        );
        assert_eq!(no.stdout.matches("Demo.Echo").count(), 10, "ten samples: {no:?}");
        assert_eq!(waiting(&way).await, "12\n");
        let yes = way.typed(100, "y\n", &["task", "cancel", "status:wait"]).await;
        assert_eq!(yes.code, 0, "{yes:?}");
        assert_eq!(waiting(&way).await, "0\n");
    }
    served.stop().await;
}

#[actix_rt::test]
async fn looking_changes_nothing() {
    let served = Served::start().await;
    for way in served.ways() {
        add(&way, 12).await;
        let looked = way.ends(0, &["task", "cancel", "status:wait", "--dry-run"]).await;
        assert!(
            looked
                .stderr
                .contains("Cancel: 12 tasks would be changed; nothing was done."),
            "{looked:?}"
        );
        assert_eq!(looked.stdout.lines().count(), 11, "a head and ten samples: {looked:?}");
        let preview = way.json(&["task", "cancel", "status:wait", "--dry-run"]).await;
        assert_eq!(preview["tasks"], 12);
        assert_eq!(waiting(&way).await, "12\n");

        let other = way
            .ends(4, &["task", "cancel", "status:wait", "--yes", "--expect", "11"])
            .await;
        assert!(
            other
                .stderr
                .contains("12 tasks would be changed, expected 11; nothing was done"),
            "{other:?}"
        );
        assert_eq!(waiting(&way).await, "12\n");
        way.ends(0, &["task", "cancel", "status:wait", "--yes", "--expect", "12"])
            .await;
    }
    served.stop().await;
}

#[actix_rt::test]
async fn a_part_is_told_from_the_whole() {
    let served = Served::start().await;
    for way in served.ways() {
        let ids = add(&way, 2).await;
        let done = way
            .ends(7, &["task", "cancel", &ids[0], &ids[1], "999999", "--yes"])
            .await;
        assert!(
            done.stderr
                .contains("cancel: 2 tasks; left as they were: 1 (not_found)."),
            "{done:?}"
        );
        // None of them may be cancelled any more.
        let none = way.ends(4, &["task", "cancel", &ids[0], &ids[1], "--yes"]).await;
        assert!(none.stderr.contains("nothing was done"), "{none:?}");
    }
    served.stop().await;
}

#[actix_rt::test]
async fn thousands_are_a_durable_operation() {
    let served = Served::start().await;
    for way in served.ways() {
        add(&way, 2_500).await;
        let begun = way
            .ends(
                0,
                &["task", "cancel", "status:wait", "--yes", "--no-wait", "-o", "name"],
            )
            .await;
        let id = begun.stdout.trim().to_owned();
        let ended = way.json(&["operation", "get", &id, "--wait"]).await;
        assert_eq!((&ended["state"], &ended["changed"]), (&"done".into(), &2_500.into()));
        add(&way, 2_500).await;
        let followed = way.ends(0, &["task", "cancel", "status:wait", "--yes"]).await;
        assert!(followed.stderr.contains("cancel: 2500 tasks."), "{followed:?}");
        assert!(way.out(&["operation", "list"]).await.contains("done"));
        way.ends(0, &["operation", "cancel", &id]).await;
    }
    served.stop().await;
}
