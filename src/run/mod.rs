//! What the run of a task and the run of a job have in common: one call of a handler, one life from the claim to the end, and one
//! way in which ends reach the database.

mod attempt;
mod gate;
mod lifecycle;
mod recorder;
mod single_flight;
#[cfg(feature = "web")]
mod token;
mod told;

pub(crate) use attempt::{Attempt, StoppableRun, attempt};
pub(crate) use gate::{Gate, GateChange};
pub(crate) use lifecycle::{Lifecycle, Overdue};
pub(crate) use recorder::{
    Batch, Divisible, Drain, GetRecorderCounts, Ledger, Record, Recorder, RecorderCounts, RefusedEnd,
};
pub(crate) use single_flight::SingleFlight;
#[cfg(feature = "web")]
pub(crate) use token::{RunToken, sealed};
pub(crate) use told::{ended, run_info};
