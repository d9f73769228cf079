//! Tasks.

mod add;
mod change;
mod export;
mod list;
mod show;
mod wait;

use super::run_log;
use crate::{args::TaskCommand, exit::Result, session::Session};

pub use self::{
    list::{SHEET, waits_for},
    show::details,
};

pub async fn run(session: &Session, command: TaskCommand) -> Result {
    let api = session.api().await?;
    match command {
        TaskCommand::List(find) => list::run(session, find).await,
        TaskCommand::Get { id } => show::task(session, id).await,
        TaskCommand::Records { id, limit } => show::records(session, id, limit).await,
        TaskCommand::Log(log) => {
            let id = log.id.to_string();
            run_log::show(session, log.follow, || {
                api.get(&["tasks", &id, "log"]).maybe("log_id", log.log_id.as_ref())
            })
            .await
        }
        TaskCommand::Add(add) => add::run(session, *add).await,
        TaskCommand::Wait { id, timeout } => wait::run(session, id, timeout).await,
        TaskCommand::Cancel(change) => change::run(session, change::CANCEL, change).await,
        TaskCommand::Retry(change) => change::run(session, change::RETRY, change).await,
        TaskCommand::RunNow(change) => change::run(session, change::RUN_NOW, change).await,
        TaskCommand::Delete(change) => change::run(session, change::DELETE, change).await,
        TaskCommand::Export(export) => export::run(session, export).await,
    }
}
