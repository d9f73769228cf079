//! The actors inside an actix-web application: an order and the task that confirms it, in one transaction. Under `/gaia` lies the HTTP API
//! for operators and for programs in other languages.
//!
//! ```sh
//! cargo run --example embedded --features web
//!
//! curl -i -H 'content-type: application/json' -d '{"item": "tea", "amount": 2}' localhost:8080/orders
//! curl -i localhost:8080/tasks/1
//! curl -i localhost:8080/tasks/1/records
//! curl -i -H 'content-type: application/json' -d '{"item": "tea", "amount": 0}' localhost:8080/orders
//! curl -i -X POST localhost:8080/workers/8
//!
//! # The API, for this machine alone: operators look and act, producers add tasks.
//! curl localhost:8080/gaia/api/v1/whoami
//! curl localhost:8080/gaia/api/v1/themes/order-task
//! curl 'localhost:8080/gaia/api/v1/tasks?theme=order-task&status=Success&limit=10'
//! curl -H 'content-type: application/json' -H 'idempotency-key: confirm-1' 'localhost:8080/gaia/api/v1/tasks?wait_ms=5000' \
//!   -d '{"theme": "order-task", "service": "OrderService", "method": "ConfirmOrder", "args": 1}'
//! python3 examples/producers/python/producer.py
//!
//! sqlite3 -box embedded.db "SELECT * FROM orders; SELECT id, task_status, last_result FROM asynctasks"
//! ```
//!
//! The first order is answered with 202 and its ids, and is `confirmed` a moment later. The one of 0 is answered with 400,
//! and neither it nor its task is in the database. `LISTEN` (default `127.0.0.1:8080`) says where to listen, `DATABASE_URL`
//! (default `sqlite:embedded.db`) where the data are. Ctrl-C or SIGTERM stops it: first the server, then the actors,
//! once the tasks that run have ended.

use std::sync::Arc;

use actix_web::{
    App, HttpResponse, HttpServer, ResponseError, dev::Server, get, http::StatusCode, middleware, post, web,
};
use diesel::{prelude::*, sqlite::SqliteConnection};
use diesel_async::{
    AsyncConnection, RunQueryDsl, SimpleAsyncConnection, sync_connection_wrapper::SyncConnectionWrapper,
};
use gaia_actors::{
    prelude::*,
    web::{Access, AdminOptions, admin},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::Mutex;

type Connection = SyncConnectionWrapper<SqliteConnection>;

diesel::table! {
    orders (id) {
        id -> BigInt,
        item -> Text,
        amount -> Integer,
        status -> Text,
    }
}

const CREATE_ORDERS: &str = "CREATE TABLE IF NOT EXISTS orders (\
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, item TEXT NOT NULL, amount INTEGER NOT NULL, \
    status TEXT NOT NULL DEFAULT 'new')";

/// Confirms the order with this id.
const CONFIRM_ORDER: TaskDef<i64, String> = TaskDef::new("OrderService", "ConfirmOrder").theme("order-task");

#[actix_web::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let config = Config::from_json(r#"{ "Databases": { "default": "sqlite:embedded.db" } }"#)?.with_env()?;
    let gaia = Gaia::builder().config(config).start().await?;

    let served = serve(&gaia).await;
    // The server takes no more orders: now let the tasks end that run.
    gaia.stop().await?;
    served
}

/// Serves until SIGINT or SIGTERM.
async fn serve(gaia: &Gaia) -> Result<(), Box<dyn std::error::Error>> {
    let database = Database::of(gaia)?;
    database.connect().await?.batch_execute(CREATE_ORDERS).await?;
    gaia.registry().register_all(confirm_with(database.clone())).await?;
    // The table and the handler are there: now tasks that were left by the last run may begin.
    let options = gaia.scheduler_options(CONFIRM_ORDER.theme_name());
    let scheduler = gaia.start_scheduler(options).await?;

    Ok(server(gaia.clone(), database, scheduler)?.await?)
}

fn server(gaia: Gaia, database: Database, scheduler: Scheduler) -> Result<Server, String> {
    let listen = std::env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:8080".to_owned());
    // A program that other machines reach gives tokens: `Access::tokens`.
    let api = AdminOptions::new(Access::loopback_only());
    let server = HttpServer::new(move || {
        App::new()
            .wrap(middleware::Logger::default())
            .app_data(web::Data::new(database.clone()))
            .app_data(web::Data::new(scheduler.clone()))
            .service(place_order)
            .service(show_task)
            .service(show_records)
            .service(resize)
            .service(web::scope("/gaia").service(admin(&gaia, api.clone())))
    });
    let bound = server.bind(&listen);
    let bound = bound.map_err(|error| format!("cannot listen on {listen}: {error}"))?;
    Ok(bound.run())
}

// ---- the application's own database ----

/// The file that the actors use too: one transaction can hold rows of both.
#[derive(Debug, Clone)]
struct Database {
    path: String,
    /// The file takes one writer at a time. Who waits here is served in turn; who waits for the file, by luck.
    turn: Arc<Mutex<()>>,
}

