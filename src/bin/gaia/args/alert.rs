//! The words of `gaia alert`.

use clap::Subcommand;

use super::Watch;

#[derive(Debug, Subcommand)]
pub enum AlertCommand {
    /// Lists the alerts whose causes go on, the newest first
    List {
        /// Only alerts of this theme (may be repeated)
        #[arg(long)]
        theme: Vec<String>,
        #[command(flatten)]
        watch: Watch,
    },
}
