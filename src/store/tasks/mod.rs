//! Tasks, their records, and the claims that hold them.
//!
//! Some files hold values: a task to add ([`new_row`]), the tasks of a claim ([`claimed`], [`queue`], [`held_claim`]), writes about runs
//! ([`writes`]), rows as people see them ([`rows`]). The folders of the databases import these. The other files hold operations, which
//! call the databases.

mod add_on;
mod bulk;
pub(super) mod claimed;
mod claims;
mod delete;
mod due;
mod failures;
mod filter;
pub(super) mod held;
pub(super) mod held_claim;
mod let_go;
pub(super) mod long_args;
pub(super) mod new_row;
pub(super) mod once;
mod operations;
#[cfg(all(feature = "hooks", feature = "web"))]
mod park;
pub(super) mod put_off;
mod query;
pub(super) mod queue;
mod records;
mod remote;
mod remote_claim;
pub(super) mod rows;
pub(super) mod run_key;
mod search;
mod settle;
mod single;
mod watched;
mod whole;
pub(super) mod writes;

pub use claimed::{Claim, Claimed, ClaimedTask, Wanted};
pub(crate) use held::{
    Addition, Look as LookForEnds, PIECE as RELEASE_PIECE, Released, Shape, Wanted as WantedRelease,
};
pub(crate) use held_claim::{HeldClaim, Orphan};
pub(crate) use long_args::ArgsMemory;
pub(crate) use new_row::NewTaskRow;
pub(crate) use once::Once;
pub(crate) use operations::{CancelResult, RetryResult};
#[cfg(feature = "web")]
pub(crate) use remote::SeenRun;
#[cfg(feature = "web")]
pub(crate) use remote_claim::REMOTE;
pub(crate) use remote_claim::{RemoteClaim, is_remote};
pub(crate) use run_key::RunKey;
pub(crate) use search::LOOK_FOR;
pub(crate) use single::ChangeResult;
pub(crate) use watched::Placed;
pub(crate) use writes::{Begin, Finish, Finished, Progress, Writes, Written};
