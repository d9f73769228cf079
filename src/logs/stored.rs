//! How lines are stored: a row holds runs, each with its log id and its lines, as one block of LZ4 behind its length.
//!
//! Lines of one handler are much alike, so a row takes a small part of what its texts take. A line says how long after the line before it was
//! logged, and has a target only if that is another than before.

use chrono::DateTime;
use log::Level;
use lz4_flex::block::{compress_prepend_size, decompress, uncompressed_size};
use serde::{Deserialize, Serialize};

use super::{LogLine, MESSAGE, MOST_LINES, TARGET};

/// No row is longer than this, compressed or not. What claims to be longer was not written by this crate.
pub(crate) const LONGEST_ROW: u32 = 8 << 20;

/// What the lines of a run take at first, in bytes: about ten short lines.
const FIRST_BYTES: usize = 768;

/// One run of a row. As many bytes with its lines follow.
#[derive(Serialize, Deserialize)]
struct RunHead<'a> {
    log_id: &'a str,
    bytes: usize,
}

#[derive(Serialize, Deserialize)]
struct StoredLine<'a> {
    /// Microseconds since the line before. Of the first line: since 1970.
    after: i64,
    /// 1 (error) to 5 (trace).
    level: u8,
    /// `None`: that of the line before.
    target: Option<&'a str>,
    message: &'a str,
    left_out: u64,
}

/// Some lines of one run, as they are stored.
#[derive(Debug, Default)]
pub(super) struct Lines {
    bytes: Vec<u8>,
    /// Of the last line.
    micros: i64,
    target: String,
}

impl Lines {
    pub(super) fn add(&mut self, micros: i64, level: Level, target: &str, message: &str, left_out: u64) {
        let is_first = self.bytes.is_empty();
        let is_other = is_first || target != self.target;
        if is_first {
            self.bytes.reserve(FIRST_BYTES);
        }
        let line = StoredLine {
            after: micros.wrapping_sub(self.micros),
            level: level as u8,
            target: is_other.then_some(target),
            message,
            left_out,
        };
        append(&line, &mut self.bytes);
        self.micros = micros;
        if is_other {
            self.target.clear();
            self.target.push_str(target);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Appends the lines to the text of a row.
    pub(super) fn append_to(&self, row: &mut Vec<u8>, log_id: &str) {
        let bytes = self.bytes.len();
        append(&RunHead { log_id, bytes }, row);
        row.extend_from_slice(&self.bytes);
    }
}

/// Writing to memory does not fail, and each value here has a form.
fn append(value: &impl Serialize, bytes: &mut Vec<u8>) {
    let written = postcard::to_io(value, bytes);
    debug_assert!(written.is_ok(), "{:?}", written.err());
}

/// The content of a row for the database.
pub(super) fn compressed(row: &[u8]) -> Vec<u8> {
    compress_prepend_size(row)
}

/// The lines of one run in the content of a row, which may hold many runs. A damaged row has none, or those before the damage.
pub(crate) fn read(log_id: &str, content: &[u8]) -> Vec<LogLine> {
    let (length, block) = uncompressed_size(content).unwrap_or_default();
    let row = match length <= LONGEST_ROW as usize {
        true => decompress(block, length).unwrap_or_default(),
        false => Vec::new(),
    };
    let (mut rest, mut lines) = (row.as_slice(), Vec::new());
    while let Ok((run, after)) = postcard::take_from_bytes::<RunHead<'_>>(rest) {
        let (of_run, after) = after.split_at_checked(run.bytes).unwrap_or((after, &[]));
        if run.log_id == log_id {
            lines.extend(shown(of_run));
        }
        rest = after;
    }
    lines
}

fn shown(mut rest: &[u8]) -> Vec<LogLine> {
    let (mut lines, mut micros, mut target) = (Vec::new(), 0_i64, "");
    while let Ok((line, after)) = postcard::take_from_bytes::<StoredLine<'_>>(rest) {
        rest = after;
        micros = micros.wrapping_add(line.after);
        target = line.target.unwrap_or(target);
        let place = usize::from(line.level).checked_sub(1);
        let level = place.and_then(|place| Level::iter().nth(place));
        // A short text may stand for a long one in each of very many lines, if this crate has not written them.
        if line.message.len() > MESSAGE + '…'.len_utf8() || target.len() > TARGET || lines.len() >= MOST_LINES {
            break;
        }
        let (Some(at), Some(level)) = (DateTime::from_timestamp_micros(micros), level) else {
            continue;
        };
        lines.push(LogLine {
            at,
            level,
            target: target.to_owned(),
            message: line.message.to_owned(),
            left_out: line.left_out,
        });
    }
    lines
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_of_one_handler_take_a_small_part_of_their_text() {
        let (mut row, mut text) = (Vec::new(), 0);
        for run in 0..90 {
            let mut lines = Lines::default();
            for line in 0..10 {
                let message = format!("order {run} has passed step {line}: reserved, paid, packed and sent");
                let micros = 1_764_000_000_000_000 + run * 37 + line * 3;
                lines.add(micros, Level::Info, "shop::orders", &message, 0);
                text += message.len();
            }
            lines.append_to(&mut row, &format!("0192f3a4b5c6d7e8f90a1b2c3d4e5{run:03}"));
        }
        let stored = compressed(&row).len();
        assert!(stored * 6 < text, "{stored} bytes of {text}");
    }

