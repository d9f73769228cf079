//! Keeping the timetable as the table is, by whatever program the table is changed.

use std::collections::HashSet;

use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};
use chrono::{DateTime, Utc};

use super::{CronActor, timetable::Put};
use crate::{
    events::DatabaseWork,
    schedule::zone_data,
    store::{Fingerprint, ScheduleRow, Store, StoreError},
};

/// Rows that are read, and entered, at once: a few milliseconds of this thread.
const PAGE: i64 = 2_000;

/// Every so many looks there is one for jobs that are said to run and do not.
const LOOKS_PER_SETTLING: u64 = 10;

/// One reading of all schedules, page by page.
struct Reading {
    fingerprint: Fingerprint,
    last: i64,
    ids: HashSet<i64>,
    /// Jobs whose schedules begin to hold with this reading.
    begun: Vec<i64>,
}

impl CronActor {
    /// Reads all schedules; tried until it succeeds.
    pub(super) fn load(&mut self, ctx: &mut Context<Self>) {
        if !self.loading.begin() {
            return;
        }
        let store = self.store.clone();
        let begin = async move {
            // Before the rows: a change in between is seen by the next look.
            store.jobs().fingerprint().await
        };
        ctx.spawn(
            begin
                .into_actor(self)
                .map(move |fingerprint, cron, ctx| match fingerprint {
                    Ok(fingerprint) => cron.read_page(
                        Reading {
                            fingerprint,
                            last: i64::MIN,
                            ids: HashSet::new(),
                            begun: Vec::new(),
                        },
                        ctx,
                    ),
                    Err(error) => cron.not_loaded(&error, ctx),
                }),
        );
    }

    fn read_page(&mut self, reading: Reading, ctx: &mut Context<Self>) {
        let (store, last) = (self.store.clone(), reading.last);
        let page = async move { store.jobs().schedules(last, PAGE).await };
        ctx.spawn(page.into_actor(self).map(move |rows, cron, ctx| match rows {
            Ok(rows) => cron.enter(reading, rows, ctx),
            Err(error) => cron.not_loaded(&error, ctx),
        }));
    }

    fn enter(&mut self, mut reading: Reading, rows: Vec<ScheduleRow>, ctx: &mut Context<Self>) {
        let now = self.now();
        let Some(last) = rows.last().map(|row| row.id) else {
            self.check(reading, ctx);
            return;
        };
        reading.last = last;
        for row in rows {
            let id = row.id;
            reading.ids.insert(id);
            let holds_from = row.holds_from();
            let put = self.timetable.put(row, holds_from.unwrap_or(now).min(now));
            self.warn(id, &put);
            if holds_from.is_none() && put == Put::Changed {
                reading.begun.push(id);
            }
        }
        self.read_page(reading, ctx);
    }

    /// The pages are no snapshot: what changed between them is read anew.
    fn check(&mut self, reading: Reading, ctx: &mut Context<Self>) {
        let store = self.store.clone();
        let fingerprint = async move { store.jobs().fingerprint().await };
        ctx.spawn(fingerprint.into_actor(self).map(move |fingerprint, cron, ctx| {
            let is_same = fingerprint.is_ok_and(|fingerprint| fingerprint == reading.fingerprint);
            cron.seen = is_same.then_some(reading.fingerprint);
            cron.read(reading, ctx);
        }));
    }

    fn read(&mut self, reading: Reading, ctx: &mut Context<Self>) {
        self.loading.end();
        self.loaded = true;
        let now = self.now();
        self.report_success(DatabaseWork::ReadSchedules);
        self.timetable.keep(&reading.ids);
        say!(
            Debug,
            "jobs: {} are scheduled, {} are bad",
            self.timetable.scheduled(),
            self.timetable.bad()
        );
        self.begin(reading.begun, now, ctx);
        self.claim_due(ctx);
    }

    /// Notes in the table from when on the schedules hold, and that the schedules of disabled jobs do not. If it fails, fires that are missed
    /// while no node lives are judged by the notes before.
    fn begin(&self, ids: Vec<i64>, now: DateTime<Utc>, ctx: &mut Context<Self>) {
        let store = self.store.clone();
        let begin = async move {
            store.jobs().end_schedules().await?;
            for ids in ids.chunks(500) {
                store.jobs().begin_schedules(ids, now.naive_utc()).await?;
            }
            Ok::<_, StoreError>(())
        };
        ctx.spawn(begin.into_actor(self).map(|begun, cron, _| {
            if let Err(error) = begun {
                cron.report_failure(DatabaseWork::NoteSchedules, &error);
            }
        }));
    }

