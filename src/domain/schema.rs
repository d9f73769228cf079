//! Schemas of values whose JSON is not what their types say: for the description of the HTTP API.

use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type, schema::SchemaType};

/// One of these texts.
pub(crate) fn texts(texts: &[&str]) -> RefOr<Schema> {
    let text = ObjectBuilder::new().schema_type(Type::String);
    text.enum_values(Some(texts.iter().copied())).into()
}

/// Any JSON.
pub(crate) fn json() -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(SchemaType::AnyValue).into()
}

/// A column that holds JSON: the value, or its text under another key if it is no JSON.
fn column(key: &str) -> RefOr<Schema> {
    let text = ObjectBuilder::new().schema_type(Type::String).description(Some(format!(
        "Stands for `{key}` if the text of the column is no JSON."
    )));
    ObjectBuilder::new()
        .property(key, json())
        .property(format!("{key}_text"), text)
        .into()
}

pub(crate) fn args() -> RefOr<Schema> {
    column("args")
}

pub(crate) fn result() -> RefOr<Schema> {
    column("result")
}

pub(crate) fn last_result() -> RefOr<Schema> {
    column("last_result")
}

pub(crate) fn run_result() -> RefOr<Schema> {
    column("run_result")
}
