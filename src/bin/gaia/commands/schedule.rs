//! Cron expressions in words, and their next fires.

use std::io::{BufRead, BufReader, BufWriter, Read, Write, stdin, stdout};

use chrono::{DateTime, Offset, SecondsFormat, Utc};
use gaia_actors::{
    Schedule, ScheduleForm,
    schedule::{Language, parse_zone, zone_data},
};
use serde_json::json;

use crate::{
    args::{self, Explain, ScheduleCommand},
    exit::{Exit, Failure, Result},
    output::say,
    session::Session,
};

pub fn run(session: &Session, ScheduleCommand::Explain(asked): ScheduleCommand) -> Result {
    if asked.zones {
        say(&zone_data().to_string());
    }
    match asked.expression.as_str() {
        "-" => {
            let out = BufWriter::new(stdout().lock());
            answer_lines(BufReader::new(stdin().lock()), out, &asked).map_err(|error| Failure::of_output(&error))?;
        }
        _ => explain(session, &asked)?,
    }
    Ok(Exit::Done)
}

fn explain(session: &Session, asked: &Explain) -> Result<()> {
    let (schedule, from) = read(&asked.expression, &asked.zone, asked.from.as_deref()).map_err(Failure::usage)?;
    let out = &session.out;
    if out.is_table() || out.format == crate::output::Format::Name {
        if !asked.quiet {
            let language = match asked.lang {
                args::Language::En => Language::English,
                args::Language::Zh => Language::Chinese,
            };
            out.line(&schedule.describe(language))?;
        }
        return schedule
            .iter_after(from)
            .take(asked.next)
            .try_for_each(|fire| out.line(&local(&schedule, fire)));
    }
    let fires: Vec<String> = schedule
        .iter_after(from)
        .take(asked.next)
        .map(|fire| local(&schedule, fire))
        .collect();
    out.value(&json!({
        "cron_expr": asked.expression,
        "time_zone": schedule.zone().to_string(),
        "description": schedule.describe(Language::English),
        "description_zh": schedule.describe(Language::Chinese),
        "next_fires": fires,
    }))
}

/// The schedule, and the instant after which its fires are shown.
fn read(expression: &str, zone: &str, from: Option<&str>) -> std::result::Result<(Schedule, DateTime<Utc>), String> {
    let zone = parse_zone(zone).map_err(|error| error.to_string())?;
    let schedule = Schedule::parse_in(expression, zone, ScheduleForm::Any).map_err(|error| error.to_string())?;
    Ok((schedule, instant(from.unwrap_or_default())?))
}

/// One answer for each line, in order; sent off when there is no further line to answer at once.
fn answer_lines(mut input: BufReader<impl Read>, mut out: impl Write, asked: &Explain) -> std::io::Result<()> {
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line)? > 0 {
        let text = String::from_utf8_lossy(&line);
        match answer(text.trim_end_matches(['\r', '\n']), asked) {
            Ok(fires) => writeln!(out, "{fires}")?,
            Err(error) => writeln!(out, "error: {}", error.replace(['\r', '\n'], " "))?,
        }
        line.clear();
        if !input.buffer().contains(&b'\n') {
            out.flush()?;
        }
    }
    out.flush()
}

/// An empty field is as on the command line.
fn answer(line: &str, asked: &Explain) -> std::result::Result<String, String> {
    let mut fields = line.split('\t');
    let mut field = |default: &str| match fields.next().map(str::trim) {
        None | Some("") => default.to_owned(),
        Some(text) => text.to_owned(),
    };
    let (expression, zone) = (field(""), field(&asked.zone));
    let from = field(asked.from.as_deref().unwrap_or_default());
    let (schedule, from) = read(&expression, &zone, Some(&from))?;
    let count = field(&asked.next.to_string());
    let count = count
        .parse()
        .map_err(|_| format!("count {count:?} is not a number; expected the number of fires to show"))?;
    let fires = schedule.iter_after(from).take(count).map(|fire| local(&schedule, fire));
    Ok(fires.collect::<Vec<_>>().join(" "))
}

/// Now, if the text is empty.
fn instant(text: &str) -> std::result::Result<DateTime<Utc>, String> {
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
