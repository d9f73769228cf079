//! Why a job does not run, or is late.

use chrono::TimeDelta;

use super::finding::{Findings, word};
use crate::{
    api::{Api, Fields},
    commands::{job::id_of, method, node},
    exit::Result,
    output::{View, words},
};

/// A fire that is this late was missed.
const LATE: TimeDelta = TimeDelta::seconds(10);

/// How many jobs, and how many runs, are looked at.
const JOBS: u32 = 200;
const RUNS: u32 = 5;

/// What the nodes say of themselves as runners of jobs.
struct Runners {
    /// Ids of living nodes that run jobs.
    running: Vec<String>,
    /// Environments in which nodes would run jobs, and must not.
    banned: Vec<String>,
    /// Nodes that run jobs, and take none now.
    held: Vec<String>,
}

impl Runners {
    fn of(nodes: &[(String, Fields)]) -> Self {
        let mut runners = Self {
            running: Vec::new(),
            banned: Vec::new(),
            held: Vec::new(),
        };
        for (id, detail) in nodes {
            let Some(jobs) = detail.object("status").and_then(|status| status.object("jobs")) else {
                continue;
            };
            match (jobs.text("banned"), jobs.flag("fenced") || jobs.flag("draining")) {
                (banned, _) if !banned.is_empty() => runners.banned.push(banned),
                (_, true) => runners.held.push(id.clone()),
                (_, false) => runners.running.push(id.clone()),
            }
        }
        runners
    }

    fn look(&self, findings: &mut Findings) {
        for environment in &self.banned {
            findings.wrong(
                format!("a node runs no jobs, since its environment {environment:?} is in Jobs.BanEnvList"),
                "an environment that is not in the list, or another node",
                &["gaia node list"],
            );
        }
        for node in &self.held {
            findings.wrong(
                format!("the node {node} takes no jobs now: it is fenced, or drains"),
                "a node that beats",
                &[&format!("gaia node get {node}")],
            );
        }
        match self.running.len() {
            0 => findings.wrong(
                "no living node runs jobs",
                "a process that was started with jobs on this database",
                &["gaia node list"],
            ),
            count => findings.ok(format!("{} jobs", words::counted(count, "node runs", "nodes run"))),
        }
    }
}

/// All jobs together: those that are bad, and those that are late.
pub async fn look_at_all(api: &Api, findings: &mut Findings, nodes: &[(String, Fields)]) -> Result<()> {
    let jobs = api
        .get(&["jobs"])
        .query("limit", JOBS)
        .send()
        .await?
        .fields()?
        .list("jobs");
    let enabled: Vec<&Fields> = jobs.iter().filter(|job| job.flag("enabled")).collect();
    if enabled.is_empty() {
        return Ok(());
    }
    Runners::of(nodes).look(findings);
    let mut own = Findings::default();
    for job in &enabled {
        is_good(&mut own, job);
        is_in_time(api, &mut own, job);
    }
    match own.all_well() {
        true => findings.ok(format!(
            "{} enabled, none of them bad or late",
            words::counted(enabled.len(), "job is", "jobs are")
        )),
        false => findings.take_wrong(own),
    }
    Ok(())
}

pub async fn look(api: &Api, findings: &mut Findings, job: &str) -> Result<()> {
    let id = id_of(api, job).await?;
    let job = api.get(&["jobs", &id]).send().await?.fields()?;
    let nodes = node::nodes(api).await?;
    let runners = Runners::of(&node::details_of_living(api, &nodes).await?);
    is_enabled(findings, &job);
    is_good(findings, &job);
    runners.look(findings);
    is_served(findings, &job, &nodes, &runners);
    is_in_time(api, findings, &job);
    fires(api, findings, &job);
    of_runs(api, findings, &id, &job).await
}

fn is_enabled(findings: &mut Findings, job: &Fields) {
    let (id, name) = (job.text_of_id(), job.text("job_name"));
    match job.flag("enabled") {
        true => findings.ok(format!("the job {name} is enabled")),
        false => findings.wrong(
            format!("the job {name} is disabled"),
            "a job that is enabled",
            &[&format!("gaia job enable {id}"), "gaia audit list --action job.disable"],
        ),
    }
}

fn is_good(findings: &mut Findings, job: &Fields) {
    let (id, fault) = (job.text_of_id(), job.text("error"));
    if !fault.is_empty() {
        findings.wrong(
            format!("the job {} cannot run: {fault}", job.text("job_name")),
            "a job without faults",
            &[&format!("gaia job edit {id} --help")],
        );
    }
}

