//! Letting go of the rows of runs whose ends the database refuses in every form: such a row is left Running without a node. No node claims
//! it, takes it over, or waits for it.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::run_key::RunKey;
use crate::store::{Begin, StoreError, TaskStore, db::on_backend, schema::asynctasks};

/// The row of the task that a run holds. `$owner`: a condition on the owner.
macro_rules! held {
    ($run:expr, $owner:expr) => {
        asynctasks::table
            .filter(asynctasks::id.eq($run.task_id))
            .filter($owner)
            .filter(asynctasks::lease_token.eq($run.token))
            .filter(asynctasks::log_id.eq(&*$run.log_id))
            .filter(asynctasks::task_status.eq("Running"))
    };
}

impl TaskStore<'_> {
    /// Leaves the task of a run that has ended as `Running` without a node, and notes why, if the database accepts that text. False: the run
    /// no longer held the task.
    pub(crate) async fn let_go(&self, run: &RunKey, why: &str) -> Result<bool, StoreError> {
        self.note_running(run).await?;
        match self.let_go_noting(run, Some(why)).await {
            Err(error) if error.is_refusal() => self.let_go_noting(run, None).await,
            done => done,
        }
    }

    /// Has the row of an unseen task say Running, so that its owner can be changed there. False: the run does not hold the task any more.
    pub(super) async fn note_running(&self, run: &RunKey) -> Result<bool, StoreError> {
        let begin = Begin {
            run: run.clone(),
            is_last: false,
        };
        Ok(self.begin(vec![begin]).await? == [true])
    }

    async fn let_go_noting(&self, run: &RunKey, why: Option<&str>) -> Result<bool, StoreError> {
        let let_go = || async {
            let mut conn = self.db.write().await?;
            Ok(on_backend!(conn, |conn| {
                diesel::update(held!(run, asynctasks::lease_owner.eq(&*run.owner)))
                    .set((
                        asynctasks::lease_owner.eq(None::<&str>),
                        why.map(|why| asynctasks::last_err_msg.eq(why)),
                    ))
                    .execute(conn)
                    .await
            })?)
        };
        Ok(self.retrying(let_go).await? > 0)
    }

    /// Undoes [`let_go`](Self::let_go), so that the end of the run can be written after all. False: the run does not hold the task any more.
    pub(crate) async fn take_up(&self, run: &RunKey) -> Result<bool, StoreError> {
        let take_up = || async {
            let mut conn = self.db.write().await?;
            Ok(on_backend!(conn, |conn| {
                let owner = asynctasks::lease_owner.eq(&*run.owner);
                // `queued = 0`: its claim may be gone, and then the next look for dead nodes makes a new claim.
                diesel::update(held!(run, owner.or(asynctasks::lease_owner.is_null())))
                    .set((asynctasks::lease_owner.eq(&*run.owner), asynctasks::queued.eq(0)))
                    .execute(conn)
                    .await
            })?)
        };
        Ok(self.retrying(take_up).await? > 0)
    }
}
