//! The processes that share a database, and the settings that hold for all of them.

mod alerts;
mod audit;
mod bulk;
mod history;
mod limits;
mod logs;
pub(super) mod nodes;
mod notify;
mod prune;
pub(super) mod requests;
mod themes;

pub(crate) use alerts::{StoredAlert, hashed};
#[cfg(feature = "web")]
pub(crate) use history::OnNode;
pub(crate) use history::{Folding, MOST_ROWS};
pub(crate) use limits::{
    Held, KEYS, KeyOfMethod, KeyTask, LimitUse, MOST_LIMITS, Settle, SettleKeys, Settled, SettledKeys, StoredLimit,
};
pub(crate) use nodes::{Beat, NodeRow, Nodes, PROTOCOL, SeenNode};
pub(crate) use prune::{End, Expired, Line, RecordKey};
pub(crate) use requests::{RequestState, TakenRequest};
pub(crate) use themes::{StoredNote, StoredTheme, ThemeSettings};
