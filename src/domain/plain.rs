//! Outcomes in plainer forms, for a database that refuses the whole outcome.

use std::fmt::Write;

/// How much of an outcome is written. Each form is plainer than the form before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Form {
    /// Both texts, unchanged.
    #[default]
    Whole,
    /// Characters beyond ASCII are escaped as in JSON, so a result stays the same JSON value.
    Ascii,
    /// As [`Ascii`](Self::Ascii), and each text is cut to [`SHORT`] bytes.
    Short,
    /// Neither result nor error text, but a sentence that says so.
    Sentence,
    /// No text at all.
    Bare,
    /// The row alone, with the sentence: a task gets no execution record, and the run of a job does not change the status of its job.
    Apart,
}

/// The most bytes of a text in [`Form::Short`], without the note that the text was cut.
const SHORT: usize = 4 << 10;

/// The most bytes of the database's reason in the sentence.
const REASON: usize = 300;

/// The texts of an outcome.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Texts<'a> {
    pub(crate) result: Option<&'a str>,
    pub(crate) error: Option<&'a str>,
}

impl Form {
    /// The next plainer form that differs from this one for an outcome with these texts.
    pub(crate) fn plainer(self, texts: Texts<'_>) -> Option<Self> {
        let forms = [Self::Ascii, Self::Short, Self::Sentence, Self::Bare, Self::Apart];
        forms.into_iter().find(|form| *form > self && texts.differ_in(*form))
    }

    /// Says which parts are missing in this form, and why.
    fn sentence(self, reason: &str) -> Option<String> {
        let what = match self {
            Self::Whole | Self::Bare => return None,
            Self::Ascii => "characters beyond ASCII are written as \\uXXXX",
            Self::Short => "texts are cut to 4 kB and written in ASCII",
            Self::Sentence => "the result and the error text are left out",
            Self::Apart => "the result, the error text and what belongs into other tables are left out",
        };
        let reason = cut(ascii(reason).replace(['\n', '\r'], " "), REASON);
        Some(format!(
            "{what}, since the database refused the whole outcome: {reason}"
        ))
    }
}

impl Texts<'_> {
    fn differ_in(self, form: Form) -> bool {
        let mut texts = self.result.into_iter().chain(self.error);
        match form {
            Form::Whole => false,
            Form::Ascii => texts.any(|text| !text.is_ascii()),
            Form::Short => texts.any(|text| ascii(text).len() > SHORT),
            Form::Sentence | Form::Bare => texts.next().is_some(),
            Form::Apart => true,
        }
    }

    /// Result and error in this form. `reason` is the database's error for the whole outcome.
    pub(crate) fn in_form(self, form: Form, reason: &str) -> (Option<String>, Option<String>) {
        let text = |text: Option<&str>| match form {
            Form::Whole => text.map(str::to_owned),
            Form::Ascii => text.map(ascii),
            Form::Short => text.map(|text| cut(ascii(text), SHORT)),
            Form::Sentence | Form::Bare | Form::Apart => None,
        };
        let error = match (text(self.error), form.sentence(reason)) {
            (Some(error), Some(sentence)) => Some(format!("{error} [{sentence}]")),
            (error, sentence) => error.or(sentence),
        };
        (text(self.result), error)
    }
}

/// `text` in ASCII, with all other characters escaped as in JSON. A JSON value stays the same, since JSON has such characters only inside
/// texts.
pub(crate) fn ascii(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        if char.is_ascii() {
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

/// An ASCII text. If it is longer than `limit` bytes, it is cut there, and a note at its end says so.
fn cut(mut text: String, limit: usize) -> String {
    if text.len() > limit {
        let note = format!("... [cut: {} bytes in all]", text.len());
        text.truncate(limit);
        text.push_str(&note);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forms(result: Option<&str>, error: Option<&str>) -> Vec<Form> {
        let texts = Texts { result, error };
        std::iter::successors(Form::Whole.plainer(texts), |form| form.plainer(texts)).collect()
    }

    #[test]
    fn only_forms_that_differ_are_tried() {
        use Form::{Apart, Ascii, Bare, Sentence, Short};
        let (long, wide) = ("x".repeat(SHORT + 1), "é".repeat(SHORT / 6 + 1));
        #[rustfmt::skip]
        let table: [(Option<&str>, Option<&str>, &[Form]); 6] = [
            (None,            None,        &[Apart]),
            (Some("1"),       None,        &[Sentence, Bare, Apart]),
            (Some("\"🎉\""),  None,        &[Ascii, Sentence, Bare, Apart]),
            (None,            Some("né"),  &[Ascii, Sentence, Bare, Apart]),
            (Some(&long),     None,        &[Short, Sentence, Bare, Apart]),
            (Some("1"),       Some(&wide), &[Ascii, Short, Sentence, Bare, Apart]),
        ];
        for (result, error, expected) in table {
            assert_eq!(forms(result, error), expected, "{result:?}, {error:?}");
        }
    }

    #[test]
    fn each_form_is_ascii_and_says_what_is_missing() {
        let texts = Texts {
            result: Some("{\"名\":\"🎉\"}"),
            error: Some("né"),
        };
        let (result, error) = texts.in_form(Form::Ascii, "no '🎉'\nhere");
        let result = result.expect("has one");
        let value: serde_json::Value = serde_json::from_str(&result).expect("is JSON as before");
        assert_eq!(value["名"], "🎉");
        let error = error.expect("has one");
        assert!(error.starts_with("n\\u00e9 [characters beyond ASCII"), "{error}");
        assert!(
            error.ends_with("refused the whole outcome: no '\\ud83c\\udf89' here]"),
            "{error}"
        );
        for form in [Form::Sentence, Form::Apart] {
            let (result, error) = texts.in_form(form, "no");
            assert_eq!(result, None);
            assert!(error.is_some_and(|error| error.is_ascii() && error.contains("left out")));
        }
        assert_eq!(texts.in_form(Form::Bare, "no"), (None, None));
        assert_eq!(texts.in_form(Form::Whole, "no").1.as_deref(), Some("né"));
    }

    #[test]
    fn a_long_text_is_cut_and_says_so() {
        let long = "🎉".repeat(SHORT);
        let texts = Texts {
            result: Some(&long),
            error: None,
        };
        let (result, error) = texts.in_form(Form::Short, "no");
        let result = result.expect("has one");
        assert!(result.ends_with("... [cut: 49152 bytes in all]"), "{result}");
        assert!(result.len() < SHORT + 100, "{}", result.len());
        assert!(error.is_some_and(|error| error.starts_with("texts are cut to 4 kB")));
    }
}
