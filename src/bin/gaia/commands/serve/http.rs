//! The HTTP server.

use std::net::TcpListener;

use actix_web::{App, HttpServer, dev::ServerHandle, web};
use gaia_actors::{
    Gaia,
    config::EnvironmentColourConfig,
    web::{Access, AdminOptions, EnvironmentColour, admin},
};

use super::Settings;
use crate::exit::{Failure, Result};

/// How long requests that are under way may take at a stop, in seconds.
const GRACE: u64 = 1;

pub struct Server {
    handle: ServerHandle,
    /// Where the dashboard is.
    pub url: String,
}

impl Server {
    pub fn start(gaia: &Gaia, settings: &Settings, access: Access, listener: TcpListener) -> Result<Self> {
        let http = &settings.config.http;
        let options = AdminOptions::new(access);
        let options = match http.environment.name.as_str() {
            "" => options,
            name => options.environment(name, colour(http.environment.colour)),
        };
        let path = http.path.trim_end_matches('/').to_owned();
        let unfit = |error| Failure::failed(format!("cannot listen on {}: {error}", http.listen));
        let url = format!("http://{}{path}/", listener.local_addr().map_err(unfit)?);
        let served = gaia.clone();
        let server =
            HttpServer::new(move || App::new().service(web::scope(&path).service(admin(&served, options.clone()))))
                .disable_signals()
                // A worker that hangs up while it waits for tasks gets none.
                .h1_allow_half_closed(false)
                .shutdown_timeout(GRACE)
                .listen(listener)
                .map_err(unfit)?
                .run();
        let handle = server.handle();
        actix_rt::spawn(server);
        Ok(Self { handle, url })
    }

    pub async fn stop(&self) {
        self.handle.stop(true).await;
    }
}

const fn colour(colour: EnvironmentColourConfig) -> EnvironmentColour {
    match colour {
        EnvironmentColourConfig::Red => EnvironmentColour::Red,
        EnvironmentColourConfig::Amber => EnvironmentColour::Amber,
        EnvironmentColourConfig::Green => EnvironmentColour::Green,
        _ => EnvironmentColour::Blue,
    }
}
