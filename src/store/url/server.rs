//! The URL of a database server. This module reads all parts of the URL: the drivers get values, never a text to parse.

use std::{fmt, net::IpAddr, path::PathBuf, time::Duration};

use chrono::FixedOffset;

#[cfg(feature = "mysql")]
use super::zone;
use super::{
    parameters::{self, Meaning, Server},
    split::{self, Parts, split},
    tls_mode::TlsMode,
    values::{self, Hundreds},
};
use crate::store::time::UTC;

/// How to reach a server. It holds the password, and is shown without it.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::store) struct ServerUrl {
    shown: String,
    pub(in crate::store) user: Option<String>,
    pub(in crate::store) password: Option<String>,
    /// With their ports. At least one, unless `driver` holds a `hostaddr`. A host that begins with `/` is the folder of a socket.
    pub(in crate::store) hosts: Vec<(String, u16)>,
    pub(in crate::store) database: Option<String>,
    /// Settings of the driver, by the driver's names.
    pub(in crate::store) driver: Vec<(&'static str, String)>,
    pub(in crate::store) pool_size: usize,
    pub(in crate::store) pool_timeout: Duration,
    pub(in crate::store) connect_timeout: Duration,
    /// How long a process that starts waits for a server that has no connection to give.
    pub(in crate::store) start_timeout: Duration,
    /// The pool closes connections that have been idle for this long.
    pub(in crate::store) idle_timeout: Duration,
    /// The pool replaces connections that are older.
    pub(in crate::store) max_lifetime: Duration,
    pub(in crate::store) tls: TlsMode,
    /// A PEM file of the authorities to trust. `None`: for `VerifyFull` those that browsers trust; the other modes trust any certificate.
    pub(in crate::store) ca: Option<PathBuf>,
    /// Whether there is a pooler between this process and the server that gives each transaction another session.
    #[cfg(feature = "postgres")]
    pub(in crate::store) transaction_pooler: bool,
    /// The zone in which the columns of time stand.
    pub(in crate::store) zone: FixedOffset,
    /// Parameters that are known and have no effect in this crate.
    pub(super) ignored: Vec<&'static str>,
}

/// Whether this process reaches the host without a network. A host that begins with `/` is the folder of a socket.
fn is_this_machine(host: &str) -> bool {
    let address: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    host.starts_with('/')
        || host.eq_ignore_ascii_case("localhost")
        || address.is_some_and(|address| address.is_loopback())
}

/// Values of parameters that are put into the URL once all parameters are read.
#[derive(Default)]
struct Said {
    hosts: Option<Vec<String>>,
    ports: Option<Vec<u16>>,
    tls: Option<TlsMode>,
    system_authorities: bool,
    zone: Option<FixedOffset>,
    go_zone: Option<FixedOffset>,
}

impl ServerUrl {
    /// `remedy` is the parameter that protects the connection.
    pub(super) fn danger(&self, remedy: &str) -> Option<String> {
        let what = match (self.tls, &self.ca) {
            (TlsMode::Disable, _) => {
                "are not encrypted: who listens on the way reads all of it, the password perhaps, too"
            }
            (TlsMode::Prefer, _) => {
                "are encrypted only if the server offers that, and its certificate is not verified: who stands on the way may pose \
                 as the server"
            }
            (TlsMode::Require, None) => {
                "are encrypted, but the server's certificate is not verified: who stands on the way may pose as the server"
            }
            (TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull, _) => return None,
        };
        let (host, _) = self.hosts.iter().find(|(host, _)| !is_this_machine(host))?;
        Some(format!(
            "connections to the database server at {host} {what}; set {remedy} in its URL (and sslrootcert for an authority of \
             your own), unless the network keeps others out"
        ))
    }

    /// `rest` is the text behind `scheme://`.
    pub(super) fn parse(scheme: &str, rest: &str, server: &Server) -> Result<Self, String> {
        let parts = split(rest, |name| server.parameter(name).is_some())?;
        Self::of_parts(scheme, parts, server)
    }

