//! JSON in other forms, with every digit of its numbers.

use serde::{
    Serialize, Serializer,
    ser::{SerializeMap, SerializeSeq},
};
use serde_json::{Error, value::RawValue};

use super::plain::escaped;
use crate::api::Pairs;

pub enum Exact<'a> {
    /// `null`, `true`, `false`, or a number as it is written.
    Word(&'a str),
    Text(String),
    List(Vec<Exact<'a>>),
    Map(Vec<(String, Exact<'a>)>),
}

impl<'a> Exact<'a> {
    pub fn of(raw: &'a RawValue) -> Result<Self, Error> {
        let text = raw.get();
        match text.as_bytes().first() {
            Some(b'"') => serde_json::from_str(text).map(Self::Text),
            Some(b'[') => {
                let items: Vec<&RawValue> = serde_json::from_str(text)?;
                let items: Result<_, _> = items.into_iter().map(Self::of).collect();
                items.map(Self::List)
            }
            Some(b'{') => {
                let Pairs(pairs): Pairs<&RawValue> = serde_json::from_str(text)?;
                let pairs: Result<_, _> = pairs
                    .into_iter()
                    .map(|(key, value)| Ok((key, Self::of(value)?)))
                    .collect();
                pairs.map(Self::Map)
            }
            _ => Ok(Self::Word(text)),
        }
    }

    /// As JSON with new lines, safe for a terminal.
    pub fn pretty(&self) -> String {
        let mut text = String::new();
        self.write(&mut text, "\n");
        text
    }

    /// `line`: how a line begins at this depth.
    fn write(&self, text: &mut String, line: &str) {
        match self {
            Self::Word(word) => text.push_str(word),
            Self::Text(string) => text.push_str(&quoted(string)),
            Self::List(items) if items.is_empty() => text.push_str("[]"),
            Self::Map(pairs) if pairs.is_empty() => text.push_str("{}"),
            Self::List(items) => {
                let deeper = format!("{line}  ");
                for (at, item) in items.iter().enumerate() {
                    text.push(if at == 0 { '[' } else { ',' });
                    text.push_str(&deeper);
                    item.write(text, &deeper);
                }
                text.push_str(line);
                text.push(']');
            }
            Self::Map(pairs) => {
                let deeper = format!("{line}  ");
                for (at, (key, value)) in pairs.iter().enumerate() {
                    text.push(if at == 0 { '{' } else { ',' });
                    text.push_str(&deeper);
                    text.push_str(&quoted(key));
                    text.push_str(": ");
                    value.write(text, &deeper);
                }
                text.push_str(line);
                text.push('}');
            }
        }
    }
}

fn quoted(text: &str) -> String {
    escaped(&serde_json::Value::from(text).to_string())
}

/// For YAML. A number that neither an integer of 128 bits nor a float holds in every digit is written as a text.
impl Serialize for Exact<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Word("null") => serializer.serialize_unit(),
            Self::Word("true") => serializer.serialize_bool(true),
            Self::Word("false") => serializer.serialize_bool(false),
            Self::Word(number) => match (number.parse::<i64>(), number.parse::<i128>(), number.parse::<f64>()) {
                (Ok(number), _, _) => serializer.serialize_i64(number),
                (_, Ok(number), _) => serializer.serialize_i128(number),
                (_, _, Ok(float)) if float.to_string() == *number => serializer.serialize_f64(float),
                _ => serializer.serialize_str(number),
            },
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                items.iter().try_for_each(|item| list.serialize_element(item))?;
                list.end()
            }
            Self::Map(pairs) => {
                let mut map = serializer.serialize_map(Some(pairs.len()))?;
                pairs
                    .iter()
                    .try_for_each(|(key, value)| map.serialize_entry(key, value))?;
                map.end()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = r#"{"id":9007199254740993,"big":340282366920938463463374607431768211456789,"half":0.10,"none":null,"on":true,"list":[1,[],{}],"text":"a\nb\u001b"}"#;

    fn raw() -> Box<RawValue> {
        serde_json::from_str(JSON).unwrap()
    }

    #[test]
    fn json_keeps_every_digit() {
        let raw = raw();
        let pretty = Exact::of(&raw).unwrap().pretty();
        assert!(pretty.contains("\n  \"id\": 9007199254740993,\n"), "{pretty}");
        assert!(
            pretty.contains("340282366920938463463374607431768211456789,\n  \"half\": 0.10"),
            "{pretty}"
        );
        assert!(pretty.contains("\"list\": [\n    1,\n    [],\n    {}\n  ]"), "{pretty}");
        assert!(pretty.contains(r#""a\nb\u001b""#), "{pretty}");
    }

    #[test]
    fn yaml_keeps_every_digit() {
        let raw = raw();
        let yaml = serde_saphyr::to_string(&Exact::of(&raw).unwrap()).unwrap();
        assert!(yaml.contains("id: 9007199254740993\n"), "{yaml}");
        assert!(yaml.contains("340282366920938463463374607431768211456789"), "{yaml}");
        let back: serde_json::Value = serde_saphyr::from_str(&yaml).unwrap();
        assert_eq!(back["id"], 9_007_199_254_740_993_i64);
        assert_eq!(back["half"], "0.10");
        assert_eq!(back["text"], "a\nb\u{1b}");
    }
}
