//! Methods that nodes serve.

use crate::{
    api::Fields,
    args::MethodCommand,
    exit::{Exit, Result},
    output::{Cell, Column, Sheet, Tone},
    session::Session,
    watch::watched,
};

pub const SHEET: Sheet = Sheet {
    columns: &[
        Column::new("METHOD", |method, _| Cell::new(name(method))),
        Column::number("NODES", |method, _| nodes(method)),
        Column::number("DUE", |method, _| Cell::int(method, "due")),
        Column::whole("ON", |method, _| {
            Cell::new(method.get::<Vec<String>>("nodes").unwrap_or_default().join(" "))
        })
        .for_wide(),
    ],
    empty: "No living node serves a method.",
    name,
};

pub fn name(method: &Fields) -> String {
    format!("{}.{}", method.text("service"), method.text("method"))
}

/// Due tasks that no node will run are bad.
fn nodes(method: &Fields) -> Cell {
    let nodes: Vec<String> = method.get("nodes").unwrap_or_default();
    let cell = Cell::new(nodes.len().to_string());
    match nodes.is_empty() {
        true => cell.toned(Tone::Bad),
        false => cell,
    }
}

pub async fn run(session: &Session, MethodCommand::List { watch }: MethodCommand) -> Result {
    let (api, out) = (session.api().await?, &session.out);
    watched(session, watch.watch, async || {
        let methods = api.get(&["methods"]).send().await?.fields()?.list("methods");
        out.list(&SHEET, &methods, &out.view(api))?;
        Ok(Exit::Done)
    })
    .await
}
