//! Themes.

use serde_json::json;

use crate::{
    api::{Api, Fields, Pairs},
    args::{ErrorsArgs, HistoryArgs, ThemeCommand},
    commands::method,
    exit::{Exit, Failure, Result},
    output::{Cell, Column, Details, Sheet, Tone, View, say, words},
    session::Session,
    watch::watched,
};

const SHEET: Sheet = Sheet {
    columns: &[
        Column::new("THEME", |theme, _| Cell::of(theme, "theme")),
        Column::whole("STATE", |theme, _| state(theme)),
        Column::number("NODES", |theme, _| Cell::int(theme, "nodes")),
        Column::number("WORKERS", |theme, _| Cell::int(theme, "node_workers")),
        Column::number("BUSY", |theme, _| Cell::int(theme, "running")),
        Column::number("SET TO", |theme, _| Cell::int(theme, "workers")),
        Column::new("NOTE", |theme, view| Cell::new(note(theme, "pause", view))),
    ],
    empty: "No theme has settings, unfinished tasks or workers.",
    name: |theme| theme.text("theme"),
};

const ON_NODES: Sheet = Sheet {
    columns: &[
        Column::whole("NODE", |node, _| Cell::of(node, "node")),
        Column::whole("STATE", |node, _| match node.flag("alive") {
            true => Cell::new("alive").toned(Tone::Good),
            false => Cell::new("silent").toned(Tone::Bad),
        }),
        Column::number("WORKERS", |node, _| Cell::int(node, "workers")),
        Column::number("BUSY", |node, _| Cell::int(node, "running")),
    ],
    empty: "No node has workers for the theme.",
    name: |node| node.text("node"),
};

const ERRORS: Sheet = Sheet {
    columns: &[
        Column::number("ATTEMPTS", |group, _| Cell::int(group, "attempts")),
        Column::number("TASKS", |group, _| Cell::int(group, "tasks")),
        Column::number("RETRYING", |group, _| Cell::int(group, "retrying")),
        Column::whole("LAST", |group, view| {
            Cell::new(words::in_table(group.time("last"), view))
        }),
        Column::new("METHOD", |group, _| Cell::new(method::name(group))),
        Column::new("ERROR", |group, _| Cell::of(group, "error")),
        Column::whole("NEWEST TASKS", |group, _| {
            let ids: Vec<i64> = group.get("newest").unwrap_or_default();
            Cell::new(ids.iter().map(i64::to_string).collect::<Vec<_>>().join(","))
        })
        .for_wide(),
    ],
    empty: "No attempt has failed in this time.",
    name: |group| group.text("error"),
};

const HISTORY: Sheet = Sheet {
    columns: &[
        Column::whole("FROM", |point, _| {
            Cell::new(point.time("at").map(words::written).unwrap_or_default())
        }),
        Column::new("METHOD", |point, _| match point.raw("method") {
            Some(_) => Cell::new(method::name(point)),
            None => Cell::new(""),
        }),
        Column::number("SUCCEEDED", |point, _| Cell::int(point, "succeeded")),
        Column::number("FAILED", |point, _| counted(point, "failed", Tone::Bad)),
        Column::number("RETRIED", |point, _| counted(point, "retried", Tone::Warning)),
        Column::number("CANCELLED", |point, _| Cell::int(point, "cancelled")).minor(),
        Column::number("LOST", |point, _| counted(point, "lost", Tone::Bad)).minor(),
        Column::whole("WAITED P50", |point, _| quantile(point, "waiting", "p50_ms")).minor(),
        Column::whole("P95", |point, _| quantile(point, "waiting", "p95_ms")).minor(),
        Column::whole("RAN P50", |point, _| quantile(point, "running", "p50_ms")),
        Column::whole("P95", |point, _| quantile(point, "running", "p95_ms")).minor(),
    ],
    empty: "No task has ended in this time.",
    name: |point| point.text("at"),
};

fn counted(point: &Fields, key: &str, tone: Tone) -> Cell {
    let cell = Cell::int(point, key);
    if point.int(key).is_some_and(|count| count > 0) {
        cell.toned(tone)
    } else {
        cell
    }
}

fn quantile(point: &Fields, times: &str, key: &str) -> Cell {
    let millis = point.object(times).and_then(|times| times.int(key));
    Cell::new(millis.map(words::millis).unwrap_or_default())
}

fn state(theme: &Fields) -> Cell {
    match theme.flag("paused") {
        true => Cell::new("paused").toned(Tone::Warning),
        false => Cell::new("open"),
    }
}

/// Who has set something, when and why.
pub fn note(theme: &Fields, key: &str, view: &View) -> String {
    let Some(note) = theme.object(key) else {
        return String::new();
    };
    let by = Some(note.text("by"))
        .filter(|by| !by.is_empty())
        .map(|by| format!("by {by}"));
    let at = note.time("at").map(|at| words::ago(at, view.now));
    let reason = Some(note.text("reason"))
        .filter(|reason| !reason.is_empty())
        .map(|reason| format!(": {reason}"));
    let head: Vec<String> = by.into_iter().chain(at).collect();
    format!("{}{}", head.join(", "), reason.unwrap_or_default())
}

