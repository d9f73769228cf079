//! apalis, its release candidate, on MariaDB and MySQL.

use std::time::Duration;

use apalis::prelude::*;
use apalis_codec::json::JsonCodec;
use apalis_core::backend::poll_strategy::{IntervalStrategy, StrategyBuilder};
use apalis_mysql::{CompactType, MySqlStorage, fetcher::MySqlFetcher};
use apalis_sql::config::Config;
use sqlx::{MySqlPool, mysql::MySqlPoolOptions};

use crate::child::{CONNECTIONS, Child, Result, Settings, Side, noop};

type Storage = MySqlStorage<u32, JsonCodec<CompactType>, MySqlFetcher>;

pub(crate) struct Apalis {
    storage: Storage,
    settings: Settings,
}

async fn handler(_: u32) -> std::result::Result<(), BoxDynError> {
    noop();
    Ok(())
}

impl Side for Apalis {
    async fn connect(child: &Child) -> Result<Self> {
        let connections = match child.settings {
            Settings::Defaults => 10,
            Settings::Best | Settings::Quick => CONNECTIONS,
        };
        let pool = MySqlPoolOptions::new()
            .max_connections(connections)
            .connect(&child.url)
            .await?;
        migrate(&pool).await?;
        let config = Config::new("bench");
        let config = match child.settings {
            Settings::Defaults => config,
            Settings::Best | Settings::Quick => {
                let every = IntervalStrategy::new(Duration::from_millis(10));
                config
                    .set_buffer_size(1_000)
                    .with_poll_interval(StrategyBuilder::new().apply(every).build())
            }
        };
        let storage = MySqlStorage::new_with_config(&pool, &config);
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
        let worker = WorkerBuilder::new("bench").backend(self.storage.clone());
        match self.settings {
            Settings::Defaults => tokio::spawn(worker.build(handler).run()),
            Settings::Best | Settings::Quick => tokio::spawn(worker.concurrency(1_000).build(handler).run()),
        };
        Ok(())
    }
}

/// Its migrations name a collation that MariaDB has since 11.4 only.
async fn migrate(pool: &MySqlPool) -> Result<()> {
    let mut migrator = MySqlStorage::migrations();
    for migration in migrator.migrations.to_mut() {
        migration.sql = migration.sql.replace("utf8mb4_0900_ai_ci", "utf8mb4_unicode_ci").into();
    }
    migrator.run(pool).await?;
    Ok(())
}
