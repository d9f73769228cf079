//! The known parameters of servers' URLs: this crate's, libpq's, and those that hosters and other drivers use.
//!
//! Names are compared in small letters, and `-` counts as `_`.

use super::{tls_mode::TlsMode, values};

/// The meaning of a parameter.
#[derive(Clone, Copy)]
pub(super) enum Meaning {
    User,
    Password,
    Host,
    Port,
    Database,
    PoolSize,
    PoolTimeout,
    ConnectTimeout,
    StartTimeout,
    IdleTimeout,
    MaxLifetime,
    /// Whether there is a pooler between this process and the server that gives each transaction another session.
    #[cfg(feature = "postgres")]
    TransactionPooler,
    /// The allowed values, each with the mode that it asks for, if any.
    Tls(&'static [(&'static str, Option<TlsMode>)]),
    /// A file of authorities to trust.
    Authorities,
    /// A setting of the driver, with the driver's name for it.
    Driver(&'static str),
    /// The same with a choice of values: each allowed value, and the driver's name for it.
    #[cfg(feature = "postgres")]
    DriverChoice(&'static str, &'static [(&'static str, &'static str)]),
    /// A setting of `PostgreSQL`, made in every session.
    #[cfg(feature = "postgres")]
    Session(&'static str),
    /// The zone in which the columns of time stand.
    #[cfg(feature = "mysql")]
    Zone,
    /// The same, for Go's driver. Its [`Zone`](Self::Zone) is that of the session, and the program's own counts.
    #[cfg(feature = "mysql")]
    GoZone,
    /// The parameter makes no difference in this crate, or asks for something that this crate does anyway.
    Harmless,
    /// The same for these values; other values are refused.
    HarmlessAs(&'static [(&'static str, ())]),
    /// The user relies on something that this crate does not do. The reason of the refusal.
    Unsupported(&'static str),
}

use Meaning::{
    Authorities, ConnectTimeout, Database, Driver, Harmless, HarmlessAs, Host, IdleTimeout, MaxLifetime, Password,
    PoolSize, PoolTimeout, Port, StartTimeout, Tls, Unsupported, User,
};

pub(super) type Parameter = (&'static str, Meaning);

/// A kind of server: its parameters and its defaults.
pub(super) struct Server {
    pub(super) parameters: &'static [&'static [Parameter]],
    pub(super) tls: TlsMode,
    pub(super) port: u16,
    /// Whether the URL may name several hosts, and leave out a database that has the user's name.
    pub(super) is_postgres: bool,
}

#[cfg(feature = "postgres")]
pub(super) const POSTGRES: Server = Server {
    parameters: &[COMMON, postgres::PARAMETERS],
    tls: TlsMode::Prefer,
    port: 5432,
    is_postgres: true,
};

#[cfg(feature = "mysql")]
pub(super) const MYSQL: Server = Server {
    parameters: &[COMMON, mysql::PARAMETERS],
    tls: TlsMode::Disable,
    port: 3306,
    is_postgres: false,
};

impl Server {
    /// The parameter with this name.
    pub(super) fn parameter(&self, name: &str) -> Option<Parameter> {
        let name = name.to_ascii_lowercase().replace('-', "_");
        let mut all = self.parameters.iter().copied().flatten();
        all.find(|(known, _)| *known == name).copied()
    }

    /// The error text for the unknown parameter at this place (from 1).
    pub(super) fn unknown(&self, place: usize, name: &str) -> String {
        let known: Vec<&str> = self
            .parameters
            .iter()
            .copied()
            .flatten()
            .map(|(known, _)| *known)
            .collect();
        super::unknown(place, name, &known)
    }
}

const NO_CLIENT_CERTIFICATE: &str = "client certificates are not supported; let the user log in by password";
const NO_REVOCATION: &str = "lists of revoked certificates are not supported";

