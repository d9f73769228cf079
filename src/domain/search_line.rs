//! The search line: the conditions of a [`TaskFilter`] in one line, as people type them.

use std::{collections::BTreeMap, iter::Peekable};

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, TimeDelta, Utc};
use jiff::{Span, SpanRelativeTo};

use super::{
    TaskStatus,
    search::TaskFilter,
    validate::{Faults, InvalidInput, MAX_NAME_CHARS, MAX_THEME_CHARS},
};
use crate::config::nearest;

/// The most faults of a line that an error names.
const MAX_FAULTS: usize = 20;

/// The years that times of a line may have: those that all databases can compare.
const YEARS: std::ops::RangeInclusive<i32> = 1970..=9999;

/// The value of `node:` that means tasks without a node.
const NO_NODE: &str = "none";

/// Whether a status is meant: by its name, or by the words that the dashboard shows.
fn is_called(status: TaskStatus, text: &str) -> bool {
    let words: &[&str] = match status {
        TaskStatus::Wait => &["waiting", "等待"],
        TaskStatus::Running => &["运行中"],
        TaskStatus::Retry => &["retrying", "待重试"],
        TaskStatus::Success => &["succeeded", "成功"],
        TaskStatus::Failed => &["失败"],
        TaskStatus::Cancelled => &["已取消"],
    };
    std::iter::once(&status.as_str())
        .chain(words)
        .any(|word| word.eq_ignore_ascii_case(text))
}

const STATUSES: &str = "wait, running, success, failed, retry or cancelled, several with commas between them";
const METHOD: &str = "Service.Method, Service.* or *.Method";
const AGO: &str = "a length of time such as 30m, 2h, 7d or 1d 12h in quotes";
const TIME: &str = "a time such as 2026-01-31T08:00:00Z, a date such as 2026-01-31, or how long ago, such as 2h";

/// The qualifiers of a line, with the form of their values.
const QUALIFIERS: [(&str, &str); 16] = [
    ("status", STATUSES),
    ("theme", "names of themes, several with commas between them"),
    ("method", METHOD),
    ("id", "numbers, several with commas between them"),
    ("key", "a unique key"),
    ("limit-key", "a limit key"),
    ("node", "the id of a node, or none for tasks that no node runs"),
    ("log", "a log id"),
    ("error", "a text"),
    ("name", "a text"),
    ("older", AGO),
    ("newer", AGO),
    ("created-from", TIME),
    ("created-before", TIME),
    ("ended-from", TIME),
    ("ended-before", TIME),
];

impl TaskFilter {
    /// Reads a search line. Its parts have blanks between them:
    ///
    /// | part | finds |
    /// |---|---|
    /// | `status:failed,retry` | tasks with one of these statuses |
    /// | `theme:mail,orders` | tasks of these themes |
    /// | `method:Order.Create`, `method:Order.*`, `method:*.Create` | calls of a method, of a service, of a method of any service |
    /// | `id:17,18` | these tasks |
    /// | `key:order-17` | the unique key |
    /// | `limit-key:tenant-17` | the limit key |
    /// | `node:web-1`, `node:none` | tasks that a node runs, that no node runs |
    /// | `log:0197f1-17` | the task that has run under a log id, in its last attempt or in an earlier one |
    /// | `error:"connection refused"` | errors that contain a text |
    /// | `name:night`, or just `night run` | names that contain a text; several words are one text, in their order |
    /// | `older:2h`, `newer:7d` | tasks that were added longer ago, or not so long ago |
    /// | `created-from:2026-01-31`, `created-before:…` | tasks added at or after a time, or before it |
    /// | `ended-from:2h`, `ended-before:…` | tasks whose last run ended at or after a time, or before it |
    ///
    /// A value with blanks stands in quotes, and so does a text that looks like a qualifier; `\"` is a quote and `\\` a backslash. `status`,
    /// `theme` and `id` may come several times, other conditions once. The case of a status does not matter. Lengths of time count back from
    /// `now`, with days of 24 hours.
    ///
    /// ```
    /// use gaia_actors::{TaskStatus, admin::TaskFilter};
    ///
    /// let now = "2026-01-31T12:00:00Z".parse()?;
    /// let filter = TaskFilter::parse_line(r#"status:failed method:Order.* error:"connection refused" older:2h"#, now)?;
    /// assert_eq!(filter.statuses, [TaskStatus::Failed]);
    /// assert_eq!(filter.service.as_deref(), Some("Order"));
    /// assert_eq!(filter.created_before, Some("2026-01-31T10:00:00Z".parse()?));
    ///
    /// let error = TaskFilter::parse_line("stauts:failed", now).unwrap_err().to_string();
    /// assert!(error.contains(r#"at 1: unknown qualifier "stauts", the nearest is status"#));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`] with every fault (at most 20 are named), each with the number of the character at which it stands, counted from 1.
    pub fn parse_line(line: &str, now: DateTime<Utc>) -> Result<Self, InvalidInput> {
        let mut reading = Reading {
            filter: Self::default(),
            now,
            faults: Vec::new(),
            more: 0,
            places: BTreeMap::new(),
            words: Vec::new(),
        };
        for term in terms(line) {
            reading.take(&term);
        }
        reading.finish()
    }
}

