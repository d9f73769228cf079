//! Handing tasks to a remote worker.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::oneshot,
    time::{Instant, sleep_until, timeout_at},
};

use super::{
    Done, Remote,
    workers::{Wish, Workers},
};
use crate::{
    asynctask::{ClaimPermits, Leave, Limits, Permit, Waiter},
    domain::{Json, Outcome, RetryPolicy},
    error::Error,
    events::{Event, Events, TaskStarted},
    node::UNLEASED,
    registry::MethodName,
    run::{run_info, sealed},
    store::{Begin, Claim, ClaimedTask, Finish, REMOTE, RemoteClaim, Store, StoreError, Wanted, Writes},
};

/// The most bytes of arguments in one answer, approximately. Tasks beyond that go back to the queue.
const MOST_BYTES: usize = 16 << 20;

/// A waiting worker looks so often at least, and at most.
const POLL: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(20);

/// For so long a claim waits for permits, even if its worker does not wait for tasks.
const PERMITS: Duration = Duration::from_millis(500);

/// A worker that waits for permits asks at least so often.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a remote worker asks for.
#[derive(Debug, Clone)]
pub(crate) struct ClaimTasks {
    /// The worker's name, without [`REMOTE`].
    pub(crate) worker: String,
    pub(crate) theme: String,
    pub(crate) methods: Vec<MethodName>,
    /// At most so many tasks.
    pub(crate) count: usize,
    pub(crate) lease: Duration,
    /// How long to wait if nothing is due.
    pub(crate) wait: Duration,
}

/// A task that a remote worker is to run.
#[derive(Debug)]
pub(crate) struct ClaimedRun {
    pub(crate) token: String,
    pub(crate) task: ClaimedTask,
}

impl ClaimTasks {
    /// The name of the worker among the owners of tasks.
    pub(crate) fn owner(&self) -> String {
        format!("{REMOTE}{}", self.worker)
    }
}

impl Remote {
    /// Claims tasks for a worker; waits for some if none is due.
    pub(crate) async fn claim(&self, asked: ClaimTasks) -> Result<Vec<ClaimedRun>, Error> {
        let began = Instant::now();
        let mut until = began + asked.wait;
        let waiter = Waiter {
            name: format!("{} {}", asked.owner(), asked.theme).into(),
            bell: Arc::default(),
            patience: Some(PATIENCE),
        };
        let asked = Arc::new(asked);
        loop {
            let bell = self.themes.bell(&asked.theme);
            // A ring counts that comes while the database is asked.
            let rung = bell.notified();
            let (runs, lacks_permits) = self.claim_once(&asked, &waiter).await?;
            let now = Instant::now();
            if lacks_permits {
                // The permits come in a moment, if there are any. A worker that does not wait may ask again when they have gone back.
                until = until.max(began + PERMITS);
            }
            if !runs.is_empty() || now >= until {
                return Ok(runs);
            }
            let work = async {
                tokio::select! {
                    () = rung => {}
                    () = waiter.bell.notified() => {}
                }
            };
            // Whether it rang makes no difference: the worker looks again.
            let _ = timeout_at(until.min(now + POLL), work).await;
            sleep_until(until.min(now + PAUSE)).await;
        }
    }

    /// Answers with the tasks, and whether others were left for lack of permits. The claim goes on if the worker hangs up before that; then the
    /// tasks are handed back, since the worker does not hear of them.
    async fn claim_once(&self, asked: &Arc<ClaimTasks>, waiter: &Waiter) -> Result<(Vec<ClaimedRun>, bool), Error> {
        let (tell, told) = oneshot::channel();
        let (asked, workers, events) = (Arc::clone(asked), self.workers.clone(), self.events.clone());
        let (limits, waiter, settled) = (self.themes.limits().clone(), waiter.clone(), self.settled.clone());
        let claim = self.store.drive(move |store| async move {
            let claimed = hand_out(&store, &workers, &events, (&limits, &waiter), &asked).await;
            if let Err(Ok((runs, _))) = tell.send(claimed) {
                let tasks = runs.into_iter().map(|run| run.task);
                let tasks: Vec<_> = tasks.inspect(|task| settled.note([task.token])).collect();
                if let Err(error) = hand_back(&store, tasks).await {
                    say!(
                        Debug,
                        "cannot hand tasks back that a worker has not waited for: {error}"
                    );
                }
            }
        });
        claim.await.ok_or(Error::Stopped)?;
        Ok(told.await.map_err(|_| Error::Stopped)??)
    }
}

