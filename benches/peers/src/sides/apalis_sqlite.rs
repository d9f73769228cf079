//! apalis on SQLite.

use std::time::Duration;

use apalis::prelude::*;
use apalis_sqlite::{Config, SqliteStorage};

use super::sqlite;
use crate::child::{Child, Result, Settings, Side, noop};

pub(crate) struct Apalis<const INDEX: bool> {
    storage: SqliteStorage<u32>,
    settings: Settings,
}

async fn handler(_: u32) -> std::result::Result<(), BoxDynError> {
    noop();
    Ok(())
}

impl<const INDEX: bool> Side for Apalis<INDEX> {
    async fn connect(child: &Child) -> Result<Self> {
        let connections = match child.settings {
            Settings::Defaults => 10,
            Settings::Best | Settings::Quick => 1,
        };
        let pool = sqlite(child, connections).await?;
        // Its `setup` would do the same, and set `synchronous = OFF`.
        SqliteStorage::migrations().run(&pool).await?;
        if !INDEX {
            sqlx::query("DROP INDEX IF EXISTS LIdx").execute(&pool).await?;
        }
        let config = Config::default().queue("bench");
        let config = match child.settings {
            Settings::Defaults => config,
            Settings::Best | Settings::Quick => config.batch_size(1_000).lock_tasks(false),
        };
        let storage = SqliteStorage::new(&pool).with_config(config);
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
        if self.settings == Settings::Defaults {
            let worker = WorkerBuilder::new("bench").backend(self.storage.clone()).build(handler);
            tokio::spawn(worker.run());
        } else {
            let backend = self.storage.clone().poll_with_interval(Duration::from_millis(10));
            let worker = WorkerBuilder::new("bench").backend(backend);
            tokio::spawn(worker.concurrency(1_000).build(handler).run());
        }
        Ok(())
    }
}
