//! Settings that administrators choose for their servers and databases, and what URLs ask of them.

use gaia_actors::{async_fn, prelude::*};
use serde_json::Value;

use crate::{
    access::{as_user, drop_user},
    kinds,
    support::{Database, Kind, THEME, ended, example, execute, options, refusal, task},
};

/// A node that runs one task, from its start to its stop.
async fn works(url: &str) {
    let gaia = Gaia::builder()
        .database(url)
        .arbiters(1)
        .handler("Demo", "Echo", async_fn(async |_, text: String| Ok(text)))
        .scheduler(options())
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let id = demo.add_task(task("Echo").args(&"报表 🎉")).await.expect("is added").id;
    let task = ended(&demo, id).await;
    assert_eq!(
        (task.status, task.last_result.as_deref()),
        (TaskStatus::Success, Some("\"报表 🎉\""))
    );
    gaia.stop().await.expect("stops");
}

/// Marks that end a part of a URL, and one that begins an escape.
const ODD: &str = "s3?cr@t/w#rd%41";
const ODD_ESCAPED: &str = "s3%3Fcr%40t%2Fw%23rd%2541";

#[actix_rt::test]
async fn odd_passwords_are_taken_and_not_shown() {
    for kind in kinds() {
        let database = Database::of_kind(kind);
        let user = format!("o_{}", &database.name()[5..]);
        let name = database.name();
        database.execute(&match kind {
            #[cfg(feature = "sqlite")]
            Kind::Sqlite => panic!("a file has no users"),
            #[cfg(feature = "postgres")]
            Kind::Postgres => format!(
                "CREATE ROLE {user} LOGIN PASSWORD '{ODD}'; GRANT ALL ON SCHEMA public TO {user}; \
                GRANT ALL ON DATABASE {name} TO {user}"
            ),
            #[cfg(feature = "mysql")]
            Kind::Mysql => format!("CREATE USER {user} IDENTIFIED BY '{ODD}'; GRANT ALL ON {name}.* TO {user}"),
        });
        works(&as_user(&database.url(), &user, ODD_ESCAPED)).await;
        let wrong = as_user(&database.url(), &user, &format!("{ODD_ESCAPED}x"));
        let text = refusal(Gaia::builder().database(wrong).start().await);
        assert!(text.contains(&format!("{user}:***@")), "{text}");
        assert!(
            !text.contains("s3") && !text.contains("w#rd") && !text.contains("rd%2541"),
            "{text}"
        );
        drop_user(&database, &user);
    }
}

/// A note about progress, longer than its column is on MySQL.
#[actix_rt::test]
async fn long_notes_end_with_a_sign_that_they_were_cut() {
    for kind in kinds() {
        let database = Database::of_kind(kind);
        let noting = async_fn(async |ctx: TaskContext, _: Value| {
            ctx.progress(50, "报".repeat(40_000));
            Ok(())
        });
        let gaia = database.builder().handler("Demo", "Note", noting).scheduler(options());
        let gaia = gaia.start().await.expect("starts");
        let demo = gaia.scheduler(THEME).expect("is a theme");
        let id = demo.add_task(task("Note")).await.expect("is added").id;
        let note = ended(&demo, id).await.progress_note.expect("is kept");
        assert!(note.starts_with('报') && note.len() <= 65_535, "{}", note.len());
        assert!(
            note.ends_with("… [cut: 120000 bytes in all]"),
            "{}",
            &note[note.len() - 60..]
        );
        gaia.stop().await.expect("stops");
    }
}

/// By the example, which logs to its standard error.
#[actix_rt::test]
async fn parameters_without_a_meaning_here_are_named_in_one_warning() {
    for kind in kinds() {
        let database = Database::of_kind(kind);
        let log = database.file("log");
        let mut node = std::process::Command::new(example("node"))
            .env("DATABASE_URL", database.url_with("charset=utf8mb4&encoding=utf8"))
            .env("RUST_LOG", "warn")
            .stdout(std::process::Stdio::null())
            .stderr(std::fs::File::create(&log).expect("is made"))
            .spawn()
            .expect("starts");
        let told = "parameters of the database URL that have no effect here, and are ignored: charset, encoding";
        crate::support::eventually("the warning", async || {
            let text = std::fs::read_to_string(&log).expect("is text");
            (text.matches(told).count() == 1).then_some(())
        })
        .await;
        node.kill().expect("is ours");
        node.wait().expect("ends");
    }
}

