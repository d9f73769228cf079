//! Servers with settings of their own.

use std::{ffi::OsStr, path::Path, process::Command};

use tempfile::TempDir;

use crate::support::Kind;

/// A server of one test, gone with it.
pub struct Server {
    folder: TempDir,
    pub url: String,
}

impl Server {
    /// With these options of `scripts/database start`.
    pub fn start(kind: Kind, options: &[&OsStr]) -> Self {
        let name = match kind {
            #[cfg(feature = "postgres")]
            Kind::Postgres => "postgres",
            #[cfg(feature = "mysql")]
            Kind::Mysql => "mysql",
            #[cfg(feature = "sqlite")]
            Kind::Sqlite => panic!("a file has no server"),
        };
        let folder = tempfile::tempdir().expect("a temporary folder");
        let started = script()
            .args(["start", name])
            .arg(folder.path())
            .args(options)
            .output()
            .expect("runs");
        let text = String::from_utf8_lossy(&started.stderr).into_owned();
        assert!(started.status.success(), "{text}");
        let url = String::from_utf8(started.stdout).expect("is a URL").trim().to_owned();
        Self { folder, url }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may not have come up.
        let _ = script().arg("stop").arg(self.folder.path()).status();
    }
}

fn script() -> Command {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/database"))
}
