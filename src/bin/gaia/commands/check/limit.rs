//! Whether limits of methods hold tasks up.

use super::finding::{Findings, word};
use crate::{
    api::{Api, Fields},
    commands::{
        limit::{self, at_once, pace},
        method,
    },
    exit::{Exit, Result},
    output::words,
};

/// The limits. Callers who are limited to themes see none.
async fn seen(api: &Api) -> Result<Vec<Fields>> {
    match limit::limits(api).await {
        Err(failure) if failure.exit == Exit::NoRight => Ok(Vec::new()),
        seen => seen,
    }
}

/// Of all methods.
pub async fn look_at_all(api: &Api, findings: &mut Findings) -> Result<()> {
    for limit in seen(api).await?.iter().filter(|limit| limit.flag("waits")) {
        holds_up(findings, limit, &format!("due tasks call {}", method::name(limit)));
    }
    Ok(())
}

/// Of the methods that due tasks of a theme call.
pub async fn of_theme(api: &Api, findings: &mut Findings, theme: &str) -> Result<()> {
    let limits = seen(api).await?;
    if limits.is_empty() {
        return Ok(());
    }
    let methods = api
        .get(&["themes", theme, "methods"])
        .send()
        .await?
        .fields()?
        .list("methods");
    for limit in &limits {
        let called = method::name(limit);
        let of_method = methods.iter().find(|info| method::name(info) == called);
        let due = of_method.and_then(|info| info.int("due")).unwrap_or(0);
        if due > 0 {
            let calls = words::counted(due, "due task calls", "due tasks call");
            holds_up(findings, limit, &format!("{calls} {called}"));
        }
    }
    Ok(())
}

/// Of the method that a due task calls.
pub async fn of_task(api: &Api, findings: &mut Findings, task: &Fields) -> Result<()> {
    let called = method::name(task);
    for limit in seen(api).await?.iter().filter(|limit| method::name(limit) == called) {
        let what = format!("the task {} calls {called}", task.text_of_id());
        holds_up(findings, limit, &what);
    }
    Ok(())
}

/// The limit holds tasks up, or may do so.
fn holds_up(findings: &mut Findings, limit: &Fields, what: &str) {
    match (at_once(limit).filter(|_| limit.flag("waits")), pace(limit)) {
        (Some(most), _) => findings.note(
            format!(
                "{what}, whose limit is used up: {} of {} taken",
                limit.int("slots").unwrap_or(0),
                words::counted(most, "slot is", "slots are")
            ),
            &[&raised(limit, most), "gaia limit list"],
        ),
        (None, Some(pace)) => findings.note(
            format!("{what}, whose limit lets no more start than {pace}"),
            &["gaia limit list"],
        ),
        (None, None) => {}
    }
}

/// The command that lets twice as many tasks run at once, and leaves the pace as it is.
fn raised(limit: &Fields, most: i64) -> String {
    let (service, method) = (word(&limit.text("service")), word(&limit.text("method")));
    let starts = limit.object("limit").and_then(|limit| limit.object("starts"));
    let pace = starts.and_then(|starts| Some((starts.int("count")?, starts.int("per_ms")?)));
    let pace = pace.map(|(count, per_ms)| format!(" --starts {count} --per {per_ms}ms"));
    format!(
        "gaia limit set {service} {method} --running {}{}",
        most.saturating_mul(2),
        pace.unwrap_or_default()
    )
}
