//! Why a task does not run, or why it has failed.

use chrono::{DateTime, Utc};

use super::{
    finding::{Findings, word},
    limit,
    theme::{self, Theme},
};
use crate::{
    api::{Api, Fields},
    commands::{method, node, task::waits_for},
    exit::Result,
    output::words,
};

pub async fn look(api: &Api, findings: &mut Findings, id: i64) -> Result<()> {
    let task = api.get(&["tasks", &id.to_string()]).send().await?.fields()?;
    let status = task.text("status");
    match status.as_str() {
        "Success" => {
            findings.ok(format!("the task {id} has succeeded{}", ended(api, &task)));
            Ok(())
        }
        "Running" => running(api, findings, &task).await,
        "Failed" | "Cancelled" => over(api, findings, &task, &status).await,
        _ => waiting(api, findings, &task, &status).await,
    }
}

fn ended(api: &Api, task: &Fields) -> String {
    let ended = task
        .time("last_run_end_time")
        .map(|ended| format!(" {}", words::ago(ended, api.now())));
    ended.unwrap_or_default()
}

async fn running(api: &Api, findings: &mut Findings, task: &Fields) -> Result<()> {
    let (id, on) = (task.text_of_id(), task.text("node"));
    let since = task
        .time("last_run_time")
        .map(|began| words::ago(began, api.now()))
        .unwrap_or_default();
    let nodes = node::nodes(api).await?;
    let found = nodes.iter().find(|node| node.text("id") == on);
    let log = format!("gaia task log {id} --follow");
    match found.map(|node| node.flag("alive")) {
        Some(true) => findings.ok(format!("the task {id} runs on the node {on} since {since}")),
        Some(false) => findings.wrong(
            format!("the task {id} runs on the node {on}, which is silent"),
            "a node that beats; another node takes the task over once this one is declared dead",
            &["gaia node list"],
        ),
        None if on.is_empty() => findings.wrong(
            format!("the task {id} says Running, and no node runs it: another program has set it so"),
            "an end that this program writes. If it has died: where the Go framework keeps heartbeats, nodes of the theme set the task \
             back to Wait within a minute; elsewhere an operator must",
            &[&format!(
                "UPDATE asynctasks SET task_status = 'Wait' WHERE id = {id} AND task_status = 'Running'"
            )],
        ),
        None => findings.wrong(
            format!("the task {id} says Running, and no node with the id {on:?} is there"),
            "a living node; a node of the theme takes the task over within seconds",
            &["gaia node list"],
        ),
    }
    if task.flag("cancel_requested") {
        findings.note("its handler is asked to stop, and has not ended yet", &[&log]);
    }
    findings.note("what its handler logs", &[&log]);
    Ok(())
}

/// A task that has failed, or was cancelled.
async fn over(api: &Api, findings: &mut Findings, task: &Fields, status: &str) -> Result<()> {
    let id = task.text_of_id();
    let (records, log, retry) = (
        format!("gaia task records {id}"),
        format!("gaia task log {id}"),
        format!("gaia task retry {id}"),
    );
    let error = task.text("last_error");
    match status {
        "Failed" => findings.wrong(
            format!(
                "the task {id} has failed{}, after {}: {error}",
                ended(api, task),
                attempts(task)
            ),
            "a handler that succeeds; see its attempts and its log, mend the cause, then retry",
            &[&records, &log, &retry],
        ),
        _ => findings.wrong(
            format!("the task {id} was cancelled{}", ended(api, task)),
            "a task that is not cancelled; the audit says who has cancelled it",
            &["gaia audit list --action task.cancel", &retry],
        ),
    }
    holder_of_key(api, findings, task).await
}

fn attempts(task: &Fields) -> String {
    words::counted(task.int("retry_time").unwrap_or(0) + 1, "attempt", "attempts")
}

