//! The schema, database or file that a test has for itself.

use std::{fs, io::ErrorKind, path::PathBuf, thread, time::Duration};

use crate::{
    Gaia,
    store::{Scratch, StoreError},
};

/// For how long the handlers of a test may go on when it ends.
const GRACE: Duration = Duration::from_secs(1);

/// How long stopping and dropping may take. A test that starts a day later drops the rest.
const PATIENCE: Duration = Duration::from_secs(20);

/// A schema, database or file that a test has for itself, and the Gaia on it. When it is dropped, the Gaia is stopped, and the schema, database or
/// file is removed.
#[derive(Debug)]
pub(super) struct OwnDatabase {
    place: Place,
    pub(super) gaia: Option<Gaia>,
}

#[derive(Debug, Clone)]
enum Place {
    Server(Box<Scratch>),
    /// A file of SQLite.
    File(PathBuf),
}

impl OwnDatabase {
    /// A new schema or database on the server of this URL. `None`: it is a URL of SQLite.
    pub(super) async fn on(url: &str) -> Result<Option<Self>, StoreError> {
        let scratch = Scratch::make(url).await?;
        Ok(scratch.map(|scratch| Self {
            place: Place::Server(Box::new(scratch)),
            gaia: None,
        }))
    }

    /// A new file of SQLite in the folder for temporary files.
    pub(super) fn file() -> Self {
        let name = format!("gaia_actors_scratch_{}.db", uuid::Uuid::now_v7().simple());
        Self {
            place: Place::File(std::env::temp_dir().join(name)),
            gaia: None,
        }
    }

    /// The URL that leads there.
    pub(super) fn url(&self) -> String {
        match &self.place {
            Place::Server(scratch) => scratch.url.clone(),
            Place::File(path) => format!("sqlite:{}", path.display()),
        }
    }
}

impl Place {
    async fn remove(&self) -> Result<(), String> {
        match self {
            Self::Server(scratch) => scratch.remove().await.map_err(|error| error.to_string()),
            Self::File(path) => {
                for end in ["", "-wal", "-shm"] {
                    let mut file = path.clone().into_os_string();
                    file.push(end);
                    // SQLite removes the other two with the last connection.
                    match fs::remove_file(&file) {
                        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.to_string()),
                        _ => {}
                    }
                }
                Ok(())
            }
        }
    }
}

impl Drop for OwnDatabase {
    fn drop(&mut self) {
        let (place, gaia) = (self.place.clone(), self.gaia.take());
        // In a separate thread: the test's runtime may be in the middle of a panic.
        let ended = thread::Builder::new()
            .spawn(move || end(&place, gaia.as_ref()))
            .map(thread::JoinHandle::join);
        let ended = ended.unwrap_or_else(|error| Ok(Err(error.to_string())));
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(error)) => say!(
                Warn,
                "a test leaves its database behind; on a server a test in a day drops it: {error}"
            ),
            Err(_) => say!(
                Warn,
                "a test leaves its database behind; on a server a test in a day drops it: a panic"
            ),
        }
    }
}

fn end(place: &Place, gaia: Option<&Gaia>) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| error.to_string())?.block_on(async {
        let work = async {
            if let Some(gaia) = gaia {
                // An error means that the test has stopped the Gaia, or that its actors are gone.
                let _ = gaia.stop_within(GRACE).await;
            }
            place.remove().await
        };
        let in_time = tokio::time::timeout(PATIENCE, work).await;
        in_time.map_err(|_| format!("it took longer than {PATIENCE:?}"))?
    })
}
