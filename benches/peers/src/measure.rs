//! One measurement: a fresh database, a child that works on it, and an observer that asks the database.

use std::{
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::{sleep, timeout},
};

use crate::{
    child::{Result, Settings},
    database::{self, Home, Kind, Plain},
    peers::{Done, Peer},
};

/// What one turn of a side tells; not every case tells everything.
#[derive(Debug, Default)]
pub(crate) struct Measurement {
    /// Tasks added in a second.
    pub(crate) insert: Option<f64>,
    /// Tasks done in a second.
    pub(crate) drain: Option<f64>,
    /// Megabytes.
    pub(crate) memory: Option<f64>,
    /// Milliseconds.
    pub(crate) p50: Option<f64>,
    pub(crate) p99: Option<f64>,
    /// What was not as it should be.
    pub(crate) fault: Option<String>,
}

/// Those that hold the sides.
pub(crate) struct Programs {
    newer: PathBuf,
    older: PathBuf,
}

impl Programs {
    pub(crate) fn find(is_older_wanted: bool) -> Result<Self> {
        let newer = std::env::current_exe()?;
        let older = newer.with_file_name("gaia-actors-peers-older");
        if is_older_wanted && !older.exists() {
            let older = older.display();
            return Err(format!("{older} is not built: start benches/peers/run, which builds it").into());
        }
        Ok(Self { newer, older })
    }
}

/// A side in a process of its own.
struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    fn start(programs: &Programs, peer: &Peer, url: &str, arguments: &[&str], longest: Duration) -> Result<Self> {
        let mut command = match peer.is_older {
            true => Command::new(&programs.older),
            false => Command::new(&programs.newer),
        };
        if !peer.is_older {
            command.arg("child");
        }
        let seconds = longest.as_secs().to_string();
        let mut child = command
            .args([peer.name, url, "--seconds", &seconds])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = child.stdout.take().ok_or("the child has no standard output")?;
        let lines = BufReader::new(stdout).lines();
        Ok(Self { child, lines })
    }

    /// Its next line of JSON.
    async fn answer(&mut self, longest: Duration) -> Result<Value> {
        loop {
            let line = timeout(longest, self.lines.next_line()).await;
            let line = line.map_err(|_| format!("the child said nothing for {longest:?}"))??;
            let line = line.ok_or("the child ended without an answer: its error is above")?;
            // Some sides print lines of their own.
            if let Ok(answer @ Value::Object(_)) = serde_json::from_str(&line) {
                return Ok(answer);
            }
        }
    }

    /// The most memory that it ever had, in megabytes, where the system tells.
    fn memory(&self) -> Option<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()?)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kilobytes: f64 = line.split_whitespace().next()?.parse().ok()?;
        Some(kilobytes / 1_024.0)
    }
}

/// What a child may need beside its work: to connect, to migrate, to finish what it began.
const SLACK: Duration = Duration::from_secs(30);

fn name_of(settings: Settings) -> &'static str {
    match settings {
        Settings::Defaults => "defaults",
        Settings::Best => "best",
        Settings::Quick => "quick",
    }
}

pub(crate) async fn drain(
    home: &Home,
    peer: &Peer,
    programs: &Programs,
    settings: Settings,
    tasks: usize,
    longest: Duration,
) -> Result<Measurement> {
    let name = database::name("peers");
    create(home, &name).await?;
    let measurement = drain_on(home, &home.url_of(&name)?, peer, programs, settings, tasks, longest).await;
    home.remove(&[name]).await?;
    measurement
}

async fn drain_on(
    home: &Home,
    url: &str,
    peer: &Peer,
    programs: &Programs,
    settings: Settings,
    tasks: usize,
    longest: Duration,
) -> Result<Measurement> {
    let settings = name_of(settings);
    let count = tasks.to_string();
    let arguments = ["--case", "insert", "--settings", settings, "--tasks", &count];
    let mut process = Process::start(programs, peer, url, &arguments, longest)?;
    let added = process.answer(longest + SLACK).await?;
    process.child.wait().await?;
    let tasks = added["tasks"]
        .as_f64()
        .ok_or("the child did not say how many it added")?;
    let seconds = added["seconds"]
        .as_f64()
        .ok_or("the child did not say how long it took")?;

    let mut observer = Observer::connect(home.kind, url, peer.done, tasks).await?;
    if home.kind == Kind::Postgres {
        observer.plain.run("VACUUM ANALYZE").await?;
    }
    let arguments = ["--case", "drain", "--settings", settings, "--tasks", &count];
    let mut process = Process::start(programs, peer, url, &arguments, longest)?;
    process.answer(SLACK).await?;
    let seen = observer.watch(longest).await?;
    let memory = process.memory();

    drop(process.child.stdin.take());
    let ran = process.answer(SLACK).await?["ran"].as_f64().unwrap_or_default();
    let fault = if seen.done < tasks {
        Some(format!(
            "{} of {tasks} were done after {} s",
            seen.done,
            longest.as_secs()
        ))
    } else if (ran - tasks).abs() > 0.5 {
        Some(format!("{ran} runs of {tasks} tasks"))
    } else {
        None
    };
    Ok(Measurement {
        insert: Some(tasks / seconds),
        drain: Some(seen.rate),
        memory,
        fault,
        ..Measurement::default()
    })
}

