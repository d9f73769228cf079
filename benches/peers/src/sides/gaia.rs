//! Ours.

use gaia_actors::prelude::*;
use serde_json::Value;

use crate::child::{CONNECTIONS, Child, Result, Settings, Side, noop};

const THEME: &str = "bench";

pub(crate) struct Ours {
    gaia: Gaia,
    client: Scheduler,
    settings: Settings,
}

impl Side for Ours {
    async fn connect(child: &Child) -> Result<Self> {
        let mut url = child.url.clone();
        if child.settings != Settings::Defaults && !url.starts_with("sqlite:") {
            let joint = if url.contains('?') { '&' } else { '?' };
            url = format!("{url}{joint}pool_size={CONNECTIONS}");
        }
        let handler = async_fn(async |_, _: Value| {
            noop();
            Ok(())
        });
        let gaia = Gaia::builder()
            .database(url)
            .handler("Bench", "Noop", handler)
            .start()
            .await?;
        let client = gaia.scheduler(THEME)?;
        Ok(Self {
            gaia,
            client,
            settings: child.settings,
        })
    }

    async fn add_many(&mut self, count: usize) -> Result<()> {
        self.client.add_tasks(vec![task(); count]).await?;
        Ok(())
    }

    async fn add(&mut self) -> Result<()> {
        self.client.add_task(task()).await?;
        Ok(())
    }

    async fn work(&mut self) -> Result<()> {
        let options = SchedulerOptions::new(THEME);
        let options = match self.settings {
            Settings::Best => options.worker_num(300).scan_task_num(1_000).task_id_chan_length(4_000),
            Settings::Defaults | Settings::Quick => options,
        };
        self.client = self.gaia.start_scheduler(options).await?;
        Ok(())
    }
}

fn task() -> NewTask {
    NewTask::new("Bench", "Noop")
}
