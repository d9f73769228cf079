//! Whether the process can take work, asked for once in a while.

use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use crate::runtime::{Gaia, Readiness};

/// For how long an answer holds: callers without access must not make the database work.
const HOLDS: Duration = Duration::from_secs(1);

/// The last answer, and when it was found.
#[derive(Debug, Default)]
pub(super) struct Cached(Mutex<Option<(Instant, Readiness)>>);

impl Cached {
    /// Callers that come while one of them asks wait for its answer.
    pub(super) async fn get(&self, gaia: &Gaia) -> Readiness {
        let mut last = self.0.lock().await;
        if let Some((at, readiness)) = *last
            && at.elapsed() < HOLDS
        {
            return readiness;
        }
        let readiness = gaia.readiness().await;
        *last = Some((Instant::now(), readiness));
        readiness
    }
}
