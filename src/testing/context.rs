//! The context of a run that no node makes, for calls of a handler alone.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::DateTime;
#[cfg(all(feature = "hooks", feature = "web"))]
use futures_util::future::{LocalBoxFuture, ready};

#[cfg(all(feature = "hooks", feature = "web"))]
use crate::registry::{InvokeError, Ticket};
use crate::{
    Clock, TaskContext,
    registry::{CancelReason, RunOfContext, SharedValues, TestFacts},
};

/// A [`TaskContext`] for the test of a handler: the test calls the handler's function with it, without a database and without a [`Gaia`].
///
/// It belongs to no Gaia: [`TaskContext::scheduler`] and [`TaskContext::jobs`] answer with [`Error::NoGaia`](crate::Error::NoGaia). A handler that
/// uses them is tested with a [`TestGaia`](super::TestGaia).
///
/// Unless told otherwise, it is of the first of four attempts of the task 1 of the theme `test`, without a timeout.
///
/// ```
/// use gaia_actors::{TaskContext, TaskError, testing::TestContext};
///
/// struct Printer { pages: u32 }
///
/// async fn export(ctx: TaskContext, pages: u32) -> Result<u32, TaskError> {
///     if ctx.attempt() == ctx.max_attempts() {
///         ctx.progress(50, "the last attempt writes no pictures");
///     }
///     if ctx.is_cancelled() {
///         return Err(TaskError::failed("stopped"));
///     }
///     Ok(pages.min(ctx.data::<Printer>()?.pages))
/// }
///
/// # #[actix_rt::main]
/// # async fn main() {
/// let last = TestContext::new().id(17).attempts(3, 3).data(Printer { pages: 100 });
/// assert_eq!(export(last.context(), 7).await.unwrap(), 7);
/// assert_eq!(last.progress(), [(50, "the last attempt writes no pictures".to_owned())]);
///
/// last.cancel();
/// assert!(export(last.context(), 7).await.is_err());
/// # }
/// ```
///
/// [`Gaia`]: crate::Gaia
#[derive(Debug)]
#[must_use]
pub struct TestContext {
    facts: TestFacts,
    data: SharedValues,
    context: TaskContext,
    reports: Arc<Reports>,
}

/// What a handler has reported.
#[derive(Debug, Default)]
struct Reports(Mutex<Vec<(u8, String)>>);

impl RunOfContext for Reports {
    fn report(self: Arc<Self>, percent: u8, note: String) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((percent, note));
    }

    /// No service can end the run of a test.
    #[cfg(all(feature = "hooks", feature = "web"))]
    fn token(&self, _: &Ticket) -> String {
        String::new()
    }

    /// No service is called.
    #[cfg(all(feature = "hooks", feature = "web"))]
    fn park(self: Arc<Self>, _: Ticket, _: Option<Duration>) -> LocalBoxFuture<'static, InvokeError> {
        Box::pin(ready(InvokeError::Withdrawn))
    }
}

impl Default for TestContext {
    fn default() -> Self {
        let facts = TestFacts {
            id: 1,
            theme: "test".into(),
            attempt: 1,
            max_attempts: 4,
            timeout: None,
        };
        Self::of(facts, SharedValues::default())
    }
}

impl TestContext {
    /// The first of four attempts of a task.
    pub fn new() -> Self {
        Self::default()
    }

    /// The id of the task. The default is 1.
    pub fn id(self, id: i64) -> Self {
        Self::of(TestFacts { id, ..self.facts }, self.data)
    }

    /// The theme of the task. The default is `test`.
    pub fn theme(self, theme: &str) -> Self {
        let facts = TestFacts {
            theme: theme.into(),
            ..self.facts
        };
        Self::of(facts, self.data)
    }

    /// Which attempt it is, from 1, and how many the task may make in all. The default is the first of 4.
    pub fn attempts(self, attempt: u32, max_attempts: u32) -> Self {
        let facts = TestFacts {
            attempt,
            max_attempts,
            ..self.facts
        };
        Self::of(facts, self.data)
    }

    /// How much time the run has left. It does not go by. The default is no timeout.
    pub fn time_left(self, time_left: Duration) -> Self {
        let facts = TestFacts {
            timeout: Some(time_left),
            ..self.facts
        };
        Self::of(facts, self.data)
    }

    /// A value that the handler finds by [`TaskContext::data`], as by [`GaiaBuilder::data`](crate::GaiaBuilder::data). A second value of a type
    /// takes the place of the first.
    pub fn data<T: Send + Sync + 'static>(mut self, value: T) -> Self {
        self.data.add(value);
        Self::of(self.facts, self.data)
    }

    fn of(facts: TestFacts, data: SharedValues) -> Self {
        let reports = Arc::new(Reports::default());
        let run: Arc<dyn RunOfContext> = Arc::<Reports>::clone(&reports);
        let context = TaskContext::for_test(&facts, Arc::downgrade(&run), data.clone().into());
        if let Some(timeout) = facts.timeout {
            context.set_deadline(&Clock::manual(DateTime::UNIX_EPOCH), timeout);
        }
        Self {
            facts,
            data,
            context,
            reports,
        }
    }

    /// What the handler is called with. All of them belong to the same run.
    #[must_use]
    pub fn context(&self) -> TaskContext {
        self.context.clone()
    }

    /// Asks the handler to stop, as if the task were cancelled.
    pub fn cancel(&self) {
        self.context.cancel(CancelReason::Request);
    }

    /// What the handler has reported by [`TaskContext::progress`] until now, in its order.
    #[must_use]
    pub fn progress(&self) -> Vec<(u8, String)> {
        self.reports.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
