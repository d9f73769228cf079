//! What handlers share: data of the application, schedulers, jobs.

use std::sync::{Arc, Mutex, OnceLock, Weak};

use actix::{Actor, Context, Handler};
use gaia_actors::{Endpoint, Error, Registry, async_fn, blocking_fn, prelude::*};
use serde_json::Value;

use crate::support::{Database, PATIENCE, THEME, Tested, ended, eventually, options, refusal, task};

struct Prices {
    tea: u64,
}

fn price(ctx: &TaskContext, cups: u64) -> Result<u64, TaskError> {
    Ok(cups * ctx.data::<Prices>()?.tea)
}

struct Till;

impl Actor for Till {
    type Context = Context<Self>;
}

impl Handler<Invoke> for Till {
    type Result = Result<Json, TaskError>;

    fn handle(&mut self, call: Invoke, _: &mut Context<Self>) -> Self::Result {
        Json::of(&price(&call.ctx, call.args()?)?)
    }
}

fn handlers() -> [Endpoint; 3] {
    [
        async_fn(async |ctx: TaskContext, cups| price(&ctx, cups)),
        blocking_fn(|ctx: TaskContext, cups| price(&ctx, cups)),
        Till.start().recipient().into(),
    ]
}

#[actix_rt::test]
async fn every_handler_finds_the_data_in_tasks_in_jobs_and_in_direct_calls() {
    let builder = Gaia::builder().data(Prices { tea: 3 }).data(7_u8).scheduler(options());
    let gaia = Tested::start(builder.jobs(JobsOptions::default())).await;
    let (demo, jobs) = (gaia.scheduler(THEME).expect("is a theme"), gaia.jobs());
    let id = jobs
        .add_job(NewJob::cron_job("price", "0 0 1 * * *", "Demo", "Price").args(&2))
        .await
        .expect("is added");
    // They are registered after the start.
    for handler in handlers() {
        gaia.registry()
            .replace("Demo", "Price", handler)
            .await
            .expect("is registered");
        let added = demo.add_task(task("Price").args(&2)).await.expect("is added");
        assert_eq!(ended(&demo, added.id).await.last_result.as_deref(), Some("6"));
        let run = jobs.execute_job_immediately(id).await.expect("begins");
        let run = jobs.wait_for_run(run.id, PATIENCE).await.expect("ends");
        assert_eq!(run.run_result.as_deref(), Some("6"));
        let answer = gaia.registry().call::<u64>("Demo", "Price", &2).await;
        assert_eq!(answer.expect("answers"), 6);
    }
}

#[actix_rt::test]
async fn data_that_is_missing_is_named_and_the_task_is_tried_again() {
    let handler = async_fn(async |ctx: TaskContext, cups: u64| match ctx.attempt() {
        1 => price(&ctx, cups),
        _ => Ok(0),
    });
    let gaia = Tested::start(Gaia::builder().handler("Demo", "Price", handler).scheduler(options())).await;
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let id = demo.add_task(task("Price").args(&2)).await.expect("is added").id;
    assert_eq!(ended(&demo, id).await.status, TaskStatus::Success);
    let records = demo.get_task_exec_records(id, PageRequest::default()).await;
    let error = records
        .expect("lists")
        .items
        .into_iter()
        .find_map(|record| record.error);
    let error = error.expect("the first attempt has one");
    assert!(
        error.contains("suite::shared_data::Prices") && error.contains("Gaia::builder().data("),
        "{error}"
    );
    let direct = refusal(gaia.registry().call::<u64>("Demo", "Price", &2).await);
    assert_eq!(direct, error);
}

#[actix_rt::test]
async fn two_values_of_one_type_are_refused_at_the_start_with_all_other_faults() {
    let builder = Database::fresh().builder().data(1_u8).data(2_u8).data(3_i8);
    let error = refusal(builder.data("a").data("b").arbiters(5_000).start().await.map(|_| ()));
    for part in [
        "two values of the type u8",
        "two values of the type &str",
        "5000 arbiters",
    ] {
        assert!(error.contains(part), "{error}");
    }
    assert!(!error.contains("i8,"), "{error}");
}

/// A value that panics when it is dropped.
struct Brittle;

impl Drop for Brittle {
    fn drop(&mut self) {
        panic!("on purpose");
    }
}

#[actix_rt::test]
async fn a_value_that_panics_when_it_is_dropped_hinders_no_stop() {
    let (database, kept) = (Database::fresh(), Arc::new(()));
    let gone = Arc::downgrade(&kept);
    let handler = async_fn(async move |_, _: Value| Ok(Arc::strong_count(&kept)));
    let builder = database.builder().data(Brittle).handler("Demo", "Count", handler);
    let gaia = builder.start().await.expect("starts");
    let registry = gaia.registry();
    let count = registry.route("Demo", "Count").expect("is there");
    gaia.stop().await.expect("stops");
    assert!(count.call::<usize>(&()).await.is_err());
    assert!(gone.upgrade().is_none());
}

