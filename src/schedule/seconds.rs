//! The seconds of a minute, which saffron does not know.

/// One bit for each second, 0 to 59; never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seconds(u64);

impl Seconds {
    pub(super) fn new(mask: u64) -> Self {
        Self(mask)
    }

    pub(super) fn first(self) -> i64 {
        i64::from(self.0.trailing_zeros())
    }

    /// The first second of this set that is not before `second`; `None` if the minute has none left.
    pub(super) fn from(self, second: i64) -> Option<i64> {
        let later = self.0 & (u64::MAX << second);
        (later != 0).then(|| i64::from(later.trailing_zeros()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_minute_is_left_when_it_has_no_more_seconds() {
        let seconds = Seconds::new(1 << 5 | 1 << 59);
        assert_eq!(seconds.first(), 5);
        assert_eq!(
            [0, 5, 6, 59].map(|second| seconds.from(second)),
            [Some(5), Some(5), Some(59), Some(59)]
        );
        assert_eq!(Seconds::new(1).from(1), None);
    }
}
