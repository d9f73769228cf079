//! What the parts make of what they have measured.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::{
    Options,
    database::{Kind, Result},
    place::{Place, on_fresh},
    report::{Figure, Report, median},
};

pub(crate) const OURS: &str = "gaia-actors";
pub(crate) const BARE: &str = "bare";

/// A limit that is passed by more than this is none: the machine was busy with something else, or the bare side is a bad one.
pub(crate) const NOISE: f64 = 0.1;
pub(crate) const DOUBTFUL: &str = "DOUBTFUL: bare was slower than ours";

/// Two sides that take turns, each on a new database.
pub(crate) async fn turns<T>(
    database: &str,
    options: &Options,
    one: impl AsyncFn(&Place) -> Result<T>,
    other: impl AsyncFn(&Place) -> Result<T>,
) -> Result<(Vec<T>, Vec<T>)> {
    let (mut ones, mut others) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        ones.push(on_fresh(database, &one).await?);
        others.push(on_fresh(database, &other).await?);
        options.bar.inc(1);
    }
    Ok((ones, others))
}

pub(crate) fn figure(case: &str, kind: Kind, side: &str, unit: &'static str) -> Figure {
    Figure::new("throughput", case, kind.name(), side, unit)
}

/// Ours beside the other side, with the aim that the median of the ratios has.
pub(crate) fn add_rates(
    report: &mut Report,
    case: &str,
    kind: Kind,
    (ours, bare): &(Vec<f64>, Vec<f64>),
    aim: Option<Aim>,
) -> Result<()> {
    let mut figure_of_ours = figure(case, kind, OURS, "tasks/s").beside(ours, bare);
    let ratio = figure_of_ours.ratio.unwrap_or_default();
    figure_of_ours.note = match aim {
        _ if ratio > 1.0 + NOISE => DOUBTFUL.to_owned(),
        Some(aim) => aim.verdict(ratio, "of bare"),
        None => String::new(),
    };
    report.add(figure_of_ours)?;
    report.add(figure(case, kind, BARE, "tasks/s").of(bare))?;
    Ok(())
}

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
