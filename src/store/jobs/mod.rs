//! Jobs and their runs.
//!
//! A fire is a unique pair of job and second. The transaction that claims it locks the job's row, reads which runs of the job are open,
//! and inserts the record of the run: the node that inserts it runs it. A run is *open* while its record has a node and
//! no flag. Every write about a run requires both, so that it changes nothing if another node has ended the run.

mod claim;
mod edit;
mod finish;
mod fires;
mod let_go;
mod maintenance;
mod plan;
mod read;
mod rows;

pub(crate) use edit::{AddJob, EditJob};
pub(crate) use finish::{JobRunKey, JobWrites, JobsWritten, RunEnd};
pub(crate) use fires::{ClaimedRun, Fire, FireClaim, FireKind, Fired, REPLACED};
pub(crate) use maintenance::{Fingerprint, OpenRun, OrphanRun};
pub(crate) use rows::{JobRow, ScheduleRow};

use std::sync::Arc;

use finish::Ending;

use super::{JobStore, StoreError, statement::transaction::transact};

impl JobStore<'_> {
    /// Claims fires, all in one transaction; answers with the result for each, in order. `None`: this node has no row, since other nodes have
    /// declared it dead.
    ///
    /// Safe to try again after an error: if the first try did commit, the second one returns the runs that it created.
    pub(crate) async fn claim_fires(&self, fires: FireClaim) -> Result<Option<Vec<Fired>>, StoreError> {
        let fires = Arc::new(fires);
        let claim = || async { as_conflict(self.claim_once(&fires).await) };
        self.retrying(claim).await
    }

    async fn claim_once(&self, fires: &Arc<FireClaim>) -> Result<Option<Vec<Fired>>, StoreError> {
        transact!(&self.db, claim, fires)
    }

    /// Writes ends of runs, all in one transaction. The end of a run that another node has ended changes nothing. Jobs without an open run get
    /// the status Waiting.
    pub(crate) async fn end_runs(&self, writes: Arc<JobWrites>) -> Result<JobsWritten, StoreError> {
        let ending = Arc::new(Ending::new(writes, self.clock().now()));
        let end = || async { self.end_once(&ending).await };
        self.retrying_unless_locked(end).await
    }

    async fn end_once(&self, ending: &Arc<Ending>) -> Result<JobsWritten, StoreError> {
        transact!(&self.db, finish, ending)
    }
}

/// A job's row is locked while a fire is claimed, so a duplicate (job, second) can only stem from a job that was deleted and created again
/// with the same id. It is treated as a conflict: another try finds it.
fn as_conflict<T>(claimed: Result<T, StoreError>) -> Result<T, StoreError> {
    claimed.map_err(|error| match error {
        StoreError::Duplicate(text) => StoreError::Conflict(text),
        error => error,
    })
}
