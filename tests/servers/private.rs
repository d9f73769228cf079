//! Servers, and poolers before them, that belong to one test and are gone with it.

use std::{
    ffi::OsStr,
    path::Path,
    process::{Command, Output},
};

use tempfile::TempDir;

use crate::support::Kind;

/// A server or a pooler of this test.
pub struct Private {
    folder: TempDir,
    pub url: String,
}

impl Private {
    /// A server, with arguments of `scripts/database`.
    pub fn server(kind: Kind, arguments: &[impl AsRef<OsStr>]) -> Self {
        let name = match kind {
            #[cfg(feature = "postgres")]
            Kind::Postgres => "postgres",
            #[cfg(feature = "mysql")]
            Kind::Mysql => "mysql",
            #[cfg(feature = "sqlite")]
            Kind::Sqlite => panic!("a file has no server"),
        };
        Self::start(name, arguments)
    }

    /// A PgBouncer before the server with this URL, which is installed if need be.
    #[cfg(feature = "postgres")]
    pub fn pooler(url: &str, settings: &[&str]) -> Self {
        checked(script().args(["install", "pgbouncer"]));
        Self::start("pgbouncer", &[&[url, "--"], settings].concat())
    }

    fn start(name: &str, arguments: &[impl AsRef<OsStr>]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let started = checked(script().args(["start", name]).arg(folder.path()).args(arguments));
        let url = String::from_utf8(started.stdout).expect("is a URL").trim().to_owned();
        Self { folder, url }
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        // It may not have come up.
        let _ = script().arg("stop").arg(self.folder.path()).status();
    }
}

fn checked(command: &mut Command) -> Output {
    let output = command.output().expect("runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    output
}

fn script() -> Command {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/database"))
}
