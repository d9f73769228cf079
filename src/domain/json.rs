//! JSON text on its way between callers, handlers and the database.

use std::{borrow::Cow, fmt};

use serde::{Serialize, de::DeserializeOwned};
use smallvec::SmallVec;

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
        Ok(JsonText::of(value)?.into_json())
    }

    /// The text of a call. It is not checked here: [`parse`](Self::parse) does.
    pub(crate) fn from_text(text: Cow<'_, str>) -> Self {
        match &*text {
            "null" => Self::null(),
            _ => Self(Cow::Owned(text.into_owned())),
        }
    }

    pub(crate) fn into_text(self) -> Cow<'static, str> {
        self.0
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
        parsed(&self.0)
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

/// The value of type `T` that a JSON text stands for.
pub(crate) fn parsed<T: DeserializeOwned>(text: &str) -> Result<T, TaskError> {
    serde_json::from_str(text).map_err(|error| {
        let expected = std::any::type_name::<T>();
        TaskError::Discard(format!("PARAM_ERROR: the arguments do not fit {expected}: {error}"))
    })
}

/// JSON text on the stack, as long as it is short.
pub(crate) struct JsonText(SmallVec<[u8; 128]>);

impl JsonText {
    /// `value` as JSON; [`TaskError::Discard`] if it cannot be serialised.
    pub(crate) fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, TaskError> {
        let mut text = SmallVec::new();
        serde_json::to_writer(&mut text, value)
            .map_err(|error| TaskError::Discard(format!("the result cannot be serialised to JSON: {error}")))?;
        Ok(Self(text))
    }

    pub(crate) fn as_str(&self) -> &str {
        // JSON is UTF-8.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    fn into_json(self) -> Json {
        if self.0.spilled() {
            return Json(Cow::Owned(String::from_utf8(self.0.into_vec()).unwrap_or_default()));
        }
        Json::from_text(Cow::Borrowed(self.as_str()))
    }
}