const MODES: &[(&str, Option<TlsMode>)] = &[
    ("disable", Some(TlsMode::Disable)),
    ("prefer", Some(TlsMode::Prefer)),
    ("require", Some(TlsMode::Require)),
    ("verify-ca", Some(TlsMode::VerifyCa)),
    ("verify-full", Some(TlsMode::VerifyFull)),
    ("allow", Some(TlsMode::Prefer)),
    ("no-verify", Some(TlsMode::Require)),
    ("disabled", Some(TlsMode::Disable)),
    ("preferred", Some(TlsMode::Prefer)),
    ("required", Some(TlsMode::Require)),
    ("verify-identity", Some(TlsMode::VerifyFull)),
];

/// libpq takes `ssl=true` for `sslmode=require`. [`values::tls_object`] reads a JSON object.
const SSL: &[(&str, Option<TlsMode>)] = &[
    ("true", Some(TlsMode::Require)),
    ("1", Some(TlsMode::Require)),
    ("false", Some(TlsMode::Disable)),
    ("0", Some(TlsMode::Disable)),
    ("require", Some(TlsMode::Require)),
    ("required", Some(TlsMode::Require)),
    ("prefer", Some(TlsMode::Prefer)),
    ("disable", Some(TlsMode::Disable)),
    ("verify-ca", Some(TlsMode::VerifyCa)),
    ("verify-full", Some(TlsMode::VerifyFull)),
];

/// Prisma's `sslaccept`.
const ACCEPT: &[(&str, Option<TlsMode>)] = &[
    ("strict", Some(TlsMode::VerifyFull)),
    ("accept-invalid-certs", Some(TlsMode::Require)),
];

/// `tls` of Go's driver for `MySQL`.
const TLS: &[(&str, Option<TlsMode>)] = &[
    ("true", Some(TlsMode::VerifyFull)),
    ("skip-verify", Some(TlsMode::Require)),
    ("preferred", Some(TlsMode::Prefer)),
    ("false", Some(TlsMode::Disable)),
];

const COMMON: &[Parameter] = &[
    ("user", User),
    ("password", Password),
    ("host", Host),
    ("port", Port),
    ("dbname", Database),
    ("database", Database),
    ("pool_size", PoolSize),
    ("pool", PoolSize),
    ("connection_limit", PoolSize),
    ("connectionlimit", PoolSize),
    ("pool_timeout", PoolTimeout),
    ("connect_timeout", ConnectTimeout),
    ("connecttimeout", ConnectTimeout),
    ("logintimeout", ConnectTimeout),
    ("start_timeout", StartTimeout),
    ("idle_timeout", IdleTimeout),
    ("max_lifetime", MaxLifetime),
    ("sslmode", Tls(MODES)),
    ("ssl_mode", Tls(MODES)),
    ("ssl", Tls(SSL)),
    ("sslaccept", Tls(ACCEPT)),
    ("tls", Tls(TLS)),
    ("sslrootcert", Authorities),
    ("sslca", Authorities),
    ("ssl_ca", Authorities),
    ("sslcert", Unsupported(NO_CLIENT_CERTIFICATE)),
    ("ssl_cert", Unsupported(NO_CLIENT_CERTIFICATE)),
    ("sslkey", Unsupported(NO_CLIENT_CERTIFICATE)),
    ("ssl_key", Unsupported(NO_CLIENT_CERTIFICATE)),
    ("sslpassword", Unsupported(NO_CLIENT_CERTIFICATE)),
    ("sslidentity", Unsupported(NO_CLIENT_CERTIFICATE)),
    ("sslcrl", Unsupported(NO_REVOCATION)),
    ("ssl_crl", Unsupported(NO_REVOCATION)),
    ("sslcrldir", Unsupported(NO_REVOCATION)),
    ("ssl_crlpath", Unsupported(NO_REVOCATION)),
    ("charset", Harmless),
    ("encoding", Harmless),
    ("sockettimeout", Harmless),
    ("socket_timeout", Harmless),
    ("tcpkeepalive", Harmless),
    ("prepared_statements", Harmless),
    ("statement_cache_size", Harmless),
    ("statement_cache_capacity", Harmless),
    ("preparedstatementcachequeries", Harmless),
];

