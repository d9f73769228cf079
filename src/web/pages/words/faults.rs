//! Faults and refusals in the words of a language. They are made in English, for programs and logs; a table of a language has those that
//! readers of the pages can cause. A text that no table has is shown as it is.

use super::Words;

/// An English text with `{}` for each part that differs, and its words in another language: `{0}` is the first part as it stands, `{0:label}`
/// the label of the field that it names, `{0:fault}` its own words by the table, `{0:any}` any text. A row whose part has no label or no words
/// does not count.
pub(super) type Row = (&'static str, &'static str);

impl Words {
    /// A fault in the words of the language.
    pub(in crate::web::pages) fn fault(&self, text: &str) -> String {
        self.all(text).unwrap_or_else(|| text.to_owned())
    }

    /// A fault, or several with semicolons between them.
    fn all(&self, text: &str) -> Option<String> {
        let divided = text.match_indices("; ").find_map(|(at, mark)| {
            let first = self.one(&text[..at])?;
            Some(format!(
                "{first}{}{}",
                self.semicolon,
                self.all(&text[at + mark.len()..])?
            ))
        });
        divided.or_else(|| self.one(text))
    }

    fn one(&self, text: &str) -> Option<String> {
        self.fault_table
            .iter()
            .find_map(|(english, words)| self.filled(words, &parts(text, english)?))
    }

    fn filled(&self, words: &str, parts: &[&str]) -> Option<String> {
        let mut pieces = words.split('{');
        let mut text = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            let (hole, rest) = piece.split_once('}')?;
            let (at, kind) = hole.split_once(':').unwrap_or((hole, ""));
            let part = parts.get(at.parse::<usize>().ok()?)?;
            match kind {
                "label" => text.push_str((self.field)(part)?),
                "fault" => text.push_str(&self.all(part)?),
                "any" => text.push_str(part),
                // A longer text that is no quotation is not the part that is meant.
                _ if !part.starts_with('"') && [": ", "; "].iter().any(|mark| part.contains(mark)) => return None,
                _ => text.push_str(part),
            }
            text.push_str(rest);
        }
        Some(text)
    }
}

/// The parts of a text that stand in the holes of a pattern.
fn parts<'t>(text: &'t str, pattern: &str) -> Option<Vec<&'t str>> {
    let mut fixed = pattern.split("{}");
    let mut rest = text.strip_prefix(fixed.next()?)?;
    let mut parts = Vec::new();
    let mut fixed = fixed.peekable();
    while let Some(next) = fixed.next() {
        let part = match fixed.peek() {
            None => rest.strip_suffix(next)?,
            Some(_) => &rest[..rest.find(next)?],
        };
        rest = &rest[part.len() + next.len()..];
        parts.push(part);
    }
    rest.is_empty().then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{en, zh},
        *,
    };

    #[test]
    fn a_text_fits_a_pattern_as_a_whole() {
        for (text, pattern, expected) in [
            ("a is empty", "{} is empty", Some(vec!["a"])),
            ("a is empty!", "{} is empty", None),
            ("", "{}", Some(vec![""])),
            ("plain", "plain", Some(vec![])),
            ("plain text", "plain", None),
            ("at 3: x: y", "at {}: {}", Some(vec!["3", "x: y"])),
            ("订 is 单", "{} is {}", Some(vec!["订", "单"])),
            ("is", "is{}is", None),
        ] {
            assert_eq!(parts(text, pattern), expected, "{text} {pattern}");
        }
    }

    #[test]
    fn every_row_fills_its_holes() {
        for words in [&en::WORDS, &zh::WORDS] {
            for (english, in_words) in words.fault_table {
                let holes = english.matches("{}").count();
                let used = in_words.split('{').skip(1).map(|piece| {
                    let hole = piece.split('}').next().unwrap_or_default();
                    let (at, kind) = hole.split_once(':').unwrap_or((hole, ""));
                    assert!(matches!(kind, "" | "label" | "fault" | "any"), "{in_words}");
                    at.parse::<usize>().expect("is a number")
                });
                for at in used {
                    assert!(at < holes, "{english}: {in_words}");
                }
            }
        }
    }

    #[test]
    fn several_faults_are_told_one_after_the_other() {
        let faults = "job_name is empty; timeout is 0 s, expected whole seconds from 1 to 2147483647; \
                      reason holds the control character U+0000; leave it out";
        assert_eq!(
            zh::WORDS.fault(faults),
            "“名称”不能为空；“单次执行超时（秒）”为 0 秒，应为 1 到 2147483647 之间的整数秒；“原因”含有控制字符 U+0000，请去掉"
        );
        assert_eq!(
            en::WORDS.fault("cron_expr: minute field \"61\": 61 is out of range 0-59; the full hour is minute 0"),
            "“Cron expression”: minute field \"61\": 61 is out of range 0-59; the full hour is minute 0"
        );
        assert_eq!(en::WORDS.fault("nothing of the kind"), "nothing of the kind");
    }
}
