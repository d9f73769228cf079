//! Scripts for shells, and manual pages.

use std::io;

use clap::CommandFactory;

use crate::{
    args::{Cli, CompletionArgs, ManArgs},
    exit::{Exit, Failure, Result},
    output::say,
    session::Session,
};

pub fn completion(session: &Session, args: &CompletionArgs) -> Result {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "gaia", &mut script);
    session.out.bytes(&script)?;
    Ok(Exit::Done)
}

/// One page for each command, or the page of the program.
pub fn man(session: &Session, args: &ManArgs) -> Result {
    let Some(folder) = &args.folder else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command())
            .render(&mut page)
            .map_err(|error| unwritten(&error))?;
        session.out.bytes(&page)?;
        return Ok(Exit::Done);
    };
    let written = std::fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(Cli::command(), folder));
    written.map_err(|error| unwritten(&error))?;
    say(&format!(
        "The pages are in {}; `man -l {}/gaia.1` shows the first.",
        folder.display(),
        folder.display()
    ));
    Ok(Exit::Done)
}

fn unwritten(error: &io::Error) -> Failure {
    Failure::failed(format!("the manual pages cannot be written: {error}"))
}
