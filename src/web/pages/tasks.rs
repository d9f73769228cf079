//! The list of tasks, and the search.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::{
    layout::{Page, Place},
    parts::{empty, lasting, method_link, node_link, status, task_link, theme_link, time, time_or_none, with_query},
    past,
    view::View,
    words::Words,
};
use crate::{
    domain::{BulkAction, SearchedTo, TaskFilter, TaskStatus, TaskSummary, WaitKind, WaitsFor, without},
    web::{
        call::Call,
        filter, operations,
        problem::{Fault, Problem},
        redact::Shown,
        tasks::{self, Found, Wanted},
    },
};

/// How much of a last error a row shows, in characters.
const ERROR_CHARS: usize = 80;

/// How much of a condition of the filter is shown, in characters.
const CONDITION_CHARS: usize = 60;

/// The statuses in the order of a reader's interest.
const STATUSES: [TaskStatus; 6] = [
    TaskStatus::Running,
    TaskStatus::Wait,
    TaskStatus::Retry,
    TaskStatus::Failed,
    TaskStatus::Success,
    TaskStatus::Cancelled,
];

/// What the reader has asked for, as links and forms of the page repeat it.
#[derive(Clone)]
struct Asking {
    line: String,
    single: TaskFilter,
    /// Reads older tasks, not the newest ones.
    is_later_page: bool,
    /// The statuses that the line and the parameters name together.
    statuses: Vec<TaskStatus>,
    is_empty: bool,
}

impl Asking {
    fn of(wanted: &Wanted) -> Self {
        let (line, single) = wanted.asked.names.clone();
        Self {
            line: line.unwrap_or_default(),
            single,
            is_later_page: wanted.cursor.is_some(),
            statuses: wanted.asked.filter.statuses.clone(),
            is_empty: wanted.asked.filter.is_empty(),
        }
    }

    /// Every condition, as parameters of a query.
    fn parameters(&self) -> Vec<(&'static str, String)> {
        let line = Some(("q", self.line.clone())).filter(|(_, line)| !line.is_empty());
        line.into_iter().chain(filter::parameters(&self.single)).collect()
    }

    /// The status that the field for it shows, if there is one.
    fn status(&self) -> Option<TaskStatus> {
        match self.single.statuses[..] {
            [status] => Some(status),
            _ => None,
        }
    }

    fn theme(&self) -> Option<&str> {
        match &self.single.themes[..] {
            [theme] => Some(theme),
            _ => None,
        }
    }

    /// The conditions for which the form has no field: links of other pages have set them.
    fn further(&self) -> Vec<(&'static str, String)> {
        let has_field = |name: &str| match name {
            "q" => true,
            "status" => self.status().is_some(),
            "theme" => self.theme().is_some(),
            _ => false,
        };
        let mut further = self.parameters();
        further.retain(|(name, _)| !has_field(name));
        further
    }

