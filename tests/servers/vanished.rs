//! A host that vanishes inside a transaction.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use gaia_actors::{async_fn, prelude::*};

use crate::{
    proxy::Proxy,
    support::{Database, Kind, NodeProcess, eventually},
};

/// The name of the job whose row is locked. The server tells it to a node that claims the job, and to nobody else here.
const NAME: &str = "its node vanishes";

/// The server hears nothing of the node's end: it must find out for itself, or the row stays locked for hours.
async fn another_node_goes_on(kind: Kind, parameter: &str) {
    let database = Database::of_kind(kind);
    let noop = async_fn(async |_: TaskContext, _: serde_json::Value| Ok(()));
    let client = database.builder().start().await.expect("starts");
    let job = NewJob::cron_job(NAME, "* * * * * *", "Demo", "Noop");
    let id = client.jobs().add_job(job).await.expect("is added");
    let seen = Arc::new(AtomicBool::new(false));
    let sees = Arc::clone(&seen);
    let proxy = Proxy::start(&database.url(), move || {
        let sees = Arc::clone(&sees);
        // The node never hears that it has the row.
        move |answer: &[u8]| match holds(answer, NAME) || sees.load(Ordering::SeqCst) {
            true => {
                sees.store(true, Ordering::SeqCst);
                Vec::new()
            }
            false => answer.to_vec(),
        }
    });
    let url = format!("{}{parameter}", proxy.url);
    // It may claim before it is ready.
    let mut node = NodeProcess::spawn(
        &database,
        &[("DATABASE_URL", &url), ("JOBS", "1"), ("GAIA__NODE__LEASE", "2")],
    );
    eventually("a claim", async || seen.load(Ordering::SeqCst).then_some(())).await;
    proxy.forget_all();
    node.kill();
    let other = database
        .builder()
        .handler("Demo", "Noop", noop)
        .jobs(JobsOptions::default())
        .start()
        .await
        .expect("starts");
    eventually("a run on another node", async || {
        let records = other.jobs().get_job_records(id, PageRequest::default()).await;
        (records.expect("answers").total > 0).then_some(())
    })
    .await;
    other.stop().await.expect("stops");
    client.stop().await.expect("stops");
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|part| part == text.as_bytes())
}

#[cfg(feature = "postgres")]
#[actix_rt::test]
async fn postgresql_ends_the_transaction_of_a_host_that_has_vanished() {
    another_node_goes_on(Kind::Postgres, "?sslmode=disable").await;
}

#[cfg(feature = "mysql")]
#[actix_rt::test]
async fn mariadb_ends_the_transaction_of_a_host_that_has_vanished() {
    another_node_goes_on(Kind::Mysql, "").await;
}
