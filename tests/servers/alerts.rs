//! Alerts of a process whose database gives no answers any more.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use gaia_actors::{AlertKind, AlertState, Clock, prelude::*};

use crate::{
    proxy::Proxy,
    support::{Database, Kind, eventually},
};

/// Neither an error nor an answer comes: the process must judge by time.
#[actix_rt::test]
async fn a_database_that_gives_no_answers_is_told_and_its_return() {
    let database = Database::of_kind(Kind::Postgres);
    let silent = Arc::new(AtomicBool::new(false));
    let is_silent = Arc::clone(&silent);
    let proxy = Proxy::start(&database.url(), move || {
        let is_silent = Arc::clone(&is_silent);
        move |answer: &[u8]| match is_silent.load(Ordering::SeqCst) {
            true => Vec::new(),
            false => answer.to_vec(),
        }
    });
    let (clock, told) = (
        Clock::manual(DateTime::<Utc>::from_timestamp(1_767_225_600, 0).expect("is a time")),
        Arc::<Mutex<Vec<(AlertKind, AlertState)>>>::default(),
    );
    let tells = Arc::clone(&told);
    let gaia = Gaia::builder()
        .database(format!("{}?sslmode=disable", proxy.url))
        .clock(clock.clone())
        .lease(Duration::from_secs(2))
        .on_alert(move |alert| tells.lock().expect("is not poisoned").push((alert.kind, alert.state)))
        .start()
        .await
        .expect("starts");
    let wait = async |kind, state| {
        eventually("a message", async || {
            clock.advance(Duration::from_secs(2));
            actix_rt::time::sleep(Duration::from_millis(45)).await;
            told.lock()
                .expect("is not poisoned")
                .contains(&(kind, state))
                .then_some(())
        })
        .await;
    };
    silent.store(true, Ordering::SeqCst);
    for kind in [AlertKind::DatabaseAway, AlertKind::NodeFenced] {
        wait(kind, AlertState::Raised).await;
    }
    silent.store(false, Ordering::SeqCst);
    // The answers that are lost never come: the connections end, as after a restart of the server.
    database.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
    );
    for kind in [AlertKind::DatabaseAway, AlertKind::NodeFenced] {
        wait(kind, AlertState::Recovered).await;
    }
    assert_eq!(told.lock().expect("is not poisoned").len(), 4);
    gaia.stop().await.expect("stops");
}
