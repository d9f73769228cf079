//! The methods and jobs that are counted by name.

use std::{collections::HashMap, sync::Arc};

use crate::domain::{HistoryKind, MAX_NAME_CHARS, Series};

/// The name under which all count that have no name of their own any more.
pub(crate) const OTHER: &str = "_other";

/// Theme (or job), service and method.
type Known = HashMap<Box<str>, HashMap<Box<str>, HashMap<Box<str>, Arc<Series>>>>;

/// Up to so many methods or jobs. Methods beyond that count as one method of their theme, jobs as one job.
pub(in crate::events) struct Names {
    kind: HistoryKind,
    most: usize,
    count: usize,
    known: Known,
}

impl Names {
    pub(in crate::events) fn new(kind: HistoryKind, most: usize) -> Self {
        Self {
            kind,
            most,
            count: 0,
            known: HashMap::new(),
        }
    }

    pub(super) fn forget(&mut self) {
        self.count = 0;
        self.known.clear();
    }

    pub(in crate::events) fn get(&mut self, [theme, service, method]: [&str; 3]) -> Arc<Series> {
        let of_theme = self.known.get(theme);
        let known = of_theme.and_then(|services| services.get(service)?.get(method));
        if let Some(series) = known {
            return Arc::clone(series);
        }
        let series = Arc::new(match self.count < self.most {
            true => named(self.kind, [theme, service, method]),
            false => other(self.kind, theme),
        });
        if self.count < self.most {
            self.count += 1;
            let services = self.known.entry(theme.into()).or_default();
            let methods = services.entry(service.into()).or_default();
            methods.insert(method.into(), Arc::clone(&series));
        }
        series
    }
}

fn named(kind: HistoryKind, [theme, service, method]: [&str; 3]) -> Series {
    Series {
        kind: kind.as_str().to_owned(),
        theme: fitting(theme),
        service: fitting(service),
        method: fitting(method),
    }
}

/// What counts together.
pub(super) fn other(kind: HistoryKind, theme: &str) -> Series {
    match kind {
        HistoryKind::Task => named(kind, [theme, OTHER, OTHER]),
        HistoryKind::Job => named(kind, [OTHER, "", ""]),
    }
}

/// As many characters as a column takes. Plain SQL may have given a job a longer name.
fn fitting(name: &str) -> String {
    name.chars().take(MAX_NAME_CHARS).filter(|char| *char != '\0').collect()
}
