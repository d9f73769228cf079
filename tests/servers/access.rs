//! Who may do what, and what is said to those who may not.

use std::process::Command;

use gaia_actors::{async_fn, prelude::*};
use serde_json::Value;

use crate::{
    kinds,
    support::{Database, Kind, NodeProcess, THEME, ended, example, options, refusal, task},
};

pub const PASSWORD: &str = "s3cret-w0rd";

/// `url` with another user and password.
pub fn as_user(url: &str, user: &str, password: &str) -> String {
    let (scheme, rest) = url.split_once("://").expect("is a URL");
    let (_, host) = rest.rsplit_once('@').expect("names a user");
    format!("{scheme}://{user}:{password}@{host}")
}

/// A user who may read and write every table of the database, and make none.
pub fn without_create(database: &Database) -> String {
    let (name, user) = (database.name(), format!("u_{}", &database.name()[5..]));
    let sql = match database.kind() {
        #[cfg(feature = "sqlite")]
        Kind::Sqlite => panic!("a file has no users"),
        #[cfg(feature = "postgres")]
        Kind::Postgres => format!(
            "CREATE ROLE {user} LOGIN PASSWORD '{PASSWORD}'; REVOKE CREATE ON SCHEMA public FROM PUBLIC; \
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {user}"
        ),
        #[cfg(feature = "mysql")]
        Kind::Mysql => format!(
            "CREATE USER {user} IDENTIFIED BY '{PASSWORD}'; GRANT SELECT, INSERT, UPDATE, DELETE ON {name}.* TO {user}"
        ),
    };
    let _ = name;
    database.execute(&sql);
    user
}

pub fn drop_user(database: &Database, user: &str) {
    let sql = match database.kind() {
        #[cfg(feature = "postgres")]
        Kind::Postgres => format!("DROP OWNED BY {user}; DROP ROLE {user}"),
        #[cfg(any(feature = "sqlite", feature = "mysql"))]
        _ => format!("DROP USER {user}"),
    };
    database.execute(&sql);
}

#[actix_rt::test]
async fn a_user_who_may_create_nothing_can_work_on_tables_that_are_there() {
    for kind in kinds() {
        let database = Database::of_kind(kind);
        let gaia = database.builder().start().await.expect("starts");
        gaia.stop().await.expect("stops");
        let user = without_create(&database);
        let url = as_user(&database.url(), &user, PASSWORD);
        for migrate in [false, true] {
            let gaia = Gaia::builder()
                .database(&url)
                .migrate(migrate)
                .handler("Demo", "Noop", async_fn(async |_, _: Value| Ok(())))
                .scheduler(options())
                .start()
                .await
                .expect("starts");
            let demo = gaia.scheduler(THEME).expect("is a theme");
            let id = demo.add_task(task("Noop")).await.expect("is added").id;
            assert_eq!(ended(&demo, id).await.status, TaskStatus::Success);
            demo.pause().await.expect("pauses");
            demo.resume().await.expect("resumes");
            gaia.stop().await.expect("stops");
        }
        drop_user(&database, &user);
    }
}

#[actix_rt::test]
async fn a_user_who_may_create_nothing_hears_it_where_there_are_no_tables() {
    for kind in kinds() {
        let database = Database::of_kind(kind);
        let user = without_create(&database);
        let url = as_user(&database.url(), &user, PASSWORD);
        let text = refusal(Gaia::builder().database(&url).start().await);
        assert!(text.contains("cannot migrate the database"), "{text}");
        assert!(text.contains("denied"), "{text}");
        assert!(!text.contains(PASSWORD), "{text}");
        let text = refusal(Gaia::builder().database(&url).migrate(false).start().await);
        assert!(text.contains(&kind.lacks_all()), "{text}");
        drop_user(&database, &user);
    }
}

