//! Limits of methods: a table of them, their use, and the forms that change them.

use std::time::Duration;

use maud::{Markup, html};

use super::{
    act::UNITS,
    parts::{Action, bar, hash, method_link, number},
    view::{View, encoded},
};
use crate::{
    admin::MethodLimit,
    domain::{Limit, Pace},
    web::{call::Call, method_limits, permission::Permission, problem::Problem},
};

/// The limits. Callers who are limited to themes see none.
pub(super) async fn seen(call: &Call) -> Result<Vec<MethodLimit>, Problem> {
    match call.caller.sees_all_themes() {
        true => method_limits::seen(call).await,
        false => Ok(Vec::new()),
    }
}

/// The methods that have limits.
pub(super) fn card(view: &View, limits: &[&MethodLimit]) -> Markup {
    let words = view.words;
    html! {
        section.card.flush {
            h2 { (words.limits) }
            div.scroll { table.cards {
                thead { tr {
                    th scope="col" { (words.method) }
                    th scope="col" { (words.at_once) }
                    th scope="col" { (words.starts) }
                    th scope="col" { (words.per_limit_key) }
                    th scope="col" { span.visually-hidden { (words.action) } }
                } }
                tbody {
                    @for limit in limits {
                        tr id={ "limit-" (hash(&format!("{}\n{}", limit.service, limit.method))) } {
                            td.lead { (method_link(view, None, &limit.service, &limit.method)) }
                            td.nowrap data-label=(words.at_once) { (at_once(limit)) " " (waits(view, limit)) }
                            td.nowrap data-label=(words.starts) { (pace(view, limit)) }
                            td data-label=(words.per_limit_key) {
                                @if !limit.limit.is_of_keys() { span.faint { "–" } }
                                @for part in per_key(view, limit) { div.nowrap { (part) } }
                                (keys_wait(view, limit))
                            }
                            td { div.actions.end { (buttons(view, (&limit.service, &limit.method), Some(limit))) } }
                        }
                    }
                }
            } }
        }
    }
}

/// How many slots are used, of how many.
fn at_once(limit: &MethodLimit) -> Markup {
    html! {
        @match limit.limit.running {
            Some(most) => {
                (bar(usize::try_from(limit.slots).unwrap_or(usize::MAX), most as usize)) " "
                (number(limit.slots)) " / " (number(most))
            }
            None => span.faint { "–" },
        }
    }
}

fn pace(view: &View, limit: &MethodLimit) -> Markup {
    html! {
        @match limit.limit.starts {
            Some(Pace { count, per }) => ((view.words.pace)(count.into(), per)),
            None => span.faint { "–" },
        }
    }
}

fn waits(view: &View, limit: &MethodLimit) -> Markup {
    html! { @if limit.waits { span.tag.warn { (view.words.tasks_wait) } } }
}

/// What holds for the tasks with one limit key, in words.
fn per_key(view: &View, limit: &MethodLimit) -> Vec<String> {
    let words = view.words;
    let running = limit
        .limit
        .running_per_key
        .map(|most| (words.running_at_once)(most.into()));
    let starts = limit
        .limit
        .starts_per_key
        .map(|Pace { count, per }| (words.pace)(count.into(), per));
    running.into_iter().chain(starts).collect()
}

/// For how many keys tasks wait.
fn keys_wait(view: &View, limit: &MethodLimit) -> Markup {
    html! { @if limit.waiting_keys > 0 { span.tag.warn { ((view.words.keys_wait)(limit.waiting_keys)) } } }
}

/// The limit among the figures of its method.
pub(super) fn figure(view: &View, limit: &MethodLimit) -> Markup {
    let has_slots = limit.limit.running.is_some();
    html! {
        @if limit.limit.is_of_method() {
            div {
                dt { (view.words.limit) }
                dd {
                    @if has_slots { (at_once(limit)) }
                    @if limit.limit.starts.is_some() {
                        @if has_slots { small { (pace(view, limit)) } } @else { (pace(view, limit)) }
                    }
                    @if limit.waits { small { (waits(view, limit)) } }
                }
            }
        }
        @if limit.limit.is_of_keys() {
            div {
                dt { (view.words.per_limit_key) }
                dd {
                    @for (at, part) in per_key(view, limit).iter().enumerate() {
                        @if at == 0 { (part) } @else { small { (part) } }
                    }
                    @if limit.waiting_keys > 0 { small { (keys_wait(view, limit)) } }
                }
            }
        }
    }
}

