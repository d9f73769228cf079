//! JSON text on its way between callers, handlers and the database.

use std::{borrow::Cow, cell::RefCell, fmt, mem};

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
    /// [`TaskError::Discard`] if the value cannot be serialised (a map whose keys are no strings, for example): it would fail again.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, TaskError> {
        Ok(JsonText::of(value)?.into_json())
    }

    /// The text of a call. This function does not check it; [`parse`](Self::parse) does.
    pub(crate) fn from_text(text: Cow<'_, str>) -> Self {
        match &*text {
            "null" => Self::null(),
            _ => Self(Cow::Owned(text.into_owned())),
        }
    }

    pub(crate) fn into_text(self) -> Cow<'static, str> {
        self.0
    }

    /// The text of a column; no text, or a blank text, means `null`. This function does not check the text; [`parse`](Self::parse) does.
    pub(crate) fn from_column(text: Option<String>) -> Self {
        match text {
            Some(text) if !text.trim().is_empty() => Self(Cow::Owned(text)),
            _ => Self::null(),
        }
    }

    /// The value of type `T` that this text stands for.
    ///
    /// # Errors
    /// [`TaskError::Failed`] if the text is not JSON or does not fit `T`. Another attempt may have another answer; arguments stay as they are:
    /// for them there are [`Invoke::args`](crate::Invoke::args) and, in a layer, [`Next::parse_args`](crate::Next::parse_args).
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, TaskError> {
        serde_json::from_str(&self.0).map_err(|error| {
            let expected = std::any::type_name::<T>();
            TaskError::Failed(format!("the JSON does not fit {expected}: {error}"))
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

/// The arguments of a call as a value of type `T`. Another attempt would read the same text.
pub(crate) fn parsed_args<T: DeserializeOwned>(text: &str) -> Result<T, TaskError> {
    serde_json::from_str(text).map_err(|error| {
        let expected = std::any::type_name::<T>();
        TaskError::Discard(format!("PARAM_ERROR: the arguments do not fit {expected}: {error}"))
    })
}

thread_local! {
    /// Empty buffers of this thread. JSON is written into a buffer while its length is not known.
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// How many buffers a thread keeps, and the most bytes of capacity that a kept buffer has.
const KEPT: usize = 16;
const KEPT_BYTES: usize = 4_096;

/// JSON text in a buffer, which goes back to its thread when this value is dropped.
pub(crate) struct JsonText(Vec<u8>);

impl JsonText {
    /// `value` as JSON; [`TaskError::Discard`] if it cannot be serialised.
    pub(crate) fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, TaskError> {
        let spare = SPARE.try_with(|spare| spare.borrow_mut().pop());
        let mut text = Self(spare.ok().flatten().unwrap_or_default());
        serde_json::to_writer(&mut text.0, value)
            .map_err(|error| TaskError::Discard(format!("the result cannot be serialised to JSON: {error}")))?;
        Ok(text)
    }

    pub(crate) fn as_str(&self) -> &str {
        // JSON is UTF-8.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    fn into_json(mut self) -> Json {
        if self.0.len() > KEPT_BYTES {
            return Json(Cow::Owned(
                String::from_utf8(mem::take(&mut self.0)).unwrap_or_default(),
            ));
        }
        Json::from_text(Cow::Borrowed(self.as_str()))
    }
}

impl Drop for JsonText {
    fn drop(&mut self) {
        let mut text = mem::take(&mut self.0);
        if text.capacity() <= KEPT_BYTES {
            text.clear();
            // A thread that ends needs no buffers.
            let _ = SPARE.try_with(|spare| {
                let mut spare = spare.borrow_mut();
                if spare.len() < KEPT {
                    spare.push(text);
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Serializer;

    use super::*;

    /// Serialises another value while it is serialised itself.
    struct Nested(u8);

    impl Serialize for Nested {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let inner = Json::of(&[self.0]).map_err(|_| serde::ser::Error::custom("inner"))?;
            serializer.serialize_str(inner.as_str())
        }
    }

    #[test]
    fn texts_of_any_length_are_what_was_written() {
        for length in [0, 1, 100, KEPT_BYTES / 2 - 1, KEPT_BYTES / 2, 10 * KEPT_BYTES, 3] {
            let value = "é".repeat(length);
            let json = Json::of(&value).expect("serialises");
            assert_eq!(json.as_str(), format!("\"{value}\""));
        }
        assert_eq!(Json::of(&()).expect("serialises"), Json::null());
    }

    #[test]
    fn more_texts_at_once_than_are_kept_do_not_mix() {
        let texts: Vec<JsonText> = (0..2 * KEPT).map(|n| JsonText::of(&n).expect("serialises")).collect();
        assert!(texts.iter().enumerate().all(|(n, text)| text.as_str() == n.to_string()));
        drop(texts);
        assert_eq!(JsonText::of("next").expect("serialises").as_str(), "\"next\"");
        assert!(SPARE.with_borrow(Vec::len) <= KEPT);
    }

    #[test]
    fn a_value_may_serialise_another_one() {
        let json = Json::of(&(Nested(1), Nested(2))).expect("serialises");
        assert_eq!(json.as_str(), r#"["[1]","[2]"]"#);
    }

    #[test]
    fn what_fails_leaves_nothing_behind() {
        let bad = std::collections::BTreeMap::from([((1, 2), 3)]);
        assert!(Json::of(&("some text", bad)).is_err());
        assert_eq!(Json::of(&7).expect("serialises").as_str(), "7");
    }
}
