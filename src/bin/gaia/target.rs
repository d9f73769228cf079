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
    Database(String),
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
            (None, Some(url), None) => Ok(Self::Database(url.clone())),
            (None, None, Some(file)) => {
                let config = Config::load(file).and_then(|config| config.with_env());
                let url = config.and_then(|config| {
                    for warning in config.warnings() {
                        say(&format!("gaia: configuration: {warning}"));
                    }
                    Ok(config.async_task_url()?.to_owned())
                });
                url.map(Self::Database)
                    .map_err(|error| Failure::usage(error.to_string()))
            }
            (None, None, None) => match (variable("GAIA_SERVER"), variable("DATABASE_URL")) {
                (Some(url), _) => Ok(server(url)),
                (None, Some(url)) => Ok(Self::Database(url)),
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
            Self::Database(url) => Ok(url),
            Self::Server { .. } => Err(Failure::usage(format!(
                "{command} works on a database, and a server is named; give --database URL or --config FILE"
            ))),
        }
    }
}

/// An empty variable counts as none.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
