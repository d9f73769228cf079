//! graphile_worker, on PostgreSQL.

use std::{sync::Arc, time::Duration};

use graphile_worker::{
    IntoTaskHandlerResult, JobSpec, LocalQueueConfig, RawJobSpec, TaskHandler, Worker, WorkerContext, WorkerOptions,
    WorkerUtils,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::postgres;
use crate::child::{Child, Result, Settings, Side, noop};

#[derive(Deserialize, Serialize)]
struct Noop {}

impl TaskHandler for Noop {
    const IDENTIFIER: &'static str = "noop";

    async fn run(self, _: WorkerContext) -> impl IntoTaskHandlerResult {
        noop();
        Ok::<(), String>(())
    }
}

pub(crate) struct Graphile {
    worker: Arc<Worker>,
    utils: WorkerUtils,
}

impl Side for Graphile {
    async fn connect(child: &Child) -> Result<Self> {
        let options = WorkerOptions::default().schema("graphile_worker").define_job::<Noop>();
        let options = match child.settings {
            // It makes its own pool, of 20 connections.
            Settings::Defaults => options.database_url(&child.url),
            Settings::Best => options
                .pg_pool(postgres(child).await?)
                .concurrency(500)
                .poll_interval(Duration::from_millis(5))
                .complete_job_batch_delay(Duration::from_millis(5))
                .local_queue(LocalQueueConfig::default().with_size(2_500).with_queue_count(2)),
            Settings::Quick => options.pg_pool(postgres(child).await?).concurrency(10),
        };
        let worker = Arc::new(Box::pin(options.init()).await?);
        let utils = worker.create_utils();
        Ok(Self { worker, utils })
    }

    async fn add_many(&mut self, count: usize) -> Result<()> {
        let spec = || RawJobSpec {
            identifier: Noop::IDENTIFIER.to_owned(),
            payload: json!({}),
            spec: JobSpec::default(),
        };
        let specs: Vec<RawJobSpec> = std::iter::repeat_with(spec).take(count).collect();
        self.utils.add_raw_jobs(&specs).await?;
        Ok(())
    }

    async fn add(&mut self) -> Result<()> {
        self.utils.add_job(Noop {}, JobSpec::default()).await?;
        Ok(())
    }

    async fn work(&mut self) -> Result<()> {
        let worker = Arc::clone(&self.worker);
        tokio::spawn(async move {
            if let Err(error) = worker.run().await {
                eprintln!("graphile_worker stopped: {error}");
            }
        });
        Ok(())
    }
}
