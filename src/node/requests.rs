//! What other processes want of a node.

use crate::{
    asynctask::ThemeRuntime,
    held_runs::HeldRuns,
    store::{Store, StoreError, ThemeSettings},
};

/// What other processes want of this node.
pub(super) struct Requests {
    /// Running tasks to be cancelled, each with its theme.
    pub(super) cancels: Vec<(String, i64)>,
    pub(super) themes: Vec<(ThemeRuntime, ThemeSettings)>,
}

/// No caller can want a task cancelled on a node that runs none: then there is one query for all themes together.
pub(super) async fn requests(
    store: Store,
    machines: Vec<ThemeRuntime>,
    held: HeldRuns,
    id: String,
) -> Result<Requests, StoreError> {
    let mut requests = Requests {
        cancels: Vec::new(),
        themes: Vec::new(),
    };
    if machines.is_empty() {
        return Ok(requests);
    }
    let names: Vec<String> = machines.iter().map(|machine| machine.theme().to_owned()).collect();
    let settings = store.cluster().settings_of(&names).await?;
    let mut is_busy = false;
    for machine in machines {
        let status = machine.status().await;
        is_busy |= status.is_ok_and(|status| status.running_workers + status.queue_depth > 0);
        let settings = settings.get(machine.theme()).copied().unwrap_or_default();
        requests.themes.push((machine, settings));
    }
    if is_busy {
        requests.cancels = store.tasks().cancel_requests(&id).await?;
    }
    // The comparison of the rows with the held runs finds the claims that are left, after an error too.
    store.tasks().drop_settled(&held.take_finished_claims()).await?;
    Ok(requests)
}
