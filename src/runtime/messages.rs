//! The operations of [`Gaia`] as messages to its address.

use std::collections::BTreeMap;

use actix::{Actor, Context};
use serde::{Deserialize, Serialize};

use super::{Gaia, StopReport};
use crate::{asynctask::SchedulerStatus, error::Error, node::NodeInfo, operations::operations};

/// The counters of every theme of this process: [`Gaia::all_scheduler_status`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct GetAllSchedulerStatus;

/// The processes that share the database: [`Gaia::nodes`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct GetNodes;

/// Stop gracefully: [`Gaia::stop`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct StopGaia;

/// Claim nothing more, and let running tasks and jobs go on: [`Gaia::drain`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct DrainGaia;

impl Actor for Gaia {
    type Context = Context<Self>;
}

operations! {
    Gaia:
    Read all_scheduler_status(GetAllSchedulerStatus) => |gaia, GetAllSchedulerStatus| gaia.all_scheduler_status().await,
        BTreeMap<String, SchedulerStatus>;
    Read nodes(GetNodes) => |gaia, GetNodes| gaia.nodes().await, Vec<NodeInfo>;
    Change stop(StopGaia) => |gaia, StopGaia| gaia.stop().await, StopReport;
    Change drain(DrainGaia) => |gaia, DrainGaia| gaia.drain().await, ();
}
