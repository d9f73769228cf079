//! Stands in for remote services in a program that is built without the feature `hooks`: none can be registered.

use crate::{
    clock::Clock,
    config::ServiceConfig,
    domain::{Faults, InvalidInput},
    registry::AnyMethod,
    traces::Traces,
};

/// A service that cannot be called.
#[derive(Debug, Clone)]
pub(crate) struct RemoteService;

const ABSENT: &str =
    "cannot be called: this program is built without the feature `hooks` of gaia-actors; build it with that feature";

impl RemoteService {
    pub(crate) fn of(_: &ServiceConfig) -> Self {
        Self
    }

    #[expect(clippy::unused_self, reason = "as the service has it")]
    pub(crate) fn known_methods(&self) -> &[String] {
        &[]
    }

    #[expect(clippy::unused_self, reason = "as the service has it")]
    pub(crate) fn check(&self, place: &str, faults: &mut Faults) {
        faults.require(false, || format!("{place} {ABSENT}"));
    }

    #[expect(clippy::unused_self, reason = "as the service has it")]
    pub(crate) fn ready(&self, name: &str, _: &Clock, _: &Traces) -> Result<Box<dyn AnyMethod>, InvalidInput> {
        Err(InvalidInput::one(format!("service {name:?} {ABSENT}")))
    }
}
