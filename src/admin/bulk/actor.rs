//! The actor that works on bulk operations.
//!
//! An operation is a row that any node may take. The node walks over the tasks in descending order of their ids, changes a chunk of them
//! at a time, and notes in the row how far it has come. If it dies in the middle of a chunk, the next node does the chunk again, and
//! skips the tasks that were changed already. So a node needs no lease for its changes, and each note names the node, so that a node that
//! has lost the operation learns of that.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Message, WrapFuture};

use crate::{
    asynctask::ThemeRuntimes,
    backoff::Backoff,
    domain::{BulkAction, BulkOperation, BulkState, SearchTasks, SkipReason, TaskStatus, TaskSummary},
    repeats::Repeats,
    run::SingleFlight,
    store::{CancelResult, RetryResult, Store, StoreError},
};

/// How often a node looks for operations that no other living node works on.
const LOOK: Duration = Duration::from_secs(30);

/// How many tasks one search finds, and how many are changed in one transaction.
const PAGE: u32 = 10_000;
const CHUNK: usize = 500;

/// An operation fails if the database refuses its change so often in a row.
const REFUSALS: u32 = 3;

/// Works on the bulk operations of the database, one at a time.
pub(crate) struct BulkActor {
    worker: Worker,
    working: SingleFlight,
}

/// There may be an operation to work on.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct LookForBulk;

/// Work on no operation any more. Another node goes on with the one that is under way.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct StopBulk;

#[derive(Clone)]
struct Worker {
    store: Store,
    node: Arc<str>,
    themes: ThemeRuntimes,
}

/// What became of the tasks of a chunk.
#[derive(Debug, Default)]
struct Changes {
    changed: u64,
    skipped: BTreeMap<SkipReason, u64>,
}

impl Changes {
    fn skip(&mut self, why: SkipReason, tasks: usize) {
        if tasks > 0 {
            *self.skipped.entry(why).or_default() += tasks as u64;
        }
    }

    /// Some of these tasks were changed; the status of the others did not allow it any more.
    fn changed_of(&mut self, changed: usize, tasks: usize) {
        self.changed += changed as u64;
        self.skip(SkipReason::Status, tasks.saturating_sub(changed));
    }
}

impl BulkActor {
    pub(crate) fn new(store: Store, node: Arc<str>, themes: ThemeRuntimes) -> Self {
        Self {
            worker: Worker { store, node, themes },
            working: SingleFlight::default(),
        }
    }

    fn look(&mut self, ctx: &mut Context<Self>) {
        if !self.working.begin_or_queue() {
            return;
        }
        let work = self.worker.clone().work_on_all();
        ctx.spawn(work.into_actor(self).map(|(), bulk, ctx| {
            if bulk.working.end() {
                bulk.look(ctx);
            }
        }));
    }
}

impl Worker {
    async fn work_on_all(self) {
        loop {
            match self.store.cluster().take_bulk(&self.node).await {
                Ok(Some(operation)) => self.work_on(operation).await,
                Ok(None) => return,
                Err(error) => {
                    // The next look tries again.
                    say!(Warn, "cannot look for bulk operations: {error}");
                    return;
                }
            }
        }
    }

    /// Works on an operation until it has ended, or another node has it.
    async fn work_on(&self, mut operation: BulkOperation) {
        let (mut backoff, mut refusals, mut said) = (Backoff::default(), 0, Repeats::default());
        let id = operation.id;
        say!(
            Info,
            "bulk operation {id} ({}): goes on below task {}",
            operation.action,
            operation.below
        );
        while operation.state == BulkState::Running {
            let error = match self.next_page(&mut operation).await {
                Ok(true) => {
                    (backoff, refusals) = (Backoff::default(), 0);
                    continue;
                }
                Ok(false) => {
                    say!(
                        Info,
                        "bulk operation {id}: a caller has ended it, or another node goes on with it"
                    );
                    return;
                }
                Err(error) => error,
            };
            refusals = if error.is_refusal() { refusals + 1 } else { 0 };
            if let Some(said) = said.say((), &error.to_string()) {
                say!(Error, "bulk operation {id}: {said}");
            }
            if refusals == REFUSALS {
                operation.state = BulkState::Failed;
                operation.error = Some(error.to_string());
                if let Err(error) = self.store.cluster().note_bulk(&operation, &self.node).await {
                    say!(Error, "bulk operation {id}: its failure cannot be noted: {error}");
                    return;
                }
            }
            tokio::time::sleep(backoff.failed()).await;
        }
        let (action, changed) = (operation.action, operation.changed);
        let skipped: u64 = operation.skipped.values().sum();
        say!(
            Info,
            "bulk operation {id} ({action}) is {}: {changed} tasks changed, {skipped} skipped",
            operation.state
        );
    }

