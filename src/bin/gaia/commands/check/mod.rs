//! Why a task does not run, why a job is late, why something has failed, and what else is wrong.

mod finding;
mod job;
mod limit;
mod task;
mod theme;
mod whole;

use self::finding::Findings;
use crate::{
    args::CheckArgs,
    exit::{Exit, Result},
    session::Session,
};

pub async fn run(session: &Session, args: CheckArgs) -> Result {
    let mut findings = Findings::default();
    let api = match session.api().await {
        Ok(api) => api,
        Err(failure) if failure.exit == Exit::Away => {
            findings.wrong(
                failure.to_string(),
                "a database with the tables of this program",
                &["gaia migrate --dry-run"],
            );
            return findings.written(session);
        }
        Err(failure) => return Err(failure),
    };
    let looked = match (&args.subject, &args.job) {
        (_, Some(job)) => job::look(api, &mut findings, job).await,
        (Some(subject), None) => match subject.parse::<i64>() {
            Ok(id) => task::look(api, &mut findings, id).await,
            Err(_) => theme::look(api, &mut findings, subject).await,
        },
        (None, None) => whole::look(session, api, &mut findings).await,
    };
    match looked {
        Err(failure) if failure.exit == Exit::Away => {
            findings.wrong(failure.to_string(), "a server and a database that answer", &[]);
        }
        looked => looked?,
    }
    findings.written(session)
}
