//! The form in which a job is added or edited. It shows its schedule in words before anything is saved.

use std::collections::BTreeSet;

use maud::{Markup, html};

use super::{
    fields::{Fields, REMOVE_SECRET},
    in_words, next_fires, schedule_of,
};
use crate::{
    admin::{GetMethods, MethodInfo},
    domain::{HookMethod, JobType, MisfirePolicy, NewJob, OverlapPolicy},
    web::{
        call::Call,
        jobs,
        pages::{
            act::PREVIEW,
            layout::{Page, Place},
            view::View,
        },
        permission::Permission,
        problem::{Fault, Problem},
    },
};

/// The job that is edited.
struct Edited {
    id: i64,
    name: String,
    version: i64,
    has_secret: bool,
}

/// A form as it is shown.
struct Form<'a> {
    call: &'a Call,
    view: &'a View,
    /// `None`: a new job.
    edited: Option<Edited>,
    /// The version of the definition from which the fields were made.
    version: Option<String>,
    reason: String,
    fields: Fields,
    problem: Option<&'a Problem>,
    faults: Vec<Fault>,
    methods: Vec<MethodInfo>,
}

/// The page of the form. The query holds what was typed; what is missing there is as the job has it.
pub(super) async fn show(mut call: Call, view: View, problem: Option<Problem>) -> Result<Page, Problem> {
    let typed = Fields::typed(&mut call.query);
    let (version, reason) = (call.query.text("version"), call.query.text("reason"));
    let [_, _] = ["back", PREVIEW].map(|name| call.query.text(name));
    call.query.finish()?;
    call.caller.needs(Permission::EditJobs)?;
    call.caller.needs_all_themes()?;
    let (edited, stored) = match call.request.match_info().get("id") {
        None => (None, NewJob::default()),
        Some(_) => {
            let (version, shown) = jobs::detail(&call).await?;
            let is_whole = shown.is_whole();
            let job = shown.into_parts().0.job;
            if !is_whole {
                return Ok(not_here(&view, &job.job_name));
            }
            let edited = Edited {
                id: job.id,
                name: job.job_name.clone(),
                version,
                has_secret: job.has_hook_secret,
            };
            (Some(edited), job.into())
        }
    };
    let form = Form {
        call: &call,
        view: &view,
        version: version.or_else(|| edited.as_ref().map(|edited| edited.version.to_string())),
        edited,
        reason: reason.unwrap_or_default(),
        fields: typed.or(Fields::of(stored)),
        faults: problem.as_ref().map(faults).unwrap_or_default(),
        problem: problem.as_ref(),
        methods: call.gaia().admin().methods(GetMethods { theme: None }).await?,
    };
    let title = form.title();
    Ok(page(title, form.body()))
}

fn page(title: String, body: Markup) -> Page {
    Page {
        title,
        place: Some(Place::Jobs),
        body,
        is_live: false,
    }
}

/// A form would put a text that was replaced in the place of the real one.
fn not_here(view: &View, name: &str) -> Page {
    let body = html! {
        div.head { h1 { (view.words.edit) ": " (name) } }
        p.notice.warn { (view.words.edit_hidden) }
    };
    page(name.to_owned(), body)
}

/// Every fault. That a name is taken is said of its field.
fn faults(problem: &Problem) -> Vec<Fault> {
    let mut faults = problem.faults().to_vec();
    if problem.code() == "job_name_taken" {
        faults.push(Fault {
            pointer: Some("/job_name".to_owned()),
            ..Fault::of(problem.detail())
        });
    }
    faults
}

/// Of which field a fault is.
fn field_of(fault: &Fault) -> Option<&str> {
    fault.pointer.as_deref()?.split('/').nth(1)
}

