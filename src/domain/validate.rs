//! Checks input where it enters; the error names every fault at once.

use std::fmt;

/// Longest service, method and task name, in characters: the width of the guide's columns.
pub const MAX_NAME_CHARS: usize = 255;

/// The longest limit key.
pub const MAX_LIMIT_KEY_CHARS: usize = 100;
/// Longest theme, in characters: the width of the guide's `system_name`.
pub const MAX_THEME_CHARS: usize = 100;
/// Longest argument text, in bytes (8 MiB): all three databases take it with their default settings.
pub const MAX_ARG_BYTES: usize = 8 << 20;
/// Most workers that one scheduler may have. It guards against a typing error; it is no limit of the machine, since a worker is just an
/// actor.
pub(crate) const MAX_WORKERS: usize = 100_000;
/// Largest page of a list.
pub const MAX_PAGE_SIZE: u32 = 1_000;

/// Input that was refused, with every fault that was found.
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

    /// Input with these faults, of which there is one at least.
    pub(crate) fn all(faults: Vec<String>) -> Self {
        Self { faults }
    }

    /// The same faults, each with `what` and a colon before it.
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

/// Collects faults, so that one answer names all of them to the caller.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<String>);

impl Faults {
    /// Notes `fault()` unless `holds`.
    pub(crate) fn add(&mut self, fault: String) {
        self.0.push(fault);
    }

    pub(crate) fn require(&mut self, holds: bool, fault: impl FnOnce() -> String) {
        if !holds {
            self.0.push(fault());
        }
    }

    /// Checks a name: it must not be empty, be too long for its column, or hold a control character, since names stand in messages between
    /// processes, in log lines and in lists.
    pub(crate) fn name(&mut self, what: &str, name: &str, most: usize) {
        self.label(what, name, most);
        // `label` has named a NUL.
        if let Some(control) = name.chars().find(|char| char.is_control() && *char != '\0') {
            let code = u32::from(control);
            self.0
                .push(format!("{what} holds the control character U+{code:04X}; leave it out"));
        }
    }

    /// Checks the name of a job, which another framework may have written. It may hold control characters other than NUL: a line break in
    /// the name must not keep the job from running.
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

    /// The value. An error is noted as a fault, and the answer is `None`.
    pub(crate) fn take<T, E: fmt::Display>(&mut self, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.0.push(error.to_string())).ok()
    }

    /// Notes every fault that another check has found.
    pub(crate) fn include(&mut self, check: Result<(), InvalidInput>) {
        if let Err(InvalidInput { faults }) = check {
            self.0.extend(faults);
        }
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

/// Checks that a theme may stand in the column `system_name`.
pub(crate) fn check_theme(theme: &str) -> Result<(), InvalidInput> {
    let mut faults = Faults::default();
    faults.name("theme", theme, MAX_THEME_CHARS);
    faults.into_result()
}

/// Checks that arguments are JSON and not too long to be stored.
pub(crate) fn check_json(faults: &mut Faults, text: &str) {
    faults.require(text.len() <= MAX_ARG_BYTES, || {
        let len = text.len();
        format!("the arguments have {len} bytes, at most {MAX_ARG_BYTES} are stored")
    });
    if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(text) {
        faults.require(false, || format!("the arguments are not JSON: {error}"));
    }
}
