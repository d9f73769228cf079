//! Each call that changes anything, except the adding of tasks, is written down in the audit before its route runs.

use actix_web::{HttpResponse, web::Bytes};
use percent_encoding::percent_decode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    body::{self, BodyRule, Unread},
    call::Call,
    problem::{Fault, Problem},
    routes::Route,
};
use crate::{
    domain::{BulkTasks, EndAudit, Faults, Fields, MAX_TARGET_CHARS, NewAudit, Note, TaskFilter, check_theme},
    error::Error,
    line::OneLine,
};

/// The header with the reason of a change, percent-encoded: for requests whose body has no place for it.
const REASON_HEADER: &str = "x-reason";

/// Writes an entry, runs the route, and notes the result in the entry. Goes on if the client hangs up: the change goes on, too.
pub(super) async fn recorded(call: Call, route: &'static Route, action: &'static str) -> Result<HttpResponse, Problem> {
    match actix_web::rt::spawn(record(call, route, action)).await {
        Ok(done) => done,
        Err(gone) => match gone.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The thread that served the request has ended.
            Err(_) => Err(Error::Stopped.into()),
        },
    }
}

async fn record(mut call: Call, route: &'static Route, action: &'static str) -> Result<HttpResponse, Problem> {
    let admin = call.gaia().admin();
    let reason = take_reason(&mut call, route.body);
    let Subject { target, theme } = subject(&call, route).await.map_err(Problem::before_the_change)?;
    let entry = NewAudit {
        theme,
        reason: reason.as_ref().ok().cloned().flatten(),
        ..NewAudit::new(call.caller.name(), action, target)
    };
    let entry = admin.begin_audit(entry).await;
    let id = entry.map_err(|error| Problem::from(error).before_the_change())?;
    let done = match reason {
        Ok(reason) => {
            call.reason = reason;
            (route.run)(call).await
        }
        Err(problem) => Err(problem),
    };
    let result = result_of(&done);
    let end = EndAudit {
        id,
        result: result.clone(),
    };
    if let Err(error) = admin.end_audit(end).await {
        say!(
            Warn,
            "audit: entry {id} has no result, which would be {result:?}: {error}"
        );
    }
    done
}

fn result_of(done: &Result<HttpResponse, Problem>) -> String {
    match done {
        Ok(_) => "done".to_owned(),
        Err(problem) if problem.status().is_server_error() => format!("failed: {}", problem.code()),
        Err(problem) => format!("refused: {}", problem.code()),
    }
}

// ---- the reason ----

/// Takes the reason out of the body, so that no route has to know of it, or out of the header.
fn take_reason(call: &mut Call, rule: BodyRule) -> Result<Option<String>, Problem> {
    let in_body = match rule {
        BodyRule::Small => reason_in_body(call)?,
        // That of a form.
        _ => call.reason.take(),
    };
    let reason = match (in_body, reason_in_header(call)?) {
        (Some(_), Some(_)) => {
            let fault = Fault::of("the body and the header X-Reason both have a reason; leave one out");
            return Err(Problem::invalid(vec![fault]));
        }
        (in_body, in_header) => in_body.or(in_header),
    };
    let mut faults = Faults::default();
    let note = Note::checked(&mut faults, None, reason);
    faults.into_result()?;
    Ok(note.reason)
}

fn reason_in_body(call: &mut Call) -> Result<Option<String>, Problem> {
    let mut fields: Fields = match body::parsed(body::text(&call.body)?) {
        Ok(fields) => fields,
        // An empty body, or one that the route refuses.
        Err(Unread::NoJson(_)) => return Ok(None),
        Err(Unread::Other(fault)) => return Err(Problem::invalid(vec![fault])),
    };
    let reason = fields.take::<Option<String>, serde_json::Error>("reason");
    let reason = reason.map_err(|error| {
        Problem::invalid(vec![Fault {
            pointer: Some("/reason".to_owned()),
            ..Fault::of(error.to_string())
        }])
    })?;
    let rest = fields
        .into_json()
        .map_err(|error| Problem::bad_json(error.to_string()))?;
    call.body = Bytes::from(rest);
    Ok(reason)
}

fn reason_in_header(call: &Call) -> Result<Option<String>, Problem> {
    let fault = |detail: &str| Problem::invalid(vec![Fault::of(detail)]);
    let mut values = call.headers().get_all(REASON_HEADER);
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(fault("the header X-Reason is there more than once"));
    }
    let reason = percent_decode(value.as_bytes()).decode_utf8();
    let reason = reason.map_err(|_| fault("the header X-Reason is no UTF-8 after its escapes are decoded"))?;
    Ok(Some(reason.into_owned()))
}

// ---- the target ----

/// What a call is about.
struct Subject {
    target: String,
    theme: Option<String>,
}

/// The job that a body defines.
#[derive(Deserialize)]
struct Named {
    job_name: String,
}

/// What a call is about: by its path; if the path names nothing, by its body. A call that the route will refuse is about something, too.
async fn subject(call: &Call, route: &Route) -> Result<Subject, Problem> {
    let variable = route.path.split(['{', '}']).nth(1);
    let target = match (route.path, variable) {
        ("/tasks/bulk", _) => return Ok(of_bulk(call, route)),
        ("/jobs", _) => serde_json::from_slice(&call.body).ok().map(|job: Named| job.job_name),
        (_, Some(variable)) => call.name(variable).ok(),
        _ => None,
    };
    let theme = match route.path {
        path if path.starts_with("/tasks/{id}") => theme_of_task(call).await?,
        path if path.starts_with("/operations/{id}") => theme_of_operation(call).await?,
        _ => call.name("theme").ok().filter(|theme| check_theme(theme).is_ok()),
    };
    Ok(Subject {
        target: fitting(target.as_deref().unwrap_or(route.path)),
        theme,
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
        };
    };
    Subject {
        target: fitting(&format!("{} {}", bulk.action, conditions(&bulk.filter))),
        theme: call
            .caller
            .limit(bulk.filter)
            .ok()
            .and_then(|filter| the_only(filter.themes)),
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
