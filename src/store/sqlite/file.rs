//! Whether the files that are open are the ones that their paths lead to.
//!
//! A file that is deleted, moved or replaced lives on for the processes that have it open, and for no other: their writes are gone
//! when they end. SQLite goes on without an error. The same is true of the write-ahead log (`-wal`) and of its index (`-shm`),
//! which SQLite leaves at their places for as long as any connection is open.

use std::{fs::Metadata, io, path::PathBuf};

use crate::store::StoreError;

/// A file, as it was when it was opened.
#[derive(Debug)]
pub(super) struct OpenFile {
    /// From the root, so that a later change of the process's folder does not matter. Links are followed with each look.
    path: PathBuf,
    id: FileId,
}

/// What tells a file from any other: the device and the number on it.
type FileId = (u64, u64);

/// The files of an open database.
#[derive(Debug)]
pub(super) struct OpenFiles {
    database: OpenFile,
    /// The log and its index.
    log: Vec<OpenFile>,
}

impl OpenFiles {
    /// The files to which a path leads now, and the log beside them if a connection has opened it. `None` if the system has no
    /// answer: then nothing is watched.
    pub(super) fn now_at(path: &str) -> Option<Self> {
        let database = OpenFile::now_at(path.into())?;
        // SQLite puts the log beside the file itself, not beside a link.
        let real = std::fs::canonicalize(path).ok()?;
        let beside = |end: &str| {
            let mut path = real.clone().into_os_string();
            path.push(end);
            OpenFile::now_at(path.into())
        };
        let log = ["-wal", "-shm"].into_iter().filter_map(beside).collect();
        Some(Self { database, log })
    }

    /// An error if the path of the database leads to no file, or to another one.
    pub(super) fn check_database(&self) -> Result<(), StoreError> {
        let path = || self.database.path.display().to_string();
        match self.database.found() {
            Found::TheSame => Ok(()),
            Found::Another => Err(StoreError::FileReplaced { path: path() }),
            Found::Nothing => Err(StoreError::FileDeleted { path: path() }),
        }
    }

    /// The same for all files.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        self.check_database()?;
        match self.log.iter().find(|file| file.found() != Found::TheSame) {
            Some(file) => Err(StoreError::LogGone {
                path: file.path.display().to_string(),
            }),
            None => Ok(()),
        }
    }
}

/// Makes the file of a database that is to be, for its owner alone: hooks keep their secrets there. SQLite gives the log and its
/// index the same mode. A file that is there keeps its mode.
pub(super) fn make_private(path: &str) {
    #[cfg(unix)]
    if path != ":memory:" && !path.starts_with("file:") {
        use std::os::unix::fs::OpenOptionsExt;
        let mut options = std::fs::OpenOptions::new();
        // SQLite itself reports another fault.
        let _ = options.write(true).create_new(true).mode(0o600).open(path);
    }
    #[cfg(not(unix))]
    let _ = path;
}

/// The file at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    TheSame,
    Another,
    Nothing,
}

impl OpenFile {
    fn now_at(path: PathBuf) -> Option<Self> {
        let path = std::path::absolute(path).ok()?;
        let id = id_of(&std::fs::metadata(&path).ok()?)?;
        Some(Self { path, id })
    }

    fn found(&self) -> Found {
        match std::fs::metadata(&self.path) {
            Ok(found) if id_of(&found) == Some(self.id) => Found::TheSame,
            Ok(_) => Found::Another,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Found::Nothing,
            // A folder that may not be looked into for a while says nothing about the file.
            Err(_) => Found::TheSame,
        }
    }
}

#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "other systems have no answer")]
fn id_of(file: &Metadata) -> Option<FileId> {
    use std::os::unix::fs::MetadataExt;
    Some((file.dev(), file.ino()))
}

/// Elsewhere a file that is open can be neither deleted nor replaced.
#[cfg(not(unix))]
fn id_of(_: &Metadata) -> Option<FileId> {
    None
}
