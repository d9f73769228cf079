//! What operators have changed.

use super::paging;
use crate::{
    api::Fields,
    args::AuditCommand,
    exit::{Exit, Result},
    output::{Cell, Column, Sheet, Tone, words},
    session::Session,
    watch::watched,
};

const SHEET: Sheet = Sheet {
    columns: &[
        Column::number("ID", |entry, _| Cell::int(entry, "id")),
        Column::whole("AT", |entry, view| Cell::new(words::in_table(entry.time("at"), view))),
        Column::new("AUTHOR", |entry, _| Cell::of(entry, "author")),
        Column::whole("ACTION", |entry, _| Cell::of(entry, "action")),
        Column::new("TARGET", |entry, _| Cell::new(target(entry))),
        Column::new("RESULT", |entry, _| result(entry)),
        Column::new("REASON", |entry, _| Cell::of(entry, "reason")),
        Column::whole("THEME", |entry, _| Cell::of(entry, "theme")).for_wide(),
        Column::whole("CHANGES", |entry, _| Cell::new(changes(entry))).for_wide(),
    ],
    empty: "No change meets the conditions.",
    name: Fields::text_of_id,
};

fn target(entry: &Fields) -> String {
    let (target, name) = (entry.text("target"), entry.text("target_name"));
    if name.is_empty() {
        target
    } else {
        format!("{target} {name}")
    }
}

fn result(entry: &Fields) -> Cell {
    match entry.text("result").as_str() {
        "" => Cell::new("unknown").toned(Tone::Warning),
        "done" => Cell::new("done"),
        other => Cell::new(other).toned(Tone::Bad),
    }
}

fn changes(entry: &Fields) -> String {
    let shown = |change: &Fields, key: &str| {
        change
            .raw(key)
            .map_or_else(|| "none".to_owned(), |value| value.get().to_owned())
    };
    let changes: Vec<String> = entry
        .list("changes")
        .iter()
        .map(|change| {
            format!(
                "{}: {} → {}",
                change.text("field"),
                shown(change, "from"),
                shown(change, "to")
            )
        })
        .collect();
    changes.join(", ")
}

pub async fn run(session: &Session, command: AuditCommand) -> Result {
    let AuditCommand::List {
        theme,
        author,
        action,
        paging,
        watch,
    } = command;
    let (api, out) = (session.api().await?, &session.out);
    watched(session, watch.watch, async || {
        let request = || {
            api.get(&["audit"])
                .each("theme", &theme)
                .maybe("author", author.as_ref())
                .maybe("action", action.as_ref())
        };
        let entries = paging::rows(&paging, "entries", request).await?;
        out.list(&SHEET, &entries, &out.view(api))?;
        Ok(Exit::Done)
    })
    .await
}
