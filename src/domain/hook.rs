//! The parts of a job's hook and their checks: its method, its URL, its headers and the secret that signs it.

use std::{borrow::Cow, collections::BTreeMap, fmt, str::FromStr};

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use url::Url;

use super::{Faults, InvalidInput};

/// Longest hook URL, in characters: the width of its column.
pub(crate) const MAX_HOOK_URL_CHARS: usize = 500;
/// Most headers of one hook.
const MAX_HEADERS: usize = 50;
/// Most bytes of all names and values of a hook's headers (8 KiB): common servers take as much (nginx 8 KiB, Node 16 KiB).
const MAX_HEADER_BYTES: usize = 8 << 10;
/// Length of a signing key in bytes, from Standard Webhooks. The upper bound is also the block size of SHA-256.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// The prefix of a secret, from Standard Webhooks.
const SECRET_PREFIX: &str = "whsec_";

/// Headers that a job may not set: the client writes them (the run's identity, the signature), or they would change how
/// the message is framed on its connection (RFC 9112) or make the answer unreadable.
const RESERVED_HEADERS: [&str; 13] = [
    "accept-encoding",
    "connection",
    "content-length",
    "expect",
    "host",
    "idempotency-key",
    "te",
    "transfer-encoding",
    "trailer",
    "upgrade",
    "webhook-id",
    "webhook-signature",
    "webhook-timestamp",
];

/// The HTTP method of a hook. `GET` and `HEAD` send no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum HookMethod {
    /// The default.
    #[default]
    Post,
    /// Sends no body.
    Get,
    /// As `POST`.
    Put,
    /// As `POST`.
    Patch,
    /// As `POST`, with the body too.
    Delete,
    /// Sends no body and gets none.
    Head,
}

impl HookMethod {
    /// Every method.
    pub const ALL: [Self; 6] = [Self::Post, Self::Get, Self::Put, Self::Patch, Self::Delete, Self::Head];

    /// The text in the request and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Post => "POST",
            Self::Get => "GET",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Head => "HEAD",
        }
    }

    /// Whether a request by this method carries the job's arguments.
    #[cfg(feature = "hooks")]
    pub(crate) const fn has_body(self) -> bool {
        !matches!(self, Self::Get | Self::Head)
    }
}

#[cfg(feature = "web")]
impl utoipa::PartialSchema for HookMethod {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        super::schema::texts(&Self::ALL.map(Self::as_str))
    }
}

#[cfg(feature = "web")]
impl utoipa::ToSchema for HookMethod {}

impl fmt::Display for HookMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for HookMethod {
    type Err = String;

    /// Reads a method in any case.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|method| method.as_str().eq_ignore_ascii_case(text.trim()))
            .ok_or_else(|| {
                let known = Self::ALL.map(Self::as_str).join(", ");
                format!("unknown hook method {text:?}, expected one of {known}")
            })
    }
}

impl Serialize for HookMethod {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for HookMethod {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// The secret that signs the requests of a hook, in the form of [Standard Webhooks](https://www.standardwebhooks.com): `whsec_` and 24 to
/// 64 bytes in base64. Neither `Debug` nor `Display` shows the secret.
///
/// ```
/// use gaia_actors::HookSecret;
///
/// let secret = HookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")?;
/// assert_eq!(format!("{secret:?} {secret}"), "HookSecret(hidden) whsec_(hidden)");
/// # Ok::<(), gaia_actors::InvalidInput>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct HookSecret {
    text: String,
    key: Vec<u8>,
}

impl HookSecret {
    /// Reads `whsec_<base64>`; the prefix and the padding may be missing.
    ///
    /// # Errors
    /// [`InvalidInput`] if the text is no base64, or does not decode to 24 to 64 bytes. The error does not repeat the text.
    pub fn parse(text: &str) -> Result<Self, InvalidInput> {
        let text = text.trim();
        let encoded = text.strip_prefix(SECRET_PREFIX).unwrap_or(text);
        let key = base64().decode(encoded).unwrap_or_default();
        let mut faults = Faults::default();
        faults.require(!key.is_empty(), || {
            "the hook's secret is no base64; expected whsec_ and 24 to 64 random bytes in base64".to_owned()
        });
        faults.require(key.is_empty() || KEY_BYTES.contains(&key.len()), || {
            let bytes = key.len();
            format!("the hook's secret has {bytes} bytes after decoding, expected 24 to 64; make a new one")
        });
        faults.into_result()?;
        let text = format!("{SECRET_PREFIX}{}", base64().encode(&key));
        Ok(Self { text, key })
    }

