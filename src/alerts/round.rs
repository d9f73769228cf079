//! One round at the database: events and states become rows, and each write that succeeds makes a message. Of many nodes one succeeds, so
//! people get one message.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    cause::{Cause, over},
    collector::Happened,
    message::{Message, opened, stored},
    options::AlertSettings,
    states::States,
};
use crate::{
    domain::{AlertKind, AlertState, ListAlerts, MOST_ALERTS, OpenAlert},
    store::{Store, StoreError, StoredAlert},
};

/// How often a change is tried that other nodes overtake.
const TRIES: usize = 5;

/// How old the row of a state that lasts may be. No write comes more often, for as long as nothing changes.
const FRESH: TimeDelta = TimeDelta::seconds(60);

/// When the failure share of a method counts as low again: each process judges its own runs, and those that see it high refresh the row.
const SHARE_IS_LOW: TimeDelta = TimeDelta::seconds(180);

/// The input of a round.
pub(super) struct Input {
    pub(super) node: Arc<str>,
    pub(super) settings: Arc<AlertSettings>,
    pub(super) happened: Vec<Happened>,
    /// The names of jobs that have run well.
    pub(super) succeeded: BTreeSet<String>,
    /// `None`: this round has no look at states.
    pub(super) seen: Option<SeenStates>,
    /// The rows that tell of this process.
    pub(super) own: Vec<StoredAlert>,
}

/// The states of a look.
pub(super) struct SeenStates {
    pub(super) states: States,
    /// The keys of the states that have lasted long enough for an alert.
    pub(super) lasting: BTreeSet<String>,
}

/// The results of a round.
#[derive(Default)]
pub(super) struct Output {
    /// To be sent, even after an error.
    pub(super) messages: Vec<Message>,
    /// Events that could not be written.
    pub(super) unwritten: Vec<Happened>,
    /// Whether an alert of a failed job is open.
    pub(super) any_job_failed: bool,
    pub(super) error: Option<StoreError>,
}

struct Round<'a> {
    store: &'a Store,
    node: &'a str,
    settings: &'a AlertSettings,
    now: DateTime<Utc>,
    /// The open alerts by the hashes of their keys.
    rows: BTreeMap<String, StoredAlert>,
    messages: Vec<Message>,
}

pub(super) async fn round(store: Store, input: Input) -> Output {
    let Input {
        node,
        settings,
        happened,
        succeeded,
        seen,
        own,
    } = input;
    let mut round = Round {
        store: &store,
        node: &node,
        settings: &settings,
        now: store.clock().now(),
        rows: BTreeMap::new(),
        messages: Vec::new(),
    };
    let mut waiting = happened.into_iter();
    let done = round.all(&mut waiting, &succeeded, seen, own).await;
    let any_job_failed = round.rows.values().any(|row| row.alert.kind == AlertKind::JobFailed);
    Output {
        messages: round.messages,
        any_job_failed,
        unwritten: waiting.collect(),
        error: done.err(),
    }
}

