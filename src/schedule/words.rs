//! Macros, and the greatest lengths of texts.

/// The greatest length of an expression, in characters.
pub const MAX_SCHEDULE_CHARS: usize = 1_000;

/// The greatest length of the name of a time zone, in characters. The longest name in the IANA database has 32.
pub const MAX_ZONE_CHARS: usize = 64;

/// The macros, and the fields that each stands for.
pub(super) const MACROS: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// The macro that an interval follows.
pub(super) const EVERY: &str = "@every";

pub(super) fn known_macros() -> Vec<&'static str> {
    MACROS.iter().map(|(name, _)| *name).chain([EVERY]).collect()
}
