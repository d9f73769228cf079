//! Texts that callers give on the command line, in files or on the standard input.

use std::{io::Read, path::Path};

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::exit::{Failure, Result};

/// The most that is read of a file or of the standard input: no request may be longer.
const LONGEST: u64 = 64 * 1024 * 1024;

/// The text of a file, or of the standard input for `-`.
pub fn file(path: &Path) -> Result<String> {
    if path == Path::new("-") {
        return read(std::io::stdin().lock(), "the standard input");
    }
    let shown = path.display().to_string();
    let opened = std::fs::File::open(path).map_err(|error| Failure::usage(format!("cannot read {shown}: {error}")))?;
    read(opened, &shown)
}

fn read(input: impl Read, what: &str) -> Result<String> {
    let mut text = String::new();
    let read = input.take(LONGEST + 1).read_to_string(&mut text);
    let read = read.map_err(|error| Failure::usage(format!("cannot read {what}: {error}")))?;
    match u64::try_from(read).is_ok_and(|read| read <= LONGEST) {
        true => Ok(text),
        false => Err(Failure::usage(format!(
            "{what} is longer than 64 MiB, which is the most; split it"
        ))),
    }
}

/// JSON as it is written: of the argument itself, or of the standard input for `-`.
pub fn json(text: &str) -> Result<Box<RawValue>> {
    let text = match text {
        "-" => file(Path::new("-"))?,
        text => text.to_owned(),
    };
    parsed(&text, "the arguments")
}

pub fn parsed<T: DeserializeOwned>(text: &str, what: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| {
        Failure::usage(format!(
            "{what} are no JSON: {error}; quote them for the shell, such as '{{\"order\": 17}}'"
        ))
    })
}

/// A value as JSON, for the body of a request.
pub fn raw(value: impl Into<serde_json::Value>) -> Result<Box<RawValue>> {
    serde_json::value::to_raw_value(&value.into())
        .map_err(|error| Failure::failed(format!("the request cannot be written: {error}")))
}
