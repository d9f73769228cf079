//! Storing the ids under the key, or giving up the key: the last part of the transaction.

use diesel::{ExpressionMethods, QueryDsl};

use super::request::Kept;
use crate::store::{schema::gaia_idempotency, statement::transaction::on_each_connection};

macro_rules! keep_ids {
    ($conn:ident, $kept:ident, $lock:ident, $open:ident, [$($wait:tt)*]) => {{
        let mine = gaia_idempotency::table.find(&$kept.key);
        match &$kept.tasks {
            Some(tasks) => diesel::update(mine).set(gaia_idempotency::tasks.eq(tasks)).execute($conn)$($wait)*,
            None => diesel::delete(mine).execute($conn)$($wait)*,
        }
    }};
}

on_each_connection!(keep_ids, Kept, usize);
