//! Why the tasks of a theme do not run.

use super::{
    finding::{Findings, word},
    limit,
};
use crate::{
    api::{Api, Fields, Pairs},
    commands::{method, node, theme::note},
    exit::Result,
    output::{View, words},
};

/// How many groups of errors, and how many unserved methods, are named.
const NAMED: usize = 3;

/// A theme with its unfinished tasks.
pub struct Theme {
    pub name: String,
    info: Fields,
    unfinished: Fields,
}

impl Theme {
    pub async fn read(api: &Api, name: &str) -> Result<Self> {
        let info = api.get(&["themes", name]).send().await?.fields()?;
        Ok(Self {
            name: name.to_owned(),
            unfinished: info.object("unfinished").unwrap_or_else(|| Pairs(Vec::new())),
            info,
        })
    }

    fn due(&self) -> i64 {
        self.unfinished.int("due").unwrap_or(0)
    }

    fn number(&self, key: &str) -> i64 {
        self.info.int(key).unwrap_or(0)
    }
}

pub async fn look(api: &Api, findings: &mut Findings, name: &str) -> Result<()> {
    let theme = Theme::read(api, name).await?;
    is_known(api, findings, &theme).await?;
    is_open(api, findings, &theme);
    has_workers(findings, &theme);
    let nodes = node::details_of_living(api, &node::nodes(api).await?).await?;
    are_ours(findings, &nodes, Some(name));
    is_served(api, findings, &theme).await?;
    limit::of_theme(api, findings, name).await?;
    waits(api, findings, &theme);
    errors(api, findings, name).await
}

/// The faults alone, or one line if there are none.
pub async fn look_briefly(api: &Api, findings: &mut Findings, name: &str) -> Result<()> {
    let theme = Theme::read(api, name).await?;
    let mut own = Findings::default();
    is_open(api, &mut own, &theme);
    has_workers(&mut own, &theme);
    is_served(api, &mut own, &theme).await?;
    match own.all_well() {
        true => findings.ok(format!("theme {name}: {}", in_words(api, &theme))),
        false => findings.take_wrong(own),
    }
    Ok(())
}

fn in_words(api: &Api, theme: &Theme) -> String {
    let oldest = theme
        .unfinished
        .time("oldest_due")
        .map(|due| format!(", the oldest since {}", words::ago(due, api.now())));
    format!(
        "{} of {} busy, {}{}",
        theme.number("running"),
        words::counted(theme.number("node_workers"), "worker", "workers"),
        words::counted(theme.due(), "task due", "tasks due"),
        oldest.unwrap_or_default()
    )
}

async fn is_known(api: &Api, findings: &mut Findings, theme: &Theme) -> Result<()> {
    let themes = api.get(&["themes"]).send().await?.fields()?.list("themes");
    let names: Vec<String> = themes.iter().map(|theme| theme.text("theme")).collect();
    if names.contains(&theme.name) {
        return Ok(());
    }
    let known = if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    };
    findings.wrong(
        format!(
            "the theme {} has no workers, no unfinished tasks and no settings; known themes: {known}",
            theme.name
        ),
        "the name of a theme that a node works on",
        &["gaia theme list"],
    );
    Ok(())
}

pub fn is_open(api: &Api, findings: &mut Findings, theme: &Theme) {
    let name = &theme.name;
    if !theme.info.flag("paused") {
        findings.ok(format!("the theme {name} is not paused"));
        return;
    }
    let view = View {
        now: api.now(),
        is_wide: false,
    };
    findings.wrong(
        format!("the theme {name} is paused {}", note(&theme.info, "pause", &view)),
        "a theme that is not paused",
        &[&format!("gaia theme resume {}", word(name))],
    );
}

