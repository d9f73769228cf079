//! The lines that the crate logs in this process.

use std::sync::{Mutex, Once};

use gaia_actors::logs::LogCapture;
use log::Level;

static LINES: Mutex<Vec<(Level, String)>> = Mutex::new(Vec::new());

struct Lines;

impl log::Log for Lines {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.target().starts_with("gaia_actors")
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            let line = (record.level(), record.args().to_string());
            LINES.lock().expect("is sound").push(line);
        }
    }

    fn flush(&self) {}
}

/// Keeps the lines that are logged from now on, of all tests of this process.
pub fn listen() {
    static LISTENS: Once = Once::new();
    LISTENS.call_once(|| {
        let capture = LogCapture::around(Lines);
        capture
            .install(log::LevelFilter::Debug)
            .expect("no other logger is set");
    });
}

/// The lines so far that contain all of `parts`, each with its level.
pub fn lines(parts: &[&str]) -> Vec<(Level, String)> {
    let lines = LINES.lock().expect("is sound");
    let found = lines
        .iter()
        .filter(|(_, line)| parts.iter().all(|part| line.contains(part)));
    found.cloned().collect()
}