    /// The text to store: `whsec_<base64>`.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// The key, 24 to 64 bytes.
    #[cfg(feature = "hooks")]
    pub(crate) fn key(&self) -> &[u8] {
        &self.key
    }
}

impl fmt::Debug for HookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HookSecret(hidden)")
    }
}

impl fmt::Display for HookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("whsec_(hidden)")
    }
}

impl FromStr for HookSecret {
    type Err = InvalidInput;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

/// Standard base64. It writes padding, and reads texts with and without padding.
fn base64() -> GeneralPurpose {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    GeneralPurpose::new(&STANDARD, config)
}

/// Checks that a hook may call `url`. The error says in words why not; it repeats no part of the URL that could be secret.
pub(crate) fn check_hook_url(url: &str) -> Result<(), String> {
    const EXPECTED: &str = "expected http:// or https:// with a host, such as http://localhost:8080/report";
    let chars = url.chars().count();
    if chars > MAX_HOOK_URL_CHARS {
        return Err(format!(
            "the hook's URL has {chars} characters, at most {MAX_HOOK_URL_CHARS} fit its column"
        ));
    }
    // The parser would drop control characters without an error, and the database may not store them.
    if url.chars().any(char::is_control) {
        return Err(format!("the hook's URL holds a control character; {EXPECTED}"));
    }
    let parsed = Url::parse(url).map_err(|error| format!("the hook's URL cannot be read ({error}); {EXPECTED}"))?;
    if !matches!(parsed.scheme(), "http" | "https") {
        // The text before the colon may be a user name. The error repeats it only if a host follows it: then it was meant as a scheme.
        let scheme = if parsed.has_host() { parsed.scheme() } else { "another" };
        return Err(format!("the hook's URL has the scheme {scheme:?}; {EXPECTED}"));
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err(
            "the hook's URL holds a user name or a password, which logs would show; \
                    expected none: send them in an authorization header of the job"
                .to_owned(),
        );
    }
    match parsed.host_str() {
        Some(host) if !host.is_empty() => Ok(()),
        _ => Err(format!("the hook's URL has no host; {EXPECTED}")),
    }
}

/// The URL with `***` for everything before its last `@`, which may be a user name and a password: plain SQL can write any text into the
/// column.
pub(crate) fn without_user(url: &str) -> Cow<'_, str> {
    match url.rsplit_once('@') {
        Some((_, host)) => Cow::Owned(format!("***@{host}")),
        None => Cow::Borrowed(url),
    }
}

/// Checks that a hook may send `headers`. The error says in words why not; it repeats no value.
pub(crate) fn check_hook_headers(headers: &BTreeMap<String, String>) -> Result<(), String> {
    let bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    let mut faults = Faults::default();
    faults.require(headers.len() <= MAX_HEADERS, || {
        format!("the hook has {} headers, expected at most {MAX_HEADERS}", headers.len())
    });
    faults.require(bytes <= MAX_HEADER_BYTES, || {
        format!("the hook's headers have {bytes} bytes, expected at most {MAX_HEADER_BYTES}")
    });
    let mut seen = std::collections::BTreeSet::new();
    for (name, value) in headers {
        check_header(&mut faults, name, value);
        let new = seen.insert(name.to_ascii_lowercase());
        faults.require(new, || {
            format!("the hook's header {name:?} is given twice (case does not matter); expected once")
        });
    }
    faults.into_result().map_err(|faults| faults.to_string())
}

fn check_header(faults: &mut Faults, name: &str, value: &str) {
    faults.require(!name.is_empty() && name.bytes().all(is_token), || {
        let name: String = name.chars().take(50).collect();
        format!("the hook's header name {name:?} is none; expected letters, digits and hyphens")
    });
    let reserved = RESERVED_HEADERS.iter().any(|header| header.eq_ignore_ascii_case(name));
    faults.require(!reserved, || {
        format!("the hook's header {name:?} is written by the client itself; leave it out")
    });
    faults.require(value.bytes().all(is_field_byte), || {
        format!("the value of the hook's header {name:?} cannot be sent; expected printable ASCII on one line")
    });
}

/// A byte of a field name: `tchar` of RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// A byte of a field value: `field-vchar` of RFC 9110, section 5.5, without its obsolete part, and blanks.
fn is_field_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() || byte == b' ' || byte == b'\t'
}

#[cfg(test)]
mod tests;
