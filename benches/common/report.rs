//! The figures of a benchmark: JSON lines for programs, a Markdown table for people.

use std::{fs::File, io::Write, path::Path};

use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};
use serde::Serialize;

/// Some measurements of one thing, by one side.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figure {
    /// Which benchmark.
    pub(crate) bench: &'static str,
    /// What was done: `drain`, `insert`, …
    pub(crate) case: String,
    /// `sqlite`, `postgres`, `mysql`, or nothing.
    pub(crate) database: String,
    /// Who did it: `gaia-actors`, `bare`, or a peer.
    pub(crate) side: String,
    pub(crate) unit: &'static str,
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
    /// How many measurements these are.
    pub(crate) rounds: usize,
    /// The median of the ratios to the other side, measurement by measurement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ratio: Option<f64>,
    /// What else one should know.
    pub(crate) note: String,
}

impl Figure {
    pub(crate) fn new(bench: &'static str, case: &str, database: &str, side: &str, unit: &'static str) -> Self {
        Self {
            bench,
            case: case.to_owned(),
            database: database.to_owned(),
            side: side.to_owned(),
            unit,
            median: 0.0,
            least: 0.0,
            most: 0.0,
            rounds: 0,
            ratio: None,
            note: String::new(),
        }
    }

    pub(crate) fn of(mut self, values: &[f64]) -> Self {
        self.median = median(values);
        self.least = values.iter().copied().fold(f64::INFINITY, f64::min);
        self.most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        self.rounds = values.len();
        self
    }

    /// `values` beside those of `other`, which took turns with them.
    pub(crate) fn beside(mut self, values: &[f64], other: &[f64]) -> Self {
        let ratios: Vec<f64> = values.iter().zip(other).map(|(ours, theirs)| ours / theirs).collect();
        self.ratio = Some(median(&ratios));
        self.of(values)
    }

    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }
}

/// Collects figures; the table is printed by [`Report::print`].
pub(crate) struct Report {
    json: Option<File>,
    figures: Vec<Figure>,
}

impl Report {
    pub(crate) fn new(json: Option<&Path>) -> std::io::Result<Self> {
        let json = json.map(File::create).transpose()?;
        let figures = Vec::new();
        Ok(Self { json, figures })
    }

    /// Written to the file at once: a run that is broken off leaves what it had.
    pub(crate) fn add(&mut self, figure: Figure) -> std::io::Result<()> {
        if let Some(file) = &mut self.json {
            writeln!(file, "{}", serde_json::to_string(&figure)?)?;
        }
        self.figures.push(figure);
        Ok(())
    }

    /// What the figures were measured on, before the first of them.
    pub(crate) fn fact(&mut self, fact: &str) -> std::io::Result<()> {
        println!("{fact}");
        match &mut self.json {
            Some(file) => writeln!(file, "{}", serde_json::json!({ "fact": fact })),
            None => Ok(()),
        }
    }

    pub(crate) fn print(&self) {
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN);
        table.set_header([
            "case", "database", "side", "median", "spread", "unit", "ratio", "n", "note",
        ]);
        for figure in &self.figures {
            let spread = match figure.rounds {
                0 | 1 => String::new(),
                _ => format!("{}..{}", number(figure.least), number(figure.most)),
            };
            table.add_row([
                figure.case.clone(),
                figure.database.clone(),
                figure.side.clone(),
                number(figure.median),
                spread,
                figure.unit.to_owned(),
                figure.ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default(),
                figure.rounds.to_string(),
                figure.note.clone(),
            ]);
        }
        for column in [3, 4, 6, 7] {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        println!("{table}");
    }
}

/// Whole where it is large, with two places where it is small.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

pub(crate) fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
