//! Which tasks a request means: a search line, single parameters, or both.

use chrono::{DateTime, SecondsFormat, Utc};

use super::{access::Caller, call::Call, problem::Problem, query::Query};
use crate::domain::TaskFilter;

/// The conditions of a request.
#[derive(Clone)]
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
        limit_key: query.text("limit_key"),
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
        limit_key: one(query, "limit_key", line.limit_key, single.limit_key),
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

/// The conditions as parameters, of which [`read`] makes the same conditions.
pub(super) fn parameters(filter: &TaskFilter) -> Vec<(&'static str, String)> {
    let mut parameters: Vec<(&'static str, String)> = Vec::new();
    parameters.extend(filter.themes.iter().map(|theme| ("theme", theme.clone())));
    parameters.extend(filter.statuses.iter().map(|status| ("status", status.to_string())));
    parameters.extend(filter.ids.iter().map(|id| ("id", id.to_string())));
    let texts = [
        ("service", &filter.service),
        ("method", &filter.method),
        ("name", &filter.name_contains),
        ("unique_key", &filter.unique_key),
        ("limit_key", &filter.limit_key),
        ("node", &filter.node),
        ("log_id", &filter.log_id),
        ("error", &filter.error_contains),
    ];
    parameters.extend(texts.into_iter().filter_map(|(name, text)| Some((name, text.clone()?))));
    if filter.without_node {
        parameters.push(("without_node", "true".to_owned()));
    }
    let times = [
        ("created_from", filter.created_from),
        ("created_before", filter.created_before),
        ("ended_from", filter.ended_from),
        ("ended_before", filter.ended_before),
    ];
    parameters.extend(
        times
            .into_iter()
            .filter_map(|(name, time)| Some((name, written(time?)))),
    );
    parameters
}

fn written(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// The conditions as a search line, for people to read. Names of services and methods that need quotes have no exact line.
pub(super) fn line_of(filter: &TaskFilter) -> String {
    let mut terms = Vec::new();
    let lists = [
        (
            "status",
            filter
                .statuses
                .iter()
                .map(|status| status.as_str().to_ascii_lowercase())
                .collect(),
        ),
        ("theme", filter.themes.iter().map(|theme| quoted(theme)).collect()),
        ("id", filter.ids.iter().map(i64::to_string).collect::<Vec<String>>()),
    ];
    terms.extend(
        lists
            .into_iter()
            .filter(|(_, values)| !values.is_empty())
            .map(|(name, values)| format!("{name}:{}", values.join(","))),
    );
    match (&filter.service, &filter.method) {
        (None, None) => {}
        (Some(service), Some(method)) => terms.push(format!("method:{}", quoted(&format!("{service}.{method}")))),
        (Some(service), None) => terms.push(format!("method:{service}.*")),
        (None, Some(method)) => terms.push(format!("method:*.{method}")),
    }
    let times = [
        filter.created_from,
        filter.created_before,
        filter.ended_from,
        filter.ended_before,
    ];
    let [created_from, created_before, ended_from, ended_before] = times.map(|time| time.map(written));
    let texts = [
        ("key", &filter.unique_key),
        ("limit-key", &filter.limit_key),
        ("node", &filter.node),
        ("log", &filter.log_id),
        ("error", &filter.error_contains),
        ("name", &filter.name_contains),
        ("created-from", &created_from),
        ("created-before", &created_before),
        ("ended-from", &ended_from),
        ("ended-before", &ended_before),
    ];
    let texts = texts
        .into_iter()
        .filter_map(|(name, text)| Some((name, text.as_deref()?)));
    terms.extend(texts.map(|(name, text)| format!("{name}:{}", quoted(text))));
    if filter.without_node {
        terms.push("node:none".to_owned());
    }
    terms.join(" ")
}

/// A value of a search line, in quotes if it would mean something else without them.
fn quoted(text: &str) -> String {
    let is_plain = |char: char| !char.is_whitespace() && !matches!(char, ',' | '"' | '\\' | '*');
    match !text.is_empty() && text != "none" && text.chars().all(is_plain) {
        true => text.to_owned(),
        false => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
    }
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
            .query("limit_key", name(), "Only this limit key.")
            .query("node", name(), "Only tasks that this node runs.")
            .query("without_node", flag(Some(false)), "Only tasks that no node runs.")
            .query("log_id", name(), "Only the task that has run under this log id, in its last attempt or in an earlier one.")
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::TaskStatus;

    fn filter() -> TaskFilter {
        let now = DateTime::from_timestamp_millis(1_769_860_800_123).unwrap();
        TaskFilter {
            themes: vec!["a,b".to_owned(), "订单".to_owned()],
            statuses: vec![TaskStatus::Failed, TaskStatus::Wait],
            service: Some("Order \"x\"".to_owned()),
            method: Some("Create*".to_owned()),
            name_contains: Some("C:\\ night".to_owned()),
            ids: vec![3, -1],
            unique_key: Some("order:17".to_owned()),
            limit_key: Some("tenant 17".to_owned()),
            node: Some("none".to_owned()),
            log_id: Some("0197f1-17".to_owned()),
            error_contains: Some("a \"b\" c".to_owned()),
            created_from: Some(now),
            created_before: Some(now),
            ended_from: Some(now),
            ended_before: Some(now),
            without_node: false,
        }
    }

    #[test]
    fn a_filter_as_a_line_is_read_back() {
        let without_node = TaskFilter {
            without_node: true,
            ..TaskFilter::default()
        };
        let of_service = TaskFilter {
            service: Some("Order".to_owned()),
            ..TaskFilter::default()
        };
        for filter in [filter(), without_node, of_service, TaskFilter::default()] {
            let line = line_of(&filter);
            assert_eq!(TaskFilter::parse_line(&line, Utc::now()), Ok(filter), "{line}");
        }
    }

    #[test]
    fn a_filter_as_parameters_names_every_condition() {
        let named = parameters(&filter());
        let all = serde_json::to_value(filter()).unwrap();
        // Two themes, two statuses and two ids; `without_node` is not set.
        assert_eq!(named.len(), all.as_object().unwrap().len() + 3 - 1);
        assert_eq!(parameters(&TaskFilter::default()), []);
    }
}