impl Database {
    fn of(gaia: &Gaia) -> Result<Self, String> {
        let url = gaia.store().url();
        match url.strip_prefix("sqlite:") {
            Some(path) if path != ":memory:" => Ok(Self {
                path: path.to_owned(),
                turn: Arc::default(),
            }),
            _ => Err(format!(
                "the database is {url}, expected a file, as in sqlite:embedded.db"
            )),
        }
    }

    /// A connection for one piece of work: cheap with SQLite, and whatever goes wrong in it goes with it.
    async fn connect(&self) -> Result<Connection, ApiError> {
        let mut conn = Connection::establish(&self.path).await?;
        // The actors write to the same file: wait for them instead of failing.
        conn.batch_execute("PRAGMA busy_timeout = 5000").await?;
        Ok(conn)
    }
}

/// The handler. Setting a status twice is the same as once, so it does not matter if a task runs again after a crash.
fn confirm_with(database: Database) -> Registration {
    CONFIRM_ORDER.handler(async move |_, order| {
        let _turn = database.turn.lock().await;
        let mut conn = database.connect().await?;
        let confirmed = diesel::update(orders::table.find(order))
            .set(orders::status.eq("confirmed"))
            .execute(&mut conn)
            .await?;
        if confirmed == 0 {
            return Err(TaskError::discard(format!("there is no order {order}")));
        }
        Ok(format!("order {order} is confirmed"))
    })
}

// ---- the web ----

#[derive(Debug, Deserialize)]
struct NewOrder {
    item: String,
    amount: i32,
}

#[derive(Debug, Serialize)]
struct Placed {
    order: i64,
    task: i64,
}

#[post("/orders")]
async fn place_order(
    database: web::Data<Database>,
    scheduler: web::Data<Scheduler>,
    order: web::Json<NewOrder>,
) -> Result<HttpResponse, ApiError> {
    // In a task of its own: if the client hangs up, actix-web drops this function, and a transaction must not be dropped.
    let placed = actix_web::rt::spawn(place(database, scheduler, order.into_inner()));
    Ok(HttpResponse::Accepted().json(placed.await??))
}

async fn place(
    database: web::Data<Database>,
    scheduler: web::Data<Scheduler>,
    order: NewOrder,
) -> Result<Placed, ApiError> {
    let _turn = database.turn.lock().await;
    let mut conn = database.connect().await?;
    let placed = conn
        .immediate_transaction(async |conn| insert(conn, &scheduler, &order).await)
        .await?;
    // Only now can the workers see it.
    scheduler.task_quick_queue(placed.task);
    Ok(placed)
}

/// Both rows, or an error and neither.
async fn insert(conn: &mut Connection, scheduler: &Scheduler, new: &NewOrder) -> Result<Placed, ApiError> {
    let order = diesel::insert_into(orders::table)
        .values((orders::item.eq(&new.item), orders::amount.eq(new.amount)))
        .returning(orders::id)
        .get_result::<i64>(conn)
        .await?;
    let confirm = CONFIRM_ORDER.task(&order).name(format!("confirm order {order}"));
    let task = confirm.add_on(scheduler, conn).await?.id;
    // Last on purpose: here are two rows to be rolled back.
    if new.amount < 1 {
        let amount = new.amount;
        return Err(ApiError::BadInput(format!("amount is {amount}, expected at least 1")));
    }
    Ok(Placed { order, task })
}

#[get("/tasks/{id}")]
async fn show_task(scheduler: web::Data<Scheduler>, id: web::Path<i64>) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(scheduler.get_task_detail(*id).await?))
}

#[get("/tasks/{id}/records")]
async fn show_records(
    scheduler: web::Data<Scheduler>,
    id: web::Path<i64>,
    page: web::Query<PageRequest>,
) -> Result<HttpResponse, ApiError> {
    let records = scheduler.get_task_exec_records(*id, *page).await?;
    Ok(HttpResponse::Ok().json(records))
}

#[post("/workers/{n}")]
async fn resize(scheduler: web::Data<Scheduler>, workers: web::Path<usize>) -> Result<HttpResponse, ApiError> {
    scheduler.resize_workers(*workers).await?;
    Ok(HttpResponse::Ok().json(json!({ "workers": *workers })))
}

/// Why a request has no answer of its own.
#[derive(Debug, thiserror::Error)]
enum ApiError {
    #[error("{0}")]
    BadInput(String),
    #[error(transparent)]
    Tasks(#[from] Error),
    #[error(transparent)]
    Orders(#[from] diesel::result::Error),
    #[error(transparent)]
    Connection(#[from] diesel::ConnectionError),
    #[error("the order was not placed: {0}")]
    Interrupted(#[from] tokio::task::JoinError),
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::BadInput(_) | Self::Tasks(Error::Invalid(_)) => StatusCode::BAD_REQUEST,
            Self::Tasks(Error::TaskNotFound { .. }) => StatusCode::NOT_FOUND,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn error_response(&self) -> HttpResponse {
        HttpResponse::build(self.status_code()).json(json!({ "error": self.to_string() }))
    }
}
