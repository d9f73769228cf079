//! One trace, from a request over HTTP to the request of a hook.

use std::sync::{Arc, OnceLock};

use actix_web::{App, HttpServer};
use gaia_actors::{
    JobsOptions, NewJob, async_fn, blocking_fn,
    prelude::*,
    web::{Access, AccessToken, AdminOptions, Permission, admin},
};
use serde_json::{Value, json};
use tracing::info_span;

use crate::{
    collector::{CLIENT, CONSUMER, PRODUCER, Span, propagation, somewhere, spans_of},
    server::{Server, send},
    support::{Database, PATIENCE, THEME, ended, options},
};

const TOKEN: &str = "producer-0123456789";

/// A runtime and its HTTP API.
pub struct Served {
    pub gaia: Gaia,
    address: std::net::SocketAddr,
    handle: actix_web::dev::ServerHandle,
    // Dropped last.
    pub database: Database,
}

impl Served {
    pub async fn start(build: impl FnOnce(gaia_actors::GaiaBuilder) -> gaia_actors::GaiaBuilder) -> Self {
        let database = Database::fresh();
        let builder = database.builder().tracing(propagation()).scheduler(options());
        let builder = builder.jobs(JobsOptions::default());
        let gaia = build(builder).start().await.expect("starts");
        let token = AccessToken::new("producer", &AccessToken::hash_of(TOKEN)).expect("is good");
        let access = Access::tokens([token.permissions(Permission::PRODUCER)]);
        let (served, options) = (gaia.clone(), AdminOptions::new(access));
        let server = HttpServer::new(move || App::new().service(admin(&served, options.clone())));
        let server = server.workers(1).disable_signals().bind("127.0.0.1:0").expect("binds");
        let address = server.addrs()[0];
        let server = server.run();
        let handle = server.handle();
        actix_rt::spawn(server);
        Self {
            gaia,
            address,
            handle,
            database,
        }
    }

    /// Posts with these further lines of the head; answers with the status and the JSON.
    pub async fn post(&self, path: &str, lines: &[&str], body: &Value) -> (u16, Value) {
        let mut head =
            format!("POST /api/v1{path} HTTP/1.1\r\nauthorization: Bearer {TOKEN}\r\ncontent-type: application/json");
        for line in lines {
            head.push_str("\r\n");
            head.push_str(line);
        }
        let (address, body) = (self.address, body.to_string());
        let sent = actix_rt::task::spawn_blocking(move || send(address, &head, &body));
        let (status, answer) = sent.await.expect("comes to an end");
        (status, serde_json::from_str(&answer).expect("is JSON"))
    }

    pub async fn stop(self) {
        self.handle.stop(false).await;
        self.gaia.stop().await.expect("stops");
    }
}

fn only<'a>(spans: &'a [Span], name: &str, fields: &[(&str, &str)]) -> &'a Span {
    let has_all = |span: &&Span| fields.iter().all(|(name, value)| span.field(name) == *value);
    let mut found = spans.iter().filter(|span| span.name == name).filter(has_all);
    let (Some(span), None) = (found.next(), found.next()) else {
        panic!("one span {name} with {fields:?} is expected in {spans:#?}");
    };
    span
}

/// Fails once. Then it spawns, adds a task, and runs two jobs by hand.
async fn order(gaia: Arc<OnceLock<Gaia>>, ctx: TaskContext, jobs: [i64; 2]) -> Result<Option<String>, TaskError> {
    if ctx.attempt() == 1 {
        return Err(TaskError::failed("not yet"));
    }
    let gaia = gaia.get().ok_or_else(|| TaskError::failed("is not set"))?;
    actix_rt::spawn(ctx.log_scope(async { drop(info_span!("spawned")) })).await?;
    gaia.scheduler(THEME)?.add_task(NewTask::new("Demo", "Ship")).await?;
    for job in jobs {
        let run = gaia.jobs().execute_job_immediately(job).await?;
        gaia.jobs().wait_for_run(run.id, PATIENCE).await?;
    }
    Ok(ctx.traceparent().map(str::to_owned))
}

