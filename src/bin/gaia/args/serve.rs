//! The words of `gaia serve` and `gaia demo`.

use clap::Args;

const EXAMPLES: &str = "\
SIGTERM or ctrl-c stops gracefully, a second one cuts the grace period short. SIGHUP reads the configuration again.

As a service:
  gaia serve --config config.json
  gaia serve --database sqlite:gaia.db --listen 127.0.0.1:9000 --read-only

Examples:
  gaia serve --check
  gaia serve --check --strict";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ServeArgs {
    /// The address and port to listen on, instead of Http.Listen
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Works on no theme, runs no job, and lets nobody change anything
    #[arg(long)]
    pub read_only: bool,
    /// Only reads and checks the configuration
    #[arg(long)]
    pub check: bool,
    /// Refuses a configuration that has sections or keys of other programs, which are left alone otherwise
    #[arg(long)]
    pub strict: bool,
}

#[derive(Debug, Args)]
pub struct DemoArgs {
    /// The address and port to listen on
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub listen: String,
}
