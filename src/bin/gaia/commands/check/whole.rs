//! The whole installation: database, clocks, nodes, themes, limits, jobs, alerts.

use chrono::TimeDelta;

use super::{finding::Findings, job, limit, theme};
use crate::{
    api::{Api, Fields},
    commands::node,
    exit::{Exit, Result},
    output::words,
    session::Session,
};

/// Clocks that differ by more make jobs fire at times that people do not expect.
const SKEW: TimeDelta = TimeDelta::seconds(2);

pub async fn look(session: &Session, api: &Api, findings: &mut Findings) -> Result<()> {
    ready(api, findings).await?;
    let nodes = node::nodes(api).await?;
    clocks(session, api, findings).await?;
    of_nodes(api, findings, &nodes);
    for info in api.get(&["themes"]).send().await?.fields()?.list("themes") {
        theme::look_briefly(api, findings, &info.text("theme")).await?;
    }
    let details = node::details_of_living(api, &nodes).await?;
    theme::are_ours(findings, &details, None);
    limit::look_at_all(api, findings).await?;
    // Callers who are limited to themes see no jobs.
    match job::look_at_all(api, findings, &details).await {
        Err(failure) if failure.exit == Exit::NoRight => findings.note("the caller may not see jobs", &[]),
        looked => looked?,
    }
    let alerts = api.get(&["alerts"]).send().await?.fields()?.list("alerts");
    for alert in &alerts {
        findings.wrong(
            format!("an alert is open: {}", alert.text("text_en")),
            "no open alert",
            &["gaia alert list"],
        );
    }
    Ok(())
}

async fn ready(api: &Api, findings: &mut Findings) -> Result<()> {
    let answer = api.get(&["readyz"]).exchanged().await?;
    let Ok(ready) = answer.fields() else {
        findings.wrong(
            "what answers is not the API of this program",
            "the URL below which the API is mounted",
            &[],
        );
        return Ok(());
    };
    let checks = ready.object("checks");
    let failed: Vec<&str> = [
        ("database", "its database does not answer"),
        ("schema", "its tables are not of its version"),
        ("beats", "it cannot write its heartbeat"),
        ("takes_work", "it drains or stops"),
    ]
    .into_iter()
    .filter(|(check, _)| checks.as_ref().is_some_and(|checks| !checks.flag(check)))
    .map(|(_, words)| words)
    .collect();
    match failed.is_empty() {
        true => findings.ok("the database answers, and its tables are of the right version"),
        false => findings.wrong(
            format!("the server is not ready: {}", failed.join(", ")),
            "a server that is ready",
            &[],
        ),
    }
    Ok(())
}

/// In a local look the row of this program itself shows the database's time.
async fn clocks(session: &Session, api: &Api, findings: &mut Findings) -> Result<()> {
    let (skew, whose) = match session.opened_at() {
        None => (api.skew(), "server"),
        Some(opened) => {
            let nodes = api.get(&["nodes"]).send().await?.fields()?.list("nodes");
            let own = nodes.iter().find(|node| api.is_own_node(&node.text("id")));
            let started = own.and_then(|node| node.time("started_at"));
            (
                started.map_or_else(TimeDelta::zero, |started| started - opened),
                "database",
            )
        }
    };
    if skew.abs() <= SKEW {
        findings.ok(format!("the clocks of the {whose} and of this machine agree"));
        return Ok(());
    }
    let direction = if skew > TimeDelta::zero() { "ahead of" } else { "behind" };
    findings.wrong(
        format!(
            "the clock of the {whose} is {} {direction} this machine's",
            words::lasting(skew.abs())
        ),
        "clocks that agree: nodes go by the time of the database",
        &["timedatectl"],
    );
    Ok(())
}

fn of_nodes(api: &Api, findings: &mut Findings, nodes: &[Fields]) {
    let (alive, silent): (Vec<&Fields>, Vec<&Fields>) = nodes.iter().partition(|node| node.flag("alive"));
    for node in silent {
        let beat = node
            .time("last_beat")
            .map(|beat| words::ago(beat, api.now()))
            .unwrap_or_default();
        findings.wrong(
            format!(
                "the node {} on {} (process {}) is silent; its last beat was {beat}",
                node.text("id"),
                node.text("host"),
                node.int("pid").unwrap_or(0)
            ),
            "a beat within its lease, or no process; other nodes take over what it ran",
            &["gaia node list"],
        );
    }
    let working: Vec<&&Fields> = alive
        .iter()
        .filter(|node| node.int("workers").unwrap_or(0) > 0)
        .collect();
    match (alive.len(), working.len()) {
        (0, _) => findings.wrong(
            "no node is alive, so nothing runs",
            "a process that runs tasks or jobs on this database",
            &[],
        ),
        (all, working) => findings.ok(format!(
            "{} alive, {working} of them with workers",
            words::counted(all, "node is", "nodes are")
        )),
    }
    let mut versions: Vec<String> = alive.iter().map(|node| node.text("version")).collect();
    versions.sort();
    versions.dedup();
    if versions.len() > 1 {
        findings.note(
            format!("the nodes are of several versions: {}", versions.join(", ")),
            &["gaia node list -o wide"],
        );
    }
}
