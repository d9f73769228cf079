//! apalis on SQLite.

use std::time::Duration;

use apalis::prelude::*;
use apalis_sqlite::{Config, SqliteStorage, callback::HookCallbackListener};

use super::sqlite;
use crate::child::{Child, Result, Settings, Side, noop};

pub(crate) struct Apalis<const INDEX: bool> {
    storage: SqliteStorage<u32>,
    settings: Settings,
    /// Tells of rows that this process inserts.
    callback: Option<HookCallbackListener>,
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
        let (pool, callback) = match child.settings {
            Settings::Defaults | Settings::Best => (pool, None),
            Settings::Quick => {
                pool.close().await;
                // WAL stays with the file, and SQLite's own default is `synchronous = FULL`.
                let (pool, callback) = SqliteStorage::connect_with_callback(&child.url)?;
                (pool, Some(callback))
            }
        };
        let config = Config::default().queue("bench");
        let config = match child.settings {
            Settings::Defaults => config,
            Settings::Best | Settings::Quick => config.batch_size(1_000).lock_tasks(false),
        };
        let storage = SqliteStorage::new(&pool).with_config(config);
        let settings = child.settings;
        Ok(Self {
            storage,
            settings,
            callback,
        })
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
        let worker = WorkerBuilder::new("bench");
        let storage = self.storage.clone();
        match (self.settings, self.callback.take()) {
            (_, Some(callback)) => tokio::spawn(worker.backend(storage.with_callback(callback)).build(handler).run()),
            (Settings::Defaults, None) => tokio::spawn(worker.backend(storage).build(handler).run()),
            (Settings::Best | Settings::Quick, None) => {
                let worker = worker.backend(storage.poll_with_interval(Duration::from_millis(10)));
                tokio::spawn(worker.concurrency(1_000).build(handler).run())
            }
        };
        Ok(())
    }
}
