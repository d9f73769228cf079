//! User names and passwords, as `Authorization: Basic …`.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use argon2::{Argon2, PasswordVerifier, password_hash::phc::PasswordHash};
use base64::{Engine, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;

use super::{Caller, MAX_CALLER_CHARS};
use crate::web::permission::Permission;
use crate::{
    blocking::blocking,
    domain::{Faults, InvalidInput},
    web::problem::Problem,
};

/// For how long a password that was right is known without its hash.
const REMEMBERED: Duration = Duration::from_secs(60);

/// How many passwords are hashed at the same time: each takes a processor for some 50 ms, and the memory that its hash names.
const AT_A_TIME: usize = 2;

/// How many requests may wait for the hash of their passwords.
const WAITING: usize = 256;

/// The longest user name with its password, in bytes.
const MAX_CREDENTIALS: usize = 1_024;

/// The most memory that a hash may ask for, in KiB.
const MAX_MEMORY_KIB: u32 = 256 << 10;

/// A user who is known by a name and a password. Only the password's Argon2 hash is kept.
///
/// ```
/// use gaia_actors::web::{Access, BasicUser, Permission};
///
/// // `printf %s "$PASSWORD" | argon2 "$(openssl rand -hex 16)" -id -e` prints such a hash.
/// let hash = "$argon2id$v=19$m=4096,t=3,p=1$c29tZXNhbHQxMjM0$tcVYNZKk6cBwXKVVBAcTkGQ6jtUbyMpQdJCjBJV4qkc";
/// let user = BasicUser::new("ops", hash)?.permissions(&[Permission::View, Permission::Retry]);
/// let access = Access::basic([user]);
/// assert!(BasicUser::new("ops", "a password").is_err());
/// # Ok::<(), gaia_actors::InvalidInput>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct BasicUser {
    name: String,
    caller: Caller,
    hash: String,
}

impl BasicUser {
    /// A user of this name, whose password has this Argon2 hash in the PHC format, `$argon2id$…`. The user has no permission yet.
    ///
    /// # Errors
    /// [`InvalidInput`] with every fault: the name is empty, too long, or has a colon; the hash is no Argon2 hash, or takes more than 256 MiB of
    /// memory.
    pub fn new(name: &str, hash: &str) -> Result<Self, InvalidInput> {
        let mut faults = Faults::default();
        faults.name("the name of a user", name, MAX_CALLER_CHARS);
        faults.require(!name.contains(':'), || {
            format!("the name of the user {name:?} has a colon")
        });
        let hash = hash.trim();
        let is_argon2 = PasswordHash::new(hash).is_ok_and(|hash| {
            let memory = hash.params.get_decimal("m").unwrap_or_default();
            hash.algorithm.as_str().starts_with("argon2") && hash.hash.is_some() && memory <= MAX_MEMORY_KIB
        });
        faults.require(is_argon2, || {
            format!("the hash of the user {name:?} is no Argon2 hash of at most 256 MiB, expected $argon2id$v=19$m=…")
        });
        faults.into_result()?;
        Ok(Self {
            name: name.to_owned(),
            caller: Caller::new(name),
            hash: hash.to_owned(),
        })
    }

    /// As [`Caller::permissions`].
    pub fn permissions(self, permissions: &[Permission]) -> Self {
        Self {
            caller: self.caller.permissions(permissions),
            ..self
        }
    }

    /// As [`Caller::themes`].
    pub fn themes<T: Into<String>>(self, themes: impl IntoIterator<Item = T>) -> Self {
        Self {
            caller: self.caller.themes(themes),
            ..self
        }
    }
}

impl std::fmt::Debug for BasicUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BasicUser")
            .field("caller", &self.caller)
            .finish_non_exhaustive()
    }
}

/// The users of an access, and the passwords that were right a moment ago.
pub(super) struct BasicUsers {
    users: Vec<BasicUser>,
    /// Makes the digests of this process unlike those of any other.
    salt: [u8; 32],
    /// By the user's place in the list.
    remembered: Mutex<HashMap<usize, Remembered>>,
    hashing: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

struct Remembered {
    digest: [u8; 32],
    until: Instant,
}

impl BasicUsers {
    pub(super) fn new(users: Vec<BasicUser>) -> Self {
        let random = Sha256::new()
            .chain_update(uuid::Uuid::now_v7())
            .chain_update(uuid::Uuid::now_v7());
        Self {
            users,
            salt: random.finalize().into(),
            remembered: Mutex::default(),
            hashing: Arc::new(Semaphore::new(AT_A_TIME)),
            waiting: Arc::new(Semaphore::new(WAITING)),
        }
    }

    /// The user whose name and password the request has. The password is hashed on a thread that may block.
    ///
    /// For an unknown name the first user's hash is computed, so that the time tells nothing about names.
    pub(super) async fn caller(&self, headers: &HeaderMap) -> Result<Option<Caller>, Problem> {
        let Some((name, password)) = credentials(headers) else {
            return Ok(None);
        };
        let known = self.users.iter().position(|user| user.name == name);
        let Some(user) = self.users.get(known.unwrap_or(0)) else {
            return Ok(None);
        };
        let digest = self.digest(&name, &password);
        if let Some(at) = known
            && self.remembers(at, &digest)
        {
            return Ok(Some(user.caller.clone()));
        }
        let waits = Arc::clone(&self.waiting).try_acquire_owned();
        let waits = waits.map_err(|_| Problem::too_many_logins())?;
        let turn = Arc::clone(&self.hashing).acquire_owned().await;
        let turn = turn.map_err(|_| Problem::too_many_logins())?;
        drop(waits);
        // Another request of the same user may have been quicker.
        if let Some(at) = known
            && self.remembers(at, &digest)
        {
            return Ok(Some(user.caller.clone()));
        }
        let hash = user.hash.clone();
        let checked = blocking(move || {
            // The turn lasts as long as the work, also if the client hangs up.
            let _turn = turn;
            Argon2::default()
                .verify_password(password.as_bytes(), hash.as_str())
                .is_ok()
        });
        let is_right = checked.await.map_err(|_| Problem::too_many_logins())?;
        match known.filter(|_| is_right) {
            Some(at) => {
                self.remember(at, digest);
                Ok(Some(user.caller.clone()))
            }
            None => Ok(None),
        }
    }

    fn digest(&self, name: &str, password: &str) -> [u8; 32] {
        // A name has no colon.
        let digest = Sha256::new()
            .chain_update(self.salt)
            .chain_update(name)
            .chain_update(":");
        digest.chain_update(password).finalize().into()
    }

    /// A password that is used stays remembered.
    fn remembers(&self, at: usize, digest: &[u8; 32]) -> bool {
        let now = Instant::now();
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        match remembered.get_mut(&at) {
            Some(known) if known.until > now && bool::from(known.digest.ct_eq(digest)) => {
                known.until = now + REMEMBERED;
                true
            }
            _ => false,
        }
    }

    fn remember(&self, at: usize, digest: [u8; 32]) {
        let until = Instant::now() + REMEMBERED;
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.insert(at, Remembered { digest, until });
    }
}

/// The name and the password of `Authorization: Basic …`.
fn credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") || encoded.len() > 2 * MAX_CREDENTIALS {
        return None;
    }
    let bytes = STANDARD.decode(encoded.trim()).ok()?;
    let text = String::from_utf8(bytes)
        .ok()
        .filter(|text| text.len() <= MAX_CREDENTIALS)?;
    let (name, password) = text.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}
