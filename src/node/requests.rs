//! Requests of other processes to this node.

use crate::{
    asynctask::ThemeRuntime,
    held_runs::HeldRuns,
    store::{Store, StoreError, ThemeSettings},
};

/// Requests of other processes to this node.
pub(super) struct Requests {
    /// Running tasks to cancel, each with its theme.
    pub(super) cancels: Vec<(String, i64)>,
    pub(super) themes: Vec<(ThemeRuntime, ThemeSettings)>,
}

/// Reads the requests. If this node runs no task, there can be no request to cancel one, and only the settings of the themes are read, by
/// one query.
pub(super) async fn requests(
    store: Store,
    themes: Vec<ThemeRuntime>,
    held: HeldRuns,
    id: String,
) -> Result<Requests, StoreError> {
    let mut requests = Requests {
        cancels: Vec::new(),
        themes: Vec::new(),
    };
    if themes.is_empty() {
        return Ok(requests);
    }
    let names: Vec<String> = themes.iter().map(|runtime| runtime.theme().to_owned()).collect();
    let settings = store.cluster().settings_of(&names).await?;
    let mut is_busy = false;
    for runtime in themes {
        let status = runtime.status().await;
        is_busy |= status.is_ok_and(|status| status.running_workers + status.queue_depth > 0);
        let settings = settings.get(runtime.theme()).copied().unwrap_or_default();
        requests.themes.push((runtime, settings));
    }
    if is_busy {
        requests.cancels = store.tasks().cancel_requests(&id).await?;
    }
    // If this fails, the comparison of the claims with the held runs removes these claims later.
    store.tasks().drop_settled(&held.take_finished_claims()).await?;
    Ok(requests)
}
