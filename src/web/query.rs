//! The parameters of a query.

use std::ops::{Deref, DerefMut};

use percent_encoding::percent_decode_str;

use super::problem::{Fault, Problem};
use crate::domain::Parameters;

/// The most parameters of one query: 1,000 ids, and everything else.
const MOST: usize = 1_200;

/// The parameters of a query, as they are taken one after the other.
#[derive(Debug, Default, Clone)]
pub(super) struct Query {
    parameters: Parameters,
    /// What is wrong with the text.
    faults: Vec<Fault>,
}

impl Deref for Query {
    type Target = Parameters;

    fn deref(&self) -> &Parameters {
        &self.parameters
    }
}

impl DerefMut for Query {
    fn deref_mut(&mut self) -> &mut Parameters {
        &mut self.parameters
    }
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
        let (mut pairs, mut faults) = (Vec::new(), Vec::new());
        for piece in pieces {
            let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
            match (decoded(name), decoded(value)) {
                (Some(name), Some(value)) => pairs.push((name, value)),
                _ => faults.push(Fault::of(format!(
                    "{piece:?} is no UTF-8 after its escapes are decoded"
                ))),
            }
        }
        Ok(Self {
            parameters: Parameters::new(pairs),
            faults,
        })
    }

    /// To be called when all parameters are taken: refuses those that are left, and lists every fault.
    pub(super) fn finish(&mut self) -> Result<(), Problem> {
        let mut faults = std::mem::take(&mut self.faults);
        let of_parameters = self.parameters.take_faults().into_iter();
        faults.extend(of_parameters.map(|fault| Fault::parameter(&fault.parameter, fault.detail)));
        match faults.is_empty() {
            true => Ok(()),
            false => Err(Problem::bad_query(faults)),
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
