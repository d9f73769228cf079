//! The first and the last part of the transaction that adds held tasks: a look at the tasks for which they are to wait, and the rows about what
//! they wait for.

use diesel::Insertable;

use super::new_held::{NewHeld, Waits};
use crate::{
    domain::TaskStatus,
    store::{
        lenient::AnyText,
        schema::{asynctasks, gaia_held, gaia_links},
        statement::{chunks::ROWS, transaction::on_each_connection},
    },
};

#[derive(Insertable)]
#[diesel(table_name = gaia_held)]
struct HeldRow {
    task_id: i64,
    kind: &'static str,
    total: i64,
    unfinished: i64,
    succeeded: i64,
}

#[derive(Insertable)]
#[diesel(table_name = gaia_links)]
struct LinkRow {
    held_id: i64,
    task_id: i64,
    open_task: Option<i64>,
    task_status: Option<&'static str>,
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl Waits {
    fn held(&self) -> Vec<HeldRow> {
        let held = self.0.iter().map(|wait| HeldRow {
            task_id: wait.held,
            kind: wait.kind.as_str(),
            total: count(wait.tasks.len()),
            unfinished: count(wait.tasks.len() - wait.succeeded.len()),
            succeeded: count(wait.succeeded.len()),
        });
        held.collect()
    }

    fn links(&self) -> Vec<LinkRow> {
        let links = self.0.iter().flat_map(|wait| {
            wait.tasks.iter().map(|task| {
                let is_counted = wait.succeeded.contains(task);
                LinkRow {
                    held_id: wait.held,
                    task_id: *task,
                    open_task: (!is_counted).then_some(*task),
                    task_status: is_counted.then_some(TaskStatus::Success.as_str()),
                }
            })
        });
        links.collect()
    }
}

/// The tasks for which new tasks are to wait, as far as they exist, with their statuses.
macro_rules! predecessors {
    ($conn:ident, $new:ident, $lock:ident, $open:ident, [$($wait:tt)*]) => {{
        let ids = $new.predecessors();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        asynctasks::table
            .filter(asynctasks::id.eq_any(ids))
            .select((asynctasks::id, asynctasks::task_status))
            .load($conn)$($wait)*
    }};
}

macro_rules! insert_waits {
    ($conn:ident, $waits:ident, $lock:ident, $open:ident, [$($wait:tt)*]) => {{
        for held in $waits.held().chunks(ROWS) {
            diesel::insert_into(gaia_held::table).values(held).execute($conn)$($wait)*?;
        }
        for links in $waits.links().chunks(ROWS) {
            diesel::insert_into(gaia_links::table).values(links).execute($conn)$($wait)*?;
        }
        Ok(())
    }};
}

/// The look at the predecessors.
pub(in crate::store) mod look {
    use diesel::{ExpressionMethods, QueryDsl};

    use super::{AnyText, NewHeld, asynctasks, on_each_connection};

    on_each_connection!(predecessors, NewHeld, Vec<(i64, Option<AnyText>)>);
}

on_each_connection!(insert_waits, Waits, ());
