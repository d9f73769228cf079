//! The actor that releases held tasks: it hears of ends in this process, and looks for all others.

use std::{collections::BTreeSet, mem};

use actix::{Actor, AsyncContext, Context, Handler, Message, ResponseFuture, WrapFuture};
use tokio::time::{Duration, Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::runtime::{ThemeRuntime, ThemeRuntimes};
use crate::{
    backoff::Backoff,
    repeats::Repeats,
    store::{LookForEnds, RELEASE_PIECE, Released, Store, StoreError, WantedRelease},
};

/// How many pages of links a look reads that goes a part of the way.
const PAGES: usize = 20;

/// After how long ends are counted that could not be counted, because of a row that another session has locked or the database has refused. It
/// doubles with each vain try.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// Releases tasks that wait for others. Each process has one; nothing happens twice if several of them count the same ends.
pub(crate) struct ReleaseActor {
    store: Store,
    themes: ThemeRuntimes,
    stop: CancellationToken,
    /// Cancelled when the actor releases nothing more.
    stopped: CancellationToken,
}

/// Count the ends that are noted, and release nothing more. Answers when that is done.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct StopRelease;

/// The work of the actor.
struct Release {
    store: Store,
    themes: ThemeRuntimes,
    look: Look,
    aside: Aside,
    /// An answer was lost, so tasks may be due of which no worker has heard.
    may_have_released: bool,
}

/// A walk through the open links, a page at a time.
struct Look {
    /// Behind which task it goes on.
    after: i64,
    /// How many pages are left; `None`: all of them to the end.
    pages: Option<usize>,
    /// Go through all links once more after that.
    again: bool,
    /// Behind which held task the search for orphans goes on.
    orphans_after: i64,
}

/// Ends that could not be counted because of single rows.
struct Aside {
    ended: BTreeSet<i64>,
    until: Option<Instant>,
    pause: Duration,
    said: Repeats<()>,
}

impl ReleaseActor {
    pub(crate) fn new(store: Store, themes: ThemeRuntimes) -> Self {
        Self {
            store,
            themes,
            stop: CancellationToken::new(),
            stopped: CancellationToken::new(),
        }
    }
}

impl Actor for ReleaseActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let release = Release {
            store: self.store.clone(),
            themes: self.themes.clone(),
            look: Look::new(),
            aside: Aside::new(),
            may_have_released: false,
        };
        let (stop, stopped) = (self.stop.clone(), self.stopped.clone());
        let work = async move {
            release.work(stop).await;
            stopped.cancel();
        };
        ctx.spawn(work.into_actor(self));
    }
}

impl Handler<StopRelease> for ReleaseActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: StopRelease, _: &mut Context<Self>) -> Self::Result {
        self.stop.cancel();
        let stopped = self.stopped.clone();
        Box::pin(async move { stopped.cancelled().await })
    }
}

impl Look {
    const fn new() -> Self {
        Self {
            after: i64::MIN,
            pages: Some(0),
            again: false,
            orphans_after: i64::MIN,
        }
    }

    const fn is_under_way(&self) -> bool {
        !matches!(self.pages, Some(0))
    }

    fn request(&mut self, look: LookForEnds) {
        match look {
            LookForEnds::All if self.pages.is_none() => self.again = true,
            LookForEnds::All => (self.after, self.pages) = (i64::MIN, None),
            LookForEnds::Part if self.pages == Some(0) => self.pages = Some(PAGES),
            LookForEnds::Part | LookForEnds::None => {}
        }
    }

    /// A page has been read up to this task. `None`: it was the last page.
    fn has_read(&mut self, last: Option<i64>) {
        self.after = last.unwrap_or(i64::MIN);
        self.pages = match (last, self.pages) {
            (None, None) if mem::take(&mut self.again) => None,
            (None, _) => Some(0),
            (Some(_), pages) => pages.map(|pages| pages.saturating_sub(1)),
        };
    }
}

impl Aside {
    fn new() -> Self {
        Self {
            ended: BTreeSet::new(),
            until: None,
            pause: PAUSE,
            said: Repeats::default(),
        }
    }

    fn put(&mut self, ended: &[i64]) {
        self.ended.extend(ended);
        self.until.get_or_insert_with(|| Instant::now() + self.pause);
    }

    /// Puts ends aside because of a row.
    fn put_for(&mut self, ended: &[i64], error: &StoreError) {
        self.put(ended);
        if let Some(said) = self.said.say((), &error.to_string()) {
            say!(
                Error,
                "a task that waits for others cannot be released, will try again and again: {said}"
            );
        }
    }

    /// The ends that are due for another try.
    fn take(&mut self) -> BTreeSet<i64> {
        match self.until.take_if(|until| *until <= Instant::now()) {
            Some(_) => {
                self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                mem::take(&mut self.ended)
            }
            None => BTreeSet::new(),
        }
    }

    /// Notes whether anything is left after a round.
    fn settle(&mut self) {
        if !self.ended.is_empty() {
            return;
        }
        self.pause = PAUSE;
        if let Some(failures) = self.said.over(&()) {
            say!(
                Info,
                "every task that waits for others can be released again, after {failures} failures"
            );
        }
    }
}

