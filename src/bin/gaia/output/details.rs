//! One item for people: a name and a value in each line.

use super::{Cell, View, words};
use crate::api::Fields;

#[derive(Default)]
pub struct Details(Vec<(&'static str, Vec<Cell>)>);

impl Details {
    /// A value in one line. An empty one is left out.
    pub fn add(mut self, name: &'static str, value: Cell) -> Self {
        if !value.text.is_empty() {
            self.0.push((name, vec![value]));
        }
        self
    }

    pub fn text_of(self, name: &'static str, fields: &Fields, key: &str) -> Self {
        self.add(name, Cell::of(fields, key))
    }

    pub fn int_of(self, name: &'static str, fields: &Fields, key: &str) -> Self {
        self.add(name, Cell::int(fields, key))
    }

    pub fn time_of(self, name: &'static str, fields: &Fields, key: &str, view: &View) -> Self {
        let time = fields.time(key).map(|time| words::both(time, view)).unwrap_or_default();
        self.add(name, Cell::new(time))
    }

    /// A text of several lines, such as an error.
    pub fn lines(mut self, name: &'static str, text: &str) -> Self {
        if !text.trim().is_empty() {
            self.0.push((name, text.trim_end().lines().map(Cell::new).collect()));
        }
        self
    }

    /// A value as JSON, or the text beside it if it is none.
    pub fn json_of(self, name: &'static str, fields: &Fields, key: &str, text_key: &str) -> Self {
        match fields.raw(key) {
            Some(value) => self.add(name, Cell::new(super::plain::escaped(value.get()))),
            None => self.lines(name, &fields.text(text_key)),
        }
    }

    pub(super) fn text(&self, has_colour: bool) -> String {
        let widest = self.0.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        let mut text = String::new();
        for (name, values) in &self.0 {
            for (at, value) in values.iter().enumerate() {
                let name = if at == 0 { *name } else { "" };
                let line = format!("{name:widest$}  {}", value.coloured(has_colour));
                text.push_str(line.trim_end());
                text.push('\n');
            }
        }
        text
    }
}