impl Round<'_> {
    async fn all(
        &mut self,
        waiting: &mut std::vec::IntoIter<Happened>,
        succeeded: &BTreeSet<String>,
        seen: Option<SeenStates>,
        own: Vec<StoredAlert>,
    ) -> Result<(), StoreError> {
        self.read().await?;
        let (mut touched, mut refused) = (BTreeSet::new(), None);
        while let Some(happened) = waiting.as_slice().first() {
            // A job that has failed and then has run well is well.
            let is_well = matches!(&happened.cause, Cause::JobFailed { job, .. } if succeeded.contains(&job.name));
            match self.happened(happened).await {
                Ok(hash) => touched.extend((!is_well).then_some(hash)),
                // An event that the database never takes must not hold up the others.
                Err(error) if error.is_refusal() => refused = Some(error),
                Err(error) => return Err(error),
            }
            waiting.next();
        }
        for row in &own {
            touched.insert(row.hash.clone());
            self.mirror(row).await?;
        }
        if let Some(seen) = &seen {
            for cause in &seen.states.causes {
                touched.insert(self.lasts(cause, &seen.lasting).await?);
            }
        }
        let untouched: Vec<StoredAlert> = self
            .rows
            .values()
            .filter(|row| !touched.contains(&row.hash))
            .cloned()
            .collect();
        for row in untouched {
            self.rest(row, succeeded, seen.as_ref().map(|seen| &seen.states))
                .await?;
        }
        refused.map_or(Ok(()), Err)
    }

    async fn read(&mut self) -> Result<(), StoreError> {
        let rows = self.store.cluster().alerts(&ListAlerts::default()).await?;
        self.rows = rows.into_iter().map(|row| (row.hash.clone(), row)).collect();
        Ok(())
    }

    /// The row of an alert about this cause, as it would be if it were new. If there are too many alerts, further alerts of a kind share one row.
    fn new_row(&self, cause: &Cause, times: u64) -> StoredAlert {
        let row = stored(opened(cause, times, (self.now, self.node)));
        match self.rows.contains_key(&row.hash) || self.rows.len() < MOST_ALERTS {
            true => row,
            false => stored(opened(&Cause::Others(cause.kind()), times, (self.now, self.node))),
        }
    }

    /// Something has happened. Answers with the hash of its alert.
    async fn happened(&mut self, happened: &Happened) -> Result<String, StoreError> {
        for _ in 0..TRIES {
            let new = self.new_row(&happened.cause, happened.times);
            let hash = new.hash.clone();
            let done = match self.rows.get(&hash).cloned() {
                None => self.raise(new, happened.times).await?,
                Some(row) => self.again(row, happened).await?,
            };
            if done {
                return Ok(hash);
            }
            self.read().await?;
        }
        Err(overtaken())
    }

    async fn raise(&mut self, new: StoredAlert, times: u64) -> Result<bool, StoreError> {
        if !self.store.cluster().raise_alert(&new).await? {
            return Ok(false);
        }
        self.tell(&new.alert, AlertState::Raised, times);
        self.rows.insert(new.hash.clone(), new);
        Ok(true)
    }

    async fn again(&mut self, mut row: StoredAlert, happened: &Happened) -> Result<bool, StoreError> {
        let untold = row.alert.held_back + happened.times;
        let texts = happened.cause.texts(untold);
        row.alert = OpenAlert {
            last_time: row.alert.last_time.max(happened.last),
            times: row.alert.times + happened.times,
            held_back: untold,
            node: self.node.to_owned(),
            place: happened.cause.place(),
            text_en: texts.en,
            text_zh: texts.zh,
            ..row.alert
        };
        let is_due = self.has_passed(row.alert.last_sent, self.settings.repeat);
        self.change(row, is_due).await
    }

    /// Writes a row; with `tells`, sends a message about it, too. False: another node has changed the row.
    async fn change(&mut self, mut row: StoredAlert, tells: bool) -> Result<bool, StoreError> {
        let untold = row.alert.held_back;
        if tells {
            row.alert.last_sent = self.now;
            row.alert.held_back = 0;
        }
        if !self.store.cluster().change_alert(&row).await? {
            return Ok(false);
        }
        row.version += 1;
        if tells {
            self.tell(&row.alert, AlertState::Reminded, untold);
        }
        self.rows.insert(row.hash.clone(), row);
        Ok(true)
    }

    /// A state that is seen. Answers with the hash of its alert.
    async fn lasts(&mut self, cause: &Cause, lasting: &BTreeSet<String>) -> Result<String, StoreError> {
        let new = self.new_row(cause, 1);
        let hash = new.hash.clone();
        match self.rows.get(&hash).cloned() {
            // If another node is quicker, that node tells it.
            None if lasting.contains(&cause.key()) => drop(self.raise(new, 1).await?),
            None => {}
            Some(row) => {
                let is_due = self.has_passed(row.alert.last_sent, self.settings.remind);
                if is_due || self.has_passed(row.alert.last_time, FRESH) {
                    self.change(refreshed(row, new.alert), is_due).await?;
                }
            }
        }
        Ok(hash)
    }

    /// Writes the copy of an alert of this process, without a message: the process has told it.
    async fn mirror(&mut self, own: &StoredAlert) -> Result<(), StoreError> {
        let Some(row) = self.rows.get(&own.hash).cloned() else {
            self.store.cluster().raise_alert(own).await?;
            self.rows.insert(own.hash.clone(), own.clone());
            return Ok(());
        };
        let is_told_anew = row.alert.last_sent != own.alert.last_sent;
        if is_told_anew || self.has_passed(row.alert.last_time, FRESH) {
            let last_sent = own.alert.last_sent;
            let mut row = refreshed(row, own.alert.clone());
            row.alert.last_sent = last_sent;
            self.change(row, false).await?;
        }
        Ok(())
    }

    /// An open alert of which nothing has come in this round.
    async fn rest(
        &mut self,
        row: StoredAlert,
        succeeded: &BTreeSet<String>,
        states: Option<&States>,
    ) -> Result<(), StoreError> {
        let (kind, alert) = (row.alert.kind, &row.alert);
        if !self.settings.kinds.contains(&kind) {
            return Ok(());
        }
        let is_mine = alert.node == self.node;
        let is_over = match kind {
            AlertKind::JobFailed if succeeded.contains(&alert.subject) => true,
            _ if kind.is_event() => self.has_passed(alert.last_time, self.settings.quiet),
            AlertKind::FailureShare => self.has_passed(alert.last_time, SHARE_IS_LOW),
            // This process has told the end of its alerts. Alerts of nodes that are gone are over.
            _ if kind.is_of_one_process() => {
                is_mine || states.is_some_and(|states| !states.nodes.contains(&alert.node))
            }
            _ => states.is_some_and(|states| states.judged.contains(&kind)),
        };
        if is_over {
            return self.end(row, !(is_mine && kind.is_of_one_process())).await;
        }
        let is_untold = kind.is_event() && alert.held_back > 0;
        if is_untold && self.has_passed(alert.last_sent, self.settings.repeat) {
            self.change(row, true).await?;
        }
        Ok(())
    }

    /// Removes a row; with `tells`, says that its cause is over.
    async fn end(&mut self, mut row: StoredAlert, tells: bool) -> Result<(), StoreError> {
        if !self.store.cluster().end_alert(&row).await? {
            // Another node has seen the cause again, or has told the end.
            return Ok(());
        }
        self.rows.remove(&row.hash);
        if tells {
            let untold = row.alert.held_back;
            let texts = over(row.alert.kind, &row.alert.subject, self.now - row.alert.since, untold);
            (row.alert.text_en, row.alert.text_zh) = (texts.en, texts.zh);
            self.tell(&row.alert, AlertState::Recovered, untold);
        }
        Ok(())
    }

    fn tell(&mut self, alert: &OpenAlert, state: AlertState, untold: u64) {
        self.messages
            .push(Message::new(alert, state, (self.now, self.node), untold));
    }

    /// Whether so much time has passed. A time that is still to come was written before the clock was set back.
    fn has_passed(&self, since: DateTime<Utc>, time: TimeDelta) -> bool {
        (self.now - since).abs() >= time
    }
}

/// A row with newer figures.
fn refreshed(mut row: StoredAlert, new: OpenAlert) -> StoredAlert {
    row.alert = OpenAlert {
        since: row.alert.since,
        last_sent: row.alert.last_sent,
        times: row.alert.times,
        held_back: row.alert.held_back,
        ..new
    };
    row
}

fn overtaken() -> StoreError {
    StoreError::Conflict(format!(
        "other nodes have changed the alert {TRIES} times since it was read"
    ))
}