    fn not_loaded(&mut self, error: &StoreError, ctx: &mut Context<Self>) {
        self.loading.end();
        let wait = self.backoff.failed();
        self.report_failure(DatabaseWork::ReadSchedules, error);
        ctx.run_later(wait, Self::load);
    }

    /// Logs once why a row cannot be scheduled.
    fn warn(&self, id: i64, put: &Put) {
        if *put == (Put::Bad { is_news: true }) {
            let fault = self.timetable.fault_of(id).unwrap_or_default();
            say!(Warn, "job {id} is not scheduled until its row is mended: {fault}");
        }
    }

    /// Looks what callers want of the runs here, then whether any schedule has changed. Requests to stop a run wait for no
    /// schedule: they are obeyed while the schedules are still being looked at or loaded, or cannot be read.
    pub(super) fn look(&mut self, ctx: &mut Context<Self>) {
        if !self.looks_at_runs.begin_or_queue() {
            return;
        }
        let (store, node) = (self.store.clone(), self.context.node.to_string());
        // Before the rows are read: runs that are read after the lease was lost may belong to other nodes already.
        let term = self.context.lease.term();
        let released = match self.is_fenced() {
            true => Vec::new(),
            false => self.released.ask(),
        };
        let open = async move { store.jobs().open_runs_of(&node).await };
        ctx.spawn(open.into_actor(self).map(move |open, cron, ctx| {
            match open {
                Ok(open) => {
                    cron.report_success(DatabaseWork::LookForRequests);
                    cron.settle_released(&released, &open, term);
                    cron.apply_requests(&open);
                    cron.claim_due(ctx);
                }
                Err(error) => cron.report_failure(DatabaseWork::LookForRequests, &error),
            }
            if cron.looks_at_runs.end() {
                cron.look(ctx);
            }
            // Not beside it: a node that has nothing to do needs no second connection for this.
            cron.look_at_schedules(ctx);
        }));
    }

    fn look_at_schedules(&mut self, ctx: &mut Context<Self>) {
        if !self.looks_at_schedules.begin_or_queue() {
            return;
        }
        self.looks += 1;
        let settles = self.looks % LOOKS_PER_SETTLING == 1;
        let fingerprint = fingerprint(self.store.clone(), settles);
        ctx.spawn(fingerprint.into_actor(self).map(|fingerprint, cron, ctx| {
            match fingerprint {
                Ok(fingerprint) => {
                    cron.report_success(DatabaseWork::LookForChanges);
                    if cron.seen != Some(fingerprint) {
                        cron.load(ctx);
                    }
                }
                Err(error) => cron.report_failure(DatabaseWork::LookForChanges, &error),
            }
            if cron.looks_at_schedules.end() {
                cron.look_at_schedules(ctx);
            }
        }));
    }

    /// Takes up an update of the system's time zone rules. Fires that are due by the new rules are claimed by the tick that calls this.
    pub(super) fn look_at_zones(&mut self) {
        let data = zone_data().to_string();
        if data != self.zone_data {
            say!(Info, "jobs: schedules go by {data} from now on");
            self.zone_data = data;
            // Rows with zones that were unknown until now are tried again: the next look reads all rows anew.
            self.seen = None;
        }
        let renewed = self.timetable.renew_zones(self.now());
        if renewed > 0 {
            say!(
                Info,
                "jobs: {renewed} schedules have new time zone rules; their next fires were worked out anew"
            );
        }
    }

    /// Reads one schedule anew: it was changed in this process, which knows from when on it holds.
    pub(super) fn refresh(&mut self, id: i64, ctx: &mut Context<Self>) {
        let store = self.store.clone();
        let row = async move { store.jobs().schedule(id).await };
        // Whatever comes of it: another change may be on its way, and the next look finds the row as it is.
        self.seen = None;
        ctx.spawn(row.into_actor(self).map(move |row, cron, ctx| match row {
            Ok(Some(row)) => {
                let now = cron.now();
                let from = row.holds_from().map_or(now, |from| from.min(now));
                let put = cron.timetable.put(row, from);
                cron.warn(id, &put);
                cron.claim_due(ctx);
            }
            Ok(None) => cron.timetable.remove(id),
            Err(error) => cron.report_failure(DatabaseWork::ReadSchedules, &error),
        }));
    }
}

async fn fingerprint(store: Store, settles: bool) -> Result<Fingerprint, StoreError> {
    if settles {
        store.jobs().settle_jobs().await?;
    }
    store.jobs().fingerprint().await
}
