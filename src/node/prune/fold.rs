//! Folding the history: many rows of short spans become few rows of longer ones, and the oldest hours are deleted. Idempotency keys that
//! are free go at the same time.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};

use super::sweep::rest;
use crate::{
    domain::{SHORTEST_SPAN, span_of},
    repeats::Repeats,
    store::{Folding, Store, StoreError},
};

/// How often a node looks for rows to fold, and for keys that are free.
const EVERY: Duration = Duration::from_secs(300);

const MINUTE: i64 = 60;
const HOUR: i64 = 3_600;

/// Which spans become which, once they are so old.
const STEPS: [(i64, i64, TimeDelta); 2] = [
    (SHORTEST_SPAN, MINUTE, TimeDelta::hours(2)),
    (MINUTE, HOUR, TimeDelta::days(2)),
];

/// How long hours are kept.
const KEPT: TimeDelta = TimeDelta::days(90);

/// Folds the history from time to time, and deletes idempotency keys that are free. The folders of many nodes may work at once: each takes rows that no other has locked, and puts what
/// it adds up into rows with the name of its node.
pub(super) struct Folder {
    store: Store,
    node: Arc<str>,
    failures: Repeats<&'static str>,
}

impl Folder {
    pub(super) fn new(store: Store, node: Arc<str>) -> Self {
        Self {
            store,
            node,
            failures: Repeats::default(),
        }
    }

    pub(super) async fn run(mut self) {
        let clock = self.store.clock().clone();
        // Random, so that nodes that were started at the same time do not look at the same time.
        let mut next = clock.elapsed() + EVERY.mul_f64(fastrand::f64());
        loop {
            clock.sleep_until(next).await;
            let reading = clock.elapsed();
            let folded = self.fold().await;
            self.say("fold the history", folded);
            let deleted = delete_keys(&self.store).await;
            self.say("delete old idempotency keys", deleted);
            next = reading.saturating_add(EVERY);
        }
    }

    fn say(&mut self, work: &'static str, done: Result<(), StoreError>) {
        match done {
            Ok(()) => {
                self.failures.over(&work);
            }
            Err(error) => {
                if let Some(said) = self.failures.say(work, &error.to_string()) {
                    say!(Error, "cannot {work}, will try again: {said}");
                }
            }
        }
    }

    async fn fold(&self) -> Result<(), StoreError> {
        let now = self.store.clock().now();
        for (from, to, age) in STEPS {
            let Some(old) = now.checked_sub_signed(age) else {
                continue;
            };
            // Whole spans only, so that a span is folded once and not piece by piece.
            let before = span_of(old, to).into();
            loop {
                let began = Instant::now();
                let folding = Folding {
                    from,
                    to,
                    before,
                    node: Arc::clone(&self.node),
                };
                if self.store.cluster().fold_history(folding).await? == 0 {
                    break;
                }
                rest(began).await;
            }
        }
        Ok(())
    }
}

/// Deletes idempotency keys that are free. A wrong time does no further harm here: an addition judges its key by the same clock.
async fn delete_keys(store: &Store) -> Result<(), StoreError> {
    loop {
        let began = Instant::now();
        if store.tasks().delete_old_keys().await? == 0 {
            return Ok(());
        }
        rest(began).await;
    }
}

/// Deletes the hours that are too old. The caller is certain of the time.
pub(super) async fn delete_hours(store: &Store, now: DateTime<Utc>) -> Result<(), StoreError> {
    let Some(before) = now.checked_sub_signed(KEPT) else {
        return Ok(());
    };
    loop {
        let began = Instant::now();
        if store.cluster().delete_history(HOUR, before.into()).await? == 0 {
            return Ok(());
        }
        rest(began).await;
    }
}
