//! Writing whole tasks.

use futures_util::StreamExt;

use crate::{
    args::{ExportFormat, ExportTasks},
    exit::{Exit, Failure, Result},
    select,
    session::Session,
};

pub async fn run(session: &Session, export: ExportTasks) -> Result {
    let api = session.api().await?;
    let line = select::line(&export.search);
    if line.is_empty() && export.theme.is_empty() && !export.all {
        return Err(Failure::usage(
            "it is not said which tasks are meant; give a search line, --theme, or --all for every task",
        ));
    }
    let format = match export.format {
        ExportFormat::Jsonl => "jsonl",
        ExportFormat::Csv => "csv",
    };
    let request = api
        .get(&["tasks", "export"])
        .maybe("q", Some(line).filter(|line| !line.is_empty()));
    let request = request
        .each("theme", &export.theme)
        .query("format", format)
        .query("max", export.max);
    let mut parts = Box::pin(request.stream().await?);
    while let Some(part) = parts.next().await {
        session.out.bytes(&part?)?;
    }
    Ok(Exit::Done)
}
