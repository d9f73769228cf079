//! The search through all states of a model.

use std::{collections::BTreeMap, fmt::Debug, hash::Hash};

use stateright::{Checker, HasDiscoveries, Model};

/// A model from which one rule can be left out.
pub trait Protocol: Model + Clone + Send + Sync + 'static {
    type Rule: Copy + Debug + Send + 'static;

    fn without(&self, rule: Self::Rule) -> Self;

    /// The property that does not hold without the rule.
    fn broken_without(rule: Self::Rule) -> &'static str;
}

/// Whether worlds are to be larger than a test of each change has time for.
pub fn is_long() -> bool {
    std::env::var_os("GAIA_MODEL_LONG").is_some()
}

/// Visits every state, and answers which properties do not hold, each with a shortest history that shows it.
fn broken<M>(model: M, until: HasDiscoveries) -> (usize, BTreeMap<&'static str, String>)
where
    M: Model + Send + Sync + 'static,
    M::State: Debug + Hash + PartialEq + Clone + Send + Sync + 'static,
    M::Action: Debug + PartialEq + Clone + Send + Sync + 'static,
{
    let threads = std::thread::available_parallelism().map_or(1, Into::into);
    let checker = model.checker().threads(threads).finish_when(until).spawn_bfs().join();
    let found = checker.discoveries().into_iter();
    let found = found.map(|(name, path)| (name, format!("{:#?}", path.into_actions())));
    (checker.unique_state_count(), found.collect())
}

/// Each property holds in every state of each of these worlds.
pub fn holds<M>(worlds: &[M])
where
    M: Protocol,
    M::State: Debug + Hash + PartialEq + Clone + Send + Sync + 'static,
    M::Action: Debug + PartialEq + Clone + Send + Sync + 'static,
{
    for (number, world) in worlds.iter().enumerate() {
        let (states, broken) = broken(world.clone(), HasDiscoveries::Any);
        println!("world {number}: {states} states");
        assert!(states > 1, "the world {number} has a state to go to");
        let broken = broken.first_key_value();
        assert_eq!(
            broken, None,
            "in the world {number} a property does not hold after this history"
        );
    }
}

/// Without the rule, in one of these worlds, the property does not hold that the rule is for.
pub fn needs<M>(worlds: &[M], rule: M::Rule)
where
    M: Protocol,
    M::State: Debug + Hash + PartialEq + Clone + Send + Sync + 'static,
    M::Action: Debug + PartialEq + Clone + Send + Sync + 'static,
{
    let wanted = M::broken_without(rule);
    let shows = |world: &M| {
        let only = HasDiscoveries::AnyOf([wanted].into());
        broken(world.without(rule), only).1.contains_key(wanted)
    };
    assert!(
        worlds.iter().any(shows),
        "\"{wanted}\" holds without the rule {rule:?}: the model does not need the rule"
    );
}
