//! Sums since this process began, for metrics.

use std::{collections::BTreeMap, sync::Arc};

use super::{MOST_JOBS, MOST_METHODS, OTHER, names::other};
use crate::domain::{Figures, HistoryKind, Series};

/// Sums by method and by job. The names are limited here, too: they are kept for as long as the process lives, not for an hour.
/// Further methods count together by theme, and those of further themes together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Totals {
    methods: BTreeMap<Arc<Series>, Figures>,
    jobs: BTreeMap<Arc<Series>, Figures>,
}

impl Totals {
    pub(crate) fn of(&self, kind: HistoryKind) -> impl Iterator<Item = (&Series, &Figures)> {
        let sums = match kind {
            HistoryKind::Task => &self.methods,
            HistoryKind::Job => &self.jobs,
        };
        sums.iter().map(|(series, figures)| (&**series, figures))
    }

    pub(super) fn add(&mut self, series: &Arc<Series>, figures: &Figures) {
        let (sums, most, kind) = match series.kind == HistoryKind::Job.as_str() {
            true => (&mut self.jobs, MOST_JOBS, HistoryKind::Job),
            false => (&mut self.methods, MOST_METHODS, HistoryKind::Task),
        };
        if let Some(sum) = sums.get_mut(series) {
            return sum.add(figures);
        }
        let series = match sums.len() {
            count if count < most => Arc::clone(series),
            count if count < 2 * most => Arc::new(other(kind, &series.theme)),
            _ => Arc::new(other(kind, OTHER)),
        };
        sums.entry(series).or_default().add(figures);
    }
}
