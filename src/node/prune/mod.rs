//! The actor that deletes rows that were finished long ago, and folds the history of ends.

mod audit;
mod certainty;
mod fold;
mod logs;
mod sweep;

use std::{sync::Arc, time::Duration};

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Message, WrapFuture};
use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Notify;

use crate::{
    asynctask::ThemeRuntimes,
    jobs::JobsSlot,
    logs::JOBS,
    repeats::Repeats,
    store::{Expired, Store, StoreError},
};
use audit::delete_audit;
use certainty::{Course, Doubt, Reading, Rules, Verdict, Went};
use fold::{Folder, delete_hours};
use logs::delete_logs;
use sweep::{Deleted, History, said, sweep};

/// How often the pruner looks for old rows: ten times per retention, within these limits.
const EVERY: Duration = Duration::from_secs(300);
const SHORTEST: Duration = Duration::from_secs(1);

/// The pruner spends at most one part in so many of its time with reading pages on which there is nothing to delete. Old rows are deleted as
/// fast as they come.
const PART: u32 = 20;

/// Deletes finished tasks with their records, and records of jobs, older than the retention. Every node has one, for the themes
/// that it runs, and for the jobs if it runs them; the pruners of many nodes do not get in each other's way. It also folds `gaia_history`
/// and deletes old idempotency keys, whether there is a retention or not.
pub(crate) struct PruneActor {
    folder: Option<Folder>,
    /// The pruner, until it begins.
    pruner: Option<Pruner>,
    begun: Arc<Notify>,
}

/// This process has begun to run a theme, or the jobs.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct HasBegun;

/// Delete nothing more.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct StopPruning;

/// What a pruner is built from.
pub(crate) struct PruneParts {
    pub(crate) store: Store,
    pub(crate) node: Arc<str>,
    pub(crate) themes: ThemeRuntimes,
    pub(crate) jobs_slot: JobsSlot,
    /// `None`: for ever.
    pub(crate) retention: Option<Duration>,
    /// Whether rows are deleted that other programs have finished.
    pub(crate) foreign: bool,
}

struct Pruner {
    parts: PruneParts,
    rules: Rules,
    every: Duration,
    course: Course,
    failures: Repeats<()>,
    /// Notified when this process has begun to run another theme, or the jobs.
    begun: Arc<Notify>,
}

impl PruneActor {
    pub(crate) fn new(parts: PruneParts) -> Self {
        let begun = Arc::new(Notify::new());
        Self {
            folder: Some(Folder::new(parts.store.clone(), Arc::clone(&parts.node))),
            begun: Arc::clone(&begun),
            pruner: parts.retention.map(|retention| Pruner {
                // A retention that is too long for the calendar means for ever.
                rules: Rules::new(TimeDelta::from_std(retention).unwrap_or(TimeDelta::MAX)),
                every: (retention / 10).clamp(SHORTEST, EVERY),
                parts,
                course: Course::default(),
                failures: Repeats::default(),
                begun,
            }),
        }
    }
}

impl Pruner {
    async fn run(mut self) {
        let clock = self.parts.store.clock().clone();
        // Random, so that nodes that were started at the same time do not look at the same time.
        let mut next = clock.elapsed() + self.every.mul_f64(fastrand::f64());
        loop {
            tokio::select! {
                () = self.begun.notified() => {
                    let judged = self.judge().await;
                    self.say(judged.map(|_| Deleted::default()));
                }
                () = clock.sleep_until(next) => {
                    let reading = clock.elapsed();
                    let pruned = self.prune().await;
                    let in_vain = pruned.as_ref().map_or(Duration::ZERO, |deleted| deleted.in_vain);
                    self.say(pruned);
                    // Counted from the beginning of the look: a test may have moved its clock since.
                    next = reading.saturating_add(self.every.max(in_vain.saturating_mul(PART)));
                }
            }
        }
    }

    fn say(&mut self, pruned: Result<Deleted, StoreError>) {
        if pruned.is_ok() {
            self.failures.over(&());
        }
        match pruned {
            Ok(deleted) if deleted.is_nothing() => {}
            Ok(deleted) => say!(
                Info,
                "deleted what was older than {}: {deleted}",
                said(self.rules.retention)
            ),
            Err(error) => {
                if let Some(said) = self.failures.say((), &error.to_string()) {
                    say!(Error, "cannot delete old rows, will try again: {said}");
                }
            }
        }
    }

    async fn prune(&mut self) -> Result<Deleted, StoreError> {
        let judged = self.scopes().len();
        let (now, mut scopes) = self.judge().await?;
        if judged > 0 && scopes.len() >= judged {
            delete_hours(&self.parts.store, now).await?;
            delete_audit(&self.parts.store, now).await?;
        }
        let Some(before) = now.checked_sub_signed(self.rules.retention) else {
            return Ok(Deleted::default());
        };
        delete_logs(&self.parts.store, &scopes, before).await?;
        let with_jobs = scopes.extract_if(.., |scope| scope == JOBS).next().is_some();
        sweep(&self.parts.store, &self.expired(before, scopes), with_jobs).await
    }

    fn expired(&self, before: DateTime<Utc>, themes: Vec<String>) -> Expired {
        Expired {
            before: before.into(),
            themes,
            foreign: self.parts.foreign,
        }
    }

    /// The scopes in which this node prunes: the themes that it runs, and the jobs if it runs them.
    fn scopes(&self) -> Vec<String> {
        let runtimes = self.parts.themes.all();
        let themes = runtimes.iter().map(|runtime| runtime.theme().to_owned());
        let jobs = self.parts.jobs_slot.get().map(|_| JOBS.to_owned());
        themes.chain(jobs).collect()
    }

