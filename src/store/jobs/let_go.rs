//! Letting go of the records of runs whose ends the database refuses in every form: such a record is left without a node, and is not open
//! any more.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use crate::store::{JobRunKey, JobStore, StoreError, db::on_backend, schema::job_record};

impl JobStore<'_> {
    /// Removes the node from the record of a run that has ended, and notes why, if the database accepts that text: the run is not open any
    /// more. False: another node has ended it.
    pub(crate) async fn let_go(&self, run: &JobRunKey, why: &str) -> Result<bool, StoreError> {
        match self.let_go_noting(run, Some(why)).await {
            Err(error) if error.is_refusal() => self.let_go_noting(run, None).await,
            done => done,
        }
    }

    async fn let_go_noting(&self, run: &JobRunKey, why: Option<&str>) -> Result<bool, StoreError> {
        let let_go = || async {
            let mut conn = self.db.write().await?;
            Ok(on_backend!(conn, |conn| {
                let open = job_record::table
                    .filter(job_record::id.eq(run.id))
                    .filter(job_record::node_id.eq(&*run.node))
                    .filter(job_record::job_result_flag.is_null());
                diesel::update(open)
                    .set((
                        job_record::node_id.eq(None::<&str>),
                        why.map(|why| job_record::run_err.eq(why)),
                    ))
                    .execute(conn)
                    .await
            })?)
        };
        Ok(self.retrying(let_go).await? > 0)
    }

    /// Undoes [`let_go`](Self::let_go), so that the end of the run can be written after all. False: another node has ended it.
    pub(crate) async fn take_up(&self, run: &JobRunKey) -> Result<bool, StoreError> {
        let take_up = || async {
            let mut conn = self.db.write().await?;
            Ok(on_backend!(conn, |conn| {
                let owner = job_record::node_id.eq(&*run.node);
                let open = job_record::table
                    .filter(job_record::id.eq(run.id))
                    .filter(owner.or(job_record::node_id.is_null()))
                    .filter(job_record::job_result_flag.is_null());
                diesel::update(open)
                    .set(job_record::node_id.eq(&*run.node))
                    .execute(conn)
                    .await
            })?)
        };
        Ok(self.retrying(take_up).await? > 0)
    }
}
