//! DSNs of Go's driver for `MySQL`: `user:password@tcp(host:3306)/database?parseTime=true`, as the Go framework's `config.json` has them.
//! The errors repeat nothing of the text: a part in the wrong place may be a password.

use super::{
    SCHEMES, pairs,
    split::{Parts, decoded, host_and_port},
};

const FORM: &str = "expected user:password@tcp(host:3306)/database or user:password@unix(/path/of/the/socket)/database";

/// Whether a text is such a DSN and no URL. The user's name may be a known scheme.
pub(super) fn is_dsn(text: &str) -> bool {
    let is_url = |scheme: &&str| text.strip_prefix(scheme).is_some_and(|rest| rest.starts_with("://"));
    let is_after_the_user = |network: &&str| text.starts_with(network) || text.contains(&format!("@{network}"));
    !SCHEMES.iter().any(is_url) && ["tcp(", "unix("].iter().any(is_after_the_user)
}

/// The driver's own rules: the last slash ends the address, the last `@` before it ends the password, and only what follows the slash is
/// encoded.
pub(super) fn split(text: &str) -> Result<Parts, String> {
    let (before, after) = text.rsplit_once('/').ok_or(FORM)?;
    let (userinfo, address) = match before.rsplit_once('@') {
        Some((userinfo, address)) => (Some(userinfo), address),
        None => (None, before),
    };
    let (network, address) = address
        .strip_suffix(')')
        .and_then(|address| address.split_once('('))
        .ok_or(FORM)?;
    let (database, query) = after.split_once('?').unwrap_or((after, ""));
    let mut parts = Parts {
        database: Some(decoded("the database's name", database)?).filter(|name| !name.is_empty()),
        ..Parts::default()
    };
    if let Some(userinfo) = userinfo {
        let (user, password) = userinfo.split_once(':').map_or((userinfo, None), |(a, b)| (a, Some(b)));
        parts.user = Some(user.to_owned()).filter(|user| !user.is_empty());
        parts.password = password.map(str::to_owned);
    }
    match network {
        "tcp" if address.is_empty() => parts.hosts.push(("127.0.0.1".to_owned(), None)),
        "tcp" => parts.hosts.push(host_and_port(address)?),
        "unix" if address.starts_with('/') => parts.pairs.push(("socket".to_owned(), address.to_owned())),
        _ => return Err(FORM.to_owned()),
    }
    for (name, value) in pairs(query) {
        // As in a form, + stands for a blank.
        parts
            .pairs
            .push((name.to_owned(), decoded("a parameter", &value.replace('+', " "))?));
    }
    // Go's driver writes times in the zone `loc`. `time_zone` is that of its sessions.
    let is = |pair: &(String, String), name: &str| pair.0.eq_ignore_ascii_case(name);
    if parts.pairs.iter().any(|pair| is(pair, "loc")) {
        parts.pairs.retain(|pair| !is(pair, "time_zone"));
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::super::DatabaseUrl;

    /// As a URL has it.
    fn read(dsn: &str) -> String {
        let DatabaseUrl::Mysql(url) = DatabaseUrl::parse(dsn).expect("is good") else {
            panic!("{dsn} is of another database")
        };
        let (user, password) = (url.user.unwrap_or_default(), url.password.unwrap_or_default());
        let (host, port) = &url.hosts[0];
        let database = url.database.unwrap_or_default();
        format!(
            "{user}|{password}|{host}|{port}|{database}|{:?}|{:?}",
            url.tls, url.driver
        )
    }

    #[test]
    fn dsns_of_gos_driver_are_read_by_its_rules() {
        for (dsn, expected) in [
            (
                "user:pass@tcp(127.0.0.1:3306)/shop?parseTime=true&loc=Local&charset=utf8mb4",
                "user|pass|127.0.0.1|3306|shop|Disable|[]",
            ),
            (
                "mysql:p@ss:w/rd#%41@tcp(db)/shop",
                "mysql|p@ss:w/rd#%41|db|3306|shop|Disable|[]",
            ),
            (
                "root@tcp([::1]:3307)/a%2Fb?tls=skip-verify",
                "root||::1|3307|a/b|Require|[]",
            ),
            ("ann:x://y@tcp()/shop", "ann|x://y|127.0.0.1|3306|shop|Disable|[]"),
            (
                "tcp(db.example:3306)/shop?tls=true",
                "||db.example|3306|shop|VerifyFull|[]",
            ),
            (
                "root:@unix(/run/mysqld/mysqld.sock)/shop?timeout=5s",
                "root||localhost|3306|shop|Disable|[(\"socket\", \"/run/mysqld/mysqld.sock\")]",
            ),
        ] {
            assert_eq!(read(dsn), expected, "{dsn}");
        }
    }

    #[test]
    fn times_stand_in_the_zone_of_the_driver_and_not_in_that_of_its_sessions() {
        for (parameters, expected) in [
            ("loc=Asia%2FShanghai&time_zone=%27%2B00%3A00%27", "+08:00"),
            ("time_zone=%2B00%3A00&loc=Asia%2FTokyo", "+09:00"),
            ("time_zone=%2B08%3A00", "+08:00"),
        ] {
            let read = DatabaseUrl::parse(&format!("ann@tcp(host)/shop?{parameters}")).expect("is good");
            let DatabaseUrl::Mysql(url) = read else {
                panic!("{parameters}")
            };
            assert_eq!(url.zone.to_string(), expected, "{parameters}");
        }
    }

    #[test]
    fn faults_are_named_and_passwords_are_not_shown() {
        for (dsn, fault) in [
            (
                "ann:s3cret@tcp(host:3306)",
                "expected user:password@tcp(host:3306)/database",
            ),
            (
                "ann:s3cret@tcp(host:3306/shop",
                "expected user:password@tcp(host:3306)/database",
            ),
            (
                "ann:s3cret@unix(socket)/shop",
                "expected user:password@tcp(host:3306)/database",
            ),
            ("ann:s3cret@tcp(ho st)/shop", "the host is none"),
            ("ann:s3cret@tcp(host:99999)/shop", "no port from 1 to 65535"),
            ("ann:s3cret@tcp(host)/", "it names no database"),
            (
                "ann:s3cret@tcp(host)/shop?parsTime=true",
                "the nearest is \"parsetime\"",
            ),
            ("ann:s3cret@tcp(host)/shop?tls=mine", "tls: "),
        ] {
            let text = DatabaseUrl::parse(dsn).expect_err(dsn).to_string();
            assert!(text.contains(fault) && !text.contains("s3cret"), "{dsn}: {text}");
        }
        let shown = DatabaseUrl::parse("ann:s3cret@tcp(host.example:3306)/shop").expect("is good");
        assert_eq!(shown.to_string(), "mysql://ann:***@host.example:3306/shop");
    }
}
