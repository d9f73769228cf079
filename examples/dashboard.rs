//! The dashboard, with something to look at: two nodes, themes that succeed, fail, wait and pause, a method that nobody serves, jobs and hooks.
//!
//! ```sh
//! cargo run --example dashboard --features web
//! ```
//!
//! Then open the address that it prints. Only this machine has access. The data are in the file `dashboard.db`, or in the database that
//! `DATABASE_URL` names; `LISTEN` (default `127.0.0.1:8080`) says where to listen. Ctrl-C ends it. `gaia demo` does the same.

mod shop;

use std::net::TcpListener;

use gaia_actors::logs::LogCapture;
use log::LevelFilter;

use self::shop::Shop;

#[actix_web::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let logger =
        env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("gaia_actors=warn")).build();
    let most = logger.filter().max(LevelFilter::Info);
    LogCapture::around(logger).with_log_ids().install(most)?;
    let url = std::env::var("DATABASE_URL").unwrap_or_else(|_| "sqlite:dashboard.db".to_owned());
    let listen = std::env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:8080".to_owned());

    let listener = TcpListener::bind(listen)?;
    let address = listener.local_addr()?;
    let shop = Shop::open(&url, listener).await?;
    println!("The dashboard: http://{address}/gaia/");
    shop.run_until_signal().await?;
    Ok(())
}
