//! The processes that share the database, and who the caller is.

use std::time::Duration;

use actix_web::{HttpResponse, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    access::Caller,
    call::{self, Call},
    problem::Problem,
};
use crate::{
    admin::{GetMethods, MethodInfo, ResizeNode},
    node::{NodeDetail, NodeInfo, NodeStatus},
};

/// How long an operator waits for another node, in milliseconds.
pub(super) const LONGEST_WAIT: u32 = 60_000;
pub(super) const WAIT: u32 = 10_000;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NodeWorkers)]
struct Size {
    /// With 0 the node takes no work of the theme.
    #[schema(maximum = 100_000)]
    workers: usize,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Nodes)]
struct Listed<'a> {
    nodes: Vec<NodeInfo>,
    /// The node that has answered.
    answered_by: &'a str,
}

/// A node with its counters.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Node)]
pub(super) struct ShownNode {
    pub(super) node: NodeInfo,
    /// `null` if the node has written none yet.
    pub(super) status: Option<NodeStatus>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NodeResized)]
struct Resized {
    node: String,
    theme: String,
    workers: usize,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Methods {
    pub(super) methods: Vec<MethodInfo>,
}

#[expect(clippy::unused_async, reason = "every handler is asynchronous")]
pub(super) async fn whoami(mut call: Call) -> Result<HttpResponse, Problem> {
    call.query.finish()?;
    call::json(StatusCode::OK, &call.caller)
}

pub(super) async fn list(mut call: Call) -> Result<HttpResponse, Problem> {
    call.query.finish()?;
    let answer = Listed {
        nodes: seen(&call).await?,
        answered_by: call.gaia().node_id(),
    };
    call::json(StatusCode::OK, &answer)
}

/// The nodes, as the caller sees them.
pub(super) async fn seen(call: &Call) -> Result<Vec<NodeInfo>, Problem> {
    let nodes = call.gaia().nodes().await?;
    Ok(nodes.into_iter().map(|node| as_seen_by(&call.caller, node)).collect())
}

pub(super) async fn show(mut call: Call) -> Result<HttpResponse, Problem> {
    call.query.finish()?;
    call::json(StatusCode::OK, &shown(&call).await?)
}

/// The node of the path, as the caller sees it.
pub(super) async fn shown(call: &Call) -> Result<ShownNode, Problem> {
    let NodeDetail { node, mut status } = call.gaia().admin().node(&call.name("node")?).await?;
    if let Some(status) = status.as_mut().filter(|_| !call.caller.sees_all_themes()) {
        status.themes.retain(|theme| call.caller.sees_theme(&theme.theme));
        status.jobs = None;
    }
    let node = as_seen_by(&call.caller, node);
    Ok(ShownNode { node, status })
}

pub(super) async fn resize(mut call: Call) -> Result<HttpResponse, Problem> {
    let wait = call.query.number("wait_ms", 1_000..=LONGEST_WAIT, WAIT);
    call.query.finish()?;
    let Size { workers } = call.typed()?;
    let (node, theme) = (call.name("node")?, call.name("theme")?);
    call.caller.needs_theme(&theme)?;
    let resize = ResizeNode {
        by: Some(call.author()),
        reason: call.reason.take(),
        timeout: Duration::from_millis(wait.into()),
        ..ResizeNode::new(&node, &theme, workers)
    };
    call.gaia().admin().resize_node(resize).await?;
    call::json(StatusCode::OK, &Resized { node, theme, workers })
}

/// Methods do not say for which theme they are, so callers who are limited to themes ask for the methods of a theme.
pub(super) async fn methods(mut call: Call) -> Result<HttpResponse, Problem> {
    call.query.finish()?;
    call.caller.needs_all_themes()?;
    let methods = call.gaia().admin().methods(GetMethods::default()).await?;
    call::json(StatusCode::OK, &Methods { methods })
}

/// A caller who is limited to themes sees only what the node does for these. The methods of a node do not say for which theme they are.
pub(super) fn as_seen_by(caller: &Caller, mut node: NodeInfo) -> NodeInfo {
    if !caller.sees_all_themes() {
        node.themes.retain(|theme| caller.sees_theme(&theme.theme));
        node.methods.clear();
        node.workers = node.themes.iter().map(|theme| theme.workers).sum();
        node.running = node.themes.iter().map(|theme| theme.running).sum();
    }
    node
}

pub(super) mod described {
    use super::{LONGEST_WAIT, Listed, Methods, Resized, ShownNode, Size, WAIT};
    use crate::{
        domain::{MAX_NAME_CHARS, MAX_THEME_CHARS},
        web::{
            access::Caller,
            openapi::{
                Described,
                schemas::{number, text},
            },
        },
    };

    pub(in crate::web) fn whoami() -> Described {
        Described::new().answer::<Caller>(200, "The caller.")
    }

    pub(in crate::web) fn list() -> Described {
        Described::new().answer::<Listed>(200, "The nodes.")
    }

    pub(in crate::web) fn show() -> Described {
        Described::new()
            .path("node", text(MAX_NAME_CHARS), "The id of the node.")
            .answer::<ShownNode>(200, "The node.")
            .refuses(404, &["node_not_found"])
    }

    pub(in crate::web) fn resize() -> Described {
        Described::new()
            .path("node", text(MAX_NAME_CHARS), "The id of the node.")
            .path("theme", text(MAX_THEME_CHARS), "The theme.")
            .query(
                "wait_ms",
                number(&(1_000..=LONGEST_WAIT), WAIT),
                "For how long to wait for the node.",
            )
            .body::<Size>()
            .answer::<Resized>(200, "The node has so many workers.")
            .refuses(404, &["node_not_found"])
            .refuses(409, &["not_scheduled_here", "not_scheduled_there", "not_followed"])
            .refuses(504, &["not_answered"])
    }

    pub(in crate::web) fn methods() -> Described {
        Described::new().answer::<Methods>(200, "The methods.")
    }
}