/// Sets the limit of a method, or lifts it. Browsers reach no path with a name that stands for a folder.
pub(super) fn buttons(view: &View, (service, method): (&str, &str), limit: Option<&MethodLimit>) -> Markup {
    let words = view.words;
    let to = format!("limits/{}/{}", encoded(service), encoded(method));
    let about = format!("{service}.{method}");
    let set = Action {
        code: "limit.set",
        to: to.clone(),
        name: words.set_limit,
        about: &about,
        question: Some((words.really)("limit.set").to_owned()),
        is_dangerous: false,
        fields: fields(view, limit.map(|limit| limit.limit)),
        back: None,
    };
    let remove = Action {
        code: "limit.remove",
        to: format!("{to}/remove"),
        name: words.lift_limit,
        about: &about,
        question: Some((words.really)("limit.remove").to_owned()),
        is_dangerous: true,
        fields: html! {},
        back: None,
    };
    let has_path = ![service, method].iter().any(|name| matches!(*name, "." | ".."));
    html! {
        @if has_path && view.caller.sees_all_themes() && view.caller.may(Permission::Resize) {
            (set.button(view))
            @if limit.is_some() { (remove.button(view)) }
        }
    }
}

fn fields(view: &View, limit: Option<Limit>) -> Markup {
    let words = view.words;
    html! {
        (count(view, words.at_once, "running", limit.and_then(|limit| limit.running)))
        (pace_fields(view, words.starts_count, ["starts", "per", "unit"], limit.and_then(|limit| limit.starts)))
        (count(view, words.at_once_of_key, "running_per_key", limit.and_then(|limit| limit.running_per_key)))
        (pace_fields(
            view,
            words.starts_of_key,
            ["starts_per_key", "per_key", "unit_per_key"],
            limit.and_then(|limit| limit.starts_per_key),
        ))
    }
}

fn count(view: &View, label: &str, name: &str, value: Option<u32>) -> Markup {
    html! {
        label { (label) " – " (view.words.blank_is_any)
            input type="number" name=(name) min="1" max="1000000" inputmode="numeric" value=[value];
        }
    }
}

/// How many may start, in how many of which unit.
fn pace_fields(view: &View, label: &str, [starts, per, unit]: [&str; 3], pace: Option<Pace>) -> Markup {
    let words = view.words;
    let time = pace.map(|pace| in_unit(pace.per));
    let chosen = time.map_or("min", |(_, unit)| unit);
    html! {
        (count(view, label, starts, pace.map(|pace| pace.count)))
        div.pair {
            label { (words.starts_per)
                input type="number" name=(per) min="1" inputmode="numeric" value=(time.map_or(1, |(number, _)| number));
            }
            label { (words.time_unit)
                select name=(unit) {
                    @for ((code, _), name) in UNITS.iter().zip(words.time_units) {
                        option value=(code) selected[*code == chosen] { (name) }
                    }
                }
            }
        }
    }
}

/// The time in the largest unit of which it has a whole number.
fn in_unit(per: Duration) -> (u128, &'static str) {
    let millis = per.as_millis();
    let fitting = UNITS
        .iter()
        .rev()
        .find(|(_, unit)| millis.is_multiple_of(u128::from(*unit)));
    fitting.map_or((millis, "ms"), |(code, unit)| (millis / u128::from(*unit), *code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_the_largest_unit_that_fits() {
        for (millis, expected) in [
            (1, (1, "ms")),
            (1_500, (1_500, "ms")),
            (90_000, (90, "s")),
            (60_000, (1, "min")),
            (7_200_000, (2, "h")),
            (172_800_000, (2, "d")),
        ] {
            assert_eq!(in_unit(Duration::from_millis(millis)), expected);
        }
    }
}
