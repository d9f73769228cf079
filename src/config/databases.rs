//! Entries of `Databases`: a URL, or an object that holds one or its parts.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};

use super::{
    ConfigError,
    error::{name, nearest},
    is_url,
};

/// Keys of such an object. `Url` and `Dsn` mean the same, as do `User` and `Username`, and `Database`, `DbName` and `Name`.
const KEYS: [&str; 12] = [
    "Url", "Dsn", "Driver", "Host", "Port", "User", "Username", "Password", "Database", "DbName", "Name", "Params",
];

/// Puts a URL in the place of each entry that is an object.
pub(super) fn to_urls(value: &mut Value) -> Result<(), ConfigError> {
    let Some(Value::Object(entries)) = value.get_mut("Databases") else {
        return Ok(());
    };
    for (database, entry) in entries {
        if let Value::Object(parts) = entry {
            let place = format!("Databases.{}", name(database));
            *entry = Value::String(url(&place, parts)?);
        }
    }
    Ok(())
}

/// Makes entries of the databases that `AsyncTask.Mysql` and `Framework.Mysql` name by their places in the file, as `WithDbSchema` of the Go
/// framework does: `Reports.Mysql` is the key `Mysql` of the section `Reports`.
pub(super) fn find_places(value: &mut Value) {
    for section in ["AsyncTask", "Framework"] {
        let Some(Value::String(place)) = value.get(section).and_then(|section| section.get("Mysql")) else {
            continue;
        };
        // Databases that are no object are refused later.
        let is_taken = value
            .get("Databases")
            .is_some_and(|entries| !entries.is_object() || entries.get(place).is_some());
        if is_taken || is_url(place) || !place.contains('.') {
            continue;
        }
        let found = place.split('.').try_fold(&*value, |value, key| value.get(key));
        let is_database = found.is_some_and(|found| found.is_object() || found.as_str().is_some_and(is_url));
        if let Some(found) = found.filter(|_| is_database) {
            let (place, found) = (place.clone(), found.clone());
            value["Databases"][place] = found;
        }
    }
}

fn url(place: &str, parts: &Map<String, Value>) -> Result<String, ConfigError> {
    for key in parts.keys() {
        if !KEYS.iter().any(|known| known.eq_ignore_ascii_case(key)) {
            let hint = match nearest(key, &KEYS) {
                Some(near) => format!("the nearest known key is {near:?}"),
                None => format!("known here are {}", KEYS.join(", ")),
            };
            return Err(ConfigError::new(format!("unknown key {place}.{}, {hint}", name(key))));
        }
    }
    let url = text(place, parts, &["Url", "Dsn"])?;
    if let Some(url) = url {
        return match parts.len() {
            1 => Ok(url),
            _ => Err(ConfigError::new(format!(
                "{place} has a URL and other keys; write the URL alone, or its parts alone"
            ))),
        };
    }
    let driver = text(place, parts, &["Driver"])?.unwrap_or_else(|| "mysql".to_owned());
    let database = text(place, parts, &["Database", "DbName", "Name"])?;
    if driver.eq_ignore_ascii_case("sqlite") {
        let file = database.ok_or_else(|| lacks(place, "Database, the path of the file"))?;
        return Ok(format!("sqlite:{file}"));
    }
    let host = text(place, parts, &["Host"])?.ok_or_else(|| lacks(place, "Host, or Url"))?;
    let database = database.ok_or_else(|| lacks(place, "Database"))?;
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let mut url = format!("{driver}://");
    if let Some(user) = text(place, parts, &["User", "Username"])? {
        url.push_str(&encoded(&user));
        if let Some(password) = text(place, parts, &["Password"])? {
            url.push(':');
            url.push_str(&encoded(&password));
        }
        url.push('@');
    }
    // An IPv6 address in brackets, as in a URL.
    let is_bare_address = host.contains(':') && !host.starts_with('[');
    let (before, after) = if is_bare_address { ("[", "]") } else { ("", "") };
    url.extend([before, &host, after]);
    if let Some(port) = text(place, parts, &["Port"])? {
        url.push(':');
        url.push_str(&port);
    }
    url.push('/');
    url.push_str(&encoded(&database));
    if let Some(params) = text(place, parts, &["Params"])?.filter(|params| !params.is_empty()) {
        url.push('?');
        url.push_str(params.trim_start_matches('?'));
    }
    Ok(url)
}

/// The value under one of these keys, in any case: a text, or a number.
fn text(place: &str, parts: &Map<String, Value>, keys: &[&str]) -> Result<Option<String>, ConfigError> {
    let mut found = parts
        .iter()
        .filter(|(key, _)| keys.iter().any(|known| known.eq_ignore_ascii_case(key)));
    let Some((key, value)) = found.next() else {
        return Ok(None);
    };
    if found.next().is_some() {
        let keys = keys.join(" and ");
        return Err(ConfigError::new(format!(
            "{place} has several of {keys}, which mean the same"
        )));
    }
    match value {
        Value::String(text) => Ok(Some(text.clone())),
        Value::Number(number) => Ok(Some(number.to_string())),
        _ => Err(ConfigError::new(format!("{place}.{key}: expected a text"))),
    }
}

fn lacks(place: &str, what: &str) -> ConfigError {
    ConfigError::new(format!("{place} lacks the key {what}"))
}
