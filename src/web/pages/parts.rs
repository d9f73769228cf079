//! Pieces that several pages have: times, numbers, statuses, questions, charts.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use maud::{Markup, html};

use super::{
    view::{View, encoded},
    words::grouped,
};
use crate::{
    domain::{TaskFilter, TaskStatus},
    web::{filter, permission::Permission},
};

/// A time as it lies from now, with the exact one beside it on hover.
pub(super) fn time(view: &View, at: DateTime<Utc>) -> Markup {
    let ago = view.now.signed_duration_since(at);
    let text = match (ago.to_std(), (-ago).to_std()) {
        (Ok(ago), _) if ago < Duration::from_secs(1) => view.words.just_now.to_owned(),
        (Ok(ago), _) => (view.words.ago)(ago),
        (_, Ok(ahead)) => (view.words.in_future)(ahead),
        _ => view.words.just_now.to_owned(),
    };
    let exact = at.to_rfc3339_opts(SecondsFormat::AutoSi, true);
    let title = format!("{} {}", at.format("%Y-%m-%d %H:%M:%S"), view.words.utc);
    html! { time.nowrap datetime=(exact) title=(title) { (text) } }
}

pub(super) fn time_or_none(view: &View, at: Option<DateTime<Utc>>) -> Markup {
    html! { @match at { Some(at) => (time(view, at)), None => span.faint { "–" } } }
}

pub(super) fn lasting(view: &View, duration: Duration) -> Markup {
    html! { span.nowrap title=(format!("{} ms", grouped(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))) { ((view.words.lasting)(duration)) } }
}

pub(super) fn number(number: impl TryInto<u64>) -> Markup {
    html! { (grouped(number.try_into().unwrap_or_default())) }
}

pub(super) fn status(view: &View, status: TaskStatus) -> Markup {
    let words = view.words;
    html! { span class={ "status " (status.as_str()) } title=((words.status_means)(status)) { ((words.statuses)(status)) } }
}

/// The page of a theme. No browser opens it if the name stands for a folder in paths: then the tasks of the theme.
pub(super) fn theme_link(view: &View, theme: &str) -> Markup {
    html! {
        @match theme {
            "." | ".." => a href=(view.to(&with_query("tasks", &[("theme", theme)]))) title=(view.words.theme_without_page) { (theme) },
            _ => a href=(view.to(&format!("themes/{}", encoded(theme)))) { (theme) },
        }
    }
}

pub(super) fn task_link(view: &View, id: i64) -> Markup {
    html! { a.mono href=(view.to(&format!("tasks/{id}"))) { (id) } }
}

pub(super) fn method_name(service: &str, method: &str) -> Markup {
    html! { span.mono { (service) "." (method) } }
}

/// A path below the root of the pages with a query. Parameters without a value are left out.
pub(super) fn with_query(path: &str, parameters: &[(&str, &str)]) -> String {
    let given = parameters.iter().filter(|(_, value)| !value.is_empty());
    let query: Vec<String> = given
        .map(|(name, value)| format!("{name}={}", encoded(value)))
        .collect();
    match query.is_empty() {
        true => path.to_owned(),
        false => format!("{path}?{}", query.join("&")),
    }
}

/// The page of a method. Without a theme: of all themes.
pub(super) fn method_link(view: &View, theme: Option<&str>, service: &str, method: &str) -> Markup {
    let parameters = [
        ("theme", theme.unwrap_or_default()),
        ("service", service),
        ("method", method),
    ];
    html! { a href=(view.to(&with_query("methods", &parameters))) { (method_name(service, method)) } }
}

/// The page of a node. A long id is shortened: its page has it whole.
pub(super) fn node_link(view: &View, node: &str) -> Markup {
    let place = view.to(&format!("nodes/{}", encoded(node)));
    html! {
        @match shortened(node) {
            Some(short) => a.mono href=(place) title=(node) { (short) },
            None => a.mono href=(place) { (node) },
        }
    }
}

/// The beginning of a long id, which says when it was made, and its end, which tells it from others. `None`: the id is short.
fn shortened(id: &str) -> Option<String> {
    const LONG: usize = 24;
    const KEPT: usize = 6;
    let chars: Vec<char> = id.chars().collect();
    let (begin, end) = (chars.first_chunk::<KEPT>()?, chars.last_chunk::<KEPT>()?);
    let short = || begin.iter().chain(&['…']).chain(end).collect();
    (chars.len() > LONG).then(short)
}

/// A log id, which leads to the task that has run under it.
pub(super) fn log_link(view: &View, log_id: &str) -> Markup {
    let line = filter::line_of(&TaskFilter {
        log_id: Some(log_id.to_owned()),
        ..TaskFilter::default()
    });
    html! { a.mono href=(view.to(&with_query("tasks", &[("q", &line)]))) { (log_id) } }
}

/// The page of errors. A blank theme: of all themes.
pub(super) fn errors_path(theme: &str, since: &str, attempts: &str) -> String {
    with_query("errors", &[("theme", theme), ("since", since), ("attempts", attempts)])
}

/// A link to what the handler has logged in a run, for callers who may see it.
pub(super) fn lines_link(view: &View, path: &str) -> Markup {
    html! {
        @if view.caller.may(Permission::ViewArgs) { " " a.nowrap href=(view.to(path)) { (view.words.log) } }
    }
}

