//! Rows as JSON, and back.
//!
//! A column that holds JSON is a value inside the JSON of its row, with its text unchanged: numbers beyond 2^53 stay exact. If the text of
//! a column is no JSON, because plain SQL has written it or because it was cut, it is a text under another key: `args_text` instead of
//! `args`.

use std::{fmt, marker::PhantomData, time::Duration};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeOwned, Error, MapAccess, Visitor, value::MapAccessDeserializer},
    ser::SerializeMap,
};
use serde_json::value::RawValue;

/// The fields of a JSON object. An object that has a key twice is refused.
pub(crate) struct Fields(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields: Vec<(String, Box<RawValue>)> = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    if fields.iter().any(|(known, _)| *known == key) {
                        return Err(A::Error::custom(format!("{key} is there twice")));
                    }
                    fields.push((key, value));
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

impl Fields {
    pub(crate) fn remove(&mut self, key: &str) -> Option<Box<RawValue>> {
        let at = self.0.iter().position(|(known, _)| known == key)?;
        Some(self.0.swap_remove(at).1)
    }

    /// Takes the value of a key. A missing key counts as `null`.
    pub(crate) fn take<T: DeserializeOwned, E: Error>(&mut self, key: &str) -> Result<T, E> {
        let value = self.remove(key);
        let text = value.as_ref().map_or("null", |value| value.get());
        serde_json::from_str(text).map_err(|error| E::custom(format!("{key}: {error}")))
    }

    /// Takes the value of a key, or `default` if the key is missing.
    pub(crate) fn take_or<T: DeserializeOwned, E: Error>(&mut self, key: &str, default: T) -> Result<T, E> {
        match self.0.iter().any(|(known, _)| known == key) {
            true => self.take(key),
            false => Ok(default),
        }
    }

    /// As [`take_or`](Self::take_or), for a value that may be a secret: the error does not repeat it.
    pub(crate) fn take_secret_or<T: DeserializeOwned, E: Error>(
        &mut self,
        key: &str,
        expected: &str,
        default: T,
    ) -> Result<T, E> {
        let value = self.take_or(key, default);
        value.map_err(|_: E| E::custom(format!("{key} holds something else than {expected}")))
    }

    /// The fields that are left, as a JSON object. Their values keep their texts.
    #[cfg(feature = "web")]
    pub(crate) fn into_json(self) -> Result<String, serde_json::Error> {
        let fields = self
            .0
            .iter()
            .map(|(key, value)| Ok(format!("{}:{value}", serde_json::to_string(key)?)));
        let fields: Result<Vec<String>, serde_json::Error> = fields.collect();
        Ok(format!("{{{}}}", fields?.join(",")))
    }

    /// The keys that are left.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(key, _)| key.as_str())
    }

    /// Takes the text of a column: the JSON under `key`, or the text under `key_text`. Both together are an error.
    pub(crate) fn take_text<E: Error>(&mut self, key: &str) -> Result<Option<String>, E> {
        let text: Option<String> = self.take(&format!("{key}_text"))?;
        let value = self.remove(key).map(|value| Box::<str>::from(value).into_string());
        match (value, text) {
            (Some(_), Some(_)) => Err(E::custom(format!("{key} and {key}_text are both there"))),
            (value, text) => Ok(value.or(text)),
        }
    }

    /// Takes a duration from whole milliseconds; `null` and a missing key mean that there is none.
    pub(crate) fn take_millis<E: Error>(&mut self, key: &str) -> Result<Option<Duration>, E> {
        Ok(self.take::<Option<u64>, E>(key)?.map(Duration::from_millis))
    }
}

/// A value that is an object in JSON. A structure that serde reads can be a list of its values, too, which nobody means: `[null, null]` would
/// be an object whose keys are all `null`.
#[cfg(feature = "web")]
#[derive(Debug)]
pub(crate) struct Object<T>(pub(crate) T);

#[cfg(feature = "web")]
impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        object(deserializer).map(Self)
    }
}

/// Reads an object, and no list. For `deserialize_with` of a field that is a structure.
pub(crate) fn object<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    struct Keys<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Keys<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a JSON object")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            T::deserialize(MapAccessDeserializer::new(map))
        }
    }

    deserializer.deserialize_map(Keys(PhantomData))
}

