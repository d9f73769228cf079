//! The actor that owns the routing table.

use std::sync::Arc;

use actix::{Actor, Context, Handler, Message, ResponseFuture};
use tokio::sync::oneshot;

use super::{
    AnyMethod, CallError, Endpoint, MethodName, Registration, RegistryError, Route,
    registration::checked,
    service::Slot,
    shared::SharedValues,
    table::{MAX_DISCOVERED, Services, Table, listed},
};
use crate::{
    blocking::{Unfinished, blocking},
    clock::Clock,
    domain::Json,
    panic_text::panic_text,
    threads::Threads,
    traces::Traces,
};

/// Owns the table of handlers, by service and method. [`Registry`](super::Registry) is the handle on it.
#[derive(Debug, Default)]
pub struct RegistryActor {
    table: Table,
    /// The threads that run the handlers of [`Call`]s; `None`: this actor's own thread.
    threads: Option<Threads>,
    pub(super) clock: Clock,
    pub(super) traces: Traces,
}

impl Actor for RegistryActor {
    type Context = Context<Self>;
}

#[derive(Message)]
#[rtype(result = "Result<(), RegistryError>")]
pub(super) struct Register {
    pub(super) registrations: Vec<Registration>,
    pub(super) replace: bool,
}

#[derive(Message)]
#[rtype(result = "bool")]
pub(super) struct Unregister(pub(super) MethodName);

#[derive(Message)]
#[rtype(result = "Vec<MethodName>")]
pub(super) struct List;

/// Registers a service that answers every method, and those of its methods that are known.
#[derive(Message)]
#[rtype(result = "Result<(), RegistryError>")]
pub(super) struct RegisterWhole {
    pub(super) name: String,
    pub(super) service: Box<dyn AnyMethod>,
    pub(super) methods: Vec<String>,
    pub(super) replace: bool,
}

/// Removes a service that answers every method. Answers whether there was one.
#[derive(Message)]
#[rtype(result = "bool")]
pub(super) struct UnregisterWhole(pub(super) String);

/// Tasks call these methods of services that answer every method: they get routes.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Discover(pub(super) Vec<MethodName>);

/// Removes all handlers, and the values that they share.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Clear;

/// Calls a method with JSON arguments and answers with its JSON result: the message form of
/// [`Registry::call`](super::Registry::call).
#[derive(Debug, Message)]
#[rtype(result = "Result<Json, CallError>")]
pub struct Call {
    /// The method to call.
    pub name: MethodName,
    /// Its arguments.
    pub args: Json,
}

impl RegistryActor {
    /// A registry whose [`Call`]s run on these threads, so that a handler that blocks its thread does not block the registry.
    /// The services that it calls are told the time of this clock, and these traces. Its handlers share these values.
    pub(crate) fn calling_on(threads: Threads, clock: Clock, traces: Traces, values: SharedValues) -> Self {
        Self {
            table: Table::sharing(values),
            threads: Some(threads),
            clock,
            traces,
        }
    }

    pub(super) fn table(&self) -> Table {
        self.table.clone()
    }

    fn register(&self, register: Register) -> Result<(), RegistryError> {
        let Register { registrations, replace } = register;
        let mut services = Services::clone(&self.table.services());
        RegistryError::none_of(services.refusals(&registrations, replace))?;
        for registration in registrations {
            services.put(registration, self.table.shared());
        }
        self.table.set(services);
        Ok(())
    }

    fn unregister(&self, name: &MethodName) -> bool {
        let mut services = Services::clone(&self.table.services());
        let Some(methods) = services.methods.get_mut(&name.service) else {
            return false;
        };
        let Some(route) = methods.remove(&name.method) else {
            return false;
        };
        if methods.is_empty() {
            services.methods.remove(&name.service);
        }
        self.table.set(services);
        // Callers that have kept the route get an error from now on.
        route.set(None);
        true
    }

    fn register_whole(&self, register: RegisterWhole) -> Result<(), RegistryError> {
        let RegisterWhole {
            name,
            service,
            methods,
            replace,
        } = register;
        for method in &methods {
            checked(&name, method)?;
        }
        let mut services = Services::clone(&self.table.services());
        let present = services.wholes.get(&name).cloned();
        let slot = match (present, services.methods.get(&name)) {
            (Some(_), _) if !replace => return Err(RegistryError::RegisteredAsWhole { service: name }),
            (Some(slot), _) => slot,
            (None, Some(single)) => {
                let methods = listed(single.keys());
                return Err(RegistryError::HasMethods { service: name, methods });
            }
            (None, None) => Slot::default(),
        };
        slot.set(Some(service));
        services.wholes.insert(name.clone(), slot);
        let names = methods.into_iter().map(|method| MethodName {
            service: name.clone(),
            method,
        });
        add_routes(&self.table, &mut services, names);
        self.table.set(services);
        Ok(())
    }

