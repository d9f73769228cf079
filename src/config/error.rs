//! Why a configuration was refused, in words that show no secret.

/// Why a configuration was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("configuration: {0}")]
pub struct ConfigError(String);

impl ConfigError {
    pub(crate) fn new(fault: String) -> Self {
        Self(fault)
    }
}

/// How alike a mistyped name and a suggested one must be, from 0 to 1: a suggestion that is less alike is no help.
const LEAST_LIKENESS: f64 = 0.6;

/// A name from a configuration, unless it may be a URL, which may hold a password.
pub(super) fn name(text: &str) -> &str {
    if text.contains(['@', ':', ';', '=']) {
        "(not shown)"
    } else {
        text
    }
}

/// The known name most like `key`; `None` if none is like it.
pub(crate) fn nearest<'a>(key: &str, known: &[&'a str]) -> Option<&'a str> {
    most_like(key, known, LEAST_LIKENESS)
}

/// The known name that `key` is, but for a slip of the fingers.
pub(super) fn slip<'a>(key: &str, known: &[&'a str]) -> Option<&'a str> {
    const LIKENESS_OF_A_SLIP: f64 = 0.8;
    let one_letter =
        |name: &&&str| strsim::damerau_levenshtein(&key.to_ascii_lowercase(), &name.to_ascii_lowercase()) <= 1;
    most_like(key, known, LIKENESS_OF_A_SLIP).or_else(|| known.iter().find(one_letter).copied())
}

fn most_like<'a>(key: &str, known: &[&'a str], least: f64) -> Option<&'a str> {
    let key = key.to_ascii_lowercase();
    let likeness = |name: &str| strsim::normalized_damerau_levenshtein(&key, &name.to_ascii_lowercase());
    let known = known.iter().map(|name| (*name, likeness(name)));
    let (name, likeness) = known.max_by(|a, b| a.1.total_cmp(&b.1))?;
    (likeness >= least).then_some(name)
}
