//! The words of `gaia node`.

use clap::Subcommand;

use super::{Reason, Watch};

#[derive(Debug, Subcommand)]
pub enum NodeCommand {
    /// Lists the processes that share the database
    List {
        #[command(flatten)]
        watch: Watch,
    },
    /// Shows a node with its counters
    Get {
        /// The id of the node
        node: String,
    },
    /// Sets how many workers one node has for a theme, until it stops
    Resize {
        /// The id of the node
        node: String,
        /// The theme
        theme: String,
        /// The number of workers; with 0 the node takes no work of the theme
        workers: u32,
        #[command(flatten)]
        reason: Reason,
    },
}
