//! What handlers reach of the schedulers of their process.

use super::{
    runtime::{ThemeRuntimes, WeakThemeRuntimes},
    scheduler::Scheduler,
};
use crate::{
    error::{Error, shared_by_gaia},
    registry::TaskContext,
    store::Store,
};

/// What handlers share, to make handles on themes.
pub(crate) struct SchedulersOfHandlers {
    pub(super) store: Store,
    /// The themes own the registry, which owns this.
    themes: WeakThemeRuntimes,
}

impl SchedulersOfHandlers {
    pub(crate) fn new(store: Store, themes: &ThemeRuntimes) -> Self {
        let themes = themes.downgrade();
        Self { store, themes }
    }
}

impl TaskContext {
    /// The handle on a theme of the handler's Gaia, as by [`Gaia::scheduler`](crate::Gaia::scheduler): how a handler adds further tasks, also
    /// [within its transaction](Scheduler::add_task_on). With the feature `tracing` they belong to the trace of the run.
    ///
    #[cfg_attr(feature = "sqlite", doc = "```")]
    #[cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
    /// use std::time::Duration;
    /// use gaia_actors::prelude::*;
    ///
    /// async fn place(ctx: TaskContext, order: u64) -> Result<i64, TaskError> {
    ///     let mail = NewTask::new("Mail", "Confirm").args(&order).unique_key(format!("confirm-{order}"));
    ///     Ok(ctx.scheduler("mail")?.add_task(mail).await?.id)
    /// }
    ///
    /// # #[actix_rt::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let gaia = Gaia::builder()
    ///     .database("sqlite::memory:")
    ///     .handler("Orders", "Place", async_fn(place))
    ///     .scheduler(SchedulerOptions::new("orders"))
    ///     .start()
    ///     .await?;
    /// let orders = gaia.scheduler("orders")?;
    /// let placed = orders.add_task(NewTask::new("Orders", "Place").args(&17)).await?;
    /// orders.wait_for(placed.id, Duration::from_secs(10)).await?;
    /// assert_eq!(gaia.scheduler("mail")?.count_by_status().await?[&TaskStatus::Wait], 1);
    /// # gaia.stop().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Invalid`] for a bad theme; [`Error::NoGaia`] in a direct call of a registry that belongs to no Gaia; [`Error::Stopped`] if the
    /// Gaia has stopped.
    pub fn scheduler(&self, theme: &str) -> Result<Scheduler, Error> {
        let shared = shared_by_gaia::<SchedulersOfHandlers>(self)?;
        let themes = shared.themes.upgrade().ok_or(Error::Stopped)?;
        Ok(Scheduler::new(theme, shared.store.clone(), themes)?)
    }
}
