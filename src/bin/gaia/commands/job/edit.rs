//! Adding jobs, and changing their fields.

use std::time::Duration;

use serde_json::{Value, json, value::RawValue};

use super::id_of;
use crate::{
    api::{Api, Fields, Pairs},
    args::{AddJob, EditJob, JobFields},
    commands::input::{self, raw},
    exit::{Failure, Result},
    output::say,
    session::Session,
};

pub async fn add(session: &Session, api: &Api, add: AddJob) -> Result {
    let mut job: Fields = Pairs(Vec::new());
    job.set("job_name", raw(add.name.as_str())?);
    job.set("cron_expr", raw(add.cron.as_str())?);
    job.set("enabled", raw(!add.disabled)?);
    if add.fields.call.is_none() && add.fields.hook.is_none() {
        return Err(Failure::usage(
            "it is not said what the job calls; give --call SERVICE.METHOD or --hook URL",
        ));
    }
    set(&mut job, &add.fields)?;
    let request = api.post(&["jobs"]).json(&job)?.reason(add.reason.reason.as_deref());
    let added = request.send().await?.fields()?;
    say(&format!("The job {} is added.", add.name));
    session.out.changed(&added.text_of_id(), &added)
}

/// Reads the job, sets the fields, and hands the job in, unless another change came first.
pub async fn edit(session: &Session, api: &Api, edit: EditJob) -> Result {
    let id = id_of(api, &edit.job.job).await?;
    let answer = api.get(&["jobs", &id]).send().await?;
    let mut job = answer.fields()?;
    let before = written(&job)?;
    if let Some(name) = &edit.name {
        job.set("job_name", raw(name.as_str())?);
    }
    if let Some(cron) = &edit.cron {
        job.set("cron_expr", raw(cron.as_str())?);
    }
    set(&mut job, &edit.fields)?;
    if written(&job)? == before {
        return Err(Failure::usage(
            "no option changes the job; `gaia job edit --help` lists the fields",
        ));
    }
    let request = api.put(&["jobs", &id]).header("if-match", answer.etag).json(&job)?;
    let changed = request.reason(edit.reason.reason.as_deref()).send().await?.fields()?;
    say(&format!("The job {} is changed.", edit.job.job));
    session.out.changed(&id, &changed)
}

fn written(job: &Fields) -> Result<String> {
    serde_json::to_string(job).map_err(|error| Failure::failed(error.to_string()))
}

/// Sets the fields that the options name.
fn set(job: &mut Fields, fields: &JobFields) -> Result<()> {
    if let Some(call) = &fields.call {
        let (service, method) = call
            .rsplit_once('.')
            .filter(|(service, method)| !service.is_empty() && !method.is_empty())
            .ok_or_else(|| Failure::usage(format!("--call {call:?} is no method; expected SERVICE.METHOD")))?;
        each(
            job,
            [
                ("job_type", json!("cron_job")),
                ("service_name", json!(service)),
                ("service_method", json!(method)),
                ("hook_url", Value::Null),
            ],
        )?;
    }
    if let Some(url) = &fields.hook {
        each(
            job,
            [
                ("job_type", json!("cron_hook")),
                ("hook_url", json!(url)),
                ("service_name", Value::Null),
                ("service_method", Value::Null),
            ],
        )?;
    }
    if let Some(args) = &fields.args {
        job.0.retain(|(key, _)| key != "args_text");
        job.set("args", input::json(args)?);
    }
    if let Some(file) = &fields.hook_secret_file {
        let secret = input::file(file)?;
        job.set("hook_secret", raw(secret.trim())?);
    }
    if !fields.headers.is_empty() {
        let headers = headers(job, &fields.headers)?;
        job.set("hook_headers", headers);
    }
    let some = |value: Option<Value>| value.unwrap_or(Value::Null);
    let options = [
        (
            "hook_method",
            some(fields.hook_method.as_ref().map(|method| json!(method))),
        ),
        ("time_zone", some(fields.zone.as_ref().map(|zone| json!(zone)))),
        ("timeout", some(fields.timeout.map(seconds).transpose()?)),
        ("max_retry", some(fields.max_retry.map(|count| json!(count)))),
        ("retry_delay_ms", some(fields.retry_delay.map(millis))),
        (
            "overlap_policy",
            some(fields.overlap.map(|policy| json!(name(&policy)))),
        ),
        (
            "misfire_policy",
            some(fields.misfire.map(|policy| json!(name(&policy)))),
        ),
        ("misfire_grace", some(fields.misfire_grace.map(seconds).transpose()?)),
    ];
    each(job, options.into_iter().filter(|(_, value)| !value.is_null()))
}

fn each(job: &mut Fields, values: impl IntoIterator<Item = (&'static str, Value)>) -> Result<()> {
    for (key, value) in values {
        job.set(key, raw(value)?);
    }
    Ok(())
}

/// The job's headers with these changes. Values that are hidden stay as they are in the database.
fn headers(job: &Fields, changes: &[String]) -> Result<Box<RawValue>> {
    let mut headers: serde_json::Map<String, Value> = job.get("hook_headers").unwrap_or_default();
    for change in changes {
        let (name, value) = change.split_once('=').ok_or_else(|| {
            Failure::usage(format!(
                "--header {:?} has no =; expected NAME=VALUE",
                change.split(':').next().unwrap_or_default()
            ))
        })?;
        match value {
            "" => headers.remove(name),
            value => headers.insert(name.to_owned(), json!(value)),
        };
    }
    raw(headers)
}

/// The API takes whole seconds here.
fn seconds(duration: Duration) -> Result<Value> {
    match duration.subsec_nanos() {
        0 => Ok(json!(duration.as_secs())),
        _ => Err(Failure::usage(format!(
            "{duration:?} is a part of a second; expected whole seconds"
        ))),
    }
}

fn millis(duration: Duration) -> Value {
    json!(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

fn name(policy: &impl clap::ValueEnum) -> String {
    policy
        .to_possible_value()
        .map(|value| value.get_name().to_owned())
        .unwrap_or_default()
}
