//! Which environment the pages show, so that an operator does not take production for a test.

/// A name and a colour in the head of every page.
#[derive(Debug, Clone)]
pub(super) struct Environment {
    pub(super) name: String,
    pub(super) colour: EnvironmentColour,
}

/// The colour of an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EnvironmentColour {
    /// For production.
    Red,
    /// For environments on which others rely, such as staging.
    Amber,
    /// For harmless ones, such as a developer's machine.
    Green,
    /// For everything else.
    Blue,
}

impl EnvironmentColour {
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::Red => "red",
            Self::Amber => "amber",
            Self::Green => "green",
            Self::Blue => "blue",
        }
    }
}
