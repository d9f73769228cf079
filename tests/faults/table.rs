//! What came of it.

use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets::UTF8_FULL_CONDENSED};

use crate::{checks::Counts, cluster::Recovery, sql::Kind};

/// The worst of all repetitions.
#[derive(Default)]
pub struct Measured {
    times: usize,
    counts: Option<Counts>,
    before: Option<u32>,
    least: Option<u32>,
    after: Option<u32>,
    back: Option<Duration>,
}

pub struct Row {
    kind: Kind,
    fault: &'static str,
    measured: Measured,
    verdict: Verdict,
}

enum Verdict {
    Passed,
    Failed(Vec<String>),
    NotRun(String),
}

impl Measured {
    pub fn new(before: u32, recoveries: &[Recovery], counts: Counts) -> Self {
        Self {
            times: recoveries.len(),
            counts: Some(counts),
            before: Some(before),
            least: recoveries.iter().map(|recovery| recovery.least).min(),
            after: recoveries.iter().map(|recovery| recovery.after).min(),
            back: recoveries.iter().map(|recovery| recovery.took).max().flatten(),
        }
    }

    pub fn of_recovery(back: Option<Duration>, times: usize) -> Self {
        Self {
            times,
            back,
            ..Self::default()
        }
    }
}

impl Row {
    pub fn measured(kind: Kind, fault: &'static str, measured: Measured, problems: Vec<String>) -> Self {
        let verdict = match problems.is_empty() {
            true => Verdict::Passed,
            false => Verdict::Failed(problems),
        };
        Self {
            kind,
            fault,
            measured,
            verdict,
        }
    }

    pub fn failed(kind: Kind, fault: &'static str, problem: String) -> Self {
        Self::measured(kind, fault, Measured::default(), vec![problem])
    }

    pub fn not_run(kind: Kind, fault: &'static str, reason: String) -> Self {
        Self {
            kind,
            fault,
            measured: Measured::default(),
            verdict: Verdict::NotRun(reason),
        }
    }

    pub fn is_failed(&self) -> bool {
        matches!(self.verdict, Verdict::Failed(_))
    }

    pub fn result(&self) -> &'static str {
        match &self.verdict {
            Verdict::Passed => "passed",
            Verdict::Failed(_) => "FAILED",
            Verdict::NotRun(_) => "NOT RUN",
        }
    }

    /// Why it did not pass.
    pub fn reasons(&self) -> &[String] {
        match &self.verdict {
            Verdict::Passed => &[],
            Verdict::Failed(problems) => problems,
            Verdict::NotRun(reason) => std::slice::from_ref(reason),
        }
    }

    fn cells(&self) -> Vec<String> {
        let measured = &self.measured;
        let ratio = measured.before.zip(measured.after);
        let ratio = ratio.map(|(before, after)| format!("{:.3}", f64::from(after) / f64::from(before)));
        let counts = measured.counts.as_ref();
        vec![
            self.kind.name().to_owned(),
            self.fault.to_owned(),
            measured.times.to_string(),
            shown(counts.map(|counts| counts.tasks)),
            shown(counts.map(|counts| counts.runs)),
            shown(measured.before),
            shown(measured.least),
            shown(measured.after),
            shown(ratio),
            shown(measured.back.map(|back| format!("{:.1} s", back.as_secs_f64()))),
            self.result().to_owned(),
        ]
    }
}

fn shown(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

const HEAD: [&str; 11] = [
    "database",
    "fault",
    "times",
    "tasks",
    "runs",
    "before/s",
    "least/s",
    "after/s",
    "ratio",
    "back after",
    "result",
];

pub fn print(rows: &mut [Row], took: Duration) {
    rows.sort_by_key(|row| row.kind);
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header(HEAD);
    for row in &*rows {
        table.add_row(row.cells());
    }
    for at in 2..HEAD.len() - 1 {
        if let Some(column) = table.column_mut(at) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    println!("\n{table}");
    println!(
        "the worst of all times; back after: from the end of the fault. {:.0} s in all",
        took.as_secs_f64()
    );
    for row in &*rows {
        for reason in row.reasons() {
            println!("!!!! {} {} {}: {reason}", row.result(), row.kind.name(), row.fault);
        }
    }
}
