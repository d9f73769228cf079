//! Storing the ids under the key: the last part of the transaction.

use diesel::{ExpressionMethods, QueryDsl};

use super::request::Kept;
use crate::store::{schema::gaia_idempotency, statement::transaction::on_each_connection};

macro_rules! keep_ids {
    ($conn:ident, $kept:ident, $lock:ident, $open:ident, [$($wait:tt)*]) => {{
        diesel::update(gaia_idempotency::table.find(&$kept.key))
            .set(gaia_idempotency::tasks.eq(&$kept.tasks))
            .execute($conn)$($wait)*
    }};
}

on_each_connection!(keep_ids, Kept, usize);
