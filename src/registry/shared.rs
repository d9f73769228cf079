//! Values that handlers share: one of each type.

use std::{
    any::{Any, TypeId, type_name},
    collections::HashMap,
    fmt,
    sync::Arc,
};

use arc_swap::ArcSwapOption;

use crate::domain::{Faults, TaskError};

type Value = Arc<dyn Any + Send + Sync>;

/// What the application and the runtime give to handlers, by type.
#[derive(Clone, Default)]
pub(crate) struct SharedValues {
    values: HashMap<TypeId, Value>,
    /// The types of which there was a second value.
    twice: Vec<&'static str>,
}

impl fmt::Debug for SharedValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SharedValues").field(&self.values.len()).finish()
    }
}

impl SharedValues {
    pub(crate) fn add<T: Send + Sync + 'static>(&mut self, value: T) {
        if self.values.insert(TypeId::of::<T>(), Arc::new(value)).is_some() {
            self.twice.push(type_name::<T>());
        }
    }

    pub(crate) fn check(&self, faults: &mut Faults) {
        for name in &self.twice {
            faults.require(false, || {
                format!("two values of the type {name} were given as data, and a handler could find only one: give each a type of its own")
            });
        }
    }
}

/// The values that all handlers of a registry share. Clones are handles on the same values.
#[derive(Clone)]
pub(crate) struct Shared(Arc<ArcSwapOption<SharedValues>>);

impl Default for Shared {
    fn default() -> Self {
        Self::from(SharedValues::default())
    }
}

impl From<SharedValues> for Shared {
    fn from(values: SharedValues) -> Self {
        Self(Arc::new(ArcSwapOption::from_pointee(values)))
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Shared").field(&*self.0.load()).finish()
    }
}

impl Shared {
    /// The value of this type.
    pub(super) fn get<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let values = self.0.load();
        let value = values.as_ref()?.values.get(&TypeId::of::<T>())?;
        Arc::clone(value).downcast().ok()
    }

    /// Takes all values out: one of them may hold the `Gaia`, and would keep the `Gaia` alive.
    pub(super) fn take(&self) -> Option<Arc<SharedValues>> {
        self.0.swap(None)
    }

    pub(super) fn is_cleared(&self) -> bool {
        self.0.load().is_none()
    }
}

/// A value that a layer gives to the call, and the values of the layers outside of it.
pub(super) struct Given {
    type_id: TypeId,
    value: Value,
    outer: Option<Arc<Given>>,
}

impl Given {
    pub(super) fn new<T: Send + Sync + 'static>(value: T, outer: Option<Arc<Self>>) -> Self {
        Self {
            type_id: TypeId::of::<T>(),
            value: Arc::new(value),
            outer,
        }
    }

    /// The innermost value of this type.
    pub(super) fn get<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let mut given = Some(self);
        while let Some(Self { type_id, value, outer }) = given {
            if *type_id == TypeId::of::<T>() {
                return Arc::clone(value).downcast().ok();
            }
            given = outer.as_deref();
        }
        None
    }
}

/// A handler asks for a value that is not there. A deployment can mend that, so the task may be tried again.
pub(super) fn missing<T>(is_cleared: bool) -> TaskError {
    let name = type_name::<T>();
    TaskError::failed(match is_cleared {
        true => format!("there is no value of the type {name} any more: the Gaia has stopped"),
        false => format!(
            "the handler asks for a value of the type {name}, and this process has none: give it one by \
             `Gaia::builder().data(…)`, or in a layer by `TaskContext::with_data`"
        ),
    })
}
