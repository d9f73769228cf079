//! Long lists in pieces that a statement can carry.

/// Rows in one statement at most.
pub(in crate::store) const ROWS: usize = 1_000;

/// Bytes of text in one statement at most: servers refuse packets beyond a few times this.
pub(in crate::store) const BYTES: usize = 4 << 20;

/// An item with texts of any size.
pub(in crate::store) trait ByteSize {
    fn bytes(&self) -> usize;
}

/// `items` in order, cut into pieces of at most 1,000 items and, where an item alone is not larger, 4 MB of text.
pub(in crate::store) fn chunks<T: ByteSize>(items: &[T]) -> impl Iterator<Item = &[T]> {
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
pub(in crate::store) fn runs_of<T>(items: &[T], kind: impl Fn(&T) -> bool) -> impl Iterator<Item = &[T]> {
    items.chunk_by(move |a, b| kind(a) == kind(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Text(usize);

    impl ByteSize for Text {
        fn bytes(&self) -> usize {
            self.0
        }
    }

    fn counts(bytes: &[usize]) -> Vec<usize> {
        let items: Vec<Text> = bytes.iter().map(|bytes| Text(*bytes)).collect();
        chunks(&items).map(<[Text]>::len).collect()
    }

    #[test]
    fn chunks_hold_so_many_items_and_bytes() {
        assert_eq!(counts(&[]), [0; 0]);
        assert_eq!(counts(&vec![1; 2_500]), [1_000, 1_000, 500]);
        assert_eq!(counts(&[BYTES / 2; 5]), [2, 2, 1]);
        assert_eq!(counts(&[BYTES * 2, 1, BYTES * 2]), [1, 1, 1]);
    }
}
