//! Requests of other processes to this node.

use crate::{
    asynctask::{ThemeRuntime, ThemeRuntimes},
    domain::{Answer, Asked, Faults, check_workers},
    held_runs::HeldRuns,
    store::{Store, StoreError, TakenRequest, ThemeSettings},
};

/// Requests of other processes to this node.
pub(super) struct Requests {
    /// Running tasks to cancel, each with its theme.
    pub(super) cancels: Vec<(String, i64)>,
    pub(super) themes: Vec<(ThemeRuntime, ThemeSettings)>,
    /// The ids of requests to this node alone.
    pub(super) to_this_node: Vec<i64>,
}

/// Reads the requests. If this node runs no task, there can be no request to cancel one, and only the settings of the themes and the
/// requests to this node are read, by one query.
pub(super) async fn requests(
    store: Store,
    themes: Vec<ThemeRuntime>,
    held: HeldRuns,
    id: String,
) -> Result<Requests, StoreError> {
    let mut requests = Requests {
        cancels: Vec::new(),
        themes: Vec::new(),
        to_this_node: Vec::new(),
    };
    if themes.is_empty() {
        return Ok(requests);
    }
    let names: Vec<String> = themes.iter().map(|runtime| runtime.theme().to_owned()).collect();
    let (settings, to_this_node) = store.cluster().settings_and_requests(&names, &id).await?;
    requests.to_this_node = to_this_node;
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

/// Takes the requests to this node that are still open, and follows them. An error of one keeps no other from being followed.
pub(super) async fn follow(store: Store, themes: ThemeRuntimes, node: String, ids: Vec<i64>) -> Result<(), StoreError> {
    let mut followed = Ok(());
    for id in ids {
        followed = follow_one(&store, &themes, &node, id).await.and(followed);
    }
    followed
}

async fn follow_one(store: &Store, themes: &ThemeRuntimes, node: &str, id: i64) -> Result<(), StoreError> {
    let Some(TakenRequest { id, asked }) = store.cluster().take_request(id, node).await? else {
        return Ok(());
    };
    let answer = match asked {
        Asked::Resize { theme, workers } => resize(themes, &theme, workers).await,
        Asked::RunJob { .. } => Answer::Unknown,
    };
    store.cluster().answer(id, Some(node), &answer).await?;
    Ok(())
}

async fn resize(themes: &ThemeRuntimes, theme: &str, workers: usize) -> Answer {
    // Plain SQL may have written any number.
    let mut faults = Faults::default();
    check_workers(&mut faults, workers);
    if let Err(fault) = faults.into_result() {
        return Answer::Failed {
            error: fault.to_string(),
        };
    }
    let Some(runtime) = themes.get(theme) else {
        return Answer::NotScheduled;
    };
    match runtime.resize(workers).await {
        Ok(()) => Answer::Resized,
        Err(error) => Answer::Failed {
            error: error.to_string(),
        },
    }
}