fn is_served(findings: &mut Findings, job: &Fields, nodes: &[Fields], runners: &Runners) {
    if !job.text("hook_url").is_empty() {
        return;
    }
    let called = format!("{}.{}", job.text("service_name"), job.text("service_method"));
    let serves = |node: &&Fields| {
        runners.running.contains(&node.text("id"))
            && node.list("methods").iter().any(|info| method::name(info) == called)
    };
    match nodes.iter().find(serves) {
        Some(node) => findings.ok(format!("{called} is served by the node {}", node.text("id"))),
        None => findings.wrong(
            format!("no living node that runs jobs serves {called}"),
            "a node that runs jobs and has registered this method, spelt the same",
            &["gaia method list"],
        ),
    }
}

fn is_in_time(api: &Api, findings: &mut Findings, job: &Fields) {
    let next = job.time("next_run_time").filter(|_| job.flag("enabled"));
    if let Some(next) = next.filter(|next| api.now() - *next > LATE) {
        findings.wrong(
            format!(
                "the job {} was due {} and has not run",
                job.text("job_name"),
                words::ago(next, api.now())
            ),
            "a run within 10 s of each fire",
            &[&format!("gaia check --job {}", job.text_of_id()), "gaia node list"],
        );
    }
}

fn fires(api: &Api, findings: &mut Findings, job: &Fields) {
    let view = View {
        now: api.now(),
        is_wide: false,
    };
    let next: Vec<chrono::DateTime<chrono::Utc>> = job.get("next_fires").unwrap_or_default();
    let means = job.text("description");
    let zone = match job.text("time_zone").as_str() {
        "" => String::new(),
        zone => format!(" --zone {}", word(zone)),
    };
    let explain = format!("gaia schedule explain {}{zone}", word(&job.text("cron_expr")));
    match next.first() {
        Some(fire) => findings.note(
            format!("{means}; it fires next at {}", words::both(*fire, &view)),
            &[&explain],
        ),
        None => findings.wrong(
            format!("the schedule {} never fires again", job.text("cron_expr")),
            "a schedule with a next fire",
            &[&explain],
        ),
    }
}

/// Runs that are under way, were skipped, began late or failed.
async fn of_runs(api: &Api, findings: &mut Findings, id: &str, job: &Fields) -> Result<()> {
    let open = api
        .get(&["jobs", id, "runs"])
        .query("state", "open")
        .query("limit", RUNS)
        .send()
        .await?
        .fields()?
        .list("runs");
    for run in &open {
        let began = run
            .time("started_at")
            .map(|began| words::ago(began, api.now()))
            .unwrap_or_default();
        let policy = match job.text("overlap_policy").as_str() {
            "forbid" => "; fires are skipped until it has ended",
            "delay" => "; fires wait until it has ended",
            _ => "",
        };
        findings.note(
            format!("the run {} goes on since {began}{policy}", run.text_of_id()),
            &[&format!("gaia job run-log {} --follow", run.text_of_id())],
        );
    }
    let ended = api
        .get(&["jobs", id, "runs"])
        .query("state", "ended")
        .query("limit", RUNS)
        .send()
        .await?
        .fields()?
        .list("runs");
    let Some(last) = ended.first() else {
        findings.note("the job has not run yet", &[]);
        return Ok(());
    };
    of_last_run(findings, last);
    let late = |run: &&Fields| match (run.time("scheduled_at"), run.time("started_at")) {
        (Some(scheduled), Some(started)) => started - scheduled > LATE,
        _ => false,
    };
    if let Some(run) = ended.iter().find(late) {
        findings.note(
            format!(
                "the run {} began {} after its fire: no node took it in time (a misfire)",
                run.text_of_id(),
                crate::commands::job::late(run)
            ),
            &["gaia node list", "gaia alert list"],
        );
    }
    Ok(())
}

fn of_last_run(findings: &mut Findings, run: &Fields) {
    let (id, error) = (run.text_of_id(), run.text("run_err"));
    match run.text("job_result_flag").as_str() {
        "failed" => findings.wrong(
            format!("the last run {id} has failed: {error}"),
            "a run that succeeds",
            &[&format!("gaia job run-log {id}"), &format!("gaia job run-get {id}")],
        ),
        "skipped" => findings.note(
            format!("the last fire was skipped (run {id}): {error}"),
            &[&format!("gaia job run-get {id}")],
        ),
        flag => findings.ok(format!("the last run {id} has ended as {flag}")),
    }
}