    // ---- certainty ----

    /// Judges the time of day. Answers with it, and with the scopes whose rows may be deleted by it.
    async fn judge(&mut self) -> Result<(DateTime<Utc>, Vec<String>), StoreError> {
        let clock = self.parts.store.clock();
        let reading = Reading {
            now: clock.now(),
            passed: clock.steady(),
        };
        // A copy: it is kept only if everything was written to the database, so that no jump is forgotten.
        let mut course = self.course.clone();
        let went = course.read(reading, self.rules);
        let mut certain = Vec::new();
        for scope in self.scopes() {
            let line = self.parts.store.cluster().line(&scope).await?;
            let (since, verdict) = course.judge(&scope, went, line, reading, self.rules);
            self.tell(&scope, went, verdict, reading.now).await?;
            self.parts.store.cluster().set_line(&scope, since, reading.now).await?;
            if verdict == Verdict::Certain {
                certain.push(scope);
            }
        }
        course.settle(went);
        self.course = course;
        Ok((reading.now, certain))
    }

    async fn tell(&self, scope: &str, went: Went, verdict: Verdict, now: DateTime<Utc>) -> Result<(), StoreError> {
        match verdict {
            Verdict::First => self.tell_of_history(scope, now).await?,
            Verdict::New(end, doubt) => say!(
                Warn,
                "{}: nothing is deleted before {end:.0?}: {}",
                name(scope),
                reason(doubt, self.rules)
            ),
            Verdict::Certain if went == Went::Home => {
                say!(
                    Info,
                    "{}: the clock is back where it was; old rows are deleted again",
                    name(scope)
                );
            }
            Verdict::Certain | Verdict::Wait(_) => {}
        }
        Ok(())
    }

    // ---- history ----

    /// Logs once which rows of an existing database will be deleted.
    async fn tell_of_history(&self, scope: &str, now: DateTime<Utc>) -> Result<(), StoreError> {
        let Some(before) = now.checked_sub_signed(self.rules.retention) else {
            return Ok(());
        };
        let of_jobs = scope == JOBS;
        let themes = if of_jobs { Vec::new() } else { vec![scope.to_owned()] };
        let history = sweep::history(&self.parts.store, &self.expired(before, themes), of_jobs).await?;
        if history.foreign + history.expired > 0 {
            say!(Warn, "{}: {}", name(scope), self.plan_for(scope, history));
        }
        Ok(())
    }

    fn plan_for(&self, scope: &str, history: History) -> String {
        let rows = match scope {
            JOBS => "records of runs",
            _ => "finished tasks",
        };
        let retention = said(self.rules.retention);
        let History {
            expired,
            foreign,
            foreign_and_old,
        } = history;
        match self.parts.foreign {
            false => format!(
                "this database has a history. KEPT: {foreign} {rows} that another program than gaia-actors has finished. \
                 PRUNED from now on: what gaia-actors finishes, once it is older than the retention of {retention} ({expired} \
                 {rows} today). `prune_foreign_history` (Node.PruneForeignHistory) would prune the others too; \
                 `retention(None)` (Node.Retention 0) keeps all"
            ),
            true => format!(
                "this database has a history. PRUNED from now on, since `prune_foreign_history` is set: {rows} older than the \
                 retention of {retention}, {expired} that gaia-actors has finished and {foreign_and_old} of other programs today. \
                 KEPT: {} that are younger. `retention(None)` (Node.Retention 0) keeps all",
                foreign - foreign_and_old
            ),
        }
    }
}

fn name(scope: &str) -> String {
    match scope {
        JOBS => "jobs".to_owned(),
        theme => format!("theme {theme}"),
    }
}

fn reason(doubt: Doubt, rules: Rules) -> String {
    let retention = said(rules.retention);
    match doubt {
        Doubt::Jump(by) => {
            let way = if by > TimeDelta::zero() { "ahead" } else { "back" };
            let unless = match way {
                "ahead" => ", unless it comes back",
                _ => "",
            };
            format!(
                "the clock jumped {way} by {}. By a wrong time rows would be deleted that are young, so the time has to go on \
                 for the retention of {retention} first{unless}",
                said(by)
            )
        }
        Doubt::Away(gap) => format!(
            "the last look for old rows was {} ago. Either no node has run for so long, or the clock is ahead; so the time has \
             to go on for the retention of {retention} first",
            said(gap)
        ),
        Doubt::Behind(by) => format!(
            "a time was seen on this database that is {} later than this node's. One of them is wrong; so the time has to go \
             on for the retention of {retention} first",
            said(by)
        ),
        Doubt::Ahead(by) => format!(
            "another node sees a time that is {} earlier than this node's. One of them is wrong; so the time has to go on for \
             the retention of {retention} first",
            said(by)
        ),
        Doubt::Unreadable => format!(
            "the note of the last look (gaia_retention) has no time that can be read, or begins after it; so the time has to go on \
             for the retention of {retention} first"
        ),
    }
}

impl Actor for PruneActor {
    type Context = Context<Self>;
}

impl Handler<HasBegun> for PruneActor {
    type Result = ();

    fn handle(&mut self, _: HasBegun, ctx: &mut Context<Self>) {
        if let Some(folder) = self.folder.take() {
            ctx.spawn(folder.run().into_actor(self));
        }
        if let Some(pruner) = self.pruner.take() {
            ctx.spawn(pruner.run().into_actor(self));
        }
        self.begun.notify_one();
    }
}

impl Handler<StopPruning> for PruneActor {
    type Result = ();

    fn handle(&mut self, _: StopPruning, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}
