//! The signature of [Standard Webhooks](https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md):
//! HMAC-SHA256 over `id.timestamp.body`.

use base64::{Engine, prelude::BASE64_STANDARD};
use hmac::{Hmac, Mac, digest::Key};
use sha2::Sha256;

use crate::domain::HookSecret;

/// The value of the header `webhook-signature`: `v1,` and the HMAC in base64. `timestamp` is in seconds since 1970.
pub(super) fn signature(secret: &HookSecret, id: &str, timestamp: i64, body: &str) -> String {
    let mut mac = keyed(secret);
    for part in [id, ".", &timestamp.to_string(), ".", body] {
        mac.update(part.as_bytes());
    }
    format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()))
}

/// HMAC pads a key of at most one block with zeros (RFC 2104), and no secret is longer. With the padding done here, keying cannot fail.
fn keyed(secret: &HookSecret) -> Hmac<Sha256> {
    use hmac::KeyInit;

    let mut block = Key::<Hmac<Sha256>>::default();
    for (to, from) in block.iter_mut().zip(secret.key()) {
        *to = *from;
    }
    Hmac::new(&block)
}
