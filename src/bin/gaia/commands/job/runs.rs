//! Runs of jobs.

use std::time::{Duration, Instant};

use super::{id_of, show::calls};
use crate::{
    api::{Api, Fields},
    args::{JobRef, Patience, Reason, RunList},
    commands::paging,
    exit::{Exit, Result},
    output::{Cell, Column, Details, Sheet, View, say, words},
    session::Session,
    watch::watched,
};

/// How often a run is looked at while its end is awaited.
const LOOK: Duration = Duration::from_millis(500);

pub const RUNS: Sheet = Sheet {
    columns: &[
        Column::number("RUN", |run, _| Cell::int(run, "id")),
        Column::new("JOB", |run, _| Cell::of(run, "job_name")),
        Column::whole("RESULT", |run, _| result(run)),
        Column::whole("BEGAN", |run, view| {
            Cell::new(words::in_table(run.time("started_at"), view))
        }),
        Column::whole("LATE", |run, _| Cell::new(late(run))).minor(),
        Column::whole("TOOK", |run, _| {
            Cell::new(run.int("duration_ms").map(words::millis).unwrap_or_default())
        }),
        Column::new("ERROR", |run, _| Cell::of(run, "run_err")),
        Column::whole("SCHEDULED", |run, view| {
            Cell::new(words::in_table(run.time("scheduled_at"), view))
        })
        .for_wide(),
        Column::number("ATTEMPT", |run, _| Cell::int(run, "attempt")).for_wide(),
        Column::whole("NODE", |run, _| Cell::of(run, "node_id")).for_wide(),
        Column::whole("LOG ID", |run, _| Cell::of(run, "log_id")).for_wide(),
    ],
    empty: "No run meets the conditions.",
    name: Fields::text_of_id,
};

fn result(run: &Fields) -> Cell {
    let flag = run.text("job_result_flag");
    match (flag.is_empty(), run.time("ended_at")) {
        (true, None) => Cell::status("Running"),
        _ => Cell::status(&flag),
    }
}

/// How long after its fire a run began.
pub fn late(run: &Fields) -> String {
    match (run.time("scheduled_at"), run.time("started_at")) {
        (Some(scheduled), Some(started)) => words::lasting(started - scheduled),
        _ => String::new(),
    }
}

pub async fn list(session: &Session, list: RunList) -> Result {
    let (api, out) = (session.api().await?, &session.out);
    let job = match &list.job {
        Some(job) => Some(id_of(api, job).await?),
        None => None,
    };
    let path: Vec<&str> = match &job {
        Some(id) => vec!["jobs", id, "runs"],
        None => vec!["runs"],
    };
    watched(session, list.watch.watch, async || {
        let runs = paging::rows(&list.paging, "runs", || {
            api.get(&path).maybe("state", list.state.as_ref())
        })
        .await?;
        out.list(&RUNS, &runs, &out.view(api))?;
        Ok(Exit::Done)
    })
    .await
}

pub async fn one(session: &Session, run: i64) -> Result {
    let api = session.api().await?;
    let run = api.get(&["runs", &run.to_string()]).send().await?.fields()?;
    shown(session, api, &run)?;
    Ok(Exit::Done)
}

fn shown(session: &Session, api: &Api, run: &Fields) -> Result<()> {
    let view = session.out.view(api);
    session.out.item(&RUNS, run, || details(run, &view))
}

fn details(run: &Fields, view: &View) -> Details {
    Details::default()
        .int_of("run", run, "id")
        .text_of("job", run, "job_name")
        .int_of("job id", run, "job_id")
        .add("result", result(run))
        .text_of("schedule", run, "cron_expr")
        .add("calls", Cell::new(calls(run)))
        .time_of("scheduled", run, "scheduled_at", view)
        .time_of("began", run, "started_at", view)
        .add("late", Cell::new(late(run)))
        .time_of("ended", run, "ended_at", view)
        .add(
            "took",
            Cell::new(run.int("duration_ms").map(words::millis).unwrap_or_default()),
        )
        .int_of("attempt", run, "attempt")
        .text_of("node", run, "node_id")
        .text_of("log id", run, "log_id")
        .text_of("cancelled", run, "cancel_reason")
        .json_of("arguments", run, "args", "args_text")
        .json_of("answer", run, "run_result", "run_result_text")
        .lines("error", &run.text("run_err"))
}

/// Has a job run now.
pub async fn begin(session: &Session, api: &Api, job: &JobRef, wait: Option<Patience>, reason: &Reason) -> Result {
    let id = id_of(api, &job.job).await?;
    let begun = api
        .post(&["jobs", &id, "run"])
        .reason(reason.reason.as_deref())
        .send()
        .await?
        .fields()?;
    let run = begun.int("run_id").unwrap_or(0);
    say(&format!("The run {run} has begun on the node {}.", begun.text("node")));
    match wait {
        None => session.out.changed(&run.to_string(), &begun),
        Some(patience) => ended(session, api, run, patience.limit()).await,
    }
}

/// Waits for the end of a run.
async fn ended(session: &Session, api: &Api, id: i64, timeout: Option<Duration>) -> Result {
    let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    loop {
        let run = api.get(&["runs", &id.to_string()]).send().await?.fields()?;
        let flag = run.text("job_result_flag");
        if !flag.is_empty() {
            shown(session, api, &run)?;
            return Ok(if flag.eq_ignore_ascii_case("success") {
                Exit::Done
            } else {
                Exit::Failed
            });
        }
        if until.is_some_and(|until| Instant::now() >= until) {
            say(&format!("The run {id} has not ended in time."));
            shown(session, api, &run)?;
            return Ok(Exit::WaitedInVain);
        }
        actix_rt::time::sleep(LOOK).await;
    }
}
