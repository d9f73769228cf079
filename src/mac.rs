//! HMAC-SHA256, with which messages are signed and tokens are told from forged ones.

#[cfg(feature = "hooks")]
use base64::{Engine, prelude::BASE64_STANDARD};
use hmac::{Hmac, Mac, digest::Key};
use sha2::{Digest, Sha256};

/// The HMAC-SHA256 of a message.
pub(crate) fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = keyed(key);
    mac.update(message);
    mac.finalize().into_bytes().into()
}

/// The same in base64.
#[cfg(feature = "hooks")]
pub(crate) fn hmac_sha256_base64(key: &[u8], message: &str) -> String {
    BASE64_STANDARD.encode(hmac_sha256(key, message.as_bytes()))
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
