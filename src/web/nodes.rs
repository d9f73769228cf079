//! The processes that share the database, and who the caller is.

use actix_web::{HttpResponse, http::StatusCode};
use serde_json::json;

use super::{
    access::Caller,
    call::{self, Call},
    problem::Problem,
};
use crate::node::NodeInfo;

pub(super) async fn whoami(mut call: Call) -> Result<HttpResponse, Problem> {
    call.query.finish()?;
    call::json(StatusCode::OK, &call.caller)
}

pub(super) async fn list(mut call: Call) -> Result<HttpResponse, Problem> {
    call.query.finish()?;
    let nodes = call.gaia().nodes().await?;
    let nodes: Vec<NodeInfo> = nodes.into_iter().map(|node| as_seen_by(&call.caller, node)).collect();
    call::json(
        StatusCode::OK,
        &json!({ "nodes": nodes, "answered_by": call.gaia().node_id() }),
    )
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
