//! Plain SQL writes random values into random columns while a node works. What the node was asked for in order is done all the
//! same, once.
//!
//! A failure shows its seed; `GAIA_FUZZ_SEED=… cargo test --test suite fuzz` writes the same statements again.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use fastrand::Rng;
use gaia_actors::{
    RunFlag, async_fn,
    messages::{ListJobs, ListTasks},
    prelude::*,
};

use crate::{
    columns::{Holds, JOBS, NODES, RECORDS, RUNS, TASKS, Table, odd_values},
    lines::{lines, listen},
    support::{Database, Kind, PATIENCE, THEME, ended, eventually, options, task},
};

const ROUNDS: u64 = 8;

/// Good tasks of a round, half of which may run only once.
const GOOD: u64 = 20;

/// Statements of a round.
const STATEMENTS: usize = 40;

/// Texts that mean something in some column, or are wrong in an interesting way. Where a text is taken for plain SQL, `{node}` is
/// the node that works.
const TEXTS: &[&str] = &[
    "'Wait'",
    "'Retry'",
    "'Running'",
    "'running'",
    "'Success '",
    "'WAIT'",
    "'Sleeping'",
    "'success'",
    "'cron_job'",
    "'cron_hook'",
    "'CRON_JOB'",
    "'http://127.0.0.1:9/'",
    "'replace'",
    "'forbid'",
    "'skip'",
    "'0 0 30 2 *'",
    "'@every 1s'",
    "'Mars/Olympus'",
    "'demo'",
    "'gone'",
    "'{node}'",
    "'{\"a\":'",
    "'[{\"service\":1}]'",
    "'one\ntwo'",
    "'one\r\n2026-11-27T08:00:00Z ERROR forged'",
];

/// Rows that would be good without the odd values.
const GOOD_ROWS: &[(Table, &[(&str, &str)])] = &[
    (
        TASKS,
        &[
            ("service_name", "'Demo'"),
            ("method_name", "'Odd'"),
            ("task_name", "'odd'"),
            ("system_name", "'demo'"),
        ],
    ),
    (RECORDS, &[("task_id", "1")]),
    (
        JOBS,
        &[
            ("job_name", "'odd'"),
            ("job_type", "'cron_job'"),
            ("cron_expr", "'* * * * * *'"),
            ("service_name", "'Demo'"),
            ("service_method", "'Odd'"),
        ],
    ),
    (
        RUNS,
        &[
            ("job_name", "'odd'"),
            ("job_type", "'cron_job'"),
            ("cron_expr", "'* * * * * *'"),
            ("job_id", "2"),
        ],
    ),
    (
        NODES,
        &[
            ("id", "'other {n}'"),
            ("host", "'h'"),
            ("pid", "1"),
            ("version", "'0'"),
            ("started_at", "'2026-01-01 00:00:00'"),
            ("heartbeat", "'2026-01-01 00:00:00'"),
            ("beat", "7"),
            ("lease_ms", "1000"),
            ("protocol", "3"),
            ("themes", "'[]'"),
        ],
    ),
];

struct Fuzz {
    random: Rng,
    kind: Kind,
    node: String,
    /// The job that nothing is to touch.
    good_job: i64,
    rows: usize,
}

impl Fuzz {
    fn value(&mut self, mut holds: Holds) -> String {
        if self.takes_anything() && self.random.u8(..10) == 0 {
            holds = [Holds::Text, Holds::Int, Holds::Time][self.random.usize(..3)];
        }
        if matches!(holds, Holds::Key) || self.random.bool() {
            let values = odd_values(self.kind, holds);
            return values[self.random.usize(..values.len())].to_owned();
        }
        match holds {
            Holds::Text => self.text(),
            Holds::Int | Holds::Key => self.random.i32(..).to_string(),
            // Of any length.
            Holds::BigInt => (self.random.i64(..) >> self.random.u32(..64)).to_string(),
            Holds::Time => self.time(),
        }
    }

    fn takes_anything(&self) -> bool {
        match self.kind {
            #[cfg(feature = "sqlite")]
            Kind::Sqlite => true,
            #[cfg(any(feature = "postgres", feature = "mysql"))]
            _ => false,
        }
    }

