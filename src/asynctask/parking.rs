//! Parking a run: a service has answered its call with 202, and will end it later, by a token.

use std::{fmt::Display, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    backoff::Backoff,
    clock::Clock,
    registry::Ticket,
    store::{ClaimedTask, REMOTE, RemoteClaim, Store},
};

/// How long a service that does not beat may take for a run without a timeout.
const LONGEST: Duration = Duration::from_secs(24 * 3_600);

/// The column of the owner has room for so many characters of the service's name.
const NAME: usize = 50;

/// What parking a run takes.
pub(super) struct Parking<'a> {
    pub(super) store: &'a Store,
    pub(super) clock: &'a Clock,
    pub(super) theme: &'a str,
    pub(super) task: &'a ClaimedTask,
    /// When the run is out of time.
    pub(super) deadline: Option<DateTime<Utc>>,
    /// For log lines.
    pub(super) run: &'a dyn Display,
}

impl Parking<'_> {
    /// Gives the task to the service. Tries until the database answers: the service has begun. False: this run does not hold the task any more.
    ///
    /// # Errors
    /// Why the database refuses that.
    pub(super) async fn park(&self, ticket: &Ticket, lease: Option<Duration>) -> Result<bool, String> {
        let (key, claim) = (self.task.key(), self.claim(ticket, lease));
        let mut backoff = Backoff::default();
        loop {
            let (key, claim) = (key.clone(), claim.clone());
            // The caller may be dropped, when the run is out of time; a transaction that has begun goes on.
            let parked = self
                .store
                .drive(move |store| async move { store.tasks().park(&key, claim).await });
            match parked.await {
                Some(Ok(parked)) => return Ok(parked),
                Some(Err(error)) if error.is_refusal() => return Err(error.to_string()),
                Some(Err(error)) => {
                    let run = self.run;
                    say!(
                        Debug,
                        "{run}: cannot note that its service has parked it, will try again: {error}"
                    );
                    self.clock.sleep(backoff.failed()).await;
                }
                // The process stops.
                None => return Ok(false),
            }
        }
    }

    fn claim(&self, ticket: &Ticket, lease: Option<Duration>) -> RemoteClaim {
        let (now, lease) = (self.clock.now(), lease.unwrap_or(LONGEST));
        RemoteClaim {
            mark: ticket.mark.clone(),
            // The transaction makes the claim and its id.
            claim_id: 0,
            worker: owner(&self.task.service),
            theme: self.theme.to_owned(),
            secret: ticket.secret.clone(),
            lease,
            expires_at: now + TimeDelta::from_std(lease).unwrap_or_default(),
            deadline: self.deadline,
            beat: 0,
        }
    }
}

/// The owner of the runs that a service has parked. Owners are plain ASCII.
fn owner(service: &str) -> String {
    let plain = |char: char| if char.is_ascii_graphic() { char } else { '_' };
    let name: String = service.chars().map(plain).take(NAME).collect();
    format!("{REMOTE}{name}")
}
