//! The part of a recorder that differs between tasks and jobs: which rows are written, and who is told.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::refused::Divisible;
use crate::{
    domain::Form,
    events::{Component, Events},
    store::{Rows, Store, StoreError},
};

/// The entries about the tasks of a theme, or about the runs of jobs, as their recorder sees them.
///
/// The ledger keeps the entries that runs hand in until it makes a batch of them. The recorder writes batches, decides when and in which form a
/// batch is tried again, and gives the ledger the answer of the database.
pub(crate) trait Ledger: Sized + Unpin + 'static {
    /// What a run hands in.
    type Entry: Send + 'static;
    /// What one transaction writes.
    type Batch: Batch;
    /// What the database answers to a batch that it has accepted.
    type Written: 'static;
    /// What the ledger counts.
    type Counts: Clone + Send + 'static;

    /// The rows that ends are written into. Another session may have locked some of them.
    const ROWS: Rows;

    /// The theme, or the jobs, whose outcomes these are.
    fn component(&self) -> &Component;

    fn events(&self) -> &Events;

    fn store(&self) -> &Store;

    /// Takes an entry that a run has handed in.
    fn enter(&mut self, entry: Self::Entry);

    /// How many ends are in no batch yet.
    fn waiting(&self) -> usize;

    /// Whether no entry waits for a batch.
    fn is_empty(&self) -> bool;

    /// The next batch. An entry stays out of it if it must be written after another entry that is not written yet.
    fn next_batch(&mut self) -> Option<Self::Batch>;

    /// How long the recorder waits before it writes the remaining entries, whose rows other sessions have locked. `None`: it does not wait.
    fn pause(&self) -> Option<Duration> {
        None
    }

    /// Writes a batch, in one transaction.
    fn write(
        store: Store,
        writes: Arc<<Self::Batch as Batch>::Writes>,
    ) -> impl Future<Output = Result<Self::Written, StoreError>> + 'static;

    /// The batch was written as `writes`: tells the workers and callers who wait for that.
    fn written(&mut self, batch: Self::Batch, writes: &<Self::Batch as Batch>::Writes, written: Self::Written);

    /// Marks the row of a run as ended without an outcome, and notes why if the row takes that. False: the run no longer held its
    /// row.
    fn let_go(
        store: Store,
        run: <Self::Batch as Batch>::Run,
        why: String,
    ) -> impl Future<Output = Result<bool, StoreError>> + 'static;

    /// Undoes [`let_go`](Self::let_go), so that the end can be written after all. False: the row is in other hands.
    fn take_up(
        store: Store,
        run: <Self::Batch as Batch>::Run,
    ) -> impl Future<Output = Result<bool, StoreError>> + 'static;

    /// What [`write`](Self::write) answers for a batch of one end whose run no longer holds its row.
    fn stale() -> Self::Written;

    /// The database refuses this batch, which contains no end, and it will not be tried again.
    fn give_up(&mut self, batch: Self::Batch, reason: &str);

    /// The batch is one end, and the database refuses it in every form.
    fn refused(&mut self, _: &Self::Batch) {}

    /// The text that the row gets when it is let go. The batch is one end.
    fn why_let_go(batch: &Self::Batch, reason: &str) -> String;

    /// The end that this batch consists of, for the event that the database refuses it in every form.
    fn refusal(&self, batch: &Self::Batch) -> Option<RefusedEnd>;

    fn counts(&self) -> Self::Counts;
}

/// An end that the database refuses in every form.
pub(crate) struct RefusedEnd {
    /// The id of its row.
    pub(crate) id: i64,
    /// The job, if it is the end of a job's run.
    pub(crate) job_id: Option<i64>,
    pub(crate) log_id: Arc<str>,
    pub(crate) ended_as: &'static str,
}

/// What one transaction writes, and who waits for it.
pub(crate) trait Batch: Divisible + Unpin + 'static {
    /// The part that the database gets.
    type Writes: 'static;
    /// What names a run and proves that the run holds its row.
    type Run: 'static;

    /// The writes in this form. `reason`: why the database refused them in the form `Whole`.
    fn in_form(&self, form: Form, reason: &str) -> Arc<Self::Writes>;

    /// The run whose end this batch is, if the batch is one end.
    fn run(&self) -> Option<Self::Run>;

    /// The ids of the rows that its ends and reports are about.
    fn ids(&self) -> Vec<i64>;

    /// Two batches: the entries about rows with these ids, and the entries about other rows.
    fn divided(self, ids: &BTreeSet<i64>) -> (Self, Self);

    fn is_empty(&self) -> bool;

    /// Releases the workers that wait until their ends are written.
    fn let_workers_go(&mut self) {}
}
