//! The actor that runs one task at a time.

use std::{sync::Arc, time::Duration};

use actix::{Actor, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, WeakRecipient, WrapFuture};
use tokio::sync::oneshot;

use super::{
    execution::execute,
    run::{NoteAnswer, Run},
    theme::ThemeContext,
    user_hooks::caught,
};
use crate::{
    domain::{Failure, Json, Outcome},
    threads::{Desk, Thread},
};

/// How long a worker pauses that could not begin its run.
const REST: Duration = Duration::from_secs(1);

/// Runs one task at a time and reports to its pool when it is free again.
pub(super) struct WorkerActor {
    id: u64,
    theme: Arc<ThemeContext>,
    pool: WeakRecipient<Idle>,
    desk: Desk,
}

/// Run this task now. The pool sends it to idle workers only.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Start(pub(super) Arc<Run>);

/// The worker with this id is free again.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Idle(pub(super) u64);

impl WorkerActor {
    /// Starts worker `id` on `thread`.
    pub(super) fn spawn(id: u64, thread: &Thread, theme: Arc<ThemeContext>, pool: WeakRecipient<Idle>) -> Addr<Self> {
        let desk = thread.desk().clone();
        Self::start_in_arbiter(&thread.handle(), move |_| Self { id, theme, pool, desk })
    }
}

impl Actor for WorkerActor {
    type Context = Context<Self>;
}

impl Handler<Start> for WorkerActor {
    type Result = ();

    fn handle(&mut self, Start(run): Start, ctx: &mut Context<Self>) {
        // The pool took the run from this worker while the message lay in the mailbox: it has given the run to another worker, and has
        // removed this one.
        let Some(args) = run.begin(self.id) else {
            return;
        };
        let (theme, desk) = (Arc::clone(&self.theme), self.desk.clone());
        let work = async move { desk.at_work(Arc::clone(&run) as _, work(theme, run, args)).await };
        ctx.spawn(work.into_actor(self).map(|(), worker, _| {
            if let Some(pool) = worker.pool.upgrade() {
                pool.do_send(Idle(worker.id));
            }
        }));
    }
}

/// Whether the run may begin. A task's last attempt must be noted in the database first.
async fn begin(run: &Arc<Run>) -> NoteAnswer {
    match run.task.is_last_attempt() {
        true => run.note_last_attempt().await,
        false => Ok(true),
    }
}

/// The task fails: without the note it might run more often than it may, and if it were handed back, the note would be refused again and
/// again.
fn not_begun(reason: &str) -> Outcome {
    Outcome::Failed {
        error: format!("not run: the database refuses to note that the last attempt begins: {reason}"),
        failure: Failure::Error,
    }
}

/// Ends a run that could not begin. If another node has taken the task over, that node keeps it; otherwise the task waits again.
async fn hand_back(theme: &ThemeContext, run: &Arc<Run>) {
    if let Some(ended) = run.finish(Outcome::HandedBack { started: false }) {
        theme.runs.record(ended).await;
    }
}

async fn work(theme: Arc<ThemeContext>, run: Arc<Run>, args: Json) {
    if !run.ctx.is_ours() {
        // The lease has expired, or was lost since the claim.
        hand_back(&theme, &run).await;
        return;
    }
    let outcome = match begin(&run).await {
        Ok(true) => execute(&theme, &run, args).await,
        Ok(false) => None,
        Err(reason) => Some(not_begun(&reason)),
    };
    let Some(outcome) = outcome else {
        // Another node, plain SQL or a service has the task: this run has nothing to write.
        drop(run.finish(Outcome::HandedBack { started: false }));
        return;
    };
    let Some(mut ended) = run.finish(outcome) else {
        // The pool has given up on this run and recorded its end.
        return;
    };
    let could_not_begin = matches!(ended.outcome, Outcome::HandedBack { started: false });
    let was_attempt = !could_not_begin && !matches!(ended.outcome, Outcome::NotServed);
    let Some(post_handler) = theme.options.post_handler.as_ref().filter(|_| was_attempt) else {
        theme.runs.record(ended).await;
        if could_not_begin {
            // This node lacks a thread, or its lease: the pause gives other nodes a chance to claim the task.
            actix_rt::time::sleep(REST).await;
        }
        return;
    };
    let outcome = ended.outcome.clone();
    let (written, when_written) = oneshot::channel();
    ended.written = Some(written);
    theme.runs.record(ended).await;
    let Ok(ended) = when_written.await else {
        return;
    };
    let after = caught(|| post_handler(ended, outcome));
    if let Err(error) = run.ctx.log_scope(after).await {
        say!(
            Warn,
            "theme {} task {} log_id={}: post_handler failed: {error:?}",
            theme.name(),
            run.task.id,
            run.ctx.log_id()
        );
    }
}
