//! Notices that nothing can run here any more although this Gaia was not stopped.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use super::Gaia;
use crate::{error::Error, store::StoreError, threads::SYSTEM_STOPPED};

/// How often the actors and the files of the database are looked for.
const LOOK: Duration = Duration::from_secs(1);

impl Gaia {
    /// Ends when the actors are gone although this Gaia was not stopped: a handler has stopped their actix system
    /// (`System::current().stop()`), their thread has ended, or an actor of the heartbeat, of the registry or of a theme has died. Ends,
    /// too, when the open SQLite file, its `-wal` or its `-shm` has not been at its path for the length of the lease (deleted, moved away
    /// or replaced): nothing is read or written then, and only a new start helps. The log and the error say what has happened. Other nodes
    /// take over what ran, or this node does at its next start. [`run_until_signal`](Self::run_until_signal) ends in these cases, too; an
    /// application with another main loop should end when this future ends.
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

    /// Ends when an actor that should live is found dead.
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

    /// Ends when the files of the database have been gone for the length of the lease. If a file is put back sooner, the wait goes on.
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
        // If a stop has begun since the caller looked, the stop has ended the actors.
        let dead = dead.filter(|_| !self.0.stopping.load(Ordering::SeqCst));
        dead.map(|runtime| format!("an actor of theme {} has died", runtime.theme()))
    }
}
