//! What a change sets, with the values before it: the workers of a theme or of a node, the limit of a method, the definition of a job.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::Url;

use crate::{
    domain::{AuditChange, Job, NewJob},
    error::Error,
    web::{call::Call, jobs::keep_hidden, method_limits, problem::Problem, routes::Route},
};

/// Fields whose values may be secret or long: the entry has only that they change.
const NOT_TOLD: [&str; 4] = ["args", "args_text", "hook_headers", "hook_secret"];

/// What the change of a call sets.
#[derive(Default)]
pub(super) struct Changed {
    /// The name of the job.
    pub(super) name: Option<String>,
    pub(super) changes: Vec<AuditChange>,
}

/// The body of a resize.
#[derive(Deserialize)]
struct Size {
    workers: Option<usize>,
}

/// What the call of this route sets. The entry of a call that the route will refuse has no changes, or those that were asked for.
pub(super) async fn of(call: &Call, route: &Route) -> Result<Changed, Problem> {
    match (route.action, route.path) {
        (Some("theme.resize"), _) => theme_resized(call).await,
        (Some("node.resize"), _) => node_resized(call).await,
        (Some("limit.set"), _) => limit_set(call).await,
        (Some("limit.remove"), _) => limit_removed(call).await,
        (Some("job.add"), _) => Ok(added(call)),
        (Some("job.ensure"), _) => ensured(call).await,
        (Some(action), path) if path.starts_with("/jobs/{id}") => of_job(call, action).await,
        _ => Ok(Changed::default()),
    }
}

// ---- workers ----

/// Of a theme on all nodes.
async fn theme_resized(call: &Call) -> Result<Changed, Problem> {
    let theme = call.name("theme")?;
    match call.gaia().admin().theme(&theme).await {
        Ok(info) => Ok(resized(call, info.workers)),
        Err(Error::Invalid(_)) => Ok(Changed::default()),
        Err(error) => Err(error.into()),
    }
}

/// Of a theme on one node. Another node tells its workers with its heartbeats.
async fn node_resized(call: &Call) -> Result<Changed, Problem> {
    let (node, theme) = (call.name("node")?, call.name("theme")?);
    if node == call.gaia().node_id() {
        let status = match call.gaia().scheduler(&theme) {
            Ok(scheduler) => scheduler.status().await.ok(),
            Err(_) => None,
        };
        return Ok(resized(call, status.map(|status| status.all_workers)));
    }
    match call.gaia().admin().node(&node).await {
        Ok(found) => {
            let works = found.node.themes.into_iter().find(|works| works.theme == theme);
            Ok(resized(call, works.map(|works| works.workers)))
        }
        Err(Error::NodeNotFound { .. } | Error::Invalid(_)) => Ok(Changed::default()),
        Err(error) => Err(error.into()),
    }
}

fn resized(call: &Call, before: Option<usize>) -> Changed {
    let Ok(Size { workers }) = call.typed() else {
        return Changed::default();
    };
    let change = changed("workers", before.map(Value::from), workers.map(Value::from));
    Changed {
        name: None,
        changes: change.into_iter().collect(),
    }
}

// ---- limits ----

async fn limit_set(call: &Call) -> Result<Changed, Problem> {
    let Ok(new) = method_limits::asked(call) else {
        return Ok(Changed::default());
    };
    limit_changed(call, &fields(&new)).await
}

async fn limit_removed(call: &Call) -> Result<Changed, Problem> {
    limit_changed(call, &Map::new()).await
}

/// The fields that the limit has before the call and behind it.
async fn limit_changed(call: &Call, after: &Map<String, Value>) -> Result<Changed, Problem> {
    let (service, method) = method_limits::named(call)?;
    let before = method_limits::found(call, &service, &method).await?;
    let before = before.map_or_else(Map::new, |before| fields(&before.limit));
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let changes = names
        .into_iter()
        .filter_map(|field| changed(field, before.get(field).cloned(), after.get(field).cloned()));
    Ok(Changed {
        name: None,
        changes: changes.collect(),
    })
}

// ---- jobs ----

fn added(call: &Call) -> Changed {
    let Some(job) = definition(call) else {
        return Changed::default();
    };
    Changed {
        name: None,
        changes: differences(&Map::new(), &fields(&job)),
    }
}

