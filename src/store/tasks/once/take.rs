//! Taking a key: the first part of the transaction.

use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, result::Error as DieselError};

use super::request::{NewOnce, Taken};
use crate::store::{error::is_lock_timeout, schema::gaia_idempotency, statement::transaction::on_each_connection};

/// How often a key is tried again that another session deletes or takes between two statements.
const TRIES: usize = 20;

/// Whether another session has kept a lock for longer than this session waits.
fn is_busy(error: &DieselError) -> bool {
    matches!(error, DieselError::DatabaseError(_, info) if is_lock_timeout(info.message()))
}

/// Inserts the key unless it is there, and looks whose it is. Only the transaction that has inserted the row sees it without ids. A key that
/// has expired is taken over.
macro_rules! take_key {
    ($conn:ident, $once:ident, $lock:ident, $open:ident, [$($wait:tt)*]) => {{
        let mine = (
            gaia_idempotency::body_hash.eq(&$once.key.body),
            gaia_idempotency::tasks.eq(""),
            gaia_idempotency::created_at.eq($once.now),
        );
        for _ in 0..TRIES {
            let inserted = diesel::insert_into(gaia_idempotency::table)
                .values((gaia_idempotency::key_hash.eq(&$once.key.key), mine))
                .on_conflict_do_nothing()
                .execute($conn)$($wait)*;
            match inserted {
                Err(error) if is_busy(&error) => return Ok(Taken::Busy),
                inserted => inserted?,
            };
            let found: Option<(String, String, bool)> = gaia_idempotency::table
                .find(&$once.key.key)
                .select((
                    gaia_idempotency::body_hash,
                    gaia_idempotency::tasks,
                    gaia_idempotency::created_at.le($once.expired),
                ))
                .first($conn)$($wait)*
                .optional()?;
            match found {
                Some((_, tasks, _)) if tasks.is_empty() => return Ok(Taken::Free),
                Some((body, tasks, false)) => return Ok(Taken::Stored { body, tasks }),
                Some((_, _, true)) => {
                    let old = gaia_idempotency::table
                        .find(&$once.key.key)
                        .filter(gaia_idempotency::created_at.le($once.expired));
                    let taken = diesel::update(old).set(mine).execute($conn)$($wait)*;
                    match taken {
                        // Another session has taken it over.
                        Ok(0) => {}
                        Ok(_) => return Ok(Taken::Free),
                        Err(error) if is_busy(&error) => return Ok(Taken::Busy),
                        Err(error) => return Err(error),
                    }
                }
                // A pruner has deleted it.
                None => {}
            }
        }
        Ok(Taken::Busy)
    }};
}

on_each_connection!(take_key, NewOnce, Taken);
