//! The first and the last part of the transaction that adds held tasks: a look at the task for which they are to wait, and the rows about what
//! they wait for.

use diesel::Insertable;

use super::{
    end_of,
    new_held::{HeldAddition, NewHeld, Waits},
};
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
}

#[derive(Insertable)]
#[diesel(table_name = gaia_links)]
struct LinkRow {
    held_id: i64,
    task_id: i64,
    open_task: Option<i64>,
}

impl Waits {
    fn held(&self) -> Vec<HeldRow> {
        let held = self.0.iter().map(|wait| {
            let total = i64::try_from(wait.tasks.len()).unwrap_or(i64::MAX);
            HeldRow {
                task_id: wait.held,
                kind: wait.kind.as_str(),
                total,
                unfinished: total,
            }
        });
        held.collect()
    }

    fn links(&self) -> Vec<LinkRow> {
        let links = self.0.iter().flat_map(|wait| {
            wait.tasks.iter().map(|task| LinkRow {
                held_id: wait.held,
                task_id: *task,
                open_task: Some(*task),
            })
        });
        links.collect()
    }
}

/// Why the tasks cannot be added; `None`: they can.
macro_rules! refusal {
    ($conn:ident, $new:ident, $lock:ident, $open:ident, [$($wait:tt)*]) => {{
        let Some(predecessor) = $new.predecessor() else { return Ok(None) };
        let found: Option<Option<AnyText>> = asynctasks::table
            .find(predecessor)
            .select(asynctasks::task_status)
            .first($conn)$($wait)*
            .optional()?;
        Ok(match found.map(|status| end_of(true, status)) {
            None => Some(HeldAddition::NoPredecessor),
            Some(None | Some(TaskStatus::Success)) => None,
            Some(Some(status)) => Some(HeldAddition::PredecessorEnded(status)),
        })
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

/// The look at the predecessor.
pub(in crate::store) mod look {
    use diesel::{OptionalExtension, QueryDsl};

    use super::{AnyText, HeldAddition, NewHeld, TaskStatus, asynctasks, end_of, on_each_connection};

    on_each_connection!(refusal, NewHeld, Option<HeldAddition>);
}

on_each_connection!(insert_waits, Waits, ());
