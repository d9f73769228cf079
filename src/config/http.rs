//! Section `Http`.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use super::{ConfigError, list_or_commas};

/// Section `Http`: how the program `gaia serve` serves the dashboard and the HTTP API. Other programs mount them in code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[non_exhaustive]
pub struct HttpConfig {
    /// The address and port to listen on; port 0 takes a free one. Default `127.0.0.1:8080`.
    pub listen: String,
    /// The path of the dashboard, below which the API lies. Default `/`.
    pub path: String,
    /// What every page shows in its head.
    pub environment: EnvironmentConfig,
    /// Who may use it.
    pub access: AccessConfig,
}

/// Key `Http.Environment`: the environment that pages show, so that an operator does not take production for a test.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[non_exhaustive]
pub struct EnvironmentConfig {
    /// Its name. Default: pages show none.
    pub name: String,
    /// Its colour. Default `Blue`.
    pub colour: EnvironmentColourConfig,
}

/// The colour of an environment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum EnvironmentColourConfig {
    /// For production.
    Red,
    /// For environments on which others rely, such as staging.
    Amber,
    /// For harmless ones, such as a developer's machine.
    Green,
    /// For everything else.
    #[default]
    Blue,
}

/// Key `Http.Access`: who may use the dashboard and the API. Without any user requests from this machine may do everything, others nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[non_exhaustive]
pub struct AccessConfig {
    /// Whether requests from this machine may do everything. Default: only if no other key names a user.
    pub loopback: Option<bool>,
    /// Tokens of programs, by the name of their holder. A hash is the SHA-256 of the token in hexadecimal digits.
    pub tokens: BTreeMap<String, AccessUserConfig>,
    /// Users with a password, by name. A hash is an Argon2 hash in the PHC format.
    pub basic: BTreeMap<String, AccessUserConfig>,
    /// Users whom a proxy has checked.
    pub header: AccessHeaderConfig,
}

/// What a token or a password is good for.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[non_exhaustive]
pub struct AccessUserConfig {
    /// The hash of the token or of the password. There is no default.
    pub hash: String,
    /// Names of permissions, such as `view`; `all` stands for all of them: a list, or one text with commas. Default `view`.
    #[serde(deserialize_with = "list_or_commas")]
    pub permissions: Vec<String>,
    /// The themes that the user may see and change. Default: all.
    pub themes: Option<Vec<String>>,
}

/// Users whose names a proxy writes into a header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[non_exhaustive]
pub struct AccessHeaderConfig {
    /// The name of the header, such as `x-forwarded-user`. Default: no header is believed.
    pub name: String,
    /// The proxies: IP addresses, or networks such as `10.0.0.0/8`: a list, or one text with commas. There is no default.
    #[serde(deserialize_with = "list_or_commas")]
    pub peers: Vec<String>,
    /// As [`AccessUserConfig::permissions`].
    #[serde(deserialize_with = "list_or_commas")]
    pub permissions: Vec<String>,
    /// As [`AccessUserConfig::themes`].
    pub themes: Option<Vec<String>>,
}

/// What a user may do whose permissions are not named.
const VIEW: &str = "view";

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".to_owned(),
            path: "/".to_owned(),
            environment: EnvironmentConfig::default(),
            access: AccessConfig::default(),
        }
    }
}

impl Default for AccessUserConfig {
    fn default() -> Self {
        Self {
            hash: String::new(),
            permissions: vec![VIEW.to_owned()],
            themes: None,
        }
    }
}

impl Default for AccessHeaderConfig {
    fn default() -> Self {
        Self {
            name: String::new(),
            peers: Vec::new(),
            permissions: vec![VIEW.to_owned()],
            themes: None,
        }
    }
}

/// Shows no hash.
impl fmt::Debug for AccessUserConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessUserConfig")
            .field("permissions", &self.permissions)
            .field("themes", &self.themes)
            .finish_non_exhaustive()
    }
}

impl HttpConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let is_plain = |char: char| char.is_ascii_alphanumeric() || "/-._~".contains(char);
        match self.path.starts_with('/') && self.path.chars().all(is_plain) {
            true => Ok(()),
            false => Err(ConfigError::new(
                "Http.Path must begin with / and have only letters, digits, and / - . _ ~, as in /gaia".to_owned(),
            )),
        }
    }
}

impl AccessConfig {
    /// Whether requests from this machine may do everything.
    #[must_use]
    pub fn has_loopback(&self) -> bool {
        self.loopback.unwrap_or_else(|| !self.has_users())
    }

    /// Whether it names anybody beside this machine.
    #[must_use]
    pub fn has_users(&self) -> bool {
        !self.tokens.is_empty() || !self.basic.is_empty() || !self.header.name.is_empty()
    }
}
