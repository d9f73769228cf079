//! The whole terminal, as long as `top` lasts.

use std::io::{self, Stdout, Write, stdout};

use crossterm::{
    cursor::{Hide, MoveTo, Show},
    execute, queue,
    style::Print,
    terminal::{Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, size},
};

/// The second screen of the terminal; the first comes back when this is dropped.
pub struct Screen(Stdout);

impl Screen {
    pub fn enter() -> io::Result<Self> {
        let mut out = stdout();
        execute!(out, EnterAlternateScreen, Hide)?;
        Ok(Self(out))
    }

    /// Draws as many lines as the terminal has. A line that was longer before is cleared behind its new end.
    pub fn draw(&self, text: &str) -> io::Result<()> {
        let rows = size().map_or(usize::MAX, |(_, rows)| rows.into());
        let mut out = self.0.lock();
        for (row, line) in text.lines().take(rows).enumerate() {
            let row = u16::try_from(row).unwrap_or(u16::MAX);
            queue!(out, MoveTo(0, row), Print(line), Clear(ClearType::UntilNewLine))?;
        }
        if text.lines().count() < rows {
            queue!(out, Print("\r\n"), Clear(ClearType::FromCursorDown))?;
        }
        out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // The terminal may be gone.
        let _ = execute!(self.0, Show, LeaveAlternateScreen);
    }
}
