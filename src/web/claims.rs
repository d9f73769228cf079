//! Tasks for remote workers: programs in any language take tasks, and say how each run went.

mod bodies;

use std::{collections::HashSet, time::Duration};

use actix_web::{HttpResponse, http::StatusCode};
use serde::{Serialize, de::DeserializeOwned};
use utoipa::ToSchema;

use self::bodies::{AskedClaim, Beat, Fail, Finish, Log, Names, Progress, Release, Runs, Snooze};
use super::{
    call::{self, Call},
    problem::{Fault, Problem},
};
use crate::{
    domain::{TaskStatus, as_args, as_millis, schema},
    error::Error,
    remote::{ClaimedRun, End, Ended, Remote, Run, RunState},
    run::RunToken,
    store::StoreError,
};

/// A longer timeout is told as this one, a hundred years: clients count times in numbers of all sizes.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(100 * 365 * 86_400);

/// The tasks that a worker has got.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ClaimedTasks)]
struct Claimed {
    /// The name of the worker among the nodes: the owner of its tasks.
    worker: String,
    /// For how long the worker may be silent.
    #[serde(rename = "lease_ms", serialize_with = "as_millis")]
    #[schema(value_type = u64)]
    lease: Duration,
    /// None: nothing is due.
    tasks: Vec<HandedOut>,
}

/// A task that the worker is to run.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ClaimedTask)]
struct HandedOut {
    /// Names the run in all further calls.
    token: String,
    /// The id of the task.
    id: i64,
    theme: String,
    service: String,
    method: String,
    /// The arguments. A text that is no JSON is `args_text` instead.
    #[serde(flatten, serialize_with = "as_args")]
    #[schema(schema_with = schema::args)]
    args: String,
    /// Which attempt this is, from 1.
    attempt: u32,
    /// How many attempts the task may have in all.
    max_attempts: u32,
    /// Names the run in logs and records, and tells a service that a call is a repetition.
    log_id: String,
    /// How long the run may take, from now on.
    timeout_ms: Option<u64>,
    /// The trace to which the task belongs.
    traceparent: Option<String>,
}

/// How the runs stand, in the order of the request.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StatesOfRuns)]
struct States {
    runs: Vec<State>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StateOfRun)]
struct State {
    /// The id of the task.
    id: i64,
    state: StateName,
    /// The status of the task after an end that was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    status: Option<TaskStatus>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = StateOfRunName)]
enum StateName {
    /// The run goes on.
    Held,
    /// A caller has asked to cancel the task: the worker should stop and release it.
    Cancelled,
    /// The end is written.
    Written,
    /// The run has ended before, or other hands have the task: nothing was written.
    Lost,
}

fn handed_out(theme: &str, run: ClaimedRun) -> HandedOut {
    let ClaimedRun { token, task } = run;
    HandedOut {
        token,
        id: task.id,
        theme: theme.to_owned(),
        attempt: task.retry_time.unsigned_abs() + 1,
        max_attempts: task.max_retry_time.unsigned_abs().saturating_add(1),
        log_id: task.log_id.to_string(),
        timeout_ms: task
            .timeout
            .map(|timeout| u64::try_from(timeout.min(LONGEST_TIMEOUT).as_millis()).unwrap_or(u64::MAX)),
        traceparent: task.traceparent.map(|trace| trace.to_string()),
        service: task.service,
        method: task.method,
        args: task.args.into_string(),
    }
}

pub(super) async fn claim(mut call: Call) -> Result<HttpResponse, Problem> {
    call.query.finish()?;
    let asked = call.typed::<AskedClaim>()?.checked()?;
    call.caller.needs_theme(&asked.theme)?;
    if !call.gaia().remote().has_room(&asked) {
        return Err(Problem::too_many_workers());
    }
    let (worker, lease, theme) = (asked.owner(), asked.lease, asked.theme.clone());
    let runs = call.gaia().remote().claim(asked).await?;
    let tasks = runs.into_iter().map(|run| handed_out(&theme, run)).collect();
    call::json(StatusCode::OK, &Claimed { worker, lease, tasks })
}

/// The runs that a body names.
struct Named<T> {
    bodies: Vec<T>,
    runs: Vec<Run>,
    remote: Remote,
}

impl<T: Names + DeserializeOwned> Named<T> {
    async fn of(mut call: Call) -> Result<Self, Problem> {
        call.query.finish()?;
        let bodies: Vec<T> = call.typed::<Runs<T>>()?.checked()?;
        let tokens = tokens(&bodies)?;
        let remote = call.gaia().remote().clone();
        let runs = driven(&remote, |remote| async move { remote.runs(&tokens).await }).await?;
        let forged = runs.iter().enumerate().filter(|(_, run)| matches!(run, Run::Forged));
        let faults: Vec<Fault> = forged.map(|(at, _)| no_token(at)).collect();
        if !faults.is_empty() {
            return Err(Problem::invalid(faults));
        }
        for theme in runs.iter().filter_map(Run::theme) {
            call.caller.needs_theme(theme)?;
        }
        Ok(Self { bodies, runs, remote })
    }

    /// Writes something about the runs, which go on.
    async fn noted<W>(self, write: impl FnOnce(Remote, Vec<Run>, Vec<T>) -> W) -> Result<HttpResponse, Problem>
    where
        W: Future<Output = Result<Vec<RunState>, StoreError>> + Send + 'static,
    {
        let Self { bodies, runs, remote } = self;
        let write = Box::pin(write(remote.clone(), runs.clone(), bodies));
        let states = driven(&remote, |_| write).await?;
        let state = |(run, state): (&Run, RunState)| State {
            id: run.task_id(),
            state: match state {
                RunState::Held => StateName::Held,
                RunState::Cancelled => StateName::Cancelled,
                RunState::Lost => StateName::Lost,
            },
            status: None,
        };
        answer(runs.iter().zip(states).map(state).collect())
    }

