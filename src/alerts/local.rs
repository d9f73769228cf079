//! Alerts about this process. It decides about them alone and in memory, since the database may be away when they are needed most; their rows
//! in the database are copies for people, and for other nodes if this process dies.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    cause::{Cause, Process, over},
    collector::Taken,
    message::{Message, opened, stored},
    options::AlertSettings,
};
use crate::{
    domain::{AlertState, OpenAlert},
    events::{Component, DatabaseWork},
    lease::NodeLease,
    store::StoredAlert,
};

/// For how long the database must fail before an alert is raised.
const LASTING: Duration = Duration::from_secs(30);

/// The open alerts of this process.
#[derive(Debug)]
pub(super) struct Local {
    process: Process,
    lease: NodeLease,
    held: BTreeMap<String, Held>,
    /// How long the node was without a heartbeat when it lost its lease.
    silent: Option<Duration>,
}

#[derive(Debug)]
struct Held {
    cause: Cause,
    since: DateTime<Utc>,
    last_sent: DateTime<Utc>,
}

/// For how long this process could not read or write alerts, with what the database says.
#[derive(Debug, Clone)]
pub(super) struct Away {
    pub(super) since: Duration,
    pub(super) error: String,
}

impl Local {
    pub(super) fn new(process: Process, lease: NodeLease) -> Self {
        Self {
            process,
            lease,
            held: BTreeMap::new(),
            silent: None,
        }
    }

    /// Judges this process; answers with the messages to send.
    pub(super) fn look(
        &mut self,
        taken: &Taken,
        away: Option<&Away>,
        (now, elapsed): (DateTime<Utc>, Duration),
        settings: &AlertSettings,
    ) -> Vec<Message> {
        let causes = self.causes(taken, away, elapsed);
        let causes = causes
            .into_iter()
            .filter(|cause| settings.kinds.contains(&cause.kind()));
        let causes: BTreeMap<String, Cause> = causes.map(|cause| (cause.key(), cause)).collect();
        let mut messages = self.recover(&causes, now);
        for (key, cause) in causes {
            let state = match self.held.get_mut(&key) {
                None => AlertState::Raised,
                Some(held) if (now - held.last_sent).abs() >= settings.remind => AlertState::Reminded,
                Some(held) => {
                    held.cause = cause;
                    continue;
                }
            };
            let since = self.held.get(&key).map_or(now, |held| held.since);
            let held = Held {
                cause,
                since,
                last_sent: now,
            };
            messages.push(Message::new(
                &self.open(&held, now),
                state,
                (now, &self.process.node),
                0,
            ));
            self.held.insert(key, held);
        }
        messages
    }

    /// The copies for the database.
    pub(super) fn rows(&self, now: DateTime<Utc>) -> Vec<StoredAlert> {
        self.held.values().map(|held| stored(self.open(held, now))).collect()
    }

    fn recover(&mut self, causes: &BTreeMap<String, Cause>, now: DateTime<Utc>) -> Vec<Message> {
        let held = std::mem::take(&mut self.held);
        let (lasting, ended) = held.into_iter().partition(|(key, _)| causes.contains_key(key));
        self.held = lasting;
        let ended: BTreeMap<String, Held> = ended;
        let told = ended.into_values().map(|held| {
            let (kind, mut open) = (held.cause.kind(), self.open(&held, now));
            let texts = over(kind, &open.subject, now - held.since, 0);
            (open.text_en, open.text_zh) = (texts.en, texts.zh);
            Message::new(&open, AlertState::Recovered, (now, &self.process.node), 0)
        });
        told.collect()
    }

    fn causes(&mut self, taken: &Taken, away: Option<&Away>, elapsed: Duration) -> Vec<Cause> {
        let mut causes: Vec<Cause> = self.fenced(taken.lease_lost).into_iter().collect();
        let lasting = |since: Duration| Some(elapsed.saturating_sub(since)).filter(|lasted| *lasted > LASTING);
        for ((component, work), failing) in &taken.failing {
            if let Some(lasted) = lasting(failing.since)
                && *work == DatabaseWork::WriteOutcomes
            {
                causes.push(self.unwritten(component, lasted, failing.error.clone()));
            }
        }
        let beats = taken
            .failing
            .iter()
            .filter(|((_, work), _)| *work == DatabaseWork::Beat);
        let beats = beats.map(|(_, failing)| (failing.since, &failing.error));
        let looks = away.map(|away| (away.since, &away.error));
        let longest = beats.chain(looks).min_by_key(|(since, _)| *since);
        if let Some((since, error)) = longest
            && let Some(lasted) = lasting(since)
        {
            causes.push(Cause::DatabaseAway {
                process: self.process.clone(),
                lasted: delta(lasted),
                error: error.clone(),
            });
        }
        causes
    }

    /// The loss of the lease raises an alert even if the node beats again by now.
    fn fenced(&mut self, lost: Option<Duration>) -> Option<Cause> {
        self.silent = match lost {
            Some(silent) => Some(silent),
            None => self.silent.filter(|_| self.lease.has_expired()),
        };
        Some(Cause::NodeFenced {
            process: self.process.clone(),
            silent: delta(self.silent?),
        })
    }

    fn unwritten(&self, component: &Component, lasted: Duration, error: String) -> Cause {
        Cause::OutcomesUnwritten {
            process: self.process.clone(),
            component: component.to_string(),
            lasted: delta(lasted),
            error,
        }
    }

    fn open(&self, held: &Held, now: DateTime<Utc>) -> OpenAlert {
        OpenAlert {
            since: held.since,
            last_sent: held.last_sent,
            ..opened(&held.cause, 1, (now, &self.process.node))
        }
    }
}

fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}