/// The words where there is nothing to show: they say how to change that.
pub(super) fn empty(what: &str, hint: &str) -> Markup {
    html! { div.empty { strong { (what) } (hint) } }
}

/// A button that does something at once, or that asks before. Both work without a script.
pub(super) struct Action<'a> {
    /// The code of the action, as the audit has it.
    pub(super) code: &'a str,
    /// Where the form is sent: a path below the root of the pages.
    pub(super) to: String,
    pub(super) name: &'a str,
    /// What it is done to, as the question names it.
    pub(super) about: &'a str,
    /// What the caller is asked; `None`: nothing, the action is harmless.
    pub(super) question: Option<String>,
    pub(super) is_dangerous: bool,
    /// More fields of the form.
    pub(super) fields: Markup,
    /// Where the form leads back to; `None`: to this page.
    pub(super) back: Option<&'a str>,
}

impl Action<'_> {
    pub(super) fn button(&self, view: &View) -> Markup {
        let id = format!("ask-{}-{}", self.code.replace('.', "-"), hash(&self.to));
        let back = self.back.unwrap_or(&view.here);
        html! {
            @match &self.question {
                None => {
                    form method="post" action=(view.to(&self.to)) {
                        input type="hidden" name="back" value=(back);
                        (self.fields)
                        button { (self.name) }
                    }
                }
                Some(question) => {
                    button.danger[self.is_dangerous] type="button" popovertarget=(id) { (self.name) "…" }
                    div id=(id) popover role="dialog" aria-modal="true" aria-labelledby={ (id) "-name" } {
                        h2 id={ (id) "-name" } { (self.name) }
                        p.about { (self.about) }
                        p { (question) }
                        form method="post" action=(view.to(&self.to)) {
                            input type="hidden" name="back" value=(back);
                            (self.fields)
                            (reason(view))
                            div.actions {
                                button.main.danger[self.is_dangerous] { (self.name) }
                                button type="button" popovertarget=(id) popovertargetaction="hide" { (view.words.keep) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The field for the reason of a change.
pub(super) fn reason(view: &View) -> Markup {
    html! {
        label { (view.words.reason) " – " (view.words.reason_hint)
            input type="text" name="reason" maxlength="500" autocomplete="off" autofocus;
        }
    }
}

/// A short name for an id of HTML, which is the same at every refresh.
pub(super) fn hash(text: &str) -> String {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{:08x}", hash >> 32)
}

/// What ended in one step of time.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Ended {
    pub(super) good: u64,
    pub(super) retried: u64,
    pub(super) bad: u64,
}

/// Bars of what ended, one for each step of time.
pub(super) fn spark(steps: &[Ended], what: &str) -> Markup {
    const WIDTH: usize = 4;
    const HEIGHT: u64 = 24;
    let most = steps
        .iter()
        .map(|step| step.good + step.retried + step.bad)
        .max()
        .unwrap_or(0)
        .max(1);
    let tall = |count: u64| (count * HEIGHT).div_ceil(most);
    html! {
        svg.spark width=(steps.len() * WIDTH) height=(HEIGHT) role="img" aria-label=(what) {
            title { (what) }
            @for (at, step) in steps.iter().enumerate() {
                @let parts = [("ok", step.good), ("retry", step.retried), ("bad", step.bad)];
                @let heights = parts.map(|(_, count)| tall(count));
                @for (part, (class, count)) in parts.into_iter().enumerate() {
                    @if count > 0 {
                        @let below: u64 = heights[..part].iter().sum();
                        rect class=(class) x=(at * WIDTH) y=(HEIGHT.saturating_sub(below + heights[part])) width=(WIDTH - 1) height=(heights[part]) {}
                    }
                }
                @if step.good + step.retried + step.bad == 0 {
                    rect.none x=(at * WIDTH) y=(HEIGHT - 1) width=(WIDTH - 1) height="1" {}
                }
            }
        }
    }
}

/// Parts of a hundred.
pub(super) fn share(part: u64, all: u64) -> Markup {
    html! {
        @match (part * 1_000).checked_div(all) {
            None => span.faint { "–" },
            Some(0) if part == 0 => "0 %",
            Some(0) => "< 0.1 %",
            Some(tenths) => span.error[tenths >= 50] { (tenths / 10) "." (tenths % 10) " %" },
        }
    }
}

/// How much of something is used.
pub(super) fn bar(part: usize, all: usize) -> Markup {
    const WIDTH: usize = 64;
    let filled = (part.min(all) * WIDTH).checked_div(all).unwrap_or(0);
    html! {
        svg.bar width=(WIDTH) height="6" aria-hidden="true" {
            rect width=(WIDTH) height="6" rx="3" {}
            rect.part width=(filled) height="6" rx="3" {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::shortened;

    #[test]
    fn long_ids_are_shortened() {
        for (id, short) in [
            ("", None),
            ("web-1", None),
            ("0197f1aa-2b3c-7d4e-8f90-a1b2c3d4e5f6", Some("0197f1…d4e5f6")),
            (
                "订单处理服务节点一二三四五六七八九十一二三四五六七八",
                Some("订单处理服务…三四五六七八"),
            ),
        ] {
            assert_eq!(shortened(id).as_deref(), short, "{id}");
        }
    }
}
