//! Methods for which tasks are due and that no handler of this node serves, as plain values.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::status::UnservedMethod;
use crate::registry::{MethodName, Registry, RegistryError};

/// The time between two warnings about one method.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// What the last look for unserved tasks of one theme has found on this node.
#[derive(Debug, Default)]
pub(super) struct Unserved(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// How many tasks of each method wait.
    methods: BTreeMap<MethodName, u64>,
    /// The methods that other living nodes of the theme serve.
    elsewhere: BTreeSet<MethodName>,
    warned: BTreeMap<MethodName, Instant>,
}

impl Unserved {
    /// Notes the methods that a look has found, and answers which of them to warn of: methods that no living node serves, each at most once a
    /// minute.
    pub(super) fn note(
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

    /// Notes that no task of any theme is due.
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

/// The error that the actor of the method's handler has died, if it has.
pub(super) fn death(registry: &Registry, name: &MethodName) -> Option<RegistryError> {
    let error = registry.serving(&name.service, &name.method).err()?;
    matches!(error, RegistryError::HandlerDied(_)).then_some(error)
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
