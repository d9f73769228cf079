use std::time::Duration;

use super::*;

fn url(text: &str) -> Result<ServerUrl, String> {
    match DatabaseUrl::parse(text).map_err(|error| error.to_string())? {
        DatabaseUrl::Postgres(url) | DatabaseUrl::Mysql(url) => Ok(url),
        #[cfg(feature = "sqlite")]
        DatabaseUrl::Sqlite(_) => panic!("names a server"),
    }
}

fn good(text: &str) -> ServerUrl {
    url(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn refused(text: &str, fault: &str) {
    let Err(error) = url(text) else {
        panic!("{text} is taken");
    };
    assert!(error.contains(fault), "{text}: {error}");
}

#[test]
fn every_part_is_read_and_decoded() {
    let read = good(
        "postgres://a%40b:p%2Fw@h1,[::1]:5433/d%20b?pool_size=3&sslmode=verify-full&sslrootcert=%2Fetc%2Fca.pem\
         &application_name=x&pool_timeout=250&options=-c%20a%3Db&search_path=s%20t",
    );
    assert_eq!(
        (read.user.as_deref(), read.password.as_deref()),
        (Some("a@b"), Some("p/w"))
    );
    assert_eq!(read.hosts, [("h1".to_owned(), 5432), ("::1".to_owned(), 5433)]);
    assert_eq!(read.database.as_deref(), Some("d b"));
    assert_eq!((read.pool_size, read.pool_timeout.as_millis()), (3, 250));
    assert_eq!((read.tls, read.ca), (TlsMode::VerifyFull, Some("/etc/ca.pem".into())));
    let setting = |name, value: &str| (name, value.to_owned());
    let expected = [
        setting("application_name", "x"),
        setting("options", "-c a=b"),
        setting("options", "-c search_path=s\\ t"),
    ];
    assert_eq!(read.driver, expected);
}

#[test]
fn a_password_that_is_not_encoded_is_read_where_it_can_only_be_one() {
    for (text, password) in [
        ("postgres://ann:Xy?s3cret@host/db", "Xy?s3cret"),
        ("postgres://ann:Xy#s3cret@host/db", "Xy#s3cret"),
        ("mysql://ann:Xy/s3cret@host/db?pool_size=1", "Xy/s3cret"),
        ("mysql://ann:Xy@s3:cret@host/db", "Xy@s3:cret"),
        ("postgres://ann:100%s3@host/db", "100%s3"),
    ] {
        let read = good(text);
        assert_eq!(read.password.as_deref(), Some(password), "{text}");
        assert_eq!(
            (read.hosts[0].0.as_str(), read.database.as_deref()),
            ("host", Some("db")),
            "{text}"
        );
    }
    for text in [
        "postgres://ann:12?s3cret@host/db",
        "postgres://ann:a@b/s3cret@host/db",
        "postgres://ann:a@b?user=s3cret@host/db",
        "postgres://ann:a@host/db#s3cret",
        "postgres://ann/s3cret@host/db",
    ] {
        refused(text, "cannot be taken apart for certain");
    }
}

#[test]
fn what_is_shown_has_no_password_and_no_parameter() {
    for (text, shown) in [
        (
            "postgres://ann:s3cret@host:5433/db?sslmode=require",
            "postgres://ann:***@host:5433/db",
        ),
        ("MariaDB://ann:s3cret@[::1]/db", "mariadb://ann:***@[::1]:3306/db"),
        (
            "postgres://h/db?user=ann&password=s3cret",
            "postgres://ann:***@h:5432/db",
        ),
        (
            "postgres://s3cret@db.example.org/db",
            "postgres://***@db.example.org:5432/db",
        ),
        ("postgres://ann:1234", "postgres://ann:***"),
        ("postgres://localhost:1234/db", "postgres://localhost:1234/db"),
        ("postgres://a%2Fs3cret:x@h/a%3Bs3cret", "postgres://***:***@h:5432/***"),
        (
            "postgres://ann:s3cret@/db?host=/var/run/postgresql",
            "postgres://ann:***@/var/run/postgresql/db",
        ),
    ] {
        assert_eq!(good(text).shown(), shown);
    }
}

#[test]
fn what_is_missing_or_too_much_is_said() {
    for (text, fault) in [
        ("mysql://root@host", "it names no database"),
        ("mysql://root@host/?pool_size=1", "it names no database"),
        ("mysql://root@h1,h2/db", "it names several hosts"),
        ("postgres:///db", "it names no host"),
        ("postgres:ann:s3cret@host/db", "with two slashes"),
        ("postgres:/ann:s3cret@host/db", "with two slashes"),
        ("postgres://ann:s3cret/db", "no port from 1 to 65535"),
        ("mysql://root@tcp(host:3306)/db", "the host is none"),
        ("mysql://root@::1/db", "the host is none"),
        ("mysql://root@[::g]/db", "the host is none"),
        ("postgres://h/a/b", "write it as %2F"),
    ] {
        refused(text, fault);
    }
}

#[test]
fn bad_parameters_say_what_is_expected_and_not_what_they_are() {
    for (query, fault) in [
        ("pool_size=0", "pool_size: expected a number from 1 to 10000"),
        ("pool_timeout=soon", "pool_timeout: expected a time with its unit"),
        ("connect_timeout=500", "connect_timeout: expected a time with its unit"),
        ("connect_timeout=2h", "connect_timeout: expected a time with its unit"),
        (
            "sslmode=on",
            "sslmode: expected disable, prefer, require, verify-ca, verify-full",
        ),
        (
            "a=b&poolsize=3",
            "parameter 1 is unknown; those that are known are listed",
        ),
        ("poolsize=3", "parameter 1 is unknown, the nearest is \"pool_size\""),
    ] {
        refused(&format!("postgres://h/d?{query}"), fault);
    }
}

#[test]
fn times_are_read_as_they_are_meant() {
    let of = |value: &str| {
        let read = good(&format!("postgres://h/d?connect_timeout={value}&pool_timeout={value}"));
        (read.connect_timeout, read.pool_timeout)
    };
    for (value, seconds) in [
        ("10", 10),
        ("10000", 10),
        ("99", 99),
        ("1000", 1),
        ("2m", 120),
        ("10s", 10),
        ("0", 3_600),
    ] {
        let expected = Duration::from_secs(seconds);
        assert_eq!(of(value), (expected, expected), "{value}");
    }
    assert_eq!(of("250ms").0, Duration::from_millis(250));
}

/// URLs that hosters and the manuals of other drivers give to be copied, the mode that each asks for, and its ignored parameters.
const OF_HOSTERS: &[(&str, TlsMode, &str)] = &[
    // Neon, Supabase, Vercel, Heroku, Render.
    (
        "postgresql://a:p@ep-x-pooler.eu.aws.neon.tech/db?sslmode=require&channel_binding=require",
        TlsMode::Require,
        "",
    ),
    (
        "postgres://a.ref:p@aws-0.pooler.supabase.com:6543/postgres?pgbouncer=true&connection_limit=1",
        TlsMode::Prefer,
        "",
    ),
    (
        "postgres://a:p@h:6543/postgres?sslmode=require&supa=base-pooler.x",
        TlsMode::Require,
        "supa",
    ),
    (
        "postgres://a:p@ec2-1-2-3-4.compute-1.amazonaws.com:5432/d",
        TlsMode::Prefer,
        "",
    ),
    ("postgres://a:p@h/d?sslmode=no-verify", TlsMode::Require, ""),
    // RDS, Azure, Google, DigitalOcean, Aiven.
    (
        "postgres://a:p@h/d?sslmode=verify-full&sslrootcert=global-bundle.pem",
        TlsMode::VerifyFull,
        "",
    ),
    (
        "postgres://a%40srv:p@srv.postgres.database.azure.com:5432/d?sslmode=require",
        TlsMode::Require,
        "",
    ),
    (
        "postgres://a:p@/d?host=/cloudsql/project:region:instance",
        TlsMode::Prefer,
        "",
    ),
    (
        "postgres://a:p@h/d?sslmode=verify-ca&sslrootcert=server-ca.pem",
        TlsMode::VerifyCa,
        "",
    ),
    ("postgres://a:p@h/d?sslmode=verify-ca", TlsMode::VerifyFull, ""),
    ("postgres://a:p@h/d?sslrootcert=system", TlsMode::VerifyFull, ""),
    (
        "mysql://a:p@h.ondigitalocean.com:25060/defaultdb?ssl-mode=REQUIRED",
        TlsMode::Require,
        "",
    ),
    (
        "mysql://a:p@h.aivencloud.com:1/defaultdb?ssl-mode=VERIFY_CA&ssl-ca=ca.pem",
        TlsMode::VerifyCa,
        "",
    ),
    // PlanetScale, TiDB.
    (
        "mysql://a:p@aws.connect.psdb.cloud/d?sslaccept=strict",
        TlsMode::VerifyFull,
        "",
    ),
    (
        "mysql://a:p@aws.connect.psdb.cloud/d?ssl={\"rejectUnauthorized\":true}",
        TlsMode::VerifyFull,
        "",
    ),
    (
        "mysql://a:p@h:4000/d?ssl={%22minVersion%22:%22TLSv1.2%22,%22rejectUnauthorized%22:true}",
        TlsMode::VerifyFull,
        "",
    ),
    (
        "mysql://a:p@h:4000/d?ssl_verify_cert=true&ssl_verify_identity=true",
        TlsMode::VerifyFull,
        "",
    ),
    // Go, Java, Node, Python, Ruby.
    (
        "mysql://a:p@h/d?charset=utf8mb4&parseTime=True&loc=Local&tls=skip-verify",
        TlsMode::Require,
        "charset parsetime",
    ),
    (
        "mysql://a:p@h/d?useSSL=false&allowPublicKeyRetrieval=true",
        TlsMode::Disable,
        "allowpublickeyretrieval",
    ),
    (
        "mysql://a:p@h/d?useSSL=true&requireSSL=true&verifyServerCertificate=false",
        TlsMode::Require,
        "",
    ),
    (
        "mysql://a:p@h/d?sslMode=PREFERRED&serverTimezone=UTC",
        TlsMode::Prefer,
        "",
    ),
    (
        "postgresql://h/d?user=a&password=p&ssl=true&currentSchema=app",
        TlsMode::Require,
        "",
    ),
    (
        "postgres://a:p@h/d?sslmode=disable&TimeZone=UTC&pool_max_conns=5",
        TlsMode::Disable,
        "timezone",
    ),
    (
        "postgres://a:p@h/d?encoding=utf8&pool=5&prepared_statements=false",
        TlsMode::Prefer,
        "encoding prepared_statements",
    ),
    (
        "postgres://a:p@h/d?gssencmode=disable&target_session_attrs=primary&keepalives=1",
        TlsMode::Prefer,
        "gssencmode keepalives",
    ),
];

#[test]
fn urls_of_hosters_are_read() {
    for (text, tls, ignored) in OF_HOSTERS {
        let read = good(text);
        assert_eq!((&read.tls, read.ignored.join(" ").as_str()), (tls, *ignored), "{text}");
        assert_eq!(
            (read.user.is_some(), read.password.as_deref()),
            (true, Some("p")),
            "{text}"
        );
    }
    let pooled = good("postgres://a:p@h/d?pgbouncer=true&connection_limit=4");
    assert_eq!((pooled.transaction_pooler, pooled.pool_size), (true, 4));
}

#[test]
fn what_would_be_unsafe_to_ignore_is_refused() {
    for (text, fault) in [
        (
            "postgres://h/d?sslcert=a&sslkey=b",
            "client certificates are not supported",
        ),
        ("mysql://h/d?ssl-key=b", "client certificates are not supported"),
        ("postgres://h/d?sslcrl=a", "revoked certificates"),
        ("postgres://h/d?require_auth=scram-sha-256", "channel_binding=require"),
        (
            "postgres://h/d?gssencmode=require",
            "gssencmode: expected disable, prefer",
        ),
        ("postgres://h/d?ssl_min_protocol_version=TLSv1.3", "expected tlsv1"),
        (
            "postgres://h/d?target_session_attrs=standby",
            "expected any, read-write, primary",
        ),
        (
            "postgres://h/d?sslrootcert=system&sslmode=require",
            "with sslmode=verify-full only",
        ),
        ("mysql://h/d?tls=custom", "expected true, skip-verify, preferred, false"),
        ("mysql://h/d?ssl={\"ca\":\"x\"}", "expected true, false, a mode"),
        ("mysql://h/d?sessionVariables=a", "parameter 1 is unknown"),
    ] {
        refused(text, fault);
    }
}

#[test]
fn an_open_way_to_another_machine_is_a_danger() {
    let danger = |text: &str| good(text).danger("sslmode=verify-full").unwrap_or_default();
    for (text, what) in [
        ("postgres://a:s3cret@db.example/d", "only if the server offers that"),
        ("mysql://a:s3cret@10.0.0.5/d", "are not encrypted"),
        (
            "postgres://a:s3cret@localhost,db.example/d?sslmode=disable",
            "db.example are not encrypted",
        ),
        (
            "postgres://a:s3cret@db.example/d?sslmode=require",
            "certificate is not verified",
        ),
    ] {
        let said = danger(text);
        assert!(
            said.contains(what) && said.contains("set sslmode=verify-full"),
            "{text}: {said}"
        );
        assert!(!said.contains("s3cret"), "{said}");
    }
    for text in [
        "postgres://a@localhost/d",
        "mysql://a@127.0.0.1/d",
        "postgres://a@[::1]/d",
        "postgres:///d?host=/var/run/postgresql",
        "postgres://a@db.example/d?sslmode=verify-full",
        "postgres://a@db.example/d?sslmode=require&sslrootcert=ca.pem",
    ] {
        assert_eq!(danger(text), "", "{text}");
    }
}
