//! The shop without a network: each test has a database of its own, and moves the time by hand.

use std::time::Duration;

use actix_web::{App, http::StatusCode, test};
use gaia_actors::{
    prelude::*,
    testing::{TestContext, TestGaia},
};
use serde_json::{Value, json};

use crate::{
    http,
    orders::{NewOrder, OrderError, Orders},
    work::{self, CONFIRM_ORDER, COUNT_ORDERS, Mail, SEND_MAIL, Sender},
};

struct Shop {
    gaia: TestGaia,
    orders: Orders,
}

/// On a file of SQLite, or in a schema of PostgreSQL if `GAIA_TEST_DATABASE_URL` names a server.
async fn open() -> Shop {
    let started = TestGaia::start_with(async |url| {
        let orders = Orders::open(url).await?;
        Ok::<_, OrderError>((work::builder(orders.clone()), orders))
    });
    let (gaia, orders) = started.await.expect("starts");
    Shop { gaia, orders }
}

fn tea(amount: i32) -> NewOrder {
    NewOrder {
        customer: "ann".to_owned(),
        item: "tea".to_owned(),
        amount,
    }
}

#[actix_rt::test]
async fn an_order_is_confirmed_and_its_customer_is_told() {
    let Shop { gaia, orders } = open().await;
    let orders_theme = gaia.scheduler(CONFIRM_ORDER.theme_name()).expect("is a theme");
    let mail_theme = gaia.scheduler(SEND_MAIL.theme_name()).expect("is a theme");
    // What is added waits, so that the test can look at it.
    for theme in [&orders_theme, &mail_theme] {
        theme.pause().await.expect("is paused");
    }
    let placed = orders.place(&orders_theme, &tea(2)).await.expect("is placed");
    gaia.assert_enqueued_of(CONFIRM_ORDER, &placed.order).await;

    orders_theme.resume().await.expect("goes on");
    gaia.drain(CONFIRM_ORDER.theme_name()).await;
    assert_eq!(orders.find(placed.order).await.expect("is there").status, "confirmed");
    let mail = Mail {
        to: "ann".to_owned(),
        text: "2 of tea will be sent".to_owned(),
    };
    gaia.assert_enqueued_of(SEND_MAIL, &mail).await;
    mail_theme.resume().await.expect("goes on");
    let sent = gaia.drain(SEND_MAIL.theme_name()).await;
    assert_eq!(sent[&TaskStatus::Success], 1);
}

#[actix_rt::test]
async fn an_order_that_is_refused_leaves_nothing() {
    let Shop { gaia, orders } = open().await;
    let scheduler = gaia.scheduler(CONFIRM_ORDER.theme_name()).expect("is a theme");
    let refused = orders.place(&scheduler, &tea(0)).await;
    assert!(matches!(refused, Err(OrderError::Amount(0))), "{refused:?}");
    gaia.refute_enqueued_of(CONFIRM_ORDER).await;
    assert_eq!(orders.count("new").await.expect("counts"), 0);
}

#[actix_rt::test]
async fn a_second_run_sends_no_second_mail() {
    let Shop { gaia, orders } = open().await;
    let scheduler = gaia.scheduler(CONFIRM_ORDER.theme_name()).expect("is a theme");
    let placed = orders.place(&scheduler, &tea(1)).await.expect("is placed");
    for _ in 0..2 {
        CONFIRM_ORDER.add(&gaia, &placed.order).await.expect("is added");
    }
    let ended = gaia.drain(CONFIRM_ORDER.theme_name()).await;
    assert_eq!(ended[&TaskStatus::Success], 3);
    let mails: i64 = gaia.drain(SEND_MAIL.theme_name()).await.values().sum();
    assert_eq!(mails, 1);
}

#[actix_rt::test]
async fn a_task_of_an_order_that_is_not_there_fails_at_once() {
    let Shop { gaia, .. } = open().await;
    let added = CONFIRM_ORDER.add(&gaia, &17).await.expect("is added");
    gaia.drain(CONFIRM_ORDER.theme_name()).await;
    let task = added.scheduler().get_task_detail(added.id).await.expect("is there");
    assert_eq!(
        (task.status, task.last_error.as_deref()),
        (TaskStatus::Failed, Some("there is no order 17"))
    );
}

