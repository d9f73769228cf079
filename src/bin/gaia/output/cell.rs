//! One text of a table, and its meaning for the reader.

use chrono::{DateTime, Utc};
use crossterm::style::{Color, Stylize};

use super::plain;
use crate::api::Fields;

/// What readers need to know of the moment and of the table.
pub struct View {
    pub now: DateTime<Utc>,
    pub is_wide: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    Plain,
    Good,
    Busy,
    Warning,
    Bad,
    Faint,
}

impl Tone {
    pub(super) fn colour(self) -> Option<Color> {
        match self {
            Self::Plain => None,
            Self::Good => Some(Color::DarkGreen),
            Self::Busy => Some(Color::DarkCyan),
            Self::Warning => Some(Color::DarkYellow),
            Self::Bad => Some(Color::DarkRed),
            Self::Faint => Some(Color::DarkGrey),
        }
    }

    /// Of the status of a task or of a run.
    fn of_status(status: &str) -> Self {
        match status {
            "Success" | "success" | "done" => Self::Good,
            "Running" | "running" => Self::Busy,
            "Retry" | "Cancelled" | "cancelled" | "skipped" => Self::Warning,
            "Failed" | "failed" => Self::Bad,
            _ => Self::Plain,
        }
    }
}

/// A text in one line, without anything that could command a terminal.
#[derive(Debug, Clone)]
pub struct Cell {
    pub(super) text: String,
    pub(super) tone: Tone,
}

impl Cell {
    pub fn new(text: impl AsRef<str>) -> Self {
        Self {
            text: plain(text.as_ref()),
            tone: Tone::Plain,
        }
    }

    pub fn toned(self, tone: Tone) -> Self {
        Self { tone, ..self }
    }

    pub fn of(fields: &Fields, key: &str) -> Self {
        Self::new(fields.text(key))
    }

    pub fn int(fields: &Fields, key: &str) -> Self {
        Self::new(fields.int(key).map(|number| number.to_string()).unwrap_or_default())
    }

    pub fn status(status: &str) -> Self {
        Self::new(status).toned(Tone::of_status(status))
    }

    pub(super) fn coloured(&self, has_colour: bool) -> String {
        match self.tone.colour().filter(|_| has_colour) {
            Some(colour) => self.text.as_str().with(colour).to_string(),
            None => self.text.clone(),
        }
    }
}