    /// A row that this crate did not write takes no more memory than one that it did.
    #[test]
    fn no_row_becomes_more_than_a_run_may_have() {
        let read_back = |target: &str, count: usize| {
            let mut lines = Lines::default();
            for _ in 0..count {
                lines.add(0, Level::Info, target, "", 0);
            }
            let mut row = Vec::new();
            lines.append_to(&mut row, "1234");
            read("1234", &compressed(&row)).len()
        };
        assert_eq!(read_back(&"t".repeat(TARGET), 3), 3);
        assert_eq!(read_back(&"t".repeat(TARGET + 1), 3), 0);
        assert_eq!(read_back("t", MOST_LINES + 1), MOST_LINES);
        // Ten megabytes of lines.
        assert_eq!(read_back("t", 2_000_000), 0);
    }

    proptest! {
        /// What goes in comes out, whatever stands beside it; each run is found alone.
        #[test]
        fn lines_come_back_as_they_were(
            runs in prop::collection::vec(
                ("[0-9a-f]{4}", prop::collection::vec((any::<i32>(), 1_usize..6, "[a-c]{0,2}", ".{0,40}", any::<u64>()), 1..8)),
                0..6,
            ),
        ) {
            let mut row = Vec::new();
            for (log_id, of_run) in &runs {
                let mut lines = Lines::default();
                for (micros, level, target, message, left_out) in of_run {
                    let level = Level::iter().nth(level - 1).expect("is a level");
                    lines.add(i64::from(*micros), level, target, message, *left_out);
                }
                lines.append_to(&mut row, log_id);
            }
            let content = compressed(&row);
            for (log_id, _) in &runs {
                let found = read(log_id, &content);
                let found: Vec<_> = found
                    .iter()
                    .map(|line| (line.at.timestamp_micros(), line.level as usize, line.target.as_str(), line.message.as_str(), line.left_out))
                    .collect();
                let expected: Vec<_> = runs
                    .iter()
                    .filter(|(other, _)| other == log_id)
                    .flat_map(|(_, of_run)| of_run)
                    .map(|(micros, level, target, message, left_out)| (i64::from(*micros), *level, target.as_str(), message.as_str(), *left_out))
                    .collect();
                prop_assert_eq!(found, expected);
            }
            prop_assert!(read("none", &content).is_empty());
        }

        /// A damaged row is read without a panic, and so is one that was never written by this crate.
        #[test]
        fn damage_is_survived(noise in prop::collection::vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut lines = Lines::default();
            lines.add(1, Level::Info, "shop", "an order", 0);
            let mut row = Vec::new();
            lines.append_to(&mut row, "1234");
            let mut content = compressed(&row);
            let at = at.index(content.len());
            content[at] = byte;
            read("1234", &content);
            read("1234", &content[..at]);
            read("1234", &noise);
            read("1234", &compressed(&noise));
        }
    }
}
