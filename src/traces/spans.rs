//! The spans of this crate, and the traces that they continue.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
};

use tracing::{Instrument, field::Empty, info_span};

use super::Propagation;
use crate::{
    domain::{NewTask, Outcome, is_traceparent},
    events::{JobRunInfo, TaskRunInfo},
    line::line_of,
    panic_text::panic_text,
    repeats::Repeats,
};

/// Makes spans. Cloning is cheap.
#[derive(Debug, Clone, Default)]
pub(crate) struct Traces(Option<Arc<Linked>>);

/// The application's functions.
#[derive(Debug)]
struct Linked {
    propagation: Propagation,
    /// Panics of the functions that are logged, by the names of the functions.
    panics: Mutex<Repeats<&'static str>>,
}

/// A span. It lasts until the last of its clones is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Span(tracing::Span);

impl Default for Span {
    fn default() -> Self {
        Self(tracing::Span::none())
    }
}

impl Linked {
    /// Calls a function of the application. `None`: the function has panicked.
    fn caught<T>(&self, name: &'static str, call: impl FnOnce() -> T) -> Option<T> {
        let payload = match catch_unwind(AssertUnwindSafe(call)) {
            Ok(answer) => return Some(answer),
            Err(payload) => payload,
        };
        let mut panics = self.panics.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(said) = panics.say(name, &panic_text(&*payload)) {
            say!(
                Error,
                "the function {name:?} of Propagation panicked, and is called on: {said}"
            );
        }
        None
    }
}

impl Traces {
    /// Spans whose traces go on by these functions.
    pub(crate) fn linked(propagation: Propagation) -> Self {
        Self(Some(Arc::new(Linked {
            propagation,
            panics: Mutex::default(),
        })))
    }

    /// The `traceparent` of the present span.
    pub(crate) fn current(&self) -> Option<String> {
        let linked = self.0.as_ref()?;
        let current = linked.caught("current", || (linked.propagation.current)());
        current.flatten().filter(|text| is_traceparent(text))
    }

    /// Around the addition of tasks. Outside of every span it is a child of the span that has caused the first task.
    pub(crate) fn of_addition(&self, theme: &str, tasks: &[NewTask]) -> Span {
        let outside = tracing::Span::current().is_none();
        let span = info_span!(
            target: "gaia_actors", "gaia.add", otel.kind = "producer", theme, tasks = tasks.len(), service = Empty, method = Empty,
            error = Empty, otel.status_code = Empty
        );
        if let [task] = tasks {
            span.record("service", &*task.service).record("method", &*task.method);
        }
        let cause = tasks.first().and_then(|task| task.traceparent.as_deref());
        self.child_of(span, cause.filter(|text| outside && is_traceparent(text)))
    }

    /// Around the layers and the handler of an attempt of a task.
    pub(crate) fn of_task(&self, run: &TaskRunInfo, parent: Option<&str>) -> Span {
        let span = info_span!(
            target: "gaia_actors", parent: None, "gaia.task", otel.kind = "consumer", task_id = run.task_id, theme = &*run.theme,
            service = run.service, method = run.method, attempt = run.attempt, log_id = &*run.log_id,
            outcome = Empty, error = Empty, otel.status_code = Empty
        );
        self.child_of(span, parent)
    }

    /// Around an attempt of a job's run.
    pub(crate) fn of_job(&self, run: &JobRunInfo, attempt: u32, parent: Option<&str>) -> Span {
        let span = info_span!(
            target: "gaia_actors", parent: None, "gaia.job", otel.kind = "consumer", job_id = run.job_id, job = run.job_name.as_deref(),
            run_id = run.run_id, attempt, log_id = &*run.log_id, outcome = Empty, error = Empty, otel.status_code = Empty
        );
        self.child_of(span, parent)
    }

    fn child_of(&self, span: tracing::Span, parent: Option<&str>) -> Span {
        if let (Some(linked), Some(parent), false) = (&self.0, parent, span.is_disabled()) {
            linked.caught("attach", || (linked.propagation.attach)(&span, parent));
        }
        Span(span)
    }
}

impl Span {
    /// Around the request of a hook. The path of its URL may hold a secret, and is not told.
    #[cfg(feature = "hooks")]
    pub(crate) fn of_hook(method: &str, host: &str) -> Self {
        Self(info_span!(
            target: "gaia_actors", "gaia.hook", otel.kind = "client", method, host, status = Empty, error = Empty, otel.status_code = Empty
        ))
    }

    /// The future, which is within the span wherever it is polled.
    pub(crate) fn around<F: Future>(self, future: F) -> impl Future<Output = F::Output> + use<F> {
        future.instrument(self.0)
    }

    /// Calls a function within the span.
    pub(crate) fn call<T>(&self, call: impl FnOnce() -> T) -> T {
        self.0.in_scope(call)
    }

    /// The service has answered a hook with this status.
    #[cfg(feature = "hooks")]
    pub(crate) fn answered(&self, status: u16) {
        self.0.record("status", status);
    }

    pub(crate) fn ended(&self, outcome: &str) {
        self.0.record("outcome", outcome);
    }

    /// Of a long error the beginning is kept, as in the log.
    pub(crate) fn failed(&self, error: &str) {
        self.0
            .record("error", line_of(error))
            .record("otel.status_code", "ERROR");
    }

    pub(crate) fn task_ended(&self, outcome: &Outcome) {
        self.ended(match outcome {
            Outcome::Succeeded(_) => "succeeded",
            Outcome::Failed { failure, error } => {
                self.failed(error);
                failure.as_str()
            }
            Outcome::Snoozed(_) => "snoozed",
            Outcome::Cancelled => "cancelled",
            Outcome::HandedBack { .. } | Outcome::Postponed { .. } => "handed_back",
            Outcome::NotServed => "not_served",
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn what_the_application_answers_counts_if_it_is_a_traceparent() {
        for (answer, expected) in [(None, None), (Some("nonsense"), None), (Some(GOOD), Some(GOOD))] {
            let traces = Traces::linked(Propagation::new(move || answer.map(str::to_owned), |_, _| ()));
            assert_eq!(traces.current().as_deref(), expected);
        }
        assert_eq!(Traces::default().current(), None);
    }

    #[test]
    fn a_panic_of_the_application_reaches_no_caller() {
        let traces = Traces::linked(Propagation::new(
            || panic!("on purpose"),
            |_, _| panic!("on purpose, too"),
        ));
        assert_eq!(traces.current(), None);
        tracing::subscriber::with_default(tracing_subscriber::registry(), || {
            let span = traces.child_of(info_span!("any"), Some(GOOD));
            assert_eq!(span.call(|| 7), 7);
        });
    }
}
