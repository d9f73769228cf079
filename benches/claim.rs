//! What a claim and a finish cost beside a long history, and what a theme costs that has nothing to do.
//!
//! ```sh
//! cargo bench --bench claim --all-features -- [--database sqlite postgres://… mysql://…] [--explain]
//!     [--finished 1000000] [--scheduled 1000000] [--unserved 1000000] [--running 100000] [--waiting 1000000]
//!     [--others 100000] [--batch 100] [--rounds 30] [--idle-seconds 30] [--settle-seconds 75]
//! ```
//!
//! For each database there are two sides. The empty side has 10,000 tasks that wait, in ten priorities, and nothing else. The full side
//! has all that a long life leaves as well. The sides take turns, so that what else the machine does hits both alike. Without `--database` it is SQLite, and the servers of
//! `GAIA_BENCH_POSTGRES_URL` and `GAIA_BENCH_MYSQL_URL`. The user of a server's URL must be allowed to create databases: each
//! side is one of its own, dropped at the end.
//!
//! `statistics=stale`: the planner knows a small table in which every row is due (SQLite: knows nothing). `statistics=fresh`:
//! it knows the table as it is, which PostgreSQL and InnoDB see to by themselves after a while, and SQLite when somebody runs
//! ANALYZE.

#[path = "common/database.rs"]
mod database;
#[path = "common/rows.rs"]
#[allow(dead_code, reason = "other benchmarks need the rest")]
mod rows;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use chrono::{TimeDelta, Utc};
use clap::Parser;
use database::{Home, Kind, Plain, Result, databases_of_this_build};
use diesel::connection::{InstrumentationEvent, set_default_instrumentation};
use gaia_actors::{
    Clock, Outcome,
    prelude::*,
    store::{Claim, Store, Wanted},
};

const THEME: &str = "bench";
/// Has a history, and nothing that waits.
const QUIET: &str = "quiet";
const NODE: &str = "bench-node";
/// The method that the node serves, and one that it lacks.
const SERVED: &str = "Noop";
const UNSERVED: &str = "Other";
/// At least so many tasks are due to begin with.
const DUE: usize = 10_000;
/// Tasks of one call that adds or claims many.
const BULK: usize = 1_000;

#[derive(Parser)]
struct Options {
    /// `sqlite`, `sqlite:FOLDER`, or URLs of servers.
    #[arg(long, num_args = 1..)]
    database: Vec<String>,
    /// Finished tasks, each with its execution record.
    #[arg(long, default_value_t = 1_000_000)]
    finished: usize,
    /// Tasks that are due tomorrow or later.
    #[arg(long, default_value_t = 1_000_000)]
    scheduled: usize,
    /// Due tasks of the same theme, of a method that the claim does not want, with the highest priority.
    #[arg(long, default_value_t = 1_000_000)]
    unserved: usize,
    /// Tasks of the same node that have run for long.
    #[arg(long, default_value_t = 100_000)]
    running: usize,
    /// Due tasks that the claim wants, in ten priorities. The empty side has 10,000.
    #[arg(long, default_value_t = 1_000_000)]
    waiting: usize,
    /// Due tasks of 50 other themes.
    #[arg(long, default_value_t = 100_000)]
    others: usize,
    /// Tasks of one claim.
    #[arg(long, default_value_t = 100)]
    batch: usize,
    /// Turns of each side.
    #[arg(long, default_value_t = 30)]
    rounds: usize,
    /// How long the statements of an idle node are counted; 0: not at all.
    #[arg(long, default_value_t = 30)]
    idle_seconds: u64,
    /// How long a node has been idle before they are counted: in its first minute a process looks more often for work, and for room for
    /// others on the server.
    #[arg(long, default_value_t = 75)]
    settle_seconds: u64,
    /// Print the plans of a claim's statements, on both sides.
    #[arg(long)]
    explain: bool,
    /// Passed by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

/// One database, its store, and a connection for plain SQL.
struct Side {
    kind: Kind,
    url: String,
    store: Store,
    plain: Plain,
    figures: Figures,
}

/// How long each call took.
#[derive(Default)]
struct Figures {
    claim: Vec<Duration>,
    finish: Vec<Duration>,
    nothing: Vec<Duration>,
}

#[actix_rt::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    set_default_instrumentation(|| Some(Box::new(|event: InstrumentationEvent<'_>| note(&event))))?;
    let databases = match options.database.is_empty() {
        true => databases_of_this_build(),
        false => options.database.clone(),
    };
    for database in databases {
        let names = ["empty", "full", "idle"].map(database::name);
        let home = Home::new(&database)?;
        let measured = measure(&home, &names, &options).await;
        home.remove(&names).await?;
        measured?;
    }
    Ok(())
}