#[actix_rt::test]
async fn the_report_counts() {
    let Shop { gaia, orders } = open().await;
    let scheduler = gaia.scheduler(CONFIRM_ORDER.theme_name()).expect("is a theme");
    orders.place(&scheduler, &tea(3)).await.expect("is placed");
    gaia.drain(CONFIRM_ORDER.theme_name()).await;
    let count = COUNT_ORDERS
        .task(&"confirmed".to_owned())
        .theme(CONFIRM_ORDER.theme_name());
    let counted = count.add(&gaia).await.expect("is added");
    gaia.drain(CONFIRM_ORDER.theme_name()).await;
    assert_eq!(counted.wait(Duration::ZERO).await.expect("has ended"), 1);
}

#[actix_rt::test]
async fn without_its_sender_a_mail_says_what_is_missing() {
    let mail = Mail {
        to: "ann".to_owned(),
        text: "hello".to_owned(),
    };
    let told = work::text_of(&TestContext::new().context(), &mail);
    let error = told.expect_err("there is no sender").to_string();
    assert!(error.contains("Sender") && error.contains("data"), "{error}");
    let ctx = TestContext::new().data(Sender("the shop".to_owned())).context();
    assert_eq!(
        work::text_of(&ctx, &mail).expect("has a sender"),
        "from the shop to ann: hello"
    );
}

#[actix_rt::test]
async fn the_routes() {
    let Shop { gaia, orders } = open().await;
    let scheduler = gaia.scheduler(CONFIRM_ORDER.theme_name()).expect("is a theme");
    let app = App::new().configure(|config| http::routes(config, &orders, &scheduler));
    let app = test::init_service(app).await;
    let here = "127.0.0.1:9".parse().expect("is an address");
    let get = |path: &str| test::TestRequest::get().uri(path).peer_addr(here).to_request();
    let post = |body: Value| test::TestRequest::post().uri("/orders").set_json(body).to_request();

    let placed = test::call_service(&app, post(json!({"customer": "ann", "item": "tea", "amount": 2}))).await;
    assert_eq!(placed.status(), StatusCode::ACCEPTED);
    let placed: Value = test::read_body_json(placed).await;
    gaia.drain(CONFIRM_ORDER.theme_name()).await;
    let order: Value = test::call_and_read_body_json(&app, get(&format!("/orders/{}", placed["order"]))).await;
    assert_eq!(order["status"], "confirmed");
    let tasks: Value =
        test::call_and_read_body_json(&app, get("/staff/tasks?status=Success&method=ConfirmOrder")).await;
    assert_eq!(tasks["items"][0]["id"], placed["task"]);

    let refused = test::call_service(&app, post(json!({"customer": "ann", "item": "tea", "amount": 0}))).await;
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    for (path, status) in [
        ("/staff/tasks?status=Nonsense", StatusCode::BAD_REQUEST),
        ("/staff/tasks?unknown=1", StatusCode::BAD_REQUEST),
        ("/orders/999", StatusCode::NOT_FOUND),
        ("/staff/tasks/999", StatusCode::NOT_FOUND),
    ] {
        assert_eq!(test::call_service(&app, get(path)).await.status(), status, "{path}");
    }
    let elsewhere = "192.0.2.1:9".parse().expect("is an address");
    let request = test::TestRequest::get()
        .uri("/staff/tasks")
        .peer_addr(elsewhere)
        .to_request();
    assert_eq!(test::call_service(&app, request).await.status(), StatusCode::NOT_FOUND);
}

#[actix_rt::test]
async fn the_report_runs_every_morning() {
    let Shop { gaia, .. } = open().await;
    work::ensure_jobs(&gaia).await.expect("are added");
    work::ensure_jobs(&gaia).await.expect("are there");
    let jobs = gaia.jobs().list_jobs(ListJobs::default()).await.expect("lists");
    let [job] = &jobs.items[..] else { panic!("{jobs:?}") };
    let next = job.next_run_time.expect("has a schedule");
    assert_eq!(next.to_rfc3339(), "2026-01-01T06:00:00+00:00");
}
