//! riverqueue, on PostgreSQL and SQLite.

use std::{convert::Infallible, time::Duration};

use riverqueue::{
    Client, InsertOpts, Job, JobArgs, QUEUE_DEFAULT, QueueConfig, RunHandle, WorkContext, WorkOutcome, Worker, Workers,
    migrate::{PostgresMigrator, SqliteMigrator},
};
use serde::{Deserialize, Serialize};

use super::{postgres, sqlite};
use crate::child::{Child, Result, Settings, Side, noop};

#[derive(Clone, Deserialize, JobArgs, Serialize)]
#[river(kind = "noop")]
struct Noop {}

struct NoopWorker;

impl Worker<Noop> for NoopWorker {
    type Error = Infallible;

    async fn work(&self, _: WorkContext, _: Job<Noop>) -> std::result::Result<WorkOutcome, Infallible> {
        noop();
        Ok(WorkOutcome::Complete)
    }
}

pub(crate) struct River {
    client: Client,
    run: Option<RunHandle>,
}

impl Side for River {
    async fn connect(child: &Child) -> Result<Self> {
        let mut workers = Workers::new();
        workers.add::<Noop, _>(NoopWorker)?;
        let queue = match child.settings {
            // It has no default; this is its guide's example.
            Settings::Defaults => QueueConfig::new(10),
            // As in its own benchmark.
            Settings::Best | Settings::Quick => QueueConfig::new(1_000)
                .with_fetch_cooldown(Duration::from_millis(2))
                .with_fetch_poll_interval(Duration::from_millis(20)),
        };
        let builder = if child.url.starts_with("sqlite:") {
            let connections = match child.settings {
                Settings::Defaults => 10,
                Settings::Best | Settings::Quick => 5,
            };
            let pool = sqlite(child, connections).await?;
            SqliteMigrator::new(pool.clone()).migrate_up().await?;
            Client::builder(pool)
        } else {
            let pool = postgres(child).await?;
            PostgresMigrator::new(pool.clone()).migrate_up().await?;
            Client::builder(pool)
        };
        let client = builder.workers(workers).queue(QUEUE_DEFAULT, queue).build()?;
        Ok(Self { client, run: None })
    }

    async fn add_many(&mut self, count: usize) -> Result<()> {
        let jobs = vec![(Noop {}, InsertOpts::default()); count];
        self.client.insert_many(jobs).await?;
        Ok(())
    }

    async fn add(&mut self) -> Result<()> {
        self.client.insert(Noop {}).await?;
        Ok(())
    }

    async fn work(&mut self) -> Result<()> {
        let mut run = self.client.start()?;
        run.wait_ready().await?;
        self.run = Some(run);
        Ok(())
    }
}
