//! Which environment the pages show, so that nobody takes production for a test.

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
    /// For what must not be touched lightly, such as production.
    Red,
    /// For what others rely on, such as staging.
    Amber,
    /// For what is harmless.
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
