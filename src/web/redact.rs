//! What answers show of texts that may hold secrets: arguments, results, errors, URLs and headers.

use std::{borrow::Cow, sync::Arc};

use serde::Serialize;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{AllOfBuilder, ObjectBuilder, RefOr, Schema, Type},
};

use super::{
    access::Caller,
    openapi::schemas::{Named, named, reference},
    permission::Permission,
};

use crate::{
    domain::{ErrorGroup, Excerpt, ExecRecord, Job, JobDetail, JobRecord, OpenAlert, Task, TaskSummary, without_user},
    logs::RunLog,
};

/// Stands for the value of a hook's header. A definition with this value keeps the header that the job has.
pub(super) const HIDDEN: &str = "(hidden)";

/// Which text of a task, a job or a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedactedPart {
    /// Its arguments.
    Args,
    /// Its result.
    Result,
    /// Its error.
    Error,
    /// The URL of a hook.
    HookUrl,
    /// A line that its handler has logged.
    LogLine,
}

/// A text that is about to leave the process.
#[derive(Debug)]
#[non_exhaustive]
pub struct Redacted<'a> {
    /// Which text.
    pub part: RedactedPart,
    /// What it belongs to: the task's `service.method`, or the name of the job. Empty for the record of a task's run, and for log lines.
    pub of: &'a str,
    /// The text. Arguments and results are JSON, unless plain SQL has written something else.
    pub text: &'a str,
    /// The text is only the beginning of a longer one, as in lists: it may end in the middle of its JSON.
    pub is_cut: bool,
}

pub(super) type Redact = Arc<dyn Fn(&Redacted<'_>) -> Option<String> + Send + Sync>;

/// A row as an answer shows it.
#[derive(Debug, Serialize)]
pub(super) struct Shown<T> {
    #[serde(flatten)]
    row: T,
    /// The caller may not see arguments and results.
    #[serde(skip_serializing_if = "is_false")]
    args_hidden: bool,
    /// Something was replaced: who hands the row in again is refused because of this key.
    #[serde(skip_serializing_if = "is_false")]
    redacted: bool,
}

impl<T: ToSchema> PartialSchema for Shown<T> {
    fn schema() -> RefOr<Schema> {
        let flag = |what: &str| {
            let flag = ObjectBuilder::new().schema_type(Type::Boolean).description(Some(what));
            flag.default(Some(false.into()))
        };
        let flags = ObjectBuilder::new()
            .property("args_hidden", flag("The caller may not see arguments and results."))
            .property(
                "redacted",
                flag("Some texts were replaced. A row with this key is no definition of a job."),
            );
        Schema::from(AllOfBuilder::new().item(reference::<T>()).item(flags)).into()
    }
}

impl<T: ToSchema> ToSchema for Shown<T> {
    fn name() -> Cow<'static, str> {
        Cow::Owned(format!("Shown{}", T::name()))
    }

    fn schemas(schemas: &mut Named) {
        named::<T>(schemas);
    }
}

impl<T> Shown<T> {
    /// Whether the row is as it is stored, apart from the values of headers: only then it may be changed and handed in again.
    pub(super) fn is_whole(&self) -> bool {
        !self.args_hidden && !self.redacted
    }

    /// The row as the caller may see it.
    pub(super) fn row(&self) -> &T {
        &self.row
    }

    /// The row, and whether the caller may not see its arguments and results.
    pub(super) fn into_parts(self) -> (T, bool) {
        (self.row, self.args_hidden)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// How texts are shown to one caller.
pub(super) struct Eyes<'a> {
    sees_args: bool,
    redact: Option<&'a Redact>,
}

impl<'a> Eyes<'a> {
    pub(super) fn new(caller: &Caller, redact: Option<&'a Redact>) -> Self {
        Self {
            sees_args: caller.may(Permission::ViewArgs),
            redact,
        }
    }

    pub(super) fn task(&self, mut task: Task) -> Shown<Task> {
        let mut look = self.look(format!("{}.{}", task.service, task.method));
        let mut arg = Some(std::mem::take(&mut task.arg));
        look.hide_or_redact(RedactedPart::Args, &mut arg);
        task.arg = arg.unwrap_or_else(|| "null".to_owned());
        look.hide_or_redact(RedactedPart::Result, &mut task.last_result);
        look.redact(RedactedPart::Error, &mut task.last_error);
        look.shown(task)
    }

    pub(super) fn summary(&self, mut task: TaskSummary) -> Shown<TaskSummary> {
        let mut look = self.look(format!("{}.{}", task.service, task.method));
        look.excerpt(RedactedPart::Args, Some(&mut task.args));
        look.excerpt(RedactedPart::Result, task.last_result.as_mut());
        look.excerpt(RedactedPart::Error, task.last_error.as_mut());
        look.shown(task)
    }

