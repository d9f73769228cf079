//! The frame of every page: head, places, settings, notices.

use maud::{DOCTYPE, Markup, html};

use super::{
    assets,
    view::{REFRESHES, Scheme, View},
    words::Language,
};
use crate::web::{environment::EnvironmentColour, permission::Permission};

/// A page of the menu.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Overview,
    Tasks,
    Errors,
    Methods,
    Jobs,
    Nodes,
    Alerts,
    Audit,
}

impl Place {
    const ALL: [Self; 8] = [
        Self::Overview,
        Self::Tasks,
        Self::Errors,
        Self::Methods,
        Self::Jobs,
        Self::Nodes,
        Self::Alerts,
        Self::Audit,
    ];

    /// Its path below the root of the pages.
    const fn path(self) -> &'static str {
        match self {
            Self::Overview => "",
            Self::Tasks => "tasks",
            Self::Errors => "errors",
            Self::Methods => "methods",
            Self::Jobs => "jobs",
            Self::Nodes => "nodes",
            Self::Alerts => "alerts",
            Self::Audit => "audit",
        }
    }

    const fn name(self, view: &View) -> &'static str {
        let words = view.words;
        match self {
            Self::Overview => words.overview,
            Self::Tasks => words.tasks,
            Self::Errors => words.errors,
            Self::Methods => words.methods,
            Self::Jobs => words.jobs,
            Self::Nodes => words.nodes,
            Self::Alerts => words.alerts,
            Self::Audit => words.audit,
        }
    }
}

/// What a page shows.
pub(super) struct Page {
    pub(super) title: String,
    pub(super) place: Option<Place>,
    pub(super) body: Markup,
    /// The browser asks for the page again while a reader looks at it.
    pub(super) is_live: bool,
}

/// The whole document.
pub(super) fn document(view: &View, page: &Page) -> Markup {
    let words = view.words;
    let application = view
        .environment
        .as_ref()
        .map_or("gaia", |environment| &environment.name);
    let colour = view.environment.as_ref().map(|environment| environment.colour);
    html! {
        (DOCTYPE)
        html lang=(view.language.code()) data-scheme=(view.scheme.code()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="htmx-config" content=(assets::HTMX_CONFIG);
                title { (page.title) " · " (application) }
                link rel="icon" href=(view.asset(&assets::ICON));
                link rel="stylesheet" href=(view.asset(&assets::UPLOT_CSS));
                link rel="stylesheet" href=(view.asset(&assets::STYLE));
                script src=(view.asset(&assets::HTMX)) defer {}
                script src=(view.asset(&assets::UPLOT)) defer {}
                script src=(view.asset(&assets::SCRIPT)) defer {}
            }
            body data-environment=[colour.map(EnvironmentColour::code)] {
                a.skip href="#main" { (words.skip_to_content) }
                header.top {
                    a.brand href=(view.to("")) { span.mark aria-hidden="true" {} (application) }
                    nav aria-label=(words.menu) {
                        @for place in Place::ALL {
                            a href=(view.to(place.path())) aria-current=[(page.place == Some(place)).then_some("page")] {
                                (place.name(view))
                            }
                        }
                    }
                    (settings(view))
                }
                p #offline.notice.bad role="status" hidden { (words.offline) }
                p #stopped.notice.bad role="status" hidden { (words.updates_stopped) }
                (main(view, page))
                footer {
                    span { ((words.signed_in_as)(view.caller.name())) }
                    @if !view.may_change() { span { (words.read_only) } }
                    span { "gaia-actors " (env!("CARGO_PKG_VERSION")) }
                }
            }
        }
    }
}

/// The part of the document that a refresh replaces.
fn main(view: &View, page: &Page) -> Markup {
    let seconds = if page.is_live { view.refresh } else { 0 };
    html! {
        main #main data-refresh=[(seconds > 0).then_some(seconds)]
            hx-get=[(seconds > 0).then_some("")] hx-trigger=[(seconds > 0).then_some("gaia:tick from:body")]
            hx-select=[(seconds > 0).then_some("#main")] hx-swap=[(seconds > 0).then_some("outerMorph")] {
            @if let Some(done) = view.done.as_deref().and_then(view.words.done) {
                p.notice.good role="status" { (done) }
            }
            (page.body)
        }
    }
}

fn settings(view: &View) -> Markup {
    let words = view.words;
    html! {
        details.settings {
            summary { span.gear aria-hidden="true" { "⚙" } span.visually-hidden { (words.appearance) } }
            form method="get" action=(view.to("settings")) {
                input type="hidden" name="back" value=(view.here);
                label { (words.language)
                    select name="language" {
                        @for language in Language::ALL {
                            option value=(language.code()) lang=(language.code()) selected[language == view.language] { (language.name()) }
                        }
                    }
                }
                label { (words.appearance)
                    select name="scheme" {
                        @for (scheme, name) in [(Scheme::System, words.as_system), (Scheme::Light, words.light), (Scheme::Dark, words.dark)] {
                            option value=(scheme.code()) selected[scheme == view.scheme] { (name) }
                        }
                    }
                }
                label { (words.refresh)
                    select name="refresh" {
                        @for seconds in REFRESHES {
                            option value=(seconds) selected[seconds == view.refresh] {
                                @if seconds == 0 { (words.refresh_off) } @else { ((words.every)(seconds)) }
                            }
                        }
                    }
                }
                button { (words.apply) }
            }
        }
    }
}

impl View {
    /// Whether the caller has any permission besides those to look.
    fn may_change(&self) -> bool {
        Permission::ALL
            .iter()
            .any(|permission| !Permission::VIEWER.contains(permission) && self.caller.may(*permission))
    }
}
