//! JSON text on its way between callers, handlers and the database.

use std::{borrow::Cow, fmt};

use serde::{Serialize, de::DeserializeOwned};

use super::TaskError;

/// JSON text: the arguments of a call, or its result.
///
/// ```
/// use gaia_actors::Json;
///
/// let json = Json::of(&[1, 2, 3])?;
/// assert_eq!(json.as_str(), "[1,2,3]");
/// assert_eq!(json.parse::<Vec<u8>>()?, [1, 2, 3]);
/// # Ok::<(), gaia_actors::TaskError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Json(Cow<'static, str>);

impl Json {
    /// The JSON value `null`.
    #[must_use]
    pub const fn null() -> Self {
        Self(Cow::Borrowed("null"))
    }

    /// `value` as JSON.
    ///
    /// # Errors
    /// [`TaskError::Discard`] if it cannot be serialised (a map whose keys are no strings, for example): the same value
    /// would fail again.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, TaskError> {
        serde_json::to_string(value)
            .map(|text| Self(Cow::Owned(text)))
            .map_err(|error| TaskError::Discard(format!("the result cannot be serialised to JSON: {error}")))
    }

    /// The text of a column; none or an empty one means `null`. It is not checked here: [`parse`](Self::parse) does.
    pub(crate) fn from_column(text: Option<String>) -> Self {
        match text {
            Some(text) if !text.trim().is_empty() => Self(Cow::Owned(text)),
            _ => Self::null(),
        }
    }

    /// The value of type `T` it stands for.
    ///
    /// # Errors
    /// [`TaskError::Discard`] with the guide's `PARAM_ERROR` if the text is not JSON or does not fit `T`: another attempt
    /// would meet the same text.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, TaskError> {
        serde_json::from_str(&self.0).map_err(|error| {
            let expected = std::any::type_name::<T>();
            TaskError::Discard(format!("PARAM_ERROR: the arguments do not fit {expected}: {error}"))
        })
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0.into_owned()
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