async fn measure(home: &Home, names: &[String; 3], options: &Options) -> Result<()> {
    let [mut empty, mut full] = [side(home, &names[0]).await?, side(home, &names[1]).await?];
    let version = full.plain.lines(home.kind.version()).await?.join(" ");
    println!("filling backend={} version={version:?}", home.kind.name());
    for side in [&mut empty, &mut full] {
        side.freeze_statistics(options).await?;
    }
    full.load_history(options).await?;
    // Last, as in real life: a scan of the table meets the history first.
    empty.load_due(options.least()).await?;
    full.load_due(options.least().max(options.waiting)).await?;
    println!("filled  backend={} {}", home.kind.name(), full.sizes().await?);

    compare("stale", &mut empty, &mut full, options).await?;
    for side in [&mut empty, &mut full] {
        side.refresh_statistics().await?;
    }
    compare("fresh", &mut empty, &mut full, options).await?;
    if options.idle_seconds > 0 {
        full.idle("full", options).await?;
        let mut alone = side(home, &names[2]).await?;
        alone.plain.run("DELETE FROM gaia_nodes").await?;
        alone.idle("idle", options).await?;
    }
    Ok(())
}

// ---- claims and finishes ----

async fn compare(statistics: &str, empty: &mut Side, full: &mut Side, options: &Options) -> Result<()> {
    for side in [&mut *empty, &mut *full] {
        side.figures = Figures::default();
    }
    for _ in 0..options.rounds {
        empty.turn(options).await?;
        full.turn(options).await?;
    }
    let backend = full.kind.name();
    let line = |what: &str, empty: &[Duration], full: &[Duration]| {
        let [least, most] = [empty, full].map(|took| millis(took, 0.5));
        println!(
            "{what:7} backend={backend} statistics={statistics} batch={} rounds={} empty={least:.2}ms full={most:.2}ms \
             ratio={:.2} (p90 empty={:.2}ms full={:.2}ms, max empty={:.2}ms full={:.2}ms)",
            options.batch,
            options.rounds,
            most / least,
            millis(empty, 0.9),
            millis(full, 0.9),
            millis(empty, 1.0),
            millis(full, 1.0),
        );
    };
    line("claim", &empty.figures.claim, &full.figures.claim);
    line("finish", &empty.figures.finish, &full.figures.finish);
    line("nothing", &empty.figures.nothing, &full.figures.nothing);
    if options.explain {
        empty.explain("empty", statistics, options).await?;
        full.explain("full", statistics, options).await?;
    }
    Ok(())
}

impl Side {
    /// A full claim, its finish, and a claim that finds nothing.
    async fn turn(&mut self, options: &Options) -> Result<()> {
        let began = Instant::now();
        let tasks = self.store.tasks().claim(claim(THEME, options.batch)).await?.tasks;
        self.figures.claim.push(began.elapsed());
        if tasks.len() != options.batch {
            return Err(format!("{} tasks instead of {} were claimed", tasks.len(), options.batch).into());
        }

        let ends = tasks.into_iter().map(|task| (task, Outcome::Succeeded(Json::null())));
        let began = Instant::now();
        let ended = self
            .store
            .tasks()
            .record(ends.collect(), RetryPolicy::default())
            .await?;
        self.figures.finish.push(began.elapsed());
        if ended.iter().any(|status| *status != Some(TaskStatus::Success)) {
            return Err("a finish was not written".into());
        }

        let began = Instant::now();
        let nothing = self.store.tasks().claim(claim(QUIET, options.batch)).await?.tasks;
        self.figures.nothing.push(began.elapsed());
        match nothing.is_empty() {
            true => Ok(()),
            false => Err("the quiet theme has tasks".into()),
        }
    }
}

fn claim(theme: &str, limit: usize) -> Claim {
    let served = Wanted {
        service: "Bench".to_owned(),
        method: SERVED.to_owned(),
        most: limit,
        at_most: None,
    };
    Claim {
        theme: theme.to_owned(),
        node: NODE.to_owned(),
        limit,
        first: Vec::new(),
        methods: Some(Arc::from([served])),
        above: None,
    }
}

fn millis(took: &[Duration], quantile: f64) -> f64 {
    let mut sorted = took.to_vec();
    sorted.sort_unstable();
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "rounds are few"
    )]
    let at = (sorted.len() as f64 * quantile) as usize;
    sorted
        .get(at.min(sorted.len().saturating_sub(1)))
        .map_or(f64::NAN, |took| took.as_secs_f64() * 1_000.0)
}

