//! Processes of `examples/node`.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{OnceLock, mpsc},
    time::Duration,
};

use tempfile::TempDir;

use crate::{example::example, interrupt::within, sql::Database};

/// Longer than a start or a stop takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// Environment of a node beyond its database.
pub type Settings = Vec<(&'static str, String)>;

/// A process, killed with this value.
pub struct Node(Child);

impl Node {
    /// Starts a node and waits until it takes work. What it says on standard error is added to the file `nodes.log`.
    pub fn start(database: &Database, url: &str, settings: &Settings) -> Self {
        let log = database.folder.path().join("nodes.log");
        let log = File::options().create(true).append(true).open(log).expect("opens");
        let mut child = Command::new(PROGRAM.get().expect("is built"))
            // Whatever the caller has set for itself: faults at default settings are to meet just those.
            .env_clear()
            .env("DATABASE_URL", url)
            .env("EFFECTS", database.folder.path().join("effects"))
            .envs(settings.iter().map(|(key, value)| (key, value)))
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("starts");
        let stdout = child.stdout.take().expect("is piped");
        let node = Self(child);
        let (say, said) = mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            // No line at all says the same as a broken one, and nobody may wait any more.
            let _ = BufReader::new(stdout).read_line(&mut line);
            let _ = say.send(line);
        });
        let line = said.recv_timeout(PATIENCE).unwrap_or_default();
        assert_eq!(line.trim(), "ready", "a node does not start:\n{}", log_of(database));
        node
    }

    pub fn signal(&self, name: &str) {
        let signal = format!("-{name}");
        let status = Command::new("kill").args([&signal, &self.0.id().to_string()]).status();
        assert!(status.expect("kill runs").success(), "cannot send SIG{name}");
    }

    #[cfg(any(feature = "postgres", feature = "mysql"))]
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// SIGKILL, and the end of the process.
    pub fn kill(&mut self) {
        self.0.kill().expect("is ours");
        self.0.wait().expect("ends");
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<String> {
        let status = self.0.try_wait().expect("is ours");
        status.map(|status| status.to_string())
    }

    /// How it ends in time on SIGTERM.
    pub fn stop(mut self) -> Option<String> {
        self.signal("TERM");
        within(PATIENCE, || self.ended())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the nodes of a database have said on standard error.
pub fn log_of(database: &Database) -> String {
    let log = std::fs::read(database.folder.path().join("nodes.log")).unwrap_or_default();
    String::from_utf8_lossy(&log).into_owned()
}

/// All nodes are processes of this copy, gone with the value: another build may replace the program while they start.
pub fn build() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let copy = PROGRAM.get_or_init(|| folder.path().join("node"));
    std::fs::copy(example("node"), copy).expect("is copied");
    folder
}
