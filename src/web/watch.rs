//! What is read once for all who watch: listeners of `GET /events`, and pages that stay open.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Mutex;

use super::problem::Problem;
use crate::{
    admin::{Admin, Overview},
    domain::{Counted, Figures, GetHistory, Series},
    error::Error,
    runtime::Gaia,
    store::OnNode,
};

/// How old the state of everything grows before it is read again.
pub(super) const EVERY: Duration = Duration::from_secs(2);

/// The same of what ended, whose counts come every 15 s.
const HOUR_EVERY: Duration = Duration::from_secs(10);

/// What is read of one Gaia.
pub(super) struct Watch {
    gaia: Gaia,
    /// Grows with each change that an operator makes by this process, and sees on the next page.
    changes: AtomicU64,
    state: Kept<State>,
    last_hour: Kept<LastHour>,
    on_nodes: Kept<OnNodes>,
}

/// The state of everything at one moment, or why it is not known.
pub(super) struct State {
    pub(super) taken: Instant,
    /// The id of its events is made from it: it grows, also from process to process.
    pub(super) at: DateTime<Utc>,
    pub(super) found: Result<Overview, Problem>,
    /// The data of the events for callers who see all themes, once a listener has asked.
    pub(super) told: OnceLock<[String; 3]>,
}

/// What ended in the last hour, or why it is not known.
pub(super) struct LastHour {
    pub(super) get: GetHistory,
    /// By theme and span. `None`: there are more counts than one look reads.
    pub(super) found: Result<Option<Vec<Counted>>, Problem>,
}

/// Over so many minutes what ended on each node is summed.
pub(super) const NODE_MINUTES: i64 = 10;

/// What ended on each node in the last minutes, or why it is not known.
pub(super) struct OnNodes {
    /// By node and theme. `None`: there are more counts than one look reads.
    pub(super) found: Result<Option<Vec<OnNode>>, Problem>,
}

/// What was read last.
struct Kept<T>(Mutex<Option<Look<T>>>);

struct Look<T> {
    at: Instant,
    /// The changes that were made before it.
    changes: u64,
    found: Arc<T>,
}

impl Watch {
    pub(super) fn new(gaia: Gaia) -> Self {
        Self {
            gaia,
            changes: AtomicU64::new(0),
            state: Kept(Mutex::default()),
            last_hour: Kept(Mutex::default()),
            on_nodes: Kept(Mutex::default()),
        }
    }

    /// What was read before now is out of date.
    pub(super) fn has_changed(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    /// A state that is younger than two seconds. `None`: this Gaia stops.
    ///
    /// It is read beside the caller: a caller whose thread blocks holds up no other.
    pub(super) async fn state(self: &Arc<Self>) -> Option<Arc<State>> {
        let watch = Arc::clone(self);
        let state = self.gaia.store().drive(|_| async move {
            let changes = watch.changes.load(Ordering::Acquire);
            watch.state.newest(EVERY, changes, || watch.read_state()).await
        });
        state.await.flatten()
    }

    /// What ended in the last hour, at most ten seconds old. `None`: this Gaia stops.
    pub(super) async fn last_hour(self: &Arc<Self>) -> Option<Arc<LastHour>> {
        let watch = Arc::clone(self);
        let hour = self
            .gaia
            .store()
            .drive(|_| async move { watch.last_hour.newest(HOUR_EVERY, 0, || watch.read_last_hour()).await });
        hour.await.flatten()
    }

    /// What ended on each node in the last minutes, at most ten seconds old. `None`: this Gaia stops.
    pub(super) async fn on_nodes(self: &Arc<Self>) -> Option<Arc<OnNodes>> {
        let watch = Arc::clone(self);
        let found = self
            .gaia
            .store()
            .drive(|_| async move { watch.on_nodes.newest(HOUR_EVERY, 0, || watch.read_on_nodes()).await });
        found.await.flatten()
    }

    async fn read_on_nodes(&self) -> Option<OnNodes> {
        let since = self.gaia.store().clock().now() - TimeDelta::minutes(NODE_MINUTES);
        let found = found(&self.gaia, async |admin| admin.ended_by_node(since).await).await?;
        Some(OnNodes { found })
    }

    async fn read_state(&self) -> Option<State> {
        let found = found(&self.gaia, async |admin| admin.overview().await).await?;
        Some(State {
            taken: Instant::now(),
            at: self.gaia.store().clock().now(),
            found,
            told: OnceLock::new(),
        })
    }

    async fn read_last_hour(&self) -> Option<LastHour> {
        let now = self.gaia.store().clock().now();
        let from = now - TimeDelta::hours(1) + TimeDelta::minutes(1);
        let get = GetHistory {
            step: 60,
            ..GetHistory::between(from, now + TimeDelta::seconds(1))
        };
        let counted = found(&self.gaia, async |admin| admin.counted(&get).await).await?;
        let found = counted.map(|counted| counted.map(by_theme));
        Some(LastHour { get, found })
    }
}

impl<T> Kept<T> {
    /// What was read last, if it is young and no change came after it; or else what is read now, while others wait for it.
    async fn newest<R>(&self, every: Duration, changes: u64, read: impl FnOnce() -> R) -> Option<Arc<T>>
    where
        R: Future<Output = Option<T>>,
    {
        let mut last = self.0.lock().await;
        if let Some(look) = last.as_ref()
            && look.at.elapsed() < every
            && look.changes >= changes
        {
            return Some(Arc::clone(&look.found));
        }
        let found = Arc::new(read().await?);
        *last = Some(Look {
            at: Instant::now(),
            changes,
            found: Arc::clone(&found),
        });
        Some(found)
    }
}

/// `None`: this Gaia stops.
async fn found<T>(gaia: &Gaia, read: impl AsyncFnOnce(&Admin) -> Result<T, Error>) -> Option<Result<T, Problem>> {
    if gaia.stops() {
        return None;
    }
    match read(&gaia.admin()).await {
        Ok(found) => Some(Ok(found)),
        Err(Error::Stopped) => None,
        Err(error) => Some(Err(error.into())),
    }
}

/// The sums over all methods and nodes, by theme and the spans of the history.
fn by_theme(counted: Vec<Counted>) -> Vec<Counted> {
    let mut sums: BTreeMap<(String, DateTime<Utc>), Counted> = BTreeMap::new();
    for one in counted {
        let at = one.at;
        let sum = sums.entry((one.series.theme.clone(), at)).or_insert_with(|| Counted {
            at,
            width: one.width,
            series: Series {
                service: String::new(),
                method: String::new(),
                ..one.series
            },
            figures: Figures::default(),
        });
        sum.figures.add(&one.figures);
    }
    sums.into_values().collect()
}
