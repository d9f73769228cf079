//! apalis on PostgreSQL.

use std::time::Duration;

use apalis::prelude::*;
use apalis_postgres::{Config, PostgresStorage, Pubsub};

use super::postgres;
use crate::child::{Child, Result, Settings, Side, noop};

const QUEUE: &str = "bench";

pub(crate) struct Apalis {
    storage: PostgresStorage<u32>,
    settings: Settings,
}

async fn handler(_: u32) -> std::result::Result<(), BoxDynError> {
    noop();
    Ok(())
}

impl Side for Apalis {
    async fn connect(child: &Child) -> Result<Self> {
        let pool = postgres(child).await?;
        PostgresStorage::setup(&pool).await?;
        let config = Config::default().queue(QUEUE);
        let config = match child.settings {
            Settings::Defaults => config,
            Settings::Best | Settings::Quick => config.batch_size(1_000).lock_tasks(false),
        };
        let storage = PostgresStorage::new(&pool).with_config(config);
        let settings = child.settings;
        Ok(Self { storage, settings })
    }

    async fn add_many(&mut self, count: usize) -> Result<()> {
        self.storage.push_bulk(vec![0; count]).await?;
        Ok(())
    }

    async fn add(&mut self) -> Result<()> {
        self.storage.push(0).await?;
        Ok(())
    }

    async fn work(&mut self) -> Result<()> {
        match self.settings {
            Settings::Defaults => {
                let worker = WorkerBuilder::new("bench").backend(self.storage.clone()).build(handler);
                tokio::spawn(worker.run());
            }
            Settings::Best => {
                for number in 0..4 {
                    let backend = self.storage.clone().with_pubsub();
                    let worker = WorkerBuilder::new(format!("bench-{number}")).backend(backend);
                    tokio::spawn(worker.concurrency(1_000).build(handler).run());
                }
            }
            Settings::Quick => {
                let pubsub = Pubsub::new(self.storage.pool().clone(), QUEUE.to_owned());
                let strategy = Strategy::new().stream(pubsub).interval(Duration::from_millis(100));
                let backend = self.storage.clone().poll_with_strategy(strategy);
                let worker = WorkerBuilder::new("bench").backend(backend);
                tokio::spawn(worker.concurrency(1_000).build(handler).run());
            }
        }
        Ok(())
    }
}
