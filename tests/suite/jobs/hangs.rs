//! A database that gives no answer for longer than the lease, and then goes on.

use std::{thread, time::Duration};

use chrono::{TimeDelta, Timelike, Utc};
use gaia_actors::RunFlag;

use super::{echo, ended, flags, serving};
use crate::support::{Database, Kind, eventually};

const LEASE: Duration = Duration::from_secs(1);

/// Neither heartbeats nor claims have an answer for so long.
fn hang(database: &Database, seconds: f64) {
    match database.kind() {
        #[cfg(feature = "sqlite")]
        Kind::Sqlite => {
            use diesel::connection::SimpleConnection;
            let mut conn = database.connection();
            conn.batch_execute("BEGIN IMMEDIATE").expect("is free");
            thread::sleep(Duration::from_secs_f64(seconds));
            conn.batch_execute("COMMIT").expect("ends");
        }
        #[cfg(feature = "postgres")]
        Kind::Postgres => database.execute(&format!("LOCK TABLE gaia_nodes; SELECT pg_sleep({seconds})")),
        #[cfg(feature = "mysql")]
        Kind::Mysql => database.execute(&format!(
            "LOCK TABLES gaia_nodes WRITE; SELECT SLEEP({seconds}); UNLOCK TABLES"
        )),
    }
}

/// Some are claimed while it hangs, and cannot begin; others are due before the node holds its lease again.
#[actix_rt::test]
async fn fires_that_were_due_while_the_database_hung_run_late() {
    let database = Database::fresh();
    let gaia = serving(database.builder()).lease(LEASE).start().await.expect("starts");
    let jobs = gaia.jobs();
    let mut ids = Vec::new();
    for second in 2..=5 {
        let at = Utc::now() + TimeDelta::seconds(second);
        let expr = format!("{} {} {} * * *", at.second(), at.minute(), at.hour());
        for copy in 0..3 {
            let job = echo(&format!("{second} {copy}"), &expr).time_zone("UTC");
            ids.push(jobs.add_job(job).await.expect("is added"));
        }
    }
    let count = ids.len();
    eventually("the schedules", async || {
        (jobs.status().await.expect("answers").scheduled == count).then_some(())
    })
    .await;
    thread::scope(|scope| scope.spawn(|| hang(&database, 3.5)).join()).expect("hangs");
    for id in ids {
        assert_eq!(flags(&ended(&jobs, id, 1).await), [Some(RunFlag::Success)], "job {id}");
    }
    assert!(!jobs.status().await.expect("answers").fenced);
    gaia.stop().await.expect("stops");
}
