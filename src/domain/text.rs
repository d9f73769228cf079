//! Makes results and error texts of any size and script storable; reads and writes durations as columns hold them; spells bytes.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::line::beginning;

/// Longest result or error text that is stored, in bytes (1 MiB). A longer text is cut, and its end says so.
pub(crate) const LIMIT: usize = 1 << 20;

/// Longest note about a task's progress, in bytes: the width of its column on MySQL. A longer note is cut in the same way.
pub(crate) const NOTE_LIMIT: usize = (1 << 16) - 1;

/// `text` without NUL, which PostgreSQL cannot store. If it is longer than `limit` bytes, it is cut between two characters, and a note at
/// its end says how long it was.
pub(crate) fn truncated(text: String, limit: usize) -> String {
    let text = if text.contains('\0') {
        text.replace('\0', "\u{fffd}")
    } else {
        text
    };
    if text.len() <= limit {
        return text;
    }
    let note = format!("… [cut: {} bytes in all]", text.len());
    let kept = beginning(&text, limit.saturating_sub(note.len()));
    format!("{kept}{note}")
}

/// The bytes in hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
            // Writing to a text cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// Writes a duration as whole milliseconds.
pub(crate) fn as_millis<S: Serializer>(
    duration: &(impl Copy + Into<Option<Duration>>),
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let duration: Option<Duration> = (*duration).into();
    duration.map(|duration| duration.as_millis()).serialize(serializer)
}

/// Reads a duration from whole milliseconds.
pub(crate) fn millis<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    Ok(Duration::from_millis(u64::deserialize(deserializer)?))
}

/// Reads a duration from whole milliseconds, or from `null`.
pub(crate) fn from_millis<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_text_is_untouched() {
        assert_eq!(truncated("déjà 🚀".to_owned(), 64), "déjà 🚀");
    }

    #[test]
    fn a_long_text_is_cut_between_characters_and_says_so() {
        let cut = truncated("🚀".repeat(100), 101);
        assert!(cut.len() <= 101, "{}", cut.len());
        assert!(cut.starts_with('🚀'));
        assert!(cut.ends_with("… [cut: 400 bytes in all]"), "{cut}");
    }

    #[test]
    fn nul_becomes_a_replacement_character() {
        assert_eq!(truncated("a\0b".to_owned(), 64), "a\u{fffd}b");
    }
}
