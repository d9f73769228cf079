//! Asking before many tasks are changed.

use std::io::{self, IsTerminal};

use crate::{
    exit::{Failure, Result},
    output::ask_line,
};

/// Asks on the terminal; an answer other than yes is a no.
pub fn confirm(question: &str) -> Result<bool> {
    if !io::stdin().is_terminal() {
        return Err(Failure::usage(
            "there is no terminal to ask on, and nothing was done; look with --dry-run, then give --yes",
        ));
    }
    ask_line(&format!("{question} [y/N] ")).map_err(|error| Failure::of_output(&error))?;
    let mut answer = String::new();
    let read = io::stdin().read_line(&mut answer);
    read.map_err(|error| Failure::failed(format!("cannot read the answer: {error}; nothing was done")))?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}
