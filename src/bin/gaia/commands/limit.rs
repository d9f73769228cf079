//! Limits of methods.

use serde_json::json;

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
        Column::whole("STATE", |limit, _| match limit.flag("waits") {
            true => Cell::new("tasks wait").toned(Tone::Warning),
            false => Cell::new("free"),
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

/// How many may start in which time, such as `100 per 1 min`.
pub fn pace(limit: &Fields) -> Option<String> {
    let starts = limit.object("limit")?.object("starts")?;
    let per = words::millis(starts.int("per_ms")?);
    Some(format!("{} per {per}", starts.int("count")?))
}

/// Such as `5 at once, 100 per 1 min`.
fn in_words(limit: &Fields) -> String {
    let at_once = at_once(limit).map(|most| format!("{most} at once"));
    at_once.into_iter().chain(pace(limit)).collect::<Vec<_>>().join(", ")
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
    let per_ms = match set.per.map(|per| u64::try_from(per.as_millis())) {
        None => None,
        Some(Ok(millis)) => Some(millis),
        Some(Err(_)) => return Err(Failure::usage("--per is too long; expected a time of 366 days at most")),
    };
    let starts = set.starts.zip(per_ms);
    let starts = starts.map(|(count, per_ms)| json!({"count": count, "per_ms": per_ms}));
    let MethodRef { service, method } = &set.method;
    let request = api
        .put(&["limits", service, method])
        .json(&json!({"running": set.running, "starts": starts}))?;
    let limit = request.reason(set.reason.reason.as_deref()).send().await?.fields()?;
    let name = method::name(&limit);
    say(&format!(
        "{name} is limited: {}. Tasks beyond that wait.",
        in_words(&limit)
    ));
    session.out.changed(&name, &limit)
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
