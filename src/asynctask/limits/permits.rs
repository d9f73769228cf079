//! The leave to run a task of a limited method.

use std::sync::Arc;

use super::{Inner, keys::KeyPermit};
use crate::registry::MethodName;

/// Permits that were taken for a claim.
#[derive(Debug)]
pub(super) struct Permits {
    pub(super) limits: Arc<Inner>,
    pub(super) name: Arc<MethodName>,
    pub(super) generation: u64,
    /// Whether the limit is one of all tasks of the method together.
    pub(super) counts: bool,
    /// Whether the tasks of this claim may have keys that are not settled.
    pub(super) has_keys: bool,
    pub(super) left: usize,
    /// How many tasks have got one.
    pub(super) taken: usize,
}

/// The permit of a task that was claimed. When it is dropped, the slot is free again.
#[derive(Debug)]
pub(crate) struct Permit {
    limits: Arc<Inner>,
    name: Arc<MethodName>,
    generation: u64,
    /// The leave of the task's key.
    #[cfg_attr(
        not(feature = "web"),
        expect(dead_code, reason = "it gives its slot back when it is dropped")
    )]
    key: Option<KeyPermit>,
    has_started: bool,
    /// Another has the slot now.
    is_given: bool,
}

impl Permits {
    /// One for a task, with the leave of its key.
    pub(super) fn take_one(&mut self, key: Option<KeyPermit>) -> Option<Permit> {
        self.left = self.left.checked_sub(1)?;
        self.taken += 1;
        Some(Permit {
            limits: Arc::clone(&self.limits),
            name: Arc::clone(&self.name),
            generation: self.generation,
            key,
            has_started: false,
            is_given: false,
        })
    }
}

impl Permit {
    /// The task has started: its leave to start is used up.
    pub(crate) fn note_start(&mut self) {
        self.has_started = true;
    }

    /// The method, the generation of its limit, and the key. The slots stay taken.
    #[cfg(feature = "web")]
    pub(super) fn into_parts(mut self) -> (Arc<MethodName>, u64, Option<Arc<str>>) {
        self.is_given = true;
        let key = self.key.take().map(KeyPermit::into_key);
        (Arc::clone(&self.name), self.generation, key)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.is_given {
            self.limits.ended(&self.name, self.generation, self.has_started);
        }
    }
}
