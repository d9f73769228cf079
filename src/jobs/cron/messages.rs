//! What the cron actor is told.

use std::time::{Duration, Instant};

use actix::{
    ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Message, MessageResult, ResponseActFuture,
    ResponseFuture, WrapFuture,
};
use tokio::sync::oneshot;

use super::CronActor;
use crate::{
    error::Error,
    jobs::{run::Stop, status::JobsStatus},
    store::{Fire, FireClaim, FireKind, Fired, Store, StoreError},
};

/// A job was added, changed, enabled, disabled or removed in this process.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::jobs) struct Refresh(pub(in crate::jobs) i64);

/// There may be something new in the tables.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::jobs) struct Look;

/// The node has lost or regained its lease.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::jobs) struct CloseJobsGate {
    pub(in crate::jobs) fenced: bool,
}

/// The node was taken for dead. Other nodes may have ended what it has claimed, and may be about to.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::jobs) struct Disown;

/// Run a job now.
#[derive(Message)]
#[rtype(result = "Result<Started, Error>")]
pub(in crate::jobs) struct StartNow(pub(in crate::jobs) i64);

/// What became of that.
pub(in crate::jobs) enum Started {
    Run(i64),
    /// With the reason.
    Skipped(String),
    /// Somebody has locked its row.
    Locked,
    NotFound,
}

/// Claim nothing more; answers when no run is left. What runs may end within the grace.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::jobs) struct StopJobs {
    pub(in crate::jobs) grace: Duration,
}

/// Everything has stopped, and is written.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::jobs) struct Retire;

/// Ends of runs were written, or were refused.
#[derive(Default, Message)]
#[rtype(result = "()")]
pub(in crate::jobs) struct Written {
    pub(in crate::jobs) runs: Vec<i64>,
    pub(in crate::jobs) succeeded: u64,
    pub(in crate::jobs) failed: u64,
    pub(in crate::jobs) timed_out: u64,
    pub(in crate::jobs) cancelled: u64,
    pub(in crate::jobs) skipped: u64,
    pub(in crate::jobs) stale: u64,
    pub(in crate::jobs) errors: u64,
    /// Runs whose ends are refused in every form.
    pub(in crate::jobs) refused: Vec<i64>,
}

#[derive(Message)]
#[rtype(result = "JobsStatus")]
pub(in crate::jobs) struct GetCronSnapshot;

impl Written {
    /// The database has refused.
    pub(in crate::jobs) fn failed() -> Self {
        Self {
            errors: 1,
            ..Self::default()
        }
    }
}

impl Handler<Refresh> for CronActor {
    type Result = ();

    fn handle(&mut self, Refresh(id): Refresh, ctx: &mut Context<Self>) {
        self.refresh(id, ctx);
    }
}

impl Handler<Look> for CronActor {
    type Result = ();

    fn handle(&mut self, _: Look, ctx: &mut Context<Self>) {
        self.look(ctx);
    }
}

impl Handler<CloseJobsGate> for CronActor {
    type Result = ();

    fn handle(&mut self, CloseJobsGate { fenced }: CloseJobsGate, ctx: &mut Context<Self>) {
        self.fenced = fenced;
        if fenced {
            self.release(|_| true);
            self.stop_all(&Stop::Node);
        } else if self.released.is_empty() {
            self.claim_due(ctx);
        } else {
            self.look(ctx);
        }
    }
}

impl Handler<Disown> for CronActor {
    type Result = ();

    fn handle(&mut self, _: Disown, _: &mut Context<Self>) {
        self.row_since = self.shared.lease.term();
    }
}

impl Handler<StartNow> for CronActor {
    type Result = ResponseActFuture<Self, Result<Started, Error>>;

    fn handle(&mut self, StartNow(job_id): StartNow, _: &mut Context<Self>) -> Self::Result {
        let refusal = match (self.stopping, self.is_fenced()) {
            (true, _) => Some(Error::Stopped),
            (_, true) => Some(Error::Fenced),
            _ => None,
        };
        if let Some(refusal) = refusal {
            return Box::pin(std::future::ready(Err(refusal)).into_actor(self));
        }
        self.starting += 1;
        let term = self.shared.lease.term();
        let claim = claim_now(self.store.clone(), self.shared.node.to_string(), job_id);
        Box::pin(claim.into_actor(self).map(move |claimed, cron, _| {
            cron.starting -= 1;
            let fired = claimed?.ok_or(Error::Fenced)?;
            Ok(match fired {
                Fired::Run(claimed) => {
                    cron.start(&claimed, term);
                    Started::Run(claimed.id)
                }
                Fired::Skipped(why) => Started::Skipped(why),
                Fired::Busy => Started::Locked,
                Fired::Changed | Fired::Taken => Started::NotFound,
            })
        }))
    }
}

/// Claims a run that somebody asks for. While another has locked the job it is tried for a while.
async fn claim_now(store: Store, node: String, job_id: i64) -> Result<Option<Fired>, StoreError> {
    const TRY_FOR: Duration = Duration::from_secs(5);
    const PAUSE: Duration = Duration::from_millis(50);
    let began = Instant::now();
    loop {
        let fire = Fire {
            job_id,
            kind: FireKind::Manual,
        };
        let claim = FireClaim {
            node: node.clone(),
            now: store.clock().now(),
            fires: vec![fire],
        };
        let fired = store.claim_fires(claim).await?.and_then(|mut fired| fired.pop());
        if !matches!(fired, Some(Fired::Busy)) || began.elapsed() > TRY_FOR {
            return Ok(fired);
        }
        actix_rt::time::sleep(PAUSE).await;
    }
}

impl Handler<StopJobs> for CronActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, StopJobs { grace }: StopJobs, ctx: &mut Context<Self>) -> Self::Result {
        self.stopping = true;
        self.cut_off_released();
        let (tell, told) = oneshot::channel();
        self.stopped.push(tell);
        self.tell_if_stopped();
        ctx.run_later(grace, |cron, _| {
            cron.cut_off = true;
            cron.stop_all(&Stop::Node);
        });
        Box::pin(async move {
            // An actor that is gone runs nothing.
            let _ = told.await;
        })
    }
}

impl Handler<Retire> for CronActor {
    type Result = ();

    fn handle(&mut self, _: Retire, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}

impl Handler<Written> for CronActor {
    type Result = ();

    fn handle(&mut self, written: Written, ctx: &mut Context<Self>) {
        for id in &written.runs {
            self.running.remove(id);
            self.refused.remove(id);
        }
        for id in written.refused {
            self.running.remove(&id);
            self.refused.insert(id);
        }
        let counts = &mut self.counts;
        counts.succeeded += written.succeeded;
        counts.failed += written.failed;
        counts.timed_out += written.timed_out;
        counts.cancelled += written.cancelled;
        counts.skipped += written.skipped;
        counts.stale += written.stale;
        counts.database_errors += written.errors;
        self.tell_if_stopped();
        // There may be room for what waits.
        self.claim_due(ctx);
    }
}

impl Handler<GetCronSnapshot> for CronActor {
    type Result = MessageResult<GetCronSnapshot>;

    fn handle(&mut self, _: GetCronSnapshot, _: &mut Context<Self>) -> Self::Result {
        MessageResult(JobsStatus {
            fenced: self.fenced,
            scheduled: self.timetable.scheduled(),
            bad: self.timetable.bad(),
            running: self.running.len() + self.released.len(),
            refused: self.refused.len(),
            ..self.counts.clone()
        })
    }
}
