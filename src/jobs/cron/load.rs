//! Keeps the timetable as the table of jobs is, whichever program changes the table.

use std::collections::HashSet;

use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};
use chrono::{DateTime, FixedOffset, TimeDelta, Utc};

use super::{CronActor, timetable::PutResult};
use crate::{
    events::DatabaseWork,
    schedule::{Schedule, zone_data},
    store::{Fingerprint, ScheduleRow, Store, StoreError, UTC},
};

/// How many rows are read, and put into the timetable, in one piece: a few milliseconds of this thread.
const PAGE: i64 = 2_000;

/// Every so many looks at the schedules, the cron actor also resets the status of jobs that are marked as running and have no open run.
const LOOKS_PER_SETTLING: u64 = 10;

/// A reading of all schedules, page by page.
struct Reading {
    fingerprint: Fingerprint,
    last: i64,
    ids: HashSet<i64>,
    /// Jobs whose rows do not say since when their schedules hold: they hold since this reading.
    begun: Vec<i64>,
    /// A job of another program that names no time zone: its id and its expression.
    adopted: Option<(i64, String)>,
}

impl CronActor {
    /// Reads all schedules. Tries again until that succeeds.
    pub(super) fn load(&mut self, ctx: &mut Context<Self>) {
        if !self.loading.begin() {
            return;
        }
        let store = self.store.clone();
        let begin = async move {
            // Read before the rows: the next look sees a change that is made in between.
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
                            adopted: None,
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
            if reading.adopted.is_none() && row.is_new_and_names_no_zone() {
                reading.adopted = Some((id, row.cron_expr.0.clone()));
            }
            // After the second that was claimed last (model: fires::BeginsWithLast).
            let holds_from = row.holds_from();
            let put = self.timetable.put(row, holds_from.unwrap_or(now).min(now));
            self.warn(id, &put);
            if holds_from.is_none() && put == PutResult::Changed {
                reading.begun.push(id);
            }
        }
        self.read_page(reading, ctx);
    }

    /// The pages are no snapshot of the table. If the table has changed since the first page was read, the next look reads all rows again.
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
        if let Some((id, expr)) = reading.adopted.filter(|_| !self.settings.names_zone) {
            say!(Warn, "{}", in_two_zones(id, &expr, self.store.zone(), now));
        }
        self.begin(reading.begun, now, ctx);
        self.discover(ctx);
        self.claim_due(ctx);
    }

    /// Notes in the table since when the schedules of these jobs hold, and that the schedules of disabled jobs do not hold. If that fails, the
    /// older notes decide which fires were missed while no node was alive.
    fn begin(&self, ids: Vec<i64>, now: DateTime<Utc>, ctx: &mut Context<Self>) {
        let store = self.store.clone();
        let begin = async move {
            store.jobs().end_schedules().await?;
            for ids in ids.chunks(500) {
                store.jobs().begin_schedules(ids, now.into()).await?;
            }
            Ok::<_, StoreError>(())
        };
        ctx.spawn(begin.into_actor(self).map(|begun, cron, _| match begun {
            Ok(()) => cron.report_success(DatabaseWork::NoteSchedules),
            Err(error) => cron.report_failure(DatabaseWork::NoteSchedules, &error),
        }));
    }

    fn not_loaded(&mut self, error: &StoreError, ctx: &mut Context<Self>) {
        self.loading.end();
        let wait = self.backoff.failed();
        self.report_failure(DatabaseWork::ReadSchedules, error);
        ctx.run_later(wait, Self::load);
    }

    /// Logs why a row cannot be scheduled, once for each reason.
    fn warn(&self, id: i64, put: &PutResult) {
        if *put == (PutResult::Bad { is_news: true }) {
            let fault = self.timetable.fault_of(id).unwrap_or_default();
            say!(Warn, "job {id} is not scheduled until its row is mended: {fault}");
        }
    }

    /// Looks for requests to stop runs of this process, and to run jobs, then whether any schedule has changed. Requests do not wait for schedules: they are
    /// followed while the schedules are being read, or cannot be read.
    pub(super) fn poll(&mut self, ctx: &mut Context<Self>) {
        if !self.looks_at_runs.begin_or_queue() {
            return;
        }
        let (store, node) = (self.store.clone(), self.context.node.to_string());
        // Read before the rows: runs that are read after the lease was lost may belong to other nodes already.
        let term = self.context.lease.term();
        let released = match self.is_fenced() {
            true => Vec::new(),
            false => self.released.ask(),
        };
        let open = async move { store.jobs().open_runs_and_requests(&node).await };
        ctx.spawn(open.into_actor(self).map(move |open, cron, ctx| {
            match open {
                Ok((open, requests)) => {
                    cron.report_success(DatabaseWork::LookForRequests);
                    cron.settle_released(&released, &open, term);
                    cron.apply_requests(&open);
                    cron.take_requests(requests, ctx);
                    cron.claim_due(ctx);
                }
                Err(error) => cron.report_failure(DatabaseWork::LookForRequests, &error),
            }
            if cron.looks_at_runs.end() {
                cron.poll(ctx);
            }
            // After the other query, not at the same time: an idle node then needs only one connection.
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
                    cron.look_at_services(ctx);
                }
                Err(error) => cron.report_failure(DatabaseWork::LookForChanges, &error),
            }
            if cron.looks_at_schedules.end() {
                cron.look_at_schedules(ctx);
            }
        }));
    }

    /// Follows an update of the system's time zone rules. The tick that calls this claims the fires that are due by the new rules.
    pub(super) fn look_at_zones(&mut self) {
        let data = zone_data().to_string();
        if data != self.zone_data {
            say!(Info, "jobs: schedules go by {data} from now on");
            self.zone_data = data;
            // The next look reads all rows again: zones that were unknown may be known now.
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

    /// Reads one schedule again, which was changed in this process. The row says since when it holds; if not, it holds since now.
    pub(super) fn refresh(&mut self, id: i64, ctx: &mut Context<Self>) {
        let store = self.store.clone();
        let row = async move { store.jobs().schedule(id).await };
        // In any case the next look reads all rows again: another change may follow this one.
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
            Err(error) => cron.report_failure(DatabaseWork::ReadSchedules, &format_args!("job {id}: {error}")),
        }));
    }
}

