//! The leave to run a task of a limited method.

use std::sync::Arc;

use super::Inner;
use crate::registry::MethodName;

/// Permits that were taken for a claim.
#[derive(Debug)]
pub(super) struct Permits {
    limits: Arc<Inner>,
    pub(super) name: Arc<MethodName>,
    pub(super) generation: u64,
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
    has_started: bool,
    /// Another has the slot now.
    is_given: bool,
}

impl Permits {
    pub(super) fn new(limits: Arc<Inner>, name: Arc<MethodName>, generation: u64, left: usize) -> Self {
        Self {
            limits,
            name,
            generation,
            left,
            taken: 0,
        }
    }

    /// One for a task.
    pub(super) fn take_one(&mut self) -> Option<Permit> {
        self.left = self.left.checked_sub(1)?;
        self.taken += 1;
        Some(Permit {
            limits: Arc::clone(&self.limits),
            name: Arc::clone(&self.name),
            generation: self.generation,
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

    /// The method and the generation of its limit. The slot stays taken.
    #[cfg(feature = "web")]
    pub(super) fn into_parts(mut self) -> (Arc<MethodName>, u64) {
        self.is_given = true;
        (Arc::clone(&self.name), self.generation)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.is_given {
            self.limits.ended(&self.name, self.generation, self.has_started);
        }
    }
}
