//! Rows of runs whose ends the database takes in no form: they are marked as ended by leaving them without a node. No node claims
//! such a row, takes it over, or waits for it.

use std::sync::Arc;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::run_key::RunKey;
use crate::store::{Begin, StoreError, TaskStore, Writes, db::on_backend, schema::asynctasks};

/// The task that a run holds, if its row names one of these owners.
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
    /// Leaves the task of a run that has ended `Running` without a node, and notes why if the row takes that. False: the run
    /// no longer held it.
    pub(crate) async fn let_go(&self, run: &RunKey, why: &str) -> Result<bool, StoreError> {
        self.show(run).await?;
        match self.let_go_noting(run, Some(why)).await {
            Err(error) if error.is_refusal() => self.let_go_noting(run, None).await,
            done => done,
        }
    }

    /// Has the row of a task say that it runs.
    async fn show(&self, run: &RunKey) -> Result<(), StoreError> {
        let begin = Begin {
            run: run.clone(),
            is_last: false,
        };
        let writes = Writes {
            begins: vec![begin],
            ..Writes::default()
        };
        self.write(Arc::new(writes)).await.map(drop)
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

    /// Gives a run its task back that was let go, so that its end can be written after all. False: the task is in other
    /// hands.
    pub(crate) async fn take_up(&self, run: &RunKey) -> Result<bool, StoreError> {
        let take_up = || async {
            let mut conn = self.db.write().await?;
            Ok(on_backend!(conn, |conn| {
                let owner = asynctasks::lease_owner.eq(&*run.owner);
                // Its claim may be gone: the next look for dead nodes makes another one.
                diesel::update(held!(run, owner.or(asynctasks::lease_owner.is_null())))
                    .set((asynctasks::lease_owner.eq(&*run.owner), asynctasks::queued.eq(0)))
                    .execute(conn)
                    .await
            })?)
        };
        Ok(self.retrying(take_up).await? > 0)
    }
}