    /// Searches for the next tasks and changes them, a chunk at a time. False: the operation has ended, or another node works on it.
    async fn next_page(&self, operation: &mut BulkOperation) -> Result<bool, StoreError> {
        let room = operation.most.map(|most| most.saturating_sub(operation.changed));
        let search = SearchTasks {
            filter: operation.filter.clone(),
            limit: room.map_or(PAGE, |room| u32::try_from(room).unwrap_or(PAGE).clamp(1, PAGE)),
            before: Some(operation.below),
        };
        let found = self.store.tasks().search(&search).await?;
        let end = found.next.unwrap_or(i64::MIN);
        let mut chunks = found.tasks.chunks(CHUNK);
        // A page without tasks is noted, too: the search has come some way.
        let mut chunk = Some(chunks.next().unwrap_or_default());
        while let Some(tasks) = chunk {
            chunk = chunks.next();
            let changes = self.change(operation, tasks).await?;
            let mut next = operation.clone();
            next.changed += changes.changed;
            for (why, tasks) in changes.skipped {
                *next.skipped.entry(why).or_default() += tasks;
            }
            let is_last = chunk.is_none();
            next.below = tasks.last().filter(|_| !is_last).map_or(end, |task| task.id);
            let is_over = is_last && found.next.is_none();
            if is_over {
                note_not_found(&mut next);
            }
            if is_over || next.most.is_some_and(|most| next.changed >= most) {
                next.state = BulkState::Done;
            }
            if !self.store.cluster().note_bulk(&next, &self.node).await? {
                return Ok(false);
            }
            *operation = next;
        }
        Ok(true)
    }

    async fn change(&self, operation: &BulkOperation, found: &[TaskSummary]) -> Result<Changes, StoreError> {
        let action = operation.action;
        let mut changes = Changes::default();
        let mut tasks: Vec<&TaskSummary> = Vec::with_capacity(found.len());
        for task in found {
            match action.why_skipped(&operation.filter, task) {
                Some(why) => changes.skip(why, 1),
                None => tasks.push(task),
            }
        }
        let locked = self.store.tasks().locked_for_long(&ids(&tasks)).await?;
        changes.skip(SkipReason::Locked, locked.len());
        tasks.retain(|task| !locked.contains(&task.id));
        if tasks.is_empty() {
            return Ok(changes);
        }
        match action {
            BulkAction::Cancel => self.cancel(&tasks, &mut changes).await?,
            BulkAction::Retry => self.retry(&tasks, &mut changes).await?,
            BulkAction::RunNow => {
                let brought = self.store.tasks().run_now_many(&ids(&tasks)).await?;
                changes.changed_of(brought, tasks.len());
                self.wake(&tasks);
            }
            BulkAction::Delete => {
                let deleted = self.store.tasks().delete_finished(ids(&tasks)).await?;
                changes.changed_of(deleted, tasks.len());
            }
        }
        Ok(changes)
    }

