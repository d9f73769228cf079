//! Adding tasks on connections of the caller's: of every kind that applications have, and only to the Gaia's own database.

use diesel_async::{
    AsyncConnection, RunQueryDsl, SimpleAsyncConnection,
    pooled_connection::{AsyncDieselConnectionManager as Manager, bb8, deadpool, mobc},
};
use gaia_actors::{EnqueueConnection, Error, StoreError, async_fn, prelude::*};
use serde_json::Value;

#[cfg(feature = "mysql")]
use crate::support::of_driver;
use crate::support::{Database, Kind, THEME, ended, eventually, options, refusal, task};

#[cfg(feature = "sqlite")]
type Sqlite = diesel_async::sync_connection_wrapper::SyncConnectionWrapper<diesel::SqliteConnection>;

/// More tasks than one statement takes.
const MANY: usize = 1_050;

/// Runs the body with `$Conn` as the connection type of diesel-async for the database, and its address.
macro_rules! on_database {
    ($database:expr, |$Conn:ident, $address:ident| $body:expr) => {
        match $database.kind() {
            #[cfg(feature = "sqlite")]
            Kind::Sqlite => {
                type $Conn = Sqlite;
                let $address = $database.path().to_string_lossy().into_owned();
                $body
            }
            #[cfg(feature = "postgres")]
            Kind::Postgres => {
                type $Conn = diesel_async::AsyncPgConnection;
                let $address = $database.url();
                $body
            }
            #[cfg(feature = "mysql")]
            Kind::Mysql => {
                type $Conn = diesel_async::AsyncMysqlConnection;
                let $address = of_driver(&$database.url());
                $body
            }
        }
    };
}

async fn shop(database: &Database) -> (Gaia, Scheduler) {
    let gaia = database
        .builder()
        .handler("Demo", "Noop", async_fn(async |_, _: Value| Ok(())))
        .scheduler(options())
        .start()
        .await
        .expect("starts");
    let demo = gaia.scheduler(THEME).expect("is a theme");
    database.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)");
    (gaia, demo)
}

/// The actors write to the same file.
async fn prepare(database: &Database, conn: &mut impl SimpleAsyncConnection) {
    if !database.is_on_a_server() {
        conn.batch_execute("PRAGMA busy_timeout = 20000").await.expect("is set");
    }
}

/// Adds tasks beside an order in a transaction that commits, and in one that rolls back.
async fn places_orders<C>(demo: &Scheduler, conn: &mut C, order: i32)
where
    C: AsyncConnection + EnqueueConnection,
    diesel::query_builder::SqlQuery: diesel::query_builder::QueryFragment<C::Backend>,
{
    let places = async |conn: &mut C, commits: bool| {
        conn.transaction::<_, diesel::result::Error, _>(async |conn| {
            let insert = format!("INSERT INTO orders (id) VALUES ({order})");
            diesel::sql_query(insert).execute(conn).await?;
            let added = demo.add_task_on(conn, task("Noop")).await.expect("is added");
            let keyed = || task("Noop").unique_key(format!("order {order}"));
            let tasks = vec![task("Noop"), keyed(), keyed(), task("Noop").priority(3)];
            let more = demo.add_tasks_on(conn, tasks).await.expect("are added");
            let duplicates: Vec<bool> = more.iter().map(|task| task.duplicate).collect();
            assert_eq!(duplicates, [false, false, true, false]);
            match commits {
                true => Ok(added.id),
                false => Err(diesel::result::Error::RollbackTransaction),
            }
        })
        .await
    };
    places(conn, false).await.expect_err("is rolled back");
    let id = places(conn, true).await.expect("commits");
    demo.task_quick_queue(id);
    assert_eq!(ended(demo, id).await.status, TaskStatus::Success);
}

