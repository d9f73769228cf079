//! Whether the file that is open is the one that its path leads to.
//!
//! A file that is deleted, moved or replaced lives on for those who have it open, and for nobody else: what they write is gone
//! when they end. SQLite goes on without an error.

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

impl OpenFile {
    /// The file to which a path leads now. `None` if the system has no answer: then nothing is watched.
    pub(super) fn now_at(path: &str) -> Option<Self> {
        let path = std::path::absolute(path).ok()?;
        let id = id_of(&std::fs::metadata(&path).ok()?)?;
        Some(Self { path, id })
    }

    /// An error if the path leads to no file, or to another one.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let path = || self.path.display().to_string();
        match std::fs::metadata(&self.path) {
            Ok(found) if id_of(&found) == Some(self.id) => Ok(()),
            Ok(_) => Err(StoreError::FileReplaced { path: path() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(StoreError::FileDeleted { path: path() }),
            // A folder that may not be looked into for a while says nothing about the file.
            Err(_) => Ok(()),
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