/// A finished task cannot be queued again while an unfinished one has its unique key.
async fn holder_of_key(api: &Api, findings: &mut Findings, task: &Fields) -> Result<()> {
    let key = task.text("unique_key");
    if key.is_empty() {
        return Ok(());
    }
    let request = api
        .get(&["tasks"])
        .query("theme", task.text("theme"))
        .query("unique_key", &key)
        .query("status", "Wait,Retry,Running");
    for holder in request.query("limit", 1).send().await?.fields()?.list("tasks") {
        let holder = holder.text_of_id();
        findings.wrong(
            format!("the unfinished task {holder} has the unique key {key:?} of this task, which therefore cannot be queued again"),
            "no unfinished task with this key",
            &[&format!("gaia task wait {holder}"), &format!("gaia task cancel {holder}")],
        );
    }
    Ok(())
}

/// A task that waits, for its first attempt or for another.
async fn waiting(api: &Api, findings: &mut Findings, task: &Fields, status: &str) -> Result<()> {
    let id = task.text_of_id();
    if status == "Retry" {
        findings.note(
            format!(
                "the task {id} has failed in {}, and is tried again: {}",
                attempts_so_far(task),
                task.text("last_error")
            ),
            &[&format!("gaia task records {id}")],
        );
    }
    if let Some(waits_for) = waits_for(task) {
        let text = format!("the task {id} {waits_for}, and is not due before");
        match task
            .object("waits_for")
            .is_some_and(|waits| waits.text("kind") == "limit")
        {
            true => {
                let helps = limit::of_key(api, task).await?;
                findings.note(text, &helps.iter().map(String::as_str).collect::<Vec<_>>());
            }
            false => findings.note(text, &[&format!("gaia task run-now {id}")]),
        }
        return Ok(());
    }
    let due: Option<DateTime<Utc>> = task.time("run_at").filter(|at| *at > api.now());
    if let Some(at) = due {
        findings.note(
            format!(
                "the task {id} waits for its time: it is due {}",
                words::both(at, &view(api))
            ),
            &[&format!("gaia task run-now {id}")],
        );
    } else {
        findings.ok(format!("the task {id} is due"));
    }
    let theme = Theme::read(api, &task.text("theme")).await?;
    theme::is_open(api, findings, &theme);
    theme::has_workers(findings, &theme);
    let nodes = node::details_of_living(api, &node::nodes(api).await?).await?;
    theme::are_ours(findings, &nodes, Some(&theme.name));
    serves(api, findings, task, &theme).await?;
    if due.is_none() {
        limit::of_task(api, findings, task).await?;
    }
    Ok(())
}

fn view(api: &Api) -> crate::output::View {
    crate::output::View {
        now: api.now(),
        is_wide: false,
    }
}

fn attempts_so_far(task: &Fields) -> String {
    words::counted(task.int("retry_time").unwrap_or(1).max(1), "attempt", "attempts")
}

/// Whether a node will run the method of the task.
async fn serves(api: &Api, findings: &mut Findings, task: &Fields, theme: &Theme) -> Result<()> {
    let called = method::name(task);
    let methods = api
        .get(&["themes", &theme.name, "methods"])
        .send()
        .await?
        .fields()?
        .list("methods");
    let found = methods.iter().find(|info| method::name(info) == called);
    if found.is_some_and(theme::is_on_a_node) {
        findings.ok(format!("{called} is served for the theme {}", theme.name));
        return Ok(());
    }
    let elsewhere = api.get(&["methods"]).send().await.and_then(|answer| answer.fields());
    let elsewhere = elsewhere.is_ok_and(|all| all.list("methods").iter().any(|info| method::name(info) == called));
    let where_else = match elsewhere {
        true => "; nodes that do not work on this theme serve it",
        false => "",
    };
    findings.wrong(
        format!(
            "no living node with workers for the theme {} serves {called}{where_else}",
            theme.name
        ),
        "a node that has registered this method, spelt the same, and has workers for the theme",
        &[&format!("gaia theme methods {}", word(&theme.name)), "gaia method list"],
    );
    Ok(())
}
