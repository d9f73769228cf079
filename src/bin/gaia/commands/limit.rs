//! Limits of methods.

use std::time::Duration;

use serde_json::{Value, json};

use super::method;
use crate::{
    api::{Api, Fields},
    args::{LimitCommand, MethodRef, Reason, SetLimit},
    exit::{Exit, Failure, Result},
    output::{Cell, Column, Sheet, Tone, say, words},
    session::Session,
    watch::watched,
};

const SHEET: Sheet = Sheet {
    columns: &[
        Column::new("METHOD", |limit, _| Cell::new(method::name(limit))),
        Column::number("AT ONCE", |limit, _| Cell::new(number(at_once(limit)))),
        Column::number("USED", |limit, _| {
            Cell::new(number(at_once(limit).and_then(|_| limit.int("slots"))))
        }),
        Column::whole("STARTS", |limit, _| Cell::new(pace(limit).unwrap_or_default())),
        Column::whole("PER KEY", |limit, _| Cell::new(per_key(limit).unwrap_or_default())),
        Column::whole("STATE", |limit, _| match state(limit) {
            Some(waits) => Cell::new(waits).toned(Tone::Warning),
            None => Cell::new("free"),
        }),
    ],
    empty: "No method has a limit.",
    name: method::name,
};

fn number(number: Option<i64>) -> String {
    number.map(|number| number.to_string()).unwrap_or_default()
}

/// How many tasks of the method may run at once.
pub fn at_once(limit: &Fields) -> Option<i64> {
    limit.object("limit")?.int("running")
}

/// How many of those with the same limit key.
pub fn at_once_per_key(limit: &Fields) -> Option<i64> {
    limit.object("limit")?.int("running_per_key")
}

/// How many may start in which time, such as `100 per 1 min`.
pub fn pace(limit: &Fields) -> Option<String> {
    paced(limit, "starts")
}

fn paced(limit: &Fields, starts: &str) -> Option<String> {
    let starts = limit.object("limit")?.object(starts)?;
    let per = words::millis(starts.int("per_ms")?);
    Some(format!("{} per {per}", starts.int("count")?))
}

/// What holds for the tasks with one limit key, such as `5 at once, 100 per 1 min`. `None`: any number of them may run.
pub fn per_key(limit: &Fields) -> Option<String> {
    let at_once = at_once_per_key(limit).map(|most| format!("{most} at once"));
    let parts: Vec<String> = at_once.into_iter().chain(paced(limit, "starts_per_key")).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// For how many limit keys tasks wait; `None` for none.
pub fn waiting_keys(limit: &Fields) -> Option<i64> {
    limit.int("waiting_keys").filter(|keys| *keys > 0)
}

/// Which tasks wait. `None`: the limit holds up none.
fn state(limit: &Fields) -> Option<String> {
    let keys = waiting_keys(limit).map(|keys| words::counted(keys, "key", "keys"));
    match (limit.flag("waits"), keys) {
        (false, None) => None,
        (true, None) => Some("tasks wait".to_owned()),
        (false, Some(keys)) => Some(format!("tasks of {keys} wait")),
        (true, Some(keys)) => Some(format!("tasks wait, and those of {keys}")),
    }
}

/// Such as `50 at once, 100 per 1 min; of each key 5 at once`.
fn in_words(limit: &Fields) -> String {
    let at_once = at_once(limit).map(|most| format!("{most} at once"));
    let of_all: Vec<String> = at_once.into_iter().chain(pace(limit)).collect();
    let of_all = Some(of_all.join(", ")).filter(|of_all| !of_all.is_empty());
    let of_keys = per_key(limit).map(|of_keys| format!("of each key {of_keys}"));
    of_all.into_iter().chain(of_keys).collect::<Vec<_>>().join("; ")
}

pub async fn run(session: &Session, command: LimitCommand) -> Result {
    let (api, out) = (session.api().await?, &session.out);
    match command {
        LimitCommand::List { watch } => {
            watched(session, watch.watch, async || {
                out.list(&SHEET, &limits(api).await?, &out.view(api))?;
                Ok(Exit::Done)
            })
            .await
        }
        LimitCommand::Set(set) => self::set(session, api, &set).await,
        LimitCommand::Remove { method, reason } => remove(session, api, &method, &reason).await,
    }
}

pub async fn limits(api: &Api) -> Result<Vec<Fields>> {
    Ok(api.get(&["limits"]).send().await?.fields()?.list("limits"))
}

async fn set(session: &Session, api: &Api, set: &SetLimit) -> Result {
    let limit = json!({
        "running": set.running,
        "starts": starts(set.starts, set.per, "--per")?,
        "running_per_key": set.running_per_key,
        "starts_per_key": starts(set.starts_per_key, set.per_key, "--per-key")?,
    });
    let MethodRef { service, method } = &set.method;
    let request = api.put(&["limits", service, method]).json(&limit)?;
    let limit = request.reason(set.reason.reason.as_deref()).send().await?.fields()?;
    let name = method::name(&limit);
    say(&format!(
        "{name} is limited: {}. Tasks beyond that wait.",
        in_words(&limit)
    ));
    session.out.changed(&name, &limit)
}

/// How many may start in which time, as the API takes it.
fn starts(count: Option<u32>, per: Option<Duration>, option: &str) -> Result<Option<Value>> {
    let Some((count, per)) = count.zip(per) else {
        return Ok(None);
    };
    let per_ms = u64::try_from(per.as_millis())
        .map_err(|_| Failure::usage(format!("{option} is too long; expected a time of 366 days at most")))?;
    Ok(Some(json!({"count": count, "per_ms": per_ms})))
}

async fn remove(session: &Session, api: &Api, named: &MethodRef, reason: &Reason) -> Result {
    let MethodRef { service, method } = named;
    api.delete(&["limits", service, method])
        .reason(reason.reason.as_deref())
        .send()
        .await?;
    say(&format!("{service}.{method} has no limit any more."));
    session.out.line(&format!("{service}.{method}"))?;
    Ok(Exit::Done)
}
