//! Objects of the API's answers. Values stay as they are written, so that numbers keep all their digits.

use std::{fmt, marker::PhantomData};

use chrono::{DateTime, Utc};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeOwned, MapAccess, Visitor},
    ser::SerializeMap,
};
use serde_json::value::RawValue;

/// The keys of an object in their order, with their values.
#[derive(Debug, Clone)]
pub struct Pairs<V>(pub Vec<(String, V)>);

/// An object as the API has sent it.
pub type Fields = Pairs<Box<RawValue>>;

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Pairs<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit<V>(PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for Visit<V> {
            type Value = Pairs<V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Visit(PhantomData))
    }
}

impl<V: Serialize> Serialize for Pairs<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl Fields {
    pub fn raw(&self, key: &str) -> Option<&RawValue> {
        let found = self.0.iter().find(|(name, _)| name == key);
        found.map(|(_, value)| &**value).filter(|value| value.get() != "null")
    }

    /// The value, if it is there and is of this type.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        serde_json::from_str(self.raw(key)?.get()).ok()
    }

    /// A text; empty if there is none.
    pub fn text(&self, key: &str) -> String {
        self.get(key).unwrap_or_default()
    }

    pub fn int(&self, key: &str) -> Option<i64> {
        self.get(key)
    }

    /// The id, as commands take it.
    pub fn text_of_id(&self) -> String {
        self.raw("id")
            .map(|id| id.get().trim_matches('"').to_owned())
            .unwrap_or_default()
    }

    pub fn flag(&self, key: &str) -> bool {
        self.get(key).unwrap_or(false)
    }

    pub fn time(&self, key: &str) -> Option<DateTime<Utc>> {
        self.get(key)
    }

    pub fn object(&self, key: &str) -> Option<Fields> {
        self.get(key)
    }

    pub fn list(&self, key: &str) -> Vec<Fields> {
        self.get(key).unwrap_or_default()
    }

    /// Sets a value in its place, or as the last one.
    pub fn set(&mut self, key: &str, value: Box<RawValue>) {
        match self.0.iter_mut().find(|(name, _)| name == key) {
            Some((_, old)) => *old = value,
            None => self.0.push((key.to_owned(), value)),
        }
    }
}
