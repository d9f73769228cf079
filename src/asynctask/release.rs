//! The actor that releases held tasks: it hears of ends in this process, and looks for all others.

use std::{collections::BTreeSet, mem};

use actix::{Actor, AsyncContext, Context, WrapFuture};
use tokio::time::{Duration, Instant, timeout_at};

use super::runtime::{ThemeRuntime, ThemeRuntimes};
use crate::{
    backoff::Backoff,
    repeats::Repeats,
    store::{LookForEnds, RELEASE_PIECE, Released, Store, StoreError, WantedRelease},
};

/// How many pages of links a look reads that goes a part of the way.
const PAGES: usize = 20;

/// After how long ends are counted that could not be counted, because another session had locked a row.
const PAUSE: Duration = Duration::from_secs(1);

/// Releases tasks that wait for others. Each process has one; nothing happens twice if several of them count the same ends.
pub(crate) struct ReleaseActor {
    store: Store,
    themes: ThemeRuntimes,
}

/// The work of the actor.
struct Release {
    store: Store,
    themes: ThemeRuntimes,
    look: Look,
    aside: Aside,
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

/// Ends that could not be counted.
#[derive(Default)]
struct Aside {
    ended: BTreeSet<i64>,
    until: Option<Instant>,
}

impl ReleaseActor {
    pub(crate) const fn new(store: Store, themes: ThemeRuntimes) -> Self {
        Self { store, themes }
    }
}

impl Actor for ReleaseActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let release = Release {
            store: self.store.clone(),
            themes: self.themes.clone(),
            look: Look::new(),
            aside: Aside::default(),
        };
        ctx.spawn(release.work().into_actor(self));
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
    fn put(&mut self, ended: &[i64]) {
        self.ended.extend(ended);
        self.until.get_or_insert_with(|| Instant::now() + PAUSE);
    }

    /// The ends that are due for another try.
    fn take(&mut self) -> BTreeSet<i64> {
        match self.until.take_if(|until| *until <= Instant::now()) {
            Some(_) => mem::take(&mut self.ended),
            None => BTreeSet::new(),
        }
    }
}

impl Release {
    async fn work(mut self) {
        let (mut backoff, mut said) = (Backoff::default(), Repeats::default());
        loop {
            let wanted = self.next().await;
            match self.follow(&wanted).await {
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
                    actix_rt::time::sleep(backoff.failed()).await;
                }
            }
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
        let counted = self.count(&page.found).await;
        if !self.look.is_under_way() {
            self.forget_orphans().await?;
        }
        counted
    }

    /// Removes what held tasks have left that do not exist any more: of one page of held tasks. The next look goes on there.
    async fn forget_orphans(&mut self) -> Result<(), StoreError> {
        let page = self.store.tasks().orphaned_page(self.look.orphans_after).await?;
        self.store.tasks().forget_orphans(page.found).await?;
        self.look.orphans_after = page.last.unwrap_or(i64::MIN);
        Ok(())
    }

    async fn count(&mut self, ended: &[i64]) -> Result<(), StoreError> {
        let mut counted = Ok(());
        for (at, piece) in ended.chunks(RELEASE_PIECE).enumerate() {
            let Err(error) = self.count_piece(piece).await else {
                continue;
            };
            let others_may_do = is_about_rows(&error);
            counted = Err(error);
            if others_may_do {
                self.aside.put(piece);
            } else {
                // The transaction may have been done: tasks that it has cancelled may have others behind them.
                self.aside.put(&ended[at * RELEASE_PIECE..]);
                self.look.request(LookForEnds::All);
                break;
            }
        }
        counted
    }

    async fn count_piece(&mut self, ended: &[i64]) -> Result<(), StoreError> {
        let (mut after, mut counted) = (i64::MIN, Ok(()));
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