impl Release {
    async fn work(mut self, stop: CancellationToken) {
        let (mut backoff, mut said) = (Backoff::default(), Repeats::default());
        loop {
            let wanted = tokio::select! {
                biased;
                () = stop.cancelled() => return self.finish().await,
                wanted = self.next() => wanted,
            };
            let followed = self.follow(&wanted).await;
            self.aside.settle();
            match followed {
                Ok(()) => {
                    backoff.succeeded();
                    if let Some(failures) = said.over(&()) {
                        say!(
                            Info,
                            "tasks that waited for others are released again, after {failures} failures"
                        );
                    }
                }
                Err(error) => {
                    if let Some(said) = said.say((), &error.to_string()) {
                        say!(
                            Error,
                            "cannot release tasks that wait for others, will try again and again: {said}"
                        );
                    }
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = actix_rt::time::sleep(backoff.failed()) => {}
                    }
                }
            }
        }
    }

    /// Counts the last ends of this process: the ends that are noted by now, and tasks that are cancelled through them.
    async fn finish(mut self) {
        let mut last: Vec<i64> = mem::take(&mut self.aside.ended).into_iter().collect();
        loop {
            last.extend(self.store.tasks().release_noted().ended);
            if last.is_empty() {
                return;
            }
            if let Err(error) = self.count(&last).await {
                say!(
                    Warn,
                    "the last ends of this process are left to the looks of other nodes: {error}"
                );
                return;
            }
            last.clear();
        }
    }

    /// Waits for work. While a look is under way, there is some.
    async fn next(&mut self) -> WantedRelease {
        let tasks = self.store.tasks();
        let mut wanted = match (self.look.is_under_way(), self.aside.until) {
            (true, _) => tasks.release_noted(),
            (false, None) => tasks.release_wanted().await,
            (false, Some(until)) => timeout_at(until, tasks.release_wanted()).await.unwrap_or_default(),
        };
        wanted.ended.extend(self.aside.take());
        wanted
    }

    /// Counts the ends, and reads a page of the look that is under way. An end that cannot be counted is kept, and hinders no other.
    async fn follow(&mut self, wanted: &WantedRelease) -> Result<(), StoreError> {
        self.look.request(wanted.look);
        let counted = self.count(&wanted.ended).await;
        if self.look.is_under_way() {
            self.look_at_page().await?;
        }
        counted
    }

    async fn look_at_page(&mut self) -> Result<(), StoreError> {
        let page = self.store.tasks().ended_page(self.look.after).await?;
        self.look.has_read(page.last);
        self.count(&page.found).await?;
        if !self.look.is_under_way() {
            if mem::take(&mut self.may_have_released) {
                self.themes.ring_all();
                self.themes.all().iter().for_each(ThemeRuntime::wake);
            }
            self.forget_orphans().await?;
        }
        Ok(())
    }

    /// Removes what held tasks have left that do not exist any more: of one page of held tasks. The next look goes on there.
    async fn forget_orphans(&mut self) -> Result<(), StoreError> {
        let page = self.store.tasks().orphaned_page(self.look.orphans_after).await?;
        self.store.tasks().forget_orphans(page.found).await?;
        self.look.orphans_after = page.last.unwrap_or(i64::MIN);
        Ok(())
    }

    /// Rows that are locked or refused hinder no others.
    async fn count(&mut self, ended: &[i64]) -> Result<(), StoreError> {
        for (at, piece) in ended.chunks(RELEASE_PIECE).enumerate() {
            match self.count_piece(piece).await {
                Ok(()) => {}
                Err(error) if is_about_rows(&error) => self.aside.put_for(piece, &error),
                Err(error) => {
                    // The transaction may have been done: tasks that it has cancelled may have others behind them, and tasks may be due.
                    self.aside.put(&ended[at * RELEASE_PIECE..]);
                    self.look.request(LookForEnds::All);
                    self.may_have_released = true;
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    async fn count_piece(&mut self, ended: &[i64]) -> Result<(), StoreError> {
        let (mut after, mut counted) = (i64::MIN, Ok(()));
        let ended = &*self.store.tasks().among_open_links(ended).await?;
        if ended.is_empty() {
            return counted;
        }
        loop {
            let held = self.store.tasks().waiting_for(ended, after).await?;
            let Some(last) = held.last() else { return counted };
            after = *last;
            match self.release(ended, &held).await {
                Err(error) if is_about_rows(&error) => counted = Err(error),
                released => released?,
            }
        }
    }

    /// If the database refuses a write, its halves are tried: one odd row does not keep the others.
    async fn release(&mut self, ended: &[i64], held: &[i64]) -> Result<(), StoreError> {
        let (mut parts, mut done) = (vec![held], Ok(()));
        while let Some(part) = parts.pop() {
            match self.store.tasks().release(ended, part).await {
                Ok(released) => {
                    if released.passed_over {
                        self.aside.put(ended);
                    }
                    self.hand_out(released);
                }
                Err(error) if error.is_refusal() && part.len() > 1 => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
                Err(error) if is_about_rows(&error) => done = Err(error),
                Err(error) => return Err(error),
            }
        }
        done
    }

    fn hand_out(&self, released: Released) {
        for (theme, count) in released.due {
            self.themes.ring(&theme);
            self.themes.get(&theme).iter().for_each(ThemeRuntime::wake);
            self.store.cluster().announce_tasks(&theme, count);
        }
        for (theme, id) in released.cancelled {
            if let Some(runtime) = self.themes.get(&theme) {
                runtime.ended_by_caller(id);
            }
        }
    }
}

/// Whether other rows may do.
fn is_about_rows(error: &StoreError) -> bool {
    error.is_refusal() || matches!(error, StoreError::Conflict(_))
}
