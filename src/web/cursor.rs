//! Where the next page of a list begins, as a text that callers hand back unchanged.
//!
//! A cursor holds a version, a hash of what was asked for, and a position. With another filter it would skip rows in silence, so it is
//! refused then.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::problem::Problem;

const VERSION: u8 = 1;
const HASH: usize = 8;

/// What a cursor belongs to: a list, with its filter.
pub(super) struct CursorOf([u8; HASH]);

impl CursorOf {
    pub(super) fn new(list: &str, filter: &impl Serialize) -> Self {
        // A filter is plain data, whose JSON always can be written.
        let filter = serde_json::to_string(filter).unwrap_or_default();
        let hash = Sha256::new()
            .chain_update(list)
            .chain_update([0])
            .chain_update(filter)
            .finalize();
        let mut bytes = [0; HASH];
        bytes.copy_from_slice(&hash[..HASH]);
        Self(bytes)
    }

    pub(super) fn write(&self, position: i64) -> String {
        let bytes = [&[VERSION], self.0.as_slice(), &position.to_be_bytes()].concat();
        URL_SAFE_NO_PAD.encode(bytes)
    }

    pub(super) fn read(&self, cursor: &str) -> Result<i64, Problem> {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).unwrap_or_default();
        let (Some((&version, rest)), true) = (bytes.split_first(), bytes.len() <= 64) else {
            return Err(Problem::bad_cursor("this is no cursor of this API"));
        };
        if version != VERSION {
            return Err(Problem::bad_cursor(
                "the cursor is of another version of this API; begin with the first page",
            ));
        }
        let position = rest
            .split_at_checked(HASH)
            .map(|(hash, position)| (hash, position.try_into()));
        match position {
            Some((hash, Ok(position))) if hash == self.0 => Ok(i64::from_be_bytes(position)),
            Some((_, Ok(_))) => Err(Problem::bad_cursor(
                "the cursor belongs to another list or another filter; begin with the first page",
            )),
            _ => Err(Problem::bad_cursor("this is no cursor of this API")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_good_for_its_list_alone() {
        let list = CursorOf::new("tasks", &["a"]);
        for position in [i64::MIN, -1, 0, 1, i64::MAX] {
            assert_eq!(list.read(&list.write(position)).ok(), Some(position));
        }
        let cursor = list.write(7);
        assert!(CursorOf::new("tasks", &["b"]).read(&cursor).is_err());
        assert!(CursorOf::new("operations", &["a"]).read(&cursor).is_err());
        for bad in ["", "AQ", "====", &format!("{cursor}AA"), &"A".repeat(10_000)] {
            assert!(list.read(bad).is_err(), "{bad}");
        }
    }
}