fn column<S: Serializer>(key: [&'static str; 2], text: Option<&str>, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(None)?;
    match text.map(|text| (text, serde_json::from_str::<&RawValue>(text))) {
        // A raw value has no blanks around it. A text that has some is written as a text, so that it is read back unchanged.
        Some((text, Ok(value))) if value.get().len() == text.len() => map.serialize_entry(key[0], value)?,
        Some((text, _)) => map.serialize_entry(key[1], text)?,
        None => {}
    }
    map.end()
}

/// For `serialize_with` of a field that is flattened.
pub(crate) fn as_args<S: Serializer>(text: &impl Text, serializer: S) -> Result<S::Ok, S::Error> {
    column(["args", "args_text"], text.text(), serializer)
}

/// For `serialize_with` of a field that is flattened.
pub(crate) fn as_result<S: Serializer>(text: &impl Text, serializer: S) -> Result<S::Ok, S::Error> {
    column(["result", "result_text"], text.text(), serializer)
}

/// For `serialize_with` of a field that is flattened.
pub(crate) fn as_last_result<S: Serializer>(text: &impl Text, serializer: S) -> Result<S::Ok, S::Error> {
    column(["last_result", "last_result_text"], text.text(), serializer)
}

/// For `serialize_with` of a field that is flattened.
pub(crate) fn as_run_result<S: Serializer>(text: &impl Text, serializer: S) -> Result<S::Ok, S::Error> {
    column(["run_result", "run_result_text"], text.text(), serializer)
}

/// Writes the arguments of a [`NewTask`](super::NewTask) as a JSON value.
pub(crate) fn json_args<S: Serializer>(args: &Result<String, String>, serializer: S) -> Result<S::Ok, S::Error> {
    let text = args.as_ref().map_err(serde::ser::Error::custom)?;
    let value: &RawValue = serde_json::from_str(text)
        .map_err(|error| serde::ser::Error::custom(format!("the arguments are no JSON: {error}")))?;
    value.serialize(serializer)
}

/// Reads the arguments of a [`NewTask`](super::NewTask).
pub(crate) fn read_args<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Result<String, String>, D::Error> {
    let value = Box::<RawValue>::deserialize(deserializer)?;
    Ok(Ok(Box::<str>::from(value).into_string()))
}

/// Writes the arguments of a [`NewJob`](super::NewJob); a blank text means that there are none. For `serialize_with` of a field that is
/// flattened.
pub(crate) fn as_new_args<S: Serializer>(args: &Result<String, String>, serializer: S) -> Result<S::Ok, S::Error> {
    let text = args.as_ref().map_err(serde::ser::Error::custom)?;
    let text = Some(text.as_str()).filter(|text| !text.trim().is_empty());
    column(["args", "args_text"], text, serializer)
}

/// A column that holds a text or `NULL`.
pub(crate) trait Text {
    fn text(&self) -> Option<&str>;
}

impl Text for String {
    fn text(&self) -> Option<&str> {
        Some(self)
    }
}

impl Text for Option<String> {
    fn text(&self) -> Option<&str> {
        self.as_deref()
    }
}

/// Makes a row readable from JSON: fields whose keys are their names, fields in milliseconds, and columns that hold JSON. Unknown keys are
/// ignored, since a newer version may have written them.
macro_rules! from_json {
    (
        $row:ident { $($plain:ident),* $(,)? }
        millis { $($millis:ident: $key:literal),* }
        texts { $($text:ident: $column:literal),* }
    ) => {
        impl $row {
            fn from_fields<E: serde::de::Error>(fields: &mut $crate::domain::fields::Fields) -> Result<Self, E> {
                Ok(Self {
                    $($plain: fields.take(stringify!($plain))?,)*
                    $($millis: fields.take_millis($key)?.into_field(),)*
                    $($text: fields.take_text($column)?.into_field(),)*
                })
            }
        }

        impl<'de> serde::Deserialize<'de> for $row {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::from_fields(&mut $crate::domain::fields::Fields::deserialize(deserializer)?)
            }
        }
    };
}
pub(crate) use from_json;

/// Turns a value that JSON may leave out into the value of a field: without a value, an optional field is `None`, another field its
/// default.
pub(crate) trait IntoField<T> {
    fn into_field(self) -> T;
}

impl<T> IntoField<Option<T>> for Option<T> {
    fn into_field(self) -> Option<T> {
        self
    }
}

impl IntoField<Duration> for Option<Duration> {
    fn into_field(self) -> Duration {
        self.unwrap_or_default()
    }
}

impl IntoField<String> for Option<String> {
    fn into_field(self) -> String {
        self.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Serialize)]
    struct Row {
        #[serde(flatten, serialize_with = "as_args")]
        args: Option<String>,
    }

    fn there_and_back(args: Option<&str>) -> (String, Option<String>) {
        let args = args.map(str::to_owned);
        let json = serde_json::to_string(&Row { args }).unwrap();
        let mut fields: Fields = serde_json::from_str(&json).unwrap();
        let back = fields.take_text::<serde_json::Error>("args").unwrap();
        (json, back)
    }

    #[test]
    fn a_column_comes_back_as_it_was_whatever_it_holds() {
        for (text, json) in [
            (None, "{}"),
            (Some("null"), r#"{"args":null}"#),
            (
                Some(r#"{"b":1e400,"a":12345678901234567890123}"#),
                r#"{"args":{"b":1e400,"a":12345678901234567890123}}"#,
            ),
            (Some(r#""text""#), r#"{"args":"text"}"#),
            (Some(""), r#"{"args_text":""}"#),
            (Some("not json"), r#"{"args_text":"not json"}"#),
            (Some(" 7 "), r#"{"args_text":" 7 "}"#),
        ] {
            let (shown, back) = there_and_back(text);
            assert_eq!((shown.as_str(), back.as_deref()), (json, text));
        }
    }

    #[test]
    fn a_key_that_is_there_twice_is_refused() {
        let error = serde_json::from_str::<Fields>(r#"{"a":1,"a":2}"#).err().unwrap();
        assert!(error.to_string().starts_with("a is there twice"), "{error}");
    }
}
