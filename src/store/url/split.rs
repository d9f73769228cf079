//! Splits the text of a server's URL into its parts. The errors repeat nothing of the text: a part in the wrong place may be a password.

use std::net::Ipv6Addr;

use percent_encoding::percent_decode_str;

use super::pairs;

/// The parts of a URL between `://` and its end, decoded.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    /// Each host with its port, if the URL names a port.
    pub(super) hosts: Vec<(String, Option<u16>)>,
    pub(super) database: Option<String>,
    /// The parameters, in the order of the URL.
    pub(super) pairs: Vec<(String, String)>,
}

const ENCODE: &str = "it cannot be taken apart for certain; in a user name, a password and a parameter write \
                      # as %23, % as %25, / as %2F, : as %3A, ? as %3F and @ as %40";

const HOST: &str =
    "the host is none; expected host, host:port or [IPv6 address]:port after the @ that ends the password";

const PORT: &str = "what follows the host is no port from 1 to 65535; expected user:password@host:port/database, \
                    where an @ ends the password";

/// `rest` is the text behind `://`. An `@` in the query is a part of a parameter only if no user stands before the host and all parameters
/// are known.
pub(super) fn split(rest: &str, is_known: impl Fn(&str) -> bool) -> Result<Parts, String> {
    let pieces = Pieces::of(rest, &is_known).ok_or(ENCODE)?;
    let mut parts = Parts {
        hosts: hosts(pieces.hosts)?,
        database: database(pieces.path)?,
        ..Parts::default()
    };
    if let Some(userinfo) = pieces.userinfo {
        let (user, password) = userinfo.split_once(':').map_or((userinfo, None), |(a, b)| (a, Some(b)));
        parts.user = Some(decoded("the user", user)?).filter(|user| !user.is_empty());
        parts.password = password.map(|text| decoded("the password", text)).transpose()?;
    }
    for (name, value) in pairs(pieces.query) {
        let pair = (decoded("a parameter", name)?, decoded("a parameter", value)?);
        parts.pairs.push(pair);
    }
    Ok(parts)
}

/// The parts as they are written, not decoded.
struct Pieces<'a> {
    userinfo: Option<&'a str>,
    hosts: &'a str,
    path: &'a str,
    query: &'a str,
}

impl<'a> Pieces<'a> {
    /// `None` if the text can be read in two ways, and one of them would take a piece of the password for something else.
    fn of(rest: &'a str, is_known: &impl Fn(&str) -> bool) -> Option<Self> {
        let (authority, tail) = authority(rest);
        if let Some(pieces) = Self::by_the_book(authority, tail, is_known) {
            return Some(pieces);
        }
        // A password with a / ? or # that is not encoded: certain if the only @ comes later, and the text before cannot be a port.
        let (userinfo, after) = rest.split_once('@')?;
        let is_password = |text: &str| text.parse::<u16>().is_err();
        let is_certain = userinfo.len() > authority.len()
            && authority.split_once(':').is_some_and(|(_, text)| is_password(text))
            && !after.contains('@');
        let (hosts, tail) = self::authority(after);
        let pieces = Self::by_the_book(hosts, tail, is_known).filter(|_| is_certain)?;
        Some(Self {
            userinfo: Some(userinfo),
            ..pieces
        })
    }

    /// Reads the text by RFC 3986: the host ends at the first / ? or #.
    fn by_the_book(authority: &'a str, tail: &'a str, is_known: &impl Fn(&str) -> bool) -> Option<Self> {
        let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
        let (userinfo, hosts) = match authority.rsplit_once('@') {
            Some((userinfo, hosts)) => (Some(userinfo), hosts),
            None => (None, authority),
        };
        // If a user stands before the host, a query that holds an @ may begin inside the password.
        let is_query = || userinfo.is_none() && pairs(query).all(|(name, _)| is_known(name));
        let is_clear = !tail.contains('#') && !path.contains('@') && (!query.contains('@') || is_query());
        is_clear.then_some(Self {
            userinfo,
            hosts,
            path,
            query,
        })
    }
}

fn authority(text: &str) -> (&str, &str) {
    text.split_at(text.find(['/', '?', '#']).unwrap_or(text.len()))
}

fn hosts(text: &str) -> Result<Vec<(String, Option<u16>)>, String> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    text.split(',').map(host_and_port).collect()
}

pub(super) fn host_and_port(text: &str) -> Result<(String, Option<u16>), String> {
    let (host, port) = if let Some(text) = text.strip_prefix('[') {
        let (address, port) = text.split_once(']').ok_or(HOST)?;
        let digits = address.split('%').next().unwrap_or_default();
        digits.parse::<Ipv6Addr>().map_err(|_| HOST.to_owned())?;
        (address.to_owned(), port)
    } else {
        let end = text.find(':').unwrap_or(text.len());
        (host(&decoded("the host", &text[..end])?)?, &text[end..])
    };
    let port = match port {
        "" | ":" => None,
        port => Some(self::port(port.strip_prefix(':').ok_or(PORT)?)?),
    };
    Ok((host, port))
}

/// Checks a host: a name, an address, or the path of a socket's folder.
pub(super) fn host(text: &str) -> Result<String, String> {
    let is_name = |text: &str| {
        text.chars()
            .all(|char| char.is_alphanumeric() || "-._:%".contains(char))
    };
    match !text.is_empty() && (text.starts_with('/') || is_name(text)) {
        true => Ok(text.to_owned()),
        false => Err(HOST.to_owned()),
    }
}

pub(super) fn port(text: &str) -> Result<u16, String> {
    let port = text.parse().ok().filter(|port| *port != 0);
    port.ok_or_else(|| PORT.to_owned())
}

fn database(path: &str) -> Result<Option<String>, String> {
    let name = path.strip_prefix('/').unwrap_or(path);
    if name.contains('/') {
        return Err("a / follows the database's name or stands in it; there write it as %2F".to_owned());
    }
    Ok(Some(decoded("the database's name", name)?).filter(|name| !name.is_empty()))
}

pub(super) fn decoded(what: &str, text: &str) -> Result<String, String> {
    let text = percent_decode_str(text).decode_utf8();
    let text = text.map_err(|_| format!("{what} is no UTF-8 when each %XX is decoded; write % as %25"))?;
    match text.chars().any(char::is_control) {
        true => Err(format!("{what} holds a control character")),
        false => Ok(text.into_owned()),
    }
}
