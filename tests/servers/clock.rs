//! Machines whose clocks disagree.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use gaia_actors::{Clock, async_fn, prelude::*};
use serde_json::Value;

use crate::{
    kinds,
    support::{Database, THEME, ended, options, task},
};

#[actix_rt::test]
async fn a_node_whose_clock_is_an_hour_off_is_alive_and_runs_nothing_early() {
    for (kind, skew) in kinds().into_iter().flat_map(|kind| [(kind, 1), (kind, -1)]) {
        let database = Database::of_kind(kind);
        let good = database
            .builder()
            .lease(Duration::from_secs(2))
            .start()
            .await
            .expect("starts");
        let wrong = database
            .builder()
            .lease(Duration::from_secs(2))
            .clock(Clock::skewed(TimeDelta::hours(skew)))
            .handler("Demo", "Noop", async_fn(async |_, _: Value| Ok(())))
            .scheduler(options())
            .start()
            .await
            .expect("starts");
        let demo = good.scheduler(THEME).expect("is a theme");
        let later = task("Noop").run_at(Utc::now() + TimeDelta::minutes(30));
        let later = demo.add_task(later).await.expect("is added").id;
        let soon = task("Noop").run_at(Utc::now() + TimeDelta::seconds(2));
        let soon = demo.add_task(soon).await.expect("is added");
        let done = ended(&demo, soon.id).await;
        assert_eq!(done.status, TaskStatus::Success);
        let began = done.last_run_time.expect("ran");
        assert!((Utc::now() - began).num_seconds().abs() < 60, "began at {began}");

        // Longer than a lease: neither takes the other for dead.
        actix_rt::time::sleep(Duration::from_secs(4)).await;
        let nodes = wrong.nodes().await.expect("lists");
        assert_eq!(nodes.len(), 2, "{nodes:?}");
        assert!(nodes.iter().all(|node| node.alive), "{nodes:?}");
        let waits = demo.get_task_detail(later).await.expect("is there");
        assert_eq!(waits.status, TaskStatus::Wait);
        let from_wrong = wrong.scheduler(THEME).expect("is a theme").add_task(task("Noop")).await;
        let added = ended(&demo, from_wrong.expect("is added").id).await;
        let age = Utc::now() - added.create_time.expect("has one");
        assert!(age.num_seconds().abs() < 60, "was added {age} ago");
        wrong.stop().await.expect("stops");
        good.stop().await.expect("stops");
    }
}
