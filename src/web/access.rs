//! Who may use the API, for what, and on which themes.

mod basic;
mod configured;
mod forwarded;
mod replaceable;

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use arc_swap::ArcSwap;

use actix_web::{
    HttpRequest,
    http::header::{AUTHORIZATION, HOST, HeaderMap},
};
use futures_util::future::LocalBoxFuture;
use serde::Serialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

pub use self::{basic::BasicUser, replaceable::ReplaceableAccess};
use self::{basic::BasicUsers, forwarded::Forwarded};
use super::{permission::Permission, problem::Problem};
use crate::domain::{Faults, InvalidInput, TaskFilter, hex};

/// The longest name of a caller, in characters: it is noted as the author of changes.
const MAX_CALLER_CHARS: usize = 100;

/// Somebody who uses the API: a name, permissions and themes.
///
/// ```
/// use gaia_actors::web::{Caller, Permission};
///
/// let night_shift = Caller::new("night shift")
///     .permissions(&[Permission::View, Permission::Retry])
///     .themes(["order-task", "mail"]);
/// assert!(!night_shift.may(Permission::Delete));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[must_use]
pub struct Caller {
    name: String,
    permissions: BTreeSet<Permission>,
    /// The themes that the caller may see and change; `None`: all.
    themes: Option<BTreeSet<String>>,
}

impl Caller {
    /// A caller of this name, who may do nothing, on any theme. Control characters are left out of the name, and characters beyond the
    /// hundredth; an empty name becomes `unknown`.
    pub fn new(name: impl AsRef<str>) -> Self {
        let kept = name.as_ref().chars().filter(|char| !char.is_control());
        let name: String = kept.take(MAX_CALLER_CHARS).collect();
        Self {
            name: if name.trim().is_empty() {
                "unknown".to_owned()
            } else {
                name
            },
            permissions: BTreeSet::new(),
            themes: None,
        }
    }

    /// Gives these permissions, besides those that the caller has.
    pub fn permissions(mut self, permissions: &[Permission]) -> Self {
        self.permissions.extend(permissions);
        self
    }

    /// Limits the caller to these themes: the caller sees and changes nothing of others. Jobs belong to no theme, so a caller who is limited
    /// to themes sees no jobs. Without a call of this method the caller is not limited.
    pub fn themes<T: Into<String>>(self, themes: impl IntoIterator<Item = T>) -> Self {
        Self {
            themes: Some(themes.into_iter().map(Into::into).collect()),
            ..self
        }
    }

    /// The same caller with these permissions at most.
    fn at_most(mut self, permissions: &[Permission]) -> Self {
        self.permissions.retain(|permission| permissions.contains(permission));
        self
    }

    /// The same caller under another name.
    fn named(self, name: &str) -> Self {
        Self {
            permissions: self.permissions,
            themes: self.themes,
            ..Self::new(name)
        }
    }

    /// The caller's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the caller has this permission.
    #[must_use]
    pub fn may(&self, permission: Permission) -> bool {
        self.permissions.contains(&permission)
    }

    /// Whether the caller may see this theme.
    #[must_use]
    pub fn sees_theme(&self, theme: &str) -> bool {
        self.themes.as_ref().is_none_or(|themes| themes.contains(theme))
    }

    /// Whether the caller may see every theme.
    #[must_use]
    pub fn sees_all_themes(&self) -> bool {
        self.themes.is_none()
    }

    pub(super) fn needs(&self, permission: Permission) -> Result<(), Problem> {
        match self.may(permission) {
            true => Ok(()),
            false => Err(Problem::no_permission(&[permission])),
        }
    }

    pub(super) fn needs_theme(&self, theme: &str) -> Result<(), Problem> {
        match self.sees_theme(theme) {
            true => Ok(()),
            false => Err(Problem::other_theme()),
        }
    }

    pub(super) fn needs_all_themes(&self) -> Result<(), Problem> {
        match self.sees_all_themes() {
            true => Ok(()),
            false => Err(Problem::other_theme()),
        }
    }

    /// The filter, limited to the caller's themes. A filter that names another theme is refused.
    pub(super) fn limit(&self, filter: TaskFilter) -> Result<TaskFilter, Problem> {
        Ok(TaskFilter {
            themes: self.limit_themes(filter.themes)?,
            ..filter
        })
    }

    /// The themes of a filter, in which none stands for all, limited to the caller's themes.
    pub(super) fn limit_themes(&self, asked: Vec<String>) -> Result<Vec<String>, Problem> {
        for theme in &asked {
            self.needs_theme(theme)?;
        }
        match &self.themes {
            // No theme in the filter would mean all themes.
            Some(own) if own.is_empty() => Err(Problem::other_theme()),
            Some(own) if asked.is_empty() => Ok(own.iter().cloned().collect()),
            _ => Ok(asked),
        }
    }
}

