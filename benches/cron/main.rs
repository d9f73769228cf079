//! How fast cron schedules are read and answered, beside the crates `croner` and `cron`.
//!
//! ```sh
//! cargo bench --bench cron -- [--rounds 7] [--millis 20]
//! ```
//!
//! All sides take turns in one process; each figure is the median over the rounds, in calls a second.

mod schedule;

use clap::Parser;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[derive(Parser)]
struct Options {
    /// Turns of each side.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// How long one turn is, in milliseconds.
    #[arg(long, default_value_t = 20)]
    millis: u64,
    /// Passed by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let options = Options::parse();
    schedule::run(&options)
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}
