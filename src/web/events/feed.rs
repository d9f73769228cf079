//! What listeners are told, and what one caller may see of it.

use std::{
    fmt::Write,
    hash::{DefaultHasher, Hash, Hasher},
};

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    admin::{BulkOperation, Overview, ThemeState},
    node::NodeInfo,
    web::{access::Caller, nodes, operations, watch::State},
};

/// The names of the events, besides `problem`.
const EVENTS: [&str; 3] = ["themes", "nodes", "operations"];

/// The data of the event `themes`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ThemesEvent)]
pub(super) struct Themes<'a> {
    /// All themes that the caller may see, as `GET /themes` lists them.
    themes: Vec<&'a ThemeState>,
}

/// The data of the event `nodes`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NodesEvent)]
pub(super) struct Nodes {
    /// All nodes, as `GET /nodes` lists them, without their methods.
    nodes: Vec<NodeInfo>,
}

/// The data of the event `operations`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OperationsEvent)]
pub(super) struct Operations {
    /// The bulk operations that are under way and that the caller may see, the oldest first, at most 50.
    operations: Vec<BulkOperation>,
}

/// The data of the event `problem`: the database cannot be asked. The stream goes on.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ProblemEvent)]
pub(super) struct Unknown {
    /// Why, as the `code` of a refusal.
    code: &'static str,
}

/// Hashes of what one listener was told last, by event: what has not changed is not told again.
#[derive(Default)]
pub(super) struct Sent([Option<u64>; EVENTS.len()]);

/// Writes the events that this caller may see, and that say something else than the last ones. If the database cannot be asked, the event
/// `problem` has the code of the error.
pub(super) fn write(state: &State, caller: &Caller, sent: &mut Sent, piece: &mut String) {
    let id = state.at.timestamp_millis();
    let limited;
    let texts = match &state.found {
        Ok(all) if caller.sees_all_themes() => state.told.get_or_init(|| texts(all, None)),
        Ok(all) => {
            limited = texts(all, Some(caller));
            &limited
        }
        Err(problem) => {
            *sent = Sent::default();
            let unknown = Unknown { code: problem.code() };
            return event(piece, "problem", id, &text(&unknown));
        }
    };
    for ((name, text), sent) in EVENTS.iter().zip(texts).zip(&mut sent.0) {
        let mut hash = DefaultHasher::new();
        text.hash(&mut hash);
        if sent.replace(hash.finish()) != Some(hash.finish()) {
            event(piece, name, id, text);
        }
    }
}

/// JSON has no line breaks outside of its texts, and none inside of them.
fn event(piece: &mut String, name: &str, id: i64, data: &str) {
    // Writing to a text cannot fail.
    let _ = write!(piece, "event: {name}\nid: {id}\ndata: {data}\n\n");
}

/// The data of each event. `None`: for callers who see all themes.
fn texts(all: &Overview, caller: Option<&Caller>) -> [String; 3] {
    let sees_theme = |theme: &str| caller.is_none_or(|caller| caller.sees_theme(theme));
    let themes = all.themes.iter().filter(|state| sees_theme(&state.info.theme));
    let nodes = all.nodes.iter().cloned().map(|node| plain(caller, node));
    let is_seen = |operation: &&BulkOperation| caller.is_none_or(|caller| operations::is_seen_by(caller, operation));
    let operations = all.operations.iter().filter(is_seen).cloned().map(operations::shown);
    [
        text(&Themes {
            themes: themes.collect(),
        }),
        text(&Nodes { nodes: nodes.collect() }),
        text(&Operations {
            operations: operations.collect(),
        }),
    ]
}

/// A node without its methods, of which it may have a thousand.
fn plain(caller: Option<&Caller>, node: NodeInfo) -> NodeInfo {
    let mut node = match caller {
        Some(caller) => nodes::as_seen_by(caller, node),
        None => node,
    };
    node.methods.clear();
    node
}

fn text(data: &impl Serialize) -> String {
    // The data are plain, and their JSON always can be written.
    serde_json::to_string(data).unwrap_or_default()
}
