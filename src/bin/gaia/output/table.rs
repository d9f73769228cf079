//! Tables for people: one line for each row, cut to the width of the terminal.

use comfy_table::{
    Cell as TableCell, CellAlignment, ColumnConstraint, ContentArrangement, Row, Table, Width, presets::NOTHING,
};

use unicode_width::UnicodeWidthStr as _;

use super::{Cell, View};
use crate::api::Fields;

/// How a list is shown.
pub struct Sheet {
    pub columns: &'static [Column],
    /// The words for a list without rows.
    pub empty: &'static str,
    /// The id or name of an item, as commands take it.
    pub name: fn(&Fields) -> String,
}

pub struct Column {
    head: &'static str,
    cell: fn(&Fields, &View) -> Cell,
    fit: Fit,
    is_number: bool,
    is_for_wide: bool,
    /// Is left out if the terminal is too narrow.
    is_minor: bool,
}

#[derive(Clone, Copy)]
enum Fit {
    /// Is never cut.
    Whole,
    /// Is cut if the table is too wide, down to so many columns of the terminal.
    Least(u16),
}

/// A column that may be cut keeps so much.
const LEAST: u16 = 8;

/// Columns of the terminal between two columns of the table.
const GAP: u16 = 2;

impl Column {
    /// A column that is cut if the table is too wide.
    pub const fn new(head: &'static str, cell: fn(&Fields, &View) -> Cell) -> Self {
        Self {
            head,
            cell,
            fit: Fit::Least(LEAST),
            is_number: false,
            is_for_wide: false,
            is_minor: false,
        }
    }

    /// A short column, which is never cut.
    pub const fn whole(head: &'static str, cell: fn(&Fields, &View) -> Cell) -> Self {
        Self {
            fit: Fit::Whole,
            ..Self::new(head, cell)
        }
    }

    /// A column of numbers.
    pub const fn number(head: &'static str, cell: fn(&Fields, &View) -> Cell) -> Self {
        Self {
            is_number: true,
            ..Self::whole(head, cell)
        }
    }

    /// The same column, which a narrow terminal does not get.
    pub const fn minor(self) -> Self {
        Self { is_minor: true, ..self }
    }

    /// The same column, in wide tables alone.
    pub const fn for_wide(self) -> Self {
        Self {
            is_for_wide: true,
            ..self
        }
    }
}

impl Sheet {
    /// `width`: of the terminal. Without one nothing is cut, and no column is left out.
    pub(super) fn table(&self, rows: &[Fields], view: &View, width: Option<u16>, has_colour: bool) -> String {
        let width = width.filter(|_| !view.is_wide);
        let columns = self.columns.iter().filter(|column| view.is_wide || !column.is_for_wide);
        let mut shown: Vec<Shown> = columns.map(|column| Shown::of(column, rows, view)).collect();
        while let Some(last) = shown
            .iter()
            .rposition(|shown| shown.column.is_minor)
            .filter(|_| is_too_wide(&shown, width))
        {
            shown.remove(last);
        }
        laid_out(&shown, rows.len(), width, has_colour)
    }
}

/// A column with its cells, one for each row.
struct Shown {
    column: &'static Column,
    cells: Vec<Cell>,
}

impl Shown {
    fn of(column: &'static Column, rows: &[Fields], view: &View) -> Self {
        let cells = rows.iter().map(|row| (column.cell)(row, view)).collect();
        Self { column, cells }
    }

    /// How wide the column is at least.
    fn least(&self) -> usize {
        let widest = self.cells.iter().map(|cell| cell.text.width()).max().unwrap_or(0);
        let widest = widest.max(self.column.head.width());
        match self.column.fit {
            Fit::Whole => widest,
            Fit::Least(least) => widest.min(least.into()),
        }
    }
}

fn is_too_wide(columns: &[Shown], width: Option<u16>) -> bool {
    let gaps = usize::from(GAP) * columns.len().saturating_sub(1);
    let least = gaps + columns.iter().map(Shown::least).sum::<usize>();
    width.is_some_and(|width| least > usize::from(width))
}

fn laid_out(columns: &[Shown], rows: usize, width: Option<u16>, has_colour: bool) -> String {
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_truncation_indicator("…")
        .set_header(columns.iter().map(|shown| shown.column.head));
    match has_colour {
        true => table.enforce_styling(),
        false => table.force_no_tty(),
    };
    match width {
        Some(width) => table
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(width),
        None => table.set_content_arrangement(ContentArrangement::Disabled),
    };
    for at in 0..rows {
        table.add_row(row(columns.iter().filter_map(|shown| shown.cells.get(at))));
    }
    for (at, Shown { column, .. }) in columns.iter().enumerate() {
        if let Some(laid) = table.column_mut(at) {
            laid.set_padding((0, if at + 1 == columns.len() { 0 } else { GAP }));
            if column.is_number {
                laid.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    constrain(&mut table, columns, width);
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    format!("{}\n", lines.join("\n"))
}

/// Columns that are too wide together share what the whole ones leave, each at least its least width.
fn constrain(table: &mut Table, columns: &[Shown], width: Option<u16>) {
    let widths = table.column_max_content_widths();
    for ((at, Shown { column, .. }), content) in columns.iter().enumerate().zip(widths) {
        let Some(laid) = table.column_mut(at) else { continue };
        match column.fit {
            Fit::Whole => laid.set_constraint(ColumnConstraint::ContentWidth),
            Fit::Least(least) if width.is_some() => {
                laid.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(least.min(content) + GAP)))
            }
            Fit::Least(_) => continue,
        };
    }
}

fn row<'a>(cells: impl Iterator<Item = &'a Cell>) -> Row {
    let mut row = Row::new();
    row.max_height(1);
    for cell in cells {
        let laid = TableCell::new(&cell.text);
        row.add_cell(match cell.tone.colour() {
            Some(colour) => laid.fg(colour_of(colour)),
            None => laid,
        });
    }
    row
}

fn colour_of(colour: crossterm::style::Color) -> comfy_table::Color {
    use crossterm::style::Color;
    match colour {
        Color::DarkGreen => comfy_table::Color::DarkGreen,
        Color::DarkCyan => comfy_table::Color::DarkCyan,
        Color::DarkYellow => comfy_table::Color::DarkYellow,
        Color::DarkRed => comfy_table::Color::DarkRed,
        _ => comfy_table::Color::DarkGrey,
    }
}
