//! A guard for work that an actor must not do twice at the same time.

/// Whether the work is under way, and whether it is to be done once more after that.
#[derive(Debug, Default)]
pub(crate) struct SingleFlight {
    under_way: bool,
    again: bool,
}

impl SingleFlight {
    /// Asks to begin the work. True: begin it now. False: it is under way already, and this request is dropped.
    pub(crate) fn begin(&mut self) -> bool {
        !std::mem::replace(&mut self.under_way, true)
    }

    /// As [`begin`](Self::begin), but a request that comes while the work is under way is kept: [`end`](Self::end) then answers true.
    pub(crate) fn begin_or_queue(&mut self) -> bool {
        self.again = self.under_way;
        self.begin()
    }

    /// Notes that the work is done. True: a request came while it was under way, so do the work once more.
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
        assert!(flight.begin_or_queue());
        assert!(!flight.begin_or_queue() && !flight.begin_or_queue());
        assert!(flight.end());
        assert!(flight.begin_or_queue());
        assert!(!flight.end());
    }
}
