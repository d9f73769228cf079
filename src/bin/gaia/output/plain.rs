//! Texts that others have written, without anything that could command a terminal.

use std::fmt::Write;

/// Whether a terminal may take the character for a command, or a reader may see text in another order than it has.
fn is_command(char: char) -> bool {
    let changes_order =
        matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{61c}');
    char.is_control() || changes_order || matches!(char, '\u{2028}' | '\u{2029}' | '\u{feff}')
}

/// The text in one line; characters that could be commands as escapes, such as `\u{1b}` and `\n`.
pub fn plain(text: &str) -> String {
    replaced(text, |_| false)
}

/// The text with its new lines and tabulators.
pub fn plain_text(text: &str) -> String {
    replaced(text, |char| matches!(char, '\n' | '\t'))
}

fn replaced(text: &str, is_kept: impl Fn(char) -> bool) -> String {
    let mut plain = String::with_capacity(text.len());
    for char in text.chars() {
        match is_command(char) && !is_kept(char) {
            true => plain.extend(char.escape_default()),
            false => plain.push(char),
        }
    }
    plain
}

/// JSON with the same meaning, in which strings have escapes for characters that could be commands. Outside of strings JSON has none of them.
pub fn escaped(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for char in json.chars() {
        if !is_command(char) {
            escaped.push(char);
            continue;
        }
        for unit in char.encode_utf16(&mut [0; 2]) {
            // Writing to a String does not fail.
            let _ = write!(escaped, "\\u{unit:04x}");
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_of_terminals_are_shown_and_not_done() {
        let hostile = "a\u{1b}[31mred\u{7}\u{9b}2J\r\n\u{202e}gnp\u{7f}中文";
        assert_eq!(
            plain(hostile),
            "a\\u{1b}[31mred\\u{7}\\u{9b}2J\\r\\n\\u{202e}gnp\\u{7f}中文"
        );
        assert_eq!(plain_text("a\n\tb\u{1b}"), "a\n\tb\\u{1b}");
        let json = serde_json::to_string(hostile).unwrap();
        let same: String = serde_json::from_str(&escaped(&json)).unwrap();
        assert_eq!(same, hostile);
        assert!(!escaped(&json).chars().any(is_command));
    }
}
