//! The parts of a runtime: how each is opened or started.

use actix::{Actor, Addr, Context};

use super::services::NamedService;
use crate::{
    admin::{Admin, AdminParts},
    alerts::{AlertParts, Alerts, RunningAlerts},
    asynctask::{SchedulersOfHandlers, ThemeRuntimes},
    clock::Clock,
    error::Error,
    events::Tally,
    jobs::{Jobs, JobsOfHandlers},
    lease::NodeLease,
    logs::LogWriter,
    node::LogActor,
    registry::{Registration, Registry, RegistryActor, SharedValues},
    store::{NodeRow, Store, StoreError},
    threads::Control,
};

/// Makes the row of this node.
pub(super) async fn register(store: &Store, row: NodeRow) -> Result<(), Error> {
    let registered = store.drive(|store| async move { store.cluster().register_node(&row).await });
    Ok(registered.await.ok_or(Error::Stopped)??)
}

/// Starts the messages about alerts, if this process sends some.
pub(super) async fn start_alerts(
    alerts: Option<Alerts>,
    control: &Control,
    admin: AdminParts,
    tally: Tally,
    lease: NodeLease,
) -> Result<Option<RunningAlerts>, Error> {
    let Some(alerts) = alerts else { return Ok(None) };
    let parts = AlertParts {
        store: admin.store.clone(),
        tally,
        jobs: admin.jobs.clone(),
        admin: Admin::new(admin),
        lease,
    };
    Ok(Some(alerts.start(control, parts).await?))
}

/// Starts an actor on the control thread.
pub(super) fn started<A: Actor<Context = Context<A>> + Send>(control: &Control, actor: A) -> Addr<A> {
    A::start_in_arbiter(&control.handle(), |_| actor)
}

/// What all handlers share: the application's data, and the handles on schedulers and jobs.
pub(super) fn shared(mut data: SharedValues, store: &Store, themes: &ThemeRuntimes, jobs: &Jobs) -> SharedValues {
    data.add(SchedulersOfHandlers::new(store.clone(), themes));
    data.add(JobsOfHandlers(jobs.clone()));
    data
}

/// The registry, with its handlers and services, before any worker starts.
pub(super) async fn registry(
    control: &Control,
    actor: RegistryActor,
    handlers: Vec<Registration>,
    services: Vec<NamedService>,
) -> Result<Registry, Error> {
    let registry = Registry::of(actor, |actor| {
        RegistryActor::start_in_arbiter(&control.handle(), |_| actor)
    });
    registry.register_all(handlers).await?;
    for service in services {
        service.register(&registry).await?;
    }
    Ok(registry)
}

/// The way from runs to the actor that writes what their handlers log, and that actor.
pub(super) fn logs(control: &Control, store: &Store) -> (LogWriter, Addr<LogActor>) {
    let writer = LogWriter::default();
    let actor = LogActor::new(writer.clone(), store.clone());
    (writer, started(control, actor))
}

/// The database, with tables of this version, and connections enough for a node.
pub(super) async fn open(url: String, clock: Clock, migrate: bool) -> Result<Store, StoreError> {
    let store = Store::connect(&url, clock).await?;
    if migrate {
        store.migrate().await?;
    } else {
        store.check_schema().await?;
    }
    // First, since this waits for a full server as long as a start may: statements wait no longer than callers do.
    store.reserve_connections().await?;
    store.read_database_name().await?;
    Ok(store)
}
