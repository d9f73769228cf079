//! The end of a schema or database that a test has for itself.

use std::{thread, time::Duration};

use crate::{Gaia, store::Scratch};

/// For how long the handlers of a test may go on when it ends.
const GRACE: Duration = Duration::from_secs(1);

/// How long stopping and dropping may take. A test that starts a day later drops the rest.
const PATIENCE: Duration = Duration::from_secs(20);

/// A schema or database that a test has for itself, and the Gaia on it. When it is dropped, the Gaia is stopped, and the schema or database
/// is removed.
#[derive(Debug)]
pub(super) struct OwnDatabase {
    pub(super) scratch: Scratch,
    pub(super) gaia: Option<Gaia>,
}

impl Drop for OwnDatabase {
    fn drop(&mut self) {
        let (scratch, gaia) = (self.scratch.clone(), self.gaia.take());
        // In a separate thread: the test's runtime may be in the middle of a panic.
        let ended = thread::Builder::new()
            .spawn(move || end(&scratch, gaia.as_ref()))
            .map(thread::JoinHandle::join);
        let ended = ended.unwrap_or_else(|error| Ok(Err(error.to_string())));
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(error)) => say!(
                Warn,
                "a test leaves its database behind, which a test in a day drops: {error}"
            ),
            Err(_) => say!(
                Warn,
                "a test leaves its database behind, which a test in a day drops: a panic"
            ),
        }
    }
}

fn end(scratch: &Scratch, gaia: Option<&Gaia>) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| error.to_string())?.block_on(async {
        let work = async {
            if let Some(gaia) = gaia {
                // An error means that the test has stopped the Gaia, or that its actors are gone.
                let _ = gaia.stop_within(GRACE).await;
            }
            scratch.remove().await
        };
        let in_time = tokio::time::timeout(PATIENCE, work).await;
        in_time
            .map_err(|_| format!("it took longer than {PATIENCE:?}"))?
            .map_err(|error| error.to_string())
    })
}