#[actix_rt::test]
async fn a_wrong_password_and_a_missing_database_are_named_and_no_password_is_shown() {
    for kind in kinds() {
        let database = Database::of_kind(kind);
        let wrong = as_user(&database.url(), "gaia_nobody", PASSWORD);
        let text = refusal(Gaia::builder().database(&wrong).start().await);
        assert!(text.contains("cannot open the database"), "{text}");
        assert!(text.contains("gaia_nobody:***@"), "{text}");
        assert!(text.contains("password") || text.contains("Access denied"), "{text}");
        assert!(!text.contains(PASSWORD), "{text}");

        let missing = database.url().replace(database.name(), "gaia_no_such_database");
        let text = refusal(Gaia::builder().database(&missing).start().await);
        assert!(text.contains("gaia_no_such_database"), "{text}");
        assert!(
            text.to_lowercase().contains("does not exist") || text.contains("Unknown database"),
            "{text}"
        );

        let nobody = as_user(&database.url(), "a", PASSWORD);
        let (scheme, _) = nobody.split_once("://").expect("is a URL");
        let text = refusal(
            Gaia::builder()
                .database(format!("{scheme}://a:{PASSWORD}@127.0.0.1:1/x"))
                .start()
                .await,
        );
        assert!(text.contains("refused"), "{text}");
        assert!(!text.contains(PASSWORD), "{text}");
    }
}

/// Whatever is logged, at the most talkative level, by us and by the drivers.
#[actix_rt::test]
async fn no_password_gets_into_a_log() {
    for kind in kinds() {
        let database = Database::of_kind(kind);
        let gaia = database.builder().start().await.expect("starts");
        gaia.stop().await.expect("stops");
        let user = without_create(&database);
        let good = as_user(&database.url(), &user, PASSWORD);
        let log = database.file("log");
        for url in [good.clone(), as_user(&good, "gaia_nobody", PASSWORD)] {
            let mut node = Command::new(example("node"))
                .env("DATABASE_URL", &url)
                .env("RUST_LOG", "trace")
                .stdout(std::process::Stdio::null())
                .stderr(std::fs::File::create(&log).expect("is made"))
                .spawn()
                .expect("starts");
            actix_rt::time::sleep(std::time::Duration::from_secs(1)).await;
            // One of the two has ended by itself.
            let _ = node.kill();
            node.wait().expect("ends");
            let text = std::fs::read_to_string(&log).expect("is text");
            assert!(text.len() > 100, "it logs nothing: {text}");
            assert!(!text.contains(PASSWORD), "the log shows the password");
        }
        drop_user(&database, &user);
    }
}

#[actix_rt::test]
async fn a_pool_that_is_too_small_says_so() {
    for kind in kinds() {
        let database = Database::of_kind(kind);
        let url = database.url_with("pool_size=1&pool_timeout=300");
        let gaia = Gaia::builder().database(url).start().await.expect("starts");
        let demo = gaia.scheduler(THEME).expect("is a theme");
        let mut ids = Vec::new();
        for _ in 0..30 {
            ids.push(demo.add_task(task("Noop")).await.expect("is added").id);
        }
        // Somebody holds all the rows, so the only connection waits.
        let lock = crate::conflicts::Holder::of(&database, "UPDATE asynctasks SET task_name = 'held'").await;
        let waiting = demo.clone();
        let first = ids[0];
        let cancel = actix_rt::spawn(async move { waiting.cancel_task(first).await });
        actix_rt::time::sleep(std::time::Duration::from_millis(100)).await;
        let text = refusal(demo.count_by_status().await);
        assert!(
            text.contains("no database connection was free within 300ms: all 1 are in use"),
            "{text}"
        );
        assert!(text.contains("raise pool_size"), "{text}");
        lock.release().await;
        cancel.await.expect("joins").expect("is cancelled");
        gaia.stop().await.expect("stops");
    }
}

/// Many more operations at once than connections: they take turns, and nothing hangs.
#[actix_rt::test]
async fn a_pool_of_one_serves_everybody_in_turn() {
    for kind in kinds() {
        let database = Database::of_kind(kind);
        let url = database.url_with("pool_size=1");
        let node = NodeProcess::start(&database, &[("DATABASE_URL", url.as_str()), ("WORKERS", "50")]);
        let gaia = Gaia::builder().database(url).start().await.expect("starts");
        let demo = gaia.scheduler(THEME).expect("is a theme");
        let adds = (0..200).map(|_| demo.add_task(task("Noop")));
        for added in futures_util::future::join_all(adds).await {
            let id = added.expect("is added").id;
            assert_eq!(ended(&demo, id).await.status, TaskStatus::Success);
        }
        assert_eq!(node.stop(), Some(0));
        gaia.stop().await.expect("stops");
    }
}