impl Form<'_> {
    fn title(&self) -> String {
        let words = self.view.words;
        match &self.edited {
            None => words.new_job.to_owned(),
            Some(job) => format!("{}: {}", words.edit, job.name),
        }
    }

    /// Where the form is sent, and where it is.
    fn paths(&self) -> [String; 2] {
        let paths = match &self.edited {
            None => ["jobs".to_owned(), "jobs/new".to_owned()],
            Some(job) => [(); 2].map(|()| format!("jobs/{}/edit", job.id)),
        };
        paths.map(|path| self.view.to(&path))
    }

    /// Where to go without saving, and after it.
    fn back(&self) -> String {
        self.edited
            .as_ref()
            .map_or_else(|| "jobs".to_owned(), |job| format!("jobs/{}", job.id))
    }

    fn body(&self) -> Markup {
        let (view, words) = (self.view, self.view.words);
        let [action, _] = self.paths();
        html! {
            div.head { h1 { (self.title()) } }
            (self.notice())
            form.job-form method="post" action=(action) {
                input type="hidden" name="back" value=(self.back());
                @if let Some(version) = &self.version { input type="hidden" name="version" value=(version); }
                section.card { div.form {
                    (self.text("job_name", words.name, None))
                    (self.select("enabled", words.status, &[("true", words.enabled), ("false", words.disabled)]))
                } }
                section #schedule.card { h2 { (words.schedule) } (self.schedule(&action)) }
                section.card { h2 { (words.calls) } (self.target()) }
                section.card { h2 { (words.rules) } (self.rules()) }
                section.card {
                    div.field {
                        label for="reason" { (words.reason) " – " (words.reason_hint) }
                        input #reason type="text" name="reason" value=(self.reason) maxlength="1000" autocomplete="off";
                    }
                    div.actions {
                        button.main { (words.save) }
                        a.button href=(view.to(&self.back())) { (words.without_saving) }
                    }
                }
            }
            @if self.edited.is_some() { p.sub { (words.set_by_code) } }
        }
    }

    /// Why nothing was saved.
    fn notice(&self) -> Markup {
        let words = self.view.words;
        let Some(problem) = self.problem else {
            return html! {};
        };
        let elsewhere = self
            .faults
            .iter()
            .filter(|fault| field_of(fault).is_none_or(|name| !Fields::is_known(name)));
        html! {
            div.notice.bad role="alert" {
                @match (&self.edited, problem.code()) {
                    (Some(job), "job_changed") => {
                        (words.edit_conflict) " "
                        a href=(self.view.to(&format!("jobs/{}", job.id))) { (words.present_state) } " · "
                        a href=(self.view.to(&format!("jobs/{}/edit", job.id))) { (words.edit_anew) }
                    }
                    _ if self.faults.is_empty() => { (words.not_done) " " (problem.detail()) }
                    _ => (words.not_saved),
                }
                @for fault in elsewhere { div { (fault.detail) } }
            }
        }
    }

    /// The fields of a schedule, what they say, and when it fires. With a script this is asked for anew while somebody types: a `fieldset`
    /// sends the fields in it alone.
    fn schedule(&self, action: &str) -> Markup {
        let words = self.view.words;
        let [_, here] = self.paths();
        let zone = self.call.gaia().jobs().time_zone();
        html! {
            fieldset hx-get=(here) hx-trigger="input delay:300ms" hx-target="#explained" hx-select="#explained" hx-swap="outerMorph" {
                legend.visually-hidden { (words.schedule) }
                div.form {
                    (self.text("cron_expr", words.cron_expr, Some(words.cron_hint)))
                    (self.text("time_zone", words.time_zone, Some(&(words.time_zone_hint)(zone.name()))))
                }
            }
            (self.explained())
            button name=(PREVIEW) value="schedule" formaction={ (action) "#schedule" } formnovalidate { (words.show_fires) }
        }
    }

    fn explained(&self) -> Markup {
        let expr = self.fields.filled("cron_expr");
        let schedule = expr.map(|expr| schedule_of(self.call, expr, self.fields.filled("time_zone")));
        let faults: Vec<&str> = self.faults_of("cron_expr").collect();
        html! {
            div #explained aria-live="polite" {
                @for fault in &faults { p.fault { (fault) } }
                @match schedule {
                    Some(Ok(schedule)) if faults.is_empty() => {
                        p { strong { (in_words(self.view, &schedule)) } }
                        (next_fires(self.view, &schedule))
                    }
                    Some(Err(fault)) if faults.is_empty() => p.fault { (fault) },
                    _ => {}
                }
            }
        }
    }

    fn target(&self) -> Markup {
        let words = self.view.words;
        let types = JobType::ALL.map(|job_type| (job_type.as_str(), (words.job_types)(job_type)));
        let http = HookMethod::ALL.map(|method| (method.as_str(), method.as_str()));
        let services: BTreeSet<&str> = self.methods.iter().map(|known| known.service.as_str()).collect();
        let methods: BTreeSet<&str> = self.methods.iter().map(|known| known.method.as_str()).collect();
        html! {
            div.form {
                div.wide { (self.select("job_type", words.job_type, &types)) }
                div.of-service { (self.field("service_name", words.service, None, self.input("service_name", Some("services")))) }
                div.of-service { (self.field("service_method", words.method, None, self.input("service_method", Some("methods")))) }
                div.of-hook { (self.text("hook_url", words.hook_url, None)) }
                div.of-hook { (self.select("hook_method", words.hook_method, &http)) }
                div.of-hook.wide { (self.area("hook_headers", words.hook_headers, words.headers_hint)) }
                div.of-hook { (self.secret()) }
                div.wide { (self.area("args", words.args, words.args_hint)) }
            }
            datalist #services { @for service in services { option value=(service) {} } }
            datalist #methods { @for method in methods { option value=(method) {} } }
        }
    }

    fn secret(&self) -> Markup {
        let words = self.view.words;
        let has_secret = self.edited.as_ref().is_some_and(|job| job.has_secret);
        let hint = if has_secret {
            words.hook_secret_kept
        } else {
            words.hook_secret_hint
        };
        html! {
            (self.field("hook_secret", words.hook_secret, Some(hint), html! {
                input #hook_secret type="password" name="hook_secret" value=(self.fields.get("hook_secret")) autocomplete="new-password"
                    aria-invalid=[self.invalid("hook_secret")] aria-describedby="hook_secret-help";
            }))
            @if has_secret {
                label.check {
                    input type="checkbox" name=(REMOVE_SECRET) value="true" checked[self.fields.filled(REMOVE_SECRET).is_some()];
                    (words.hook_secret_remove)
                }
            }
        }
    }

    fn rules(&self) -> Markup {
        let words = self.view.words;
        let overlaps = OverlapPolicy::ALL.map(|policy| (policy.as_str(), (words.overlaps)(policy)));
        let misfires = MisfirePolicy::ALL.map(|policy| (policy.as_str(), (words.misfires)(policy)));
        html! {
            div.form {
                (self.number("timeout", words.timeout_seconds))
                (self.select("overlap_policy", words.overlap, &overlaps))
                (self.select("misfire_policy", words.misfire, &misfires))
                (self.number("misfire_grace", words.misfire_grace))
                (self.number("max_retry", words.max_retry))
                (self.number("retry_delay_ms", words.retry_delay))
            }
        }
    }

    // ---- single fields ----

    fn faults_of(&self, name: &str) -> impl Iterator<Item = &str> {
        let of_field = self.faults.iter().filter(move |fault| field_of(fault) == Some(name));
        of_field.map(|fault| fault.detail.as_str())
    }

    fn invalid(&self, name: &str) -> Option<&'static str> {
        self.faults_of(name).next().map(|_| "true")
    }

    /// A field with its label, its hint and its faults. The faults of an expression stand beside what it says.
    fn field(&self, name: &str, label: &str, hint: Option<&str>, control: Markup) -> Markup {
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

    /// What a reader is told of a field: its faults and its hint, and of an expression, what it says.
    fn described_by(name: &str) -> String {
        match name {
            "cron_expr" => "cron_expr-help explained".to_owned(),
            _ => format!("{name}-help"),
        }
    }

    /// A field for one line. `list`: the id of what the browser suggests.
    fn input(&self, name: &str, list: Option<&str>) -> Markup {
        html! {
            input id=(name) name=(name) type="text" list=[list] value=(self.fields.get(name)) autocomplete="off" spellcheck="false"
                aria-invalid=[self.invalid(name)] aria-describedby=(Self::described_by(name));
        }
    }

    fn text(&self, name: &str, label: &str, hint: Option<&str>) -> Markup {
        self.field(name, label, hint, self.input(name, None))
    }

    /// A field for a number. What is no number is answered by the server, and stays as it was typed.
    fn number(&self, name: &str, label: &str) -> Markup {
        self.field(name, label, None, html! {
            input id=(name) name=(name) type="text" inputmode="numeric" value=(self.fields.get(name)) autocomplete="off"
                aria-invalid=[self.invalid(name)] aria-describedby={ (name) "-help" };
        })
    }

    fn area(&self, name: &str, label: &str, hint: &str) -> Markup {
        self.field(name, label, Some(hint), html! {
            // A browser leaves out the first line break.
            textarea id=(name) name=(name) rows="4" spellcheck="false" autocomplete="off"
                aria-invalid=[self.invalid(name)] aria-describedby={ (name) "-help" } { "\n" (self.fields.get(name)) }
        })
    }

    fn select(&self, name: &str, label: &str, options: &[(&str, &str)]) -> Markup {
        let chosen = self.fields.get(name);
        self.field(
            name,
            label,
            None,
            html! {
                select id=(name) name=(name) aria-invalid=[self.invalid(name)] aria-describedby={ (name) "-help" } {
                    @for (value, text) in options { option value=(value) selected[*value == chosen] { (text) } }
                }
            },
        )
    }
}