// ---- rows ----

impl Options {
    /// Enough due tasks for both measurements and their plans.
    fn least(&self) -> usize {
        DUE.max(2 * (self.rounds + 2) * self.batch)
    }
}

/// A task that waits, by its number.
fn task(method: &str, number: usize) -> NewTask {
    let priority = i32::try_from(number % 10).unwrap_or(0);
    let args = serde_json::json!({"item": "tea", "amount": number});
    NewTask::new("Bench", method).args(&args).priority(priority)
}

impl Side {
    async fn load_due(&mut self, count: usize) -> Result<()> {
        self.add(THEME, count, |number| task(SERVED, number)).await
    }

    async fn load_history(&mut self, options: &Options) -> Result<()> {
        // A quarter of them is the quiet theme's.
        let theme = format!("CASE WHEN n % 4 = 0 THEN '{QUIET}' ELSE '{THEME}' END");
        rows::add_finished(&mut self.plain, self.kind, &theme, options.finished).await?;
        // Nobody's time comes while we measure. Half of them belong to the theme that has nothing to do now.
        let tomorrow = Utc::now() + TimeDelta::days(1);
        for theme in [QUIET, THEME] {
            let later = |number| {
                let seconds = i64::try_from(number).unwrap_or(i64::MAX);
                task(SERVED, number).run_at(tomorrow + TimeDelta::seconds(seconds))
            };
            self.add(theme, options.scheduled / 2, later).await?;
        }
        for other in 0..50 {
            let theme = format!("other-{other}");
            self.add(&theme, options.others / 50, |number| task(SERVED, number))
                .await?;
        }
        self.load_running(options.running).await?;
        let urgent = |number| task(UNSERVED, number).priority(100);
        self.add(THEME, options.unserved, urgent).await
    }

    /// Claims tasks, and has their rows say that they run, as after the first moment of a long run.
    async fn load_running(&mut self, count: usize) -> Result<()> {
        self.add(THEME, count, |number| task(SERVED, number)).await?;
        let mut left = count;
        while left > 0 {
            let claimed = self.store.tasks().claim(claim(THEME, BULK.min(left))).await?.tasks;
            let Some(task) = claimed.first() else {
                return Err(format!("{left} tasks could not be claimed").into());
            };
            let ids: Vec<String> = claimed.iter().map(|task| task.id.to_string()).collect();
            let mark = task.log_id.rsplit_once('-').map_or("", |(mark, _)| mark);
            let (token, ids) = (task.token, ids.join(","));
            let shown = format!(
                "UPDATE asynctasks SET task_status = 'Running', queued = 2, lease_owner = '{NODE}', lease_token = {token}, \
                 log_id = CONCAT('{mark}-', id) WHERE id IN ({ids})"
            );
            self.plain.run(&shown).await?;
            left -= claimed.len();
        }
        Ok(())
    }

    /// Tasks of a theme, added by the crate.
    async fn add(&mut self, theme: &str, count: usize, task: impl Fn(usize) -> NewTask) -> Result<()> {
        let gaia = Gaia::builder().database(self.url.clone()).start().await?;
        let scheduler = gaia.scheduler(theme)?;
        for from in (0..count).step_by(BULK) {
            let tasks = (from..count.min(from + BULK)).map(&task);
            scheduler.add_tasks(tasks.collect()).await?;
        }
        gaia.stop().await?;
        Ok(())
    }

    async fn sizes(&mut self) -> Result<String> {
        let sizes = "SELECT CONCAT('finished=', SUM(CASE WHEN task_status IN ('Success', 'Failed') THEN 1 ELSE 0 END), \
                       ' scheduled=', SUM(CASE WHEN task_status = 'Wait' AND run_at IS NOT NULL THEN 1 ELSE 0 END), \
                       ' others=', SUM(CASE WHEN system_name LIKE 'other-%' THEN 1 ELSE 0 END), \
                       ' unserved=', SUM(CASE WHEN method_name = 'Other' THEN 1 ELSE 0 END), \
                       ' running=', SUM(CASE WHEN task_status = 'Running' THEN 1 ELSE 0 END), \
                       ' waiting=', SUM(CASE WHEN system_name = 'bench' AND method_name = 'Noop' AND task_status = 'Wait' AND run_at IS NULL \
                         THEN 1 ELSE 0 END)) AS line FROM asynctasks";
        Ok(self.plain.lines(sizes).await?.join(" "))
    }
}

