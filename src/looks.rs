//! Looks at the database that are made one at a time.

/// Whether a look is under way, and whether another is wanted after it.
#[derive(Debug, Default)]
pub(crate) struct Looks {
    under_way: bool,
    again: bool,
}

impl Looks {
    /// A look is wanted. Whether it is to begin now: while one is under way, it comes after that one.
    pub(crate) fn begin(&mut self) -> bool {
        self.again = self.under_way;
        !std::mem::replace(&mut self.under_way, true)
    }

    /// A look has come to its end. Whether another is wanted.
    pub(crate) fn end(&mut self) -> bool {
        self.under_way = false;
        std::mem::take(&mut self.again)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_during_a_look_comes_once_after_it() {
        let mut looks = Looks::default();
        assert!(looks.begin());
        assert!(!looks.begin() && !looks.begin());
        assert!(looks.end());
        assert!(looks.begin());
        assert!(!looks.end());
    }
}
