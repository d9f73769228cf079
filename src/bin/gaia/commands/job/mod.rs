//! Cron jobs.

mod edit;
mod find;
mod runs;
mod show;

use std::path::Path;

use serde_json::Value;

use crate::{
    api::Api,
    args::{JobCommand, JobRef, Reason},
    commands::{input, run_log},
    confirm::confirm,
    exit::{Exit, Failure, Result},
    output::{say, words},
    session::Session,
};

pub use self::{find::id_of, runs::late};

pub async fn run(session: &Session, command: JobCommand) -> Result {
    let api = session.api().await?;
    match command {
        JobCommand::List(list) => show::list(session, list).await,
        JobCommand::Get(job) => show::one(session, &job.job).await,
        JobCommand::Add(add) => edit::add(session, api, *add).await,
        JobCommand::Edit(edit) => edit::edit(session, api, *edit).await,
        JobCommand::Apply { file, reason } => apply(session, api, &file, &reason).await,
        JobCommand::Enable { job, reason } => toggle(session, api, &job, "enable", &reason).await,
        JobCommand::Disable { job, reason } => toggle(session, api, &job, "disable", &reason).await,
        JobCommand::Run { job, wait, reason } => runs::begin(session, api, &job, wait, &reason).await,
        JobCommand::Runs(list) => runs::list(session, list).await,
        JobCommand::RunGet { run } => runs::one(session, run).await,
        JobCommand::RunLog { run, follow } => {
            let run = run.to_string();
            run_log::show(session, follow, || api.get(&["runs", &run, "log"])).await
        }
        JobCommand::Cancel { job, reason } => cancel(session, api, &job, &reason).await,
        JobCommand::Delete { job, yes, reason } => delete(session, api, &job, yes, &reason).await,
    }
}

/// Adds the jobs of a file, or brings them up to date.
async fn apply(session: &Session, api: &Api, file: &Path, reason: &Reason) -> Result {
    let jobs = jobs_of(&input::file(file)?)?;
    let named: Vec<(&str, &Value)> = jobs
        .iter()
        .map(|job| Some((job.get("job_name")?.as_str()?, job)))
        .collect::<Option<_>>()
        .ok_or_else(|| Failure::usage("a job of the file has no job_name, by which it is found; nothing was done"))?;
    for (name, job) in named {
        let request = api
            .put(&["jobs", "by_name", name])
            .json(job)?
            .reason(reason.reason.as_deref());
        let answer = request
            .send()
            .await
            .map_err(|failure| Failure::new(failure.exit, format!("job {name:?}: {failure}")))?;
        let answer = answer.fields()?;
        say(&format!("The job {name} is as the file says."));
        session.out.changed(&answer.text_of_id(), &answer)?;
    }
    Ok(Exit::Done)
}

/// The jobs of a text in JSON or YAML: one, or a list. JSON is read as such, so that its numbers keep their digits.
fn jobs_of(text: &str) -> Result<Vec<Value>> {
    let read = match serde_json::from_str(text) {
        Ok(read) => read,
        Err(json) => serde_saphyr::from_str::<Value>(text)
            .map_err(|yaml| Failure::usage(format!("the file is neither JSON ({json}) nor YAML ({yaml})")))?,
    };
    match read {
        Value::Array(jobs) if !jobs.is_empty() => Ok(jobs),
        job @ Value::Object(_) => Ok(vec![job]),
        _ => Err(Failure::usage(
            "the file holds no job; expected an object with job_name, job_type, cron_expr and others, or a list of such",
        )),
    }
}

async fn toggle(session: &Session, api: &Api, job: &JobRef, to: &str, reason: &Reason) -> Result {
    let id = id_of(api, &job.job).await?;
    let toggled = api
        .post(&["jobs", &id, to])
        .reason(reason.reason.as_deref())
        .send()
        .await?
        .fields()?;
    say(&format!("The job {} is {to}d.", job.job));
    session.out.changed(&id, &toggled)
}

async fn cancel(session: &Session, api: &Api, job: &JobRef, reason: &Reason) -> Result {
    let id = id_of(api, &job.job).await?;
    let cancelled = api
        .post(&["jobs", &id, "cancel"])
        .reason(reason.reason.as_deref())
        .send()
        .await?
        .fields()?;
    let runs = words::counted(
        cancelled.int("runs").unwrap_or(0),
        "run of the job is",
        "runs of the job are",
    );
    say(&format!("{runs} asked to stop."));
    session.out.changed(&id, &cancelled)
}

async fn delete(session: &Session, api: &Api, job: &JobRef, yes: bool, reason: &Reason) -> Result {
    let id = id_of(api, &job.job).await?;
    if !yes && !confirm(&format!("Delete the job {}? Its records stay.", job.job))? {
        say("Nothing was done.");
        return Ok(Exit::Failed);
    }
    api.delete(&["jobs", &id])
        .reason(reason.reason.as_deref())
        .send()
        .await?;
    say(&format!("The job {} is deleted.", job.job));
    session.out.line(&id)?;
    Ok(Exit::Done)
}
