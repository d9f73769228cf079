//! The actor that owns the routing table.

use std::{collections::BTreeMap, sync::Arc};

use actix::{Actor, Context, Handler, Message, ResponseFuture};
use tokio::sync::oneshot;

use super::{
    CallError, Endpoint, MethodName, RegistryError, Route, TaskContext,
    table::{Services, Table},
};
use crate::{
    domain::{Faults, Json, MAX_NAME_CHARS},
    threads::Threads,
};

/// Owns the table of handlers, by service and method. [`Registry`](super::Registry) is the handle on it.
#[derive(Debug, Default)]
pub struct RegistryActor {
    table: Table,
    /// The threads that run the handlers of [`Call`]s; `None`: this actor's own thread.
    threads: Option<Threads>,
}

impl Actor for RegistryActor {
    type Context = Context<Self>;
}

#[derive(Message)]
#[rtype(result = "Result<(), RegistryError>")]
pub(super) struct Register {
    pub(super) name: MethodName,
    pub(super) endpoint: Endpoint,
    pub(super) replace: bool,
}

#[derive(Message)]
#[rtype(result = "bool")]
pub(super) struct Unregister(pub(super) MethodName);

#[derive(Message)]
#[rtype(result = "Vec<MethodName>")]
pub(super) struct List;

/// Removes all handlers.
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
    pub(crate) fn calling_on(threads: Threads) -> Self {
        Self {
            threads: Some(threads),
            ..Self::default()
        }
    }

    pub(super) fn table(&self) -> Table {
        self.table.clone()
    }

    fn register(&self, register: Register) -> Result<(), RegistryError> {
        let Register {
            name,
            endpoint,
            replace,
        } = register;
        let mut faults = Faults::default();
        faults.name("service", &name.service, MAX_NAME_CHARS);
        faults.name("method", &name.method, MAX_NAME_CHARS);
        faults.into_result()?;
        let mut services = Services::clone(&self.table.services());
        let methods = services.entry(name.service.clone()).or_default();
        match methods.get(&name.method) {
            Some(route) if !replace && route.is_alive() => return Err(RegistryError::AlreadyRegistered(name)),
            Some(route) => {
                route.set(Some(endpoint));
                self.table.announce();
            }
            None => {
                methods.insert(name.method.clone(), Route::new(name, endpoint));
                self.table.set(services);
            }
        }
        Ok(())
    }

    fn unregister(&self, name: &MethodName) -> bool {
        let mut services = Services::clone(&self.table.services());
        let Some(methods) = services.get_mut(&name.service) else {
            return false;
        };
        let Some(route) = methods.remove(&name.method) else {
            return false;
        };
        if methods.is_empty() {
            services.remove(&name.service);
        }
        self.table.set(services);
        // Callers that have kept the route get an error from now on.
        route.set(None);
        true
    }
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

impl Handler<Clear> for RegistryActor {
    type Result = ();

    fn handle(&mut self, _: Clear, _: &mut Context<Self>) {
        let services = self.table.take();
        for route in services.values().flat_map(BTreeMap::values) {
            route.set(None);
        }
    }
}

impl Handler<List> for RegistryActor {
    type Result = Vec<MethodName>;

    fn handle(&mut self, _: List, _: &mut Context<Self>) -> Self::Result {
        let services = self.table.services();
        let routes = services.values().flat_map(BTreeMap::values);
        routes.map(|route| route.name().clone()).collect()
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
    Ok(route?.invoke(TaskContext::direct(), args.into_text()).await?)
}
