//! Samples: what all listeners are told, and what one caller may see of it.

use std::{
    fmt::Write,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::{Duration, Instant},
};

use serde::Serialize;
use tokio::sync::Mutex;
use utoipa::ToSchema;

use crate::{
    admin::{BulkOperation, Overview, ThemeState},
    error::Error,
    node::NodeInfo,
    runtime::Gaia,
    web::{access::Caller, nodes, operations, problem},
};

/// How old a sample grows before the next one is taken.
pub(super) const EVERY: Duration = Duration::from_secs(2);

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

/// What is told of one Gaia.
pub(super) struct Feed {
    gaia: Gaia,
    last: Mutex<Option<Arc<Sample>>>,
}

/// The state of everything at one moment, or why it is not known.
pub(super) struct Sample {
    pub(super) taken: Instant,
    /// Milliseconds since 1970: it grows, also from process to process.
    id: i64,
    found: Result<Overview, &'static str>,
    /// The data of each event for callers who see all themes.
    of_all: Result<[String; 3], &'static str>,
}

/// Hashes of what one listener was told last, by event: what has not changed is not told again.
#[derive(Default)]
pub(super) struct Sent([Option<u64>; EVENTS.len()]);

impl Feed {
    pub(super) fn new(gaia: Gaia) -> Self {
        Self {
            gaia,
            last: Mutex::new(None),
        }
    }

    /// A sample that is younger than two seconds. `None`: this Gaia stops.
    ///
    /// The work is done beside the listener: a listener whose thread blocks holds up no other.
    pub(super) async fn sample(self: &Arc<Self>) -> Option<Arc<Sample>> {
        let feed = Arc::clone(self);
        let sample = self.gaia.store().drive(|_| async move { feed.newest().await });
        sample.await.flatten()
    }

    async fn newest(&self) -> Option<Arc<Sample>> {
        if self.gaia.stops() {
            return None;
        }
        let mut last = self.last.lock().await;
        if let Some(sample) = last.as_ref().filter(|sample| sample.taken.elapsed() < EVERY) {
            return Some(Arc::clone(sample));
        }
        let found = match self.gaia.admin().overview().await {
            Ok(overview) => Ok(overview),
            Err(Error::Stopped) => return None,
            Err(error) => Err(problem::code_of(&error)),
        };
        let sample = Arc::new(Sample {
            taken: Instant::now(),
            id: self.gaia.store().clock().now().timestamp_millis(),
            of_all: found.as_ref().map(|all| texts(all, None)).map_err(|code| *code),
            found,
        });
        *last = Some(Arc::clone(&sample));
        Some(sample)
    }
}

impl Sample {
    /// Writes the events that this caller may see, and that say something else than the last ones. If the database cannot be asked, the event
    /// `problem` has the code of the error.
    pub(super) fn write(&self, caller: &Caller, sent: &mut Sent, piece: &mut String) {
        let limited;
        let texts = match (&self.found, &self.of_all) {
            (Ok(_), Ok(texts)) if caller.sees_all_themes() => texts,
            (Ok(all), _) => {
                limited = texts(all, Some(caller));
                &limited
            }
            (Err(code), _) => {
                *sent = Sent::default();
                return event(piece, "problem", self.id, &text(&Unknown { code }));
            }
        };
        for ((name, text), sent) in EVENTS.iter().zip(texts).zip(&mut sent.0) {
            let mut hash = DefaultHasher::new();
            text.hash(&mut hash);
            if sent.replace(hash.finish()) != Some(hash.finish()) {
                event(piece, name, self.id, text);
            }
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
