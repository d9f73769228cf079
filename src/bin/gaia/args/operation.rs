//! The words of `gaia operation`.

use clap::Subcommand;

use super::{Paging, Reason, Watch};

#[derive(Debug, Subcommand)]
pub enum OperationCommand {
    /// Lists bulk operations, the newest first
    List {
        #[command(flatten)]
        paging: Paging,
        #[command(flatten)]
        watch: Watch,
    },
    /// Shows a bulk operation
    Get {
        /// The id of the operation
        id: i64,
        /// Waits for its end
        #[arg(long)]
        wait: bool,
    },
    /// Ends a bulk operation; its changes so far stay
    Cancel {
        /// The id of the operation
        id: i64,
        #[command(flatten)]
        reason: Reason,
    },
}
