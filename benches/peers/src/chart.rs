//! The drain rates as bars, for each database by itself, the fastest first.

use std::path::Path;

use plotters::{
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};
use serde_json::Value;

use crate::{child::Result, peers::OURS};

const WIDTH: i32 = 840;
/// Where bars begin and where the longest ends.
const BARS: (i32, i32) = (190, 700);
const ROW: i32 = 30;
const HEADING: i32 = 46;
const MARGIN: i32 = 12;

const INK: RGBColor = RGBColor(0x24, 0x29, 0x2f);
const OURS_COLOUR: RGBColor = RGBColor(0xc2, 0x41, 0x0c);
const PEER_COLOUR: RGBColor = RGBColor(0x7c, 0x8b, 0x9a);

struct Bar<'a> {
    side: &'a str,
    rate: f64,
    /// The least and the most of its rounds.
    spread: (f64, f64),
}

/// Draws what the JSON lines of a run say about drains with the best settings.
pub(crate) fn draw(file: &Path, figures: &[Value]) -> Result<()> {
    let titles = [
        ("sqlite", "SQLite"),
        ("postgres", "PostgreSQL"),
        ("mysql", "MariaDB / MySQL"),
    ];
    let groups: Vec<(&str, Vec<Bar>)> = titles.map(|(database, title)| (title, bars(figures, database))).into();
    let groups: Vec<(&str, Vec<Bar>)> = groups.into_iter().filter(|(_, bars)| !bars.is_empty()).collect();
    if groups.is_empty() {
        return Err("there is no drain among the figures: measure with --case drain, or without --case".into());
    }
    let rows: usize = groups.iter().map(|(_, bars)| bars.len()).sum();
    let height = i32::try_from(groups.len())? * HEADING + i32::try_from(rows)? * ROW + 2 * MARGIN;

    let size = (u32::try_from(WIDTH)?, u32::try_from(height)?);
    let area = SVGBackend::new(file, size).into_drawing_area();
    area.fill(&WHITE)?;
    let text = |size: f64, horizontal| {
        let style = TextStyle::from(("sans-serif", size).into_font()).color(&INK);
        style.pos(Pos::new(horizontal, VPos::Center))
    };
    let mut y = MARGIN;
    for (title, bars) in &groups {
        let heading = format!("{title}: tasks durably finished in a second, median, no-op tasks");
        area.draw(&Text::new(heading, (MARGIN, y + HEADING / 2), text(16.0, HPos::Left)))?;
        y += HEADING;
        let most = bars.iter().map(|bar| bar.spread.1).fold(1.0, f64::max);
        for bar in bars {
            let middle = y + ROW / 2;
            let end = at(bar.rate, most);
            let colour = if bar.side == OURS { OURS_COLOUR } else { PEER_COLOUR };
            let side = Text::new(bar.side.to_owned(), (BARS.0 - 8, middle), text(15.0, HPos::Right));
            area.draw(&side)?;
            area.draw(&Rectangle::new([(BARS.0, y + 5), (end, y + ROW - 5)], colour.filled()))?;
            let (least, longest) = (at(bar.spread.0, most), at(bar.spread.1, most));
            area.draw(&PathElement::new([(least, middle), (longest, middle)], INK))?;
            let rate = Text::new(
                thousands(bar.rate),
                (longest.max(end) + 8, middle),
                text(15.0, HPos::Left),
            );
            area.draw(&rate)?;
            y += ROW;
        }
    }
    area.present()?;
    Ok(())
}

fn bars<'a>(figures: &'a [Value], database: &str) -> Vec<Bar<'a>> {
    let bar = |figure: &'a Value| {
        let is_drain = figure["case"] == "drain" && figure["database"] == database && figure["rounds"] != 0;
        is_drain.then_some(Bar {
            side: figure["side"].as_str()?,
            rate: figure["median"].as_f64()?,
            spread: (figure["least"].as_f64()?, figure["most"].as_f64()?),
        })
    };
    let mut bars: Vec<Bar> = figures.iter().filter_map(bar).collect();
    bars.sort_by(|a, b| b.rate.total_cmp(&a.rate));
    bars
}

#[expect(clippy::cast_possible_truncation, reason = "pixels are few")]
fn at(rate: f64, most: f64) -> i32 {
    BARS.0 + (f64::from(BARS.1 - BARS.0) * rate / most).round() as i32
}

/// 12345.6 is 12,346.
fn thousands(rate: f64) -> String {
    let digits = format!("{rate:.0}");
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .filter_map(|group| std::str::from_utf8(group).ok())
        .collect();
    groups.join(",")
}
