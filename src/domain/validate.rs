//! Bad input is refused where it enters, with every fault named at once.

use std::fmt;

/// Longest service, method and task name, in characters: the width of the guide's columns.
pub const MAX_NAME_CHARS: usize = 255;
/// Longest theme, in characters: the width of the guide's `system_name`.
pub const MAX_THEME_CHARS: usize = 100;
/// Longest argument text, in bytes (8 MiB): what all three databases take with their default settings.
pub const MAX_ARG_BYTES: usize = 8 << 20;
/// Most workers one scheduler may have: each is an actor, so this is a guard against a slip of the finger, not a limit of
/// the machine.
pub(crate) const MAX_WORKERS: usize = 100_000;
/// Largest page of a list.
pub const MAX_PAGE_SIZE: u32 = 1_000;

/// Input that was refused, with one line for each fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidInput {
    faults: Vec<String>,
}

impl InvalidInput {
    /// Each fault in one sentence.
    #[must_use]
    pub fn faults(&self) -> &[String] {
        &self.faults
    }

    /// Input with this one fault.
    pub(crate) fn one(fault: String) -> Self {
        Self { faults: vec![fault] }
    }

    /// The same faults, each said of `what`.
    pub(crate) fn of(self, what: &str) -> Self {
        let say = |fault| format!("{what}: {fault}");
        Self {
            faults: self.faults.into_iter().map(say).collect(),
        }
    }
}

impl fmt::Display for InvalidInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.faults.join("; "))
    }
}

impl std::error::Error for InvalidInput {}

/// Collects faults, so that a caller hears of all of them in one answer.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<String>);

impl Faults {
    /// Notes `fault()` unless `holds`.
    pub(crate) fn require(&mut self, holds: bool, fault: impl FnOnce() -> String) {
        if !holds {
            self.0.push(fault());
        }
    }

    /// A name that must not be empty, too long for its column, or hold a control character: names stand in messages between
    /// processes, in log lines and in lists.
    pub(crate) fn name(&mut self, what: &str, name: &str, most: usize) {
        self.label(what, name, most);
        // A NUL is named above.
        if let Some(control) = name.chars().find(|char| char.is_control() && *char != '\0') {
            let code = u32::from(control);
            self.0
                .push(format!("{what} holds the control character U+{code:04X}; leave it out"));
        }
    }

    /// The name of a job, which other frameworks may have written: one with a line break must not keep the job from running.
    pub(crate) fn label(&mut self, what: &str, name: &str, most: usize) {
        let chars = name.chars().count();
        self.require(!name.trim().is_empty(), || format!("{what} is empty"));
        self.require(chars <= most, || {
            format!("{what} has {chars} characters, at most {most} fit its column")
        });
        self.require(!name.contains('\0'), || {
            format!("{what} holds the control character U+0000; leave it out")
        });
    }

    /// The value, or `None` and a note of the fault.
    pub(crate) fn take<T, E: fmt::Display>(&mut self, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.0.push(error.to_string())).ok()
    }

    pub(crate) fn into_error(self) -> InvalidInput {
        InvalidInput { faults: self.0 }
    }

    pub(crate) fn into_result(self) -> Result<(), InvalidInput> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(self.into_error())
        }
    }
}

/// A theme as it may stand in `system_name`.
pub(crate) fn check_theme(theme: &str) -> Result<(), InvalidInput> {
    let mut faults = Faults::default();
    faults.name("theme", theme, MAX_THEME_CHARS);
    faults.into_result()
}

/// Arguments as they may stand in a column.
pub(crate) fn check_json(faults: &mut Faults, text: &str) {
    faults.require(text.len() <= MAX_ARG_BYTES, || {
        let len = text.len();
        format!("the arguments have {len} bytes, at most {MAX_ARG_BYTES} are stored")
    });
    if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(text) {
        faults.require(false, || format!("the arguments are not JSON: {error}"));
    }
}