/// A token by which a caller is known. Only its SHA-256 is kept.
///
/// A hash of a short or guessed token can be found by trying: use at least 32 random bytes, such as from `openssl rand -hex 32`.
///
/// ```
/// use gaia_actors::web::{AccessToken, Permission};
///
/// // `printf %s "$TOKEN" | sha256sum` prints the same.
/// let hash = AccessToken::hash_of("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08");
/// let token = AccessToken::new("order service", &hash)?.permissions(Permission::PRODUCER).themes(["order-task"]);
/// assert!(AccessToken::new("order service", "not a hash").is_err());
/// # Ok::<(), gaia_actors::InvalidInput>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct AccessToken {
    caller: Caller,
    hash: [u8; 32],
}

impl AccessToken {
    /// A token with this SHA-256, 64 hexadecimal digits. Its caller has this name and no permission yet.
    ///
    /// # Errors
    /// [`InvalidInput`] if the hash is something else than 64 hexadecimal digits, or the name is empty or too long.
    pub fn new(name: &str, sha256: &str) -> Result<Self, InvalidInput> {
        let mut faults = Faults::default();
        faults.name("the name of a token", name, MAX_CALLER_CHARS);
        let hash = bytes_of_hex(sha256);
        faults.require(hash.is_some(), || {
            format!("the hash of the token {name:?} is no SHA-256, expected 64 hexadecimal digits")
        });
        match hash {
            Some(hash) => {
                faults.into_result()?;
                Ok(Self {
                    caller: Caller::new(name),
                    hash,
                })
            }
            None => Err(faults.into_error()),
        }
    }

    /// The SHA-256 of a token, in hexadecimal digits.
    #[must_use]
    pub fn hash_of(token: &str) -> String {
        hex(&Sha256::digest(token.as_bytes()))
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

impl std::fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessToken")
            .field("caller", &self.caller)
            .finish_non_exhaustive()
    }
}

fn bytes_of_hex(text: &str) -> Option<[u8; 32]> {
    let text = text.trim();
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; 32];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}

/// What an [`Access`] knows of a request.
#[derive(Debug)]
#[non_exhaustive]
pub struct AccessRequest<'a> {
    /// The address of the other end of the connection: a proxy's, if there is one between. `None` on a Unix socket.
    pub peer: Option<IpAddr>,
    /// The headers of the request.
    pub headers: &'a HeaderMap,
}

impl AccessRequest<'_> {
    /// The token of `Authorization: Bearer …`.
    #[must_use]
    pub fn bearer(&self) -> Option<&str> {
        bearer(self.headers)
    }
}

pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

