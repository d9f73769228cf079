//! Whether the paths of the open files still lead to these files.
//!
//! A file that is deleted, moved or replaced lives on only for the processes that have it open: their writes are gone when they end, and
//! SQLite goes on without an error. The same is true of the write-ahead log (`-wal`) and of its index (`-shm`). SQLite itself leaves both
//! at their places for as long as any connection is open.

use std::{fs::Metadata, io, path::PathBuf};

use crate::store::StoreError;

/// A path, and the file to which it led when that was opened.
#[derive(Debug)]
pub(super) struct OpenFile {
    /// Absolute, so that a later change of the process's folder does not matter. Each check follows the links anew.
    path: PathBuf,
    id: FileId,
}

/// The id of a file: its device, and its inode number on the device.
type FileId = (u64, u64);

/// The files of an open database.
#[derive(Debug)]
pub(super) struct OpenFiles {
    database: OpenFile,
    /// The log and its index.
    log: Vec<OpenFile>,
}

impl OpenFiles {
    /// The file to which a path leads now, and the log beside it if a connection has opened the log. `None` if there is no file, or the
    /// system has no ids of files: then nothing is watched.
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

    /// An error if one of the paths leads to no file, or to another one.
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

/// Creates the file of a new database with a mode for its owner alone, since hooks keep their secrets in it. SQLite gives the log and its
/// index the same mode. An existing file keeps its mode.
pub(super) fn make_private(path: &str) {
    #[cfg(unix)]
    if path != ":memory:" && !path.starts_with("file:") {
        use std::os::unix::fs::OpenOptionsExt;
        let mut options = std::fs::OpenOptions::new();
        // Unless the file exists, SQLite itself reports the fault.
        let _ = options.write(true).create_new(true).mode(0o600).open(path);
    }
    #[cfg(not(unix))]
    let _ = path;
}

/// The file to which a path leads now, compared with the open file.
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
            // If the folder cannot be read for a while, that says nothing about the file.
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

/// On other systems, an open file can be neither deleted nor replaced.
#[cfg(not(unix))]
fn id_of(_: &Metadata) -> Option<FileId> {
    None
}
