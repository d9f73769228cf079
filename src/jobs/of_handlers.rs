//! What handlers reach of the jobs.

use super::handle::Jobs;
use crate::{
    error::{Error, shared_by_gaia},
    registry::TaskContext,
};

/// What handlers share. (The application may share its `Jobs`, too, by that type.)
pub(crate) struct JobsOfHandlers(pub(crate) Jobs);

impl TaskContext {
    /// The handle on the jobs of the handler's Gaia, as by [`Gaia::jobs`](crate::Gaia::jobs).
    ///
    /// ```
    /// use gaia_actors::prelude::*;
    ///
    /// /// Each tenant gets a nightly report once it is set up.
    /// async fn set_up(ctx: TaskContext, tenant: String) -> Result<i64, TaskError> {
    ///     let job = NewJob::cron_job(format!("report of {tenant}"), "0 0 1 * * *", "Report", "Daily");
    ///     Ok(ctx.jobs()?.ensure_job(job).await?)
    /// }
    /// # let _ = async_fn(set_up);
    /// ```
    ///
    /// # Errors
    /// [`Error::NoGaia`] in a direct call of a registry that belongs to no Gaia; [`Error::Stopped`] if the Gaia has stopped.
    pub fn jobs(&self) -> Result<Jobs, Error> {
        let shared = shared_by_gaia::<JobsOfHandlers>(self)?;
        Ok(shared.0.clone())
    }
}