#[actix_rt::test]
async fn one_trace_goes_from_a_request_over_a_task_with_a_retry_to_a_hook() {
    let service = Server::start();
    let slot: Arc<OnceLock<Gaia>> = Arc::default();
    let gaia_of_order = Arc::clone(&slot);
    let served = Served::start(|builder| {
        let order = async move |ctx: TaskContext, jobs: [i64; 2]| order(Arc::clone(&gaia_of_order), ctx, jobs).await;
        let ship = blocking_fn(|_, _: Value| {
            drop(info_span!("shipping"));
            Ok(())
        });
        builder
            .handler("Demo", "Order", async_fn(order))
            .handler("Demo", "Ship", ship)
    })
    .await;
    slot.set(served.gaia.clone()).expect("is empty");

    let url = format!("http://{}/a/secret/path", service.address);
    let never = "0 0 0 1 1 *";
    let plain = NewJob::cron_hook("plain", never, &url);
    let (_, _, other) = somewhere();
    let with_own = NewJob::cron_hook("with its own", never, &url).header("TraceParent", &other);
    let jobs = served.gaia.jobs();
    let ids = [
        jobs.add_job(plain).await.expect("is added"),
        jobs.add_job(with_own).await.expect("is added"),
    ];

    let (trace, caller, header) = somewhere();
    let lines = [format!("traceparent: {header}")];
    let body = json!({"theme": THEME, "service": "Demo", "method": "Order", "args": ids});
    let (status, added) = served.post("/tasks", &[&lines[0]], &body).await;
    assert_eq!(status, 201, "{added}");
    let task = ended(
        &served.gaia.scheduler(THEME).expect("is a theme"),
        added["id"].as_i64().expect("is an id"),
    )
    .await;
    assert_eq!(task.traceparent.as_deref(), Some(&*header));
    assert_eq!(task.last_result, Some(json!(header).to_string()));

    // gaia.add twice, gaia.task three times, gaia.job and gaia.hook twice, and two spans of handlers.
    let spans = spans_of(&trace, 11).await;
    let adding = only(&spans, "gaia.add", &[("method", "Order")]);
    assert_eq!((&adding.parent, adding.kind), (&caller, PRODUCER));
    let failed = only(&spans, "gaia.task", &[("method", "Order"), ("attempt", "1")]);
    assert_eq!(
        (&failed.parent, failed.kind, failed.has_failed),
        (&caller, CONSUMER, true)
    );
    assert_eq!((failed.field("outcome"), failed.field("error")), ("error", "not yet"));
    let order = only(&spans, "gaia.task", &[("method", "Order"), ("attempt", "2")]);
    assert_eq!(
        (&order.parent, order.field("outcome"), order.has_failed),
        (&caller, "succeeded", false)
    );
    assert_eq!(
        (order.field("task_id"), order.field("theme")),
        (&*task.id.to_string(), THEME)
    );
    assert_eq!(Some(order.field("log_id")), task.log_id.as_deref());
    assert_eq!(only(&spans, "spawned", &[]).parent, order.id);

    let adding = only(&spans, "gaia.add", &[("method", "Ship")]);
    assert_eq!(adding.parent, order.id);
    let ship = only(&spans, "gaia.task", &[("method", "Ship")]);
    assert_eq!(ship.parent, adding.id);
    assert_eq!(only(&spans, "shipping", &[]).parent, ship.id);

    let hook_of = |job: &str| {
        let job = only(
            &spans,
            "gaia.job",
            &[("job", job), ("attempt", "1"), ("outcome", "succeeded")],
        );
        assert_eq!((&job.parent, job.kind), (&order.id, CONSUMER));
        let hook = spans
            .iter()
            .find(|span| span.name == "gaia.hook" && span.parent == job.id);
        hook.expect("is a child of its job")
    };
    let hook = hook_of("plain");
    assert_eq!(
        (hook.kind, hook.field("method"), hook.field("status")),
        (CLIENT, "POST", "200")
    );
    assert_eq!(hook.field("host"), "127.0.0.1");
    let told = service.requests();
    let told: Vec<_> = told.iter().map(|request| request.header("traceparent")).collect();
    assert_eq!(told, [Some(&*hook.traceparent()), Some(&*other)]);
    hook_of("with its own");
    let shown = format!("{spans:?}");
    assert!(!shown.contains("secret") && !shown.contains(&other), "{shown}");
    served.stop().await;
}
