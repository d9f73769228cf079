//! What a recorder does not know: which rows it writes, and whom it tells.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::refused::Divisible;
use crate::{
    domain::Form,
    events::{Component, Events},
    store::{Rows, Store, StoreError},
};

/// The tasks of a theme, or the runs of jobs, as their recorder sees them.
///
/// The ledger keeps the entries that runs hand in until it makes a batch of them. The recorder writes batches, decides when and in which form a
/// batch is tried again, and gives the ledger the answer of the database.
pub(crate) trait Ledger: Sized + Unpin + 'static {
    /// What a run hands in.
    type Entry: Send + 'static;
    /// What one transaction writes.
    type Batch: Batch;
    /// What the database says to a batch that it has taken.
    type Written: 'static;
    /// What the ledger counts.
    type Counts: Clone + Send + 'static;

    /// The rows that hold an end: another session may have locked some of them.
    const ROWS: Rows;

    /// Whose outcomes these are.
    fn component(&self) -> &Component;

    fn events(&self) -> &Events;

    fn store(&self) -> &Store;

    fn enter(&mut self, entry: Self::Entry);

    /// How many ends are in no batch yet.
    fn waiting(&self) -> usize;

    /// Whether nothing waits for a batch.
    fn is_empty(&self) -> bool;

    /// The next batch. It may lack entries that must not overtake others, which are not written yet.
    fn next_batch(&mut self) -> Option<Self::Batch>;

    /// How long the recorder waits before it writes the rest, which other sessions have locked. `None`: it does not wait.
    fn pause(&self) -> Option<Duration> {
        None
    }

    /// Writes a batch. All of it is in the database, or nothing is.
    fn write(
        store: Store,
        writes: Arc<<Self::Batch as Batch>::Writes>,
    ) -> impl Future<Output = Result<Self::Written, StoreError>> + 'static;

    /// The batch is written in this form: tells the workers and callers who wait for that.
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

    /// What [`write`](Self::write) would say to the one end that this batch is if its run no longer held its row.
    fn stale() -> Self::Written;

    /// The database refuses this batch, which contains no end, and it will not be tried again.
    fn give_up(&mut self, batch: Self::Batch, reason: &str);

    /// The database takes the one end that this batch is in no form.
    fn refused(&mut self, _: &Self::Batch) {}

    /// What the row says of the end that this batch is, once it is let go.
    fn why_let_go(batch: &Self::Batch, reason: &str) -> String;

    /// The one end that this batch is, for the event that the database takes it in no form.
    fn refusal(&self, batch: &Self::Batch) -> Option<RefusedEnd>;

    fn counts(&self) -> Self::Counts;
}

/// An end that the database takes in no form.
pub(crate) struct RefusedEnd {
    /// The id of its row.
    pub(crate) id: i64,
    pub(crate) log_id: Arc<str>,
    pub(crate) ended_as: &'static str,
}

/// What one transaction writes, and who wants to hear of it.
pub(crate) trait Batch: Divisible + Unpin + 'static {
    /// The part that the database gets.
    type Writes: 'static;
    /// What names a run and proves that the run holds its row.
    type Run: 'static;

    /// The writes in this form, since the database refused the whole for this reason.
    fn in_form(&self, form: Form, reason: &str) -> Arc<Self::Writes>;

    /// The run whose end this batch is, if it is one end.
    fn run(&self) -> Option<Self::Run>;

    /// The ids of the rows that its ends and reports are about.
    fn ids(&self) -> Vec<i64>;

    /// Two batches: the entries about rows with these ids, and the entries about other rows.
    fn divided(self, ids: &BTreeSet<i64>) -> (Self, Self);

    fn is_empty(&self) -> bool;

    /// Lets go of the workers that wait until the ends are written.
    fn let_workers_go(&mut self) {}
}
