//! Servers that give no more connections.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use gaia_actors::{StoreError, async_fn, prelude::*};
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::{
    access::{PASSWORD, as_user, drop_user, without_create},
    connections::limit,
    kinds,
    private::Private,
    support::{Database, Kind, PATIENCE, THEME, ended, eventually, options, refusal, task},
};

/// A database with its tables, and the URL of a user who may have so many connections to it.
async fn limited(kind: Kind, connections: usize) -> (Database, String, String) {
    let database = Database::of_kind(kind);
    let gaia = database.builder().start().await.expect("starts");
    gaia.stop().await.expect("stops");
    let user = without_create(&database);
    limit(&database, &user, connections);
    let url = as_user(&database.url(), &user, PASSWORD);
    (database, user, url)
}

#[actix_rt::test]
async fn callers_wait_for_the_connections_that_the_server_has_given() {
    for kind in kinds() {
        let (database, user, url) = limited(kind, 4).await;
        let gaia = Gaia::builder()
            .database(url)
            .handler("Demo", "Noop", async_fn(async |_, _: Value| Ok(())))
            .scheduler(options())
            .start()
            .await
            .expect("starts");
        let demo = gaia.scheduler(THEME).expect("is a theme");
        let callers = (0..50).map(|caller| {
            let demo = demo.clone();
            async move {
                for at in 0..20 {
                    // With a key it shares no insert with others.
                    let task = task("Noop").unique_key(format!("{caller} {at}"));
                    demo.add_task(task).await.expect("is added");
                }
            }
        });
        join_all(callers).await;
        eventually("all runs", async || {
            let counts = demo.count_by_status().await.expect("counts");
            (counts[&TaskStatus::Success] == 1_000).then_some(())
        })
        .await;
        let status = demo.status().await.expect("answers");
        assert_eq!(status.database_errors, 0, "{kind:?}");
        gaia.stop().await.expect("stops");
        drop_user(&database, &user);
    }
}

/// What a node needs to start, as docs/configuration.md says: two connections, and one that is left to others.
#[actix_rt::test]
async fn a_start_waits_for_connections_and_says_what_it_lacks() {
    for kind in kinds() {
        let (database, user, url) = limited(kind, 2).await;
        let start = |timeout: u32| {
            let gaia = Gaia::builder().database(format!("{url}?start_timeout={timeout}ms"));
            gaia.arbiters(1).start()
        };
        let refused = start(300).await;
        assert!(
            matches!(&refused, Err(Error::Store(StoreError::ServerFull { .. }))),
            "{refused:?}"
        );
        let text = refusal(refused);
        assert!(text.contains("gave no connection within 300ms"), "{text}");
        assert!(text.contains("a node needs two"), "{text}");
        assert!(!text.contains(PASSWORD), "{text}");

        let waiting = actix_rt::spawn(start(60_000));
        limit(&database, &user, 3);
        let gaia = waiting.await.expect("joins").expect("starts");
        gaia.stop().await.expect("stops");
        drop_user(&database, &user);
    }
}

/// Not all of ten nodes run at once. Those that run lack nothing, the others wait, and run when there is room.
#[actix_rt::test]
async fn nodes_that_find_no_room_wait_and_take_nothing_from_those_that_run() {
    for kind in kinds() {
        let server = Private::server(kind, &["--", most_connections(kind)]);
        let first = Gaia::builder()
            .database(&server.url)
            .start()
            .await
            .expect("makes tables");
        first.stop().await.expect("stops");
        let (running, leave) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
        let nodes = (0..10).map(|node| {
            // A process has one scheduler of a theme.
            let theme = format!("demo {node}");
            let url = format!("{}?start_timeout=5m", server.url);
            let (running, leave) = (Arc::clone(&running), Arc::clone(&leave));
            actix_rt::spawn(async move {
                let gaia = Gaia::builder()
                    .database(url)
                    .arbiters(1)
                    .handler("Demo", "Noop", async_fn(async |_, _: Value| Ok(())))
                    .scheduler(SchedulerOptions::new(theme.clone()))
                    .start()
                    .await
                    .expect("starts in the end");
                running.fetch_add(1, Ordering::SeqCst);
                let demo = gaia.scheduler(&theme).expect("is a theme");
                while leave.try_acquire().map(tokio::sync::SemaphorePermit::forget).is_err() {
                    let id = demo.add_task(task("Noop")).await.expect("is added").id;
                    assert_eq!(ended(&demo, id).await.status, TaskStatus::Success);
                    actix_rt::time::sleep(Duration::from_millis(50)).await;
                }
                let status = demo.status().await.expect("answers");
                assert_eq!(status.database_errors, 0);
                gaia.stop().await.expect("stops");
            })
        });
        let nodes: Vec<_> = nodes.collect();
        for least in 5..=10 {
            eventually("one more node", async || {
                (running.load(Ordering::SeqCst) >= least).then_some(())
            })
            .await;
            leave.add_permits(1);
        }
        leave.add_permits(10);
        let ends = tokio::time::timeout(PATIENCE, join_all(nodes)).await;
        for end in ends.expect("all come to their end") {
            end.expect("does not panic");
        }
    }
}

fn most_connections(kind: Kind) -> &'static str {
    match kind {
        #[cfg(feature = "sqlite")]
        Kind::Sqlite => panic!("a file has no connections"),
        #[cfg(feature = "postgres")]
        Kind::Postgres => "-cmax_connections=20",
        #[cfg(feature = "mysql")]
        Kind::Mysql => "--max-connections=20",
    }
}
