//! Parameters with names, read strictly: a parameter that is unknown, is there twice, or is out of range is refused by its name. A
//! parameter without a reader would make a filter mean more tasks than its author thinks.

#[cfg(feature = "web")]
use std::ops::RangeInclusive;
use std::{collections::BTreeSet, fmt::Display, str::FromStr};

use chrono::{DateTime, Utc};
use serde::{
    Deserializer,
    de::{Error, MapAccess, Visitor},
};
use serde_json::Value;

use crate::config::nearest;

/// Parameters, as they are taken one after the other.
#[derive(Debug, Default, Clone)]
pub(crate) struct Parameters {
    pairs: Vec<(String, String)>,
    known: Vec<&'static str>,
    faults: Vec<ParameterFault>,
}

/// A fault of a parameter.
#[derive(Debug, Clone)]
pub(crate) struct ParameterFault {
    /// The name of the parameter.
    #[cfg_attr(not(feature = "web"), expect(dead_code, reason = "only the HTTP API tells it apart"))]
    pub(crate) parameter: String,
    /// A sentence.
    pub(crate) detail: String,
}

impl Parameters {
    pub(crate) fn new(pairs: Vec<(String, String)>) -> Self {
        Self {
            pairs,
            ..Self::default()
        }
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
    #[cfg(feature = "web")]
    pub(crate) fn drop_blank(&mut self) {
        self.pairs.retain(|(_, value)| !value.trim().is_empty());
    }

    /// Whether a parameter is there that was not taken yet.
    #[cfg(feature = "web")]
    pub(crate) fn has(&self, name: &str) -> bool {
        self.pairs.iter().any(|(key, _)| key == name)
    }

    /// A parameter that may be there once.
    pub(crate) fn text(&mut self, name: &'static str) -> Option<String> {
        let mut values = self.all(name);
        if values.len() > 1 {
            self.fault(name, format!("{name} is there {} times, expected once", values.len()));
        }
        values.pop()
    }

    /// A parameter that may be repeated, and each time hold one text.
    pub(crate) fn texts(&mut self, name: &'static str) -> Vec<String> {
        self.all(name)
    }

    /// A parameter that may be repeated, and each time hold several values with commas between them.
    pub(crate) fn list<T: FromStr<Err: Display>>(&mut self, name: &'static str) -> Vec<T> {
        let values = self.all(name);
        let pieces = values.iter().flat_map(|value| value.split(','));
        let pieces: Vec<String> = pieces.map(|piece| piece.trim().to_owned()).collect();
        pieces.iter().filter_map(|piece| self.read(name, piece)).collect()
    }

    /// A number in a range.
    #[cfg(feature = "web")]
    pub(crate) fn number(&mut self, name: &'static str, range: RangeInclusive<u32>, default: u32) -> u32 {
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
    pub(crate) fn flag(&mut self, name: &'static str) -> Option<bool> {
        let text = self.text(name)?;
        self.read(name, &text)
    }

    /// One of several texts.
    pub(crate) fn value<T: FromStr<Err: Display>>(&mut self, name: &'static str) -> Option<T> {
        let text = self.text(name)?;
        self.read(name, &text)
    }

    /// A time as RFC 3339 has it.
    pub(crate) fn time(&mut self, name: &'static str) -> Option<DateTime<Utc>> {
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

    pub(crate) fn fault(&mut self, name: &str, detail: String) {
        self.faults.push(ParameterFault {
            parameter: name.to_owned(),
            detail,
        });
    }

    /// To be called when all parameters are taken: every fault, parameters that are left included.
    pub(crate) fn take_faults(&mut self) -> Vec<ParameterFault> {
        let unknown: BTreeSet<String> = self.pairs.drain(..).map(|(name, _)| name).collect();
        for name in unknown {
            let hint = match nearest(&name, &self.known) {
                Some(nearest) => format!("the nearest known is {nearest}"),
                None if self.known.is_empty() => "no parameter is known here".to_owned(),
                None => format!("known are {}", self.known.join(", ")),
            };
            self.fault(&name, format!("unknown parameter {name:?}; {hint}"));
        }
        std::mem::take(&mut self.faults)
    }

    /// Reads a value by its parameters: a query string, or a JSON object. A known parameter without a value counts as none: browsers send the
    /// fields of a form that its reader has left blank. In JSON, a list stands for a parameter that is repeated, and the members of an object
    /// `page` are parameters beside the others.
    pub(crate) fn deserialize<'de, D, T>(deserializer: D, read: impl FnOnce(&mut Self) -> T) -> Result<T, D::Error>
    where
        D: Deserializer<'de>,
    {
        let Given { pairs, blank } = deserializer.deserialize_map(GivenVisitor)?;
        let mut parameters = Self::new(pairs);
        let value = read(&mut parameters);
        for name in blank {
            if !parameters.known.contains(&name.as_str()) {
                parameters.pairs.push((name, String::new()));
            }
        }
        let faults: Vec<String> = parameters.take_faults().into_iter().map(|fault| fault.detail).collect();
        match faults.is_empty() {
            true => Ok(value),
            false => Err(D::Error::custom(faults.join("; "))),
        }
    }
}

/// The parameters of a map.
#[derive(Default)]
struct Given {
    pairs: Vec<(String, String)>,
    /// The names of those without a value.
    blank: Vec<String>,
}

struct GivenVisitor;

impl<'de> Visitor<'de> for GivenVisitor {
    type Value = Given;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("parameters with names: a query string, or a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut given = Given::default();
        while let Some((name, value)) = map.next_entry::<String, Value>()? {
            given.add(name, value);
        }
        Ok(given)
    }
}

impl Given {
    fn add(&mut self, name: String, value: Value) {
        match value {
            Value::Null => self.blank.push(name),
            Value::String(text) if text.trim().is_empty() => self.blank.push(name),
            Value::Array(values) if values.is_empty() => self.blank.push(name),
            Value::String(text) => self.pairs.push((name, text)),
            Value::Array(values) => values.into_iter().for_each(|value| self.add(name.clone(), value)),
            Value::Object(members) if name == "page" => {
                members.into_iter().for_each(|(name, value)| self.add(name, value));
            }
            other => self.pairs.push((name, other.to_string())),
        }
    }
}
