use proptest::prelude::*;

use super::*;

fn headers<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

#[test]
fn a_method_is_read_in_any_case_and_written_in_capitals() {
    assert_eq!("pAtch".parse(), Ok(HookMethod::Patch));
    assert_eq!(HookMethod::default().to_string(), "POST");
    let error = "TRACE".parse::<HookMethod>().unwrap_err();
    assert_eq!(
        error,
        "unknown hook method \"TRACE\", expected one of POST, GET, PUT, PATCH, DELETE, HEAD"
    );
    let json = serde_json::to_string(&HookMethod::Get).unwrap();
    assert_eq!(json, "\"GET\"");
    assert_eq!(
        serde_json::from_str::<HookMethod>("\"delete\"").unwrap(),
        HookMethod::Delete
    );
    assert!(serde_json::from_str::<HookMethod>("\"CONNECT\"").is_err());
}

#[test]
fn a_secret_is_24_to_64_bytes_with_or_without_prefix_and_padding() {
    for bytes in [24, 25, 32, 63, 64] {
        let secret = HookSecret::parse(&base64().encode(vec![7; bytes])).unwrap();
        assert_eq!(secret.key, vec![7; bytes]);
        assert_eq!(HookSecret::parse(secret.as_str()).unwrap(), secret);
        assert_eq!(
            HookSecret::parse(secret.as_str().trim_end_matches('=')).unwrap(),
            secret
        );
    }
    for bytes in [1, 23, 65, 100] {
        let error = HookSecret::parse(&base64().encode(vec![7; bytes]))
            .unwrap_err()
            .to_string();
        assert!(error.contains(&format!("has {bytes} bytes")), "{error}");
    }
    for text in ["", "whsec_", "whsec_äöü", "my very secret password!"] {
        let error = HookSecret::parse(text).unwrap_err().to_string();
        assert!(error.contains("is no base64"), "{error}");
        assert!(!error.contains("password"), "{error}");
    }
}

#[test]
fn a_secret_is_never_shown() {
    let secret: HookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap();
    let shown = format!("{secret} {secret:?} {secret:#?} {:?}", Some(secret.clone()));
    assert!(!shown.contains("MfKQ9r8G"), "{shown}");
    assert!(!shown.contains(&format!("{:?}", secret.key)), "{shown}");
}

#[test]
fn urls_that_may_be_called() {
    for url in [
        "http://localhost:8080/report?day=1#part",
        "https://example.com",
        "HTTP://[::1]/",
        "http://2130706433/",
        "http://münchen.example/ä?ö",
    ] {
        assert_eq!(check_hook_url(url), Ok(()), "{url}");
    }
}

#[test]
fn urls_that_may_not_be_called_are_refused_in_words() {
    let long = format!("http://localhost/{}", "x".repeat(500));
    for (url, words) in [
        ("", "cannot be read"),
        ("/report", "cannot be read"),
        ("localhost:8080/report", "scheme \"another\""),
        ("ftp://host/file", "scheme \"ftp\""),
        ("file:///etc/passwd", "scheme"),
        ("http://", "cannot be read (empty host)"),
        ("http://host:99999/", "invalid port"),
        ("http://me:geheim@host/", "in an authorization header"),
        ("http://me@host/", "in an authorization header"),
        ("http://ho\nst/", "control character"),
        (long.as_str(), "has 517 characters, at most 500"),
    ] {
        let error = check_hook_url(url).unwrap_err();
        assert!(error.contains(words), "{url}: {error}");
        assert!(error.contains("expected") || error.contains("at most"), "{error}");
    }
}

#[test]
fn no_error_repeats_a_password() {
    for url in [
        "http://me:geheim@host/",
        "http://me:geheim@host:99999/",
        "me:geheim@host",
        "geheim:me@host",
        "http://me:geheim@/",
        "ftp://me:geheim@host/",
        "http:me:geheim@host\0",
    ] {
        let error = check_hook_url(url).unwrap_err();
        assert!(!error.contains("geheim"), "{error}");
    }
}

#[test]
fn no_url_is_shown_with_its_password() {
    for url in [
        "http://me:geheim@host/x",
        "http:/me:12/geheim@host/x",
        "me:geheim@host/x",
        "//me:geheim@host/x",
    ] {
        assert_eq!(without_user(url), "***@host/x");
    }
    assert_eq!(without_user("http://host/x"), "http://host/x");
}

#[test]
fn headers_that_may_be_sent() {
    let sent = headers([
        ("Authorization", "Bearer a.b-c"),
        ("x-empty", ""),
        ("Content-Type", "text/plain"),
    ]);
    assert_eq!(check_hook_headers(&sent), Ok(()));
}

#[test]
fn headers_that_may_not_be_sent_are_refused_in_words() {
    for (name, value, words) in [
        ("", "v", "letters, digits and hyphens"),
        ("with space", "v", "letters, digits and hyphens"),
        ("ä", "v", "letters, digits and hyphens"),
        ("x-a", "geheim\r\nhost: evil", "printable ASCII on one line"),
        ("x-a", "geheim\0", "printable ASCII on one line"),
        ("x-a", "geheimö", "printable ASCII on one line"),
    ] {
        let error = check_hook_headers(&headers([(name, value)])).unwrap_err();
        assert!(error.contains(words), "{name}: {error}");
        assert!(!error.contains("geheim"), "{error}");
    }
    for name in RESERVED_HEADERS {
        let error = check_hook_headers(&headers([(&name.to_uppercase(), "v")])).unwrap_err();
        assert!(error.contains("leave it out"), "{error}");
    }
}

#[test]
fn too_many_or_too_large_or_double_headers_are_refused() {
    let many: BTreeMap<_, _> = (0..51).map(|n| (format!("x-{n}"), String::new())).collect();
    assert!(check_hook_headers(&many).unwrap_err().contains("51 headers"));
    let large = headers([("x", &"v".repeat(8192))]);
    assert!(check_hook_headers(&large).unwrap_err().contains("8193 bytes"));
    let double = headers([("X-A", "1"), ("x-a", "2")]);
    assert!(check_hook_headers(&double).unwrap_err().contains("given twice"));
}

proptest! {
    #[test]
    fn checks_never_panic(text in "\\PC*", bytes in prop::collection::vec(any::<char>(), 0..40)) {
        let wild: String = bytes.into_iter().collect();
        for text in [&text, &wild, &format!("http://{text}"), &format!("http://host/{wild}")] {
            let _ = check_hook_url(text);
            let _ = HookSecret::parse(text);
            let _ = text.parse::<HookMethod>();
        }
        let _ = check_hook_headers(&headers([(&text, &wild), (&wild, &text)]));
    }
}
