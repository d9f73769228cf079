//! Work that an actor does one at a time.

/// Whether the work is under way, and whether it is wanted once more after that.
#[derive(Debug, Default)]
pub(crate) struct SingleFlight {
    under_way: bool,
    again: bool,
}

impl SingleFlight {
    /// The work is wanted. Answers whether it begins now: while it is under way, it is not begun a second time.
    pub(crate) fn begin(&mut self) -> bool {
        !std::mem::replace(&mut self.under_way, true)
    }

    /// As [`begin`](Self::begin); but a wish that comes while the work is under way has the work done once more afterwards: [`end`](Self::end)
    /// says so.
    pub(crate) fn begin_or_again(&mut self) -> bool {
        self.again = self.under_way;
        self.begin()
    }

    /// The work has come to its end. Answers whether it is wanted once more.
    pub(crate) fn end(&mut self) -> bool {
        self.under_way = false;
        std::mem::take(&mut self.again)
    }

    pub(crate) fn is_under_way(&self) -> bool {
        self.under_way
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_begun_once_at_a_time() {
        let mut flight = SingleFlight::default();
        assert!(flight.begin() && !flight.begin());
        assert!(!flight.end());
        assert!(flight.begin());
    }

    #[test]
    fn what_is_wanted_during_the_work_comes_once_after_it() {
        let mut flight = SingleFlight::default();
        assert!(flight.begin_or_again());
        assert!(!flight.begin_or_again() && !flight.begin_or_again());
        assert!(flight.end());
        assert!(flight.begin_or_again());
        assert!(!flight.end());
    }
}
