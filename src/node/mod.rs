//! This process among the others on the database: its heartbeat, its lease, and the work of those that died.

mod actor;
mod history;
mod info;
mod locked;
mod logs;
mod neighbours;
mod prune;
mod remote;
mod requests;
mod rescue;
mod said;
mod set_back;
mod status;
mod unattended;
mod unknown;
mod watch;

pub use actor::NodeActor;
pub(crate) use actor::{BeatNow, NodeParts, Retire, describe};
pub(crate) use history::write_history;
pub use info::{NodeInfo, NodeTheme};
pub(crate) use logs::{LogActor, StopLogs};
pub(crate) use prune::{HasBegun, PruneActor, PruneParts, StopPruning};
pub(crate) use remote::SettledClaims;
pub use status::{NodeDetail, NodeStatus};
#[cfg(feature = "web")]
pub(crate) use {info::methods_column, remote::UNLEASED, rescue::write as write_ends, said::Said};