type Judge = dyn Fn(&AccessRequest<'_>) -> Option<Caller> + Send + Sync;

/// Says who a caller is. A request for which it has no answer is refused with 401.
#[derive(Clone)]
#[must_use]
pub struct Access(Kind);

#[derive(Clone)]
enum Kind {
    Judge {
        judge: Arc<Judge>,
        /// Whether callers are asked for a bearer token.
        wants_bearer: bool,
        /// Whether a caller who tries often enough may be let in: a function of the application may check passwords.
        can_be_guessed: bool,
    },
    Basic(Arc<BasicUsers>),
    Any(Arc<[Access]>),
    AtMost(Arc<Access>, &'static [Permission]),
    Replaceable(Arc<ArcSwap<Access>>),
}

/// How callers without access are asked who they are: the values of `WWW-Authenticate`.
const BEARER: &str = "Bearer";
const BASIC: &str = "Basic realm=\"gaia\", charset=\"UTF-8\"";

impl Access {
    /// Requests from this machine may do everything, others nothing.
    ///
    /// The request must name this machine as its host (`localhost`, `127.0.0.1`, `[::1]`), so that no web page can reach the API by a name
    /// that leads to this machine. A request that a proxy has passed on is refused: everybody would come from this machine.
    ///
    /// ```
    /// use gaia_actors::web::{Access, AdminOptions};
    ///
    /// let options = AdminOptions::new(Access::loopback_only());
    /// ```
    pub fn loopback_only() -> Self {
        Self::of(false, |request| {
            let is_here = request.peer.is_some_and(|peer| peer.to_canonical().is_loopback());
            let host = request.headers.get(HOST).and_then(|host| host.to_str().ok());
            let passed_on = PROXY_HEADERS.iter().any(|name| request.headers.contains_key(*name));
            let may = is_here && !passed_on && host.is_some_and(is_name_of_this_machine);
            may.then(|| Caller::new("loopback").permissions(Permission::ALL))
        })
    }

    /// Callers with one of these tokens, as `Authorization: Bearer …`.
    ///
    /// ```
    /// use gaia_actors::web::{Access, AccessToken, Permission};
    ///
    /// let hash = "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8";
    /// let access = Access::tokens([AccessToken::new("grafana", hash)?.permissions(Permission::VIEWER)]);
    /// # Ok::<(), gaia_actors::InvalidInput>(())
    /// ```
    pub fn tokens(tokens: impl IntoIterator<Item = AccessToken>) -> Self {
        let tokens: Vec<AccessToken> = tokens.into_iter().collect();
        Self::of(true, move |request| {
            let hash: [u8; 32] = Sha256::digest(request.bearer()?.as_bytes()).into();
            // All hashes are compared, each in constant time: how long this takes tells nothing.
            let mut found = None;
            for token in &tokens {
                if bool::from(token.hash.ct_eq(&hash)) {
                    found = Some(&token.caller);
                }
            }
            found.cloned()
        })
    }

    /// Users with a name and a password, as `Authorization: Basic …`. Serve it over TLS alone: a browser sends the password with each request.
    ///
    /// Passwords are hashed off the threads that serve requests, two at a time. A password that was right is known for 60 s without its hash,
    /// by a digest that no other process can compute; the password itself is not kept.
    ///
    /// Browsers send these credentials on their own, so the rule against changes that pages of other sites ask for holds.
    pub fn basic(users: impl IntoIterator<Item = BasicUser>) -> Self {
        Self(Kind::Basic(Arc::new(BasicUsers::new(users.into_iter().collect()))))
    }

    /// Users whom a proxy has checked: the proxy writes their names into a header. The header is believed only from these peers, IP addresses or
    /// networks such as `10.0.0.0/8`. All users have the permissions and themes of `role`, and their own names.
    ///
    /// The proxy must remove the header from what clients send. A request whose header is there twice is refused.
    ///
    /// ```
    /// use gaia_actors::web::{Access, Caller, Permission};
    ///
    /// let role = Caller::new("user").permissions(&[Permission::View, Permission::Retry]);
    /// let access = Access::header("x-forwarded-user", ["10.0.0.0/8", "::1"], role)?;
    /// # Ok::<(), gaia_actors::InvalidInput>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`] with every fault: the header has no such name, a peer is no address and no network, or there is no peer.
    pub fn header<'a>(
        name: &str,
        trusted_peers: impl IntoIterator<Item = &'a str>,
        role: Caller,
    ) -> Result<Self, InvalidInput> {
        let forwarded = Forwarded::new(name, trusted_peers, role)?;
        Ok(Self::of(false, move |request| forwarded.caller(request)))
    }

    /// Several kinds of access: the first that knows the caller says who it is.
    ///
    /// ```
    /// use gaia_actors::web::{Access, AccessToken, Permission};
    ///
    /// let hash = "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8";
    /// let grafana = AccessToken::new("grafana", hash)?.permissions(Permission::VIEWER);
    /// let access = Access::any([Access::tokens([grafana]), Access::loopback_only()]);
    /// # Ok::<(), gaia_actors::InvalidInput>(())
    /// ```
    pub fn any(kinds: impl IntoIterator<Item = Access>) -> Self {
        Self(Kind::Any(kinds.into_iter().collect()))
    }

    /// A function says who the caller is. It runs in the thread that serves the request, so it must not block.
    ///
    /// An address from which more than 10 requests in a second (50 at once) were unknown is not asked again for a second: whoever guesses
    /// passwords is slowed down. Callers behind one proxy share the proxy's address.
    ///
    /// ```
    /// use gaia_actors::web::{Access, Caller, Permission};
    ///
    /// // A proxy in front of the application has checked the user, and removes this header from requests of others.
    /// let access = Access::custom(|request| {
    ///     let user = request.headers.get("x-forwarded-user")?.to_str().ok()?;
    ///     Some(Caller::new(user).permissions(&[Permission::View, Permission::Retry]))
    /// });
    /// ```
    pub fn custom(judge: impl Fn(&AccessRequest<'_>) -> Option<Caller> + Send + Sync + 'static) -> Self {
        Self(Kind::Judge {
            judge: Arc::new(judge),
            wants_bearer: false,
            can_be_guessed: true,
        })
    }

    /// The same callers, with these permissions at most.
    ///
    /// ```
    /// use gaia_actors::web::{Access, Permission};
    ///
    /// let read_only = Access::loopback_only().at_most(&[Permission::View, Permission::ViewArgs]);
    /// ```
    pub fn at_most(self, permissions: &'static [Permission]) -> Self {
        Self(Kind::AtMost(Arc::new(self), permissions))
    }

    fn of(wants_bearer: bool, judge: impl Fn(&AccessRequest<'_>) -> Option<Caller> + Send + Sync + 'static) -> Self {
        Self(Kind::Judge {
            judge: Arc::new(judge),
            wants_bearer,
            can_be_guessed: false,
        })
    }

    /// Whether a caller who tries often enough may be let in.
    pub(super) fn can_be_guessed(&self) -> bool {
        match &self.0 {
            Kind::Judge { can_be_guessed, .. } => *can_be_guessed,
            Kind::Basic(_) => true,
            Kind::Any(kinds) => kinds.iter().any(Self::can_be_guessed),
            Kind::AtMost(access, _) => access.can_be_guessed(),
            Kind::Replaceable(access) => access.load().can_be_guessed(),
        }
    }

    /// Who has sent the request; 401 if this is not known.
    pub(super) async fn caller(&self, request: &HttpRequest) -> Result<Caller, Problem> {
        let seen = AccessRequest {
            peer: request.peer_addr().map(|peer| peer.ip()),
            headers: request.headers(),
        };
        self.judged(&seen).await
    }

    /// Who the caller of a request with these properties is; 401 if this is not known.
    pub(super) async fn judged(&self, seen: &AccessRequest<'_>) -> Result<Caller, Problem> {
        let found = self.find(seen).await?;
        found.ok_or_else(|| {
            let mut wanted = Vec::new();
            self.challenges(&mut wanted);
            Problem::no_access(wanted)
        })
    }

    fn find<'a>(&'a self, seen: &'a AccessRequest<'_>) -> LocalBoxFuture<'a, Result<Option<Caller>, Problem>> {
        Box::pin(async move {
            match &self.0 {
                Kind::Judge { judge, .. } => Ok(judge(seen)),
                Kind::Basic(users) => users.caller(seen.headers).await,
                Kind::Any(kinds) => {
                    for kind in kinds.iter() {
                        if let Some(caller) = kind.find(seen).await? {
                            return Ok(Some(caller));
                        }
                    }
                    Ok(None)
                }
                Kind::AtMost(access, permissions) => {
                    let found = access.find(seen).await?;
                    Ok(found.map(|caller| caller.at_most(permissions)))
                }
                Kind::Replaceable(access) => {
                    let access = access.load_full();
                    access.find(seen).await
                }
            }
        })
    }

    fn challenges(&self, wanted: &mut Vec<&'static str>) {
        let challenge = match &self.0 {
            Kind::AtMost(access, _) => return access.challenges(wanted),
            Kind::Replaceable(access) => return access.load().challenges(wanted),
            Kind::Judge { wants_bearer: true, .. } => BEARER,
            Kind::Judge { .. } => return,
            Kind::Basic(_) => BASIC,
            Kind::Any(kinds) => return kinds.iter().for_each(|kind| kind.challenges(wanted)),
        };
        if !wanted.contains(&challenge) {
            wanted.push(challenge);
        }
    }
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access").finish_non_exhaustive()
    }
}

/// Headers that proxies add.
const PROXY_HEADERS: [&str; 6] = [
    "forwarded",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
];

/// Whether a `Host` header names this machine by a name that no name server decides.
fn is_name_of_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let name = name.to_ascii_lowercase();
    let is_address = name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    is_address || name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_this_machine() {
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1:1",
            "127.9.9.9",
            "[::1]:8080",
            "a.localhost",
        ] {
            assert!(is_name_of_this_machine(host), "{host}");
        }
        for host in [
            "",
            "example.com",
            "127.0.0.1.example.com",
            "localhost.example.com",
            "10.0.0.1",
            "[2001:db8::1]:80",
        ] {
            assert!(!is_name_of_this_machine(host), "{host}");
        }
    }

    #[test]
    fn a_caller_who_may_see_no_theme_sees_none() {
        let none: [&str; 0] = [];
        assert!(Caller::new("a").themes(none).limit(TaskFilter::default()).is_err());
        let limited = Caller::new("a").themes(["b"]).limit(TaskFilter::default());
        assert_eq!(limited.map(|filter| filter.themes).ok(), Some(vec!["b".to_owned()]));
        assert_eq!(Caller::new("\n").name(), "unknown");
    }
}
