//! What the recorder of jobs writes, and who is told.

use std::{
    collections::{BTreeSet, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use actix::{Message, WeakRecipient};

use super::run::Ended;
use crate::{
    domain::{Failure, Form, RunFlag, ascii, fitting},
    events::{Component, Event, Events, JobEnded, JobRunInfo},
    line::line_of,
    run::{Batch, Divisible, Ledger, RefusedEnd},
    store::{JobRunKey, JobWrites, JobsWritten, Rows, RunEnd, Store, StoreError},
};

/// The most ends in one transaction.
const BATCH: usize = 500;

/// When to try again to set the status of a job that another session had locked: mostly another node, to claim it.
const LOCKED: Duration = Duration::from_millis(50);

/// The ends of jobs' runs.
pub(super) struct JobLedger {
    store: Store,
    events: Events,
    cron: WeakRecipient<RunsWritten>,
    ends: VecDeque<Ended>,
    /// Jobs whose status is still to be set: another session had locked them when their runs ended, or the ends were refused.
    unsettled: Vec<i64>,
    counts: JobCounts,
}

/// Tells the cron actor of runs whose ends the database has accepted, or refuses in every form.
#[derive(Default, Message)]
#[rtype(result = "()")]
pub(super) struct RunsWritten {
    /// Runs whose ends are written, or were stale: they do not count as running any more.
    pub(super) runs: Vec<i64>,
    /// Runs whose ends are refused in every form. They do not count as running either, and their jobs can fire again.
    pub(super) refused: Vec<i64>,
}

/// What the ledger counts, with the meanings of [`JobsStatus`](super::JobsStatus).
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct JobCounts {
    pub(crate) succeeded: u64,
    pub(crate) failed: u64,
    pub(crate) panicked: u64,
    pub(crate) timed_out: u64,
    pub(crate) cancelled: u64,
    pub(crate) skipped: u64,
    pub(crate) stale: u64,
}

/// A run, and why it failed if it did.
type RunAndFailure = (Arc<JobRunInfo>, Option<Failure>);

/// Ends of runs, and jobs whose status is to be set: they may have no open run any more.
pub(super) struct JobBatch {
    /// The runs and why they failed. The list has the order of the ends in `writes`.
    runs: Vec<RunAndFailure>,
    writes: Arc<JobWrites>,
}

impl JobLedger {
    pub(super) fn new(store: Store, events: Events, cron: WeakRecipient<RunsWritten>) -> Self {
        Self {
            store,
            events,
            cron,
            ends: VecDeque::new(),
            unsettled: Vec::new(),
            counts: JobCounts::default(),
        }
    }

    fn tell_cron(&self, message: RunsWritten) {
        if let Some(cron) = self.cron.upgrade() {
            cron.do_send(message);
        }
    }
}

impl Ledger for JobLedger {
    type Entry = Ended;
    type Batch = JobBatch;
    type Written = JobsWritten;
    type Counts = JobCounts;

    const ROWS: Rows = Rows::JobRecords;

    fn component(&self) -> &Component {
        &Component::Jobs
    }

    fn events(&self) -> &Events {
        &self.events
    }

    fn store(&self) -> &Store {
        &self.store
    }

    fn enter(&mut self, ended: Ended) {
        self.ends.push_back(ended);
    }

    fn waiting(&self) -> usize {
        self.ends.len()
    }

    fn is_empty(&self) -> bool {
        self.ends.is_empty() && self.unsettled.is_empty()
    }

    fn next_batch(&mut self) -> Option<JobBatch> {
        if self.is_empty() {
            return None;
        }
        let count = fitting(&self.ends, BATCH, |ended| ended.end.bytes());
        let ends = self
            .ends
            .drain(..count)
            .map(|ended| (ended.end, (ended.run, ended.failure)));
        let jobs = std::mem::take(&mut self.unsettled);
        Some(JobBatch::of(ends.collect(), jobs))
    }

    /// The recorder tries again soon to set the status of jobs that were locked, or together with the next ends.
    fn pause(&self) -> Option<Duration> {
        (self.ends.is_empty() && !self.unsettled.is_empty()).then_some(LOCKED)
    }

    async fn write(store: Store, writes: Arc<JobWrites>) -> Result<JobsWritten, StoreError> {
        store.jobs().end_runs(writes).await
    }

    fn written(&mut self, batch: JobBatch, writes: &JobWrites, written: JobsWritten) {
        self.unsettled.extend(written.unsettled);
        let taken: HashSet<i64> = written.runs.into_iter().collect();
        for (end, (run, failure)) in writes.ends.iter().zip(batch.runs) {
            let ended = JobEnded {
                attempts: end.attempt.unsigned_abs(),
                waited: end
                    .started_at
                    .zip(run.scheduled_at)
                    .and_then(|(at, due)| (at - due).to_std().ok()),
                ran: end.started_at.and_then(|at| (end.ended_at - at).to_std().ok()),
                flag: end.flag,
                failure,
                error: end.error.clone(),
                recorded: taken.contains(&run.run_id),
                run,
            };
            self.counts.read(&ended);
            self.events.tell(&Event::JobEnded(ended));
        }
        self.tell_cron(RunsWritten {
            runs: batch.writes.ends.iter().map(|end| end.run.id).collect(),
            refused: Vec::new(),
        });
    }

    async fn let_go(store: Store, run: JobRunKey, why: String) -> Result<bool, StoreError> {
        store.jobs().let_go(&run, &why).await
    }

    async fn take_up(store: Store, run: JobRunKey) -> Result<bool, StoreError> {
        store.jobs().take_up(&run).await
    }

    fn stale() -> JobsWritten {
        JobsWritten::default()
    }

    /// The status of these jobs cannot be set now. The cron actor resets it later: it looks for jobs that are marked as running and have no
    /// open run.
    fn give_up(&mut self, batch: JobBatch, reason: &str) {
        for id in &batch.writes.jobs {
            say!(
                Warn,
                "job {id}: the database refuses to note that it waits again: {reason}"
            );
        }
    }

    fn refused(&mut self, batch: &JobBatch) {
        let ends = &batch.writes.ends;
        self.unsettled.extend(ends.iter().map(|end| end.job_id));
        self.tell_cron(RunsWritten {
            runs: Vec::new(),
            refused: ends.iter().map(|end| end.run.id).collect(),
        });
    }

    fn why_let_go(batch: &JobBatch, reason: &str) -> String {
        let flag = batch.writes.ends.first().map_or("", |end| end.flag.as_str());
        let reason = ascii(reason);
        let reason = line_of(&reason);
        format!("this run has ended ({flag}), but the database refuses to note that: {reason}")
    }

    fn refusal(&self, batch: &JobBatch) -> Option<RefusedEnd> {
        let (end, (run, _)) = batch.writes.ends.first().zip(batch.runs.first())?;
        Some(RefusedEnd {
            id: end.run.id,
            job_id: Some(end.job_id),
            log_id: Arc::clone(&run.log_id),
            ended_as: end.flag.as_str(),
        })
    }

    fn counts(&self) -> JobCounts {
        self.counts
    }
}

impl JobCounts {
    fn read(&mut self, ended: &JobEnded) {
        if !ended.recorded {
            self.stale += 1;
            return;
        }
        match ended.flag {
            RunFlag::Success => self.succeeded += 1,
            RunFlag::Failed => self.failed += 1,
            RunFlag::Cancelled => self.cancelled += 1,
            RunFlag::Skipped => self.skipped += 1,
        }
        match ended.failure {
            Some(Failure::Panicked) => self.panicked += 1,
            Some(Failure::TimedOut) => self.timed_out += 1,
            _ => {}
        }
    }
}

impl JobBatch {
    fn of(ends: Vec<(RunEnd, RunAndFailure)>, jobs: Vec<i64>) -> Self {
        let (ends, runs) = ends.into_iter().unzip();
        let apart = false;
        Self {
            runs,
            writes: Arc::new(JobWrites { ends, jobs, apart }),
        }
    }

    /// Its ends and its jobs.
    fn into_parts(self) -> (Vec<(RunEnd, RunAndFailure)>, Vec<i64>) {
        let JobWrites { ends, jobs, .. } = Arc::unwrap_or_clone(self.writes);
        (ends.into_iter().zip(self.runs).collect(), jobs)
    }
}

impl Batch for JobBatch {
    type Writes = JobWrites;
    type Run = JobRunKey;

    fn in_form(&self, form: Form, reason: &str) -> Arc<JobWrites> {
        if form == Form::Whole {
            return Arc::clone(&self.writes);
        }
        Arc::new(JobWrites {
            ends: self.writes.ends.iter().map(|end| end.in_form(form, reason)).collect(),
            jobs: self.writes.jobs.clone(),
            apart: form == Form::Apart,
        })
    }

    fn run(&self) -> Option<JobRunKey> {
        self.writes.ends.first().map(|end| end.run.clone())
    }

    fn ids(&self) -> Vec<i64> {
        self.writes.ends.iter().map(|end| end.run.id).collect()
    }

    fn divided(self, records: &BTreeSet<i64>) -> (Self, Self) {
        let (ends, jobs) = self.into_parts();
        let (held, free) = ends.into_iter().partition(|(end, _)| records.contains(&end.run.id));
        (Self::of(held, Vec::new()), Self::of(free, jobs))
    }

    fn is_empty(&self) -> bool {
        self.writes.ends.is_empty() && self.writes.jobs.is_empty()
    }
}

impl Divisible for JobBatch {
    fn split(self) -> Result<(Self, Self), Self> {
        let (ends, jobs) = (self.writes.ends.len(), self.writes.jobs.len());
        if ends + jobs < 2 {
            return Err(self);
        }
        // Jobs are split from ends first: no run waits for them.
        let (ends, jobs) = match jobs == 0 || ends == 0 {
            true => (ends / 2, jobs / 2),
            false => (ends, 0),
        };
        let (mut all_ends, mut all_jobs) = self.into_parts();
        let rest = Self::of(all_ends.split_off(ends), all_jobs.split_off(jobs));
        Ok((Self::of(all_ends, all_jobs), rest))
    }

    fn plainer(&self, form: Form) -> Option<Form> {
        form.plainer(self.writes.ends.first()?.texts())
    }

    fn outcomes(&self) -> usize {
        self.writes.ends.len()
    }
}
