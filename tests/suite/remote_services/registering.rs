//! Names of services, and the configuration.

use std::time::Duration;

use gaia_actors::{Config, Registry, RegistryError, RemoteService, async_fn, prelude::*, testing::TestGaia};
use serde_json::{Value, json as value};

use super::{SECRET, Service, added, json, order};
use crate::support::{Database, ended, options, refusal};

fn config(services: &Value) -> Config {
    Config::from_json(&value!({ "Services": services }).to_string()).expect("is good")
}

#[actix_rt::test]
async fn a_name_belongs_to_one_service() {
    let remote = || RemoteService::at("http://127.0.0.1:9/");
    let handler = || async_fn(async |_, _: Value| Ok(()));
    let builder = Gaia::builder().service("Orders", remote()).service("Orders", remote());
    let text = refusal(builder.check());
    assert!(text.contains("two remote services of the name \"Orders\""), "{text}");
    let builder = Gaia::builder()
        .service("Orders", remote())
        .handler("Orders", "Create", handler());
    let text = refusal(builder.check());
    assert!(text.contains("but Orders.Create has a handler"), "{text}");

    let registry = Registry::start();
    registry.register_service("Orders", remote()).await.expect("is new");
    let twice = registry.register_service("Orders", remote()).await;
    assert!(
        matches!(twice, Err(RegistryError::RegisteredAsWhole { .. })),
        "{twice:?}"
    );
    for beside in [
        registry.register("Orders", "Create", handler()).await,
        registry.replace("Orders", "Create", handler()).await,
    ] {
        assert!(
            matches!(beside, Err(RegistryError::RegisteredAsWhole { .. })),
            "{beside:?}"
        );
    }
    registry.replace_service("Orders", remote()).await.expect("is replaced");
    registry.register("Mail", "Send", handler()).await.expect("is new");
    let beside = registry.replace_service("Mail", remote()).await;
    assert!(matches!(beside, Err(RegistryError::HasMethods { .. })), "{beside:?}");
    assert_eq!(registry.unregister_service("Orders").await, Ok(true));
    assert_eq!(registry.unregister_service("Orders").await, Ok(false));
    registry.register("Orders", "Create", handler()).await.expect("is free");
}

#[actix_rt::test]
async fn a_service_with_faults_names_all_of_them_and_no_secret() {
    let remote = RemoteService::at("http://me:s3cret@host/x")
        .secret("whsec_s3cret")
        .timeout(Duration::ZERO)
        .max_concurrent(0)
        .methods(["a\nb"]);
    let shown = format!("{remote:?}");
    let text = refusal(Registry::start().register_service("Orders", remote.clone()).await);
    for part in [
        "service \"Orders\": the URL holds a user name or a password",
        "the secret is no base64",
        "the timeout is 0",
        "max_concurrent is 0, expected 1 to 10000",
        "control character U+000A",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let of_builder = refusal(Gaia::builder().service("Orders", remote).check());
    assert!(of_builder.contains("max_concurrent is 0"), "{of_builder}");
    for text in [shown, text, of_builder] {
        assert!(!text.contains("s3cret"), "{text}");
    }
    for url in ["ftp://host/", "http://host/?a=b", "http://host/#x", "orders"] {
        let text = refusal(
            Registry::start()
                .register_service("Orders", RemoteService::at(url))
                .await,
        );
        assert!(text.contains("the URL"), "{text}");
    }
}

#[actix_rt::test]
async fn the_configuration_names_services() {
    let service = Service::start(|_, _| json(200, "7")).await;
    let settings = config(&value!({ "Orders": {
        "Url": service.url(), "Secret": SECRET, "Timeout": 30, "MaxConcurrent": 5, "Methods": ["Known"],
    } }));
    assert!(!format!("{settings:?}").contains(SECRET));
    let database = Database::fresh();
    let builder = Gaia::builder().config(settings).configured().scheduler(options());
    let gaia = TestGaia::start_on(database.url(), builder).await.expect("starts");
    let (tasks, id) = added(&gaia, order("Create")).await;
    assert_eq!(ended(&tasks, id).await.last_result.as_deref(), Some("7"));
    assert!(service.got()[0].header("webhook-signature").is_some());
    gaia.stop().await.expect("stops");
}

#[test]
fn a_bad_service_of_the_configuration_says_where_it_stands() {
    let refused = |json: &str| match Config::from_json(json) {
        Ok(config) => refusal(Gaia::builder().config(config).configured().check()),
        Err(error) => error.to_string(),
    };
    for (json, parts) in [
        (
            "{\"Services\": {\n\"Orders\": {\"Url\": \"http://a/\"},\n\"Orders\": {\"Url\": \"http://b/\"}}}",
            ["\"Orders\" stands twice", "line 3"],
        ),
        (
            r#"{"Services": {"Orders": {"Ulr": "http://a/"}}}"#,
            ["Services.Orders.Ulr", "nearest known key is \"Url\""],
        ),
        (r#"{"Services": {"Orders": {}}}"#, ["Services.Orders: ", "the URL"]),
        (
            r#"{"Services": {"Orders": {"Url": "http://a/", "Timeout": -1}}}"#,
            ["Services.Orders.Timeout is -1", "expected 0"],
        ),
        (
            r#"{"Services": {"Orders": {"Url": "http://a/", "Secret": "whsec_s3cret", "MaxConcurrent": 0}}}"#,
            ["Services.Orders: the secret", "Services.Orders: max_concurrent is 0"],
        ),
        (
            r#"{"Services": {"Orders": "http://me:s3cret@a/"}}"#,
            ["Services.Orders", "expected"],
        ),
    ] {
        let text = refused(json);
        assert!(parts.iter().all(|part| text.contains(part)), "{json}: {text}");
        assert!(!text.contains("s3cret"), "{text}");
    }
}

#[actix_rt::test]
async fn a_reload_changes_adds_and_removes_services() {
    let [old, new] = [
        Service::start(|_, _| json(200, "1")).await,
        Service::start(|_, _| json(200, "2")).await,
    ];
    let [first, second, third] = [
        value!({ "Orders": { "Url": old.url() }, "Gone": { "Url": old.url(), "Methods": "Create" } }),
        value!({ "Orders": { "Url": new.url() }, "Added": { "Url": new.url() } }),
        value!({}),
    ]
    .map(|services| config(&services));
    let database = Database::fresh();
    let builder = Gaia::builder().config(first.clone()).configured();
    let gaia = TestGaia::start_on(database.url(), builder.scheduler(options()))
        .await
        .expect("starts");
    let kept = gaia.registry().route("Orders", "Create").expect("is served");
    assert_eq!(kept.call::<u64>(&7).await.expect("answers"), 1);
    gaia.reconfigure(&first, &second).await.expect("is good");
    // A route that a caller has kept follows.
    assert_eq!(kept.call::<u64>(&7).await.expect("answers"), 2);
    let registry = gaia.registry();
    assert_eq!(registry.call::<u64>("Added", "Create", &7).await.expect("answers"), 2);
    assert!(registry.call::<u64>("Gone", "Create", &7).await.is_err());
    assert_eq!(old.got().len(), 1);

    let bad = config(&value!({ "Orders": { "Url": "ftp://x" } }));
    let text = refusal(gaia.reconfigure(&second, &bad).await);
    assert!(text.contains("Services.Orders"), "{text}");
    assert_eq!(kept.call::<u64>(&7).await.expect("goes on"), 2);

    gaia.reconfigure(&second, &third).await.expect("is good");
    let text = refusal(kept.call::<u64>(&7).await);
    assert!(text.contains("is not registered"), "{text}");
    gaia.stop().await.expect("stops");
}
