//! The actor that owns the routing table.

use std::collections::BTreeMap;

use actix::{Actor, Context, Handler, Message, ResponseFuture};
use tokio::sync::oneshot;

use super::{CallError, Endpoint, MethodName, RegistryError, Route, TaskContext};
use crate::{
    arbiters::Threads,
    domain::{Faults, Json, MAX_NAME_CHARS},
};

/// Routes calls of services' methods to their handlers. [`Registry`](super::Registry) is the handle on it.
#[derive(Debug, Default)]
pub struct RegistryActor {
    services: BTreeMap<String, BTreeMap<String, Route>>,
    /// Where handlers are called; `None`: on this actor's own thread.
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

#[derive(Message)]
#[rtype(result = "Result<Route, RegistryError>")]
pub(super) struct Resolve(pub(super) MethodName);

/// Take every handler away.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Clear;

/// Calls a method with JSON arguments and answers with its JSON result: the message form of
/// [`Registry::call`](super::Registry::call).
#[derive(Debug, Message)]
#[rtype(result = "Result<Json, CallError>")]
pub struct Call {
    /// Which method.
    pub name: MethodName,
    /// Its arguments.
    pub args: Json,
}

impl RegistryActor {
    /// A registry whose [`Call`]s run on these threads, so that a handler that blocks cannot block the registry.
    pub(crate) fn calling_on(threads: Threads) -> Self {
        Self {
            threads: Some(threads),
            ..Self::default()
        }
    }

    fn register(&mut self, register: Register) -> Result<(), RegistryError> {
        let Register {
            name,
            endpoint,
            replace,
        } = register;
        let mut faults = Faults::default();
        faults.name("service", &name.service, MAX_NAME_CHARS);
        faults.name("method", &name.method, MAX_NAME_CHARS);
        faults.into_result()?;
        let methods = self.services.entry(name.service.clone()).or_default();
        match methods.get(&name.method) {
            Some(_) if !replace => return Err(RegistryError::AlreadyRegistered(name)),
            Some(route) => route.set(Some(endpoint)),
            None => {
                methods.insert(name.method.clone(), Route::new(name, endpoint));
            }
        }
        Ok(())
    }

    fn unregister(&mut self, name: &MethodName) -> bool {
        let Some(methods) = self.services.get_mut(&name.service) else {
            return false;
        };
        let removed = methods.remove(&name.method);
        if methods.is_empty() {
            self.services.remove(&name.service);
        }
        // Whoever kept the route learns of it here.
        removed.map(|route| route.set(None)).is_some()
    }

    fn resolve(&self, name: &MethodName) -> Result<Route, RegistryError> {
        let Some(methods) = self.services.get(&name.service) else {
            return Err(RegistryError::UnknownService {
                service: name.service.clone(),
                known: listed(self.services.keys()),
            });
        };
        methods
            .get(&name.method)
            .cloned()
            .ok_or_else(|| RegistryError::UnknownMethod {
                service: name.service.clone(),
                method: name.method.clone(),
                known: listed(methods.keys()),
            })
    }
}

fn listed<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<&str> = names.map(String::as_str).collect();
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
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
        for route in std::mem::take(&mut self.services)
            .into_values()
            .flat_map(BTreeMap::into_values)
        {
            route.set(None);
        }
    }
}

impl Handler<List> for RegistryActor {
    type Result = Vec<MethodName>;

    fn handle(&mut self, _: List, _: &mut Context<Self>) -> Self::Result {
        let names = |(service, methods): (&String, &BTreeMap<String, Route>)| {
            let of = |method: &String| MethodName {
                service: service.clone(),
                method: method.clone(),
            };
            methods.keys().map(of).collect::<Vec<_>>()
        };
        self.services.iter().flat_map(names).collect()
    }
}

impl Handler<Resolve> for RegistryActor {
    type Result = Result<Route, RegistryError>;

    fn handle(&mut self, Resolve(name): Resolve, _: &mut Context<Self>) -> Self::Result {
        self.resolve(&name)
    }
}

impl Handler<Call> for RegistryActor {
    type Result = ResponseFuture<Result<Json, CallError>>;

    fn handle(&mut self, call: Call, _: &mut Context<Self>) -> Self::Result {
        let route = self.resolve(&call.name);
        let Some(threads) = &self.threads else {
            return Box::pin(answer(route, call.args));
        };
        let (tell, told) = oneshot::channel();
        threads.pick().handle().spawn_fn(move || {
            actix_rt::spawn(async move {
                // Whoever called may have given up.
                let _ = tell.send(answer(route, call.args).await);
            });
        });
        let gone = || CallError::HandlerGone("the thread that ran the handler is gone".to_owned());
        Box::pin(async move { told.await.unwrap_or_else(|_| Err(gone())) })
    }
}

async fn answer(route: Result<Route, RegistryError>, args: Json) -> Result<Json, CallError> {
    Ok(route?.invoke(TaskContext::direct(), args).await?)
}
