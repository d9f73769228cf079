//! What `top` knows, and how it shows it.

use std::collections::BTreeMap;

use chrono::{SecondsFormat, TimeDelta};
use serde_json::json;

use crate::{
    api::{Api, Fields},
    commands::{node, theme::note},
    exit::{Exit, Result},
    output::{Cell, Column, Sheet, Tone, words},
    session::Session,
};

/// Over which time rates are counted, in seconds, and of which steps.
const SPAN: i64 = 60;
const STEP: u32 = 10;

/// The attempts of a theme that have ended in the last minute.
#[derive(Default, Clone, Copy)]
struct Rate {
    ended: i64,
    failed: i64,
}

#[derive(Default)]
pub struct State {
    themes: Option<Vec<Fields>>,
    nodes: Option<Vec<Fields>>,
    /// Why the server cannot ask its database now.
    problem: Option<String>,
    rates: BTreeMap<String, Rate>,
}

const THEMES: Sheet = Sheet {
    columns: &[
        Column::new("THEME", |theme, _| Cell::of(theme, "theme")),
        Column::whole("STATE", |theme, _| match theme.flag("paused") {
            true => Cell::new("paused").toned(Tone::Warning),
            false => Cell::new("open"),
        }),
        Column::number("PER S", |theme, _| Cell::of(theme, "rate")),
        Column::number("FAILED/MIN", |theme, _| {
            let failed = theme.text("failures");
            let tone = if failed == "0" { Tone::Plain } else { Tone::Bad };
            Cell::new(failed).toned(tone)
        }),
        Column::number("BUSY", |theme, _| Cell::int(theme, "running")),
        Column::number("WORKERS", |theme, _| Cell::int(theme, "node_workers")),
        Column::number("DUE", |theme, _| unfinished(theme, "due")),
        Column::whole("OLDEST DUE", |theme, view| {
            let oldest = theme.object("unfinished").and_then(|tasks| tasks.time("oldest_due"));
            Cell::new(words::in_table(oldest, view))
        }),
        Column::number("LATER", |theme, _| unfinished(theme, "scheduled")).minor(),
        Column::number("NO NODE", |theme, _| {
            let cell = unfinished(theme, "unserved");
            let count = theme.object("unfinished").and_then(|tasks| tasks.int("unserved"));
            if count.is_some_and(|count| count > 0) {
                cell.toned(Tone::Bad)
            } else {
                cell
            }
        }),
        Column::new("NOTE", |theme, view| Cell::new(note(theme, "pause", view))).minor(),
    ],
    empty: "No theme has settings, unfinished tasks or workers.",
    name: |theme| theme.text("theme"),
};

fn unfinished(theme: &Fields, key: &str) -> Cell {
    let tasks = theme.object("unfinished");
    Cell::new(
        tasks
            .and_then(|tasks| tasks.int(key))
            .map(|count| count.to_string())
            .unwrap_or_default(),
    )
}

impl State {
    pub fn take(&mut self, event: &str, data: &str) -> Result<()> {
        let data: Fields = crate::commands::input::parsed(data, "the events of the server")?;
        match event {
            "themes" => self.themes = Some(data.list("themes")),
            "nodes" => self.nodes = Some(data.list("nodes")),
            "problem" => {
                self.problem = Some(data.text("code"));
                return Ok(());
            }
            _ => return Ok(()),
        }
        self.problem = None;
        Ok(())
    }

    /// Whether there is something to show: all of it, or that there is trouble.
    pub fn is_whole(&self) -> bool {
        (self.themes.is_some() && self.nodes.is_some()) || self.problem.is_some()
    }

    /// Reads the history of the last minute.
    pub async fn read_rates(&mut self, api: &Api) -> Result<()> {
        let from = api
            .now()
            .checked_sub_signed(TimeDelta::seconds(SPAN))
            .unwrap_or_default();
        let request = api
            .get(&["history"])
            .query("from", from.to_rfc3339_opts(SecondsFormat::Secs, true));
        let request = request.query("step", STEP).query("by_method", true);
        let points = match request.send().await {
            // A caller who is limited to themes sees no history of all of them.
            Err(failure) if failure.exit == Exit::NoRight => return Ok(()),
            answer => answer?.fields()?.list("points"),
        };
        self.rates.clear();
        for point in &points {
            let rate = self.rates.entry(point.text("theme")).or_default();
            let count = |key: &str| point.int(key).unwrap_or(0);
            rate.ended += count("succeeded") + count("failed") + count("cancelled");
            rate.failed += count("failed") + count("retried") + count("lost");
        }
        Ok(())
    }

    /// The themes, each with its rates.
    fn with_rates(&self) -> Vec<Fields> {
        let themes = self.themes.iter().flatten();
        themes.map(|theme| self.with_rate(theme)).collect()
    }

    fn with_rate(&self, theme: &Fields) -> Fields {
        let rate = self.rates.get(&theme.text("theme")).copied().unwrap_or_default();
        let (mut theme, tenths) = (theme.clone(), rate.ended * 10 / SPAN);
        let texts = [
            ("rate", format!("{}.{}", tenths / 10, tenths % 10)),
            ("failures", rate.failed.to_string()),
        ];
        for (key, text) in texts {
            if let Ok(value) = serde_json::value::to_raw_value(&text) {
                theme.set(key, value);
            }
        }
        theme
    }

    fn others(&self, api: &Api) -> Vec<Fields> {
        let nodes = self.nodes.iter().flatten();
        nodes
            .filter(|node| !api.is_own_node(&node.text("id")))
            .cloned()
            .collect()
    }

    pub fn text(&self, session: &Session, api: &Api) -> String {
        let (out, view) = (&session.out, session.out.view(api));
        let (themes, nodes) = (self.with_rates(), self.others(api));
        let sum = |key: &str| themes.iter().filter_map(|theme| theme.int(key)).sum::<i64>();
        let alive = nodes.iter().filter(|node| node.flag("alive")).count();
        let silent = nodes.len() - alive;
        let head = format!(
            "{}  {} alive{}, {} of {} busy",
            words::written(view.now),
            words::counted(alive, "node", "nodes"),
            if silent > 0 {
                format!(", {silent} silent")
            } else {
                String::new()
            },
            sum("running"),
            words::counted(sum("node_workers"), "worker", "workers"),
        );
        let problem = self.problem.iter().map(|problem| {
            let words = format!("The server cannot ask its database now: {problem}. What follows is older.");
            out.coloured(&Cell::new(words).toned(Tone::Bad))
        });
        let tables = [(&THEMES, &themes), (&node::SHEET, &nodes)].map(|(sheet, rows)| match rows.is_empty() {
            true => format!("\n{}", sheet.empty),
            false => format!("\n{}", out.table(sheet, rows, &view).trim_end()),
        });
        let head = out.coloured(&Cell::new(head));
        let parts: Vec<String> = std::iter::once(head).chain(problem).chain(tables).collect();
        format!("{}\n", parts.join("\n"))
    }

    /// Writes the state once.
    pub fn write(&self, session: &Session, api: &Api) -> Result<()> {
        match session.out.is_table() {
            true => session.out.write(&self.text(session, api)),
            false => session
                .out
                .value(&json!({ "themes": self.with_rates(), "nodes": self.others(api) })),
        }
    }
}
