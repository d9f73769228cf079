//! The client of the HTTP API.

mod fields;
mod problem;
mod request;
mod tls;
mod token;

use std::{cell::Cell, path::Path, rc::Rc, time::Duration};

use awc::{Client, Connector, http::Method};
use chrono::{DateTime, TimeDelta, Utc};
use url::Url;

pub use self::{
    fields::{Fields, Pairs},
    request::Request,
};
use crate::{
    exit::{Failure, Result},
    local::Local,
    output::say,
};

const PREFIX: &str = "/api/v1";
const CONNECT: Duration = Duration::from_secs(10);

/// A clock that differs by less than this does so because a request takes time.
const LEAST_SKEW: TimeDelta = TimeDelta::seconds(2);

/// The API of one server.
pub struct Api {
    client: Client,
    /// Up to `/api/v1`, without a slash at its end.
    base: String,
    token: Option<String>,
    /// The server's clock minus this machine's, as the last answer has shown it.
    skew: Rc<Cell<TimeDelta>>,
    /// The id of this process, if the API is its own.
    own_node: Option<String>,
}

impl Api {
    /// The API that lies below this URL.
    pub fn of_server(url: &str, token_file: Option<&Path>, ca_file: Option<&Path>) -> Result<Self> {
        let url = checked(url)?;
        let token = token_file.map(token::read).transpose()?;
        if token.is_some() && url.scheme() == "http" && !is_this_machine(&url) {
            say(&format!(
                "gaia: warning: the token goes to {} without encryption; use https",
                url.host_str().unwrap_or_default()
            ));
        }
        let path = url.path().trim_end_matches('/');
        let path = path.strip_suffix(PREFIX).unwrap_or(path);
        let base = format!("{}{path}{PREFIX}", url.origin().ascii_serialization());
        let tls = match url.scheme() {
            "https" => Some(tls::config(ca_file)?),
            _ => None,
        };
        Ok(Self::new(base, token, tls, None))
    }

    /// The API that this process serves itself.
    pub fn of_local(local: &Local) -> Self {
        let base = format!("{}{PREFIX}", local.url);
        Self::new(base, Some(local.token.clone()), None, Some(local.node().to_owned()))
    }

    fn new(base: String, token: Option<String>, tls: Option<tls::Config>, own_node: Option<String>) -> Self {
        let connector = Connector::new().timeout(CONNECT);
        let connector = match tls {
            Some(config) => connector.rustls_0_23(config),
            None => connector,
        };
        let client = Client::builder()
            .connector(connector)
            .disable_timeout()
            .disable_redirects()
            .add_default_header(("user-agent", concat!("gaia/", env!("CARGO_PKG_VERSION"))));
        Self {
            client: client.finish(),
            base,
            token,
            skew: Rc::default(),
            own_node,
        }
    }

    pub fn get(&self, path: &[&str]) -> Request<'_> {
        Request::new(self, Method::GET, path)
    }

    pub fn post(&self, path: &[&str]) -> Request<'_> {
        Request::new(self, Method::POST, path)
    }

    pub fn put(&self, path: &[&str]) -> Request<'_> {
        Request::new(self, Method::PUT, path)
    }

    pub fn delete(&self, path: &[&str]) -> Request<'_> {
        Request::new(self, Method::DELETE, path)
    }

    /// Whether this is the node of the program itself, which lives as long as its command.
    pub fn is_own_node(&self, node: &str) -> bool {
        self.own_node.as_deref() == Some(node)
    }

    /// The server's clock minus this machine's: what of it is more than the way of a request. Known after the first answer.
    pub fn skew(&self) -> TimeDelta {
        match self.skew.get() {
            skew if skew.abs() < LEAST_SKEW => TimeDelta::zero(),
            skew => skew,
        }
    }

    /// Now, by the server's clock.
    pub fn now(&self) -> DateTime<Utc> {
        let now = Utc::now();
        now.checked_add_signed(self.skew()).unwrap_or(now)
    }

    fn saw(&self, date: DateTime<Utc>) {
        self.skew.set(date - Utc::now());
    }
}

fn checked(text: &str) -> Result<Url> {
    // The text is not repeated: it may hold a password.
    let bad = |what: &str| {
        Failure::usage(format!(
            "the URL of the server {what}; expected http://host:port/path or https://host/path"
        ))
    };
    let url = Url::parse(text).map_err(|error| bad(&format!("cannot be read: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err(bad("is none of http or https"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad(
            "has a user or a password; write a token into a file and give --token-file",
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(bad("has a query or a fragment"));
    }
    Ok(url)
}

fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