async fn hand_out(
    store: &Store,
    workers: &Workers,
    events: &Events,
    (limits, waiter): (&Limits, &Waiter),
    asked: &ClaimTasks,
) -> Done<(Vec<ClaimedRun>, bool)> {
    let owner = asked.owner();
    let wish = Wish {
        theme: &asked.theme,
        methods: &asked.methods,
        count: asked.count,
        lease: asked.lease,
    };
    workers.asks(store, &owner, wish).await?;
    let claim_id = store.tasks().new_claim_id(&owner);
    let began = std::time::Instant::now();
    let wanted = |name: &MethodName| Wanted {
        service: name.service.clone(),
        method: name.method.clone(),
        most: asked.count,
        at_most: None,
    };
    let mut claim = Claim {
        theme: asked.theme.clone(),
        node: owner.clone(),
        limit: asked.count,
        first: Vec::new(),
        methods: Some(asked.methods.iter().map(wanted).collect()),
        above: None,
    };
    let mut permits = limits.take_for(&mut claim, waiter);
    let mut claimed = store.tasks().claim_as(claim, &claim_id).await?;
    let lacks_permits = permits.note_left(&claimed);
    permits.settle_keys(store, &mut claimed.tasks).await;
    let (tasks, slots) = with_permits(store, claimed.tasks, &mut permits).await?;
    let Some(first) = tasks.first() else {
        return Ok((Vec::new(), lacks_permits));
    };
    let lease = RemoteClaim {
        mark: claim_id.mark().to_string(),
        claim_id: first.token,
        worker: owner,
        theme: asked.theme.clone(),
        secret: uuid::Uuid::new_v4().simple().to_string(),
        lease: asked.lease,
        expires_at: store.clock().now() + asked.lease,
        deadline: tasks.iter().filter_map(ClaimedTask::deadline).min(),
        beat: 0,
    };
    let (claimed, took) = (tasks.iter().map(without_args).collect(), began.elapsed());
    let tasks = match delivered(store, &lease, tasks, began).await {
        Ok(tasks) => tasks,
        Err(error) => {
            drop(slots);
            // The worker hears of none of them. If this fails, too, they are lost with the lease.
            hand_back(store, claimed).await?;
            return Err(error);
        }
    };
    // Permits of tasks that were put back are free again.
    let kept = |id: i64| tasks.iter().any(|task| task.id == id);
    let slots = slots.into_iter().filter(|(id, _)| kept(*id)).map(|(_, permit)| permit);
    limits.hand_over(slots.collect(), &lease.mark);
    let theme: Arc<str> = asked.theme.as_str().into();
    events.tell(&Event::TasksClaimed {
        theme: Arc::clone(&theme),
        tasks: tasks.len(),
        took,
    });
    let run = |task: ClaimedTask| {
        events.tell(&Event::TaskStarted(TaskStarted {
            waited: (task.claimed_at - task.due_at).to_std().unwrap_or_default(),
            run: Arc::new(run_info(&theme, &task)),
        }));
        ClaimedRun {
            token: sealed(&lease.mark, &lease.secret, &task),
            task,
        }
    };
    Ok((tasks.into_iter().map(run).collect(), lacks_permits))
}