async fn ensured(call: &Call) -> Result<Changed, Problem> {
    let (Some(job), Ok(name)) = (definition(call), call.name("name")) else {
        return Ok(Changed::default());
    };
    // No job has a name that holds this character, and PostgreSQL takes no such text.
    let before = match name.contains('\0') {
        true => None,
        false => call.gaia().jobs().find_named(&name).await?,
    };
    let mut after = fields(&job);
    match &before {
        // Whether a job is enabled stays as it is.
        Some(_) => after.remove("enabled"),
        None => after.insert("job_name".to_owned(), name.into()),
    };
    after.retain(|field, _| before.is_none() || field != "job_name");
    let before = before.map_or_else(Map::new, |before| fields(&before));
    Ok(Changed {
        name: None,
        changes: differences(&before, &after),
    })
}

/// Of a job that is there: its name says more than its id, and stays when the job is deleted.
async fn of_job(call: &Call, action: &str) -> Result<Changed, Problem> {
    let Some(job) = stored(call).await? else {
        return Ok(Changed::default());
    };
    let changes = match action {
        "job.update" => updated(&job, definition(call)),
        "job.enable" => changed("enabled", Some(job.enabled.into()), Some(true.into()))
            .into_iter()
            .collect(),
        "job.disable" => changed("enabled", Some(job.enabled.into()), Some(false.into()))
            .into_iter()
            .collect(),
        _ => Vec::new(),
    };
    Ok(Changed {
        name: Some(job.job_name).filter(|name| !name.trim().is_empty()),
        changes,
    })
}

fn updated(job: &Job, new: Option<NewJob>) -> Vec<AuditChange> {
    let Some(mut new) = new else {
        return Vec::new();
    };
    keep_hidden(&mut new, job);
    differences(&fields(job), &fields(&new))
}

async fn stored(call: &Call) -> Result<Option<Job>, Problem> {
    let Ok(id) = call.id("job") else {
        return Ok(None);
    };
    match call.gaia().jobs().get_job_detail(id).await {
        Ok(detail) => Ok(Some(detail.job)),
        Err(Error::JobNotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// As it is stored.
fn definition(call: &Call) -> Option<NewJob> {
    let job: NewJob = serde_json::from_slice(&call.body).ok()?;
    Some(job.or_overlap(call.gaia().jobs().rules()))
}

/// A job as JSON. A whole number is an integer: a definition has seconds as `300.0`, a job as `300`.
fn fields(job: &impl Serialize) -> Map<String, Value> {
    let Ok(Value::Object(mut fields)) = serde_json::to_value(job) else {
        return Map::new();
    };
    for value in fields.values_mut() {
        let whole = value.as_f64().filter(|number| number.fract() == 0.0);
        if let Some(whole) = whole.and_then(|number| number.to_string().parse::<i64>().ok()) {
            *value = whole.into();
        }
    }
    fields
}

/// How the fields of a definition change. State of the job that is no part of its definition stays out.
fn differences(before: &Map<String, Value>, after: &Map<String, Value>) -> Vec<AuditChange> {
    let defined: BTreeSet<&String> = after.keys().collect();
    let changes = defined
        .into_iter()
        .filter_map(|field| changed(field, before.get(field).cloned(), after.get(field).cloned()));
    changes.collect()
}

/// The change of a field. `None`: it stays as it is.
fn changed(field: &str, from: Option<Value>, to: Option<Value>) -> Option<AuditChange> {
    let [from, to] = [from, to].map(|value| value.filter(says_something));
    if from == to {
        return None;
    }
    let shown = |value: Option<Value>| match field {
        _ if NOT_TOLD.contains(&field) => None,
        "hook_url" => value.map(|url| without_secrets(&url)),
        _ => value,
    };
    Some(AuditChange::new(field, shown(from), shown(to)))
}

fn says_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => true,
    }
}

/// A URL without the parts that may be secret: user, password, path and query. Many services have their secret in the path.
fn without_secrets(url: &Value) -> Value {
    let told = url.as_str().and_then(|url| Url::parse(url).ok()).map(|url| {
        let origin = url.origin().ascii_serialization();
        let hides = url.path() != "/" || url.query().is_some();
        if hides { format!("{origin}/…") } else { origin }
    });
    told.map_or(Value::Null, Value::String)
}
