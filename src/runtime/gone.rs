//! Noticing that nothing can run here any more although this Gaia was not stopped.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use super::Gaia;
use crate::{error::Error, store::StoreError, threads::SYSTEM_STOPPED};

/// How often the actors and the files of the database are looked for.
const LOOK: Duration = Duration::from_secs(1);

impl Gaia {
    /// Ends when the actors are gone although this Gaia was not stopped, and says so in the log and in the error: a handler has
    /// stopped their actix system (`System::current().stop()`), their thread has ended, or one of them has died. It ends, too,
    /// when the SQLite file that is open has not been at its path for the length of the lease (deleted, moved away, replaced, or
    /// its `-wal` or `-shm` were): nothing is read or written then, and only a new start helps. What ran is
    /// taken over by other nodes, or by this one at its next start. [`run_until_signal`](Self::run_until_signal) waits for this,
    /// too; an application that has another main loop should end with it.
    ///
    /// ```no_run
    /// # async fn serve() {}
    /// # async fn wait(gaia: gaia_actors::Gaia) -> Result<(), gaia_actors::Error> {
    /// tokio::select! {
    ///     () = serve() => {}
    ///     error = gaia.gone() => return Err(error),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn gone(&self) -> Error {
        let error = tokio::select! {
            () = self.0.control.ended() => Error::ActorsGone { what: SYSTEM_STOPPED.to_owned() },
            what = self.dead_actor() => Error::ActorsGone { what },
            gone = self.files_gone() => gone.into(),
        };
        say!(Error, "{error}");
        error
    }

    /// Ends when an actor is found dead that should live.
    async fn dead_actor(&self) -> String {
        loop {
            tokio::time::sleep(LOOK).await;
            if !self.0.stopping.load(Ordering::SeqCst)
                && let Some(dead) = self.find_dead()
            {
                return dead;
            }
        }
    }

    /// Ends when the files of the database have been gone for the length of the lease. A file that is put back sooner is no loss.
    async fn files_gone(&self) -> StoreError {
        let mut since = None;
        loop {
            tokio::time::sleep(LOOK).await;
            let Err(error) = self.0.store.check_files() else {
                since = None;
                continue;
            };
            let since = since.get_or_insert_with(Instant::now);
            if since.elapsed() >= self.0.lease.length() {
                return error;
            }
        }
    }

    fn find_dead(&self) -> Option<String> {
        if !self.0.node.connected() {
            return Some("the actor of the heartbeat has died".to_owned());
        }
        if !self.0.registry.addr().connected() {
            return Some("the actor of the registry has died".to_owned());
        }
        let themes = self.0.themes.all();
        let dead = themes.iter().find(|runtime| !runtime.is_alive());
        // A Gaia that has begun to stop since was alive.
        let dead = dead.filter(|_| !self.0.stopping.load(Ordering::SeqCst));
        dead.map(|runtime| format!("an actor of theme {} has died", runtime.theme()))
    }
}
