//! Fields of a form, each with its label, its hint and its faults.

use maud::{Markup, html};

use super::fields::Fields;
use crate::web::problem::Fault;

/// The texts in the fields of a form, and their faults.
pub(super) struct Inputs {
    pub(super) fields: Fields,
    pub(super) faults: Vec<Fault>,
}

/// Of which field a fault is.
fn field_of(fault: &Fault) -> Option<&str> {
    fault.pointer.as_deref()?.split('/').nth(1)
}

impl Inputs {
    /// The faults that are of no field.
    pub(super) fn faults_elsewhere(&self) -> impl Iterator<Item = &str> {
        let elsewhere = |fault: &&Fault| field_of(fault).is_none_or(|name| !Fields::is_known(name));
        self.faults.iter().filter(elsewhere).map(|fault| fault.detail.as_str())
    }

    pub(super) fn faults_of(&self, name: &str) -> impl Iterator<Item = &str> {
        let of_field = self.faults.iter().filter(move |fault| field_of(fault) == Some(name));
        of_field.map(|fault| fault.detail.as_str())
    }

    pub(super) fn invalid(&self, name: &str) -> Option<&'static str> {
        self.faults_of(name).next().map(|_| "true")
    }

    /// A field with its label, its hint and its faults. The faults of an expression stand beside its meaning.
    pub(super) fn field(&self, name: &str, label: &str, hint: Option<&str>, control: &Markup) -> Markup {
        html! {
            div.field {
                label for=(name) { (label) }
                (control)
                div.help id={ (name) "-help" } {
                    @if name != "cron_expr" { @for fault in self.faults_of(name) { p.fault { (fault) } } }
                    @if let Some(hint) = hint { p.hint { (hint) } }
                }
            }
        }
    }

    /// The notes below a field: its faults and its hint, and the meaning of an expression.
    fn described_by(name: &str) -> String {
        match name {
            "cron_expr" => "cron_expr-help explained".to_owned(),
            _ => format!("{name}-help"),
        }
    }

    /// A field for one line. `list`: the id of what the browser suggests.
    pub(super) fn input(&self, name: &str, list: Option<&str>) -> Markup {
        html! {
            input id=(name) name=(name) type="text" list=[list] value=(self.fields.get(name)) autocomplete="off" spellcheck="false"
                aria-invalid=[self.invalid(name)] aria-describedby=(Self::described_by(name));
        }
    }

    pub(super) fn text(&self, name: &str, label: &str, hint: Option<&str>) -> Markup {
        self.field(name, label, hint, &self.input(name, None))
    }

    /// A field for a number. The server answers a text that is no number, and stays as it was typed.
    pub(super) fn number(&self, name: &str, label: &str) -> Markup {
        self.field(name, label, None, &html! {
            input id=(name) name=(name) type="text" inputmode="numeric" value=(self.fields.get(name)) autocomplete="off"
                aria-invalid=[self.invalid(name)] aria-describedby={ (name) "-help" };
        })
    }

    pub(super) fn area(&self, name: &str, label: &str, hint: &str) -> Markup {
        self.field(name, label, Some(hint), &html! {
            // A browser leaves out the first line break.
            textarea id=(name) name=(name) rows="4" spellcheck="false" autocomplete="off"
                aria-invalid=[self.invalid(name)] aria-describedby={ (name) "-help" } { "\n" (self.fields.get(name)) }
        })
    }

    pub(super) fn select(&self, name: &str, label: &str, options: &[(&str, &str)]) -> Markup {
        let chosen = self.fields.get(name);
        self.field(
            name,
            label,
            None,
            &html! {
                select id=(name) name=(name) aria-invalid=[self.invalid(name)] aria-describedby={ (name) "-help" } {
                    @for (value, text) in options { option value=(value) selected[*value == chosen] { (text) } }
                }
            },
        )
    }
}
