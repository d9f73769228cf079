//! The HTTP API for operators, alone in a process.
//!
//! ```sh
//! cargo run --example http_api --features web
//!
//! API=localhost:8080/gaia/api/v1
//! curl $API/openapi.json
//! curl -H 'content-type: application/json' $API/tasks -d '{"theme": "demo", "service": "Demo", "method": "Echo", "args": [1, 2]}'
//! curl $API/tasks
//! ```
//!
//! Only this machine has access. `LISTEN` (default `127.0.0.1:8080`) says where to listen, `DATABASE_URL` (default: a database in memory)
//! where the data are. All settings of [`Config::from_env`] apply. `scripts/fuzz-http-api` attacks this program, `scripts/check-alerts` harms it.

use actix_web::{App, HttpServer, web};
use gaia_actors::{
    async_fn,
    prelude::*,
    web::{Access, AdminOptions, admin},
};
use serde_json::{Value, value::RawValue};

#[actix_web::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let url = std::env::var("DATABASE_URL").unwrap_or_else(|_| "sqlite::memory:".to_owned());
    let gaia = Gaia::builder()
        .config(Config::from_env()?)
        .database(&url)
        .handler("Demo", "Echo", async_fn(async |_, value: Box<RawValue>| Ok(value)))
        .handler(
            "Demo",
            "Fail",
            async_fn(async |_, _: Value| Err::<(), _>(TaskError::failed("fails on purpose"))),
        )
        .scheduler(SchedulerOptions::new("demo").worker_num(4))
        .jobs(JobsOptions::default().hooks(HookOptions::default().allow_private(false)))
        .start()
        .await?;

    let served = gaia.clone();
    let options = AdminOptions::new(Access::loopback_only());
    let server =
        HttpServer::new(move || App::new().service(web::scope("/gaia").service(admin(&served, options.clone()))));
    let address = std::env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:8080".to_owned());
    let ended = server.workers(2).bind(address)?.run().await;
    gaia.stop().await?;
    Ok(ended?)
}
