//! Parameters of a query, read strictly: an unknown parameter, one that is there twice, or one that is out of range is refused by its
//! name. A parameter that nobody reads would make a filter mean more tasks than its author thinks.

use std::{collections::BTreeSet, fmt::Display, ops::RangeInclusive, str::FromStr};

use chrono::{DateTime, Utc};
use percent_encoding::percent_decode_str;

use super::problem::{Fault, Problem};
use crate::config::nearest;

/// The most parameters of one query: 1,000 ids, and everything else.
const MOST: usize = 1_200;

/// The parameters of a query, as they are taken one after the other.
#[derive(Debug, Default, Clone)]
pub(super) struct Query {
    pairs: Vec<(String, String)>,
    known: Vec<&'static str>,
    faults: Vec<Fault>,
}

impl Query {
    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        let pieces: Vec<&str> = text.split('&').filter(|piece| !piece.is_empty()).collect();
        if pieces.len() > MOST {
            return Err(Problem::bad_query(vec![Fault::of(format!(
                "the query has {} parameters, at most {MOST} are allowed",
                pieces.len()
            ))]));
        }
        let mut query = Self::default();
        for piece in pieces {
            let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
            match (decoded(name), decoded(value)) {
                (Some(name), Some(value)) => query.pairs.push((name, value)),
                _ => query.faults.push(Fault::of(format!(
                    "{piece:?} is no UTF-8 after its escapes are decoded"
                ))),
            }
        }
        Ok(query)
    }

    /// Every value of a parameter that may be repeated.
    fn all(&mut self, name: &'static str) -> Vec<String> {
        self.known.push(name);
        let (found, rest) = std::mem::take(&mut self.pairs)
            .into_iter()
            .partition(|(key, _)| key == name);
        self.pairs = rest;
        let found: Vec<(String, String)> = found;
        found.into_iter().map(|(_, value)| value).collect()
    }

    /// Leaves out parameters without a value: the fields of a form that its reader has left blank.
    pub(super) fn drop_blank(&mut self) {
        self.pairs.retain(|(_, value)| !value.trim().is_empty());
    }

    /// Whether a parameter is there that was not taken yet.
    pub(super) fn has(&self, name: &str) -> bool {
        self.pairs.iter().any(|(key, _)| key == name)
    }

    /// A parameter that may be there once.
    pub(super) fn text(&mut self, name: &'static str) -> Option<String> {
        let mut values = self.all(name);
        if values.len() > 1 {
            self.fault(name, format!("{name} is there {} times, expected once", values.len()));
        }
        values.pop()
    }

    /// A parameter that may be repeated, and each time hold one text.
    pub(super) fn texts(&mut self, name: &'static str) -> Vec<String> {
        self.all(name)
    }

    /// A parameter that may be repeated, and each time hold several values with commas between them.
    pub(super) fn list<T: FromStr<Err: Display>>(&mut self, name: &'static str) -> Vec<T> {
        let values = self.all(name);
        let pieces = values.iter().flat_map(|value| value.split(','));
        let pieces: Vec<String> = pieces.map(|piece| piece.trim().to_owned()).collect();
        pieces.iter().filter_map(|piece| self.read(name, piece)).collect()
    }

    /// A number in a range.
    pub(super) fn number(&mut self, name: &'static str, range: RangeInclusive<u32>, default: u32) -> u32 {
        let Some(text) = self.text(name) else {
            return default;
        };
        let number = text.parse().ok().filter(|number| range.contains(number));
        if number.is_none() {
            let (least, most) = (range.start(), range.end());
            self.fault(name, format!("{name} is {text:?}, expected {least} to {most}"));
        }
        number.unwrap_or(default)
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, name: &'static str) -> Option<bool> {
        let text = self.text(name)?;
        self.read(name, &text)
    }

    /// One of several texts.
    pub(super) fn value<T: FromStr<Err: Display>>(&mut self, name: &'static str) -> Option<T> {
        let text = self.text(name)?;
        self.read(name, &text)
    }

    /// A time as RFC 3339 has it.
    pub(super) fn time(&mut self, name: &'static str) -> Option<DateTime<Utc>> {
        let text = self.text(name)?;
        match DateTime::parse_from_rfc3339(&text) {
            Ok(time) => Some(time.to_utc()),
            Err(error) => {
                let detail = format!("{name} is {text:?}, expected a time such as 2026-01-31T08:00:00Z ({error})");
                self.fault(name, detail);
                None
            }
        }
    }

    fn read<T: FromStr<Err: Display>>(&mut self, name: &'static str, text: &str) -> Option<T> {
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.fault(name, format!("{name} is {text:?}: {error}"));
                None
            }
        }
    }

    pub(super) fn fault(&mut self, name: &str, detail: String) {
        self.faults.push(Fault::parameter(name, detail));
    }

    /// To be called when all parameters are taken: refuses those that are left, and lists every fault.
    pub(super) fn finish(&mut self) -> Result<(), Problem> {
        let unknown: BTreeSet<String> = self.pairs.drain(..).map(|(name, _)| name).collect();
        for name in unknown {
            let hint = match nearest(&name, &self.known) {
                Some(nearest) => format!("the nearest known is {nearest}"),
                None if self.known.is_empty() => "no parameter is known here".to_owned(),
                None => format!("known are {}", self.known.join(", ")),
            };
            self.faults
                .push(Fault::parameter(&name, format!("unknown parameter {name:?}; {hint}")));
        }
        match self.faults.is_empty() {
            true => Ok(()),
            false => Err(Problem::bad_query(std::mem::take(&mut self.faults))),
        }
    }
}

fn decoded(text: &str) -> Option<String> {
    let text = text.replace('+', " ");
    let decoded = percent_decode_str(&text).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded() {
        let mut query =
            Query::parse("name=50%25+off&theme=a%2Fb&theme=%E8%AE%A2%E5%8D%95&id=1,2&id=3").expect("is good");
        assert_eq!(query.text("name").as_deref(), Some("50% off"));
        assert_eq!(query.texts("theme"), ["a/b", "订单"]);
        assert_eq!(query.list::<i64>("id"), [1, 2, 3]);
        assert!(query.finish().is_ok());
    }

    #[test]
    fn every_fault_is_named() {
        let mut query = Query::parse("limt=5&limit=0&id=x&a=%FF&from=1&from=2").expect("is read");
        assert_eq!(query.number("limit", 1..=200, 50), 50);
        assert!(query.list::<i64>("id").is_empty());
        query.text("from");
        let problem = format!("{:?}", query.finish().expect_err("is bad"));
        for part in [
            "the nearest known is limit",
            "expected 1 to 200",
            "id is \\\\\\\"x",
            "no UTF-8",
            "2 times",
        ] {
            let part = part.replace("\\\\\\\"", "\\\"");
            assert!(problem.contains(&part), "{part}: {problem}");
        }
    }
}