    pub(super) fn of_parts(scheme: &str, parts: Parts, server: &Server) -> Result<Self, String> {
        let Parts { user, password, .. } = parts;
        let mut url = Self {
            shown: String::new(),
            user,
            password,
            hosts: with_ports(parts.hosts, server.port),
            database: parts.database,
            driver: Vec::new(),
            pool_size: 10,
            pool_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(10),
            start_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(60),
            max_lifetime: Duration::from_secs(1_800),
            tls: server.tls,
            ca: None,
            #[cfg(feature = "postgres")]
            transaction_pooler: false,
            zone: UTC,
            ignored: Vec::new(),
        };
        let mut said = Said::default();
        for (place, (name, value)) in (1..).zip(parts.pairs) {
            let (name, meaning) = server.parameter(&name).ok_or_else(|| server.unknown(place, &name))?;
            let read = url.read(&mut said, name, meaning, value);
            read.map_err(|fault| format!("{name}: {fault}"))?;
        }
        url.put_together(said, server)?;
        url.shown = url.to_show(scheme);
        Ok(url)
    }

    fn read(&mut self, said: &mut Said, name: &'static str, meaning: Meaning, value: String) -> Result<(), String> {
        match meaning {
            Meaning::User => self.user = Some(value),
            Meaning::Password => self.password = Some(value),
            Meaning::Database => self.database = Some(value),
            Meaning::Host => said.hosts = Some(value.split(',').map(split::host).collect::<Result<_, _>>()?),
            Meaning::Port => said.ports = Some(value.split(',').map(split::port).collect::<Result<_, _>>()?),
            Meaning::PoolSize => self.pool_size = values::number(&value, &(1..=10_000))?,
            Meaning::PoolTimeout => self.pool_timeout = values::time(&value, Hundreds::Milliseconds)?,
            Meaning::ConnectTimeout => self.connect_timeout = values::time(&value, Hundreds::Refused)?,
            Meaning::StartTimeout => self.start_timeout = values::time(&value, Hundreds::Refused)?,
            Meaning::IdleTimeout => self.idle_timeout = values::time(&value, Hundreds::Refused)?,
            Meaning::MaxLifetime => self.max_lifetime = values::time(&value, Hundreds::Refused)?,
            #[cfg(feature = "postgres")]
            Meaning::TransactionPooler => self.transaction_pooler = values::flag(&value)?,
            // `None` is less than any mode.
            Meaning::Tls(allowed) => said.tls = said.tls.max(parameters::tls(&value, allowed)?),
            Meaning::Authorities if value == "system" => said.system_authorities = true,
            Meaning::Authorities => self.ca = Some(PathBuf::from(value)),
            Meaning::Driver(name) => self.driver.push((name, value)),
            #[cfg(feature = "postgres")]
            Meaning::DriverChoice(name, allowed) => {
                self.driver.push((name, values::choice(&value, allowed)?.to_owned()));
            }
            #[cfg(feature = "postgres")]
            Meaning::Session(setting) => {
                let value = value.replace('\\', "\\\\").replace(' ', "\\ ");
                self.driver.push(("options", format!("-c {setting}={value}")));
            }
            #[cfg(feature = "mysql")]
            Meaning::Zone => said.zone = Some(zone::parse(&value)?),
            #[cfg(feature = "mysql")]
            Meaning::GoZone => said.go_zone = Some(zone::parse(&value)?),
            Meaning::Harmless => self.ignored.push(name),
            Meaning::HarmlessAs(allowed) => {
                values::choice(&value, allowed)?;
                self.ignored.push(name);
            }
            Meaning::Unsupported(reason) => return Err(reason.to_owned()),
        }
        Ok(())
    }