#[cfg(feature = "postgres")]
mod postgres {
    use super::{
        Driver, Harmless, HarmlessAs,
        Meaning::{DriverChoice, Session, TransactionPooler},
        Parameter, PoolSize, Tls, TlsMode, Unsupported,
    };

    pub(super) const PARAMETERS: &[Parameter] = &[
        ("pgbouncer", TransactionPooler),
        ("application_name", Driver("application_name")),
        ("applicationname", Driver("application_name")),
        ("hostaddr", Driver("hostaddr")),
        ("options", Driver("options")),
        ("channel_binding", DriverChoice("channel_binding", BINDING)),
        ("target_session_attrs", DriverChoice("target_session_attrs", SESSION)),
        ("load_balance_hosts", DriverChoice("load_balance_hosts", BALANCE)),
        ("search_path", Session("search_path")),
        ("currentschema", Session("search_path")),
        ("schema", Session("search_path")),
        ("statement_timeout", Session("statement_timeout")),
        (
            "idle_in_transaction_session_timeout",
            Session("idle_in_transaction_session_timeout"),
        ),
        ("pool_max_conns", PoolSize),
        ("requiressl", Tls(REQUIRE)),
        ("gssencmode", HarmlessAs(&[("disable", ()), ("prefer", ())])),
        ("sslcertmode", HarmlessAs(&[("disable", ()), ("allow", ())])),
        ("sslnegotiation", HarmlessAs(&[("postgres", ()), ("direct", ())])),
        // Less than 1.2 is never spoken.
        (
            "ssl_min_protocol_version",
            HarmlessAs(&[("tlsv1", ()), ("tlsv1.1", ()), ("tlsv1.2", ())]),
        ),
        (
            "require_auth",
            Unsupported("a choice of methods is not supported; channel_binding=require insists on SCRAM"),
        ),
        (
            "requirepeer",
            Unsupported("the owner of a socket is not checked; name the socket's folder in host"),
        ),
        (
            "passfile",
            Unsupported("no file of passwords is read; put the password into the URL"),
        ),
        (
            "service",
            Unsupported("no file of services is read; put its settings into the URL"),
        ),
        // Sessions are in UTC.
        ("timezone", Harmless),
        ("time_zone", Harmless),
        ("autosave", Harmless),
        ("binary_parameters", Harmless),
        ("binarytransfer", Harmless),
        ("client_encoding", Harmless),
        ("datestyle", Harmless),
        ("default_query_exec_mode", Harmless),
        ("description_cache_capacity", Harmless),
        ("fallback_application_name", Harmless),
        ("gssdelegation", Harmless),
        ("gsslib", Harmless),
        ("keepalives", Harmless),
        ("keepalives_count", Harmless),
        ("keepalives_idle", Harmless),
        ("keepalives_interval", Harmless),
        ("krbsrvname", Harmless),
        ("pool_health_check_period", Harmless),
        ("pool_max_conn_idle_time", Harmless),
        ("pool_max_conn_lifetime", Harmless),
        ("pool_max_conn_lifetime_jitter", Harmless),
        ("pool_min_conns", Harmless),
        ("prefer_simple_protocol", Harmless),
        ("preferquerymode", Harmless),
        ("prepared_statement_cache_size", Harmless),
        ("preparethreshold", Harmless),
        ("rewritebatchedinserts", Harmless),
        ("ssl_max_protocol_version", Harmless),
        ("sslcompression", Harmless),
        ("sslsni", Harmless),
        ("statement_cache_mode", Harmless),
        ("stringtype", Harmless),
        ("supa", Harmless),
        (
            "targetservertype",
            HarmlessAs(&[("any", ()), ("primary", ()), ("master", ())]),
        ),
        ("tcp_user_timeout", Harmless),
        ("uselibpqcompat", Harmless),
    ];

    const BINDING: &[(&str, &str)] = &[("disable", "disable"), ("prefer", "prefer"), ("require", "require")];

    const BALANCE: &[(&str, &str)] = &[("disable", "disable"), ("random", "random")];

    /// libpq's other values are missing: a server that takes no writes is of no use.
    const SESSION: &[(&str, &str)] = &[("any", "any"), ("read-write", "read-write"), ("primary", "read-write")];

