//! A method with its handler, as callers bring it.

use std::iter;

use super::{Endpoint, MethodName, Next, TaskContext};
use crate::domain::{Faults, InvalidInput, Json, MAX_NAME_CHARS, TaskError};

/// A method with its handler, which [`GaiaBuilder::handlers`](crate::GaiaBuilder::handlers) or
/// [`Registry::register_all`](super::Registry::register_all) registers. A [`TaskDef`](crate::TaskDef) makes it, and checks the types of the
/// handler; [`new`](Self::new) makes it from names.
///
/// It is an iterator over itself, so that the two take one registration as they take many.
#[derive(Debug, Clone)]
#[must_use = "a handler serves nothing until it is registered"]
pub struct Registration {
    pub(super) name: MethodName,
    pub(super) endpoint: Endpoint,
    /// The theme of its definition.
    theme: Option<&'static str>,
    check: Result<(), InvalidInput>,
}

impl Registration {
    /// A handler of a method that has no definition: a `Recipient<Invoke>` of any actor, [`async_fn`](super::async_fn) or
    /// [`blocking_fn`](super::blocking_fn).
    pub fn new(service: impl Into<String>, method: impl Into<String>, handler: impl Into<Endpoint>) -> Self {
        let (service, method) = (service.into(), method.into());
        Self {
            check: checked(&service, &method),
            name: MethodName { service, method },
            endpoint: handler.into(),
            theme: None,
        }
    }

    /// The handler of a definition, whose check has had this result.
    pub(crate) fn defined(self, theme: Option<&'static str>, check: Result<(), InvalidInput>) -> Self {
        let of_definition = |faults: InvalidInput| faults.of(&format!("definition {:?}", self.name.to_string()));
        Self {
            theme,
            check: check.map_err(of_definition),
            ..self
        }
    }

    /// Calls this function around each call of the handler: see [`Endpoint::layer`]. Of several layers the first that is added is the outermost.
    ///
    /// ```
    /// use gaia_actors::{Json, Next, Registry, TaskContext, TaskDef};
    ///
    /// const DOUBLE: TaskDef<i64, i64> = TaskDef::new("Math", "Double");
    ///
    /// # #[actix_rt::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let double = DOUBLE.handler(async |_, n| Ok(2 * n)).layer(async |ctx: TaskContext, next: Next| {
    ///     let doubled: i64 = next.run(ctx).await?.parse()?;
    ///     Json::of(&(doubled + 1))
    /// });
    /// let registry = Registry::start();
    /// registry.register_all(double).await?;
    /// assert_eq!(registry.call::<i64>("Math", "Double", &20).await?, 41);
    /// # Ok(()) }
    /// ```
    pub fn layer<F>(self, layer: F) -> Self
    where
        F: AsyncFn(TaskContext, Next) -> Result<Json, TaskError> + Send + Sync + 'static,
    {
        Self {
            endpoint: self.endpoint.layer(layer),
            ..self
        }
    }

    /// The method.
    #[must_use]
    pub fn name(&self) -> &MethodName {
        &self.name
    }

    pub(crate) fn theme(&self) -> Option<&'static str> {
        self.theme
    }

    /// Every fault of the names, and of the definition if there is one.
    pub(crate) fn check(&self) -> Result<(), InvalidInput> {
        self.check.clone()
    }
}

/// Checks that a service and a method may stand in the table.
pub(super) fn checked(service: &str, method: &str) -> Result<(), InvalidInput> {
    let mut faults = Faults::default();
    faults.name("service", service, MAX_NAME_CHARS);
    faults.name("method", method, MAX_NAME_CHARS);
    faults.into_result()
}

impl IntoIterator for Registration {
    type Item = Self;
    type IntoIter = iter::Once<Self>;

    fn into_iter(self) -> Self::IntoIter {
        iter::once(self)
    }
}
