//! The labels that several families have, and the numbers behind them.

use super::families::Label;
use crate::{
    domain::{Figures, Series},
    events::{Component, FailureSums, OTHER},
};

/// A node's id is no label: it is another one after each start.
pub(super) fn labels(component: &Component) -> [Label<'_>; 2] {
    let (component, theme) = match component {
        Component::Theme(theme) => ("tasks", &**theme),
        Component::Jobs => ("jobs", ""),
        Component::Node(_) => ("node", ""),
    };
    [("component", component), ("theme", theme)]
}

pub(super) fn theme(series: &Series) -> Label<'_> {
    ("theme", &series.theme)
}

pub(super) fn job(series: &Series) -> Label<'_> {
    ("job", &series.theme)
}

pub(super) fn method(series: &Series) -> String {
    match series.service == series.method {
        // What counts together.
        true if series.method == OTHER => OTHER.to_owned(),
        _ => format!("{}.{}", series.service, series.method),
    }
}

pub(super) fn each_outcome(figures: &Figures, mut tell: impl FnMut(&'static str, u64)) {
    for (outcome, count) in [
        ("succeeded", figures.succeeded),
        ("failed", figures.failed),
        ("retried", figures.retried),
        ("snoozed", figures.snoozed),
        ("cancelled", figures.cancelled),
    ] {
        tell(outcome, count);
    }
}

pub(super) fn each_failure(sums: &FailureSums, mut tell: impl FnMut(&'static str, u64)) {
    for (kind, count) in sums {
        tell(kind, *count);
    }
}

pub(super) fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