    fn text(&mut self) -> String {
        match self.random.u8(..20) {
            0 => match self.kind {
                #[cfg(feature = "sqlite")]
                Kind::Sqlite => "printf('%.*c', 1000000, 'x')".to_owned(),
                #[cfg(any(feature = "postgres", feature = "mysql"))]
                _ => "REPEAT('x', 1000000)".to_owned(),
            },
            1..5 => {
                let letters = self.random.usize(..12);
                let text: String = (0..letters).map(|_| self.random.char('\u{1}'..='\u{2fff}')).collect();
                format!("'{}'", text.replace('\'', "''").replace('\\', "/"))
            }
            _ => TEXTS[self.random.usize(..TEXTS.len())].replace("{node}", &self.node),
        }
    }

    /// Also times that are none.
    fn time(&mut self) -> String {
        let random = &mut self.random;
        let year = match random.u8(..3) {
            0 => random.u32(..10_000),
            _ => 2026,
        };
        let (month, day, hour) = (random.u8(..14), random.u8(..33), random.u8(..26));
        format!("'{year:04}-{month:02}-{day:02} {hour:02}:00:00'")
    }

    fn odd_columns(&mut self, table: Table, most: usize) -> BTreeMap<&'static str, String> {
        let count = self.random.usize(1..=most);
        let columns = table.columns;
        (0..count)
            .map(|_| {
                let (name, holds) = columns[self.random.usize(..columns.len())];
                (name, self.value(holds))
            })
            .collect()
    }

    fn statement(&mut self) -> String {
        let (table, good) = GOOD_ROWS[self.random.usize(..GOOD_ROWS.len())];
        match self.random.bool() {
            true => self.insert(table, good),
            false => self.update(table),
        }
    }

    fn insert(&mut self, table: Table, good: &[(&'static str, &str)]) -> String {
        self.rows += 1;
        let number = self.rows.to_string();
        let mut row: BTreeMap<_, _> = good
            .iter()
            .map(|(name, value)| (*name, value.replace("{n}", &number)))
            .collect();
        row.extend(self.odd_columns(table, 4));
        let (names, values): (Vec<&str>, Vec<String>) = row.into_iter().unzip();
        let (names, values) = (names.join(", "), values.join(", "));
        format!("INSERT INTO {} ({names}) VALUES ({values})", table.name)
    }

    /// Changes some rows, but none that is to stay good.
    fn update(&mut self, table: Table) -> String {
        let odd = self.odd_columns(table, 2);
        let changes: Vec<String> = odd
            .into_iter()
            .filter(|(name, _)| *name != "id")
            .map(|(name, value)| format!("{name} = {value}"))
            .collect();
        let (part, good_job) = (self.random.u8(..7), self.good_job);
        let others = match table.name {
            "asynctasks" => format!("task_name <> 'good' AND id % 7 = {part}"),
            "job_center" => format!("id <> {good_job} AND id % 7 = {part}"),
            "job_record" => format!("job_id <> {good_job} AND id % 7 = {part}"),
            "gaia_nodes" => format!("id <> '{}' AND id LIKE '%{part}'", self.node),
            _ => format!("id % 7 = {part}"),
        };
        match changes.is_empty() {
            true => format!("DELETE FROM {} WHERE {others}", table.name),
            false => format!("UPDATE {} SET {} WHERE {others}", table.name, changes.join(", ")),
        }
    }
}

/// How often each good task was run.
type Calls = Arc<Mutex<BTreeMap<u64, u32>>>;

async fn node(database: &Database, calls: &Calls) -> Gaia {
    let calls = Arc::clone(calls);
    let good = async_fn(async move |_, number: u64| {
        *calls.lock().expect("is sound").entry(number).or_default() += 1;
        Ok(())
    });
    database
        .builder()
        .lease(Duration::from_secs(2))
        .handler("Demo", "Good", good)
        .handler("Demo", "Odd", async_fn(async |_, args: serde_json::Value| Ok(args)))
        .scheduler(options())
        .jobs(JobsOptions::default())
        .start()
        .await
        .expect("starts")
}

/// An answer, or an error that says what is wrong with the row. None that the database has given to a statement of ours.
fn answered<T>(what: &str, id: i64, answer: Result<T, Error>) -> Option<T> {
    answer
        .map_err(|error| assert!(!matches!(error, Error::Store(_)), "{what} of {id}: {error}"))
        .ok()
}

/// People look at everything, and do something about some of it.
async fn people(gaia: &Gaia, demo: &Scheduler, good_job: i64, random: &mut Rng) {
    let page = PageRequest::new(1, 1_000);
    let list = ListTasks {
        page,
        ..ListTasks::default()
    };
    let tasks = demo.list_tasks(list).await.expect("lists").items;
    for task in tasks.iter().filter(|task| task.name != "good") {
        match random.u8(..8) {
            0 => drop(answered("the detail", task.id, demo.get_task_detail(task.id).await)),
            1 => {
                let records = demo.get_task_exec_records(task.id, page).await;
                answered("the records", task.id, records);
            }
            2 => drop(answered("a retry", task.id, demo.retry_task(task.id).await)),
            3 => drop(answered("a cancel", task.id, demo.cancel_task(task.id).await)),
            _ => {}
        }
    }
    demo.count_by_status().await.expect("counts");
    let jobs = gaia.jobs();
    let list = ListJobs {
        page,
        ..ListJobs::default()
    };
    let odd = jobs.list_jobs(list).await.expect("lists").items;
    for job in odd.iter().filter(|job| job.id != good_job) {
        match random.u8(..8) {
            0 => drop(answered("the detail", job.id, jobs.get_job_detail(job.id).await)),
            1 => drop(answered("the runs", job.id, jobs.get_job_records(job.id, page).await)),
            2 => drop(answered("a run", job.id, jobs.execute_job_immediately(job.id).await)),
            3 => drop(answered("a cancel", job.id, jobs.cancel_job(job.id).await)),
            4 => drop(answered(
                "a switch",
                job.id,
                jobs.toggle_job(job.id, random.bool()).await,
            )),
            _ => {}
        }
    }
    jobs.get_running_jobs().await.expect("lists");
    gaia.nodes().await.expect("lists");
}

async fn fires_of(jobs: &Jobs, good_job: i64) -> usize {
    let runs = jobs.get_job_records(good_job, PageRequest::new(1, 1_000)).await;
    let runs = runs.expect("lists").items;
    let good = runs
        .iter()
        .filter(|run| run.job_result_flag.as_deref() == Some(RunFlag::Success.as_str()));
    good.count()
}

#[actix_rt::test]
async fn whatever_plain_sql_writes_into_the_tables_good_tasks_and_jobs_go_on() {
    let seed =
        std::env::var("GAIA_FUZZ_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().expect("a number"));
    eprintln!("GAIA_FUZZ_SEED={seed}");
    listen();
    let database = Database::fresh();
    let calls = Calls::default();
    let gaia = node(&database, &calls).await;
    let (demo, jobs) = (gaia.scheduler(THEME).expect("is a theme"), gaia.jobs());
    // Runs that plain SQL makes up are in nobody's way.
    let job = NewJob::cron_job("good", "* * * * * *", "Demo", "Odd").overlap(OverlapPolicy::Allow);
    let good_job = jobs.add_job(job).await.expect("is added");
    let mut fuzz = Fuzz {
        random: Rng::with_seed(seed),
        kind: database.kind(),
        node: gaia.node_id().to_owned(),
        good_job,
        rows: 0,
    };
    let (mut added, mut taken) = (Vec::new(), 0);
    for round in 0..ROUNDS {
        let good = (0..GOOD).map(|at| {
            let task = task("Good").name("good").args(&(round * GOOD + at));
            task.max_retry(if at % 2 == 0 { 0 } else { 3 })
        });
        added.extend(demo.add_tasks(good.collect()).await.expect("are added"));
        let statements: Vec<_> = (0..STATEMENTS).map(|_| fuzz.statement()).collect();
        taken += database.write_odd(&statements);
        people(&gaia, &demo, good_job, &mut fuzz.random).await;
    }
    assert!(taken > STATEMENTS, "the database took only {taken} statements");
    for task in &added {
        let task = ended(&demo, task.id).await;
        assert_eq!(task.status, TaskStatus::Success, "{:?}", task.last_error);
    }
    let calls = calls.lock().expect("is sound").clone();
    assert_eq!(calls, (0..ROUNDS * GOOD).map(|number| (number, 1)).collect());
    let fires = fires_of(&jobs, good_job).await;
    eventually("two fires more", async || {
        (fires_of(&jobs, good_job).await >= fires + 2).then_some(())
    })
    .await;
    // But for those of nodes whose odd rows say that they live.
    let unknown = "SELECT COUNT(*) FROM asynctasks WHERE task_status = 'Running' AND lease_owner IS NOT NULL \
         AND lease_owner NOT IN (SELECT id FROM gaia_nodes WHERE id <> '{node}')";
    let unknown = unknown.replace("{node}", &fuzz.node);
    eventually("the end of what nobody runs", async || {
        (database.number(&unknown) == 0).then_some(())
    })
    .await;
    tokio::time::timeout(PATIENCE / 2, gaia.stop())
        .await
        .expect("ends within 24 s")
        .expect("stops");
    assert_eq!(lines(&["\n"]), []);
}
