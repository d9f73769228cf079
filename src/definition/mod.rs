//! Definitions of tasks: a method with the types of its arguments and of its result. Callers add tasks from them, and register handlers.

mod added;
mod service;
mod task;
mod task_def;

pub use added::Added;
pub use service::ServiceMethods;
pub use task::TypedTask;
pub use task_def::TaskDef;

use std::sync::Arc;

use crate::{asynctask::Scheduler, error::Error, registry::TaskContext};

/// What gives the handle on a theme, so that a [`TaskDef`] can add a task to the theme that it names: a [`Gaia`](crate::Gaia), in a handler its
/// [`TaskContext`], or a [`Scheduler`] of any theme of the database. A reference, an `Arc` and (with the feature `web`) an `actix_web::web::Data`
/// give what their value gives.
pub trait Schedulers {
    /// The handle on a theme.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a theme that is empty, is longer than 100 characters or holds a control character.
    fn scheduler(&self, theme: &str) -> Result<Scheduler, Error>;
}

impl Schedulers for TaskContext {
    fn scheduler(&self, theme: &str) -> Result<Scheduler, Error> {
        Self::scheduler(self, theme)
    }
}

impl Schedulers for Scheduler {
    fn scheduler(&self, theme: &str) -> Result<Scheduler, Error> {
        Ok(self.of_theme(theme)?)
    }
}

impl<T: Schedulers + ?Sized> Schedulers for &T {
    fn scheduler(&self, theme: &str) -> Result<Scheduler, Error> {
        <T as Schedulers>::scheduler(self, theme)
    }
}

impl<T: Schedulers + ?Sized> Schedulers for Arc<T> {
    fn scheduler(&self, theme: &str) -> Result<Scheduler, Error> {
        <T as Schedulers>::scheduler(self, theme)
    }
}

#[cfg(feature = "web")]
impl<T: Schedulers + ?Sized> Schedulers for actix_web::web::Data<T> {
    fn scheduler(&self, theme: &str) -> Result<Scheduler, Error> {
        <T as Schedulers>::scheduler(self, theme)
    }
}
