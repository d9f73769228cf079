//! Which tasks a command means: ids, ids from the standard input, a search line, or all.

use std::{
    collections::BTreeSet,
    io::{self, BufRead, IsTerminal},
};

use crate::exit::{Failure, Result};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// In their order, each once.
    Ids(Vec<i64>),
    Line(String),
    All,
}

/// The parts of a search line that end in a colon.
const QUALIFIERS: [&str; 14] = [
    "status",
    "theme",
    "method",
    "id",
    "key",
    "node",
    "log",
    "error",
    "name",
    "older",
    "newer",
    "created-from",
    "created-before",
    "ended-from",
];

const NOTHING: &str = "it is not said which tasks are meant; give ids, - to read ids from the standard input, a search line such as status:failed, or --all";

impl Selection {
    /// Reads the words of the command line.
    pub fn read(words: &[String], all: bool) -> Result<Self> {
        match (words, all) {
            ([], true) => Ok(Self::All),
            ([], false) => Err(Failure::usage(NOTHING)),
            (_, true) => Err(Failure::usage(
                "--all means every task; leave out the other words, or --all",
            )),
            ([dash], false) if dash == "-" => ids_of_input(io::stdin().lock()),
            (words, false) if words.iter().all(|word| id(word).is_some()) => {
                Ok(Self::Ids(each_once(words.iter().filter_map(|word| id(word)))))
            }
            (words, false) => match line(words) {
                line if line.is_empty() => Err(Failure::usage(NOTHING)),
                line => Ok(Self::Line(line)),
            },
        }
    }
}

fn id(word: &str) -> Option<i64> {
    word.parse().ok()
}

fn each_once(ids: impl Iterator<Item = i64>) -> Vec<i64> {
    let mut seen = BTreeSet::new();
    ids.filter(|id| seen.insert(*id)).collect()
}

/// Ids with blanks or new lines between them, as `-o name` writes them.
fn ids_of_input(input: impl BufRead + IsTerminal) -> Result<Selection> {
    if input.is_terminal() {
        return Err(Failure::usage(
            "- reads ids from the standard input, and that is a terminal; pipe them in",
        ));
    }
    let mut ids = Vec::new();
    for line in input.lines() {
        let line = line.map_err(|error| Failure::usage(format!("cannot read the standard input: {error}")))?;
        for word in line.split_whitespace() {
            ids.push(id(word).ok_or_else(|| {
                Failure::usage(format!(
                    "the standard input has {word:?}, expected ids of tasks with blanks or new lines between them"
                ))
            })?);
        }
    }
    Ok(Selection::Ids(each_once(ids.into_iter())))
}

/// The words as one search line. A shell takes the quotes away: `error:"connection refused"` comes as one word with a blank in it, and
/// gets its quotes back.
pub fn line(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| requoted(word)).collect();
    words.join(" ").trim().to_owned()
}

fn requoted(word: &str) -> String {
    let Some((name, value)) = word.split_once(':').filter(|(name, _)| QUALIFIERS.contains(name)) else {
        return word.to_owned();
    };
    let has_further = value
        .split_whitespace()
        .skip(1)
        .any(|part| part.split_once(':').is_some_and(|(name, _)| QUALIFIERS.contains(&name)));
    match value.contains(char::is_whitespace) && !value.contains('"') && !has_further {
        true => format!("{name}:\"{}\"", value.replace('\\', "\\\\")),
        false => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn a_line_is_as_it_was_before_the_shell() {
        for (given, expected) in [
            (&["status:failed", "older:2h"][..], "status:failed older:2h"),
            (&["status:failed older:2h"], "status:failed older:2h"),
            (&["error:connection refused"], "error:\"connection refused\""),
            (
                &["error:dial tcp: refused", "newer:1h"],
                "error:\"dial tcp: refused\" newer:1h",
            ),
            (
                &["error:\"connection refused\" newer:1h"],
                "error:\"connection refused\" newer:1h",
            ),
            (&["error:C:\\temp is full"], "error:\"C:\\\\temp is full\""),
            (&["night run"], "night run"),
            (&[" "], ""),
        ] {
            assert_eq!(line(&words(given)), expected);
        }
    }

    #[test]
    fn ids_are_ids_and_words_a_line() {
        let read = |given: &[&str]| Selection::read(&words(given), false).ok();
        assert_eq!(read(&["17", "18", "17"]), Some(Selection::Ids(vec![17, 18])));
        assert_eq!(read(&["17", "night"]), Some(Selection::Line("17 night".to_owned())));
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[""]), None);
        assert_eq!(Selection::read(&[], true).ok(), Some(Selection::All));
        assert!(Selection::read(&words(&["17"]), true).is_err());
    }
}
