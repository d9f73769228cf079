//! How the program ends: its exit codes, and the words for a failure.

use std::{fmt, process::ExitCode};

/// What the exit code tells a script. The numbers are a promise: docs/cli.md lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Done = 0,
    Failed = 1,
    Usage = 2,
    NotFound = 3,
    /// The state of the thing does not allow the change, or another change came first.
    NotAllowed = 4,
    NoRight = 5,
    WaitedInVain = 6,
    /// A bulk operation has changed only a part of its tasks.
    Part = 7,
    /// The database or the server is away, or answers with something else.
    Away = 8,
    /// Ended by SIGINT, as shells count it.
    Interrupted = 130,
    Terminated = 143,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command has failed: the event, the expected value, the way out.
#[derive(Debug)]
pub struct Failure {
    pub exit: Exit,
    text: String,
}

pub type Result<T = Exit> = std::result::Result<T, Failure>;

impl Failure {
    pub fn new(exit: Exit, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { exit, text }
    }

    pub fn usage(text: impl Into<String>) -> Self {
        Self::new(Exit::Usage, text)
    }

    pub fn failed(text: impl Into<String>) -> Self {
        Self::new(Exit::Failed, text)
    }

    pub fn not_found(text: impl Into<String>) -> Self {
        Self::new(Exit::NotFound, text)
    }

    pub fn away(text: impl Into<String>) -> Self {
        Self::new(Exit::Away, text)
    }

    /// A reader of the output who has gone has seen enough: nothing is said, and nothing has failed.
    pub fn of_output(error: &std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Self::new(Exit::Done, ""),
            _ => Self::failed(format!("cannot write the output: {error}")),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
