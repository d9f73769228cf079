//! Explains a cron expression: what it means, and when it fires next.
//!
//! ```sh
//! cargo run --example schedule -- '0 30 2 * * mon-fri' --zone Europe/Berlin --from 2026-03-27T00:00:00Z --count 3
//! printf '*/5 * * * *\t\t2026-01-01T00:00:00Z\t2\n' | cargo run --example schedule -- -
//! ```
//!
//! The first line is the description, then comes one instant a line. With `-` as the expression, each line of standard input is
//! `expression<TAB>zone<TAB>from<TAB>count` and gets one line of instants, or `error: …`; what is left empty has its default.
//! With `--zones` the first line on the error output says which rules of time zones are in use.

use std::{
    error::Error,
    io::{self, BufRead, BufReader, BufWriter, ErrorKind, Read, Write},
    process::ExitCode,
};

use chrono::{DateTime, Offset, SecondsFormat, Utc};
use clap::Parser;
use gaia_actors::{
    Schedule, ScheduleForm,
    schedule::{Language, parse_zone, zone_data},
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Explains a cron expression.
#[derive(Parser)]
struct Options {
    /// The expression, or - to read many from standard input.
    expression: String,
    /// Time zone of an expression that names none.
    #[arg(long, default_value = "UTC")]
    zone: String,
    /// The fires after this instant (RFC 3339) are shown; now if it is not given.
    #[arg(long)]
    from: Option<String>,
    /// How many fires are shown.
    #[arg(long, default_value_t = 5)]
    count: usize,
    /// Describes in Chinese.
    #[arg(long)]
    chinese: bool,
    /// Says on the error output which rules of time zones are in use.
    #[arg(long)]
    zones: bool,
    /// Shows the instants only.
    #[arg(long)]
    quiet: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    if options.zones {
        eprintln!("{}", zone_data());
    }
    let out = BufWriter::new(io::stdout().lock());
    let shown = match options.expression.as_str() {
        "-" => answer_lines(BufReader::new(io::stdin().lock()), out, &options),
        _ => explain(out, &options),
    };
    match shown {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_broken_pipe(error.as_ref()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("schedule: {error}");
            ExitCode::from(2)
        }
    }
}

/// Whoever read our output has seen enough.
fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

fn explain(mut out: impl Write, options: &Options) -> Result<()> {
    let zone = parse_zone(&options.zone)?;
    let schedule = Schedule::parse_in(&options.expression, zone, ScheduleForm::Any)?;
    let from = instant(options.from.as_deref().unwrap_or_default())?;
    if !options.quiet {
        let language = if options.chinese {
            Language::Chinese
        } else {
            Language::English
        };
        writeln!(out, "{}", schedule.describe(language))?;
    }
    for fire in schedule.iter_after(from).take(options.count) {
        writeln!(out, "{}", local(&schedule, fire))?;
    }
    Ok(out.flush()?)
}

/// One answer for each line, in order; sent off when there is no further line to answer at once.
fn answer_lines(mut input: BufReader<impl Read>, mut out: impl Write, options: &Options) -> Result<()> {
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line)? > 0 {
        let text = String::from_utf8_lossy(&line);
        match answer(text.trim_end_matches(['\r', '\n']), options) {
            Ok(fires) => writeln!(out, "{fires}")?,
            Err(error) => writeln!(out, "error: {}", error.to_string().replace(['\r', '\n'], " "))?,
        }
        line.clear();
        if !input.buffer().contains(&b'\n') {
            out.flush()?;
        }
    }
    Ok(out.flush()?)
}

/// What a line leaves empty is as on the command line.
fn answer(line: &str, options: &Options) -> Result<String> {
    let mut fields = line.split('\t');
    let mut field = |default: &str| match fields.next().map(str::trim) {
        None | Some("") => default.to_owned(),
        Some(text) => text.to_owned(),
    };
    let (expression, zone) = (field(""), parse_zone(&field(&options.zone))?);
    let schedule = Schedule::parse_in(&expression, zone, ScheduleForm::Any)?;
    let from = instant(&field(options.from.as_deref().unwrap_or_default()))?;
    let count = field(&options.count.to_string());
    let count = count
        .parse()
        .map_err(|_| format!("count {count:?} is not a number; expected the number of fires to show"))?;
    let fires = schedule.iter_after(from).take(count).map(|fire| local(&schedule, fire));
    Ok(fires.collect::<Vec<_>>().join(" "))
}

/// Now, if the text is empty.
fn instant(text: &str) -> Result<DateTime<Utc>> {
    if text.is_empty() {
        return Ok(Utc::now());
    }
    let instant = DateTime::parse_from_rfc3339(text).map_err(|error| {
        format!("instant {text:?} cannot be read ({error}); expected RFC 3339, such as 2026-01-01T00:00:00Z")
    })?;
    Ok(instant.to_utc())
}

/// As RFC 3339. An offset with seconds, as clocks had before there were zones, is written with them, which RFC 3339 has no way to do.
fn local(schedule: &Schedule, fire: DateTime<Utc>) -> String {
    let fire = fire.with_timezone(&schedule.zone());
    match fire.offset().fix().local_minus_utc() % 60 {
        0 => fire.to_rfc3339_opts(SecondsFormat::Secs, false),
        _ => fire.format("%Y-%m-%dT%H:%M:%S%::z").to_string(),
    }
}