// ---- statistics and plans ----

impl Side {
    /// What the planner knows is a table in which every row is due, and so it stays until
    /// [`refresh_statistics`](Self::refresh_statistics).
    async fn freeze_statistics(&mut self, options: &Options) -> Result<()> {
        self.load_due(options.least()).await?;
        let statements: &[&str] = match self.kind {
            Kind::Sqlite => &["DELETE FROM asynctasks", "DELETE FROM gaia_due"],
            Kind::Postgres => &[
                "ALTER TABLE asynctasks SET (autovacuum_enabled = false)",
                "ANALYZE asynctasks",
                "DELETE FROM asynctasks",
                "DELETE FROM gaia_due",
                "VACUUM asynctasks",
            ],
            Kind::Mysql => &[
                "ALTER TABLE asynctasks STATS_AUTO_RECALC = 0",
                "ANALYZE TABLE asynctasks",
                "DELETE FROM asynctasks",
                "DELETE FROM gaia_due",
            ],
        };
        self.run_all(statements).await
    }

    /// Does what the server would do by itself (autovacuum, InnoDB's recalculation) at a moment of its choice. SQLite never
    /// does; its users may.
    async fn refresh_statistics(&mut self) -> Result<()> {
        let statements: &[&str] = match self.kind {
            Kind::Sqlite => &["ANALYZE"],
            Kind::Postgres => &[
                "ALTER TABLE asynctasks RESET (autovacuum_enabled)",
                "VACUUM (ANALYZE) asynctasks",
            ],
            Kind::Mysql => &[
                "ALTER TABLE asynctasks STATS_AUTO_RECALC = DEFAULT",
                "ANALYZE TABLE asynctasks",
            ],
        };
        self.run_all(statements).await
    }

    async fn run_all(&mut self, statements: &[&str]) -> Result<()> {
        for statement in statements {
            self.plain.run(statement).await?;
        }
        Ok(())
    }

    /// Looks at what the store really sends, so that no copy of its statements can grow old here.
    async fn explain(&mut self, side: &str, statistics: &str, options: &Options) -> Result<()> {
        listen();
        let claimed = self.store.tasks().claim(claim(THEME, options.batch)).await;
        let statements = listened();
        let tasks = claimed?.tasks;
        let label = format!(
            "plan    backend={} side={side} statistics={statistics}",
            self.kind.name()
        );
        let verbs = statements.iter().filter_map(|sql| sql.split_whitespace().next());
        println!("{label} sent={}", verbs.collect::<Vec<_>>().join(","));
        for statement in statements {
            let (sql, binds) = statement.split_once(" -- binds: ").unwrap_or((&statement, "[]"));
            if !["SELECT", "WITH", "UPDATE"].iter().any(|verb| sql.starts_with(verb)) {
                continue;
            }
            println!("{label} statement={:?}", squeeze(sql));
            let explain = self.kind.explain(self.plain.is_mariadb(self.kind).await?);
            self.plain.run("BEGIN").await?;
            let explained = format!("{explain} {}", self.kind.filled_in(sql, binds));
            let plan = self.plain.lines(&explained).await;
            self.plain.run("ROLLBACK").await?;
            for line in plan?.iter().flat_map(|text| text.lines()) {
                println!("    {line}");
            }
        }
        let ends = tasks.into_iter().map(|task| (task, Outcome::Succeeded(Json::null())));
        self.store
            .tasks()
            .record(ends.collect(), RetryPolicy::default())
            .await?;
        Ok(())
    }
}

impl Kind {
    fn explain(self, is_mariadb: bool) -> &'static str {
        match self {
            Self::Sqlite => "EXPLAIN QUERY PLAN",
            Self::Postgres => "EXPLAIN (ANALYZE, BUFFERS)",
            Self::Mysql if is_mariadb => "ANALYZE FORMAT=JSON",
            Self::Mysql => "EXPLAIN FORMAT=JSON",
        }
    }

    /// The statement with its values in place of the placeholders, which SQLite's plans do without.
    fn filled_in(self, sql: &str, binds: &str) -> String {
        let values = literals(binds).into_iter().enumerate();
        match self {
            Self::Sqlite => sql.to_owned(),
            Self::Postgres => values.rev().fold(sql.to_owned(), |sql, (at, value)| {
                sql.replace(&format!("${}", at + 1), &value)
            }),
            Self::Mysql => values.fold(sql.to_owned(), |sql, (_, value)| sql.replacen('?', &value, 1)),
        }
    }
}

