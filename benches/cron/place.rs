//! A database of its own for each measurement, with jobs in it.

use gaia_actors::{
    Clock, Gaia, JobsOptions,
    prelude::{Endpoint, TaskContext, TaskError, async_fn},
    store::Store,
};

use crate::database::{Home, Kind, Plain, Result};

pub(crate) struct Place {
    pub(crate) kind: Kind,
    pub(crate) url: String,
    pub(crate) plain: Plain,
    home: Home,
    name: String,
}

impl Place {
    /// A new database with all tables and no rows.
    pub(crate) async fn make(database: &str) -> Result<Self> {
        let home = Home::new(database)?;
        let name = crate::database::name("cron");
        home.create(&name).await?;
        let url = home.url_of(&name)?;
        Store::connect(&url, Clock::system()).await?.migrate().await?;
        Ok(Self {
            kind: home.kind,
            plain: Plain::connect(home.kind, &url).await?,
            url,
            home,
            name,
        })
    }

    /// To be called whatever a measurement came to.
    pub(crate) async fn remove(self) -> Result<()> {
        drop(self.plain);
        self.home.remove(&[self.name]).await
    }

    /// Adds so many enabled jobs, as another program would. `expression` is SQL for a text; `n` counts the jobs.
    pub(crate) async fn add_jobs(&mut self, count: usize, expression: &str) -> Result<()> {
        if count == 0 {
            return Ok(());
        }
        self.plain.allow_recursion(self.kind, count).await?;
        let now = self.kind.time("0");
        let insert = format!(
            "INSERT INTO job_center \
               (job_name, job_type, cron_expr, service_name, service_method, enabled, create_time, update_time) \
             WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {count}) \
             SELECT CONCAT('job ', n), 'cron_job', {expression}, 'Bench', 'Run', 1, {now}, {now} FROM s"
        );
        self.plain.run(&insert).await
    }
}

/// A node that runs these jobs.
pub(crate) async fn start(url: &str, handler: Endpoint) -> Result<Gaia> {
    let gaia = Gaia::builder()
        .database(url)
        .handler("Bench", "Run", handler)
        .jobs(JobsOptions::default());
    Ok(gaia.start().await?)
}

/// A handler that tells `note` of each run as soon as it begins.
pub(crate) fn noting(note: impl Fn(&TaskContext) + Send + Sync + 'static) -> Endpoint {
    async_fn(async move |ctx: TaskContext, _: serde_json::Value| {
        note(&ctx);
        Ok::<_, TaskError>(())
    })
}
