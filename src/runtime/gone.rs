//! Noticing that the actors have ended although nobody has stopped them.

use std::{sync::atomic::Ordering, time::Duration};

use super::Gaia;
use crate::{arbiters::SYSTEM_STOPPED, error::Error};

/// How often the actors are looked for.
const LOOK: Duration = Duration::from_secs(1);

impl Gaia {
    /// Ends when the actors are gone although nobody has stopped this Gaia, and says so in the log and in the error: a handler has
    /// stopped their actix system (`System::current().stop()`), their thread has ended, or one of them has died. What ran is
    /// taken over by other nodes, or by this one at its next start. [`run_until_signal`](Self::run_until_signal) waits for this,
    /// too; an application with a main loop of its own should end with it.
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
        let what = tokio::select! {
            () = self.0.control.ended() => SYSTEM_STOPPED.to_owned(),
            what = self.dead_actor() => what,
        };
        let error = Error::ActorsGone { what };
        log::error!("{error}");
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

    fn find_dead(&self) -> Option<String> {
        if !self.0.node.connected() {
            return Some("the actor of the heartbeat has died".to_owned());
        }
        if !self.0.registry.addr().connected() {
            return Some("the actor of the registry has died".to_owned());
        }
        let machines = self.0.machines.all();
        let dead = machines.iter().find(|machine| !machine.is_alive());
        // One that has begun to stop since was alive.
        let dead = dead.filter(|_| !self.0.stopping.load(Ordering::SeqCst));
        dead.map(|machine| format!("an actor of theme {} has died", machine.theme()))
    }
}
