//! Long lists in pieces that a statement can carry.

use super::rows::{Finish, NewTaskRow};

/// Rows in one statement at most.
pub(super) const ROWS: usize = 1_000;

/// Bytes of text in one statement at most: servers refuse packets beyond a few times this.
pub(super) const BYTES: usize = 4 << 20;

/// What has texts of any size.
pub(super) trait Weighed {
    fn bytes(&self) -> usize;
}

impl Weighed for NewTaskRow {
    fn bytes(&self) -> usize {
        self.arg.len()
    }
}

impl Weighed for Finish {
    fn bytes(&self) -> usize {
        let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        length(&self.next.result) + length(&self.next.error)
    }
}

/// `items` in order, cut into pieces of at most 1,000 items and, where an item alone is not larger, 4 MB of text.
pub(super) fn parts<T: Weighed>(items: &[T]) -> impl Iterator<Item = &[T]> {
    let mut rest = items;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |item: &&T| {
            bytes += item.bytes();
            bytes <= BYTES
        };
        let count = rest.iter().take(ROWS).take_while(fits).count().max(1);
        let part;
        (part, rest) = rest.split_at_checked(count)?;
        Some(part)
    })
}

/// `items` in order, cut where the answer to `kind` changes.
pub(super) fn runs_of<T>(items: &[T], kind: impl Fn(&T) -> bool) -> impl Iterator<Item = &[T]> {
    items.chunk_by(move |a, b| kind(a) == kind(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Text(usize);

    impl Weighed for Text {
        fn bytes(&self) -> usize {
            self.0
        }
    }

    fn counts(bytes: &[usize]) -> Vec<usize> {
        let items: Vec<Text> = bytes.iter().map(|bytes| Text(*bytes)).collect();
        parts(&items).map(<[Text]>::len).collect()
    }

    #[test]
    fn parts_hold_so_many_items_and_bytes() {
        assert_eq!(counts(&[]), [0; 0]);
        assert_eq!(counts(&vec![1; 2_500]), [1_000, 1_000, 500]);
        assert_eq!(counts(&[BYTES / 2; 5]), [2, 2, 1]);
        assert_eq!(counts(&[BYTES * 2, 1, BYTES * 2]), [1, 1, 1]);
    }
}
