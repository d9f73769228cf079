//! Registering, routing and direct calls.

use std::sync::Arc;

use gaia_actors::{Call, CallError, MethodName, Registry, RegistryError, async_fn, blocking_fn, prelude::*};
use serde_json::Value;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::support::{Database, refusal};

fn answering(text: &'static str) -> gaia_actors::Endpoint {
    async_fn(async move |_, _: Value| Ok(text))
}

#[actix_rt::test]
async fn a_typed_call_needs_no_queue() {
    let registry = Registry::start();
    let add = async |ctx: TaskContext, (a, b): (i32, i32)| {
        assert_eq!((ctx.id(), ctx.theme(), ctx.attempt()), (0, "", 1));
        Ok(a + b)
    };
    registry.register("Math", "Add", async_fn(add)).await.expect("is free");
    let upper = blocking_fn(|_, text: String| Ok(text.to_uppercase()));
    registry.register("Text", "Upper", upper).await.expect("is free");
    assert_eq!(registry.call::<i32>("Math", "Add", &(2, 3)).await.expect("adds"), 5);
    assert_eq!(
        registry.call::<String>("Text", "Upper", "hé").await.expect("answers"),
        "HÉ"
    );

    let call = Call {
        name: MethodName {
            service: "Math".to_owned(),
            method: "Add".to_owned(),
        },
        args: Json::of(&(4, 5)).expect("serialises"),
    };
    let answer = registry.addr().send(call).await.expect("alive").expect("adds");
    assert_eq!(answer.as_str(), "9");
}

#[actix_rt::test]
async fn a_call_that_fails_says_why() {
    let registry = Registry::start();
    let panicking = async_fn(async |_, _: Value| -> Result<(), TaskError> { panic!("ouch") });
    registry.register("Demo", "Panic", panicking).await.expect("is free");
    registry
        .register("Demo", "Text", answering("text"))
        .await
        .expect("is free");

    let panicked = registry.call::<()>("Demo", "Panic", &()).await;
    assert!(matches!(panicked, Err(CallError::Panicked(text)) if text == "ouch"));
    let misfit = refusal(registry.call::<i32>("Demo", "Text", &()).await);
    assert!(misfit.contains("the JSON does not fit i32"), "{misfit}");
    let nobody = refusal(registry.call::<()>("Nobody", "Text", &()).await);
    assert_eq!(
        nobody,
        "service \"Nobody\" is not registered; registered services: Demo"
    );
    let method = refusal(registry.call::<()>("Demo", "Txet", &()).await);
    assert_eq!(
        method,
        "service \"Demo\" has no method \"Txet\"; its registered methods: Panic, Text"
    );
}

#[actix_rt::test]
async fn registering_twice_is_an_error_unless_asked_to_replace() {
    let registry = Registry::start();
    registry
        .register("Demo", "Run", answering("first"))
        .await
        .expect("is free");
    let twice = registry.register("Demo", "Run", answering("second")).await;
    assert!(matches!(&twice, Err(RegistryError::AlreadyRegistered(name)) if name.to_string() == "Demo.Run"));
    assert_eq!(
        registry.call::<String>("Demo", "Run", &()).await.expect("answers"),
        "first"
    );

    // The caller's kept route leads to the new handler.
    registry
        .replace("Demo", "Run", answering("second"))
        .await
        .expect("replaces");
    assert_eq!(
        registry.call::<String>("Demo", "Run", &()).await.expect("answers"),
        "second"
    );

    assert!(registry.unregister("Demo", "Run").await.expect("alive"));
    assert!(!registry.unregister("Demo", "Run").await.expect("alive"));
    assert!(refusal(registry.call::<String>("Demo", "Run", &()).await).contains("is not registered"));
    registry
        .register("Demo", "Run", answering("third"))
        .await
        .expect("is free again");
    assert_eq!(
        registry.call::<String>("Demo", "Run", &()).await.expect("answers"),
        "third"
    );
}

#[actix_rt::test]
async fn a_kept_route_leads_to_the_handler_of_the_moment() {
    let registry = Registry::start();
    let missing = registry.route("Demo", "Run").map(|_| ());
    assert!(refusal(missing).contains("registered services: none"));
    registry
        .register("Demo", "Run", answering("first"))
        .await
        .expect("is free");
    let route = registry.route("Demo", "Run").expect("is registered");
    assert_eq!(route.call::<String>(&()).await.expect("answers"), "first");

    registry
        .replace("Demo", "Run", answering("second"))
        .await
        .expect("replaces");
    assert_eq!(route.call::<String>(&()).await.expect("answers"), "second");

    assert!(registry.unregister("Demo", "Run").await.expect("alive"));
    assert!(refusal(route.call::<String>(&()).await).contains("was unregistered"));
    assert!(!registry.unregister("Demo", "Run").await.expect("alive"));
}

