//! The routes of the shop, and under `/gaia` those of operators.

use actix_web::{
    App, HttpResponse, HttpServer, ResponseError, dev::Server, get, guard, http::StatusCode, middleware, post, web,
};
use gaia_actors::{
    prelude::*,
    web::{Access, AdminOptions, admin},
};
use serde_json::json;

use crate::{
    orders::{NewOrder, OrderError, Orders},
    work::CONFIRM_ORDER,
};

/// A server on this address.
pub fn server(gaia: Gaia, orders: Orders, listen: &str) -> Result<Server, Box<dyn std::error::Error>> {
    let scheduler = gaia.scheduler(CONFIRM_ORDER.theme_name())?;
    // A program that other machines reach gives tokens: `Access::tokens`, or asks its own users by `Access::custom`.
    let operators = AdminOptions::new(Access::loopback_only());
    let server = HttpServer::new(move || {
        let routes = |config: &mut web::ServiceConfig| routes(config, &orders, &scheduler);
        App::new()
            .wrap(middleware::Logger::default())
            .configure(routes)
            .service(web::scope("/gaia").service(admin(&gaia, operators.clone())))
    });
    // What is left of the 30 s that most orchestrators give is for the tasks.
    let bound = server.shutdown_timeout(5).bind(listen);
    Ok(bound
        .map_err(|error| format!("cannot listen on {listen}: {error}"))?
        .run())
}

/// The routes of the shop. Those below `/staff` are for programs on this machine.
pub fn routes(config: &mut web::ServiceConfig, orders: &Orders, scheduler: &Scheduler) {
    let is_here = guard::fn_guard(|request| request.head().peer_addr.is_some_and(|peer| peer.ip().is_loopback()));
    let staff = web::scope("/staff")
        .guard(is_here)
        .service(list_tasks)
        .service(show_task)
        .service(show_records)
        .service(resize);
    config
        .app_data(web::Data::new(orders.clone()))
        .app_data(web::Data::new(scheduler.clone()))
        .service(place_order)
        .service(show_order)
        .service(staff);
}

#[post("/orders")]
async fn place_order(
    orders: web::Data<Orders>,
    scheduler: web::Data<Scheduler>,
    order: web::Json<NewOrder>,
) -> Result<HttpResponse, HttpError> {
    // In a task of its own: if the client hangs up, actix-web drops this function, and a transaction must not be dropped.
    let placed = actix_web::rt::spawn(async move { orders.place(&scheduler, &order).await });
    Ok(HttpResponse::Accepted().json(placed.await??))
}

#[get("/orders/{id}")]
async fn show_order(orders: web::Data<Orders>, id: web::Path<i64>) -> Result<HttpResponse, HttpError> {
    Ok(HttpResponse::Ok().json(orders.find(*id).await?))
}

#[get("/tasks")]
async fn list_tasks(scheduler: web::Data<Scheduler>, list: web::Query<ListTasks>) -> Result<HttpResponse, HttpError> {
    Ok(HttpResponse::Ok().json(scheduler.list_tasks(list.into_inner()).await?))
}

#[get("/tasks/{id}")]
async fn show_task(scheduler: web::Data<Scheduler>, id: web::Path<i64>) -> Result<HttpResponse, HttpError> {
    Ok(HttpResponse::Ok().json(scheduler.get_task_detail(*id).await?))
}

#[get("/tasks/{id}/records")]
async fn show_records(
    scheduler: web::Data<Scheduler>,
    id: web::Path<i64>,
    page: web::Query<PageRequest>,
) -> Result<HttpResponse, HttpError> {
    let records = scheduler.get_task_exec_records(*id, *page).await?;
    Ok(HttpResponse::Ok().json(records))
}

#[post("/workers/{n}")]
async fn resize(scheduler: web::Data<Scheduler>, workers: web::Path<usize>) -> Result<HttpResponse, HttpError> {
    scheduler.resize_workers(*workers).await?;
    Ok(HttpResponse::Ok().json(json!({ "workers": *workers })))
}

/// Why a request has no answer of its own.
#[derive(Debug, thiserror::Error)]
enum HttpError {
    #[error(transparent)]
    Tasks(#[from] Error),
    #[error(transparent)]
    Orders(#[from] OrderError),
    #[error("the order was not placed: {0}")]
    Interrupted(#[from] tokio::task::JoinError),
}

impl ResponseError for HttpError {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::Orders(OrderError::Amount(_)) => StatusCode::BAD_REQUEST,
            Self::Orders(OrderError::NotFound(_)) => StatusCode::NOT_FOUND,
            Self::Tasks(error) | Self::Orders(OrderError::Tasks(error)) => error.status_code(),
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn error_response(&self) -> HttpResponse {
        let text = match self {
            Self::Tasks(error) | Self::Orders(OrderError::Tasks(error)) => return error.error_response(),
            Self::Orders(OrderError::Amount(_) | OrderError::NotFound(_)) => self.to_string(),
            // The words of the database are for the log.
            _ => {
                log::error!("{self}");
                "the shop cannot do that now".to_owned()
            }
        };
        HttpResponse::build(self.status_code()).json(json!({ "error": text }))
    }
}