/// Notes the lease, and makes the tasks ready for the worker.
async fn delivered(
    store: &Store,
    lease: &RemoteClaim,
    tasks: Vec<ClaimedTask>,
    began: std::time::Instant,
) -> Done<Vec<ClaimedTask>> {
    store.tasks().add_remote_claim(lease).await?;
    if began.elapsed() > UNLEASED / 2 {
        let slow = "the database took so long for a claim that nodes may have handed its tasks back; ask again";
        return Err(StoreError::Conflict(slow.to_owned()));
    }
    with_args(store, begun(store, tasks).await?).await
}

/// The tasks that may run, with permits if their methods have limits. The others go back: their methods have limits only since the claim began.
async fn with_permits(
    store: &Store,
    claimed: Vec<ClaimedTask>,
    permits: &mut ClaimPermits,
) -> Done<(Vec<ClaimedTask>, Vec<(i64, Permit)>)> {
    let (mut tasks, mut slots, mut refused) = (Vec::with_capacity(claimed.len()), Vec::new(), Vec::new());
    for task in claimed {
        match permits.leave(&task) {
            Leave::Unlimited => tasks.push(task),
            Leave::Permit(permit) => {
                slots.push((task.id, permit));
                tasks.push(task);
            }
            Leave::Refused => refused.push(task),
        }
    }
    hand_back(store, refused).await?;
    Ok((tasks, slots))
}

fn without_args(task: &ClaimedTask) -> ClaimedTask {
    ClaimedTask {
        service: task.service.clone(),
        method: task.method.clone(),
        args: Json::null(),
        traceparent: None,
        owner: Arc::clone(&task.owner),
        log_id: Arc::clone(&task.log_id),
        ..*task
    }
}

/// Notes for tasks on their last attempt that this attempt begins: no task runs more often than it may. Leaves out tasks that other hands
/// have taken since.
async fn begun(store: &Store, mut tasks: Vec<ClaimedTask>) -> Done<Vec<ClaimedTask>> {
    let last: Vec<&ClaimedTask> = tasks.iter().filter(|task| task.is_last_attempt()).collect();
    if last.is_empty() {
        return Ok(tasks);
    }
    let begin = |task: &&ClaimedTask| Begin {
        run: task.key(),
        is_last: true,
    };
    let begins = last.iter().map(begin).collect();
    let ids: Vec<i64> = last.iter().map(|task| task.id).collect();
    let held = store.tasks().begin(begins).await?;
    let gone: Vec<i64> = ids
        .into_iter()
        .zip(held)
        .filter(|(_, held)| !held)
        .map(|(id, _)| id)
        .collect();
    tasks.retain(|task| !gone.contains(&task.id));
    Ok(tasks)
}

/// Reads the arguments that the claim has left in the database, as far as one answer may carry them.
async fn with_args(store: &Store, tasks: Vec<ClaimedTask>) -> Done<Vec<ClaimedTask>> {
    let (mut kept, mut beyond, mut bytes) = (Vec::with_capacity(tasks.len()), Vec::new(), 0);
    for mut task in tasks {
        bytes += task.left_out.unwrap_or_else(|| task.args.as_str().len());
        // The first one is handed out however long it is.
        if bytes > MOST_BYTES && !kept.is_empty() {
            beyond.push(task);
            continue;
        }
        if task.left_out.take().is_some() {
            match store.tasks().args_of(&task).await? {
                Some(args) => task.args = args,
                None => continue,
            }
        }
        kept.push(task);
    }
    hand_back(store, beyond).await?;
    Ok(kept)
}

/// Puts tasks back that no worker has begun.
async fn hand_back(store: &Store, tasks: Vec<ClaimedTask>) -> Result<(), StoreError> {
    if tasks.is_empty() {
        return Ok(());
    }
    let now = store.clock().now();
    let back = |task: &ClaimedTask| {
        let outcome = Outcome::HandedBack { started: false };
        Finish::without_run(task, outcome, RetryPolicy::default(), now)
    };
    let writes = Writes {
        finishes: tasks.iter().map(back).collect(),
        ..Writes::default()
    };
    store.tasks().write(Arc::new(writes)).await.map(drop)
}
