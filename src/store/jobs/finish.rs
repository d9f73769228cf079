//! Writing how runs ended.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use diesel::{BoolExpressionMethods, ExpressionMethods, QueryDsl, TextExpressionMethods};

use super::rows::LEASES_OF_NODES;

use crate::{
    domain::{Form, RunFlag, RunStatus, Texts},
    store::{
        lenient::AnyInt,
        schema::{job_center, job_record},
        statement::transaction::on_each_connection,
        time::StoredTime,
    },
};

/// Names a run. A write about it changes nothing unless its record names this node and has no flag yet (model: fires::FencedEnd).
#[derive(Debug, Clone)]
pub(crate) struct JobRunKey {
    /// The id of its record.
    pub(crate) id: i64,
    /// The node that claimed it.
    pub(crate) node: Arc<str>,
}

/// The end of one run, to be written if its node still holds the record.
#[derive(Debug, Clone)]
pub(crate) struct RunEnd {
    pub(crate) run: JobRunKey,
    pub(crate) job_id: i64,
    pub(crate) flag: RunFlag,
    pub(crate) result: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) attempt: i32,
    /// `None`: the run never began here, and the time that the claim wrote stays.
    pub(crate) started_at: Option<DateTime<Utc>>,
    pub(crate) ended_at: DateTime<Utc>,
}

impl RunEnd {
    /// Its result and its error text.
    pub(crate) fn texts(&self) -> Texts<'_> {
        Texts {
            result: self.result.as_deref(),
            error: self.error.as_deref(),
        }
    }

    /// The number of bytes of its texts.
    pub(crate) fn bytes(&self) -> usize {
        let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        length(&self.result) + length(&self.error)
    }

    /// The same end in this form. `reason`: why the database refused the whole end.
    pub(crate) fn in_form(&self, form: Form, reason: &str) -> Self {
        let (result, error) = self.texts().in_form(form, reason);
        Self {
            run: self.run.clone(),
            result,
            error,
            ..*self
        }
    }

    fn duration_ms(&self) -> Option<i64> {
        let started_at = self.started_at?;
        Some((self.ended_at - started_at).num_milliseconds().max(0))
    }
}

/// What one transaction writes.
#[derive(Debug, Clone, Default)]
pub(crate) struct JobWrites {
    pub(crate) ends: Vec<RunEnd>,
    /// Further jobs whose status is set to Waiting if none of their runs is open, like the jobs of these ends.
    pub(crate) jobs: Vec<i64>,
    /// Only the records are written. The status of the jobs stays until the cron actor of a node resets it.
    pub(crate) apart: bool,
}

/// The answer to [`JobWrites`].
#[derive(Debug, Default)]
pub(crate) struct JobsWritten {
    /// The runs whose ends were written.
    pub(crate) runs: Vec<i64>,
    /// Jobs whose status is still to be set, since another session had locked them.
    pub(crate) unsettled: Vec<i64>,
}

/// Writes, sorted: every node writes in the same order.
pub(super) struct Ending {
    writes: Arc<JobWrites>,
    /// Indexes of the ends, sorted by run id.
    order: Vec<usize>,
    jobs: Vec<i64>,
    now: StoredTime,
}

impl Ending {
    pub(super) fn new(writes: Arc<JobWrites>, now: DateTime<Utc>) -> Self {
        let ends = &writes.ends;
        let mut order: Vec<usize> = (0..ends.len()).collect();
        order.sort_unstable_by_key(|at| ends[*at].run.id);
        let mut jobs: Vec<i64> = match writes.apart {
            true => Vec::new(),
            false => ends
                .iter()
                .map(|end| end.job_id)
                .chain(writes.jobs.iter().copied())
                .collect(),
        };
        jobs.sort_unstable();
        jobs.dedup();
        Self {
            writes,
            order,
            jobs,
            now: now.into(),
        }
    }

    fn ends(&self) -> impl Iterator<Item = &RunEnd> {
        self.order.iter().map(|at| &self.writes.ends[*at])
    }

    #[cfg(feature = "sqlite")]
    pub(super) fn rows(&self) -> usize {
        self.order.len() + self.jobs.len()
    }
}

/// Writes ends. The jobs are locked first, as a claim does, so that no run of them begins in between. Jobs that another session has locked
/// are passed over; the ends of their runs are written nevertheless.
macro_rules! end_runs {
    ($conn:ident, $ending:ident, $lock:ident, $open:ident, [$($wait:tt)*]) => {{
        let locked: Vec<i64> = $lock!(
            job_center::table
                .filter(job_center::id.eq_any(&$ending.jobs))
                .order(job_center::id)
                .select(job_center::id)
        )
        .load($conn)$($wait)*?;
        let mut runs = Vec::with_capacity($ending.order.len());
        for end in $ending.ends() {
            let open = job_record::table
                .filter(job_record::id.eq(end.run.id))
                .filter(job_record::node_id.eq(&*end.run.node))
                .filter(job_record::job_result_flag.is_null());
            let changed = diesel::update(open)
                .set((
                    job_record::job_result_flag.eq(end.flag.as_str()),
                    job_record::run_result.eq(&end.result),
                    job_record::run_err.eq(&end.error),
                    job_record::attempt.eq(end.attempt),
                    end.started_at.map(|at| job_record::started_at.eq(StoredTime::from(at))),
                    job_record::ended_at.eq(StoredTime::from(end.ended_at)),
                    job_record::duration_ms.eq(end.duration_ms()),
                    job_record::update_time.eq(StoredTime::from(end.ended_at)),
                ))
                .execute($conn)$($wait)*?;
            if changed > 0 {
                runs.push(end.run.id);
            }
        }
        let busy: Vec<Option<AnyInt>> = job_record::table
            .filter($open!(&locked))
            .select(job_record::job_id)
            .load($conn)$($wait)*?;
        let idle = locked.iter().filter(|id| !busy.contains(&Some(AnyInt::Is(**id))));
        // If another program has taken the job over, its status is that program's.
        let is_free = job_center::lease_owner
            .like(LEASES_OF_NODES)
            .or(job_center::lease_expire_at.is_null())
            .or(job_center::lease_expire_at.lt($ending.now));
        diesel::update(job_center::table.filter(job_center::id.eq_any(idle)).filter(is_free))
            .set((
                job_center::run_status.eq(RunStatus::Waiting.as_str()),
                job_center::lease_expire_at.eq(None::<StoredTime>),
                job_center::update_time.eq(job_center::update_time),
            ))
            .execute($conn)$($wait)*?;
        let unsettled = match locked.len() == $ending.jobs.len() {
            true => Vec::new(),
            false => job_center::table
                .filter(job_center::id.eq_any($ending.jobs.iter().filter(|id| !locked.contains(id))))
                .select(job_center::id)
                .load($conn)$($wait)*?,
        };
        Ok(JobsWritten { runs, unsettled })
    }};
}

on_each_connection!(end_runs, Ending, JobsWritten);