    /// The errors of a group are alike: if one of its two texts is replaced, the other one is, too.
    pub(super) fn error_group(&self, mut group: ErrorGroup) -> Shown<ErrorGroup> {
        let mut look = self.look(format!("{}.{}", group.service, group.method));
        let sample = group.sample.as_ref();
        let of_sample = sample.and_then(|sample| look.replaced(RedactedPart::Error, &sample.text, sample.is_cut()));
        let replaced = of_sample.or_else(|| look.replaced(RedactedPart::Error, &group.error, true));
        if let Some(text) = replaced {
            if let Some(sample) = &mut group.sample {
                sample.bytes = i64::try_from(text.len()).unwrap_or(i64::MAX);
                sample.text.clone_from(&text);
            }
            group.error = text;
        }
        look.shown(group)
    }

    pub(super) fn record(&self, mut record: ExecRecord) -> Shown<ExecRecord> {
        let mut look = self.look(String::new());
        look.hide_or_redact(RedactedPart::Result, &mut record.result);
        look.redact(RedactedPart::Error, &mut record.error);
        look.shown(record)
    }

    /// Only callers who see arguments may ask for lines.
    pub(super) fn log(&self, mut log: RunLog) -> RunLog {
        let mut look = self.look(String::new());
        for line in &mut log.lines {
            if let Some(text) = look.replaced(RedactedPart::LogLine, &line.message, false) {
                line.message = text;
            }
        }
        log
    }

    pub(super) fn job(&self, mut job: Job) -> Shown<Job> {
        let mut look = self.look(job.job_name.clone());
        look.in_job(&mut job);
        look.shown(job)
    }

    pub(super) fn job_detail(&self, mut detail: JobDetail) -> Shown<JobDetail> {
        let mut look = self.look(detail.job.job_name.clone());
        look.in_job(&mut detail.job);
        look.shown(detail)
    }

    pub(super) fn job_record(&self, mut record: JobRecord) -> Shown<JobRecord> {
        let mut look = self.look(record.job_name.clone());
        look.hide_or_redact(RedactedPart::Args, &mut record.args);
        look.hide_or_redact(RedactedPart::Result, &mut record.run_result);
        look.redact(RedactedPart::Error, &mut record.run_err);
        look.url(&mut record.hook_url);
        look.shown(record)
    }

    /// The text of an alert ends with an error, or has none.
    pub(super) fn alert(&self, mut alert: OpenAlert) -> Shown<OpenAlert> {
        let mut look = self.look(alert.subject.clone());
        for text in [&mut alert.text_en, &mut alert.text_zh] {
            let replaced = look.replaced(RedactedPart::Error, text, false);
            *text = replaced.unwrap_or_else(|| std::mem::take(text));
        }
        look.shown(alert)
    }

    fn look(&self, of: String) -> Look<'_> {
        Look {
            eyes: self,
            of,
            args_hidden: false,
            redacted: false,
        }
    }
}

/// A look at one row.
struct Look<'a> {
    eyes: &'a Eyes<'a>,
    of: String,
    args_hidden: bool,
    redacted: bool,
}

impl Look<'_> {
    fn replaced(&mut self, part: RedactedPart, text: &str, is_cut: bool) -> Option<String> {
        let replaced = self.eyes.redact.and_then(|redact| {
            redact(&Redacted {
                part,
                of: &self.of,
                text,
                is_cut,
            })
        });
        self.redacted |= replaced.is_some();
        replaced
    }

    fn redact(&mut self, part: RedactedPart, text: &mut Option<String>) {
        let replaced = text.as_deref().and_then(|text| self.replaced(part, text, false));
        if replaced.is_some() {
            *text = replaced;
        }
    }

    fn hide_or_redact(&mut self, part: RedactedPart, text: &mut Option<String>) {
        if self.eyes.sees_args {
            self.redact(part, text);
        } else {
            *text = None;
            self.args_hidden = true;
        }
    }

    fn excerpt(&mut self, part: RedactedPart, excerpt: Option<&mut Excerpt>) {
        let Some(excerpt) = excerpt else { return };
        if !self.eyes.sees_args && part != RedactedPart::Error {
            excerpt.text = String::new();
            self.args_hidden = true;
        } else if let Some(text) = self.replaced(part, &excerpt.text, excerpt.is_cut()) {
            excerpt.bytes = i64::try_from(text.len()).unwrap_or(i64::MAX);
            excerpt.text = text;
        }
    }

    /// A password in a URL is never shown: plain SQL may have written one.
    fn url(&mut self, url: &mut Option<String>) {
        if let Some(plain) = url.as_deref().map(|url| without_user(url).into_owned()) {
            self.redacted |= url.as_ref() != Some(&plain);
            *url = Some(plain);
        }
        self.redact(RedactedPart::HookUrl, url);
    }

    fn in_job(&mut self, job: &mut Job) {
        self.hide_or_redact(RedactedPart::Args, &mut job.args);
        self.url(&mut job.hook_url);
        for value in job.hook_headers.values_mut() {
            HIDDEN.clone_into(value);
        }
    }

    fn shown<T>(self, row: T) -> Shown<T> {
        Shown {
            row,
            args_hidden: self.args_hidden,
            redacted: self.redacted,
        }
    }
}
