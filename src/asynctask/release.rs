//! The actor that releases held tasks: it hears of ends in this process, and looks for all others.

use actix::{Actor, AsyncContext, Context, WrapFuture};

use super::runtime::{ThemeRuntime, ThemeRuntimes};
use crate::{
    backoff::Backoff,
    repeats::Repeats,
    store::{Released, Store, StoreError, WantedRelease},
};

/// How many pages of links one look reads. The next look goes on behind them.
const PAGES: usize = 20;

/// Releases tasks that wait for others. Each process has one; nothing happens twice if several of them count the same ends.
pub(crate) struct ReleaseActor(Release);

#[derive(Clone)]
struct Release {
    store: Store,
    themes: ThemeRuntimes,
}

impl ReleaseActor {
    pub(crate) const fn new(store: Store, themes: ThemeRuntimes) -> Self {
        Self(Release { store, themes })
    }
}

impl Actor for ReleaseActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.spawn(work(self.0.clone()).into_actor(self));
    }
}

async fn work(release: Release) {
    let (mut backoff, mut said) = (Backoff::default(), Repeats::default());
    let mut looked_to = i64::MIN;
    loop {
        let wanted = release.store.tasks().release_wanted().await;
        match release.follow(&wanted, &mut looked_to).await {
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
                release.store.tasks().release_failed(wanted);
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

impl Release {
    async fn follow(&self, wanted: &WantedRelease, looked_to: &mut i64) -> Result<(), StoreError> {
        self.release(&wanted.ended).await?;
        if wanted.look {
            self.look(looked_to).await?;
        }
        Ok(())
    }

    async fn look(&self, looked_to: &mut i64) -> Result<(), StoreError> {
        for _ in 0..PAGES {
            let page = self.store.tasks().ended_page(*looked_to).await?;
            self.release(&page.ended).await?;
            *looked_to = page.last.unwrap_or(i64::MIN);
            if page.last.is_none() {
                break;
            }
        }
        Ok(())
    }

    async fn release(&self, ended: &[i64]) -> Result<(), StoreError> {
        let Released { due, cancelled } = self.store.tasks().release(ended).await?;
        for (theme, count) in due {
            self.themes.ring(&theme);
            self.themes.get(&theme).iter().for_each(ThemeRuntime::wake);
            self.store.cluster().announce_tasks(&theme, count);
        }
        for (theme, id) in cancelled {
            if let Some(runtime) = self.themes.get(&theme) {
                runtime.ended_by_caller(id);
            }
        }
        Ok(())
    }
}
