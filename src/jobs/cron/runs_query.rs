//! Queries whose answers name open runs of this node.

use std::collections::HashSet;

use crate::run::SingleFlight;

/// Whether such a query is under way, and which runs have ended since it began.
///
/// The database answers with what it saw at some moment of the query. The end of a run may be written between that moment and the arrival
/// of the answer: in the answer the run is open, although it has ended. Such a run must not begin again.
#[derive(Debug, Default)]
pub(super) struct RunsQuery {
    flight: SingleFlight,
    /// The runs whose ends were written since the last query began.
    ended: HashSet<i64>,
}

impl RunsQuery {
    /// Asks to begin the query. True: begin it now. False: it is under way already, and this request is dropped.
    pub(super) fn begin(&mut self) -> bool {
        let begins = self.flight.begin();
        if begins {
            self.ended.clear();
        }
        begins
    }

    /// As [`begin`](Self::begin), but a request that comes while the query is under way is kept: [`end`](Self::end) then answers true.
    pub(super) fn begin_or_queue(&mut self) -> bool {
        let begins = self.flight.begin_or_queue();
        if begins {
            self.ended.clear();
        }
        begins
    }

    /// Notes that the query has been answered. True: a request came while it was under way, so make the query once more.
    pub(super) fn end(&mut self) -> bool {
        self.flight.end()
    }

    pub(super) fn is_under_way(&self) -> bool {
        self.flight.is_under_way()
    }

    /// The end of this run is written.
    pub(super) fn run_ended(&mut self, id: i64) {
        if self.is_under_way() {
            self.ended.insert(id);
        }
    }

    /// Whether the end of this run was written while the last query was under way.
    pub(super) fn is_outdated(&self, id: i64) -> bool {
        self.ended.contains(&id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_ends_during_a_query_is_outdated_in_its_answer_only() {
        let mut query = RunsQuery::default();
        query.run_ended(1);
        assert!(query.begin());
        query.run_ended(2);
        assert!(!query.begin() && !query.begin_or_queue());
        assert!(query.end());
        assert!(!query.is_outdated(1) && query.is_outdated(2));
        assert!(query.begin_or_queue());
        assert!(!query.is_outdated(2));
    }
}
