//! Bringing the tables to the version of this program.

use gaia_actors::{Clock, store::Store};

use crate::{
    args::MigrateArgs,
    exit::{Exit, Result},
    local::of_store,
    output::{say, words},
    session::Session,
    target::Target,
};

pub async fn run(session: &Session, args: MigrateArgs) -> Result {
    let url = Target::database(&session.globals, "gaia migrate")?;
    let new = !args.dry_run || crate::local::must_exist(&url).is_ok();
    if !new {
        say("There is no database file yet; `gaia migrate` makes it, with all tables.");
        return Ok(Exit::Done);
    }
    let store = Store::connect(&url, Clock::system())
        .await
        .map_err(|error| of_store(&error))?;
    let changes = store
        .changes_before_migrations()
        .await
        .map_err(|error| of_store(&error))?;
    changes.iter().try_for_each(|change| session.out.line(change))?;
    let pending = store.pending_migrations().await.map_err(|error| of_store(&error))?;
    pending.iter().try_for_each(|name| session.out.line(name))?;
    let count = words::counted(pending.len(), "migration", "migrations");
    if pending.is_empty() {
        // The zone of the URL may be another than the database's.
        store.check_schema().await.map_err(|error| of_store(&error))?;
        say("The tables are of this program's version; nothing is to be done.");
    } else if args.dry_run {
        say(&format!(
            "The database {} lacks {count}; nothing was done.",
            store.url()
        ));
    } else {
        store.migrate().await.map_err(|error| of_store(&error))?;
        say(&format!("The database {} is migrated, by {count}.", store.url()));
    }
    Ok(Exit::Done)
}