    /// Ends what waits in one transaction. What runs is cancelled one by one: there are no more such tasks than workers, and tasks that
    /// nodes hold in memory.
    async fn cancel(&self, tasks: &[&TaskSummary], changes: &mut Changes) -> Result<(), StoreError> {
        let waiting = tasks.iter().copied().filter(|task| task.status != TaskStatus::Running);
        let waiting: Vec<i64> = waiting.map(|task| task.id).collect();
        let cancelled: BTreeSet<i64> = match waiting.is_empty() {
            true => BTreeSet::new(),
            false => self.store.tasks().cancel_many(waiting).await?.into_iter().collect(),
        };
        changes.changed += cancelled.len() as u64;
        let (ended, rest): (Vec<&TaskSummary>, Vec<_>) = tasks.iter().partition(|task| cancelled.contains(&task.id));
        for task in ended {
            self.tell_end(task);
        }
        let mut requested = false;
        for task in rest {
            match self.store.tasks().cancel(&task.theme, task.id).await {
                Ok(CancelResult::Cancelled) => {
                    changes.changed += 1;
                    self.tell_end(task);
                }
                Ok(CancelResult::Requested) => {
                    changes.changed += 1;
                    requested = true;
                    if let Some(runtime) = self.themes.get(&task.theme) {
                        runtime.cancel_run(task.id);
                    }
                }
                Ok(CancelResult::NotAllowed(_) | CancelResult::NotFound) => changes.skip(SkipReason::Status, 1),
                Err(StoreError::Conflict(_)) => changes.skip(SkipReason::Locked, 1),
                Err(error) => return Err(error),
            }
        }
        if requested {
            self.store.cluster().announce_requests();
        }
        Ok(())
    }

    /// If another unfinished task has the unique key of one of these tasks, the database refuses the whole statement: then each task is
    /// queued alone.
    async fn retry(&self, tasks: &[&TaskSummary], changes: &mut Changes) -> Result<(), StoreError> {
        match self.store.tasks().retry_many(&ids(tasks)).await {
            Ok(queued) => changes.changed_of(queued, tasks.len()),
            Err(StoreError::Duplicate(_)) => {
                for task in tasks {
                    match self.store.tasks().retry(&task.theme, task.id, false).await {
                        Ok(RetryResult::Queued) => changes.changed += 1,
                        Ok(RetryResult::KeyTaken) => changes.skip(SkipReason::UniqueKey, 1),
                        Ok(RetryResult::NotAllowed(_) | RetryResult::NotFound) => changes.skip(SkipReason::Status, 1),
                        Err(StoreError::Conflict(_)) => changes.skip(SkipReason::Locked, 1),
                        Err(error) => return Err(error),
                    }
                }
            }
            Err(error) => return Err(error),
        }
        self.wake(tasks);
        Ok(())
    }

    /// Wakes the callers that wait for the end of this task.
    fn tell_end(&self, task: &TaskSummary) {
        if let Some(runtime) = self.themes.get(&task.theme) {
            runtime.ended_by_caller(task.id);
        }
    }

    /// Wakes the scanners of the tasks' themes, in all processes.
    fn wake(&self, tasks: &[&TaskSummary]) {
        let mut themes: BTreeMap<&str, usize> = BTreeMap::new();
        for task in tasks {
            *themes.entry(&task.theme).or_default() += 1;
        }
        for (theme, count) in themes {
            if let Some(runtime) = self.themes.get(theme) {
                runtime.wake();
            }
            self.store.cluster().announce_tasks(theme, count);
        }
    }
}

fn ids(tasks: &[&TaskSummary]) -> Vec<i64> {
    tasks.iter().map(|task| task.id).collect()
}

/// The operation has gone through its tasks: the ids of its filter that it has met no task for are counted as not found.
fn note_not_found(operation: &mut BulkOperation) {
    let named: BTreeSet<i64> = operation.filter.ids.iter().copied().collect();
    let met = operation.changed + operation.skipped.values().sum::<u64>();
    let missing = (named.len() as u64).saturating_sub(met);
    if missing > 0 {
        *operation.skipped.entry(SkipReason::NotFound).or_default() += missing;
    }
}

impl Actor for BulkActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.look(ctx);
        ctx.run_interval(LOOK, Self::look);
    }
}

impl Handler<LookForBulk> for BulkActor {
    type Result = ();

    fn handle(&mut self, _: LookForBulk, ctx: &mut Context<Self>) {
        self.look(ctx);
    }
}

impl Handler<StopBulk> for BulkActor {
    type Result = ();

    fn handle(&mut self, _: StopBulk, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}