    fn unregister_whole(&self, name: &str) -> bool {
        let mut services = Services::clone(&self.table.services());
        let Some(slot) = services.wholes.remove(name) else {
            return false;
        };
        let routes = services.methods.remove(name).unwrap_or_default();
        self.table.set(services);
        slot.set(None);
        for route in routes.values() {
            route.set(None);
        }
        true
    }

    fn discover(&self, names: Vec<MethodName>) {
        let mut services = Services::clone(&self.table.services());
        if add_routes(&self.table, &mut services, names.into_iter()) {
            self.table.set(services);
        }
    }
}

/// Adds routes to methods of services that answer every method, as many as each service may have. Answers whether there are new ones.
fn add_routes(table: &Table, services: &mut Services, names: impl Iterator<Item = MethodName>) -> bool {
    let mut is_changed = false;
    for name in names {
        let Some(slot) = services.undiscovered(&name.service, &name.method).cloned() else {
            continue;
        };
        let routes = services.methods.entry(name.service.clone()).or_default();
        let endpoint = Endpoint::service(slot, name.clone());
        routes.insert(name.method.clone(), table.route(name.clone(), endpoint));
        is_changed = true;
        if routes.len() == MAX_DISCOVERED {
            let service = &name.service;
            say!(
                Warn,
                "service {service}: tasks call more than {MAX_DISCOVERED} methods of it; tasks that call further ones wait, since a method \
                 is served only once it is known: see who adds them"
            );
        }
    }
    is_changed
}

impl Handler<Register> for RegistryActor {
    type Result = Result<(), RegistryError>;

    fn handle(&mut self, register: Register, _: &mut Context<Self>) -> Self::Result {
        self.register(register)
    }
}

impl Handler<Unregister> for RegistryActor {
    type Result = bool;

    fn handle(&mut self, Unregister(name): Unregister, _: &mut Context<Self>) -> bool {
        self.unregister(&name)
    }
}

impl Handler<RegisterWhole> for RegistryActor {
    type Result = Result<(), RegistryError>;

    fn handle(&mut self, register: RegisterWhole, _: &mut Context<Self>) -> Self::Result {
        self.register_whole(register)
    }
}

impl Handler<UnregisterWhole> for RegistryActor {
    type Result = bool;

    fn handle(&mut self, UnregisterWhole(name): UnregisterWhole, _: &mut Context<Self>) -> bool {
        self.unregister_whole(&name)
    }
}

impl Handler<Discover> for RegistryActor {
    type Result = ();

    fn handle(&mut self, Discover(names): Discover, _: &mut Context<Self>) {
        self.discover(names);
    }
}

impl Handler<Clear> for RegistryActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Clear, _: &mut Context<Self>) -> Self::Result {
        let services = self.table.take();
        let endpoints: Vec<_> = services.routes().filter_map(Route::take).collect();
        let values = self.table.shared().take();
        for slot in services.wholes.values() {
            slot.set(None);
        }
        Box::pin(async move {
            // What the application has given may block its thread, or panic, when it is dropped.
            let dropped = blocking(move || drop((endpoints, values))).await;
            if let Err(Unfinished::Panicked(payload)) = dropped {
                let text = panic_text(&*payload);
                say!(
                    Warn,
                    "a handler, or a value that handlers share, panicked when it was dropped: {text}"
                );
            }
        })
    }
}

impl Handler<List> for RegistryActor {
    type Result = Vec<MethodName>;

    fn handle(&mut self, _: List, _: &mut Context<Self>) -> Self::Result {
        let services = self.table.services();
        services.routes().map(|route| route.name().clone()).collect()
    }
}

impl Handler<Call> for RegistryActor {
    type Result = ResponseFuture<Result<Json, CallError>>;

    fn handle(&mut self, call: Call, _: &mut Context<Self>) -> Self::Result {
        let route = self.table.find(&call.name.service, &call.name.method);
        let Some(threads) = &self.threads else {
            return Box::pin(answer(route, call.args));
        };
        let (tell, told) = oneshot::channel();
        let thread = threads.pick();
        let (desk, whose) = (thread.desk().clone(), format!("a direct call of {}", call.name));
        thread.handle().spawn_fn(move || {
            actix_rt::spawn(async move {
                let answer = desk.at_work(Arc::new(whose), answer(route, call.args)).await;
                // The caller may have given up.
                let _ = tell.send(answer);
            });
        });
        let gone = || CallError::HandlerGone("the thread that ran the handler is gone".to_owned());
        Box::pin(async move { told.await.unwrap_or_else(|_| Err(gone())) })
    }
}

async fn answer(route: Result<Route, RegistryError>, args: Json) -> Result<Json, CallError> {
    let route = route?;
    Ok(route.invoke(route.direct(), args.into_text()).await?)
}
