//! Parsing, and looking for the next fire.

use std::{
    hint::black_box,
    str::FromStr,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use comfy_table::Table;
use croner::parser::{CronParser, Seconds};
use gaia_actors::{Schedule, ScheduleForm, schedule::parse_zone};
use serde::Serialize;

use crate::{Lines, Options, database::Result, median};

/// Written so that the three crates mean the same by it.
const EXPRESSIONS: [(&str, Tz); 8] = [
    ("*/30 * * * * *", Tz::UTC),
    ("0 */5 * * * *", Tz::UTC),
    ("0 0 1 * * *", Tz::UTC),
    ("0 30 2 * * *", Tz::America__New_York),
    ("0 */15 9-17 * * MON-FRI", Tz::Europe__London),
    ("0 0 9 * * MON-FRI", Tz::Asia__Shanghai),
    ("0 0 0 1 * *", Tz::UTC),
    ("0 0 0 29 2 *", Tz::UTC),
];

/// Ours, croner, cron.
const SIDES: [&str; 3] = ["ours", "croner", "cron"];

/// Calls a second.
#[derive(Serialize)]
struct Figures {
    part: &'static str,
    what: &'static str,
    expression: &'static str,
    zone: &'static str,
    ours: f64,
    croner: f64,
    cron: f64,
}

pub(crate) fn run(options: &Options, lines: &mut Lines) -> Result<()> {
    let mut table = Table::new();
    table.set_header([
        "",
        "expression",
        "zone",
        "ours/s",
        "croner/s",
        "cron/s",
        "ours/croner",
        "ours/cron",
    ]);
    for (expr, zone) in EXPRESSIONS {
        let ours = parse_zone(zone.name())?;
        let figures = measure(
            options,
            &mut [
                &mut || Schedule::parse_in(expr, ours.clone(), ScheduleForm::SixFields).is_ok(),
                &mut || croner_parser().parse(expr).is_ok(),
                &mut || cron::Schedule::from_str(expr).is_ok(),
            ],
        );
        let figures = named("parse", expr, zone, figures);
        lines.add(&figures)?;
        table.add_row(row(&figures));
    }
    for (expr, zone) in EXPRESSIONS {
        let ours = Schedule::parse_in(expr, parse_zone(zone.name())?, ScheduleForm::SixFields)?;
        let croner = croner_parser().parse(expr)?;
        let cron = cron::Schedule::from_str(expr)?;
        // Each side goes from fire to fire.
        let mut at = [start(); SIDES.len()];
        let [ours_at, croner_at, cron_at] = &mut at;
        let figures = measure(
            options,
            &mut [
                &mut || advance(ours_at, |at| ours.next_after(at)),
                &mut || advance(croner_at, |at| croner_next(&croner, zone, at)),
                &mut || {
                    advance(cron_at, |at| {
                        cron.after(&at.with_timezone(&zone)).next().map(|fire| fire.to_utc())
                    })
                },
            ],
        );
        let figures = named("next", expr, zone, figures);
        lines.add(&figures)?;
        table.add_row(row(&figures));
    }
    println!("{table}");
    Ok(())
}

fn croner_parser() -> CronParser {
    CronParser::builder().seconds(Seconds::Required).build()
}

fn croner_next(cron: &croner::Cron, zone: Tz, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let next = cron.find_next_occurrence(&at.with_timezone(&zone), false);
    next.ok().map(|fire| fire.to_utc())
}

fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_225_600, 0).unwrap_or_default()
}

/// From one fire to the next; after the year 2090, where `cron` comes to its end, from the beginning again.
fn advance(at: &mut DateTime<Utc>, next: impl FnOnce(DateTime<Utc>) -> Option<DateTime<Utc>>) -> bool {
    let end = DateTime::from_timestamp(3_786_912_000, 0).unwrap_or_default();
    let fire = next(*at);
    *at = fire.filter(|fire| *fire < end).unwrap_or_else(start);
    fire.is_some()
}

/// The median rate of each side, in calls a second.
fn measure(options: &Options, sides: &mut [&mut dyn FnMut() -> bool; SIDES.len()]) -> [f64; SIDES.len()] {
    let turn = Duration::from_millis(options.millis);
    let mut rates = [const { Vec::new() }; SIDES.len()];
    for _ in 0..options.rounds {
        for (side, rates) in sides.iter_mut().zip(&mut rates) {
            rates.push(rate(turn, side));
        }
    }
    rates.map(median)
}

fn rate(turn: Duration, side: &mut dyn FnMut() -> bool) -> f64 {
    const BATCH: u32 = 200;
    let (began, mut calls) = (Instant::now(), 0.0);
    while began.elapsed() < turn {
        for _ in 0..BATCH {
            assert!(black_box(side()), "a call failed");
        }
        calls += f64::from(BATCH);
    }
    calls / began.elapsed().as_secs_f64()
}

fn named(what: &'static str, expression: &'static str, zone: Tz, rates: [f64; SIDES.len()]) -> Figures {
    let [ours, croner, cron] = rates;
    Figures {
        part: "schedule",
        what,
        expression,
        zone: zone.name(),
        ours,
        croner,
        cron,
    }
}

fn row(figures: &Figures) -> Vec<String> {
    let Figures { ours, croner, cron, .. } = figures;
    let mut row = [figures.what, figures.expression, figures.zone]
        .map(str::to_owned)
        .to_vec();
    row.extend([ours, croner, cron].map(|rate| format!("{:.0}k", rate / 1_000.0)));
    row.extend([ours / croner, ours / cron].map(|ratio| format!("{ratio:.1}")));
    row
}
