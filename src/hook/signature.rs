//! The signature of [Standard Webhooks](https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md):
//! HMAC-SHA256 over `id.timestamp.body`.

use crate::{domain::HookSecret, mac::hmac_sha256_base64};

/// The value of the header `webhook-signature`: `v1,` and the HMAC in base64. `timestamp` is in seconds since 1970.
pub(super) fn signature(secret: &HookSecret, id: &str, timestamp: i64, body: &str) -> String {
    format!(
        "v1,{}",
        hmac_sha256_base64(secret.key(), &format!("{id}.{timestamp}.{body}"))
    )
}
