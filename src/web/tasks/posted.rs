//! A task as a caller sends it: the theme, and the tasks for which it waits, lie beside the task's own keys, in the same object.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{
        DeserializeSeed, Error, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor,
        value::{MapAccessDeserializer, SeqAccessDeserializer},
    },
};

use crate::{
    domain::NewTask,
    web::{
        body::{self, Unread},
        problem::Fault,
    },
};

const THEME: &str = "theme";
const AFTER: &str = "after";

/// A task, its theme, and the tasks for which it waits. All are read in one pass over the text.
#[derive(Debug)]
pub(in crate::web) struct Posted {
    pub(in crate::web) theme: Option<String>,
    /// `None`: it waits for none.
    pub(in crate::web) after: Option<After>,
    pub(in crate::web) task: NewTask,
}

/// Ids of tasks: one, or a list.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::web) struct After(pub(in crate::web) Vec<i64>);

impl Posted {
    /// Reads a task from the JSON of one object, and checks it.
    pub(in crate::web) fn read(text: &str) -> Result<Self, Vec<Fault>> {
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
                let (mut theme, mut after) = (None, None);
                let others = Others {
                    map,
                    theme: &mut theme,
                    after: &mut after,
                };
                let task = NewTask::deserialize(MapAccessDeserializer::new(others))?;
                Ok(Posted {
                    theme: theme.flatten(),
                    after: after.flatten(),
                    task,
                })
            }
        }

        deserializer.deserialize_map(Keys)
    }
}

impl<'de> Deserialize<'de> for After {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Ids;

        impl<'de> Visitor<'de> for Ids {
            type Value = After;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the id of a task, or a list of ids")
            }

            fn visit_i64<E: Error>(self, id: i64) -> Result<After, E> {
                Ok(After(vec![id]))
            }

            fn visit_u64<E: Error>(self, id: u64) -> Result<After, E> {
                let id = i64::try_from(id).map_err(|_| E::invalid_value(Unexpected::Unsigned(id), &self))?;
                self.visit_i64(id)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<After, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(After)
            }
        }

        deserializer.deserialize_any(Ids)
    }
}

/// The entries of an object that are the task's own. The others are put aside on the way.
struct Others<'a, A> {
    map: A,
    /// `None` until the key is met; its value may be `null`.
    #[expect(clippy::option_option, reason = "the key is missing, or it is null")]
    theme: &'a mut Option<Option<String>>,
    #[expect(clippy::option_option, reason = "the key is missing, or it is null")]
    after: &'a mut Option<Option<After>>,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Others<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, mut seed: K) -> Result<Option<K::Value>, A::Error> {
        loop {
            seed = match self.map.next_key_seed(Key(seed))? {
                None => return Ok(None),
                Some(Found::Other(key)) => return Ok(Some(key)),
                Some(Found::Theme(_)) if self.theme.is_some() => return Err(A::Error::duplicate_field(THEME)),
                Some(Found::After(_)) if self.after.is_some() => return Err(A::Error::duplicate_field(AFTER)),
                Some(Found::Theme(seed)) => {
                    *self.theme = Some(self.map.next_value()?);
                    seed
                }
                Some(Found::After(seed)) => {
                    *self.after = Some(self.map.next_value()?);
                    seed
                }
            };
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

/// Reads a key of the task with its own seed, and keeps this seed at the other keys.
struct Key<K>(K);

enum Found<K, V> {
    Theme(K),
    After(K),
    Other(V),
}

impl<'de, K: DeserializeSeed<'de>> DeserializeSeed<'de> for Key<K> {
    type Value = Found<K, K::Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        match String::deserialize(deserializer)? {
            key if key == THEME => Ok(Found::Theme(self.0)),
            key if key == AFTER => Ok(Found::After(self.0)),
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
    fn a_task_may_name_one_task_before_it_or_several() {
        let after = |text: &str| {
            let text = format!(r#"{{"after":{text},"service":"S","method":"M"}}"#);
            Posted::read(&text).map(|posted| posted.after).map_err(|faults| {
                let [fault] = &faults[..] else {
                    panic!("one fault is expected")
                };
                (fault.pointer.clone(), fault.detail.clone())
            })
        };
        assert_eq!(after("17"), Ok(Some(After(vec![17]))));
        assert_eq!(after("[17,-3]"), Ok(Some(After(vec![17, -3]))));
        assert_eq!(after("null"), Ok(None));
        for bad in ["1.5", "\"17\"", "[\"17\"]", "18446744073709551615"] {
            let (pointer, detail) = after(bad).expect_err("is refused");
            assert!(pointer.is_some_and(|pointer| pointer.starts_with("/after")), "{detail}");
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
