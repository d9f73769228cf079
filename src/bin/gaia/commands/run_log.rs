//! What handlers have logged in a run.

use std::time::Duration;

use crate::{
    api::{Fields, Request},
    exit::{Exit, Result},
    output::{Cell, Format, Tone, say, words},
    session::Session,
};

/// For how long the server waits for further lines.
const WAIT: Duration = Duration::from_secs(30);

/// Shows the lines of a run; with `follow` until the run has ended.
pub async fn show<'a>(session: &Session, follow: bool, request: impl Fn() -> Request<'a>) -> Result {
    let mut after = 0;
    loop {
        let asked = request().query("after", after);
        let asked = if follow && after > 0 { asked.waits(WAIT) } else { asked };
        let log = asked.send().await?.fields()?;
        let lines = log.list("lines");
        lines.iter().try_for_each(|line| write(session, line))?;
        if after == 0 && lines.is_empty() && !follow {
            say("The handler has logged nothing in this run.");
        }
        if !follow || log.flag("is_over") {
            return Ok(Exit::Done);
        }
        let next = log.int("next").unwrap_or(0);
        if next == after {
            // Nothing new, and the server was not asked to wait in the first round.
            actix_rt::time::sleep(Duration::from_millis(200)).await;
        }
        after = next;
    }
}

fn write(session: &Session, line: &Fields) -> Result<()> {
    let out = &session.out;
    if !matches!(out.format, Format::Table | Format::Wide | Format::Name) {
        return out.value(line);
    }
    let level = line.text("level");
    let tone = match level.as_str() {
        "ERROR" => Tone::Bad,
        "WARN" => Tone::Warning,
        "DEBUG" | "TRACE" => Tone::Faint,
        _ => Tone::Plain,
    };
    let at = line.time("at").map(words::written).unwrap_or_default();
    let level = out.coloured(&Cell::new(format!("{level:5}")).toned(tone));
    let message = Cell::new(line.text("message"));
    if let Some(count) = line.int("left_out").filter(|count| *count > 0) {
        out.line(&format!(
            "… {} left out",
            words::counted(count, "line was", "lines were")
        ))?;
    }
    out.write(&format!("{at} {level} {}\n", out.coloured(&message)))
}
