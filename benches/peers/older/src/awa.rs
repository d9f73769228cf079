//! awa, on PostgreSQL.

use std::time::Duration;

use awa::{
    Client, InsertOpts, InsertParams, JobArgs, JobResult, QueueConfig, QueueStorage, QueueStorageConfig,
    insert_many_copy_from_pool, insert_with, migrations,
};
use serde::{Deserialize, Serialize};
use sqlx::{PgPool, postgres::PgPoolOptions};

use crate::child::{CONNECTIONS, Case, Child, Result, Settings, Side, noop};

const QUEUE: &str = "bench";

#[derive(Deserialize, JobArgs, Serialize)]
struct Noop {}

/// `NEW` is its vacuum-aware storage, which a database gets when a worker is started before the first job is added.
pub(crate) struct Awa<const NEW: bool> {
    pool: PgPool,
    storage: QueueStorage,
    settings: Settings,
    client: Option<Client>,
}

fn options() -> InsertOpts {
    InsertOpts {
        queue: QUEUE.to_owned(),
        ..InsertOpts::default()
    }
}

impl<const NEW: bool> Side for Awa<NEW> {
    async fn connect(child: &Child) -> Result<Self> {
        let connections = match child.settings {
            Settings::Defaults => 10,
            Settings::Best | Settings::Quick => CONNECTIONS,
        };
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .connect(&child.url)
            .await?;
        migrations::run(&pool).await?;
        let settings = child.settings;
        let mut side = Self {
            pool,
            storage: QueueStorage::new(QueueStorageConfig::default())?,
            settings,
            client: None,
        };
        if NEW && child.case == Case::Insert {
            side.work().await?;
            if let Some(client) = side.client.take() {
                client.shutdown(Duration::from_secs(5)).await;
            }
        }
        Ok(side)
    }

    async fn add_many(&mut self, count: usize) -> Result<()> {
        let params = || awa::model::insert::params_with(&Noop {}, options());
        let params: Vec<InsertParams> = std::iter::repeat_with(params)
            .take(count)
            .collect::<std::result::Result<_, _>>()?;
        if NEW {
            self.storage.enqueue_params_copy(&self.pool, &params).await?;
        } else {
            insert_many_copy_from_pool(&self.pool, &params).await?;
        }
        Ok(())
    }

    async fn add(&mut self) -> Result<()> {
        insert_with(&self.pool, &Noop {}, options()).await?;
        Ok(())
    }

    async fn work(&mut self) -> Result<()> {
        let queue = match self.settings {
            Settings::Defaults | Settings::Quick => QueueConfig::default(),
            Settings::Best => QueueConfig {
                max_workers: 1_024,
                poll_interval: Duration::from_millis(50),
                ..QueueConfig::default()
            },
        };
        let client = Client::builder(self.pool.clone())
            .queue(QUEUE, queue)
            .register::<Noop, _, _>(|_, _| async {
                noop();
                Ok(JobResult::Completed)
            })
            .build()?;
        client.start().await?;
        self.client = Some(client);
        Ok(())
    }
}
