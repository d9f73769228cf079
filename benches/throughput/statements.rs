//! Counts the statements and the commits that change something, as diesel tells of them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use diesel::connection::{InstrumentationEvent, set_default_instrumentation};

use crate::database::Result;

static IS_COUNTING: AtomicBool = AtomicBool::new(false);
static STATEMENTS: AtomicU64 = AtomicU64::new(0);
static COMMITS: AtomicU64 = AtomicU64::new(0);

/// To be called before any connection is opened.
pub(crate) fn listen() -> Result<()> {
    set_default_instrumentation(|| {
        let mut connection = Connection::default();
        Some(Box::new(move |event: InstrumentationEvent<'_>| connection.note(&event)))
    })?;
    Ok(())
}

/// To look at a statement takes time: nothing else is measured meanwhile.
pub(crate) fn begin() {
    IS_COUNTING.store(true, Relaxed);
}

/// Statements and commits since [`begin`].
pub(crate) fn end() -> (u64, u64) {
    IS_COUNTING.store(false, Relaxed);
    (STATEMENTS.swap(0, Relaxed), COMMITS.swap(0, Relaxed))
}

#[derive(Default)]
struct Connection {
    in_transaction: bool,
    has_written: bool,
}

impl Connection {
    fn note(&mut self, event: &InstrumentationEvent<'_>) {
        if let InstrumentationEvent::StartQuery { query, .. } = event
            && IS_COUNTING.load(Relaxed)
        {
            self.statement(&query.to_string());
        }
    }

    fn statement(&mut self, sql: &str) {
        STATEMENTS.fetch_add(1, Relaxed);
        // A text may begin a transaction and go on with its settings.
        let first = sql.split_whitespace().next().unwrap_or_default();
        match first.trim_end_matches(';') {
            "BEGIN" | "START" => self.in_transaction = true,
            "COMMIT" => self.end(),
            "ROLLBACK" => *self = Self::default(),
            "SELECT" => {}
            _ => self.write(),
        }
    }

    fn write(&mut self) {
        self.has_written = true;
        if !self.in_transaction {
            self.end();
        }
    }

    fn end(&mut self) {
        COMMITS.fetch_add(u64::from(self.has_written), Relaxed);
        *self = Self::default();
    }
}
