//! The messages of the cron actor.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{
    ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Message, MessageResult, ResponseActFuture,
    ResponseFuture, WrapFuture,
};
use tokio::sync::oneshot;

use super::CronActor;
use crate::{
    error::Error,
    jobs::{ledger::RunsWritten, run::Stop, status::JobsStatus},
    run::GateChange,
    store::{Fire, FireClaim, FireKind, Fired, Store, StoreError},
};

/// A job was added, changed, enabled, disabled or removed in this process.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::jobs) struct Refresh(pub(in crate::jobs) i64);

/// Look for requests to stop runs, and for changed schedules: there may be some.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::jobs) struct Poll;

/// Other nodes have declared this node dead. They may have ended the runs that it has claimed, or may be about to.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::jobs) struct DeclaredDead;

/// Run a job now.
#[derive(Message)]
#[rtype(result = "Result<Started, Error>")]
pub(in crate::jobs) struct StartNow {
    pub(in crate::jobs) job_id: i64,
    /// The span of the caller, and its trace.
    pub(in crate::jobs) traceparent: Option<Arc<str>>,
}

/// The answer to [`StartNow`].
pub(in crate::jobs) enum Started {
    Run(i64),
    /// With the reason.
    Skipped(String),
    /// Another session has locked its row.
    Locked,
    NotFound,
}

/// Claim nothing more; answers when no run is left. Runs may end within the grace.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::jobs) struct StopJobs {
    pub(in crate::jobs) grace: Duration,
}

/// Stop the actor: no run is left, and all ends are written.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::jobs) struct Retire;

#[derive(Message)]
#[rtype(result = "JobsStatus")]
pub(in crate::jobs) struct GetCronSnapshot;

impl Handler<Refresh> for CronActor {
    type Result = ();

    fn handle(&mut self, Refresh(id): Refresh, ctx: &mut Context<Self>) {
        self.refresh(id, ctx);
    }
}

impl Handler<Poll> for CronActor {
    type Result = ();

    fn handle(&mut self, _: Poll, ctx: &mut Context<Self>) {
        self.poll(ctx);
    }
}

impl Handler<GateChange> for CronActor {
    type Result = ();

    fn handle(&mut self, change: GateChange, ctx: &mut Context<Self>) {
        self.gate.change(change);
        if self.gate.is_closed_for_good() {
            self.cut_off_released();
        }
        if self.gate.fenced {
            self.release(|_| true);
            self.stop_all(&Stop::Node);
        } else if self.released.is_empty() {
            self.claim_due(ctx);
        } else {
            self.poll(ctx);
        }
    }
}

impl Handler<DeclaredDead> for CronActor {
    type Result = ();

    fn handle(&mut self, _: DeclaredDead, _: &mut Context<Self>) {
        self.oldest_safe_term = self.context.lease.term();
    }
}

impl Handler<StartNow> for CronActor {
    type Result = ResponseActFuture<Self, Result<Started, Error>>;

    fn handle(&mut self, StartNow { job_id, traceparent }: StartNow, _: &mut Context<Self>) -> Self::Result {
        let refusal = match (self.gate.is_closed_for_good(), self.is_fenced()) {
            (true, _) => Some(Error::Stopped),
            (_, true) => Some(Error::Fenced),
            _ => None,
        };
        if let Some(refusal) = refusal {
            return Box::pin(std::future::ready(Err(refusal)).into_actor(self));
        }
        self.starting += 1;
        let term = self.context.lease.term();
        let claim = claim_now(self.store.clone(), job_id, self.fire_claim(Vec::new()));
        Box::pin(claim.into_actor(self).map(move |claimed, cron, _| {
            cron.starting -= 1;
            let fired = claimed?.ok_or(Error::Fenced)?;
            Ok(match fired {
                Fired::Run(claimed) => {
                    cron.start(&claimed, term, traceparent);
                    Started::Run(claimed.id)
                }
                Fired::Skipped(why) => Started::Skipped(why),
                Fired::Locked => Started::Locked,
                // Only fires of a schedule wait.
                Fired::Changed | Fired::Taken | Fired::Waits => Started::NotFound,
            })
        }))
    }
}

/// Claims a run that a caller asks for. While another session has locked the job, this is tried for 5 s.
async fn claim_now(store: Store, job_id: i64, nothing: FireClaim) -> Result<Option<Fired>, StoreError> {
    const TRY_FOR: Duration = Duration::from_secs(5);
    const PAUSE: Duration = Duration::from_millis(50);
    let began = Instant::now();
    loop {
        let fire = Fire {
            job_id,
            kind: FireKind::Manual,
        };
        let claim = FireClaim {
            node: nothing.node.clone(),
            now: store.clock().now(),
            fires: vec![fire],
            ..nothing
        };
        let fired = store.jobs().claim_fires(claim).await?.and_then(|mut fired| fired.pop());
        if !matches!(fired, Some(Fired::Locked)) || began.elapsed() > TRY_FOR {
            return Ok(fired);
        }
        actix_rt::time::sleep(PAUSE).await;
    }
}

impl Handler<StopJobs> for CronActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, StopJobs { grace }: StopJobs, ctx: &mut Context<Self>) -> Self::Result {
        self.gate.stopping = true;
        self.cut_off_released();
        let (tx, rx) = oneshot::channel();
        self.stop_waiters.push(tx);
        self.tell_if_stopped();
        ctx.run_later(grace, |cron, _| {
            cron.cut_off = true;
            cron.stop_all(&Stop::Node);
        });
        Box::pin(async move {
            // The sender is dropped without sending only if the actor is dropped, and then it runs nothing.
            let _ = rx.await;
        })
    }
}

impl Handler<Retire> for CronActor {
    type Result = ();

    fn handle(&mut self, _: Retire, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}

impl Handler<RunsWritten> for CronActor {
    type Result = ();

    fn handle(&mut self, written: RunsWritten, ctx: &mut Context<Self>) {
        let now = self.now();
        for id in &written.runs {
            if let Some(running) = self.running.remove(id) {
                self.timetable.resume(running.job_id(), now);
            }
            self.refused.remove(id);
            self.claiming.run_ended(*id);
            self.looks_at_runs.run_ended(*id);
        }
        for id in written.refused {
            self.running.remove(&id);
            self.refused.insert(id);
        }
        self.tell_if_stopped();
        // There may be room for fires that wait.
        self.claim_due(ctx);
    }
}

impl Handler<GetCronSnapshot> for CronActor {
    type Result = MessageResult<GetCronSnapshot>;

    fn handle(&mut self, _: GetCronSnapshot, _: &mut Context<Self>) -> Self::Result {
        MessageResult(JobsStatus {
            fenced: self.gate.fenced,
            draining: self.gate.draining,
            scheduled: self.timetable.scheduled(),
            bad: self.timetable.bad(),
            running: self.running.len() + self.released.len(),
            refused: self.refused.len(),
            ..self.counts.clone()
        })
    }
}
