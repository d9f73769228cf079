//! How many items a recorder writes in one transaction.

use std::collections::VecDeque;

/// The most bytes of texts in one transaction (8 MiB), unless a single item has more.
const BYTES: usize = 8 << 20;

/// How many of the first items go into one transaction: at most `most`, and at most [`BYTES`] of texts together, but at least one item of
/// any size.
pub(crate) fn fitting<T>(items: &VecDeque<T>, most: usize, bytes_of: impl Fn(&T) -> usize) -> usize {
    let mut bytes = 0;
    let fits = |item: &&T| {
        bytes += bytes_of(item);
        bytes <= BYTES
    };
    let count = items.iter().take(most).take_while(fits).count();
    count.max(usize::from(!items.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(items: impl IntoIterator<Item = usize>) -> usize {
        fitting(&items.into_iter().collect(), 10, |bytes| *bytes)
    }

    #[test]
    fn a_transaction_has_so_many_items_and_bytes() {
        assert_eq!(count([]), 0);
        assert_eq!(count([1; 20]), 10);
        assert_eq!(count([BYTES / 2; 5]), 2);
        assert_eq!(count([BYTES * 2, 1]), 1);
    }
}