pub async fn run(session: &Session, command: ThemeCommand) -> Result {
    let (api, out) = (session.api().await?, &session.out);
    match command {
        ThemeCommand::List { watch } => {
            watched(session, watch.watch, async || {
                let themes = api.get(&["themes"]).send().await?.fields()?.list("themes");
                out.list(&SHEET, &themes, &out.view(api))?;
                Ok(Exit::Done)
            })
            .await
        }
        ThemeCommand::Get { theme, count } => get(session, api, &theme, count).await,
        ThemeCommand::Pause { theme, reason } => {
            let request = api.post(&["themes", &theme, "pause"]).reason(reason.reason.as_deref());
            let paused = request.send().await?.fields()?;
            say(&format!(
                "The theme {theme} is paused: no node takes its tasks. Those that run go on."
            ));
            out.changed(&theme, &paused)
        }
        ThemeCommand::Resume { theme, reason } => {
            let request = api.post(&["themes", &theme, "resume"]).reason(reason.reason.as_deref());
            let resumed = request.send().await?.fields()?;
            say(&format!("The theme {theme} is not paused."));
            out.changed(&theme, &resumed)
        }
        ThemeCommand::Resize { theme, workers, reason } => {
            let number = workers_of(&workers)?;
            let request = api
                .put(&["themes", &theme, "workers"])
                .json(&json!({ "workers": number }))?;
            let resized = request.reason(reason.reason.as_deref()).send().await?.fields()?;
            say(&match number {
                Some(number) => format!(
                    "Each node has {} for the theme {theme}.",
                    words::counted(number, "worker", "workers")
                ),
                None => format!("Each node has for the theme {theme} the number of workers that it has by itself."),
            });
            out.changed(&theme, &resized)
        }
        ThemeCommand::Methods { theme, watch } => {
            watched(session, watch.watch, async || {
                let methods = api
                    .get(&["themes", &theme, "methods"])
                    .send()
                    .await?
                    .fields()?
                    .list("methods");
                out.list(&method::SHEET, &methods, &out.view(api))?;
                Ok(Exit::Done)
            })
            .await
        }
        ThemeCommand::Errors(args) => errors(session, api, &args).await,
        ThemeCommand::History(args) => history(session, api, &args).await,
    }
}

fn workers_of(text: &str) -> Result<Option<i64>> {
    match (text, text.parse::<u32>()) {
        ("default", _) => Ok(None),
        (_, Ok(number)) => Ok(Some(number.into())),
        (text, Err(_)) => Err(Failure::usage(format!(
            "{text:?} is no number of workers; expected a number from 0 on, or default"
        ))),
    }
}

async fn get(session: &Session, api: &Api, theme: &str, count: bool) -> Result {
    let out = &session.out;
    let request = api
        .get(&["themes", theme])
        .query("count", if count { "exact" } else { "none" });
    let shown = request.send().await?.fields()?;
    let view = out.view(api);
    out.item(&SHEET, &shown, || details(&shown, &view))?;
    let nodes = shown.list("on_nodes");
    if out.is_table() && !nodes.is_empty() {
        out.write(&format!("\n{}", out.table(&ON_NODES, &nodes, &view)))?;
    }
    Ok(Exit::Done)
}

fn details(theme: &Fields, view: &View) -> Details {
    let unfinished = theme.object("unfinished").unwrap_or_else(|| Pairs(Vec::new()));
    let unserved = unfinished.int("unserved").filter(|count| *count > 0);
    let mut details = Details::default()
        .text_of("theme", theme, "theme")
        .add("state", state(theme))
        .add("paused", Cell::new(note(theme, "pause", view)))
        .add("paused first", Cell::new(note(theme, "first_pause", view)))
        .int_of("nodes", theme, "nodes")
        .int_of("workers", theme, "node_workers")
        .int_of("busy", theme, "running")
        .add("resized", Cell::new(note(theme, "resize", view)))
        .int_of("due", &unfinished, "due")
        .time_of("oldest due", &unfinished, "oldest_due", view)
        .int_of("for later", &unfinished, "scheduled")
        .add(
            "no node for",
            Cell::new(
                unserved
                    .map(|count| words::counted(count, "due task", "due tasks"))
                    .unwrap_or_default(),
            )
            .toned(Tone::Bad),
        );
    for (status, count) in theme.object("tasks").map(|tasks| tasks.0).unwrap_or_default() {
        details = details.add("tasks", Cell::new(format!("{} {status}", count.get())));
    }
    details
}

async fn errors(session: &Session, api: &Api, args: &ErrorsArgs) -> Result {
    let out = &session.out;
    watched(session, args.watch.watch, async || {
        let request = api.get(&["themes", &args.theme, "errors"]).query("since", &args.since);
        let request = request
            .query("attempts", if args.all_attempts { "all" } else { "last" })
            .query("limit", args.limit);
        let errors = request.send().await?.fields()?;
        out.list(&ERRORS, &errors.list("groups"), &out.view(api))?;
        if let Some(more) = errors.int("more_groups").filter(|more| *more > 0) {
            say(&format!("There are {more} more groups; --limit shows more of them."));
        }
        if let Some(id) = errors.object("searched_from").and_then(|task| task.int("id")) {
            say(&format!(
                "Reading takes long and has ended early: it has looked back as far as task {id}."
            ));
        }
        Ok(Exit::Done)
    })
    .await
}

async fn history(session: &Session, api: &Api, args: &HistoryArgs) -> Result {
    let out = &session.out;
    watched(session, args.watch.watch, async || {
        let request = api
            .get(&["themes", &args.theme, "history"])
            .query("step", args.step)
            .query("by_method", args.by_method);
        let request = request.maybe("from", args.from.as_ref()).maybe("to", args.to.as_ref());
        let request = request
            .maybe("service", args.service.as_ref())
            .maybe("method", args.method.as_ref());
        let points = request.send().await?.fields()?.list("points");
        out.list(&HISTORY, &points, &out.view(api))?;
        Ok(Exit::Done)
    })
    .await
}
