//! Lines of the log.
//!
//! Names, node ids and error texts come from users and other programs, and some of them by plain SQL. Whatever they hold, one
//! message is one line: no text can forge a second line, or send codes to the terminal of a reader.

use std::fmt::{self, Display, Write};

/// The most bytes of one text that a line of the log shows: the record of the run has more of the text.
const LINE: usize = 300;

/// As much of a text as a line of the log shows.
pub(crate) fn line_of(text: &str) -> &str {
    beginning(text, LINE)
}

/// The first `bytes` bytes of a text at most, without a part of a character at the end.
pub(crate) fn beginning(text: &str, bytes: usize) -> &str {
    let mut end = bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// A text whose control characters are written as escapes.
pub(crate) struct OneLine<'a>(pub(crate) fmt::Arguments<'a>);

impl Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Escaping(f).write_fmt(self.0)
    }
}

struct Escaping<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(breaks_lines) {
            let (clean, tail) = rest.split_at(at);
            self.0.write_str(clean)?;
            let mut chars = tail.chars();
            if let Some(char) = chars.next() {
                write!(self.0, "{}", char.escape_default())?;
            }
            rest = chars.as_str();
        }
        self.0.write_str(rest)
    }
}

/// Whether this is a control character, or a character that some programs take for the end of a line.
fn breaks_lines(char: char) -> bool {
    char.is_control() || matches!(char, '\u{2028}' | '\u{2029}')
}

/// Logs one line: `say!(Warn, "theme {theme}: …")`, or `say!(at level, …)`.
macro_rules! say {
    (at $level:expr, $($text:tt)+) => {
        log::log!($level, "{}", $crate::line::OneLine(format_args!($($text)+)))
    };
    ($level:ident, $($text:tt)+) => {
        say!(at log::Level::$level, $($text)+)
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_line_whatever_it_tells_of() {
        let name = "a\r\nERROR forged\u{1b}[2J\u{2028}é 🎉\t";
        let line = OneLine(format_args!("theme {name}: {}", 7)).to_string();
        assert_eq!(line, r"theme a\r\nERROR forged\u{1b}[2J\u{2028}é 🎉\t: 7");
    }
}