pub(crate) async fn pickup(
    home: &Home,
    peer: &Peer,
    programs: &Programs,
    pickups: usize,
    longest: Duration,
) -> Result<Measurement> {
    let name = database::name("peers");
    create(home, &name).await?;
    let url = home.url_of(&name)?;
    let count = pickups.to_string();
    let arguments = [
        "--case",
        "pickup",
        "--settings",
        name_of(Settings::Quick),
        "--tasks",
        &count,
    ];
    let found = async {
        let mut process = Process::start(programs, peer, &url, &arguments, longest)?;
        process.answer(longest + SLACK).await
    };
    let found = found.await;
    home.remove(&[name]).await?;
    let found = found?;
    let timed = found["tasks"].as_u64().unwrap_or_default();
    let fault = (timed < pickups as u64).then(|| format!("{timed} pickups in {} s", longest.as_secs()));
    Ok(Measurement {
        p50: found["p50"].as_f64(),
        p99: found["p99"].as_f64(),
        fault,
        ..Measurement::default()
    })
}

async fn create(home: &Home, name: &str) -> Result<()> {
    home.create(name).await?;
    if home.kind == Kind::Postgres {
        // As a server is by default: another benchmark wants it otherwise.
        let mut plain = Plain::connect(home.kind, &home.url_of(name)?).await?;
        plain
            .run(&format!("ALTER DATABASE {name} RESET synchronize_seqscans"))
            .await?;
    }
    Ok(())
}

/// Asks the database, by a connection of its own, how many tasks are done.
struct Observer {
    plain: Plain,
    query: String,
    done: Done,
    tasks: f64,
}

struct Seen {
    /// Tasks in a second.
    rate: f64,
    done: f64,
}

impl Observer {
    async fn connect(kind: Kind, url: &str, done: Done, tasks: f64) -> Result<Self> {
        let text = match kind {
            Kind::Mysql => "CHAR",
            Kind::Sqlite | Kind::Postgres => "TEXT",
        };
        let query = match done {
            Done::Kept(rows) | Done::Left(rows) => format!("SELECT CAST(count(*) AS {text}) AS line FROM {rows}"),
            Done::Counted(count) => format!("SELECT CAST({count} AS {text}) AS line"),
        };
        let plain = Plain::connect(kind, url).await?;
        Ok(Self {
            plain,
            query,
            done,
            tasks,
        })
    }

    async fn done(&mut self) -> Result<f64> {
        let lines = self.plain.lines(&self.query).await?;
        let count: f64 = lines.first().ok_or("a count has one row")?.parse()?;
        Ok(match self.done {
            Done::Kept(_) | Done::Counted(_) => count,
            Done::Left(_) => self.tasks - count,
        })
    }

    /// The same rule for everybody: from the first look that sees 5 % done to the first that sees all done. It looks every
    /// 20 ms, or less often where a look takes long: it is never more than a tenth of one core's work.
    async fn watch(&mut self, longest: Duration) -> Result<Seen> {
        let began = Instant::now();
        let mut first = (0.0, 0.0);
        loop {
            let asked = Instant::now();
            let done = self.done().await?;
            let answered = Instant::now();
            let now = (answered - began).as_secs_f64();
            let is_over = done >= self.tasks || answered - began >= longest;
            if first.1 == 0.0 && done >= self.tasks / 20.0 && !is_over {
                first = (now, done);
            }
            if is_over {
                let rate = (done - first.1) / (now - first.0);
                return Ok(Seen { rate, done });
            }
            sleep(Duration::from_millis(20).max(9 * (answered - asked))).await;
        }
    }
}
