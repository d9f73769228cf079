//! The URL of a database server: what is ours in it is taken out, the rest is left to the driver.

use std::{fmt, ops::RangeInclusive, path::PathBuf, str::FromStr, time::Duration};

use percent_encoding::percent_decode_str;

use super::pairs;

/// How to reach a server. It holds the password: it is shown without it.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::store) struct ServerUrl {
    driver: String,
    shown: String,
    pub(in crate::store) pool_size: usize,
    pub(in crate::store) pool_timeout: Duration,
    pub(in crate::store) connect_timeout: Duration,
    pub(in crate::store) tls: TlsMode,
    /// Certificates of the authorities to trust, in PEM. `None`: those that browsers trust.
    pub(in crate::store) ca: Option<PathBuf>,
    /// Whether a pooler stands between, which gives each transaction another session of the server's (`pgbouncer=true`).
    #[allow(dead_code, reason = "not every build has a pooler to care for")]
    pub(in crate::store) transaction_pooler: bool,
}

/// How far the connection is protected, with libpq's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum TlsMode {
    Disable,
    /// Encrypted if the server can; nobody's certificate is checked.
    #[cfg(feature = "postgres")]
    Prefer,
    /// Encrypted. The certificate must come from the given authority, if one is given, and may name any host.
    Require,
    /// Encrypted, and the certificate must name the host.
    VerifyFull,
}

/// What a kind of server allows in its URL.
pub(super) struct Allowed {
    modes: &'static [(&'static str, TlsMode)],
    default: TlsMode,
    /// Left to the driver.
    driver: &'static [&'static str],
}

const OURS: [&str; 5] = ["pool_size", "pool_timeout", "connect_timeout", "sslmode", "sslrootcert"];

#[cfg(feature = "postgres")]
pub(super) const POSTGRES: Allowed = Allowed {
    modes: &[
        ("disable", TlsMode::Disable),
        ("prefer", TlsMode::Prefer),
        ("require", TlsMode::Require),
        ("verify-full", TlsMode::VerifyFull),
    ],
    default: TlsMode::Prefer,
    driver: &[
        "application_name",
        "options",
        "target_session_attrs",
        "load_balance_hosts",
        "hostaddr",
    ],
};

#[cfg(feature = "mysql")]
pub(super) const MYSQL: Allowed = Allowed {
    modes: &[
        ("disable", TlsMode::Disable),
        ("require", TlsMode::Require),
        ("verify-full", TlsMode::VerifyFull),
    ],
    default: TlsMode::Disable,
    driver: &["socket"],
};

impl ServerUrl {
    pub(super) fn parse(text: &str, shown: String, allowed: &Allowed) -> Result<Self, String> {
        // A password may hold a question mark: parameters begin after the host.
        let after_host = text
            .rfind('@')
            .and_then(|host| text[host..].find('?').map(|at| host + at));
        let (head, query) = match after_host.or_else(|| text.find('?')) {
            Some(at) => (&text[..at], &text[at + 1..]),
            None => (text, ""),
        };
        let mut url = Self {
            driver: String::new(),
            shown,
            pool_size: 10,
            pool_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(10),
            tls: allowed.default,
            ca: None,
            transaction_pooler: false,
        };
        let mut left = Vec::new();
        for (key, value) in pairs(query) {
            match key {
                "pool_size" => url.pool_size = number(key, value, &(1..=10_000))?,
                "pool_timeout" => url.pool_timeout = millis(key, value)?,
                "connect_timeout" => url.connect_timeout = millis(key, value)?,
                "sslrootcert" => {
                    let path = percent_decode_str(value).decode_utf8_lossy();
                    url.ca = Some(PathBuf::from(path.as_ref()));
                }
                "sslmode" => url.tls = allowed.mode(value)?,
                "pgbouncer" => url.transaction_pooler = value.eq_ignore_ascii_case("true"),
                key if allowed.driver.contains(&key) => left.push(format!("{key}={value}")),
                key => return Err(allowed.unknown(key)),
            }
        }
        url.driver = match left.is_empty() {
            true => head.to_owned(),
            false => format!("{head}?{}", left.join("&")),
        };
        Ok(url)
    }

    /// For the driver's own parser. It holds the password.
    pub(in crate::store) fn driver(&self) -> &str {
        &self.driver
    }

    /// Without the password.
    pub(in crate::store) fn shown(&self) -> &str {
        &self.shown
    }
}

impl Allowed {
    fn mode(&self, text: &str) -> Result<TlsMode, String> {
        let found = self.modes.iter().find(|(name, _)| *name == text);
        found.map(|(_, mode)| *mode).ok_or_else(|| {
            let names: Vec<_> = self.modes.iter().map(|(name, _)| *name).collect();
            format!("sslmode is {text:?}, expected {}", names.join(", "))
        })
    }

    fn unknown(&self, key: &str) -> String {
        let known: Vec<&str> = OURS.iter().chain(self.driver).copied().collect();
        super::unknown_parameter(key, &known)
    }
}

fn millis(key: &str, value: &str) -> Result<Duration, String> {
    number(key, value, &(1..=3_600_000)).map(Duration::from_millis)
}

fn number<T>(key: &str, value: &str, range: &RangeInclusive<T>) -> Result<T, String>
where
    T: FromStr + PartialOrd + fmt::Display,
{
    let parsed = value.parse().ok().filter(|number| range.contains(number));
    parsed.ok_or_else(|| format!("{key} is {value:?}, expected {} to {}", range.start(), range.end()))
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServerUrl").field(&self.shown).finish()
    }
}

#[cfg(all(test, feature = "postgres"))]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ServerUrl, String> {
        ServerUrl::parse(text, String::new(), &POSTGRES)
    }

    #[test]
    fn our_parameters_are_taken_out_and_the_drivers_are_left() {
        let url = parse(
            "postgres://a:p?w@h/d?pool_size=3&sslmode=verify-full&sslrootcert=%2Fetc%2Fca.pem&application_name=x&pool_timeout=250",
        )
        .expect("is good");
        assert_eq!(url.driver(), "postgres://a:p?w@h/d?application_name=x");
        assert_eq!((url.pool_size, url.pool_timeout.as_millis()), (3, 250));
        assert_eq!((url.tls, url.ca), (TlsMode::VerifyFull, Some("/etc/ca.pem".into())));
    }

    #[test]
    fn bad_parameters_say_what_is_expected() {
        for (query, fault) in [
            ("pool_size=0", "pool_size is \"0\", expected 1 to 10000"),
            ("pool_timeout=soon", "pool_timeout is \"soon\", expected 1 to 3600000"),
            (
                "sslmode=on",
                "sslmode is \"on\", expected disable, prefer, require, verify-full",
            ),
            (
                "poolsize=3",
                "unknown parameter \"poolsize\", the nearest is \"pool_size\"",
            ),
        ] {
            assert_eq!(parse(&format!("postgres://h/d?{query}")), Err(fault.to_owned()));
        }
    }
}
