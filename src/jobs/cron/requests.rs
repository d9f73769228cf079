//! Requests of processes that run no jobs: to run a job now.

use std::time::Duration;

use actix::{ActorFutureExt, Addr, AsyncContext, Context, WrapFuture};
use futures_util::{StreamExt, stream};

use super::{CronActor, StartNow, Started};
use crate::{
    domain::{Answer, Asked, JobRules},
    error::Error,
    events::DatabaseWork,
    store::{Store, StoreError, TakenRequest},
};

/// How many requests a node follows at a time: a job that is locked holds up no other.
const AT_A_TIME: usize = 8;

/// How often, and about how long after one another, a node tries to start a job whose row is locked.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(100);

/// The parts of the cron actor that following a request needs.
#[derive(Clone)]
struct Follower {
    store: Store,
    node: String,
    rules: JobRules,
    cron: Addr<CronActor>,
}

impl CronActor {
    /// Takes those of these requests that no other node takes, and follows them. Does nothing while this node may claim nothing: other nodes
    /// take the requests then.
    pub(super) fn take_requests(&mut self, ids: Vec<i64>, ctx: &mut Context<Self>) {
        if ids.is_empty() || !self.gate.is_open() || self.is_fenced() || !self.taking_requests.begin() {
            return;
        }
        let follower = Follower {
            store: self.store.clone(),
            node: self.context.node.to_string(),
            rules: self.settings.rules.clone(),
            cron: ctx.address(),
        };
        let follow = async move {
            let taken = stream::iter(ids).map(|id| follower.clone().take(id));
            // Each comes to its end: an error of one must not leave another without its answer.
            let all = taken.buffer_unordered(AT_A_TIME).collect::<Vec<_>>().await;
            all.into_iter().collect::<Result<(), StoreError>>()
        };
        ctx.spawn(follow.into_actor(self).map(|followed, cron, _| {
            cron.taking_requests.end();
            match followed {
                Ok(()) => cron.report_success(DatabaseWork::FollowRequests),
                Err(error) => cron.report_failure(DatabaseWork::FollowRequests, &error),
            }
        }));
    }
}

impl Follower {
    async fn take(self, id: i64) -> Result<(), StoreError> {
        let cluster = self.store.cluster();
        let Some(TakenRequest { id, asked }) = cluster.take_request(id, &self.node).await? else {
            return Ok(());
        };
        let answer = match asked {
            Asked::RunJob { job_id } => self.run_job(job_id).await,
            Asked::Resize { .. } => Some(Answer::Unknown),
        };
        match answer {
            Some(answer) => drop(cluster.answer(id, Some(&self.node), &answer).await?),
            None => cluster.give_request_back(id, &self.node).await?,
        }
        Ok(())
    }

    /// Starts a job. Another node that fires or starts the job has its row locked for a moment.
    async fn start(&self, job_id: i64) -> Result<Started, Error> {
        let start = || StartNow {
            job_id,
            traceparent: None,
        };
        for _ in 1..TRIES {
            match self.cron.send(start()).await? {
                Ok(Started::Locked) => tokio::time::sleep(PAUSE.mul_f64(0.5 + fastrand::f64())).await,
                started => return started,
            }
        }
        self.cron.send(start()).await?
    }

    /// `None`: this node may begin nothing any more, and has begun nothing.
    async fn run_job(&self, job_id: i64) -> Option<Answer> {
        let row = match self.store.jobs().get(job_id).await {
            Ok(Some(row)) => row,
            Ok(None) => return Some(Answer::JobNotFound),
            Err(error) => {
                return Some(Answer::Failed {
                    error: error.to_string(),
                });
            }
        };
        if let Err(fault) = row.define(&self.rules) {
            return Some(Answer::JobIsBad {
                faults: fault.faults().to_vec(),
            });
        }
        Some(match self.start(job_id).await {
            Ok(Started::Run(run_id)) => Answer::Begun { run_id },
            Ok(Started::Skipped(reason)) => Answer::JobIsRunning { reason },
            Ok(Started::Locked) => Answer::JobIsLocked,
            Ok(Started::NotFound) => Answer::JobNotFound,
            Err(Error::Fenced | Error::Stopped) => return None,
            Err(error) => Answer::Failed {
                error: error.to_string(),
            },
        })
    }
}
