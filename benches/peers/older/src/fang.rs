//! fang, on MariaDB and MySQL.

use std::time::Duration;

use fang::{
    AsyncQueue, AsyncQueueable, AsyncRunnable, AsyncWorkerPool, FangError, SleepParams, async_trait,
    serde::{Deserialize, Serialize},
    typetag,
};
use sqlx::{Connection, Executor, MySqlConnection};

use crate::child::{CONNECTIONS, Child, Result, Settings, Side, noop};

#[derive(Serialize, Deserialize)]
#[serde(crate = "fang::serde")]
struct Noop {}

#[typetag::serde]
#[async_trait]
impl AsyncRunnable for Noop {
    async fn run(&self, _: &dyn AsyncQueueable) -> std::result::Result<(), FangError> {
        noop();
        Ok(())
    }
}

pub(crate) struct Fang {
    queue: AsyncQueue,
    settings: Settings,
}

impl Side for Fang {
    async fn connect(child: &Child) -> Result<Self> {
        let mut connection = MySqlConnection::connect(&child.url).await?;
        connection.execute(TABLE).await?;
        connection.close().await?;
        let mut queue = AsyncQueue::builder().uri(&child.url).max_pool_size(CONNECTIONS).build();
        queue.connect().await?;
        let settings = child.settings;
        Ok(Self { queue, settings })
    }

    /// It has no call for many.
    async fn add_many(&mut self, count: usize) -> Result<()> {
        for _ in 0..count {
            self.add().await?;
        }
        Ok(())
    }

    async fn add(&mut self) -> Result<()> {
        self.queue.insert_task(&Noop {}).await?;
        Ok(())
    }

    async fn work(&mut self) -> Result<()> {
        let soon = Duration::from_millis(10);
        let sleep = match self.settings {
            Settings::Defaults => SleepParams::default(),
            Settings::Best | Settings::Quick => SleepParams {
                sleep_period: soon,
                max_sleep_period: soon,
                min_sleep_period: soon,
                sleep_step: soon,
            },
        };
        // It has no default; its guide takes as many workers as connections.
        let workers = match self.settings {
            Settings::Defaults | Settings::Best => CONNECTIONS,
            // Several would run a task several times.
            Settings::Quick => 1,
        };
        let mut pool: AsyncWorkerPool<AsyncQueue> = AsyncWorkerPool::builder()
            .number_of_workers(workers)
            .queue(self.queue.clone())
            .sleep_params(sleep)
            .build();
        pool.start().await;
        Ok(())
    }
}

/// Its migration, which it runs by diesel alone.
const TABLE: &str = "
CREATE TABLE IF NOT EXISTS fang_tasks (
  id BINARY(16) PRIMARY KEY,
  metadata JSON NOT NULL,
  error_message TEXT,
  state ENUM('new', 'in_progress', 'failed', 'finished', 'retried') NOT NULL DEFAULT 'new',
  task_type VARCHAR(255) NOT NULL DEFAULT 'common',
  uniq_hash VARCHAR(64),
  retries INTEGER NOT NULL DEFAULT 0,
  scheduled_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  created_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  updated_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  INDEX fang_tasks_state_index (state),
  INDEX fang_tasks_type_index (task_type),
  INDEX fang_tasks_scheduled_at_index (scheduled_at),
  INDEX fang_tasks_uniq_hash (uniq_hash)
)";
