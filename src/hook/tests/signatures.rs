//! Signatures, verified by the crate of the standard's authors.

use http::HeaderMap;
use standardwebhooks::Webhook;

use super::*;

/// The headers and the body of a signed call, as the service gets them.
async fn signed(method: HookMethod) -> (HeaderMap, String) {
    let (url, request) = answering(OK).await;
    let call = HookCall {
        method,
        secret: Some(HookSecret::parse(SECRET).unwrap()),
        body: r#"{"name":"日报"}"#.to_owned(),
        ..to(url)
    };
    client(&HookOptions::default()).call(call).await.unwrap();
    let request = request.await.unwrap();
    let mut headers = HeaderMap::new();
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        headers.insert(name, header(&request, name).unwrap().parse().unwrap());
    }
    assert_eq!(headers["webhook-id"], RUN_ID);
    (headers, body(&request).to_owned())
}

#[actix_rt::test]
async fn the_service_can_verify_a_call() {
    for method in [HookMethod::Post, HookMethod::Get] {
        let (headers, body) = signed(method).await;
        Webhook::new(SECRET).unwrap().verify(body.as_bytes(), &headers).unwrap();
    }
}

#[actix_rt::test]
async fn what_was_tampered_with_fails() {
    let (headers, body) = signed(HookMethod::Post).await;
    let webhook = Webhook::new(SECRET).unwrap();
    assert!(webhook.verify(body.replace("日", "月").as_bytes(), &headers).is_err());
    for (name, value) in [("webhook-id", "another"), ("webhook-timestamp", "1")] {
        let mut headers = headers.clone();
        headers.insert(name, value.parse().unwrap());
        assert!(webhook.verify(body.as_bytes(), &headers).is_err(), "{name}");
    }
    let other = Webhook::new("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").unwrap();
    assert!(other.verify(body.as_bytes(), &headers).is_err());
}

#[test]
fn keys_of_every_length_sign_alike() {
    for bytes in 24..=64 {
        let key = vec![0x5a; bytes];
        let text = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, &key);
        let secret = HookSecret::parse(&text).unwrap();
        let theirs = Webhook::from_bytes(key)
            .unwrap()
            .sign("id", 1_700_000_000, b"{}")
            .unwrap();
        assert_eq!(
            crate::hook::signature::signature(&secret, "id", 1_700_000_000, "{}"),
            theirs
        );
    }
}
