//! Nodes.

use serde_json::json;

use crate::{
    api::{Api, Fields},
    args::NodeCommand,
    exit::{Exit, Result},
    output::{Cell, Column, Details, Sheet, Tone, View, say, words},
    session::Session,
    watch::watched,
};

pub const SHEET: Sheet = Sheet {
    columns: &[
        Column::whole("ID", |node, _| Cell::of(node, "id")),
        Column::whole("STATE", |node, _| state(node)),
        Column::new("HOST", |node, _| Cell::of(node, "host")),
        Column::number("PID", |node, _| Cell::int(node, "pid")).minor(),
        Column::number("WORKERS", |node, _| Cell::int(node, "workers")),
        Column::number("BUSY", |node, _| Cell::int(node, "running")),
        Column::whole("LAST BEAT", |node, view| {
            Cell::new(words::in_table(node.time("last_beat"), view))
        }),
        Column::new("THEMES", |node, _| Cell::new(themes(node))),
        Column::whole("STARTED", |node, view| {
            Cell::new(words::in_table(node.time("started_at"), view))
        })
        .for_wide(),
        Column::whole("VERSION", |node, _| Cell::of(node, "version")).for_wide(),
    ],
    empty: "There is no node: nothing runs tasks or jobs.",
    name: |node| node.text("id"),
};

const ON_THEMES: Sheet = Sheet {
    columns: &[
        Column::new("THEME", |theme, _| Cell::of(theme, "theme")),
        Column::number("WORKERS", |theme, _| Cell::int(theme, "all_workers")),
        Column::number("BUSY", |theme, _| Cell::int(theme, "running_workers")),
        Column::number("BUFFERED", |theme, _| Cell::int(theme, "queue_depth")).minor(),
        Column::number("SUCCEEDED", |theme, _| Cell::int(theme, "succeeded")),
        Column::number("FAILED", |theme, _| Cell::int(theme, "failed")),
        Column::number("RETRIED", |theme, _| Cell::int(theme, "retried")),
        Column::number("UNWRITTEN", |theme, _| Cell::int(theme, "unwritten")).minor(),
        Column::number("DB ERRORS", |theme, _| Cell::int(theme, "database_errors")).minor(),
    ],
    empty: "The node works on no theme.",
    name: |theme| theme.text("theme"),
};

fn state(node: &Fields) -> Cell {
    match node.flag("alive") {
        true => Cell::new("alive").toned(Tone::Good),
        false => Cell::new("silent").toned(Tone::Bad),
    }
}

fn themes(node: &Fields) -> String {
    let themes: Vec<String> = node.list("themes").iter().map(|theme| theme.text("theme")).collect();
    themes.join(" ")
}

/// The nodes but the one of this program, which runs nothing and is gone in a moment.
pub async fn nodes(api: &Api) -> Result<Vec<Fields>> {
    let mut nodes = api.get(&["nodes"]).send().await?.fields()?.list("nodes");
    nodes.retain(|node| !api.is_own_node(&node.text("id")));
    Ok(nodes)
}

/// What the living ones of these nodes say of themselves, with their ids. A node that has gone since the list was read says nothing.
pub async fn details_of_living(api: &Api, nodes: &[Fields]) -> Result<Vec<(String, Fields)>> {
    let mut details = Vec::new();
    for node in nodes.iter().filter(|node| node.flag("alive")) {
        let id = node.text("id");
        match api.get(&["nodes", &id]).send().await {
            Err(failure) if failure.exit == Exit::NotFound => {}
            detail => details.push((id, detail?.fields()?)),
        }
    }
    Ok(details)
}

pub async fn run(session: &Session, command: NodeCommand) -> Result {
    let (api, out) = (session.api().await?, &session.out);
    match command {
        NodeCommand::List { watch } => {
            watched(session, watch.watch, async || {
                out.list(&SHEET, &nodes(api).await?, &out.view(api))?;
                Ok(Exit::Done)
            })
            .await
        }
        NodeCommand::Get { node } => get(session, api, &node).await,
        NodeCommand::Resize {
            node,
            theme,
            workers,
            reason,
        } => {
            let request = api
                .put(&["nodes", &node, "themes", &theme, "workers"])
                .json(&json!({ "workers": workers }))?;
            let resized = request.reason(reason.reason.as_deref()).send().await?.fields()?;
            let count = words::counted(workers, "worker", "workers");
            say(&format!(
                "The node {node} has {count} for the theme {theme}, until it stops."
            ));
            out.changed(&node, &resized)
        }
    }
}

async fn get(session: &Session, api: &Api, node: &str) -> Result {
    let (out, shown) = (&session.out, api.get(&["nodes", node]).send().await?.fields()?);
    let (info, status) = (shown.object("node"), shown.object("status"));
    let view = out.view(api);
    match info.filter(|_| out.is_table()) {
        Some(info) => out.details(&details(&info, status.as_ref(), &view))?,
        None if out.format == crate::output::Format::Name => out.line(node)?,
        None => out.value(&shown)?,
    }
    let themes = status.map(|status| status.list("themes")).unwrap_or_default();
    if out.is_table() && !themes.is_empty() {
        out.write(&format!("\n{}", out.table(&ON_THEMES, &themes, &view)))?;
    }
    Ok(Exit::Done)
}

fn details(node: &Fields, status: Option<&Fields>, view: &View) -> Details {
    let methods: Vec<String> = node.list("methods").iter().map(super::method::name).collect();
    let jobs = status.and_then(|status| status.object("jobs"));
    let jobs = jobs.map(|jobs| {
        let count = |key: &str| jobs.int(key).unwrap_or(0);
        let state = match (jobs.text("banned"), jobs.flag("fenced")) {
            (banned, _) if !banned.is_empty() => format!("banned in the environment {banned}; "),
            (_, true) => "fenced; ".to_owned(),
            _ => String::new(),
        };
        format!(
            "{state}{} scheduled, {} running, {} bad",
            count("scheduled"),
            count("running"),
            count("bad")
        )
    });
    Details::default()
        .text_of("id", node, "id")
        .add("state", state(node))
        .text_of("host", node, "host")
        .int_of("pid", node, "pid")
        .text_of("version", node, "version")
        .time_of("started", node, "started_at", view)
        .time_of("last beat", node, "last_beat", view)
        .add(
            "lease",
            Cell::new(node.int("lease_ms").map(words::millis).unwrap_or_default()),
        )
        .int_of("workers", node, "workers")
        .int_of("busy", node, "running")
        .add("jobs", Cell::new(jobs.unwrap_or_else(|| "runs none".to_owned())))
        .lines("methods", &methods.join("\n"))
}
