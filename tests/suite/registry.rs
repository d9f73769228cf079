//! Registering, routing and direct calls.

use gaia_actors::{Call, CallError, MethodName, Registry, RegistryError, async_fn, blocking_fn, prelude::*};
use serde_json::Value;

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
    assert!(misfit.contains("do not fit i32"), "{misfit}");
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
