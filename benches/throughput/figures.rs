//! What the parts make of what they have measured.

pub(crate) use crate::timing::{Aim, QUANTILES, Quantiles, Times, each, rate};
use crate::{
    Options,
    database::{Kind, Result},
    place::{Place, on_fresh},
    report::{Figure, Report},
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
