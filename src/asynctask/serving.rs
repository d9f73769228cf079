//! The methods that this node serves, and looks for tasks of other methods.
//!
//! The scanner claims tasks of the methods that its node serves; tasks of other methods cost it nothing. But operators must see such
//! tasks, above all those that no living node serves.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

use tokio::sync::watch;

use super::{theme::ThemeContext, unserved::death, wake::Wake};
use crate::{
    config::MissingHandler,
    registry::MethodName,
    store::{Store, StoreError},
};

/// The most methods that are listed: callers may add tasks with any method name.
const MAX_METHODS: usize = 100;

/// The most methods with due tasks that one look reads, served methods among them.
const MAX_LOOKED_AT: usize = 1_000;

/// The most names of registered methods in one warning.
const NAMED: usize = 20;

/// Looks for tasks of methods that this node does not serve. `elsewhere`: the methods that other living nodes serve. Does nothing with
/// `MissingHandler::Fail`: then this node claims such tasks and lets them fail.
pub(super) async fn look_for_unserved(theme: &ThemeContext, store: &Store, elsewhere: BTreeSet<MethodName>) {
    if theme.options.missing() == MissingHandler::Fail {
        return;
    }
    match find(theme, store).await {
        Ok(methods) => {
            for (name, waiting) in theme.unserved.note(methods, elsewhere, Instant::now()) {
                warn(theme, &name, waiting);
            }
        }
        Err(error) => say!(
            Debug,
            "theme {}: cannot look for tasks that no handler of this node serves: {error}",
            theme.name()
        ),
    }
}

async fn find(theme: &ThemeContext, store: &Store) -> Result<BTreeMap<MethodName, u64>, StoreError> {
    let due = store
        .tasks()
        .due_methods(theme.name(), MAX_LOOKED_AT)
        .await?
        .into_iter();
    let unserved = due.filter(|(service, method)| !theme.registry.serves(service, method));
    let mut found = BTreeMap::new();
    for (service, method) in unserved.take(MAX_METHODS) {
        let waiting = store.tasks().count_due(theme.name(), &service, &method).await?;
        if waiting > 0 {
            found.insert(MethodName { service, method }, waiting);
        }
    }
    Ok(found)
}

fn warn(theme: &ThemeContext, name: &MethodName, waiting: u64) {
    let died = death(&theme.registry, name).map_or_else(String::new, |error| format!(" ({error})"));
    let (theme, registered) = (theme.name(), listed(&theme.registry.served()));
    say!(
        Warn,
        "theme {theme}: no living node serves {name}{died}; {waiting} tasks wait for a node that does, or for a handler that is \
         registered later; registered here: {registered}"
    );
}

fn listed(names: &[MethodName]) -> String {
    let mut texts: Vec<String> = names.iter().take(NAMED).map(ToString::to_string).collect();
    match names.len() {
        0 => texts.push("nothing".to_owned()),
        len if len > NAMED => texts.push(format!("and {} more", len - NAMED)),
        _ => {}
    }
    texts.join(", ")
}

/// Wakes the scanner whenever the registry changes: it may look for tasks of a new handler. Ends with the registry.
pub(super) async fn follow_registry(wake: Arc<Wake>, mut changes: watch::Receiver<()>) {
    while changes.changed().await.is_ok() {
        wake.ring();
    }
}
