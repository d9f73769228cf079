//! Which tasks a request means: a search line, single parameters, or both.

use super::{access::Caller, call::Call, problem::Problem, query::Query};
use crate::domain::TaskFilter;

/// The conditions of a request.
pub(super) struct Asked {
    pub(super) filter: TaskFilter,
    /// What the caller has written. Unlike the filter, it stays the same from page to page if the line has a length of time, such as
    /// `older:2h`.
    pub(super) names: (Option<String>, TaskFilter),
}

impl Asked {
    /// The filter, limited to the caller's themes.
    pub(super) fn limited_to(self, caller: &Caller) -> Result<Self, Problem> {
        let (line, single) = self.names;
        let filter = caller.limit(self.filter)?;
        let themes = filter.themes.clone();
        Ok(Self {
            filter,
            names: (line, TaskFilter { themes, ..single }),
        })
    }
}

/// Reads the conditions. Faults are noted with the query.
pub(super) fn read(call: &mut Call) -> Asked {
    let now = call.gaia().store().clock().now();
    let query = &mut call.query;
    let single = TaskFilter {
        themes: query.texts("theme"),
        statuses: query.list("status"),
        service: query.text("service"),
        method: query.text("method"),
        name_contains: query.text("name"),
        ids: query.list("id"),
        unique_key: query.text("unique_key"),
        node: query.text("node"),
        without_node: query.flag("without_node").unwrap_or(false),
        log_id: query.text("log_id"),
        error_contains: query.text("error"),
        created_from: query.time("created_from"),
        created_before: query.time("created_before"),
        ended_from: query.time("ended_from"),
        ended_before: query.time("ended_before"),
    };
    let line = query.text("q");
    let filter = match line.as_deref().map(|line| TaskFilter::parse_line(line, now)) {
        None => single.clone(),
        Some(Ok(of_line)) => together(query, of_line, single.clone()),
        Some(Err(input)) => {
            for fault in input.faults() {
                query.fault("q", fault.clone());
            }
            TaskFilter::default()
        }
    };
    Asked {
        filter,
        names: (line, single),
    }
}

/// The conditions of both. A condition that both have is a fault.
fn together(query: &mut Query, line: TaskFilter, single: TaskFilter) -> TaskFilter {
    TaskFilter {
        themes: one(query, "theme", line.themes, single.themes),
        statuses: one(query, "status", line.statuses, single.statuses),
        service: one(query, "service", line.service, single.service),
        method: one(query, "method", line.method, single.method),
        name_contains: one(query, "name", line.name_contains, single.name_contains),
        ids: one(query, "id", line.ids, single.ids),
        unique_key: one(query, "unique_key", line.unique_key, single.unique_key),
        node: one(query, "node", line.node, single.node),
        without_node: one(query, "without_node", line.without_node, single.without_node),
        log_id: one(query, "log_id", line.log_id, single.log_id),
        error_contains: one(query, "error", line.error_contains, single.error_contains),
        created_from: one(query, "created_from", line.created_from, single.created_from),
        created_before: one(query, "created_before", line.created_before, single.created_before),
        ended_from: one(query, "ended_from", line.ended_from, single.ended_from),
        ended_before: one(query, "ended_before", line.ended_before, single.ended_before),
    }
}

fn one<T: Default + PartialEq>(query: &mut Query, name: &'static str, line: T, single: T) -> T {
    let none = T::default();
    if line != none && single != none {
        query.fault(
            name,
            format!("{name} says the same as a part of q; expected one of them"),
        );
    }
    if line == none { single } else { line }
}

/// The parameters that [`read`] takes.
pub(super) mod described {
    use utoipa::openapi::{ObjectBuilder, Type};

    use crate::{
        domain::{MAX_NAME_CHARS, MAX_THEME_CHARS, TaskStatus},
        web::openapi::{
            Described,
            schemas::{flag, id, list as several, reference, text, time},
        },
    };

    /// The most themes and statuses, and the most ids, that a filter names.
    const MOST_NAMED: usize = 100;
    const MOST_IDS: usize = 1_000;

    pub(in crate::web) fn asked(described: Described) -> Described {
        let name = || text(MAX_NAME_CHARS);
        let line = ObjectBuilder::new()
            .schema_type(Type::String)
            .examples(["status:failed,retry error:\"connection refused\" newer:2h"]);
        described
            .query(
                "q",
                line,
                "A search line: conditions with blanks between them, all of which must be met. No other parameter may say the same.",
            )
            .with::<TaskStatus>()
            .query(
                "theme",
                several(text(MAX_THEME_CHARS), MOST_NAMED),
                "Only these themes.",
            )
            .query(
                "status",
                several(reference::<TaskStatus>(), MOST_NAMED),
                "Only these statuses.",
            )
            .query("service", name(), "Only this service.")
            .query("method", name(), "Only this method.")
            .query("name", name(), "Only names that contain this text.")
            .query("id", several(id(), MOST_IDS), "Only these ids.")
            .query("unique_key", name(), "Only this unique key.")
            .query("node", name(), "Only tasks that this node runs.")
            .query("without_node", flag(Some(false)), "Only tasks that no node runs.")
            .query("log_id", name(), "Only the task that has run under this log id.")
            .query("error", name(), "Only tasks whose last error contains this text.")
            .query(
                "created_from",
                time(),
                "Only tasks that were added at or after this time.",
            )
            .query("created_before", time(), "Only tasks that were added before this time.")
            .query(
                "ended_from",
                time(),
                "Only tasks whose last run ended at or after this time.",
            )
            .query(
                "ended_before",
                time(),
                "Only tasks whose last run ended before this time.",
            )
    }
}
