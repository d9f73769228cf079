//! Which keys a configuration may have.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    AccessUserConfig, Config, ConfigError, ServiceConfig, ThemeConfig,
    error::{name, nearest, slip},
};

/// Prefix of environment variables that replace one key.
pub(super) const PREFIX: &str = "GAIA__";
const SEPARATOR: &str = "__";

/// Stands for each name that an operator may choose.
const ANY: &str = "*";

/// Where a file has keys of other programs, too: its sections, and the Go framework's own section.
const SHARED: [&str; 2] = ["", "Framework"];

/// Every known key.
pub(super) fn shape() -> Result<Value, ConfigError> {
    let mut shape = to_value(&Config::default())?;
    shape["Databases"][ANY] = Value::Null;
    shape["Themes"] = json!({ ANY: to_value(&ThemeConfig::default())? });
    shape["Services"] = json!({ ANY: to_value(&ServiceConfig::default())? });
    let user = to_value(&AccessUserConfig::default())?;
    for users in ["Tokens", "Basic"] {
        shape["Http"]["Access"][users] = json!({ ANY: user });
    }
    Ok(shape)
}

pub(super) fn to_value(value: &impl Serialize) -> Result<Value, ConfigError> {
    serde_json::to_value(value).map_err(|error| ConfigError::new(error.to_string()))
}

/// Sets the key that an environment variable names.
pub(super) fn put(value: &mut Value, shape: &Value, variable: &str, text: &str) -> Result<(), ConfigError> {
    let (mut value, mut shape) = (value, shape);
    for part in variable[PREFIX.len()..].split(SEPARATOR) {
        let known = keys(shape);
        let any = shape.get(ANY);
        let chosen = any.map(|_| keys(value)).unwrap_or_default();
        let key = known
            .iter()
            .chain(&chosen)
            .find(|known| known.eq_ignore_ascii_case(part))
            .map(|key| (*key).to_owned())
            .or_else(|| any.map(|_| part.to_ascii_lowercase()))
            .ok_or_else(|| unknown(&format!("{part:?} of the variable {variable}"), part, &known))?;
        shape = shape.get(&key).or(any).unwrap_or(&Value::Null);
        if !value.is_object() {
            *value = Value::Object(Map::new());
        }
        value = &mut value[key.as_str()];
    }
    // A value that is JSON (a number, a truth value, a list) is read as JSON; any other value is a text.
    *value = serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()));
    Ok(())
}

/// Answers with the keys that are not of this crate, and belong where other programs have keys, too.
pub(super) fn check_keys(value: &Value, shape: &Value) -> Result<Vec<String>, ConfigError> {
    let mut left_alone = Vec::new();
    check_section(value, shape, "", &mut left_alone)?;
    Ok(left_alone)
}

fn check_section(value: &Value, shape: &Value, place: &str, left_alone: &mut Vec<String>) -> Result<(), ConfigError> {
    let (Value::Object(entries), Value::Object(known)) = (value, shape) else {
        return Ok(());
    };
    for (key, value) in entries {
        let here = joined(place, key);
        match known.get(key).or_else(|| known.get(ANY)) {
            Some(shape) => check_section(value, shape, &here, left_alone)?,
            None if SHARED.contains(&place) => left_alone.push(name(&here).to_owned()),
            None => return Err(unknown(&here, key, &keys(shape))),
        }
    }
    Ok(())
}

/// What to say of a key that is left alone although a key of this crate is almost the same.
pub(super) fn slip_in(place: &str) -> Result<Option<String>, ConfigError> {
    let shape = shape()?;
    let (known, key) = match place.rsplit_once('.') {
        Some((section, key)) => (&shape[section], key),
        None => (&shape, place),
    };
    Ok(slip(key, &keys(known)).map(|near| format!("the key {place} is left alone; is {near:?} meant?")))
}

/// Whether a key that is left alone may be a misspelt name of a database to open.
pub(super) fn names_databases(place: &str) -> bool {
    let (known, key): (&[&str], &str) = match place.split_once('.') {
        Some((_, key)) => (&["Mysql"], key),
        None => (&["Databases", "AsyncTask", "Framework"], place),
    };
    slip(key, known).is_some()
}

/// The error for a key that is not of this crate.
pub(super) fn unknown_place(place: &str) -> Result<ConfigError, ConfigError> {
    let shape = shape()?;
    Ok(match place.rsplit_once('.') {
        Some((section, key)) => unknown(place, key, &keys(&shape[section])),
        None => unknown(place, place, &keys(&shape)),
    })
}

fn unknown(place: &str, key: &str, known: &[&str]) -> ConfigError {
    let hint = match nearest(key, known) {
        Some(near) => format!("the nearest known key is {near:?}"),
        None => format!("known here are {}", known.join(", ")),
    };
    let place = name(place);
    ConfigError::new(format!("unknown key {place}, {hint}"))
}

fn keys(shape: &Value) -> Vec<&str> {
    let keys = shape.as_object().into_iter().flat_map(Map::keys);
    keys.map(String::as_str).filter(|key| *key != ANY).collect()
}

fn joined(place: &str, key: &str) -> String {
    if place.is_empty() {
        key.to_owned()
    } else {
        format!("{place}.{key}")
    }
}