#[actix_rt::test]
async fn every_kind_of_connection_adds_tasks_in_its_transaction() {
    let database = Database::fresh();
    let (gaia, demo) = shop(&database).await;
    on_database!(database, |Conn, address| {
        let mut conn = Conn::establish(&address).await.expect("connects");
        prepare(&database, &mut conn).await;
        places_orders(&demo, &mut conn, 1).await;
        places_orders(&demo, &mut &mut conn, 2).await;

        let pool = deadpool::Pool::builder(Manager::<Conn>::new(&address))
            .max_size(1)
            .build();
        let mut conn = pool.expect("is a pool").get().await.expect("connects");
        prepare(&database, &mut conn).await;
        places_orders(&demo, &mut conn, 3).await;

        let pool = bb8::Pool::builder()
            .max_size(1)
            .build(Manager::<Conn>::new(&address))
            .await;
        let pool = pool.expect("is a pool");
        let mut conn = pool.get().await.expect("connects");
        prepare(&database, &mut conn).await;
        places_orders(&demo, &mut conn, 4).await;

        let pool = mobc::Pool::builder().max_open(1).build(Manager::<Conn>::new(&address));
        let mut conn = pool.get().await.expect("connects");
        prepare(&database, &mut conn).await;
        places_orders(&demo, &mut conn, 5).await;
    });
    assert_eq!(database.number("SELECT COUNT(*) FROM orders"), 5);
    assert_eq!(database.number("SELECT COUNT(*) FROM asynctasks"), 5 * 4);
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn many_tasks_of_a_transaction_run_once_it_commits() {
    let database = Database::fresh();
    let (gaia, demo) = shop(&database).await;
    let tasks = || vec![task("Noop"); MANY];
    on_database!(database, |Conn, address| {
        let conn = &mut Conn::establish(&address).await.expect("connects");
        prepare(&database, conn).await;
        let add = conn.transaction::<_, diesel::result::Error, _>(async |conn| {
            Ok(demo.add_tasks_on(conn, tasks()).await.expect("are added"))
        });
        let added = add.await.expect("commits");
        assert!(added.is_sorted_by(|a, b| a.id < b.id));
        assert_eq!(added.len(), MANY);

        assert_eq!(demo.add_tasks_on(conn, Vec::new()).await.expect("are none"), []);
        let text = refusal(demo.add_tasks_on(conn, vec![task("Noop"), task("")]).await);
        assert!(
            text.contains("task 1 of the list") && text.contains("method is empty"),
            "{text}"
        );
        let text = refusal(demo.add_tasks_on(conn, vec![task("Noop"); 100_001]).await);
        assert!(text.contains("100001 tasks at once"), "{text}");
    });
    eventually("all have ended well", async || {
        let counts = demo.count_by_status().await.expect("are counted");
        (counts.get(&TaskStatus::Success) == Some(&1_050)).then_some(())
    })
    .await;
    gaia.stop().await.expect("stops");
}

/// The reason for which a task was refused on a connection to another database.
fn other<T: std::fmt::Debug>(added: Result<T, Error>) -> String {
    match added {
        Err(Error::Store(StoreError::OtherDatabase { reason, .. })) => reason,
        added => panic!("expected a refusal of the connection, got {added:?}"),
    }
}

#[actix_rt::test]
async fn a_connection_to_another_database_is_noticed() {
    let [database, elsewhere, bare] = [(); 3].map(|()| Database::fresh());
    let (gaia, demo) = shop(&database).await;
    let (other_gaia, _) = shop(&elsewhere).await;
    on_database!(elsewhere, |Conn, address| {
        let conn = &mut Conn::establish(&address).await.expect("connects");
        prepare(&database, conn).await;
        conn.batch_execute("BEGIN").await.expect("begins");
        let text = other(demo.add_task_on(conn, task("Noop")).await);
        assert!(text.contains("it leads to the database"), "{text}");
        conn.batch_execute("ROLLBACK").await.expect("rolls back");
        assert_eq!(elsewhere.number("SELECT COUNT(*) FROM asynctasks"), 0);
        let error = demo
            .add_tasks_on(conn, vec![task("Noop"); 2])
            .await
            .expect_err("is refused");
        let text = error.to_string();
        assert!(
            text.contains("give add_task_on a connection to that database"),
            "{text}"
        );
    });
    on_database!(bare, |Conn, address| {
        let conn = &mut Conn::establish(&address).await.expect("connects");
        let text = other(demo.add_task_on(conn, task("Noop")).await);
        assert!(text.contains("tables of gaia-actors are not there"), "{text}");
    });
    #[cfg(feature = "sqlite")]
    if database.is_on_a_server() {
        let conn = &mut Sqlite::establish(":memory:").await.expect("opens");
        let text = other(demo.add_task_on(conn, task("Noop")).await);
        assert_eq!(text, "it is a connection to SQLite");
    }
    assert_eq!(database.number("SELECT COUNT(*) FROM asynctasks"), 0);
    gaia.stop().await.expect("stops");
    other_gaia.stop().await.expect("stops");
}

/// Tests of applications empty all tables.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
#[actix_rt::test]
async fn a_database_that_has_lost_its_name_takes_tasks() {
    let database = &Database::fresh();
    #[cfg(feature = "mysql")]
    if database.kind() == Kind::Mysql {
        return;
    }
    let (gaia, demo) = shop(database).await;
    database.execute("DELETE FROM gaia_database");
    let later = database.builder().start().await.expect("starts");
    let later_demo = later.scheduler(THEME).expect("is a theme");
    on_database!(database, |Conn, address| {
        let conn = &mut Conn::establish(&address).await.expect("connects");
        prepare(database, conn).await;
        for handle in [&demo, &later_demo] {
            let added = handle.add_task_on(conn, task("Noop")).await.expect("is added");
            ended(&demo, added.id).await;
        }
    });
    later.stop().await.expect("stops");
    gaia.stop().await.expect("stops");
}

#[cfg(feature = "sqlite")]
mod blocking {
    use diesel::{
        Connection, RunQueryDsl, SqliteConnection,
        connection::{LoadConnection, SimpleConnection},
        r2d2,
    };
    use gaia_actors::{AddedTask, BlockingEnqueueConnection};

    use super::*;

    fn places_orders<C>(demo: &Scheduler, conn: &mut C, order: i32) -> AddedTask
    where
        C: LoadConnection<Backend = diesel::sqlite::Sqlite> + BlockingEnqueueConnection,
    {
        let mut places = |commits: bool| {
            conn.transaction(|conn| {
                let insert = format!("INSERT INTO orders (id) VALUES ({order})");
                diesel::sql_query(insert).execute(conn)?;
                let added = demo.blocking_add_task_on(conn, task("Noop")).expect("is added");
                let keyed = || task("Noop").unique_key(format!("order {order}"));
                let more = demo.blocking_add_tasks_on(conn, vec![keyed(), task("Noop"), keyed()]);
                let more = more.expect("are added");
                let duplicates: Vec<bool> = more.iter().map(|task| task.duplicate).collect();
                assert_eq!(duplicates, [false, false, true]);
                match commits {
                    true => Ok(added),
                    false => Err(diesel::result::Error::RollbackTransaction),
                }
            })
        };
        places(false).expect_err("is rolled back");
        places(true).expect("commits")
    }

    #[actix_rt::test]
    async fn connections_without_async_add_tasks_in_their_transactions() {
        let database = Database::of_kind(Kind::Sqlite);
        let (gaia, demo) = shop(&database).await;
        let path = database.path().to_string_lossy().into_owned();
        let manager = r2d2::ConnectionManager::<SqliteConnection>::new(path);
        let pool = r2d2::Pool::builder().max_size(1).build(manager).expect("is a pool");
        let mut pooled = pool.get().expect("connects");
        pooled.batch_execute("PRAGMA busy_timeout = 20000").expect("is set");
        let orders = [
            places_orders(&demo, &mut database.connection(), 1),
            places_orders(&demo, &mut pooled, 2),
        ];
        for added in orders {
            demo.task_quick_queue(added.id);
            assert_eq!(ended(&demo, added.id).await.status, TaskStatus::Success);
        }
        assert_eq!(database.number("SELECT COUNT(*) FROM asynctasks"), 2 * 3);

        let text = refusal(demo.blocking_add_task_on(&mut pooled, task("")));
        assert!(text.contains("method is empty"), "{text}");
        let mut memory = SqliteConnection::establish(":memory:").expect("opens");
        let text = other(demo.blocking_add_task_on(&mut memory, task("Noop")));
        assert!(text.contains("tables of gaia-actors are not there"), "{text}");
        gaia.stop().await.expect("stops");
    }

    /// The connections of diesel to servers need libraries of the system, which this crate has no use for. Such a connection compiles here;
    /// its statements are those of the connections with async.
    #[cfg(all(feature = "postgres", feature = "mysql"))]
    #[expect(dead_code, reason = "it is compiled")]
    fn connections_to_servers_are_taken(
        demo: &Scheduler,
        postgres: &mut impl LoadConnection<Backend = diesel::pg::Pg>,
        mysql: &mut impl LoadConnection<Backend = diesel::mysql::Mysql>,
    ) {
        let _ = demo.blocking_add_task_on(postgres, task("Noop"));
        let _ = demo.blocking_add_tasks_on(mysql, vec![task("Noop")]);
    }
}