/// The line without its parts of this qualifier.
#[cfg(feature = "web")]
pub(crate) fn without(line: &str, qualifier: &str) -> String {
    let (terms, chars) = (terms(line), line.chars().count());
    let ends = terms.iter().skip(1).map(|next| next.at).chain([chars + 1]);
    let kept = terms
        .iter()
        .zip(ends)
        .filter(|(term, _)| term.qualifier.as_deref() != Some(qualifier));
    let texts: Vec<String> = kept
        .map(|(term, end)| line.chars().skip(term.at - 1).take(end - term.at).collect())
        .collect();
    let texts: Vec<&str> = texts.iter().map(|text| text.trim_end()).collect();
    texts.join(" ")
}

/// A part of a line: everything between two blanks that stand outside of quotes.
struct Term {
    /// The number of its first character.
    at: usize,
    /// The text before its first colon, if that text looks like a qualifier.
    qualifier: Option<String>,
    /// The rest, divided at the commas outside of quotes.
    pieces: Vec<Piece>,
    /// Where a quote begins that does not end.
    open_quote: Option<usize>,
}

#[derive(Default)]
struct Piece {
    text: String,
    /// At least a part of it stood in quotes.
    is_quoted: bool,
}

impl Piece {
    fn looks_like_a_qualifier(&self) -> bool {
        let is_plain = |char: char| char.is_ascii_alphabetic() || matches!(char, '-' | '_');
        !self.is_quoted && !self.text.is_empty() && self.text.chars().all(is_plain)
    }
}

impl Term {
    /// The whole value, for qualifiers in whose values commas have no meaning.
    fn text(&self) -> String {
        let pieces: Vec<&str> = self.pieces.iter().map(|piece| piece.text.as_str()).collect();
        pieces.join(",")
    }

    fn is_quoted(&self) -> bool {
        self.pieces.iter().any(|piece| piece.is_quoted)
    }
}

fn terms(line: &str) -> Vec<Term> {
    let mut chars = line.chars().zip(1..).peekable();
    let mut terms = Vec::new();
    loop {
        while chars.next_if(|(char, _)| char.is_whitespace()).is_some() {}
        match chars.peek() {
            Some((_, at)) => terms.push(term(*at, &mut chars)),
            None => return terms,
        }
    }
}

fn term(at: usize, chars: &mut Peekable<impl Iterator<Item = (char, usize)>>) -> Term {
    let (mut qualifier, mut pieces, mut piece, mut open_quote) = (None, Vec::new(), Piece::default(), None);
    while let Some((char, place)) = chars.next_if(|(char, _)| open_quote.is_some() || !char.is_whitespace()) {
        let is_outside = open_quote.is_none();
        match char {
            '\\' => {
                let escaped = chars.next_if(|(next, _)| matches!(next, '"' | '\\'));
                piece.text.push(escaped.map_or(char, |(next, _)| next));
            }
            '"' => {
                piece.is_quoted = true;
                open_quote = is_outside.then_some(place);
            }
            ',' if is_outside => pieces.push(std::mem::take(&mut piece)),
            ':' if qualifier.is_none() && pieces.is_empty() && piece.looks_like_a_qualifier() => {
                qualifier = Some(std::mem::take(&mut piece.text));
            }
            _ => piece.text.push(char),
        }
    }
    pieces.push(piece);
    Term {
        at,
        qualifier,
        pieces,
        open_quote,
    }
}

/// A filter while its line is read.
struct Reading {
    filter: TaskFilter,
    now: DateTime<Utc>,
    faults: Vec<String>,
    /// How many faults there are besides.
    more: usize,
    /// The conditions that may be there once: where each stands, and by which qualifier.
    places: BTreeMap<&'static str, (usize, &'static str)>,
    /// The parts without a qualifier.
    words: Vec<(usize, String)>,
}

