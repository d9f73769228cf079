//! The words of `gaia schedule`.

use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub enum ScheduleCommand {
    /// Says what a cron expression means, and when it fires next; needs no database
    ///
    /// With - as the expression, each line of the standard input is EXPRESSION, ZONE, FROM and COUNT with tabs between them, and gets one
    /// line of instants, or `error: …`; an empty field has its default.
    Explain(Explain),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Language {
    En,
    Zh,
}

const EXAMPLES: &str = "\
Examples:
  gaia schedule explain '0 30 2 * * mon-fri' --zone Europe/Paris --next 3
  gaia schedule explain '0 9 * * 1-5' --zone Asia/Shanghai --lang zh
  printf '*/5 * * * *\\t\\t2026-01-01T00:00:00Z\\t2\\n' | gaia schedule explain -";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Explain {
    /// The expression, such as "0 30 2 * * mon-fri", or - to read many from the standard input
    pub expression: String,
    /// The time zone of an expression that names none
    #[arg(long, default_value = "UTC")]
    pub zone: String,
    /// The fires after this time are shown, such as 2026-01-01T00:00:00Z; now, unless it is given
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// How many fires are shown
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub next: usize,
    /// The language of the description
    #[arg(long, value_enum, default_value = "en")]
    pub lang: Language,
    /// Shows the instants only
    #[arg(long)]
    pub quiet: bool,
    /// Says on the error output which rules of time zones are in use
    #[arg(long)]
    pub zones: bool,
}
