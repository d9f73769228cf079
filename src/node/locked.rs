//! Rows that a look passes over because other sessions have locked them.

use super::said::{About, Said};
use crate::store::{Rows, Store, StoreError};

/// Rows that one look has passed over.
pub(super) struct Locked {
    about: About,
    count: usize,
    /// The first of them, for the log.
    first: String,
}

impl Locked {
    pub(super) fn new(about: About) -> Self {
        Self {
            about,
            count: 0,
            first: String::new(),
        }
    }

    pub(super) fn note(&mut self, id: &impl ToString) {
        if self.count == 0 {
            self.first = id.to_string();
        }
        self.count += 1;
    }

    /// The items of `found` whose rows are not locked.
    pub(super) async fn pass_over<T>(
        &mut self,
        store: &Store,
        rows: Rows,
        found: Vec<T>,
        id: impl Fn(&T) -> i64,
    ) -> Result<Vec<T>, StoreError> {
        let ids: Vec<i64> = found.iter().map(&id).collect();
        let locked = store.locked(rows, &ids).await?;
        for id in &locked {
            self.note(id);
        }
        Ok(found.into_iter().filter(|found| !locked.contains(&id(found))).collect())
    }

    /// Called at the end of a look. Logs that rows are locked, if the look before has found locked rows, too (any session that changes a row
    /// locks it for a moment); or that no rows are locked any more.
    pub(super) fn say(self, said: &Said, what: &str) {
        let Self { about, count, first } = self;
        if count == 0 {
            said.over(&about, &format!("no {what} are locked any more"));
            return;
        }
        let what = format!("{count} {what} are passed over until they are free (the first: {first})");
        if !said.is_seen_again(&about) {
            say!(Debug, "{what}");
            return;
        }
        let why = "another session has locked them; see what that session waits for, or end that session";
        said.error(about, &what, &why);
    }
}
