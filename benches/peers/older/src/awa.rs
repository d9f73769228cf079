//! awa, on PostgreSQL.

use std::time::Duration;

use awa::{
    Client, InsertOpts, InsertParams, JobArgs, JobResult, QueueConfig, insert_many_copy_from_pool, insert_with, migrations,
};
use serde::{Deserialize, Serialize};
use sqlx::{PgPool, postgres::PgPoolOptions};

use crate::child::{CONNECTIONS, Child, Result, Settings, Side, noop};

const QUEUE: &str = "bench";

#[derive(Deserialize, JobArgs, Serialize)]
struct Noop {}

pub(crate) struct Awa {
    pool: PgPool,
    settings: Settings,
    client: Option<Client>,
}

fn options() -> InsertOpts {
    InsertOpts {
        queue: QUEUE.to_owned(),
        ..InsertOpts::default()
    }
}

impl Side for Awa {
    async fn connect(child: &Child) -> Result<Self> {
        let connections = match child.settings {
            Settings::Defaults => 10,
            Settings::Best | Settings::Quick => CONNECTIONS,
        };
        let pool = PgPoolOptions::new().max_connections(connections).connect(&child.url).await?;
        migrations::run(&pool).await?;
        let settings = child.settings;
        Ok(Self { pool, settings, client: None })
    }

    async fn add_many(&mut self, count: usize) -> Result<()> {
        let params = || awa::model::insert::params_with(&Noop {}, options());
        let params: Vec<InsertParams> = std::iter::repeat_with(params).take(count).collect::<std::result::Result<_, _>>()?;
        insert_many_copy_from_pool(&self.pool, &params).await?;
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
