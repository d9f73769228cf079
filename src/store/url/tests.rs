use proptest::prelude::*;

use super::*;

const SECRET: &str = "s3cret";

fn refusal(text: &str) -> String {
    DatabaseUrl::parse(text).expect_err("is bad").to_string()
}

#[cfg(feature = "sqlite")]
#[test]
fn sqlite_urls_are_read() {
    let of = |text| match DatabaseUrl::parse(text).expect("is good") {
        DatabaseUrl::Sqlite(url) => (url.path, url.busy_timeout.as_millis(), url.synchronous),
        #[cfg(feature = "_server")]
        other => panic!("{other:?}"),
    };
    let file = |path: &str| (Some(path.to_owned()), 5_000, "FULL");
    assert_eq!(of("sqlite:orders.db"), file("orders.db"));
    assert_eq!(of("sqlite://orders.db"), file("orders.db"));
    assert_eq!(of("sqlite:///var/orders.db"), file("/var/orders.db"));
    assert_eq!(of("sqlite::memory:"), (None, 5_000, "FULL"));
    assert_eq!(
        of("sqlite:a.db?busy_timeout=10&synchronous=normal"),
        (Some("a.db".to_owned()), 10, "NORMAL")
    );
}

#[cfg(feature = "sqlite")]
#[test]
fn an_unknown_parameter_of_a_file_names_its_nearest() {
    let text = refusal("sqlite:a.db?busytimeout=1");
    assert!(
        text.contains("parameter 1 is unknown, the nearest is \"busy_timeout\""),
        "{text}"
    );
}

#[test]
fn a_text_that_is_no_url_is_told_what_to_write() {
    for (text, fault) in [
        ("orders.db", "it has no scheme"),
        (" ", "it is empty"),
        ("\"postgres://ann:s3cret@host/db\"", "it begins with a quotation mark"),
        ("mongodb://ann:s3cret@host/db", "its scheme is unknown"),
        ("postgress://ann:s3cret@host/db", "the nearest is \"postgres\""),
        ("mysql+pymysql://ann:s3cret@host/db", "the nearest is \"mysql\""),
        ("jdbc:postgresql://host/db?password=s3cret", "only Java understands"),
        ("host=localhost user=ann password=s3cret", "a list of keywords"),
        ("Server=host;Uid=ann;Pwd=s3cret", "a list of keywords"),
    ] {
        let shown = refusal(text);
        assert!(shown.contains(fault), "{text}: {shown}");
        assert!(shown.contains("write sqlite:path/to/file.db, postgres://"), "{shown}");
        assert!(!shown.contains(SECRET), "{shown}");
    }
}

#[cfg(not(all(feature = "postgres", feature = "mysql", feature = "sqlite")))]
#[test]
fn a_database_that_is_not_built_in_names_its_feature() {
    for (feature, url) in [
        #[cfg(not(feature = "sqlite"))]
        ("sqlite", "sqlite:a.db"),
        #[cfg(not(feature = "postgres"))]
        ("postgres", "postgresql://ann:s3cret@host/db"),
        #[cfg(not(feature = "mysql"))]
        ("mysql", "mariadb://ann:s3cret@host/db"),
        #[cfg(not(feature = "mysql"))]
        ("mysql", "ann:s3cret@tcp(host:3306)/db"),
    ] {
        let text = refusal(url);
        assert!(
            text.contains(&format!("enable the cargo feature {feature:?}")),
            "{text}"
        );
        assert!(!text.contains(SECRET), "{text}");
    }
}

/// Texts from parts of URLs, and from words that do not belong into a URL.
fn pieces() -> impl Strategy<Value = String> {
    let piece = proptest::sample::select(vec![
        "sqlite",
        "postgres",
        "mysql",
        ":",
        "//",
        "/",
        "@",
        "?",
        "#",
        "&",
        "=",
        "%",
        "%40",
        "[",
        "]",
        ",",
        ";",
        " ",
        "\n",
        "tcp(",
        "unix(",
        ")",
        "ann",
        "host",
        "12",
        "db",
        "password",
        "pool_size",
        "sslmode",
        "user",
        SECRET,
        SECRET,
    ]);
    proptest::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_refusal_repeats_a_secret(text in pieces()) {
        if let Err(refused) = DatabaseUrl::parse(&text) {
            let shown = format!("{refused} {refused:?}");
            prop_assert!(!shown.contains(SECRET), "{shown}");
        }
    }

    #[test]
    fn no_password_is_shown_whatever_it_is(
        scheme in proptest::sample::select(vec!["sqlite:", "postgres:", "postgresql:", "mysql:", "mariadb:", "x:", ""]),
        slashes in proptest::sample::select(vec!["//", "/", ""]),
        before in "[a-z0-9@:/?#&=%;,!\\[\\] ]{0,6}",
        after in "[a-z0-9@:/?#&=%;,!\\[\\] ]{0,6}",
        end in proptest::sample::select(vec![
            "@host/db", "@host:5/db?sslmode=require", "@host", "/db", "", "@/db?host=h", "@tcp(host:3306)/db?loc=UTC", "@unix(/run/s)/db",
            "@tcp(host",
        ]),
    ) {
        let text = format!("{scheme}{slashes}ann:{before}{SECRET}{after}{end}");
        // By every reading, the text behind the last @ is a host.
        prop_assume!(!before.contains('@') || after.contains('@') || end.contains('@'));
        let shown = match DatabaseUrl::parse(&text) {
            Ok(url) => format!("{url} {url:?}"),
            Err(refused) => format!("{refused} {refused:?}"),
        };
        prop_assert!(!shown.contains(SECRET), "{text}: {shown}");
    }
}
