//! A small shop on actix-web, as a service of yours may look: orders in its own tables, and all that comes after an order as tasks.
//!
//! ```sh
//! cargo run --example service --features postgres,web            # on the file service.db
//! DATABASE_URL=postgres://user:password@localhost/shop cargo run --example service --features postgres,web
//!
//! curl -i -H 'content-type: application/json' -d '{"customer": "ann", "item": "tea", "amount": 2}' localhost:8080/orders
//! curl -i localhost:8080/orders/1
//! curl -i 'localhost:8080/staff/tasks?status=Success&method=ConfirmOrder'
//! curl -i localhost:8080/staff/tasks/1/records
//! curl -i -H 'content-type: application/json' -d '{"customer": "ann", "item": "tea", "amount": 0}' localhost:8080/orders
//! curl -i -X POST localhost:8080/staff/workers/8
//!
//! cargo test --example service --features postgres,web           # its tests; GAIA_TEST_DATABASE_URL names a server for them
//! ```
//!
//! The first order is answered with 202 and the ids of the order and of its task. A moment later it is `confirmed`, and its customer has a
//! mail. The order of 0 is answered with 400. Under `/gaia` lies the dashboard, and the API for
//! operators and for programs in other languages.
//!
//! `LISTEN` (default `127.0.0.1:8080`) says where to listen, `DATABASE_URL` (default `sqlite:service.db`) where the data are. Two processes on
//! one PostgreSQL database share the work. Ctrl-C or SIGTERM stops it: first the server, then the actors, once the tasks that run have ended.
//!
//! [orders.rs](orders.rs): the table and its transactions. [work.rs](work.rs): tasks, handlers, an actor, a job. [http.rs](http.rs): the routes.

mod http;
mod orders;
#[cfg(test)]
mod tests;
mod work;

use gaia_actors::prelude::*;

use orders::Orders;

#[actix_web::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let config = Config::from_json(r#"{ "Databases": { "default": "sqlite:service.db" } }"#)?.with_env()?;
    let orders = Orders::open(config.async_task_url()?).await?;
    let gaia = work::builder(orders.clone()).config(config).start().await?;

    let served = serve(&gaia, orders).await;
    // The server takes no more orders: now let the tasks end that run.
    let stopped = gaia.stop().await;
    served?;
    stopped?;
    Ok(())
}

/// Serves until SIGINT or SIGTERM.
async fn serve(gaia: &Gaia, orders: Orders) -> Result<(), Box<dyn std::error::Error>> {
    work::ensure_jobs(gaia).await?;
    let listen = std::env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:8080".to_owned());
    Ok(http::server(gaia.clone(), orders, &listen)?.await?)
}