/// Reads `["text", 2026-01-01T00:00:00, 100]`, as diesel shows values. Ours hold no quotation marks.
fn literals(binds: &str) -> Vec<String> {
    let mut literals = Vec::new();
    let inner = binds.strip_prefix('[').and_then(|binds| binds.strip_suffix(']'));
    for (at, part) in inner.unwrap_or(binds).split('"').enumerate() {
        if at % 2 == 1 {
            literals.push(format!("'{part}'"));
            continue;
        }
        let values = part.split(',').map(str::trim).filter(|value| !value.is_empty());
        literals.extend(values.map(|value| match value.parse::<i64>() {
            Ok(_) => value.to_owned(),
            Err(_) => format!("'{value}'"),
        }));
    }
    literals
}

// ---- an idle node ----

impl Side {
    /// Counts what a node sends whose one theme has nothing to do: while in other themes tasks wait and run, or while nothing does.
    async fn idle(&mut self, side: &str, options: &Options) -> Result<()> {
        let gaia = Gaia::builder()
            .database(self.url.clone())
            .scheduler(SchedulerOptions::new(QUIET))
            .start()
            .await?;
        actix_rt::time::sleep(Duration::from_secs(options.settle_seconds)).await;
        let before = self.server_count().await?;
        listen();
        actix_rt::time::sleep(Duration::from_secs(options.idle_seconds)).await;
        let statements = listened();
        let after = self.server_count().await?;
        gaia.stop().await?;

        let backend = self.kind.name();
        println!(
            "idle    backend={backend} side={side} themes=1 nodes=1 seconds={} statements={} per_second={:.2} server_counted={}",
            options.idle_seconds,
            statements.len(),
            per_second(statements.len(), options),
            after - before,
        );
        let mut kinds = BTreeMap::<String, usize>::new();
        for statement in &statements {
            let sql = statement.split(" -- binds: ").next().unwrap_or_default();
            *kinds.entry(squeeze(sql)).or_default() += 1;
        }
        for (sql, count) in kinds {
            println!(
                "idle    backend={backend} side={side} count={count} per_second={:.2} statement={sql:?}",
                per_second(count, options)
            );
        }
        Ok(())
    }

    /// What the server has counted so far: statements on MySQL, transactions on PostgreSQL, anybody's. Nothing on SQLite.
    async fn server_count(&mut self) -> Result<i64> {
        let count = match self.kind {
            Kind::Sqlite => return Ok(0),
            Kind::Postgres => {
                "SELECT CAST(xact_commit + xact_rollback AS TEXT) AS line FROM pg_stat_database \
                 WHERE datname = current_database()"
            }
            Kind::Mysql => "SHOW GLOBAL STATUS LIKE 'Questions'",
        };
        let line = self.plain.lines(count).await?;
        Ok(line.join("").parse()?)
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn per_second(count: usize, options: &Options) -> f64 {
    count as f64 / options.idle_seconds as f64
}

/// A statement on one line that is not too long.
fn squeeze(sql: &str) -> String {
    let words: Vec<&str> = sql.split_whitespace().collect();
    let line = words.join(" ").replace(['"', '`'], "");
    match line.char_indices().nth(150) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// The statements that this process sends, while somebody wants to know.
static SENT: Mutex<Option<Vec<String>>> = Mutex::new(None);

fn sent() -> MutexGuard<'static, Option<Vec<String>>> {
    SENT.lock().unwrap_or_else(PoisonError::into_inner)
}

fn listen() {
    *sent() = Some(Vec::new());
}

fn listened() -> Vec<String> {
    sent().take().unwrap_or_default()
}

fn note(event: &InstrumentationEvent<'_>) {
    if let InstrumentationEvent::StartQuery { query, .. } = event
        && let Some(sent) = sent().as_mut()
    {
        sent.push(query.to_string());
    }
}

// ---- databases ----

async fn side(home: &Home, name: &str) -> Result<Side> {
    home.create(name).await?;
    let url = home.url_of(name)?;
    let store = Store::connect(&url, Clock::system()).await?;
    store.migrate().await?;
    let mut plain = Plain::connect(home.kind, &url).await?;
    // Its lease is long, so that no other node takes it for dead.
    let node = "INSERT INTO gaia_nodes (id, host, pid, version, started_at, heartbeat, beat, lease_ms, themes, protocol) \
                VALUES ('bench-node', 'bench', 0, '0', '2026-01-01', '2026-01-01', 0, 86400000, '[]', 3)";
    plain.run(node).await?;
    Ok(Side {
        kind: home.kind,
        url,
        store,
        plain,
        figures: Figures::default(),
    })
}
