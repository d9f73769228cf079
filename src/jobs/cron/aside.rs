//! Jobs whose fires the database refuses to claim: they are set aside for a while, so that other jobs do not wait with them.

use std::{collections::HashMap, time::Duration};

use actix::{AsyncContext, Context};

use super::CronActor;
use crate::store::{Fire, StoreError};

/// How long a job whose fire was refused is set aside.
const PAUSE: Duration = Duration::from_secs(5);

/// The jobs that are set aside, each with the fire that was refused. Once it is put back, the timetable knows which later fires are due.
#[derive(Default)]
pub(super) struct Aside(HashMap<i64, Fire>);

impl Aside {
    /// The fires whose jobs are not set aside.
    pub(super) fn without(&self, mut fires: Vec<Fire>) -> Vec<Fire> {
        fires.retain(|fire| !self.0.contains_key(&fire.job_id));
        fires
    }
}

impl CronActor {
    /// The database has refused to claim these fires. Claims become smaller until the fire that it refuses is alone; the job of that fire is
    /// set aside.
    pub(super) fn claim_refused(&mut self, mut fires: Vec<Fire>, error: &StoreError, ctx: &mut Context<Self>) {
        self.claiming.end();
        self.counts.database_errors += 1;
        self.claim_size = (fires.len() / 2).max(1);
        match fires.pop() {
            Some(fire) if fires.is_empty() => self.set_aside(fire, error, ctx),
            last => {
                fires.extend(last);
                self.timetable.put_back(&fires);
            }
        }
        self.claim_due(ctx);
    }

    fn set_aside(&mut self, fire: Fire, error: &StoreError, ctx: &mut Context<Self>) {
        let id = fire.job_id;
        if let Some(said) = self.said.say(id, &error.to_string()) {
            say!(Warn, "job {id} does not fire, since the database refuses it: {said}");
        }
        self.aside.0.insert(id, fire);
        ctx.run_later(PAUSE, move |cron, ctx| {
            if let Some(fire) = cron.aside.0.remove(&id) {
                cron.timetable.put_back(&[fire]);
            }
            cron.claim_due(ctx);
        });
    }
}