    fn put_together(&mut self, said: Said, server: &Server) -> Result<(), String> {
        if let Some(hosts) = said.hosts {
            let ports = self.hosts.iter().map(|(_, port)| Some(*port)).chain([None]);
            self.hosts = with_ports(hosts.into_iter().zip(ports.cycle()).collect(), server.port);
        }
        if let Some(ports) = said.ports {
            for ((_, port), said) in self.hosts.iter_mut().zip(ports.iter().cycle()) {
                *port = *said;
            }
        }
        self.tls = said.tls.unwrap_or(self.tls);
        self.zone = said.zone.or(said.go_zone).unwrap_or(self.zone);
        if said.system_authorities {
            // libpq's rule: every server can get a certificate from one of these authorities, so only the host's name proves the server.
            self.tls = match said.tls {
                None | Some(TlsMode::VerifyFull) => TlsMode::VerifyFull,
                Some(_) => return Err("sslrootcert=system protects with sslmode=verify-full only".to_owned()),
            };
        }
        if self.tls == TlsMode::VerifyCa && self.ca.is_none() {
            self.tls = TlsMode::VerifyFull;
        }
        self.check(server)
    }

    fn check(&mut self, server: &Server) -> Result<(), String> {
        let reached_by_driver = |name: &str| self.driver.iter().any(|(known, _)| *known == name);
        if self.hosts.is_empty() && !reached_by_driver("hostaddr") {
            match reached_by_driver("socket") {
                true => self.hosts.push(("localhost".to_owned(), server.port)),
                false => return Err("it names no host; expected user:password@host:port/database".to_owned()),
            }
        }
        if !server.is_postgres {
            if self.hosts.len() > 1 {
                return Err("it names several hosts, expected one".to_owned());
            }
            if self.database.is_none() {
                return Err("it names no database; expected user:password@host:port/database".to_owned());
            }
        }
        Ok(())
    }

    /// The URL with only those words that cannot be a password; the others are shown as `***`.
    fn to_show(&self, scheme: &str) -> String {
        let user = match (&self.user, &self.password) {
            (None, None) => String::new(),
            (Some(user), Some(_)) => format!("{}:***@", plain(user)),
            // A word that stands alone before the @ may be a token.
            _ => "***@".to_owned(),
        };
        let hosts: Vec<String> = self
            .hosts
            .iter()
            .map(|(host, port)| self.host_to_show(host, *port))
            .collect();
        // `ann:/secret`, in which the user left the host out, looks like a host and a database.
        let is_surely_database = self.password.as_deref().is_some_and(|password| !password.is_empty())
            || self.hosts.iter().all(|(host, _)| is_likely(host));
        let database = self.database.as_deref().map(|name| match is_surely_database {
            true => format!("/{}", plain(name)),
            false => "/***".to_owned(),
        });
        format!("{scheme}://{user}{}{}", hosts.join(","), database.unwrap_or_default())
    }

    fn host_to_show(&self, host: &str, port: u16) -> String {
        // `ann:1234`, in which the user left the host out, looks like a host and its port.
        let is_surely_port = self.password.is_some() || host.contains(['.', ':']) || host == "localhost";
        // `ann:@secret/db` reads as an empty password and a host, `ann:,secret/db` as two hosts: the user may have meant a password.
        let is_ambiguous = match self.password.as_deref() {
            Some(password) => password.is_empty(),
            None => self.hosts.len() > 1,
        };
        match host {
            _ if is_ambiguous && !is_likely(host) => format!("***:{port}"),
            host if host.starts_with('/') => host.to_owned(),
            host if !is_surely_port => format!("{host}:***"),
            host if host.contains(':') => format!("[{host}]:{port}"),
            host => format!("{host}:{port}"),
        }
    }

    /// The URL without the password.
    pub(in crate::store) fn shown(&self) -> &str {
        &self.shown
    }
}

/// Whether a word is likely a host, and not a user or a part of a password.
fn is_likely(host: &str) -> bool {
    host.contains(['.', ':', '/']) || host == "localhost"
}

fn with_ports(hosts: Vec<(String, Option<u16>)>, default: u16) -> Vec<(String, u16)> {
    let with_port = |(host, port): (String, Option<u16>)| (host, port.unwrap_or(default));
    hosts.into_iter().map(with_port).collect()
}

/// The name; `***` if it holds a mark, since then it may be more than a name.
fn plain(name: &str) -> &str {
    let is_plain = name.chars().all(|char| char.is_alphanumeric() || "._-".contains(char));
    if is_plain { name } else { "***" }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServerUrl").field(&self.shown).finish()
    }
}
