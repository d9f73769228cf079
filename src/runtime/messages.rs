//! The operations of [`Gaia`] as messages to its address.

use std::collections::BTreeMap;

use actix::{Actor, Context, Handler, Message, ResponseFuture};

use super::{Gaia, StopReport};
use crate::{asynctask::SchedulerStatus, error::Error, node::NodeInfo};

/// The counters of every theme of this process: [`Gaia::all_scheduler_status`].
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<BTreeMap<String, SchedulerStatus>, Error>")]
pub struct GetAllSchedulerStatus;

/// The processes that share the database: [`Gaia::nodes`].
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<Vec<NodeInfo>, Error>")]
pub struct GetNodes;

/// Stop gracefully: [`Gaia::stop`].
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<StopReport, Error>")]
pub struct StopGaia;

/// Take nothing more, and go on serving running tasks: [`Gaia::drain`].
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<(), Error>")]
pub struct DrainGaia;

impl Actor for Gaia {
    type Context = Context<Self>;
}

impl Handler<GetAllSchedulerStatus> for Gaia {
    type Result = ResponseFuture<Result<BTreeMap<String, SchedulerStatus>, Error>>;

    fn handle(&mut self, _: GetAllSchedulerStatus, _: &mut Context<Self>) -> Self::Result {
        let gaia = self.clone();
        Box::pin(async move { gaia.all_scheduler_status().await })
    }
}

impl Handler<GetNodes> for Gaia {
    type Result = ResponseFuture<Result<Vec<NodeInfo>, Error>>;

    fn handle(&mut self, _: GetNodes, _: &mut Context<Self>) -> Self::Result {
        let gaia = self.clone();
        Box::pin(async move { gaia.nodes().await })
    }
}

impl Handler<StopGaia> for Gaia {
    type Result = ResponseFuture<Result<StopReport, Error>>;

    fn handle(&mut self, _: StopGaia, _: &mut Context<Self>) -> Self::Result {
        let gaia = self.clone();
        Box::pin(async move { gaia.stop().await })
    }
}

impl Handler<DrainGaia> for Gaia {
    type Result = ResponseFuture<Result<(), Error>>;

    fn handle(&mut self, _: DrainGaia, _: &mut Context<Self>) -> Self::Result {
        let gaia = self.clone();
        Box::pin(async move { gaia.drain().await })
    }
}