impl Reading {
    fn fault(&mut self, at: usize, fault: &str) {
        match self.faults.len() < MAX_FAULTS {
            true => self.faults.push(format!("at {at}: {fault}")),
            false => self.more += 1,
        }
    }

    fn take(&mut self, term: &Term) {
        if let Some(open) = term.open_quote {
            self.fault(open, r#"this quote has no end; write \" for a quote as such"#);
            return;
        }
        let Some(word) = &term.qualifier else {
            self.words.push((term.at, term.text()));
            return;
        };
        if let Some((name, form)) = QUALIFIERS.iter().find(|(name, _)| name == word) {
            self.condition(name, form, term);
            return;
        }
        let names = QUALIFIERS.map(|(name, _)| name);
        let known = match nearest(word, &names) {
            Some(name) => format!("the nearest is {name}"),
            None => format!("known are {}", names.join(", ")),
        };
        let fault = format!("unknown qualifier {word:?}, {known}; put a text with a colon in quotes to look for it");
        self.fault(term.at, &fault);
    }

    fn condition(&mut self, name: &'static str, form: &str, term: &Term) {
        if term.pieces.iter().any(|piece| piece.text.trim().is_empty()) {
            let fault = match term.text().is_empty() {
                true => format!("{name} has no value directly behind the colon, expected {form}"),
                false => format!("{name} has an empty value, expected {form}"),
            };
            return self.fault(term.at, &fault);
        }
        match name {
            "status" => self.statuses(term),
            "theme" => self.themes(term),
            "id" => self.ids(term),
            "method" => self.method(term),
            "node" if term.text() == NO_NODE && !term.is_quoted() => {
                if self.is_first("node", name, term.at) {
                    self.filter.without_node = true;
                }
            }
            "older" => self.time("created_before", name, term, Self::ago, AGO),
            "newer" => self.time("created_from", name, term, Self::ago, AGO),
            "created-from" => self.time("created_from", name, term, Self::moment, TIME),
            "created-before" => self.time("created_before", name, term, Self::moment, TIME),
            "ended-from" => self.time("ended_from", name, term, Self::moment, TIME),
            "ended-before" => self.time("ended_before", name, term, Self::moment, TIME),
            _ => self.text(name, term.at, term.text()),
        }
    }

    /// Whether a condition that may be there once is there for the first time.
    fn is_first(&mut self, condition: &'static str, name: &'static str, at: usize) -> bool {
        let Some((first, by)) = self.places.get(condition).copied() else {
            self.places.insert(condition, (at, name));
            return true;
        };
        let fault = match by == name {
            true => format!("{name} is there already, at {first}; expected once"),
            false => format!("{name} says the same as {by} at {first}; expected one of them"),
        };
        self.fault(at, &fault);
        false
    }

    /// Whether a text may stand in its column.
    fn fits(&mut self, name: &str, at: usize, text: &str, most: usize) -> bool {
        let mut faults = Faults::default();
        faults.label(name, text, most);
        let faults = faults.into_error();
        for fault in faults.faults() {
            self.fault(at, fault);
        }
        faults.faults().is_empty()
    }

    fn text(&mut self, name: &'static str, at: usize, text: String) {
        if !self.is_first(name, name, at) || !self.fits(name, at, &text, MAX_NAME_CHARS) {
            return;
        }
        let filter = &mut self.filter;
        let condition = match name {
            "key" => &mut filter.unique_key,
            "limit-key" => &mut filter.limit_key,
            "node" => &mut filter.node,
            "log" => &mut filter.log_id,
            "error" => &mut filter.error_contains,
            _ => &mut filter.name_contains,
        };
        *condition = Some(text);
    }

    fn statuses(&mut self, term: &Term) {
        for Piece { text, .. } in &term.pieces {
            let known = TaskStatus::ALL.into_iter().find(|status| is_called(*status, text));
            match known {
                Some(status) if self.filter.statuses.contains(&status) => {}
                Some(status) => self.filter.statuses.push(status),
                None => {
                    let names = TaskStatus::ALL.map(TaskStatus::as_str);
                    let hint =
                        nearest(text, &names).map_or_else(String::new, |name| format!(", the nearest is {name}"));
                    self.fault(term.at, &format!("unknown status {text:?}{hint}; expected {STATUSES}"));
                }
            }
        }
    }

    fn themes(&mut self, term: &Term) {
        for Piece { text, .. } in &term.pieces {
            if self.fits("theme", term.at, text, MAX_THEME_CHARS) && !self.filter.themes.contains(text) {
                self.filter.themes.push(text.clone());
            }
        }
    }

    fn ids(&mut self, term: &Term) {
        for Piece { text, .. } in &term.pieces {
            match text.parse() {
                Ok(id) => self.filter.ids.push(id),
                Err(_) => self.fault(
                    term.at,
                    &format!("id {text:?} is no id, expected numbers with commas between them"),
                ),
            }
        }
    }

    fn method(&mut self, term: &Term) {
        let (text, is_quoted) = (term.text(), term.is_quoted());
        let part = |part: &str| match part {
            "*" if !is_quoted => None,
            part => Some(part.to_owned()),
        };
        let (service, method) = match text.rsplit_once('.') {
            Some((service, method)) if !service.is_empty() && !method.is_empty() => (part(service), part(method)),
            _ => (None, None),
        };
        let mut named = service.iter().chain(&method);
        if named.clone().count() == 0 || (!is_quoted && named.any(|name| name.contains('*'))) {
            return self.fault(term.at, &format!("method is {text:?}, expected {METHOD}"));
        }
        let named: Vec<String> = service.iter().chain(&method).cloned().collect();
        let fits = named
            .iter()
            .all(|name| self.fits("method", term.at, name, MAX_NAME_CHARS));
        if self.is_first("method", "method", term.at) && fits {
            self.filter.service = service;
            self.filter.method = method;
        }
    }

    fn time(
        &mut self,
        condition: &'static str,
        name: &'static str,
        term: &Term,
        read: impl Fn(&Self, &str) -> Option<DateTime<Utc>>,
        form: &str,
    ) {
        let text = term.text();
        let time = read(self, text.trim()).filter(|time| YEARS.contains(&time.year()));
        if time.is_none() {
            self.fault(term.at, &format!("{name} is {text:?}, expected {form}"));
        }
        if self.is_first(condition, name, term.at) {
            let filter = &mut self.filter;
            let place = match condition {
                "created_from" => &mut filter.created_from,
                "created_before" => &mut filter.created_before,
                "ended_from" => &mut filter.ended_from,
                _ => &mut filter.ended_before,
            };
            *place = time;
        }
    }

    fn moment(&self, text: &str) -> Option<DateTime<Utc>> {
        let time = DateTime::parse_from_rfc3339(text).map(|time| time.to_utc());
        let date = || {
            text.parse::<NaiveDate>()
                .map(|date| date.and_time(NaiveTime::MIN).and_utc())
        };
        time.or_else(|_| date()).ok().or_else(|| self.ago(text))
    }

    fn ago(&self, text: &str) -> Option<DateTime<Utc>> {
        let span: Span = text.parse().ok()?;
        let length = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
        let length = TimeDelta::from_std(length.try_into().ok()?).ok()?;
        self.now.checked_sub_signed(length)
    }

    fn finish(mut self) -> Result<TaskFilter, InvalidInput> {
        if let Some((at, _)) = self.words.first() {
            let at = *at;
            let words: Vec<String> = std::mem::take(&mut self.words)
                .into_iter()
                .map(|(_, word)| word)
                .collect();
            self.text("name", at, words.join(" "));
        }
        let mut faults = Faults::default();
        self.filter.check(&mut faults);
        self.faults.extend(faults.into_error().faults().iter().cloned());
        if self.more > 0 {
            self.faults.push(format!("there are {} further faults", self.more));
        }
        match self.faults.is_empty() {
            true => Ok(self.filter),
            false => Err(InvalidInput::all(self.faults)),
        }
    }
}

#[cfg(all(test, feature = "web"))]
mod tests {
    use super::without;

    #[test]
    fn a_line_without_a_qualifier_keeps_its_other_parts() {
        for (line, rest) in [
            ("status:failed", ""),
            ("  status:failed,retry   newer:2h status:wait ", "newer:2h"),
            (
                r#"error:"a status:x \\" \"b status:"failed" 夜 run"#,
                r#"error:"a status:x \\" \"b 夜 run"#,
            ),
            (r"night status:\", "night"),
            ("status night", "status night"),
            (r#"status:failed "open status:x"#, r#""open status:x"#),
        ] {
            assert_eq!(without(line, "status"), rest, "{line}");
        }
    }
}
