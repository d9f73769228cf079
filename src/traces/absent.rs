//! Stands in for the spans in a program that is built without the feature `tracing`: there are none.

#![allow(clippy::unused_self, reason = "as the spans have it")]

use crate::{
    domain::{NewTask, Outcome},
    events::{JobRunInfo, TaskRunInfo},
};

#[derive(Debug, Clone, Default)]
pub(crate) struct Traces;

#[derive(Debug, Clone, Default)]
pub(crate) struct Span;

impl Traces {
    pub(crate) fn current(&self) -> Option<String> {
        None
    }

    pub(crate) fn of_addition(&self, _theme: &str, _tasks: &[NewTask]) -> Span {
        Span
    }

    pub(crate) fn of_task(&self, _run: &TaskRunInfo, _parent: Option<&str>) -> Span {
        Span
    }

    pub(crate) fn of_job(&self, _run: &JobRunInfo, _attempt: u32, _parent: Option<&str>) -> Span {
        Span
    }
}

impl Span {
    #[cfg(feature = "hooks")]
    pub(crate) fn of_hook(_method: &str, _host: &str) -> Self {
        Self
    }

    pub(crate) fn around<F: Future>(self, future: F) -> F {
        future
    }

    pub(crate) fn call<T>(&self, call: impl FnOnce() -> T) -> T {
        call()
    }

    #[cfg(feature = "hooks")]
    pub(crate) fn answered(&self, _status: u16) {}

    pub(crate) fn ended(&self, _outcome: &str) {}

    pub(crate) fn failed(&self, _error: &str) {}

    pub(crate) fn task_ended(&self, _outcome: &Outcome) {}
}
