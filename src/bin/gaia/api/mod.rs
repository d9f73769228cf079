//! The client of the HTTP API.

mod fields;
mod problem;
mod request;
mod tls;
mod token;
mod wire;

use std::{cell::Cell, path::Path, rc::Rc, time::Duration};

use awc::{Client, Connector, http::Method};
use chrono::{DateTime, TimeDelta, Utc};
use url::{Position, Url};

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
    /// The URL up to `/api/v1`, without a slash at its end: for people, and for awc.
    shown: String,
    base: String,
    /// The host with the port, if the URL names one.
    host: String,
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
        let tls = match url.scheme() {
            "https" => Some(tls::config(ca_file)?),
            _ => None,
        };
        Ok(Self::new(&url, token, tls, None))
    }

    /// The API that this process serves itself.
    pub fn of_local(local: &Local) -> Result<Self> {
        let url = checked(&local.url)?;
        Ok(Self::new(
            &url,
            Some(local.token.clone()),
            None,
            Some(local.node().to_owned()),
        ))
    }

    fn new(url: &Url, token: Option<String>, tls: Option<tls::Config>, own_node: Option<String>) -> Self {
        let path = url.path().trim_end_matches('/');
        let path = format!("{}{PREFIX}", path.strip_suffix(PREFIX).unwrap_or(path));
        let authority = &url[Position::BeforeHost..Position::AfterPort];
        let client = Client::builder()
            .connector(Connector::new().connector(wire::connector(url, tls)).timeout(CONNECT))
            .disable_timeout()
            .disable_redirects()
            .add_default_header(("user-agent", concat!("gaia/", env!("CARGO_PKG_VERSION"))));
        Self {
            client: client.finish(),
            shown: format!("{}://{authority}{path}", url.scheme()),
            // For awc the scheme is always `http`: TLS is done below it, and the scheme is not sent.
            base: format!("http://{authority}{path}"),
            host: authority.to_owned(),
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
