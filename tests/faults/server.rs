//! A server of our own, and what is done to it and to its connections.

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    interrupt::{rest, within},
    sql::{Connection, Database, Kind, block_on},
    undone::run,
};

/// Few, so that they are soon used up. Two nodes and a client take 36.
const MAX_CONNECTIONS: u32 = 45;

/// Longer than a standby takes until it follows.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub struct Server {
    kind: Kind,
    folder: TempDir,
    url: String,
}

impl Server {
    pub fn new(kind: Kind) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let mut server = Self {
            kind,
            folder,
            url: String::new(),
        };
        server.url = server.up()?;
        Ok(server)
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Does nothing if it runs.
    fn up(&self) -> Result<String, String> {
        self.start(self.path())
    }

    /// In its own folder, or in that of its standby.
    fn start(&self, folder: &Path) -> Result<String, String> {
        let most = match self.kind.name() {
            "postgres" => ["-c".to_owned(), format!("max_connections={MAX_CONNECTIONS}")],
            _ => [
                "--skip-name-resolve".to_owned(),
                format!("--max-connections={MAX_CONNECTIONS}"),
            ],
        };
        script(
            Command::new(PROGRAM)
                .args(["start", self.kind.name()])
                .arg(folder)
                .arg("--")
                .args(most),
        )
    }

    /// As an operator does it.
    pub fn restart(&self, downtime: Duration) {
        self.down("stop").expect("stops");
        rest(downtime);
        self.up().expect("starts again");
    }

    /// As a crash does it.
    pub fn crash(&self, downtime: Duration) {
        self.down("kill").expect("dies");
        rest(downtime);
        self.up().expect("starts again");
    }

    /// From now on commits are answered and not written.
    pub fn write_later(&self) -> Option<TempDir> {
        if self.kind.name() == "postgres" {
            let writer = self.number("SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'");
            signal("STOP", &[&writer.to_string()]);
        } else {
            // After a crash it goes by what the server was started with.
            let later = "SET GLOBAL innodb_flush_log_at_trx_commit = 0";
            block_on(async { self.connect().await.execute(later).await }).expect("is set");
        }
        None
    }

    /// A standby that has followed this server until now, and does no more.
    pub fn standby_that_stops(&self) -> TempDir {
        let standby = self.standby();
        let streams = || self.number("SELECT MAX(pid) FROM pg_stat_replication WHERE state = 'streaming'");
        let sender = within(PATIENCE, || Some(streams()).filter(|pid| *pid > 0));
        signal("STOP", &[&sender.expect("the standby streams").to_string()]);
        standby
    }

    /// The server dies, and the standby takes its place, at its address.
    pub fn fail_over(&self, standby: &TempDir) {
        self.down("kill").expect("dies");
        script(Command::new(PROGRAM).arg("stop").arg(standby.path())).expect("stops");
        let data = self.path().join("data");
        std::fs::rename(&data, standby.path().join("dead")).expect("is moved away");
        std::fs::rename(standby.path().join("data"), data).expect("is put in its place");
        self.up().expect("starts");
        assert_eq!(
            self.number("SELECT pg_promote()::int"),
            1,
            "the standby is not promoted"
        );
    }

    /// A server that follows this one.
    fn standby(&self) -> TempDir {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (path, url, own) = (folder.path().display(), &self.url, self.path().display());
        // A folder with a port counts as initialised. It has to belong to the server's user.
        run(&format!(
            "pg_basebackup --pgdata={path}/data --dbname={url} --write-recovery-conf --wal-method=stream --checkpoint=fast --no-sync
             while port=$((20000 + RANDOM % 12000)); (: <>/dev/tcp/127.0.0.1/$port) 2>/dev/null; do :; done
             echo $port >{path}/port
             chown -R --reference={own}/data {path}"
        ));
        self.start(folder.path()).expect("the standby starts");
        folder
    }

    fn number(&self, sql: &str) -> i64 {
        let sql = format!("SELECT COALESCE(({sql}), 0)::bigint AS number");
        let rows = block_on(async { self.connect().await.numbers(&sql).await });
        rows.expect("plain SQL answers")[0].number
    }

