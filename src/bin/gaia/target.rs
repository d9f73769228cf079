//! Where the commands go to: a server, or a database.

use std::path::PathBuf;

use gaia_actors::Config;

use crate::{
    args::Globals,
    exit::{Failure, Result},
    output::say,
};

/// The API of a server, or a database that this process opens by itself.
pub enum Target {
    Server {
        url: String,
        token_file: Option<PathBuf>,
        ca_file: Option<PathBuf>,
    },
    Database(Box<Database>),
}

/// A database, and what the configuration says of it.
pub struct Database {
    pub url: String,
    /// Nothing but what this program needs of it.
    pub config: Config,
}

const NOTHING_NAMED: &str = "it is not said where to look; name a database (--database URL or DATABASE_URL), a configuration (--config FILE) \
    or a server (--server URL or GAIA_SERVER)";

impl Target {
    /// An option of the command line goes before the environment, and `GAIA_SERVER` goes before `DATABASE_URL`.
    pub fn of(globals: &Globals) -> Result<Self> {
        let server = |url: String| Self::Server {
            url,
            token_file: globals.token_file.clone(),
            ca_file: globals.ca_file.clone(),
        };
        match (&globals.server, &globals.database, &globals.config) {
            (Some(url), None, None) => Ok(server(url.clone())),
            (None, Some(url), None) => Database::of(url.clone()),
            (None, None, Some(file)) => {
                let config = Config::load(file).and_then(|config| config.with_env());
                let target = config.and_then(|config| {
                    for warning in config.warnings() {
                        say(&format!("gaia: configuration: {warning}"));
                    }
                    let url = config.async_task_url()?.to_owned();
                    Ok(Database::with(url, config))
                });
                target.map_err(|error| Failure::usage(error.to_string()))
            }
            (None, None, None) => match (variable("GAIA_SERVER"), variable("DATABASE_URL")) {
                (Some(url), _) => Ok(server(url)),
                (None, Some(url)) => Database::of(url),
                (None, None) => Err(Failure::usage(NOTHING_NAMED)),
            },
            _ => Err(Failure::usage(
                "--server, --database and --config say different things; give one of them",
            )),
        }
    }

    /// The database, for commands that no server does.
    pub fn database(globals: &Globals, command: &str) -> Result<String> {
        match Self::of(globals)? {
            Self::Database(database) => Ok(database.url),
            Self::Server { .. } => Err(Failure::usage(format!(
                "{command} works on a database, and a server is named; give --database URL or --config FILE"
            ))),
        }
    }
}

impl Database {
    /// With what the environment says.
    fn of(url: String) -> Result<Target> {
        let config = Config::from_env().map_err(|error| Failure::usage(error.to_string()))?;
        Ok(Self::with(url, config))
    }

    /// With the zone, the system and the defaults of the nodes.
    fn with(url: String, config: Config) -> Target {
        let mut kept = Config::default();
        kept.jobs = config.jobs;
        kept.node.compat = config.node.compat;
        kept.async_task.max_retry = config.async_task.max_retry;
        kept.async_task.retry_succeeded = config.async_task.retry_succeeded;
        Target::Database(Box::new(Self { url, config: kept }))
    }
}

/// An empty variable counts as none.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
