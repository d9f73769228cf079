//! The words of `gaia audit`.

use clap::Subcommand;

use super::{Paging, Watch};

pub const EXAMPLES: &str = "\
Examples:
  gaia audit list --action theme.pause
  gaia audit list --theme demo -o wide";

#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Lists changes, the newest first
    List {
        /// Only changes in this theme (may be repeated)
        #[arg(long)]
        theme: Vec<String>,
        /// Only changes of this caller
        #[arg(long)]
        author: Option<String>,
        /// Only this action, such as theme.pause
        #[arg(long)]
        action: Option<String>,
        #[command(flatten)]
        paging: Paging,
        #[command(flatten)]
        watch: Watch,
    },
}