async fn fingerprint(store: Store, settles: bool) -> Result<Fingerprint, StoreError> {
    if settles {
        store.jobs().settle_jobs().await?;
    }
    store.jobs().fingerprint().await
}

/// The Go framework reads expressions in the local time of its machine. `local`: the zone of the columns of time.
fn in_two_zones(id: i64, expr: &str, local: FixedOffset, now: DateTime<Utc>) -> String {
    let ahead = TimeDelta::seconds(local.local_minus_utc().into());
    let schedule: Option<Schedule> = expr.parse().ok();
    let next = |by: TimeDelta| {
        let next = schedule.as_ref()?.next_after(now.checked_add_signed(by)?)?;
        next.checked_sub_signed(by)
    };
    let or_never = |at: Option<DateTime<Utc>>| at.map_or_else(|| "never".to_owned(), |at| at.to_rfc3339());
    let other = match local == UTC {
        true => String::new(),
        false => format!(
            "; read in {local}, the zone of the times in this database, {}",
            or_never(next(ahead))
        ),
    };
    format!(
        "another program has written jobs that name no time zone, and Jobs.TimeZone is not set. They are read in UTC: the next fire of job \
         {id} ({expr}) is {}{other}. Set Jobs.TimeZone to UTC, or to the zone that the program means",
        or_never(next(TimeDelta::zero()))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_warning_has_both_readings() {
        let now: DateTime<Utc> = "2026-12-01T12:00:00Z".parse().expect("is a time");
        let local = FixedOffset::east_opt(8 * 3_600).expect("is an offset");
        let text = in_two_zones(7, "0 0 1 * * *", local, now);
        assert!(
            text.contains("job 7 (0 0 1 * * *) is 2026-12-02T01:00:00+00:00; read in +08:00"),
            "{text}"
        );
        assert!(text.contains("database, 2026-12-01T17:00:00+00:00. Set"), "{text}");
        let text = in_two_zones(7, "no expression", UTC, now);
        assert!(text.contains("is never. Set"), "{text}");
    }
}
