//! What the program writes: data to the standard output, words to the error output.

mod cell;
mod details;
mod exact;
mod plain;
mod table;
pub mod words;

use std::io::{self, IsTerminal, Stdout, Write};

use clap::ValueEnum;
use serde_json::value::RawValue;

pub use self::{
    cell::{Cell, Tone, View},
    details::Details,
    plain::plain,
    table::{Column, Sheet},
};
use self::{exact::Exact, plain::plain_text};
use crate::{
    api::{Api, Fields},
    exit::{Exit, Failure, Result},
};

/// How data are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table for people, as wide as the terminal
    Table,
    /// A table with more columns, and with times instead of ages
    Wide,
    /// What the API answers, as JSON
    Json,
    /// The same, one item in each line
    Jsonl,
    /// The same as YAML
    Yaml,
    /// Ids or names alone, one in each line, as other commands take them
    Name,
}

/// The standard output.
pub struct Out {
    pub format: Format,
    /// How many columns the terminal has; none if there is no terminal.
    pub width: Option<u16>,
    has_colour: bool,
    stdout: Stdout,
}

/// Says something to the person who has called the program, on the error output.
pub fn say(text: &str) {
    // There is no other place to which to report.
    let _ = writeln!(io::stderr(), "{}", plain_text(text));
}

/// Asks for a line that is typed behind the question.
pub fn ask_line(question: &str) -> io::Result<()> {
    let mut stderr = io::stderr();
    write!(stderr, "{}", plain_text(question))?;
    stderr.flush()
}

impl Out {
    pub fn new(format: Format) -> Self {
        let is_terminal = io::stdout().is_terminal();
        let size = crossterm::terminal::size().ok().filter(|_| is_terminal);
        let wants_none = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            format,
            width: size.map(|(columns, _)| columns).filter(|columns| *columns > 0),
            has_colour: is_terminal && !wants_none,
            stdout: io::stdout(),
        }
    }

    pub fn is_terminal(&self) -> bool {
        self.width.is_some()
    }

    /// Whether people read the output.
    pub fn is_table(&self) -> bool {
        matches!(self.format, Format::Table | Format::Wide)
    }

    pub fn view(&self, api: &Api) -> View {
        View {
            now: api.now(),
            is_wide: self.format == Format::Wide,
        }
    }

    /// Writes a list.
    pub fn list(&self, sheet: &Sheet, rows: &[Fields], view: &View) -> Result<()> {
        match self.format {
            Format::Table | Format::Wide if rows.is_empty() => {
                say(sheet.empty);
                Ok(())
            }
            Format::Table | Format::Wide => self.write(&sheet.table(rows, view, self.width, self.has_colour)),
            Format::Name => rows.iter().try_for_each(|row| self.line(&(sheet.name)(row))),
            Format::Jsonl => rows.iter().try_for_each(|row| self.json_line(row)),
            Format::Json => self.json(&json_text(&rows)?),
            Format::Yaml => self.yaml(&json_text(&rows)?),
        }
    }

    /// Writes one item. `details` is for people.
    pub fn item(&self, sheet: &Sheet, item: &Fields, details: impl FnOnce() -> Details) -> Result<()> {
        match self.format {
            Format::Table | Format::Wide => self.write(&details().text(self.has_colour)),
            Format::Name => self.line(&(sheet.name)(item)),
            _ => self.value(item),
        }
    }

    /// Writes an answer of another form in the formats for programs.
    pub fn value(&self, value: &impl serde::Serialize) -> Result<()> {
        match self.format {
            Format::Jsonl => self.json_line(value),
            Format::Yaml => self.yaml(&json_text(value)?),
            _ => self.json(&json_text(value)?),
        }
    }

    fn json_line(&self, value: &impl serde::Serialize) -> Result<()> {
        let text = json_text(value)?;
        self.write(&format!("{}\n", plain::escaped(text.get())))
    }

    fn json(&self, text: &RawValue) -> Result<()> {
        self.write(&format!("{}\n", exact(text)?.pretty()))
    }

    fn yaml(&self, text: &RawValue) -> Result<()> {
        let yaml = serde_saphyr::to_string(&exact(text)?)
            .map_err(|error| Failure::failed(format!("the answer cannot be written as YAML: {error}")))?;
        self.text(&yaml)
    }

    /// Writes a line, without commands for a terminal.
    pub fn line(&self, text: &str) -> Result<()> {
        self.write(&format!("{}\n", plain(text)))
    }

    /// Writes lines as they are; a terminal gets nothing that could command it.
    pub fn text(&self, text: &str) -> Result<()> {
        match self.is_terminal() {
            true => self.write(&plain_text(text)),
            false => self.write(text),
        }
    }

    /// Writes bytes that are a part of a file.
    pub fn bytes(&self, bytes: &[u8]) -> Result<()> {
        match self.is_terminal() {
            true => self.write(&plain_text(&String::from_utf8_lossy(bytes))),
            false => io::stdout()
                .write_all(bytes)
                .map_err(|error| Failure::of_output(&error)),
        }
    }

    pub fn table(&self, sheet: &Sheet, rows: &[Fields], view: &View) -> String {
        sheet.table(rows, view, self.width, self.has_colour)
    }

    /// A table for the error output: without colours.
    pub fn table_for_words(&self, sheet: &Sheet, rows: &[Fields], view: &View) -> String {
        sheet.table(rows, view, self.width, false)
    }

    pub fn details(&self, details: &Details) -> Result<()> {
        self.write(&details.text(self.has_colour))
    }

    pub fn coloured(&self, cell: &Cell) -> String {
        cell.coloured(self.has_colour)
    }

    /// Clears the terminal for the next look; elsewhere an empty line parts two looks.
    pub fn begin_again(&self) -> Result<()> {
        match self.is_terminal() && self.is_table() {
            true => self.write("\x1b[2J\x1b[H"),
            false => Ok(()),
        }
    }

    /// The text holds nothing that others have written, or holds it in a form that is safe.
    pub fn write(&self, text: &str) -> Result<()> {
        let mut stdout = self.stdout.lock();
        let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
        written.map_err(|error| Failure::of_output(&error))
    }

    /// Writes the id or the name after a change; other formats get the whole answer.
    pub fn changed(&self, name: &str, answer: &Fields) -> Result<Exit> {
        match self.format {
            Format::Table | Format::Wide | Format::Name => self.line(name)?,
            _ => self.value(answer)?,
        }
        Ok(Exit::Done)
    }
}

fn json_text(value: &impl serde::Serialize) -> Result<Box<RawValue>> {
    serde_json::value::to_raw_value(value)
        .map_err(|error| Failure::failed(format!("the answer cannot be written as JSON: {error}")))
}

fn exact(text: &RawValue) -> Result<Exact<'_>> {
    Exact::of(text).map_err(|error| Failure::failed(format!("the answer cannot be written: {error}")))
}
