//! Methods for which tasks are due and that no handler of this node serves.
//!
//! The scanner claims the methods that its node serves, and these tasks cost it nothing. But operators must see them, above all the
//! ones that no living node serves.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::{status::UnservedMethod, theme::Theme, wake::Wake};
use crate::{
    config::MissingHandler,
    registry::{MethodName, Registry, RegistryError},
    store::{Store, StoreError},
};

/// Between two warnings about one method.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// Methods that are listed. Anybody may add tasks with any name.
const MAX_METHODS: usize = 100;

/// Methods with due tasks that are looked at, the served ones among them.
const MAX_LOOKED_AT: usize = 1_000;

/// Names of registered methods in one warning.
const NAMED: usize = 20;

/// What the last look for one theme has found on this node.
#[derive(Debug, Default)]
pub(super) struct Unserved(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// How many tasks of each method wait.
    methods: BTreeMap<MethodName, u64>,
    /// What other living nodes of the theme serve.
    elsewhere: BTreeSet<MethodName>,
    warned: BTreeMap<MethodName, Instant>,
}

impl Unserved {
    /// Notes what was found, and answers what to warn of: methods that no living node serves, at most once a minute for each.
    fn note(
        &self,
        methods: BTreeMap<MethodName, u64>,
        elsewhere: BTreeSet<MethodName>,
        now: Instant,
    ) -> Vec<(MethodName, u64)> {
        let mut state = self.state();
        let State { warned, .. } = &mut *state;
        warned.retain(|_, warned| now.saturating_duration_since(*warned) < WARN_EVERY);
        let is_new = |name: &MethodName| !elsewhere.contains(name) && !warned.contains_key(name);
        let unsaid = methods.iter().filter(|(name, _)| is_new(name));
        let unsaid: Vec<(MethodName, u64)> = unsaid.map(|(name, waiting)| (name.clone(), *waiting)).collect();
        warned.extend(unsaid.iter().map(|(name, _)| (name.clone(), now)));
        (state.methods, state.elsewhere) = (methods, elsewhere);
        unsaid
    }

    /// No task of any theme is due.
    pub(super) fn nothing_is_due(&self, elsewhere: BTreeSet<MethodName>) {
        self.note(BTreeMap::new(), elsewhere, Instant::now());
    }

    /// For people, without the methods that have a handler by now.
    pub(super) fn list(&self, registry: &Registry) -> Vec<UnservedMethod> {
        let State { methods, elsewhere, .. } = &*self.state();
        let unserved = methods
            .iter()
            .filter(|(name, _)| !registry.serves(&name.service, &name.method));
        let of = |(name, waiting): (&MethodName, &u64)| UnservedMethod {
            service: name.service.clone(),
            method: name.method.clone(),
            handler_died: death(registry, name).is_some(),
            served_elsewhere: elsewhere.contains(name),
            waiting: *waiting,
        };
        unserved.map(of).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// That the actor of the method's handler has died, if it has.
fn death(registry: &Registry, name: &MethodName) -> Option<RegistryError> {
    let error = registry.serving(&name.service, &name.method).err()?;
    matches!(error, RegistryError::HandlerDied(_)).then_some(error)
}

/// Looks for tasks of methods that this node does not serve, given what other living nodes serve. Not where a missing handler is a
/// failure: this node takes such tasks.
pub(super) async fn look(theme: &Theme, store: &Store, elsewhere: BTreeSet<MethodName>) {
    if theme.options.missing_handler == MissingHandler::Fail {
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
            theme.name
        ),
    }
}

async fn find(theme: &Theme, store: &Store) -> Result<BTreeMap<MethodName, u64>, StoreError> {
    let due = store.due_methods(&theme.name, MAX_LOOKED_AT).await?.into_iter();
    let unserved = due.filter(|(service, method)| !theme.registry.serves(service, method));
    let mut found = BTreeMap::new();
    for (service, method) in unserved.take(MAX_METHODS) {
        let waiting = store.count_due(&theme.name, &service, &method).await?;
        if waiting > 0 {
            found.insert(MethodName { service, method }, waiting);
        }
    }
    Ok(found)
}

fn warn(theme: &Theme, name: &MethodName, waiting: u64) {
    let died = death(&theme.registry, name).map_or_else(String::new, |error| format!(" ({error})"));
    let (theme, registered) = (&theme.name, listed(&theme.registry.served()));
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

/// Has the scanner look for tasks of a handler that is registered. Ends with the registry.
pub(super) async fn follow_registry(wake: Arc<Wake>, mut changes: watch::Receiver<()>) {
    while changes.changed().await.is_ok() {
        wake.ring();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(method: &str) -> MethodName {
        MethodName {
            service: "Orders".to_owned(),
            method: method.to_owned(),
        }
    }

    #[test]
    fn a_method_that_no_node_serves_is_warned_of_once_a_minute() {
        let unserved = Unserved::default();
        let began = Instant::now();
        let said = |methods: &[&str], after: u64| {
            let methods = methods.iter().map(|method| (name(method), 2)).collect();
            let elsewhere = BTreeSet::from([name("Ship")]);
            let said = unserved.note(methods, elsewhere, began + Duration::from_secs(after));
            said.into_iter().map(|(name, _)| name.method).collect::<Vec<_>>()
        };
        assert_eq!(said(&[], 0), [""; 0]);
        assert_eq!(said(&["Confirm", "Ship"], 0), ["Confirm"]);
        assert_eq!(said(&["Cancel", "Confirm"], 59), ["Cancel"]);
        assert_eq!(said(&["Cancel", "Confirm"], 60), ["Confirm"]);
        assert_eq!(said(&["Confirm"], 300), ["Confirm"]);
    }
}
