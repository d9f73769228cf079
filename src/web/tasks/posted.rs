//! A task as a caller sends it: the theme lies beside the task's own keys, in the same object.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, IntoDeserializer, MapAccess, Visitor, value::MapAccessDeserializer},
};

use crate::{
    domain::NewTask,
    web::{
        body::{self, Unread},
        problem::Fault,
    },
};

const THEME: &str = "theme";

/// A task and its theme. Both are read in one pass over the text.
#[derive(Debug)]
pub(super) struct Posted {
    pub(super) theme: Option<String>,
    pub(super) task: NewTask,
}

impl Posted {
    /// Reads a task from the JSON of one object, and checks it.
    pub(super) fn read(text: &str) -> Result<Self, Vec<Fault>> {
        let posted: Self = body::parsed(text).map_err(|error| match error {
            Unread::NoJson(detail) => vec![Fault::of(detail)],
            Unread::Other(fault) => vec![fault],
        })?;
        match posted.task.check() {
            Ok(()) => Ok(posted),
            Err(input) => Err(input.faults().iter().map(Fault::of).collect()),
        }
    }
}

impl<'de> Deserialize<'de> for Posted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;

        impl<'de> Visitor<'de> for Keys {
            type Value = Posted;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Posted, A::Error> {
                let mut theme = None;
                let others = WithoutTheme { map, theme: &mut theme };
                let task = NewTask::deserialize(MapAccessDeserializer::new(others))?;
                Ok(Posted {
                    theme: theme.flatten(),
                    task,
                })
            }
        }

        deserializer.deserialize_map(Keys)
    }
}

/// The entries of an object but that of the theme, which is put aside on the way.
struct WithoutTheme<'a, A> {
    map: A,
    /// `None` until the key is met; its value may be `null`.
    #[expect(clippy::option_option, reason = "the key is missing, or it is null")]
    theme: &'a mut Option<Option<String>>,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for WithoutTheme<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, mut seed: K) -> Result<Option<K::Value>, A::Error> {
        loop {
            seed = match self.map.next_key_seed(Key(seed))? {
                None => return Ok(None),
                Some(Found::Other(key)) => return Ok(Some(key)),
                Some(Found::Theme(_)) if self.theme.is_some() => return Err(A::Error::duplicate_field(THEME)),
                Some(Found::Theme(seed)) => seed,
            };
            *self.theme = Some(self.map.next_value()?);
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

/// Reads a key of the task with its own seed, and keeps this seed at the key of the theme.
struct Key<K>(K);

enum Found<K, V> {
    Theme(K),
    Other(V),
}

impl<'de, K: DeserializeSeed<'de>> DeserializeSeed<'de> for Key<K> {
    type Value = Found<K, K::Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        match String::deserialize(deserializer)? {
            key if key == THEME => Ok(Found::Theme(self.0)),
            key => self.0.deserialize(key.into_deserializer()).map(Found::Other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<(Option<String>, String)> {
        let faults = Posted::read(text).expect_err("is refused");
        faults.into_iter().map(|fault| (fault.pointer, fault.detail)).collect()
    }

    #[test]
    fn the_theme_may_stand_anywhere_among_the_keys_of_the_task() {
        for text in [
            r#"{"theme":"t","service":"S","method":"M","args":{"theme":1.50}}"#,
            r#"{"service":"S","method":"M","args":{"theme":1.50},"theme":"t"}"#,
            r#"{"service":"S","th\u0065me":"t","args":{"theme":1.50},"method":"M"}"#,
        ] {
            let posted = Posted::read(text).expect("is good");
            assert_eq!(posted.theme.as_deref(), Some("t"));
            assert_eq!(posted.task, NewTask::new("S", "M").raw_args(r#"{"theme":1.50}"#));
        }
        for text in [
            r#"{"service":"S","method":"M"}"#,
            r#"{"theme":null,"service":"S","method":"M"}"#,
        ] {
            assert_eq!(Posted::read(text).expect("is good").theme, None);
        }
    }

    #[test]
    fn faults_of_the_theme_and_of_the_task_say_where_they_are() {
        let [(pointer, detail)] = &faults(r#"{"theme":5,"service":"S","method":"M"}"#)[..] else {
            panic!("one fault is expected");
        };
        assert_eq!(pointer.as_deref(), Some("/theme"), "{detail}");
        let [(_, detail)] = &faults(r#"{"theme":"a","theme":"b","service":"S","method":"M"}"#)[..] else {
            panic!("one fault is expected");
        };
        assert!(detail.starts_with("duplicate field `theme`"), "{detail}");
        let [(pointer, detail)] = &faults(r#"{"theme":"a","service":"S","method":"M","prioritty":1}"#)[..] else {
            panic!("one fault is expected");
        };
        assert_eq!(pointer.as_deref(), Some("/prioritty"), "{detail}");
        assert!(detail.ends_with("the nearest known is priority"), "{detail}");
        assert_eq!(faults("[null,null]").len(), 1);
    }
}