/// A value that holds its Gaia.
#[derive(Default)]
struct Holder(OnceLock<Gaia>);

#[actix_rt::test]
async fn nothing_is_left_of_the_data_after_a_stop() {
    let database = Database::fresh();
    let kept = Arc::new(Mutex::new(None));
    let keep = Arc::clone(&kept);
    let handler = async_fn(async move |ctx: TaskContext, _: Value| {
        let holder = ctx.data::<Arc<Holder>>()?;
        assert!(holder.0.get().is_some());
        *keep.lock().expect("is sound") = Some(ctx);
        Ok(())
    });
    let holder = Arc::new(Holder::default());
    let gone: Weak<Holder> = Arc::downgrade(&holder);
    let builder = database
        .builder()
        .data(Arc::clone(&holder))
        .handler("Demo", "Keep", handler);
    let gaia = builder.scheduler(options()).start().await.expect("starts");
    assert!(holder.0.set(gaia.clone()).is_ok());
    drop(holder);
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let id = demo.add_task(task("Keep")).await.expect("is added").id;
    assert_eq!(ended(&demo, id).await.status, TaskStatus::Success);

    gaia.stop().await.expect("stops");
    drop((gaia, demo));
    eventually("the end of the data", async || gone.upgrade().is_none().then_some(())).await;
    // A context may outlive its Gaia.
    let ctx = kept.lock().expect("is sound").take().expect("was kept");
    let error = refusal(ctx.data::<Arc<Holder>>().map(|_| ()));
    assert!(error.contains("the Gaia has stopped"), "{error}");
    assert!(matches!(ctx.scheduler(THEME), Err(Error::Stopped)));
    assert!(matches!(ctx.jobs(), Err(Error::Stopped)));
}

#[actix_rt::test]
async fn nothing_is_left_of_the_data_if_the_last_handle_is_dropped() {
    let database = Database::fresh();
    let value = Arc::new(());
    let gone = Arc::downgrade(&value);
    let builder = database
        .builder()
        .data(value)
        .scheduler(options())
        .jobs(JobsOptions::default());
    drop(builder.start().await.expect("starts"));
    eventually("the end of the data", async || gone.upgrade().is_none().then_some(())).await;
}

#[actix_rt::test]
async fn a_handler_adds_tasks_and_jobs() {
    let place = async_fn(async |ctx: TaskContext, order: u64| {
        let further = task("Confirm").args(&order);
        let added = ctx.scheduler(THEME)?.add_task(further).await?;
        let job = NewJob::cron_job(format!("order {order}"), "0 0 1 * * *", "Demo", "Confirm");
        let job = ctx.jobs()?.ensure_job(job.args(&order)).await?;
        Ok((added.id, job))
    });
    let confirm = async_fn(async |_, order: u64| Ok(format!("{order} is confirmed")));
    let builder = Gaia::builder()
        .handler("Demo", "Place", place)
        .handler("Demo", "Confirm", confirm);
    let gaia = Tested::start(builder.scheduler(options())).await;
    let demo = gaia.scheduler(THEME).expect("is a theme");
    let id = demo.add_task(task("Place").args(&17)).await.expect("is added").id;
    let placed = ended(&demo, id).await.last_result.expect("has one");
    let (further, job): (i64, i64) = serde_json::from_str(&placed).expect("is JSON");
    let confirmed = ended(&demo, further).await.last_result;
    assert_eq!(confirmed.as_deref(), Some("\"17 is confirmed\""));
    let job = gaia.jobs().get_job_detail(job).await.expect("is there");
    assert_eq!(job.job.job_name, "order 17");
    // A direct call through the same registry finds them, too.
    let direct: (i64, i64) = gaia.registry().call("Demo", "Place", &18).await.expect("answers");
    assert!(direct.0 > further);
    let bad = async_fn(async |ctx: TaskContext, theme: String| Ok(ctx.scheduler(&theme).map(|_| ())?));
    gaia.registry().register("Demo", "Bad", bad).await.expect("is free");
    let error = refusal(gaia.registry().call::<()>("Demo", "Bad", "").await);
    assert!(error.contains("theme is empty"), "{error}");
}

#[actix_rt::test]
async fn a_registry_without_a_gaia_says_so() {
    let registry = Registry::start();
    let ask = async_fn(async |ctx: TaskContext, _: Value| {
        assert!(matches!(ctx.jobs(), Err(Error::NoGaia)));
        ctx.scheduler(THEME).map(|_| ()).map_err(TaskError::from)
    });
    registry.register("Demo", "Ask", ask).await.expect("is free");
    let error = refusal(registry.call::<()>("Demo", "Ask", &()).await);
    assert!(
        error.contains("belongs to no Gaia") && error.contains("Gaia::registry"),
        "{error}"
    );
}
