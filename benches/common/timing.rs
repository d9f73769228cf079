//! Rates, quantiles, and whether they reach their aims.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::{database::Result, report::median};

/// What a figure is to reach.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Aim {
    AtLeast(f64),
    Below(f64),
}

impl Aim {
    pub(crate) fn verdict(self, value: f64, unit: &str) -> String {
        let (sign, aim, is_reached) = match self {
            Self::AtLeast(aim) => (">=", aim, value >= aim),
            Self::Below(aim) => ("<", aim, value < aim),
        };
        let verdict = if is_reached { "reached" } else { "MISSED" };
        format!("{verdict}: {sign} {aim} {unit}")
    }

    pub(crate) fn of_median(self, values: &[f64], unit: &str) -> String {
        self.verdict(median(values), unit)
    }
}

/// The median, the 95th and the 99th percentile, in milliseconds.
pub(crate) type Quantiles = [f64; 3];

pub(crate) const QUANTILES: [(&str, f64); 3] = [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)];

/// How long things took.
pub(crate) struct Times(Histogram<u64>);

impl Times {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self(Histogram::new(3)?))
    }

    pub(crate) fn note(&mut self, took: Duration) -> Result<()> {
        Ok(self.0.record(u64::try_from(took.as_micros())?)?)
    }

    #[expect(clippy::cast_precision_loss, reason = "microseconds are far below 2^53")]
    pub(crate) fn quantiles(&self) -> Quantiles {
        QUANTILES.map(|(_, quantile)| self.0.value_at_quantile(quantile) as f64 / 1_000.0)
    }
}

/// One of the quantiles of each round.
pub(crate) fn each(rounds: &[Quantiles], at: usize) -> Vec<f64> {
    rounds.iter().map(|round| round[at]).collect()
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
pub(crate) fn rate(tasks: impl TryInto<u64>, took: Duration) -> f64 {
    tasks.try_into().unwrap_or(u64::MAX) as f64 / took.as_secs_f64()
}
