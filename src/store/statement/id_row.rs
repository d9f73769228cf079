//! What plain SQL answers with, if it asks for ids.

use diesel::{QueryableByName, sql_types::BigInt};

/// A row with an id.
#[derive(QueryableByName)]
pub(in crate::store) struct Id {
    #[diesel(sql_type = BigInt)]
    pub(in crate::store) id: i64,
}
