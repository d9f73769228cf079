//! The API in this process, on a database of which this process runs nothing.

use std::{net::Ipv4Addr, path::Path, time::Duration};

use actix_web::{App, HttpServer, dev::ServerHandle};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use gaia_actors::{
    Error, Gaia, StoreError,
    web::{Access, AccessToken, AdminOptions, Permission, admin},
};
use rustls::crypto::ring;

use crate::{
    exit::{Exit, Failure, Result},
    target::Database,
};

/// A client of the database that serves the API to this process alone: on the loopback address, to the caller who has the token.
pub struct Local {
    gaia: Gaia,
    server: ServerHandle,
    /// Where the API is served.
    pub url: String,
    pub token: String,
    /// By the clock of this process: about when its row among the nodes was written.
    pub opened_at: DateTime<Utc>,
}

/// How many requests in a second this process may send itself: as many as it likes.
const REQUESTS: u32 = 1_000_000;

impl Local {
    pub async fn open(database: Database) -> Result<Self> {
        must_exist(&database.url)?;
        let builder = Gaia::builder().config(database.config).database(database.url);
        let gaia = builder.migrate(false).arbiters(1).start().await;
        let gaia = gaia.map_err(|error| unopened(&error))?;
        let opened_at = Utc::now();
        match serve(&gaia) {
            Ok((server, url, token)) => Ok(Self {
                gaia,
                server,
                url,
                token,
                opened_at,
            }),
            Err(failure) => {
                leave(&gaia).await;
                Err(failure)
            }
        }
    }

    /// The id of this process among the nodes of the database.
    pub fn node(&self) -> &str {
        self.gaia.node_id()
    }

    pub async fn close(self) {
        // Only this process asks, and it has done so.
        self.server.stop(false).await;
        leave(&self.gaia).await;
    }
}

/// A stop that fails leaves a row of a node that runs nothing; other nodes delete it after its lease.
async fn leave(gaia: &Gaia) {
    let _ = gaia.stop_within(Duration::ZERO).await;
}

fn serve(gaia: &Gaia) -> Result<(ServerHandle, String, String)> {
    let token = random_token()?;
    let hash = AccessToken::hash_of(&token);
    let caller = AccessToken::new(&caller_name(), &hash).map_err(|error| Failure::failed(error.to_string()))?;
    let access = Access::tokens([caller.permissions(Permission::ALL)]);
    let options = AdminOptions::new(access).requests_per_second(REQUESTS);
    let served = gaia.clone();
    let server = HttpServer::new(move || App::new().service(admin(&served, options.clone())))
        .workers(1)
        .disable_signals()
        .bind((Ipv4Addr::LOCALHOST, 0))
        .map_err(|error| Failure::failed(format!("cannot listen on the loopback address: {error}")))?;
    let [address] = server.addrs()[..] else {
        return Err(Failure::failed("the loopback address gave no port"));
    };
    let running = server.run();
    let handle = running.handle();
    actix_rt::spawn(running);
    Ok((handle, format!("http://{address}"), token))
}

fn random_token() -> Result<String> {
    let mut bytes = [0_u8; 32];
    let filled = ring::default_provider().secure_random.fill(&mut bytes);
    filled.map_err(|_| Failure::failed("the system gives no random numbers for a token"))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// The name in the audit.
fn caller_name() -> String {
    let user = whoami::username().unwrap_or_else(|_| "unknown".to_owned());
    let kept = user.chars().filter(|char| !char.is_control()).take(90);
    format!("cli:{}", kept.collect::<String>())
}

/// Opening a SQLite file that is not there would make an empty one.
pub fn must_exist(url: &str) -> Result<()> {
    // In a DSN of Go's driver the user may have the name of a scheme.
    let is_dsn = url.contains("@tcp(") || url.contains("@unix(");
    let Some(rest) = url.strip_prefix("sqlite:").filter(|_| !is_dsn) else {
        return Ok(());
    };
    let path = rest.split('?').next().unwrap_or(rest);
    let path = path.strip_prefix("//").unwrap_or(path);
    match path {
        ":memory:" => Err(Failure::usage(
            "a database in memory belongs to the process that has it; name the file of another one",
        )),
        path if path.is_empty() || Path::new(path).exists() => Ok(()),
        path => Err(Failure::new(
            Exit::Away,
            format!("there is no database file {path}; name another one, or make it by `gaia migrate`"),
        )),
    }
}

/// Why the database cannot be used, in words of this program.
pub fn unopened(error: &Error) -> Failure {
    match error {
        Error::Store(error) => of_store(error),
        error => Failure::usage(error.to_string()),
    }
}

pub fn of_store(error: &StoreError) -> Failure {
    match error {
        StoreError::Url(_) => Failure::usage(error.to_string()),
        StoreError::SchemaMissing { url, missing } => Failure::away(format!(
            "the tables of the database {url} are missing or older than this program: it lacks {missing} migrations; run `gaia migrate` \
             (first `gaia migrate --dry-run` to see which)"
        )),
        error => Failure::away(error.to_string()),
    }
}
