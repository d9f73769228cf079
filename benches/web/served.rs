//! The API on the loopback address, and its client.

use std::time::{Duration, Instant};

use actix_web::{
    App, HttpResponse, HttpServer,
    dev::ServerHandle,
    web::{self, Bytes},
};
use awc::{Client, Connector};
use gaia_actors::{
    Gaia, async_fn,
    web::{Access, AdminOptions, admin},
};
use serde_json::Value;

use crate::database::Result;

/// The API. The pages lie beside it.
pub(crate) const API: &str = "/api/v1";
/// A route beside the API that reads the body and answers; what it takes is the cost of actix-web and of the client.
pub(crate) const EMPTY: &str = "/empty";
/// As many as callers of the crate's own calls beside them.
pub(crate) const CONNECTIONS: usize = 100;
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest answer: a page of summaries.
const LONGEST: usize = 4 << 20;

/// A node that runs nothing yet, and its API.
pub(crate) struct Served {
    pub(crate) gaia: Gaia,
    server: ServerHandle,
    client: Client,
    root: String,
}

impl Served {
    pub(crate) async fn start(url: &str) -> Result<Self> {
        let gaia = Gaia::builder()
            .database(url)
            .handler("Bench", "Noop", async_fn(async |_, _: Value| Ok(())))
            .start()
            .await?;
        Self::of(gaia)
    }

    /// The API of this node.
    pub(crate) fn of(gaia: Gaia) -> Result<Self> {
        let served = gaia.clone();
        // One caller sends as much as many would.
        let options = AdminOptions::new(Access::loopback_only()).requests_per_second(1_000_000);
        let server = HttpServer::new(move || {
            let empty = async |body: Bytes| {
                drop(body);
                HttpResponse::Created().body("{}")
            };
            let admin = admin(&served, options.clone());
            App::new().route(EMPTY, web::post().to(empty)).service(admin)
        });
        let server = server.workers(1).disable_signals().bind("127.0.0.1:0")?;
        let address = server.addrs().first().copied().ok_or("the server has no address")?;
        let server = server.run();
        let handle = server.handle();
        actix_rt::spawn(server);
        let connector = Connector::new().limit(CONNECTIONS).timeout(PATIENCE);
        let client = Client::builder().connector(connector).timeout(PATIENCE).finish();
        Ok(Self {
            gaia,
            server: handle,
            client,
            root: format!("http://{address}"),
        })
    }

    /// Asks for a page, or for a path of the API.
    pub(crate) async fn get(&self, path: &str) -> Result<Duration> {
        let began = Instant::now();
        let mut answer = self.client.get(format!("{}{path}", self.root)).send().await?;
        let body = answer.body().limit(LONGEST).await?;
        match answer.status().is_success() {
            true => Ok(began.elapsed()),
            false => Err(format!("{path}: {}: {}", answer.status(), String::from_utf8_lossy(&body)).into()),
        }
    }

    /// Sends a body to a path below the API's.
    pub(crate) async fn post(&self, path: &str, content_type: &str, body: String) -> Result<Duration> {
        self.post_to(&format!("{API}{path}"), content_type, body).await
    }

    pub(crate) async fn post_to(&self, path: &str, content_type: &str, body: String) -> Result<Duration> {
        let began = Instant::now();
        self.answer(path, content_type, body).await?;
        Ok(began.elapsed())
    }

    /// The answer to a body of JSON that is sent to a path below the API's.
    pub(crate) async fn ask(&self, path: &str, body: String) -> Result<Bytes> {
        self.answer(&format!("{API}{path}"), "application/json", body).await
    }

    async fn answer(&self, path: &str, content_type: &str, body: String) -> Result<Bytes> {
        let request = self.client.post(format!("{}{path}", self.root));
        let mut answer = request
            .insert_header(("content-type", content_type))
            .send_body(body)
            .await?;
        let body = answer.body().limit(LONGEST).await?;
        match answer.status().is_success() {
            true => Ok(body),
            false => Err(format!("{path}: {}: {}", answer.status(), String::from_utf8_lossy(&body)).into()),
        }
    }

    pub(crate) async fn stop(self) -> Result<()> {
        self.server.stop(false).await;
        self.gaia.stop().await?;
        Ok(())
    }
}
