//! The signature of [Standard Webhooks](https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md):
//! HMAC-SHA256 over `id.timestamp.body`.

use base64::{Engine, prelude::BASE64_STANDARD};
use hmac::{Hmac, Mac, digest::Key};
use sha2::{Digest, Sha256};

use crate::domain::HookSecret;

/// The value of the header `webhook-signature`: `v1,` and the HMAC in base64. `timestamp` is in seconds since 1970.
pub(super) fn signature(secret: &HookSecret, id: &str, timestamp: i64, body: &str) -> String {
    format!("v1,{}", hmac_sha256(secret.key(), &format!("{id}.{timestamp}.{body}")))
}

/// The HMAC-SHA256 of a message, in base64.
pub(crate) fn hmac_sha256(key: &[u8], message: &str) -> String {
    let mut mac = keyed(key);
    mac.update(message.as_bytes());
    BASE64_STANDARD.encode(mac.finalize().into_bytes())
}

/// HMAC hashes a key that is longer than a block, and pads a shorter one with zeros (RFC 2104). With both done here, keying cannot fail.
fn keyed(key: &[u8]) -> Hmac<Sha256> {
    use hmac::KeyInit;

    let mut block = Key::<Hmac<Sha256>>::default();
    let hashed = Sha256::digest(key);
    let key = if key.len() > block.len() { &hashed[..] } else { key };
    for (to, from) in block.iter_mut().zip(key) {
        *to = *from;
    }
    Hmac::new(&block)
}