    const REQUIRE: &[(&str, Option<TlsMode>)] = &[("1", Some(TlsMode::Require)), ("0", None)];
}

#[cfg(feature = "mysql")]
mod mysql {
    use super::{
        ConnectTimeout, Driver, Harmless, HarmlessAs,
        Meaning::{GoZone, Zone},
        NO_CLIENT_CERTIFICATE, Parameter, Tls, TlsMode, Unsupported,
    };

    pub(super) const PARAMETERS: &[Parameter] = &[
        ("socket", Driver("socket")),
        ("unix_socket", Driver("socket")),
        ("timeout", ConnectTimeout),
        ("time_zone", Zone),
        ("timezone", Zone),
        ("servertimezone", Zone),
        ("connectiontimezone", Zone),
        ("loc", GoZone),
        ("usessl", Tls(USE)),
        ("requiressl", Tls(REQUIRE)),
        ("verifyservercertificate", Tls(VERIFY_CA)),
        ("ssl_verify_cert", Tls(VERIFY_CA)),
        ("ssl_verify_server_cert", Tls(VERIFY_FULL)),
        ("ssl_verify_identity", Tls(VERIFY_FULL)),
        // Less than 1.2 is never spoken.
        ("tls_version", HarmlessAs(VERSIONS)),
        ("tlsversion", HarmlessAs(VERSIONS)),
        ("enabledtlsprotocols", HarmlessAs(VERSIONS)),
        ("clientcertificatekeystoreurl", Unsupported(NO_CLIENT_CERTIFICATE)),
        ("allowallfiles", Harmless),
        ("allowcleartextpasswords", Harmless),
        ("allowfallbacktoplaintext", Harmless),
        ("allowmultiqueries", Harmless),
        ("allownativepasswords", Harmless),
        ("allowpublickeyretrieval", Harmless),
        ("autoreconnect", Harmless),
        ("cacheprepstmts", Harmless),
        ("characterencoding", Harmless),
        ("charactersetresults", Harmless),
        ("checkconnliveness", Harmless),
        ("clientfoundrows", Harmless),
        ("collation", Harmless),
        ("columnswithalias", Harmless),
        ("compress", Harmless),
        ("compression", Harmless),
        ("connectionattributes", Harmless),
        ("connectioncollation", Harmless),
        ("interpolateparams", Harmless),
        ("maxallowedpacket", Harmless),
        ("multistatements", Harmless),
        ("parsetime", Harmless),
        ("readtimeout", Harmless),
        ("rejectreadonly", Harmless),
        ("rewritebatchedstatements", Harmless),
        ("tinyint1isbit", Harmless),
        ("usecompression", Harmless),
        ("uselegacydatetimecode", Harmless),
        ("useserverprepstmts", Harmless),
        ("useunicode", Harmless),
        ("writetimeout", Harmless),
        ("zerodatetimebehavior", Harmless),
    ];

    const USE: &[(&str, Option<TlsMode>)] = &[("true", Some(TlsMode::Require)), ("false", Some(TlsMode::Disable))];

    const REQUIRE: &[(&str, Option<TlsMode>)] = &[("true", Some(TlsMode::Require)), ("false", None)];

    const VERIFY_CA: &[(&str, Option<TlsMode>)] = &[("true", Some(TlsMode::VerifyCa)), ("false", None)];

    const VERIFY_FULL: &[(&str, Option<TlsMode>)] = &[("true", Some(TlsMode::VerifyFull)), ("false", None)];

    const VERSIONS: &[(&str, ())] = &[
        ("tlsv1.2", ()),
        ("tlsv1.2,tlsv1.3", ()),
        ("tlsv1.3,tlsv1.2", ()),
        ("tlsv1.1,tlsv1.2", ()),
    ];
}

/// The mode that a value asks for; `None` if the value asks for no mode.
pub(super) fn tls(text: &str, values: &[(&str, Option<TlsMode>)]) -> Result<Option<TlsMode>, String> {
    match text.starts_with('{') {
        true => values::tls_object(text).map(Some),
        false => values::choice(text, values),
    }
}
