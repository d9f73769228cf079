//! Alerts whose causes go on.

use maud::{Markup, html};

use super::{
    layout::{Page, Place},
    parts::{empty, hash, node_link, number, time},
    view::View,
    words::Language,
};
use crate::{
    domain::{AlertSeverity, OpenAlert},
    web::{alerts::found, call::Call, problem::Problem},
};

/// The pages to which an alert may lead. Plain SQL can write any text into its row.
const FOLDERS: [&str; 6] = ["tasks", "themes", "jobs", "nodes", "errors", "alerts"];

pub(super) async fn show(mut call: Call, view: View) -> Result<Page, Problem> {
    call.query.finish()?;
    let alerts = found(&call, Vec::new()).await?;
    let words = view.words;
    let body = html! {
        div.head { h1 { (words.alerts) } }
        section.card.flush {
            @if alerts.is_empty() {
                (empty(words.no_alerts, words.no_alerts_hint))
            } @else {
                div.scroll { table.cards {
                    thead { tr {
                        th scope="col" { (words.alert) }
                        th scope="col" { (words.subject) }
                        th scope="col" { (words.alert_since) }
                        th scope="col" { (words.last_seen) }
                        th.n scope="col" { (words.times) }
                        th scope="col" { (words.last_text) }
                        th scope="col" { (words.node) }
                    } }
                    tbody { @for alert in &alerts { (row(&view, alert.row())) } }
                } }
            }
        }
    };
    Ok(Page {
        title: words.alerts.to_owned(),
        place: Some(Place::Alerts),
        body,
        is_live: true,
    })
}

fn row(view: &View, alert: &OpenAlert) -> Markup {
    let words = view.words;
    let text = match view.language {
        Language::English => &alert.text_en,
        Language::Chinese => &alert.text_zh,
    };
    let colour = match alert.severity {
        AlertSeverity::Page => "status bad",
        AlertSeverity::Ticket => "status Wait",
    };
    html! {
        tr id={ "alert-" (hash(&format!("{}:{}", alert.kind, alert.subject))) } {
            td.lead.nowrap { span class=(colour) title=((words.severities)(alert.severity)) { ((words.alert_kinds)(alert.kind)) } }
            td.lead.what {
                @match leads_to_page(&alert.place) {
                    true => a href=(view.to(&alert.place)) { (alert.subject) },
                    false => (alert.subject),
                }
            }
            td data-label=(words.alert_since) { (time(view, alert.since)) }
            td data-label=(words.last_seen) { (time(view, alert.last_time)) }
            td.n data-label=(words.times) { (number(alert.times)) }
            td.what data-label=(words.last_text) { (text) }
            td data-label=(words.node) { (node_link(view, &alert.node)) }
        }
    }
}

fn leads_to_page(place: &str) -> bool {
    let folder = place.split(['/', '?']).next().unwrap_or_default();
    FOLDERS.contains(&folder) && !place.contains(':') && !place.contains("//") && !place.contains("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_leads_to_pages_and_to_nothing_else() {
        for place in ["tasks/1", "themes/a%2Fb", "errors?theme=a", "nodes", "alerts"] {
            assert!(leads_to_page(place), "{place}");
        }
        for place in [
            "",
            "javascript:x",
            "//evil",
            "nodes//x",
            "tasks/../x",
            "https://evil/",
            "tasks/javascript:x",
        ] {
            assert!(!leads_to_page(place), "{place}");
        }
    }
}
