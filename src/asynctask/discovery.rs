//! The methods of services that answer every method. A claim names the methods that it takes, so the scanner must know them: it looks which
//! methods of such services tasks call, and has the registry give them routes. From then on they are methods like all others.

use std::time::{Duration, Instant};

use super::theme::ThemeContext;
use crate::{
    registry::MethodName,
    store::{Store, StoreError},
};

/// The shortest time between two looks.
const REST: Duration = Duration::from_millis(500);

/// After a look the scanner looks no more for so many times as long: a look reads up to a thousand methods of each service.
const SHARE: u32 = 10;

/// The most due methods of one service that a look reads.
const MAX_LOOKED_AT: usize = 1_000;

/// Looks once, and then waits until the next look may come.
pub(super) async fn look_and_rest(theme: &ThemeContext, store: &Store) {
    let began = Instant::now();
    if let Err(error) = look(theme, store).await {
        say!(
            Debug,
            "theme {}: cannot look which methods of remote services its tasks call: {error}",
            theme.name()
        );
    }
    let rest = REST.max(began.elapsed() * SHARE);
    actix_rt::time::sleep(rest).await;
}

async fn look(theme: &ThemeContext, store: &Store) -> Result<(), StoreError> {
    let mut found = Vec::new();
    for service in theme.registry.growing() {
        let methods = store
            .tasks()
            .due_methods_of(theme.name(), &service, MAX_LOOKED_AT)
            .await?;
        let new = methods
            .into_iter()
            .filter(|method| theme.registry.is_undiscovered(&service, method));
        found.extend(new.map(|method| MethodName {
            service: service.clone(),
            method,
        }));
    }
    if !found.is_empty() {
        // A registry that has stopped serves nothing any more.
        let _ = theme.registry.discover(found).await;
    }
    Ok(())
}