#[cfg(feature = "postgres")]
#[actix_rt::test]
async fn databases_that_cannot_hold_every_character_are_refused() {
    if !Kind::Postgres.has_server() {
        return;
    }
    let admin = Kind::Postgres.admin_url();
    for encoding in ["LATIN1", "SQL_ASCII"] {
        let name = format!("gaia_{:012x}", fastrand::u64(..1 << 48));
        execute(
            Kind::Postgres,
            &admin,
            &format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'"),
        );
        let refused = Gaia::builder()
            .database(crate::support::named(&admin, &name))
            .start()
            .await;
        assert!(
            matches!(&refused, Err(Error::Store(gaia_actors::StoreError::Encoding { found, .. })) if found == encoding),
            "{refused:?}"
        );
        assert!(refusal(refused).contains("UTF8"));
        execute(Kind::Postgres, &admin, &format!("DROP DATABASE {name} WITH (FORCE)"));
    }
}

#[cfg(feature = "mysql")]
mod mysql {
    use super::*;
    use crate::private::Private;

    /// What an administrator may set for people's sessions, for new tables, and for replicas.
    #[actix_rt::test]
    async fn settings_for_people_and_replicas_do_not_stop_a_node() {
        if !Kind::Mysql.has_server() {
            return;
        }
        let server = Private::server(
            Kind::Mysql,
            &[
                "--",
                "--log-bin=binlog",
                "--binlog-format=STATEMENT",
                "--innodb-default-row-format=compact",
                "--autocommit=0",
                "--sql-mode=ANSI",
                "--completion-type=CHAIN",
                "--init-connect=SET sql_safe_updates=1, sql_select_limit=1, autocommit=0",
            ],
        );
        works(&server.url).await;
        // The server skips init_connect for users with all rights, not for this one.
        execute(
            Kind::Mysql,
            &server.url,
            "CREATE USER plain IDENTIFIED BY 'plain'; GRANT ALL ON mysql.* TO plain; CREATE DATABASE ours; GRANT ALL ON ours.* TO plain; COMMIT",
        );
        let plain = as_user(&crate::support::named(&server.url, "ours"), "plain", "plain");
        let text = refusal(Gaia::builder().database(&plain).start().await);
        assert!(text.contains("set binlog_format to MIXED or ROW"), "{text}");
        execute(Kind::Mysql, &server.url, "GRANT BINLOG ADMIN ON *.* TO plain");
        works(&plain).await;
    }

    /// Tables of the guide that were made on an old server.
    #[actix_rt::test]
    async fn tables_with_short_keys_are_widened() {
        if !Kind::Mysql.has_server() {
            return;
        }
        let guide = include_str!("../../migrations/mysql/2026-11-22-000001_guide_tables/up.sql");
        for format in ["COMPACT", "REDUNDANT"] {
            let database = Database::of_kind(Kind::Mysql);
            database.execute(guide);
            for table in ["asynctasks", "asynctask_exec_row", "job_center"] {
                database.execute(&format!("ALTER TABLE {table} ROW_FORMAT={format}"));
            }
            works(&database.url()).await;
        }
    }

    /// Where this machine has IPv6.
    #[actix_rt::test]
    async fn a_server_is_reached_by_its_ipv6_address() {
        if !Kind::Mysql.has_server() || std::net::TcpListener::bind("[::1]:0").is_err() {
            return;
        }
        let server = Private::server(Kind::Mysql, &["--", "--bind-address=::1"]);
        works(&server.url.replace("127.0.0.1", "[::1]")).await;
    }

    #[actix_rt::test]
    async fn encryption_is_preferred_and_done_without() {
        if !Kind::Mysql.has_server() {
            return;
        }
        for mode in ["PREFERRED", "DISABLED"] {
            let database = Database::of_kind(Kind::Mysql);
            works(&database.url_with(&format!("ssl-mode={mode}"))).await;
        }
    }
}
