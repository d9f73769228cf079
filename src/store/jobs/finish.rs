//! Writing how runs ended.

use chrono::{DateTime, Utc};
use diesel::{ExpressionMethods, QueryDsl};

use crate::{
    domain::{RunFlag, RunStatus},
    store::{
        schema::{job_center, job_record},
        transaction::on_each_connection,
    },
};

/// The end of one run, to be written if its node still has it.
#[derive(Debug, Clone)]
pub(crate) struct RunEnd {
    pub(crate) run_id: i64,
    pub(crate) job_id: i64,
    /// The node that claimed it.
    pub(crate) node: String,
    /// Names the run in log lines.
    pub(crate) log_id: String,
    pub(crate) flag: RunFlag,
    pub(crate) result: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) attempt: i32,
    /// `None`: it never began here; what the claim wrote stays.
    pub(crate) started_at: Option<DateTime<Utc>>,
    pub(crate) ended_at: DateTime<Utc>,
}

impl RunEnd {
    fn duration_ms(&self) -> Option<i64> {
        let started_at = self.started_at?;
        Some((self.ended_at - started_at).num_milliseconds().max(0))
    }
}

/// Rows in the order in which everybody locks them.
fn in_order(ends: &[RunEnd]) -> Vec<&RunEnd> {
    let mut ends: Vec<&RunEnd> = ends.iter().collect();
    ends.sort_unstable_by_key(|end| end.run_id);
    ends
}

fn job_ids(ends: &[RunEnd]) -> Vec<i64> {
    let mut ids: Vec<i64> = ends.iter().map(|end| end.job_id).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// Answers with the runs whose end was written. The jobs are locked first, as by a claim: a run that begins meanwhile is
/// seen, or waits.
macro_rules! end_runs {
    ($conn:ident, $ends:ident, $locked:ident, [$($wait:tt)*]) => {{
        let ids = job_ids($ends);
        let _locked: Vec<i64> = $locked!(
            job_center::table
                .filter(job_center::id.eq_any(&ids))
                .order(job_center::id)
                .select(job_center::id)
        )
        .load($conn)$($wait)*?;
        let mut written = Vec::with_capacity($ends.len());
        for end in in_order($ends) {
            let open = job_record::table
                .filter(job_record::id.eq(end.run_id))
                .filter(job_record::node_id.eq(&end.node))
                .filter(job_record::job_result_flag.is_null());
            let changed = diesel::update(open)
                .set((
                    job_record::job_result_flag.eq(end.flag.as_str()),
                    job_record::run_result.eq(&end.result),
                    job_record::run_err.eq(&end.error),
                    job_record::attempt.eq(end.attempt),
                    end.started_at.map(|at| job_record::started_at.eq(at.naive_utc())),
                    job_record::ended_at.eq(end.ended_at.naive_utc()),
                    job_record::duration_ms.eq(end.duration_ms()),
                    job_record::update_time.eq(end.ended_at.naive_utc()),
                ))
                .execute($conn)$($wait)*?;
            if changed > 0 {
                written.push(end.run_id);
            }
        }
        let busy: Vec<Option<i64>> = job_record::table
            .filter(job_record::job_id.eq_any(&ids))
            .filter(job_record::job_result_flag.is_null())
            .filter(job_record::node_id.is_not_null())
            .select(job_record::job_id)
            .load($conn)$($wait)*?;
        let free: Vec<i64> = ids.into_iter().filter(|id| !busy.contains(&Some(*id))).collect();
        if !free.is_empty() {
            diesel::update(job_center::table.filter(job_center::id.eq_any(&free)))
                .set((
                    job_center::run_status.eq(RunStatus::Waiting.as_str()),
                    job_center::update_time.eq(job_center::update_time),
                ))
                .execute($conn)$($wait)*?;
        }
        Ok(written)
    }};
}

on_each_connection!(end_runs, [RunEnd], Vec<i64>);
