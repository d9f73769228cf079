//! What a change is about: its target and the theme of the target.

use serde::Deserialize;
use serde_json::{Value, json};

use super::changes::{self, Changed};
use crate::{
    domain::{AuditChange, BulkTasks, MAX_TARGET_CHARS, TaskFilter, check_theme},
    error::Error,
    line::OneLine,
    web::{call::Call, method_limits, problem::Problem, routes::Route},
};

/// What a call is about.
pub(super) struct Subject {
    pub(super) target: String,
    pub(super) theme: Option<String>,
    /// The name of the job.
    pub(super) name: Option<String>,
    pub(super) changes: Vec<AuditChange>,
}

/// The job that a body defines.
#[derive(Deserialize)]
struct Named {
    job_name: String,
}

/// What a call is about: by its path; if the path names nothing, by its body. A call that the route will refuse is about something, too.
pub(super) async fn of(call: &Call, route: &Route) -> Result<Subject, Problem> {
    let variable = route.path.split(['{', '}']).nth(1);
    let target = match (route.path, variable) {
        ("/tasks/bulk", _) => return Ok(of_bulk(call, route)),
        ("/jobs", _) => serde_json::from_slice(&call.body).ok().map(|job: Named| job.job_name),
        ("/limits/{service}/{method}", _) => method_limits::named(call)
            .ok()
            .map(|(service, method)| format!("{service}.{method}")),
        (_, Some(variable)) => call.name(variable).ok(),
        _ => None,
    };
    let theme = match route.path {
        path if path.starts_with("/tasks/{id}") => theme_of_task(call).await?,
        path if path.starts_with("/operations/{id}") => theme_of_operation(call).await?,
        _ => call.name("theme").ok().filter(|theme| check_theme(theme).is_ok()),
    };
    let Changed { name, changes } = changes::of(call, route).await?;
    Ok(Subject {
        target: fitting(target.as_deref().unwrap_or(route.path)),
        theme,
        name,
        changes,
    })
}

async fn theme_of_task(call: &Call) -> Result<Option<String>, Problem> {
    let Ok(id) = call.id("task") else {
        return Ok(None);
    };
    match call.gaia().admin().theme_of_task(id).await {
        // Plain SQL may have written a theme that has no name.
        Ok(theme) => Ok(Some(theme).filter(|theme| check_theme(theme).is_ok())),
        Err(Error::TaskNotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn theme_of_operation(call: &Call) -> Result<Option<String>, Problem> {
    let Ok(id) = call.id("bulk operation") else {
        return Ok(None);
    };
    match call.gaia().admin().bulk_operation(id).await {
        Ok(operation) => Ok(the_only(operation.filter.themes)),
        Err(Error::BulkOperationNotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The action and the conditions of a bulk operation.
fn of_bulk(call: &Call, route: &Route) -> Subject {
    let Ok(bulk) = call.typed::<BulkTasks>() else {
        return Subject {
            target: route.path.to_owned(),
            theme: None,
            name: None,
            changes: Vec::new(),
        };
    };
    Subject {
        target: fitting(&format!("{} {}", bulk.action, conditions(&bulk.filter))),
        theme: call
            .caller
            .limit(bulk.filter)
            .ok()
            .and_then(|filter| the_only(filter.themes)),
        name: None,
        changes: Vec::new(),
    }
}

/// The conditions of a filter that differ from the default, as JSON.
fn conditions(filter: &TaskFilter) -> Value {
    let [mut conditions, default] = [filter, &TaskFilter::default()].map(|filter| json!(filter));
    if let Value::Object(conditions) = &mut conditions {
        conditions.retain(|key, value| default.get(key) != Some(value));
    }
    conditions
}

fn the_only(mut themes: Vec<String>) -> Option<String> {
    let theme = themes.pop().filter(|_| themes.is_empty())?;
    check_theme(&theme).is_ok().then_some(theme)
}

/// The text as an entry may hold it: without control characters, not blank, and not too long.
fn fitting(target: &str) -> String {
    let line = match target.trim().is_empty() {
        true => format!("{target:?}"),
        false => OneLine(format_args!("{target}")).to_string(),
    };
    match line.char_indices().nth(MAX_TARGET_CHARS) {
        None => line,
        Some(_) => line.chars().take(MAX_TARGET_CHARS - 1).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::NewAudit;

    #[test]
    fn a_target_fits_whatever_a_path_holds() {
        for (target, fitting_one) in [
            ("17", "17"),
            ("a\nb", "a\\nb"),
            ("", "\"\""),
            (" ", "\" \""),
            ("订单/任务", "订单/任务"),
        ] {
            assert_eq!(fitting(target), fitting_one);
        }
        for long in [
            "x".repeat(300),
            "é".repeat(301),
            "\0".repeat(10_000),
            " ".repeat(10_000),
        ] {
            let entry = NewAudit::new("a", "b", fitting(&long));
            assert!(entry.check().is_ok(), "{long}");
            assert_eq!(entry.target.ends_with('…'), long.chars().count() > 300);
        }
    }

    #[test]
    fn a_filter_is_told_by_its_conditions() {
        let filter = TaskFilter {
            themes: vec!["a".to_owned()],
            without_node: true,
            ..TaskFilter::default()
        };
        assert_eq!(
            conditions(&filter).to_string(),
            r#"{"themes":["a"],"without_node":true}"#
        );
        assert_eq!(conditions(&TaskFilter::default()).to_string(), "{}");
        assert_eq!(the_only(vec!["a".to_owned(), "b".to_owned()]), None);
    }
}