    /// Writes the ends of the runs.
    async fn ended(self, end: impl Fn(T) -> End) -> Result<HttpResponse, Problem> {
        let Self { bodies, runs, remote } = self;
        let (named, ends) = (runs.clone(), bodies.into_iter().map(end).collect());
        let ended = driven(&remote, |remote| async move { remote.end(&named, ends).await }).await?;
        let state = |(run, ended): (&Run, Ended)| {
            let (state, status) = match ended {
                Ended::Written(status) => (StateName::Written, Some(status)),
                Ended::Lost => (StateName::Lost, None),
            };
            State {
                id: run.task_id(),
                state,
                status,
            }
        };
        answer(runs.iter().zip(ended).map(state).collect())
    }
}

/// Does the work even if the caller hangs up.
async fn driven<T, W>(remote: &Remote, work: impl FnOnce(Remote) -> W) -> Result<T, Problem>
where
    T: Send + 'static,
    W: Future<Output = Result<T, StoreError>> + Send + 'static,
{
    let done = remote.drive(work).await.ok_or(Error::Stopped)?;
    Ok(done.map_err(Error::from)?)
}

fn answer(runs: Vec<State>) -> Result<HttpResponse, Problem> {
    if runs.iter().all(|run| run.state == StateName::Lost) {
        return Err(Problem::run_lost());
    }
    call::json(StatusCode::OK, &States { runs })
}

fn no_token(at: usize) -> Fault {
    Fault {
        pointer: Some(format!("/runs/{at}/token")),
        ..Fault::of("this is no token of a run; send the text that came with the task, unchanged")
    }
}

fn tokens<T: Names>(bodies: &[T]) -> Result<Vec<RunToken>, Problem> {
    let (mut tokens, mut faults, mut seen) = (Vec::with_capacity(bodies.len()), Vec::new(), HashSet::new());
    for (at, body) in bodies.iter().enumerate() {
        if !seen.insert(body.token()) {
            faults.push(Fault {
                pointer: Some(format!("/runs/{at}/token")),
                ..Fault::of("this run is named twice; name each run once")
            });
        }
        match RunToken::read(body.token()) {
            Some(token) => tokens.push(token),
            None => faults.push(no_token(at)),
        }
    }
    match faults.is_empty() {
        true => Ok(tokens),
        false => Err(Problem::invalid(faults)),
    }
}

pub(super) async fn beat(call: Call) -> Result<HttpResponse, Problem> {
    let named = Named::<Beat>::of(call).await?;
    named.noted(async |remote, runs, _| remote.beat(&runs).await).await
}

pub(super) async fn progress(call: Call) -> Result<HttpResponse, Problem> {
    let named = Named::<Progress>::of(call).await?;
    named
        .noted(|remote, runs, reports| async move {
            let reports = reports.into_iter().map(Progress::report).collect();
            remote.progress(&runs, reports).await
        })
        .await
}

pub(super) async fn log(call: Call) -> Result<HttpResponse, Problem> {
    let named = Named::<Log>::of(call).await?;
    named
        .noted(|remote, runs, logs| async move {
            let lines = logs.into_iter().map(Log::lines).collect();
            remote.log(&runs, lines).await
        })
        .await
}

pub(super) async fn finish(call: Call) -> Result<HttpResponse, Problem> {
    Named::<Finish>::of(call).await?.ended(Finish::end).await
}

pub(super) async fn fail(call: Call) -> Result<HttpResponse, Problem> {
    Named::<Fail>::of(call).await?.ended(Fail::end).await
}

pub(super) async fn snooze(call: Call) -> Result<HttpResponse, Problem> {
    Named::<Snooze>::of(call).await?.ended(Snooze::end).await
}

pub(super) async fn release(call: Call) -> Result<HttpResponse, Problem> {
    Named::<Release>::of(call).await?.ended(Release::end).await
}

pub(super) mod described {
    use super::{AskedClaim, Beat, Claimed, Fail, Finish, Log, Progress, Release, Runs, Snooze, States};
    use crate::web::openapi::Described;

    pub(in crate::web) fn claim() -> Described {
        Described::new()
            .body::<AskedClaim>()
            .answer::<Claimed>(200, "The tasks, which the worker holds now.")
            .refuses(429, &["too_many_workers"])
    }

    fn about() -> Described {
        Described::new()
            .answer::<States>(200, "How the runs stand.")
            .refuses(409, &["run_lost"])
    }

    pub(in crate::web) fn beat() -> Described {
        about().body::<Runs<Beat>>()
    }

    pub(in crate::web) fn progress() -> Described {
        about().body::<Runs<Progress>>()
    }

    pub(in crate::web) fn log() -> Described {
        about().body::<Runs<Log>>()
    }

    pub(in crate::web) fn finish() -> Described {
        about().body::<Runs<Finish>>()
    }

    pub(in crate::web) fn fail() -> Described {
        about().body::<Runs<Fail>>()
    }

    pub(in crate::web) fn snooze() -> Described {
        about().body::<Runs<Snooze>>()
    }

    pub(in crate::web) fn release() -> Described {
        about().body::<Runs<Release>>()
    }
}