#[actix_rt::test]
async fn a_call_ends_with_the_handler_it_began_with() {
    let registry = Registry::start();
    let (entered, mut begun) = mpsc::unbounded_channel();
    let go = Arc::new(Notify::new());
    let first = {
        let go = Arc::clone(&go);
        async_fn(async move |_, _: Value| {
            let _ = entered.send(());
            go.notified().await;
            Ok("first")
        })
    };
    registry.register("Demo", "Run", first).await.expect("is free");
    let call = actix_rt::spawn({
        let registry = registry.clone();
        async move { registry.call::<String>("Demo", "Run", &()).await }
    });
    begun.recv().await.expect("begins");
    registry
        .replace("Demo", "Run", answering("second"))
        .await
        .expect("replaces");
    assert!(registry.unregister("Demo", "Run").await.expect("alive"));
    go.notify_one();
    assert_eq!(call.await.expect("ends").expect("answers"), "first");
}

#[actix_rt::test]
async fn an_async_function_runs_on_the_thread_of_its_caller() {
    let registry = Registry::start();
    let thread = async_fn(async |_, (): ()| Ok(format!("{:?}", std::thread::current().id())));
    registry.register("Demo", "Thread", thread).await.expect("is free");
    let route = registry.route("Demo", "Thread").expect("is registered");
    let elsewhere = std::thread::spawn(move || {
        let answer = actix_rt::System::new().block_on(route.call::<String>(&()));
        (answer.expect("answers"), format!("{:?}", std::thread::current().id()))
    });
    let (answer, thread) = elsewhere.join().expect("ends");
    assert_eq!(answer, thread);
}

#[actix_rt::test]
async fn arguments_that_panic_when_they_are_read_harm_nobody() {
    #[derive(Debug)]
    struct Explosive;
    impl<'de> serde::Deserialize<'de> for Explosive {
        fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            panic!("boom")
        }
    }
    let registry = Registry::start();
    let reads = async_fn(async |_, _: Explosive| Ok(()));
    registry.register("Demo", "Reads", reads).await.expect("is free");
    let reads = blocking_fn(|_, _: Explosive| Ok(()));
    registry.register("Demo", "Blocks", reads).await.expect("is free");
    for method in ["Reads", "Blocks"] {
        let panicked = registry.call::<()>("Demo", method, &()).await;
        assert!(matches!(panicked, Err(CallError::Panicked(text)) if text == "boom"));
    }
}

#[actix_rt::test]
async fn each_direct_call_has_one_log_id() {
    let registry = Registry::start();
    let ids = async_fn(async |ctx: TaskContext, (): ()| {
        let clone = ctx.clone();
        Ok((ctx.log_id().to_owned(), clone.log_id().to_owned()))
    });
    registry.register("Demo", "Ids", ids).await.expect("is free");
    let call = async || {
        registry
            .call::<(String, String)>("Demo", "Ids", &())
            .await
            .expect("answers")
    };
    let (first, same) = call().await;
    let (second, _) = call().await;
    assert_eq!((first.len(), &first), (32, &same));
    assert_ne!(first, second);
}

#[actix_rt::test]
async fn a_registry_that_is_gone_says_so() {
    let arbiter = actix_rt::Arbiter::new();
    let (tell, told) = oneshot::channel();
    arbiter.spawn_fn(move || {
        let _ = tell.send(Registry::start());
    });
    let registry = told.await.expect("starts");
    registry
        .register("Demo", "Run", answering("there"))
        .await
        .expect("is free");
    arbiter.stop();
    arbiter.join().expect("ends");
    assert!(matches!(registry.route("Demo", "Walk"), Err(RegistryError::Stopped)));
    assert!(matches!(registry.list().await, Err(RegistryError::Stopped)));
}

#[actix_rt::test]
async fn what_is_registered_is_listed_in_order() {
    let registry = Registry::start();
    for (service, method) in [("B", "z"), ("A", "y"), ("B", "a")] {
        registry
            .register(service, method, answering(""))
            .await
            .expect("is free");
    }
    let names: Vec<_> = registry
        .list()
        .await
        .expect("alive")
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(names, ["A.y", "B.a", "B.z"]);
}

#[actix_rt::test]
async fn names_that_fit_no_column_are_refused() {
    let registry = Registry::start();
    let long = "x".repeat(256);
    let text = refusal(registry.register("", long, answering("")).await);
    assert_eq!(
        text,
        "cannot register: service is empty; method has 256 characters, at most 255 fit its column"
    );
}

#[actix_rt::test]
async fn no_handler_is_called_on_the_thread_of_the_actors() {
    let thread = async_fn(async |_, _: Value| {
        let thread = std::thread::current();
        Ok(thread.name().unwrap_or_default().to_owned())
    });
    let database = Database::fresh();
    let gaia = database
        .builder()
        .handler("Demo", "Thread", thread)
        .start()
        .await
        .expect("starts");
    let call = Call {
        name: MethodName {
            service: "Demo".to_owned(),
            method: "Thread".to_owned(),
        },
        args: Json::null(),
    };
    let name = gaia
        .registry()
        .addr()
        .send(call)
        .await
        .expect("alive")
        .expect("answers");
    assert!(name.as_str().contains("arbiter"), "{name}");
    gaia.stop().await.expect("stops");
}
