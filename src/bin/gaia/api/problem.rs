//! Refusals of the API, as exit codes and words.

use serde::Deserialize;

use crate::exit::{Exit, Failure};

/// A refusal as `application/problem+json` has it: what of it a person needs.
#[derive(Debug, Deserialize)]
struct Problem {
    code: String,
    detail: String,
    #[serde(default)]
    faults: Vec<Fault>,
    stored: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Fault {
    detail: String,
    pointer: Option<String>,
    parameter: Option<String>,
    index: Option<usize>,
}

/// How much of an answer that is no refusal of the API is shown, in characters.
const SHOWN: usize = 200;

/// The refusal of a request, or another answer in its place.
pub fn failure(base: &str, status: u16, body: &str) -> Failure {
    match serde_json::from_str::<Problem>(body) {
        Ok(problem) => Failure::new(exit(status, &problem.code), problem.words(base)),
        Err(_) => strange(base, status, body),
    }
}

impl Problem {
    fn words(&self, base: &str) -> String {
        let places: Vec<String> = self.faults.iter().map(Fault::words).collect();
        let mut words = match places.len() {
            0 | 1 => self.detail.clone(),
            _ => format!("invalid input:\n  {}", places.join("\n  ")),
        };
        if self.stored.as_deref() == Some("unknown") {
            words.push_str("; whether the change was made is unknown, so look before you try again");
        }
        match self.code.as_str() {
            "no_access" => words.push_str("; give --token-file FILE with a token that this server knows"),
            "route_not_found" => {
                words = format!("the server at {base} is older than this program, or another one: {words}");
            }
            "schema_missing" => words.push_str("; run `gaia migrate`"),
            _ => {}
        }
        words
    }
}

impl Fault {
    fn words(&self) -> String {
        match (self.index, &self.pointer, &self.parameter) {
            (Some(index), _, _) => format!("line {}: {}", index + 1, self.detail),
            (None, Some(place), _) | (None, None, Some(place)) => {
                format!("{}: {}", place.trim_start_matches('/'), self.detail)
            }
            (None, None, None) => self.detail.clone(),
        }
    }
}

fn exit(status: u16, code: &str) -> Exit {
    match (status, code) {
        (401 | 403, _) => Exit::NoRight,
        (404, "route_not_found") | (405, _) => Exit::Away,
        (404, _) => Exit::NotFound,
        (409 | 412, _) => Exit::NotAllowed,
        (503, "not_taken") | (504, "not_answered") => Exit::WaitedInVain,
        (400 | 413 | 415 | 422, _) => Exit::Usage,
        (502..=504, _) => Exit::Away,
        _ => Exit::Failed,
    }
}

/// Something else than this API has answered: a proxy, or another program.
fn strange(base: &str, status: u16, body: &str) -> Failure {
    let said: String = body.trim().chars().take(SHOWN).collect();
    let said = if said.is_empty() { "nothing".to_owned() } else { said };
    let exit = match status {
        401 | 403 => Exit::NoRight,
        _ => Exit::Away,
    };
    let hint = match status {
        300..=399 => "it sends callers elsewhere; give the address to which it does",
        401 | 403 => "a proxy in front of it knows nothing of this caller",
        _ => "give the address below which the API is mounted, such as http://host:8080/gaia",
    };
    Failure::new(
        exit,
        format!("what answers at {base} is not this API, with status {status}; {hint}. It says: {said}"),
    )
}