    /// All its processes stand still for so long. Connections stay open, and nothing answers.
    pub fn stall(&self, how_long: Duration) {
        let main = script(Command::new(PROGRAM).arg("pid").arg(self.path())).expect("runs");
        // Without its main process it has no new children between the list and the signals.
        signal("STOP", &[&main]);
        let children = std::fs::read_to_string(format!("/proc/{main}/task/{main}/children")).unwrap_or_default();
        let all: Vec<&str> = std::iter::once(main.as_str())
            .chain(children.split_whitespace())
            .collect();
        signal("STOP", &all);
        rest(how_long);
        signal("CONT", &all);
    }

    fn down(&self, how: &str) -> Result<String, String> {
        script(Command::new(PROGRAM).arg(how).arg(self.path()))
    }

    pub fn fresh_database(&self) -> String {
        // A fault that failed may have left it down. If it runs, nothing happens.
        self.up().expect("starts again");
        let name = format!("gaia_{:012x}", fastrand::u64(..1 << 48));
        let create = format!("CREATE DATABASE {name}");
        block_on(async { self.connect().await.execute(&create).await }).expect("is created");
        let (server, _) = self.url.rsplit_once('/').expect("names a database");
        format!("{server}/{name}")
    }

    /// To the database that every server has, not to one that is tested.
    async fn connect(&self) -> Connection {
        Connection::open(self.kind, &self.url).await.expect("connects")
    }

    /// Holds every connection that the server gives. Once there are no more, it takes those of the database away from
    /// whoever has them, for so long.
    pub fn exhaust(&self, database: &Database, how_long: Duration) {
        block_on(async {
            let mut killer = Connection::open(database.kind, &database.url).await.expect("connects");
            let mut held = Vec::new();
            let mut began = None;
            while began.is_none_or(|began: Instant| began.elapsed() < how_long) {
                if let Ok(connection) = Connection::open(self.kind, &self.url).await {
                    held.push(connection);
                    continue;
                }
                began.get_or_insert_with(Instant::now);
                if terminate(self.kind, &mut killer).await == 0 {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.down("stop").is_err() {
            // It may be in any state by now; the folder goes anyhow.
            let _ = self.down("kill");
        }
    }
}

/// A child may have ended by itself meanwhile.
fn signal(name: &str, processes: &[&str]) {
    let sent = Command::new("kill").arg(format!("-{name}")).args(processes).status();
    sent.expect("kill runs");
}

/// Terminates all connections to the database but the own one; answers how many there were.
pub fn terminate_all(database: &Database) -> usize {
    block_on(async {
        let mut conn = Connection::open(database.kind, &database.url).await.expect("connects");
        terminate(database.kind, &mut conn).await
    })
}

async fn terminate(kind: Kind, conn: &mut Connection) -> usize {
    let list = match kind.name() {
        "postgres" => {
            "SELECT COUNT(pg_terminate_backend(pid)) AS number FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()"
        }
        _ => {
            "SELECT id AS number FROM information_schema.processlist \
             WHERE db = DATABASE() AND id <> CONNECTION_ID()"
        }
    };
    let rows = conn.numbers(list).await.expect("lists connections");
    if kind.name() == "postgres" {
        return usize::try_from(rows[0].number).expect("a count");
    }
    for row in &rows {
        // It may have ended by itself meanwhile.
        let _ = conn.execute(&format!("KILL {}", row.number)).await;
    }
    rows.len()
}

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/database");

/// Its last line: the URL, or what went wrong.
fn script(command: &mut Command) -> Result<String, String> {
    let last = |text: &[u8]| {
        String::from_utf8_lossy(text)
            .lines()
            .last()
            .unwrap_or_default()
            .to_owned()
    };
    let output = command.output().map_err(|error| format!("scripts/database: {error}"))?;
    match output.status.success() {
        true => Ok(last(&output.stdout)),
        false => Err(last(&output.stderr)),
    }
}
