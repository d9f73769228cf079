//! JSON with comments, in which no key stands twice in one object: a parser that takes the last of them would say nothing.

use jsonc_parser::{
    CollectOptions, ParseOptions,
    ast::{Object, Value as Node},
};
use serde_json::{Map, Value};

use super::{ConfigError, error::name};

/// Reads a file of configuration: JSON that may have comments, and commas behind the last entry.
pub(super) fn read(text: &str) -> Result<Value, ConfigError> {
    let options = ParseOptions {
        allow_comments: true,
        allow_trailing_commas: true,
        allow_loose_object_property_names: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    let parsed = jsonc_parser::parse_to_ast(text, &CollectOptions::default(), &options);
    match parsed.map(|parsed| parsed.value) {
        Ok(Some(node)) => value(node, text),
        Ok(None) => Err(ConfigError::new("it is not JSON: it is empty".to_owned())),
        Err(error) => Err(ConfigError::new(format!("it is not JSON: {error}"))),
    }
}

fn value(node: Node<'_>, text: &str) -> Result<Value, ConfigError> {
    Ok(match node {
        Node::NullKeyword(_) => Value::Null,
        Node::BooleanLit(node) => node.value.into(),
        Node::StringLit(node) => node.value.into_owned().into(),
        Node::NumberLit(node) => serde_json::from_str(node.value).map_err(|_| {
            ConfigError::new(format!(
                "it is not JSON: no number on line {}",
                line(text, node.range.start)
            ))
        })?,
        Node::Array(node) => {
            let items = node.elements.into_iter().map(|item| value(item, text));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        Node::Object(node) => Value::Object(object(node, text)?),
    })
}

fn object(node: Object<'_>, text: &str) -> Result<Map<String, Value>, ConfigError> {
    let mut map = Map::new();
    for entry in node.properties {
        let key = entry.name.as_str();
        if map.contains_key(key) {
            return Err(ConfigError::new(format!(
                "the key {:?} stands twice in one object, the second time on line {}; leave one of the two out",
                name(key),
                line(text, entry.range.start)
            )));
        }
        map.insert(key.to_owned(), value(entry.value, text)?);
    }
    Ok(map)
}

/// The line, from 1, of a byte.
fn line(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}
