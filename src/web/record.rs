//! Each call that changes anything, except the adding of tasks, is written down in the audit before its route runs.

mod changes;
mod subject;

use actix_web::{HttpResponse, web::Bytes};
use percent_encoding::percent_decode;

use self::subject::Subject;
use super::{
    body::{self, BodyRule, Unread},
    call::Call,
    problem::{Fault, Problem},
    routes::Route,
};
use crate::{
    domain::{EndAudit, Faults, Fields, NewAudit, Note},
    error::Error,
};

/// The header with the reason of a change, percent-encoded: for requests whose body has no place for it.
const REASON_HEADER: &str = "x-reason";

/// Writes an entry, runs the route, and notes the result in the entry. Goes on if the client hangs up: the change goes on, too.
pub(super) async fn recorded(call: Call, route: &'static Route, action: &'static str) -> Result<HttpResponse, Problem> {
    match actix_web::rt::spawn(record(call, route, action)).await {
        Ok(done) => done,
        Err(gone) => match gone.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The thread that served the request has ended.
            Err(_) => Err(Error::Stopped.into()),
        },
    }
}

async fn record(mut call: Call, route: &'static Route, action: &'static str) -> Result<HttpResponse, Problem> {
    let admin = call.gaia().admin();
    let reason = take_reason(&mut call, route.body);
    let subject = subject::of(&call, route).await.map_err(Problem::before_the_change)?;
    let Subject {
        target,
        theme,
        name,
        changes,
    } = subject;
    let entry = NewAudit {
        theme,
        reason: reason.as_ref().ok().cloned().flatten(),
        target_name: name,
        changes,
        ..NewAudit::new(call.caller.name(), action, target)
    };
    let entry = admin.begin_audit(entry).await;
    let id = entry.map_err(|error| Problem::from(error).before_the_change())?;
    let done = match reason {
        Ok(reason) => {
            call.reason = reason;
            (route.run)(call).await
        }
        Err(problem) => Err(problem),
    };
    let result = result_of(&done);
    let end = EndAudit {
        id,
        result: result.clone(),
    };
    if let Err(error) = admin.end_audit(end).await {
        say!(
            Warn,
            "audit: entry {id} has no result, which would be {result:?}: {error}"
        );
    }
    done
}

fn result_of(done: &Result<HttpResponse, Problem>) -> String {
    let kind = kind_of(done);
    match done {
        Ok(_) => kind.to_owned(),
        Err(problem) => format!("{kind}: {}", problem.code()),
    }
}

/// Whether a change was made, refused, or has failed.
pub(super) fn kind_of(done: &Result<HttpResponse, Problem>) -> &'static str {
    match done {
        Ok(_) => "done",
        Err(problem) if problem.status().is_server_error() => "failed",
        Err(_) => "refused",
    }
}

// ---- the reason ----

/// Takes the reason out of the body, so that no route has to know of it, or out of the header.
fn take_reason(call: &mut Call, rule: BodyRule) -> Result<Option<String>, Problem> {
    let in_body = match rule {
        BodyRule::Small => reason_in_body(call)?,
        // That of a form.
        _ => call.reason.take(),
    };
    let reason = match (in_body, reason_in_header(call)?) {
        (Some(_), Some(_)) => {
            let fault = Fault::of("the body and the header X-Reason both have a reason; leave one out");
            return Err(Problem::invalid(vec![fault]));
        }
        (in_body, in_header) => in_body.or(in_header),
    };
    let mut faults = Faults::default();
    let note = Note::checked(&mut faults, None, reason);
    faults.into_result()?;
    Ok(note.reason)
}

fn reason_in_body(call: &mut Call) -> Result<Option<String>, Problem> {
    let mut fields: Fields = match body::parsed(body::text(&call.body)?) {
        Ok(fields) => fields,
        // An empty body, or one that the route refuses.
        Err(Unread::NoJson(_)) => return Ok(None),
        Err(Unread::Other(fault)) => return Err(Problem::invalid(vec![fault])),
    };
    let reason = fields.take::<Option<String>, serde_json::Error>("reason");
    let reason = reason.map_err(|error| {
        Problem::invalid(vec![Fault {
            pointer: Some("/reason".to_owned()),
            ..Fault::of(error.to_string())
        }])
    })?;
    let rest = fields
        .into_json()
        .map_err(|error| Problem::bad_json(error.to_string()))?;
    call.body = Bytes::from(rest);
    Ok(reason)
}

fn reason_in_header(call: &Call) -> Result<Option<String>, Problem> {
    let fault = |detail: &str| Problem::invalid(vec![Fault::of(detail)]);
    let mut values = call.headers().get_all(REASON_HEADER);
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(fault("the header X-Reason is there more than once"));
    }
    let reason = percent_decode(value.as_bytes()).decode_utf8();
    let reason = reason.map_err(|_| fault("the header X-Reason is no UTF-8 after its escapes are decoded"))?;
    Ok(Some(reason.into_owned()))
}