    /// The list with its conditions, and with this one besides.
    fn with(&self, view: &View, path: &str, more: &[(&'static str, String)]) -> String {
        let parameters = [&self.parameters(), more].concat();
        view.to(&query(path, &parameters))
    }

    /// The list with another status, also in place of one that the line names.
    fn with_status(&self, view: &View, status: Option<TaskStatus>) -> String {
        let line = without(&self.line, "status");
        let mut parameters = Self { line, ..self.clone() }.parameters();
        parameters.retain(|(name, _)| *name != "status");
        parameters.extend(status.map(|status| ("status", status.to_string())));
        view.to(&query("tasks", &parameters))
    }

    /// The list without one of its conditions.
    fn without(&self, view: &View, condition: &(&'static str, String)) -> String {
        let mut parameters = self.parameters();
        parameters.retain(|one| one != condition);
        view.to(&query("tasks", &parameters))
    }

    /// The actions that the caller may take on many tasks, and that the statuses of the filter allow.
    fn actions(&self, view: &View) -> Vec<BulkAction> {
        let is_possible = |action: &BulkAction| {
            view.caller.may(operations::permission(*action))
                && (self.statuses.is_empty() || allowed(*action, &self.statuses).next().is_some())
        };
        BulkAction::ALL.into_iter().filter(is_possible).collect()
    }
}

/// The statuses among these from which the action is allowed.
pub(super) fn allowed(action: BulkAction, statuses: &[TaskStatus]) -> impl Iterator<Item = TaskStatus> {
    statuses
        .iter()
        .copied()
        .filter(move |status| action.allowed_from().contains(status))
}

/// A path with a query.
pub(super) fn query(path: &str, parameters: &[(&'static str, String)]) -> String {
    let parameters: Vec<(&str, &str)> = parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
    with_query(path, &parameters)
}

pub(super) async fn show(mut call: Call, view: View) -> Result<Page, Problem> {
    let began = Instant::now();
    call.query.drop_blank();
    let wanted = Wanted::read(&mut call);
    let asking = Asking::of(&wanted);
    let refused = call.query.finish().err();
    let found = match &refused {
        None => Some(tasks::found(&call, wanted).await?),
        Some(_) => None,
    };
    let faults = refused.as_ref().map(Problem::faults).unwrap_or_default();
    let themes = themes(&call).await?;
    let body = html! {
        (head(&view, &asking, found.as_ref()))
        (search_form(&view, &asking, faults, &themes))
        (tabs(&view, &asking))
        @if let Some(found) = &found { (results(&view, &asking, found)) }
    };
    Ok(Page {
        title: view.words.tasks.to_owned(),
        place: Some(Place::Tasks),
        body,
        is_live: found.is_some() && past::is_cheap(began),
    })
}

/// The themes that the caller may choose from.
async fn themes(call: &Call) -> Result<Vec<String>, Problem> {
    let themes = call.gaia().admin().themes().await?;
    let names = themes.into_iter().map(|info| info.theme);
    Ok(names.filter(|theme| call.caller.sees_theme(theme)).collect())
}

fn head(view: &View, asking: &Asking, found: Option<&Found>) -> Markup {
    let words = view.words;
    let export = |format: &str| asking.with(view, "api/v1/tasks/export", &[("format", format.to_owned())]);
    html! {
        div.head {
            h1 { (words.tasks) }
            @match found.map(|found| found.count) {
                Some(Some(count)) => span.sub { ((words.tasks_or_more)(count.tasks, count.more)) },
                Some(None) => a href=(asking.with(view, "tasks", &[("count", "capped".to_owned())])) { (words.count_tasks) },
                None => {}
            }
            div.actions {
                a href=(view.to("operations")) { (words.operations) }
                @if found.is_some() {
                    span.faint { (words.export) ":" }
                    @for format in ["jsonl", "csv"] { a href=(export(format)) download aria-label={ (words.export) " " (format) } { (format) } }
                }
            }
        }
    }
}

fn search_form(view: &View, asking: &Asking, faults: &[Fault], themes: &[String]) -> Markup {
    let words = view.words;
    let further = asking.further();
    html! {
        section.card aria-label=(words.search) {
            form.search method="get" action=(view.to("tasks")) role="search" {
                input #q type="search" name="q" value=(asking.line) aria-label=(words.search) placeholder="status:failed newer:2h"
                    autocomplete="off" spellcheck="false" maxlength="4000" list="lines"
                    aria-invalid=[(!faults.is_empty()).then_some("true")] aria-describedby=[(!faults.is_empty()).then_some("faults")];
                datalist #lines { @for (line, _) in words.search_terms { option value=(line) {} } }
                (status_select(view, asking))
                (theme_select(view, asking, themes))
                @for (name, value) in &further { input type="hidden" name=(name) value=(value); }
                button.main { (words.search) }
            }
            @if !faults.is_empty() {
                div #faults.fault role="alert" {
                    (words.in_the_search)
                    ul { @for fault in faults { li { (words.fault(&fault.detail)) } } }
                }
            }
            @if !further.is_empty() {
                p.conditions { span.faint { (words.further_conditions) ":" }
                    @for condition in &further { (removable(view, asking, condition)) }
                }
            }
            details #search-help.fold {
                summary { (words.how_to_search) }
                p { (words.search_help) }
                dl.facts {
                    @for (line, finds) in words.search_terms {
                        dt { a.mono href=(view.to(&with_query("tasks", &[("q", line)]))) { (line) } }
                        dd { (finds) }
                    }
                }
            }
        }
    }
}

/// A condition, and a link to the list without it.
fn removable(view: &View, asking: &Asking, condition: &(&'static str, String)) -> Markup {
    let text = beginning(&format!("{}: {}", condition.0, condition.1), CONDITION_CHARS);
    html! {
        " " span.tag {
            (text) " "
            a href=(asking.without(view, condition)) aria-label=((view.words.take_away)(&text)) { "×" }
        }
    }
}

fn status_select(view: &View, asking: &Asking) -> Markup {
    let words = view.words;
    html! {
        select name="status" aria-label=(words.status) {
            option value="" { (words.all_statuses) }
            @for status in STATUSES {
                option value=(status) selected[asking.status() == Some(status)] { ((words.statuses)(status)) }
            }
        }
    }
}

fn theme_select(view: &View, asking: &Asking, themes: &[String]) -> Markup {
    // A theme with finished tasks alone is not among those that the database knows.
    let unknown = asking
        .theme()
        .filter(|theme| !themes.iter().any(|known| known == theme));
    html! {
        select name="theme" aria-label=(view.words.theme) {
            option value="" { (view.words.all_themes) }
            @for theme in themes.iter().map(String::as_str).chain(unknown) {
                option value=(theme) selected[asking.theme() == Some(theme)] { (theme) }
            }
        }
    }
}

fn tabs(view: &View, asking: &Asking) -> Markup {
    let words = view.words;
    let chosen = asking.statuses.as_slice();
    html! {
        nav.tabs aria-label=(words.status) {
            a href=(asking.with_status(view, None)) aria-current=[chosen.is_empty().then_some("page")] { (words.all_statuses) }
            @for status in STATUSES {
                a href=(asking.with_status(view, Some(status))) aria-current=[(chosen == [status]).then_some("page")] { ((words.statuses)(status)) }
            }
        }
    }
}

fn results(view: &View, asking: &Asking, found: &Found) -> Markup {
    html! {
        section.card.flush {
            @if found.tasks.is_empty() {
                (nothing_found(view, asking, found))
            } @else {
                (table_and_actions(view, asking, &found.tasks))
            }
            (pager(view, asking, found))
        }
    }
}

fn nothing_found(view: &View, asking: &Asking, found: &Found) -> Markup {
    let words = view.words;
    html! {
        @if found.searched_from.is_some() {
            (empty(words.none_found_yet, words.none_found_yet_hint))
        } @else if asking.is_empty {
            (empty(words.no_tasks_at_all, words.no_tasks_at_all_hint))
        } @else {
            (empty(words.no_tasks, words.no_tasks_hint))
        }
    }
}

fn pager(view: &View, asking: &Asking, found: &Found) -> Markup {
    let words = view.words;
    let next = found.next_cursor.as_ref();
    let next = next.map(|cursor| asking.with(view, "tasks", &[("cursor", cursor.clone())]));
    html! {
        @if let Some(SearchedTo { id, create_time }) = &found.searched_from {
            p.looked role="status" {
                ((words.searched_back_to)(*id))
                @if let Some(at) = create_time { " (" (time(view, *at)) ")" }
            }
        }
        @if asking.is_later_page || next.is_some() {
            nav.pager aria-label=(words.tasks) {
                @if asking.is_later_page { a.button href=(asking.with(view, "tasks", &[])) { "« " (words.newer) } }
                @if let Some(next) = &next {
                    a.button href=(next) { @if found.searched_from.is_some() { (words.search_on) } @else { (words.older) } " »" }
                }
            }
        }
    }
}

/// The table in a form: its buttons mean the ticked tasks. The buttons below mean what the filter finds.
fn table_and_actions(view: &View, asking: &Asking, rows: &[Shown<TaskSummary>]) -> Markup {
    let actions = asking.actions(view);
    if actions.is_empty() {
        return table(view, rows, false);
    }
    html! {
        form #picked method="get" action=(view.to("tasks/bulk")) {
            input type="hidden" name="back" value=(view.here);
            (table(view, rows, true))
            (action_buttons(view, view.words.with_selected, &actions))
        }
        form #found method="get" action=(view.to("tasks/bulk")) {
            input type="hidden" name="back" value=(view.here);
            input type="hidden" name="found" value="all";
            @for (name, value) in asking.parameters() { input type="hidden" name=(name) value=(value); }
            (action_buttons(view, view.words.with_all_found, &actions))
        }
    }
}

fn action_buttons(view: &View, of_which: &str, actions: &[BulkAction]) -> Markup {
    html! {
        div.chosen role="group" aria-label=(of_which) {
            span { (of_which) ":" }
            @for action in actions {
                button.danger[*action == BulkAction::Delete] name="action" value=(action) { ((view.words.bulk_actions)(*action)) "…" }
            }
        }
    }
}

pub(super) fn table(view: &View, rows: &[Shown<TaskSummary>], with_boxes: bool) -> Markup {
    let words = view.words;
    html! {
        div.scroll tabindex="0" role="region" aria-label=(words.tasks) { table.cards {
            thead { tr {
                @if with_boxes {
                    th.pick scope="col" data-label=(words.select_all) {
                        input #select-all type="checkbox" data-select-all aria-label=(words.select_all);
                    }
                }
                th.n scope="col" { (words.id) }
                th scope="col" { (words.status) }
                th scope="col" { (words.name) " / " (words.method) }
                th scope="col" { (words.error) }
                th scope="col" { (words.theme) }
                th.n scope="col" { (words.retries_used) }
                th scope="col" { (words.due_at) }
                th scope="col" { (words.ended) }
                th.n scope="col" { (words.duration) }
                th.wide-only scope="col" { (words.created) }
                th.wide-only scope="col" { (words.node) }
                th.n.wide-only scope="col" { (words.priority) }
            } }
            tbody { @for shown in rows { (row(view, shown.row(), with_boxes)) } }
        } }
    }
}

fn row(view: &View, task: &TaskSummary, with_box: bool) -> Markup {
    let words = view.words;
    html! {
        tr id={ "task-" (task.id) } {
            @if with_box {
                td.lead { input id={ "pick-" (task.id) } type="checkbox" name="id" value=(task.id) aria-label=((words.select)(task.id)); }
            }
            td.n.lead { (task_link(view, task.id)) }
            td.lead {
                (status(view, task.status))
                @if let (TaskStatus::Running, Some(percent)) = (task.status, task.progress) { " " span.faint { (percent) " %" } }
            }
            td.named {
                a href=(view.to(&format!("tasks/{}", task.id))) { (named(words, &task.name)) }
                div.sub { (method_link(view, Some(&task.theme), &task.service, &task.method)) }
            }
            td data-label=(words.error) { @if let Some(error) = &task.last_error { (short_error(&error.text, error.is_cut())) } }
            td data-label=(words.theme) { (theme_link(view, &task.theme)) }
            td.n data-label=(words.retries_used) { ((words.attempt_of)(task.retry_time.into(), task.max_retry_time.into())) }
            td data-label=(words.due_at) { (due(view, task.status, task.waits_for, task.run_at.or(task.update_time))) }
            td data-label=(words.ended) { (time_or_none(view, task.last_run_end_time.filter(|_| task.status != TaskStatus::Running))) }
            td.n data-label=(words.duration) { (duration(view, task.status, task.last_run_time, task.last_run_end_time.map(|_| task.last_run_duration))) }
            td.wide-only { (time_or_none(view, task.create_time)) }
            td.wide-only { @match &task.node { Some(node) => (node_link(view, node)), None => span.faint { "–" } } }
            td.n.wide-only { (task.priority) }
        }
    }
}

/// A name that can be clicked, whatever it is.
pub(super) fn named(words: &Words, name: &str) -> Markup {
    html! { @match name.trim() { "" => { span.faint { (words.none) } } name => (name) } }
}

/// For what the task waits, or when it runs next, or since when it could run: that is when its row was last changed.
pub(super) fn due(view: &View, status: TaskStatus, waits_for: Option<WaitsFor>, at: Option<DateTime<Utc>>) -> Markup {
    html! {
        @match (status, waits_for, at) {
            (TaskStatus::Wait | TaskStatus::Retry, Some(waits_for), _) => (waits(view, waits_for)),
            (TaskStatus::Wait | TaskStatus::Retry, None, Some(at)) => (time(view, at)),
            (TaskStatus::Wait | TaskStatus::Retry, None, None) => (view.words.due_now),
            _ => span.faint { "–" },
        }
    }
}

fn waits(view: &View, waits_for: WaitsFor) -> Markup {
    html! {
        @match waits_for.task {
            _ if waits_for.kind == WaitKind::Limit => (view.words.waits_for_key),
            Some(id) => { (view.words.waits_for_task) " " a href=(view.to(&format!("tasks/{id}"))) { (id) } }
            None => ((view.words.waits_for_tasks)(waits_for.unfinished, waits_for.total)),
        }
    }
}

/// How long the last run took, or has taken by now.
pub(super) fn duration(
    view: &View,
    status: TaskStatus,
    began: Option<DateTime<Utc>>,
    took: Option<Duration>,
) -> Markup {
    let so_far = began.and_then(|began| view.now.signed_duration_since(began).to_std().ok());
    let shown = match status {
        TaskStatus::Running => so_far,
        _ => took,
    };
    html! { @match shown { Some(duration) => (lasting(view, duration)), None => span.faint { "–" } } }
}

/// The first line of an error, or the beginning of it.
fn short_error(error: &str, is_cut: bool) -> Markup {
    let line = error.trim().lines().next().unwrap_or_default();
    let short = beginning(line, ERROR_CHARS);
    let is_whole = short == error && !is_cut;
    html! { span.error.short title=[(!is_whole).then_some(error)] { (short) } }
}

/// The text, or its first characters and a sign that there are more.
pub(super) fn beginning(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}
