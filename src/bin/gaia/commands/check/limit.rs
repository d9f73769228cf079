//! Whether limits of methods hold tasks up.

use super::finding::{Findings, word};
use crate::{
    api::{Api, Fields},
    commands::{
        limit::{self, at_once, at_once_per_key, pace, per_key, waiting_keys},
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
    for limit in seen(api).await? {
        if limit.flag("waits") {
            holds_up(findings, &limit, &format!("due tasks call {}", method::name(&limit)));
        }
        keys_wait(findings, &limit);
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
        if of_method.is_some() {
            keys_wait(findings, limit);
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

/// What to do about a task that waits until fewer tasks with its limit key run.
pub async fn of_key(api: &Api, task: &Fields) -> Result<Vec<String>> {
    let called = method::name(task);
    let limits = seen(api).await?;
    let limit = limits.iter().find(|limit| method::name(limit) == called);
    let key = task.text("limit_key").replace('\\', "\\\\").replace('"', "\\\"");
    let others = format!(
        "gaia task list status:running {}",
        word(&format!("limit-key:\"{key}\""))
    );
    Ok(limit.and_then(raised_per_key).into_iter().chain(Some(others)).collect())
}

/// Tasks of the method wait until fewer tasks with their limit key run. These tasks are not due: no worker could take them.
fn keys_wait(findings: &mut Findings, limit: &Fields) {
    let (Some(keys), Some(per_key)) = (waiting_keys(limit), per_key(limit)) else {
        return;
    };
    let called = method::name(limit);
    let keys = words::counted(keys, "limit key", "limit keys");
    let text = format!("tasks of {keys} wait to call {called}, whose limit allows each key {per_key}");
    let listed = "gaia limit list".to_owned();
    let helps: Vec<String> = raised_per_key(limit).into_iter().chain(Some(listed)).collect();
    findings.note(text, &helps.iter().map(String::as_str).collect::<Vec<_>>());
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

/// The command that lets twice as many tasks run at once, and leaves the rest of the limit as it is.
fn raised(limit: &Fields, most: i64) -> String {
    command(limit, Some(most.saturating_mul(2)), at_once_per_key(limit))
}

/// The same of each limit key. `None`: any number of a key may run at once, and only their pace holds them up.
fn raised_per_key(limit: &Fields) -> Option<String> {
    let most = at_once_per_key(limit)?;
    Some(command(limit, at_once(limit), Some(most.saturating_mul(2))))
}

/// The command that sets how many may run at once, and leaves the paces as they are.
fn command(limit: &Fields, at_once: Option<i64>, at_once_per_key: Option<i64>) -> String {
    let (service, method) = (word(&limit.text("service")), word(&limit.text("method")));
    let number = |option: &str, number: Option<i64>| number.map(|number| format!("{option} {number}"));
    let pace = |field: &str, [count, per]: [&str; 2]| {
        let starts = limit.object("limit")?.object(field)?;
        Some(format!(
            "{count} {} {per} {}ms",
            starts.int("count")?,
            starts.int("per_ms")?
        ))
    };
    let options = [
        number("--running", at_once),
        pace("starts", ["--starts", "--per"]),
        number("--running-per-key", at_once_per_key),
        pace("starts_per_key", ["--starts-per-key", "--per-key"]),
    ];
    let words = ["gaia limit set".to_owned(), service, method];
    let words: Vec<String> = words.into_iter().chain(options.into_iter().flatten()).collect();
    words.join(" ")
}