pub fn has_workers(findings: &mut Findings, theme: &Theme) {
    let (name, nodes, workers, busy) = (
        &theme.name,
        theme.number("nodes"),
        theme.number("node_workers"),
        theme.number("running"),
    );
    let resize = format!("gaia theme resize {} default", word(name));
    match (nodes, workers) {
        (0, _) => findings.wrong(
            format!("no node works on the theme {name}"),
            "a living process that has started a scheduler of the theme on this database",
            &["gaia node list"],
        ),
        (_, 0) => findings.wrong(
            format!("the nodes have 0 workers for the theme {name}"),
            "1 worker at least",
            &[&resize],
        ),
        (_, workers) if busy >= workers && theme.due() > 0 => findings.note(
            format!(
                "{} of the theme {name}, all of them busy, and {}",
                words::counted(workers, "worker", "workers"),
                words::counted(theme.due(), "task waits", "tasks wait")
            ),
            &[
                &format!("gaia task list status:running theme:{}", word(name)),
                &format!("gaia theme resize {} {}", word(name), workers * 2),
            ],
        ),
        (nodes, workers) => findings.ok(format!(
            "{} for the theme {name}, {busy} of them busy",
            match nodes {
                1 => format!("1 node has {}", words::counted(workers, "worker", "workers")),
                nodes => format!("{nodes} nodes have {}", words::counted(workers, "worker", "workers")),
            }
        )),
    }
}

/// Nodes that leave this theme, or any, to workers of the Go framework.
pub fn are_ours(findings: &mut Findings, nodes: &[(String, Fields)], name: Option<&str>) {
    for (id, detail) in nodes {
        let themes = detail.object("status").map(|status| status.list("themes"));
        for theme in themes.unwrap_or_default().iter().filter(|theme| theme.flag("shared")) {
            let theme = theme.text("theme");
            if name.is_none_or(|name| name == theme) {
                findings.wrong(
                    format!(
                        "the node {id} takes no tasks of the theme {theme}: workers of the Go framework run some, or it cannot see what they do"
                    ),
                    "workers of one side alone on the theme",
                    &[&format!("gaia node get {id}")],
                );
            }
        }
    }
}

/// Due tasks whose methods no node serves.
async fn is_served(api: &Api, findings: &mut Findings, theme: &Theme) -> Result<()> {
    let name = &theme.name;
    // Without a node no method is served, and the missing node is the fault.
    if theme.number("nodes") == 0 {
        return Ok(());
    }
    let methods = api
        .get(&["themes", name, "methods"])
        .send()
        .await?
        .fields()?
        .list("methods");
    let unserved = methods
        .iter()
        .filter(|info| !is_on_a_node(info) && info.int("due").unwrap_or(0) > 0);
    for info in unserved.take(NAMED) {
        findings.wrong(
            format!(
                "{} {}, which no living node with workers for the theme {name} serves",
                words::counted(info.int("due").unwrap_or(0), "due task calls", "due tasks call"),
                method::name(info)
            ),
            "a node that has registered this method, spelt the same",
            &[&format!("gaia theme methods {}", word(name))],
        );
    }
    Ok(())
}

pub fn is_on_a_node(method: &Fields) -> bool {
    method
        .get::<Vec<String>>("nodes")
        .is_some_and(|nodes| !nodes.is_empty())
}

fn waits(api: &Api, findings: &mut Findings, theme: &Theme) {
    let scheduled = theme.unfinished.int("scheduled").unwrap_or(0);
    findings.note(in_words(api, theme), &[]);
    if scheduled > 0 {
        findings.note(
            format!(
                "{} for a later time",
                words::counted(scheduled, "task waits", "tasks wait")
            ),
            &[&format!("gaia task list status:wait,retry theme:{}", word(&theme.name))],
        );
    }
}

/// The most frequent errors of the last hour.
async fn errors(api: &Api, findings: &mut Findings, name: &str) -> Result<()> {
    let errors = api
        .get(&["themes", name, "errors"])
        .query("since", "1h")
        .send()
        .await?
        .fields()?;
    for group in errors.list("groups").iter().take(NAMED) {
        findings.note(
            format!(
                "in the last hour {} of {} failed: {}",
                words::counted(group.int("attempts").unwrap_or(0), "attempt", "attempts"),
                method::name(group),
                group.text("error")
            ),
            &[&format!("gaia theme errors {} --since 1h", word(name))],
        );
    }
    Ok(())
}
