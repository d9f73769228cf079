//! The form in which a job is added or edited. It shows its schedule in words before anything is saved.

use std::collections::BTreeSet;

use maud::{Markup, html};

use super::{
    fields::{Fields, REMOVE_SECRET},
    in_words,
    inputs::Inputs,
    next_fires, schedule_of,
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
    definition: NewJob,
    /// The caller may see all of the definition.
    is_whole: bool,
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
    inputs: Inputs,
    problem: Option<&'a Problem>,
    methods: Vec<MethodInfo>,
}

/// The page of the form. The query holds the typed texts; the job has the others.
pub(super) async fn show(mut call: Call, view: View, problem: Option<Problem>) -> Result<Page, Problem> {
    let typed = Fields::typed(&mut call.query);
    let (version, reason) = (call.query.text("version"), call.query.text("reason"));
    let [_, _] = ["back", PREVIEW].map(|name| call.query.text(name));
    call.query.finish()?;
    call.caller.needs(Permission::EditJobs)?;
    call.caller.needs_all_themes()?;
    let edited = edited(&call).await?;
    if let Some(job) = edited.as_ref().filter(|job| !job.is_whole) {
        return Ok(not_here(&view, &job.name));
    }
    let stored = edited
        .as_ref()
        .map_or_else(NewJob::default, |job| job.definition.clone())
        .or_overlap(call.gaia().jobs().rules());
    let form = Form {
        call: &call,
        view: &view,
        version: version.or_else(|| edited.as_ref().map(|edited| edited.version.to_string())),
        edited,
        reason: reason.unwrap_or_default(),
        inputs: Inputs {
            fields: typed.or(Fields::of(stored)),
            faults: problem
                .as_ref()
                .map(|problem| faults(&view, problem))
                .unwrap_or_default(),
        },
        problem: problem.as_ref(),
        methods: call.gaia().admin().methods(GetMethods { theme: None }).await?,
    };
    let title = form.title();
    Ok(page(title, form.body()))
}

/// The job in the path. `None`: the page is for a new job.
async fn edited(call: &Call) -> Result<Option<Edited>, Problem> {
    if call.request.match_info().get("id").is_none() {
        return Ok(None);
    }
    let (version, shown) = jobs::detail(call).await?;
    let is_whole = shown.is_whole();
    let job = shown.into_parts().0.job;
    Ok(Some(Edited {
        id: job.id,
        name: job.job_name.clone(),
        version,
        has_secret: job.has_hook_secret,
        definition: job.into(),
        is_whole,
    }))
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

/// Every fault, in the reader's language. That a name is taken is said of its field.
fn faults(view: &View, problem: &Problem) -> Vec<Fault> {
    let mut faults = problem.faults().to_vec();
    if problem.code() == "job_name_taken" {
        faults.push(Fault {
            pointer: Some("/job_name".to_owned()),
            ..Fault::of(problem.detail())
        });
    }
    for fault in &mut faults {
        fault.detail = view.words.fault(&fault.detail);
    }
    faults
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
                    (self.inputs.text("job_name", words.name, None))
                    (self.inputs.select("enabled", words.status, &[("true", words.enabled), ("false", words.disabled)]))
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
        html! {
            div.notice.bad role="alert" {
                @match (&self.edited, problem.code()) {
                    (Some(job), "job_changed") => {
                        (words.edit_conflict) " "
                        a href=(self.view.to(&format!("jobs/{}", job.id))) { (words.present_state) } " · "
                        a href=(self.view.to(&format!("jobs/{}/edit", job.id))) { (words.edit_anew) }
                    }
                    _ if self.inputs.faults.is_empty() => { (words.not_done) " " (words.fault(problem.detail())) }
                    _ => (words.not_saved),
                }
                @for fault in self.inputs.faults_elsewhere() { div { (fault) } }
            }
        }
    }

    /// The fields of a schedule, their meaning, and when it fires. With a script this is asked for anew while the reader types: a `fieldset`
    /// sends the fields in it alone.
    fn schedule(&self, action: &str) -> Markup {
        let words = self.view.words;
        let [_, here] = self.paths();
        let zone = self.call.gaia().jobs().time_zone();
        html! {
            fieldset hx-get=(here) hx-trigger="input delay:300ms" hx-target="#explained" hx-select="#explained" hx-swap="outerMorph" {
                legend.visually-hidden { (words.schedule) }
                div.form {
                    (self.inputs.text("cron_expr", words.cron_expr, Some(words.cron_hint)))
                    (self.inputs.text("time_zone", words.time_zone, Some(&(words.time_zone_hint)(zone.name()))))
                }
            }
            (self.explained())
            button name=(PREVIEW) value="schedule" formaction={ (action) "#schedule" } formnovalidate { (words.show_fires) }
        }
    }

    fn explained(&self) -> Markup {
        let expr = self.inputs.fields.filled("cron_expr");
        let schedule = expr.map(|expr| schedule_of(self.call, expr, self.inputs.fields.filled("time_zone")));
        let faults: Vec<&str> = self.inputs.faults_of("cron_expr").collect();
        html! {
            div #explained aria-live="polite" {
                @for fault in &faults { p.fault { (fault) } }
                @match schedule {
                    Some(Ok(schedule)) if faults.is_empty() => {
                        p { strong { (in_words(self.view, &schedule)) } }
                        (next_fires(self.view, &schedule))
                    }
                    Some(Err(fault)) if faults.is_empty() => p.fault { (self.view.words.fault(&fault)) },
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
                div.wide { (self.inputs.select("job_type", words.job_type, &types)) }
                div.of-service { (self.inputs.field("service_name", words.service, None, &self.inputs.input("service_name", Some("services")))) }
                div.of-service { (self.inputs.field("service_method", words.method, None, &self.inputs.input("service_method", Some("methods")))) }
                div.of-hook { (self.inputs.text("hook_url", words.hook_url, None)) }
                div.of-hook { (self.inputs.select("hook_method", words.hook_method, &http)) }
                div.of-hook.wide { (self.inputs.area("hook_headers", words.hook_headers, words.headers_hint)) }
                div.of-hook { (self.secret()) }
                div.wide { (self.inputs.area("args", words.args, words.args_hint)) }
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
            (self.inputs.field("hook_secret", words.hook_secret, Some(hint), &html! {
                input #hook_secret type="password" name="hook_secret" value=(self.inputs.fields.get("hook_secret")) autocomplete="new-password"
                    aria-invalid=[self.inputs.invalid("hook_secret")] aria-describedby="hook_secret-help";
            }))
            @if has_secret {
                label.check {
                    input type="checkbox" name=(REMOVE_SECRET) value="true" checked[self.inputs.fields.filled(REMOVE_SECRET).is_some()];
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
                (self.inputs.number("timeout", words.timeout_seconds))
                (self.inputs.select("overlap_policy", words.overlap, &overlaps))
                (self.inputs.select("misfire_policy", words.misfire, &misfires))
                (self.inputs.number("misfire_grace", words.misfire_grace))
                (self.inputs.number("max_retry", words.max_retry))
                (self.inputs.number("retry_delay_ms", words.retry_delay))
            }
        }
    }
}
