//! Alerts: a cluster sends one message when something is amiss, and one when that is over.
//!
//! [`Collector`](collector::Collector) sums the events of this process, [`AlertActor`] looks every two seconds, [`round`](round::round)
//! turns the findings into rows of `gaia_alerts`, and [`Delivery`](delivery::Delivery) sends the messages. Nothing of it runs in a process that has neither
//! a function nor a webhook.

mod actor;
#[cfg(feature = "hooks")]
mod bodies;
mod cause;
mod collector;
mod delivery;
mod local;
mod message;
mod options;
mod round;
#[cfg(feature = "hooks")]
mod sender;
mod states;

use std::{io, sync::Arc};

use actix::{Actor, Addr};

pub(crate) use actor::{AlertActor, StopAlerts};
#[cfg(feature = "web")]
pub(crate) use cause::title;
pub(crate) use delivery::Listener;
pub(crate) use options::AlertSettings;
pub use options::{AlertOptions, Webhook};

use self::{actor::Watcher, cause::Process, collector::Collector, delivery::Delivery, local::Local, states::Looker};
use crate::{
    admin::Admin,
    clock::Clock,
    domain::InvalidInput,
    events::{Observer, Tally},
    jobs::Jobs,
    lease::NodeLease,
    store::Store,
    threads::{Control, Thread},
};

/// Alerts that have not begun. They hear what happens from now on.
pub(crate) struct Alerts {
    process: Process,
    settings: Arc<AlertSettings>,
    collector: Collector,
    delivery: Delivery,
}

/// The alerts of a process that has begun. Their thread ends with this value.
pub(crate) struct RunningAlerts {
    actor: Addr<AlertActor>,
    _thread: Arc<Thread>,
}

/// What alerts look at.
pub(crate) struct AlertParts {
    pub(crate) store: Store,
    pub(crate) tally: Tally,
    pub(crate) admin: Admin,
    pub(crate) jobs: Jobs,
    pub(crate) lease: NodeLease,
}

impl Alerts {
    /// `None`: there is neither a function nor a webhook.
    pub(crate) fn new(
        node: Arc<str>,
        clock: Clock,
        settings: AlertSettings,
        listeners: Vec<Listener>,
    ) -> Result<Option<Self>, InvalidInput> {
        if listeners.is_empty() && settings.webhooks.is_empty() {
            return Ok(None);
        }
        let host = hostname::get().map_or_else(|_| "unknown".into(), |name| name.to_string_lossy().into());
        let process = Process {
            node,
            host,
            pid: std::process::id(),
        };
        Ok(Some(Self {
            collector: Collector::new(clock, process.clone(), settings.kinds.clone()),
            delivery: Delivery::new(listeners, &settings)?,
            settings: Arc::new(settings),
            process,
        }))
    }

    /// The function that `Events` gives each event to.
    pub(crate) fn ear(&self) -> Observer {
        let collector = self.collector.clone();
        Box::new(move |event| collector.note(event))
    }

    /// Starts the actor, on a separate thread.
    pub(crate) async fn start(self, control: &Control, parts: AlertParts) -> io::Result<RunningAlerts> {
        let Self {
            process,
            settings,
            collector,
            delivery,
        } = self;
        let AlertParts {
            store,
            tally,
            admin,
            jobs,
            lease,
        } = parts;
        let watcher = Watcher {
            node: Arc::clone(&process.node),
            looker: Looker {
                admin,
                jobs,
                store: store.clone(),
                settings: Arc::clone(&settings),
            },
            store,
            tally,
            settings,
            collector,
            local: Local::new(process, lease),
            delivery,
        };
        let thread = Thread::beside(control).await?;
        let actor = AlertActor::start_in_arbiter(&thread.handle(), |_| AlertActor::new(watcher));
        Ok(RunningAlerts { actor, _thread: thread })
    }
}

impl RunningAlerts {
    /// Sends the messages about the time until now, and ends. Waits for at most a few seconds, even if a function of the application blocks.
    pub(crate) async fn stop(&self) {
        let _ = tokio::time::timeout(actor::LONGEST_STOP, self.actor.send(StopAlerts)).await;
    }
}
