//! One call of the program: where it asks, and how it writes.

use chrono::{DateTime, Utc};
use tokio::sync::OnceCell;

use crate::{api::Api, args::Globals, exit::Result, local::Local, output::Out, target::Target};

pub struct Session {
    pub globals: Globals,
    pub out: Out,
    api: OnceCell<Api>,
    local: OnceCell<Local>,
}

impl Session {
    pub fn new(globals: Globals) -> Self {
        Self {
            out: Out::new(globals.output),
            globals,
            api: OnceCell::new(),
            local: OnceCell::new(),
        }
    }

    /// The API. The first call opens the database, if there is no server to ask.
    pub async fn api(&self) -> Result<&Api> {
        self.api.get_or_try_init(async || self.open().await).await
    }

    async fn open(&self) -> Result<Api> {
        match Target::of(&self.globals)? {
            Target::Server {
                url,
                token_file,
                ca_file,
            } => Api::of_server(&url, token_file.as_deref(), ca_file.as_deref()),
            Target::Database(database) => {
                let local = self
                    .local
                    .get_or_try_init(async || Local::open(*database).await)
                    .await?;
                Api::of_local(local)
            }
        }
    }

    /// When this process opened the database, by its own clock; none if a server is asked.
    pub fn opened_at(&self) -> Option<DateTime<Utc>> {
        self.local.get().map(|local| local.opened_at)
    }

    /// Takes this process out of the nodes of the database, if it is one of them.
    pub async fn close(self) {
        if let Some(local) = self.local.into_inner() {
            local.close().await;
        }
    }
}
