//! The processes that share the database, and who the caller is.

use std::time::Duration;

use actix_web::{HttpResponse, http::StatusCode};
use serde::Deserialize;
use serde_json::json;

use super::{
    access::Caller,
    call::{self, Call},
    problem::Problem,
};
use crate::{
    admin::{GetMethods, ResizeNode},
    node::{NodeDetail, NodeInfo},
};

/// How long an operator waits for another node, in milliseconds.
pub(super) const LONGEST_WAIT: u32 = 60_000;
pub(super) const WAIT: u32 = 10_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Size {
    workers: usize,
    #[serde(default)]
    reason: Option<String>,
}

pub(super) async fn whoami(mut call: Call) -> Result<HttpResponse, Problem> {
    call.query.finish()?;
    call::json(StatusCode::OK, &call.caller)
}

pub(super) async fn list(mut call: Call) -> Result<HttpResponse, Problem> {
    call.query.finish()?;
    let nodes = call.gaia().nodes().await?;
    let nodes: Vec<NodeInfo> = nodes.into_iter().map(|node| as_seen_by(&call.caller, node)).collect();
    let answer = json!({ "nodes": nodes, "answered_by": call.gaia().node_id() });
    call::json(StatusCode::OK, &answer)
}

pub(super) async fn show(mut call: Call) -> Result<HttpResponse, Problem> {
    call.query.finish()?;
    let NodeDetail { node, mut status } = call.gaia().admin().node(&call.name("node")?).await?;
    if let Some(status) = status.as_mut().filter(|_| !call.caller.sees_all_themes()) {
        status.themes.retain(|theme| call.caller.sees_theme(&theme.theme));
        status.jobs = None;
    }
    let node = as_seen_by(&call.caller, node);
    call::json(StatusCode::OK, &json!({ "node": node, "status": status }))
}

pub(super) async fn resize(mut call: Call) -> Result<HttpResponse, Problem> {
    let wait = call.query.number("wait_ms", 1_000..=LONGEST_WAIT, WAIT);
    call.query.finish()?;
    let Size { workers, reason } = call.typed()?;
    let (node, theme) = (call.name("node")?, call.name("theme")?);
    call.caller.needs_theme(&theme)?;
    let resize = ResizeNode {
        by: call.author(),
        reason,
        timeout: Duration::from_millis(wait.into()),
        ..ResizeNode::new(&node, &theme, workers)
    };
    call.gaia().admin().resize_node(resize).await?;
    call::json(
        StatusCode::OK,
        &json!({ "node": node, "theme": theme, "workers": workers }),
    )
}

/// Methods do not say for which theme they are, so callers who are limited to themes ask for the methods of a theme.
pub(super) async fn methods(mut call: Call) -> Result<HttpResponse, Problem> {
    call.query.finish()?;
    call.caller.needs_all_themes()?;
    let methods = call.gaia().admin().methods(GetMethods::default()).await?;
    call::json(StatusCode::OK, &json!({ "methods": methods }))
}

/// A caller who is limited to themes sees only what the node does for these. The methods of a node do not say for which theme they are.
fn as_seen_by(caller: &Caller, mut node: NodeInfo) -> NodeInfo {
    if !caller.sees_all_themes() {
        node.themes.retain(|theme| caller.sees_theme(&theme.theme));
        node.methods.clear();
        node.workers = node.themes.iter().map(|theme| theme.workers).sum();
        node.running = node.themes.iter().map(|theme| theme.running).sum();
    }
    node
}
