//! Definitions of tasks: handlers and callers with the same types.

use std::{sync::Arc, time::Duration};

use actix::{Actor, Context, Handler};
use gaia_actors::{RegistryError, async_fn, prelude::*};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

#[cfg(feature = "sqlite")]
use crate::support::Kind;
use crate::support::{Database, PATIENCE, THEME, Tested, options, refusal};

#[derive(Serialize, Deserialize)]
struct CreateOrder {
    item: String,
    amount: u32,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Receipt {
    order: u64,
}

const CREATE: TaskDef<CreateOrder, Receipt> = TaskDef::new("OrderService", "Create").theme(THEME);
const CONFIRM: TaskDef<u64, String> = TaskDef::new("OrderService", "Confirm").theme(THEME);
const BROKEN: TaskDef<(), ()> = TaskDef::new("", "").theme(TOO_LONG).max_retry(-1);

/// 101 characters.
const TOO_LONG: &str =
    "a theme of more characters than its column holds, which is one hundred, and this has one more than thaat";

fn order(amount: u32) -> CreateOrder {
    let item = "tea".to_owned();
    CreateOrder { item, amount }
}

async fn create(_: TaskContext, order: CreateOrder) -> Result<Receipt, TaskError> {
    match order.amount {
        0 => Err(TaskError::discard("there is nothing to order")),
        amount => Ok(Receipt { order: amount.into() }),
    }
}

#[actix_rt::test]
async fn a_task_is_added_handled_and_waited_for_by_its_definition() {
    let gaia = Tested::start(Gaia::builder().handlers(CREATE.handler(create)).scheduler(options())).await;
    let added = CREATE.add(&*gaia, &order(7)).await.expect("is added");
    assert!(!added.duplicate);
    assert_eq!(added.wait(PATIENCE).await.expect("has a result"), Receipt { order: 7 });
    let any_handle = gaia.scheduler("of another theme").expect("is a theme");
    let again = CREATE
        .wait_for(&any_handle, added.id, PATIENCE)
        .await
        .expect("has a result");
    assert_eq!(again, Receipt { order: 7 });
}

#[actix_rt::test]
async fn a_definition_gives_its_options_and_a_task_may_change_them() {
    const MAIL: TaskDef<String, ()> = TaskDef::new("Mail", "Send")
        .theme("mail")
        .max_retry(7)
        .priority(3)
        .timeout(Duration::from_secs(30))
        .retry_delay(Duration::from_secs(5));
    let database = Database::fresh();
    let gaia = database.builder().start().await.expect("starts");
    let to = "ann".to_owned();

    let defined = MAIL.add(&gaia, &to).await.expect("is added");
    let task = gaia
        .scheduler("mail")
        .expect("is a theme")
        .get_task_detail(defined.id)
        .await
        .expect("is there");
    assert_eq!(
        (task.service.as_str(), task.method.as_str(), task.arg.as_str()),
        ("Mail", "Send", "\"ann\"")
    );
    assert_eq!(
        (task.max_retry_time, task.priority, task.timeout),
        (7, 3, Some(Duration::from_secs(30)))
    );
    let delay = "SELECT retry_delay_ms FROM asynctasks WHERE id = ";
    assert_eq!(database.number(&format!("{delay}{}", defined.id)), 5_000);

    let at = chrono::Utc::now() + chrono::TimeDelta::days(1);
    let changed = MAIL
        .task(&to)
        .theme("letters")
        .name("to ann")
        .max_retry(0)
        .priority(-1)
        .run_at(at)
        .timeout(Duration::from_secs(9))
        .retry_delay(Duration::from_secs(1))
        .unique_key("ann")
        .traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    let added = changed.clone().add(&gaia).await.expect("is added");
    let task = added.scheduler().get_task_detail(added.id).await.expect("is there");
    assert_eq!((task.theme.as_str(), task.name.as_str()), ("letters", "to ann"));
    assert_eq!(
        (task.max_retry_time, task.priority, task.timeout),
        (0, -1, Some(Duration::from_secs(9)))
    );
    assert_eq!((task.unique_key.as_deref(), task.run_at.is_some()), (Some("ann"), true));
    assert!(task.traceparent.is_some());
    assert_eq!(database.number(&format!("{delay}{}", added.id)), 1_000);
    let second = changed.add(&gaia).await.expect("is there already");
    assert_eq!((second.id, second.duplicate), (added.id, true));
    let elsewhere = refusal(MAIL.wait_for(&gaia, added.id, Duration::ZERO).await);
    assert_eq!(elsewhere, format!("theme \"mail\" has no task {}", added.id));
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_definition_without_options_has_those_of_a_new_task_and_the_theme_default() {
    const PLAIN: TaskDef<(), ()> = TaskDef::new("Demo", "Plain");
    let gaia = Tested::start(Gaia::builder()).await;
    let added = PLAIN.add(&*gaia, &()).await.expect("is added");
    let typed = added.scheduler().get_task_detail(added.id).await.expect("is there");
    let default = gaia.scheduler("default").expect("is a theme");
    let untyped = default
        .add_task(NewTask::new("Demo", "Plain"))
        .await
        .expect("is added")
        .id;
    let untyped = default.get_task_detail(untyped).await.expect("is there");
    let facts = |task: Task| {
        let options = (
            task.max_retry_time,
            task.priority,
            task.timeout,
            task.unique_key,
            task.run_at,
        );
        (task.theme, task.service, task.method, task.name, task.arg, options)
    };
    assert_eq!(facts(typed), facts(untyped));
}

#[actix_rt::test]
async fn a_task_without_a_result_says_how_it_has_ended() {
    let confirm = CONFIRM.handler(async |ctx, _| {
        ctx.cancelled().await;
        Err(TaskError::failed("told to stop"))
    });
    let gaia = Tested::start(
        Gaia::builder()
            .handlers([CREATE.handler(create), confirm])
            .scheduler(options()),
    )
    .await;

    let failed = CREATE.add(&*gaia, &order(0)).await.expect("is added");
    let error = failed.wait(PATIENCE).await.expect_err("has failed");
    assert!(
        matches!(&error, Error::TaskUnsuccessful { id, status: TaskStatus::Failed, last_error: Some(_) } if *id == failed.id),
        "{error:?}"
    );
    let text = format!(
        "task {} has no result: it has ended as Failed: there is nothing to order",
        failed.id
    );
    assert_eq!(error.to_string(), text);

    let cancelled = CONFIRM.add(&*gaia, &1).await.expect("is added");
    let late = cancelled.wait(Duration::ZERO).await.expect_err("still runs");
    assert!(matches!(late, Error::WaitTimedOut { .. }), "{late:?}");
    cancelled.scheduler().cancel_task(cancelled.id).await.expect("runs");
    let error = cancelled.wait(PATIENCE).await.expect_err("was cancelled");
    assert!(
        matches!(
            error,
            Error::TaskUnsuccessful {
                status: TaskStatus::Cancelled,
                ..
            }
        ),
        "{error:?}"
    );
}

/// Another program, or an older one, has another idea of the type.
#[actix_rt::test]
async fn a_result_of_another_type_names_the_task_and_the_type() {
    let number = async_fn(async |_, _: u64| Ok(17));
    let gaia = Tested::start(
        Gaia::builder()
            .handler("OrderService", "Confirm", number)
            .scheduler(options()),
    )
    .await;
    let added = CONFIRM.add(&*gaia, &1).await.expect("is added");
    let error = added.wait(PATIENCE).await.expect_err("is a number");
    assert!(
        matches!(&error, Error::ResultMismatch { id, .. } if *id == added.id),
        "{error:?}"
    );
    let text = error.to_string();
    let expected = format!(
        "the result of task {} does not fit alloc::string::String: invalid type: integer `17`",
        added.id
    );
    assert!(text.starts_with(&expected), "{text}");
}

#[actix_rt::test]
async fn arguments_of_another_type_fail_the_task_at_once() {
    let gaia = Tested::start(Gaia::builder().handlers(CREATE.handler(create)).scheduler(options())).await;
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let other = demo
        .add_task(NewTask::new("OrderService", "Create").args(&"tea"))
        .await
        .expect("is added");
    let error = refusal(CREATE.wait_for(&*gaia, other.id, PATIENCE).await);
    assert!(error.contains("PARAM_ERROR"), "{error}");
}

#[actix_rt::test]
async fn many_are_added_in_one_transaction_or_none() {
    let gaia = Tested::start(Gaia::builder().handlers(CREATE.handler(create)).scheduler(options())).await;
    let orders = [1, 2, 3].map(order);
    let mut added = CREATE.add_all(&*gaia, &orders).await.expect("are added");
    added.extend(CREATE.add_all(&*gaia, (4..=6).map(order)).await.expect("are added"));
    for (amount, task) in (1..).zip(&added) {
        assert_eq!(
            task.wait(PATIENCE).await.expect("has a result"),
            Receipt { order: amount }
        );
    }
    let bad = CREATE.max_retry(-1).add_all(&*gaia, &orders).await;
    assert_eq!(refusal(bad), "invalid input: max_retry is -1, expected 0 to 2147483646");
    assert_eq!(gaia.database.number("SELECT COUNT(*) FROM asynctasks"), 6);
}

/// An object with a state that its methods share.
struct OrderService {
    last: Mutex<u64>,
}

impl OrderService {
    async fn create(&self, _: TaskContext, order: CreateOrder) -> Result<Receipt, TaskError> {
        let mut last = self.last.lock().await;
        let order = last.checked_add(order.amount.into());
        *last = order.ok_or_else(|| TaskError::discard("out of numbers"))?;
        Ok(Receipt { order: *last })
    }

    fn confirm(&self, _: TaskContext, order: u64) -> Result<String, TaskError> {
        let last = *self.last.blocking_lock();
        if order > last {
            return Err(TaskError::discard("there is no such order"));
        }
        Ok(format!("{order} of {last}"))
    }

    async fn count(&self, _: TaskContext, (): ()) -> Result<u64, TaskError> {
        Ok(*self.last.lock().await)
    }

    fn methods() -> ServiceMethods<Self> {
        let last = Mutex::new(10);
        ServiceMethods::of(Arc::new(Self { last }))
            .method(CREATE, Self::create)
            .blocking_method(CONFIRM, Self::confirm)
            .method_named("OrderService", "Count", Self::count)
    }
}

#[actix_rt::test]
async fn a_service_object_brings_all_its_methods() {
    let gaia = Tested::start(Gaia::builder().handlers(OrderService::methods()).scheduler(options())).await;
    let created = CREATE.add(&*gaia, &order(5)).await.expect("is added");
    assert_eq!(
        created.wait(PATIENCE).await.expect("has a result"),
        Receipt { order: 15 }
    );
    let confirmed = CONFIRM.add(&*gaia, &10).await.expect("is added");
    assert_eq!(confirmed.wait(PATIENCE).await.expect("has a result"), "10 of 15");
    let count = gaia.registry().call::<u64>("OrderService", "Count", &()).await;
    assert_eq!(count.expect("answers"), 15);
}

/// All or none, in the transaction of the application, and the workers look when they are told.
#[cfg(feature = "sqlite")]
#[actix_rt::test]
async fn tasks_of_a_definition_are_added_in_transactions_of_the_application() {
    use diesel_async::{AsyncConnection, SimpleAsyncConnection};

    let database = Database::of_kind(Kind::Sqlite);
    let builder = database
        .builder()
        .handlers(OrderService::methods())
        .scheduler(options());
    let gaia = builder.start().await.expect("starts");
    let added = database.connection().immediate_transaction(|conn| {
        let confirm = CONFIRM.task(&7).name("confirm");
        confirm.blocking_add_on(&gaia, conn)
    });
    let added = added.expect("commits");
    added.wake();
    assert_eq!(added.wait(PATIENCE).await.expect("has a result"), "7 of 10");

    let path = database.path().to_string_lossy().into_owned();
    let conn =
        diesel_async::sync_connection_wrapper::SyncConnectionWrapper::<diesel::SqliteConnection>::establish(&path);
    let mut conn = conn.await.expect("connects");
    // The node writes, too: a transaction that reads first and then finds the file locked cannot go on.
    conn.batch_execute("PRAGMA busy_timeout = 60000").await.expect("is set");
    let none = conn.immediate_transaction(async |conn| {
        CONFIRM.add_all_on(&gaia, conn, [8, 9]).await?;
        Err::<(), Error>(diesel::result::Error::RollbackTransaction.into())
    });
    none.await.expect_err("is rolled back");
    let all = conn.immediate_transaction(async |conn| CONFIRM.add_all_on(&gaia, conn, [9, 10]).await);
    for (added, expected) in all.await.expect("commits").iter().zip(["9 of 10", "10 of 10"]) {
        added.wake();
        assert_eq!(added.wait(PATIENCE).await.expect("has a result"), expected);
    }
    assert_eq!(database.number("SELECT COUNT(*) FROM asynctasks"), 3);
    gaia.stop().await.expect("stops");
}

#[actix_rt::test]
async fn a_layer_is_around_each_method_of_an_object_and_a_job_comes_from_a_definition() {
    const MONTHLY: TaskDef<u64, String> = TaskDef::new("OrderService", "Confirm")
        .max_retry(2)
        .timeout(Duration::from_secs(7))
        .retry_delay(Duration::from_secs(9));
    let polite = async |ctx: TaskContext, next: Next| {
        let said: String = next.run(ctx).await?.parse()?;
        Json::of(&format!("please: {said}"))
    };
    let methods = ServiceMethods::of(Arc::new(()))
        .method(CONFIRM, async |(): &(), _, order| Ok(format!("{order}")))
        .layer(polite);
    let builder = Gaia::builder().handlers(methods).jobs(JobsOptions::default());
    let gaia = Tested::start(builder.scheduler(options())).await;
    let job = MONTHLY.cron_job("monthly", "0 0 6 1 * *", &17);
    let id = gaia.jobs().add_job(job).await.expect("is added");
    let job = gaia.jobs().get_job_detail(id).await.expect("is there").job;
    assert_eq!(
        (job.args.as_deref(), job.timeout, job.max_retry, job.retry_delay),
        (Some("17"), 7, 2, Duration::from_secs(9))
    );
    let run = gaia.jobs().execute_job_immediately(id).await.expect("runs");
    let run = gaia.jobs().wait_for_run(run.id, PATIENCE).await.expect("ends");
    assert_eq!(run.run_result.as_deref(), Some("\"please: 17\""));
}

struct Clerk;

impl Actor for Clerk {
    type Context = Context<Self>;
}

impl Handler<Invoke> for Clerk {
    type Result = Result<Json, TaskError>;

    fn handle(&mut self, call: Invoke, _: &mut Context<Self>) -> Self::Result {
        Json::of(&format!("confirmed {}", call.args::<u64>()?))
    }
}

#[actix_rt::test]
async fn an_actor_handles_the_tasks_of_a_definition() {
    let clerk = CONFIRM.actor(Clerk.start().recipient());
    let gaia = Tested::start(Gaia::builder().handlers([clerk]).scheduler(options())).await;
    let added = CONFIRM.add(&*gaia, &4).await.expect("is added");
    assert_eq!(added.wait(PATIENCE).await.expect("has a result"), "confirmed 4");
}

#[actix_rt::test]
async fn whatever_holds_a_handle_adds_tasks() {
    let gaia = Tested::start(Gaia::builder()).await;
    let orders = Arc::new(gaia.scheduler("orders").expect("is a theme"));
    let first = CONFIRM.add(&orders, &1).await.expect("is added");
    let second = CONFIRM.task(&2).add(&&orders).await.expect("is added");
    #[cfg(feature = "web")]
    CONFIRM
        .add(&actix_web::web::Data::from(Arc::clone(&orders)), &3)
        .await
        .expect("is added");
    assert!(first.id < second.id);
}

#[actix_rt::test]
async fn registering_many_is_all_or_nothing_and_names_every_method_that_is_taken() {
    let gaia = Tested::start(Gaia::builder()).await;
    let registry = gaia.registry();
    registry
        .register_all(CONFIRM.handler(async |_, _| Ok("first".to_owned())))
        .await
        .expect("is free");
    let taken = registry.register_all(OrderService::methods()).await;
    assert!(
        matches!(&taken, Err(RegistryError::AlreadyRegistered(name)) if name.method == "Confirm"),
        "{taken:?}"
    );
    registry
        .register("OrderService", "Count", async_fn(async |_, (): ()| Ok(0)))
        .await
        .expect("is free");
    let taken = registry.register_all(OrderService::methods()).await;
    assert!(
        matches!(&taken, Err(RegistryError::Several(errors)) if errors.len() == 2),
        "{taken:?}"
    );
    let text = refusal(taken);
    for method in [
        "OrderService.Confirm is registered already",
        "OrderService.Count is registered already",
    ] {
        assert!(text.contains(method), "{text}");
    }
    let names = registry.list().await.expect("answers");
    assert_eq!(
        names.iter().map(|name| name.method.as_str()).collect::<Vec<_>>(),
        ["Confirm", "Count"]
    );
    let answer = registry.call::<String>("OrderService", "Confirm", &1).await;
    assert_eq!(answer.expect("answers"), "first");
}

#[actix_rt::test]
async fn a_bad_definition_is_refused_where_it_is_registered_and_where_it_is_used() {
    assert!(TOO_LONG.len() > 100);
    let faults = ["theme has 1", "service is empty", "method is empty", "max_retry is -1"];
    let names_all = |text: &str| {
        for fault in faults {
            assert!(text.contains(fault), "{fault:?} is missing in: {text}");
        }
    };
    let bad = || BROKEN.handler(async |_, ()| Ok(()));
    let database = Database::fresh();
    let builder = database.builder().handlers([bad(), bad()]).arbiters(9_999);
    let text = refusal(builder.start().await);
    names_all(&text);
    assert!(text.contains("9999 arbiters"), "{text}");
    assert_eq!(text.matches("service is empty").count(), 2, "{text}");

    let gaia = database.builder().start().await.expect("starts");
    names_all(&refusal(gaia.registry().register_all(bad()).await));
    names_all(&refusal(BROKEN.add(&gaia, &()).await));
    names_all(&refusal(BROKEN.add_all(&gaia, [()]).await));
    // A short theme does not hide the faults of the rest.
    let text = refusal(BROKEN.theme(THEME).add(&gaia, &()).await);
    faults[1..]
        .iter()
        .for_each(|fault| assert!(text.contains(fault), "{text}"));
    assert_eq!(database.number("SELECT COUNT(*) FROM asynctasks"), 0);
    gaia.stop().await.expect("stops");
}
