//! The access that a configuration names.

use super::{Access, AccessToken, BasicUser, Caller};
use crate::{
    config::{AccessConfig, AccessHeaderConfig, nearest},
    domain::{Faults, InvalidInput},
    web::permission::Permission,
};

/// Stands for every permission.
const ALL: &str = "all";

impl Access {
    /// The access of the key `Http.Access` of a configuration.
    ///
    /// ```
    /// use gaia_actors::{Config, web::Access};
    ///
    /// let config = Config::from_json(
    ///     r#"{"Http": {"Access": {"Tokens": {"grafana": {
    ///         "Hash": "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8", "Permissions": ["view"]}}}}}"#,
    /// )?;
    /// let access = Access::configured(&config.http.access)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`] with every fault, each with the place of the user: a hash is none, a permission is not known, a proxy has no address.
    pub fn configured(config: &AccessConfig) -> Result<Self, InvalidInput> {
        let mut faults = Faults::default();
        let mut tokens = Vec::new();
        for (name, user) in &config.tokens {
            let place = format!("Http.Access.Tokens.{name}");
            let permissions = permissions(&place, &user.permissions, &mut faults);
            let token = take(&place, AccessToken::new(name, &user.hash), &mut faults);
            tokens.extend(token.map(|token| {
                let token = token.permissions(&permissions);
                match &user.themes {
                    Some(themes) => token.themes(themes.clone()),
                    None => token,
                }
            }));
        }
        let mut users = Vec::new();
        for (name, user) in &config.basic {
            let place = format!("Http.Access.Basic.{name}");
            let permissions = permissions(&place, &user.permissions, &mut faults);
            let found = take(&place, BasicUser::new(name, &user.hash), &mut faults);
            users.extend(found.map(|found| {
                let found = found.permissions(&permissions);
                match &user.themes {
                    Some(themes) => found.themes(themes.clone()),
                    None => found,
                }
            }));
        }
        let header = header(&config.header, &mut faults);
        faults.into_result()?;
        let mut kinds = Vec::new();
        if !tokens.is_empty() {
            kinds.push(Self::tokens(tokens));
        }
        if !users.is_empty() {
            kinds.push(Self::basic(users));
        }
        kinds.extend(header);
        if config.has_loopback() {
            kinds.push(Self::loopback_only());
        }
        Ok(Self::any(kinds))
    }
}

fn header(config: &AccessHeaderConfig, faults: &mut Faults) -> Option<Access> {
    const PLACE: &str = "Http.Access.Header";
    if config.name.is_empty() {
        let is_empty = config.peers.is_empty();
        faults.require(is_empty, || format!("{PLACE} has Peers, but no Name of a header"));
        return None;
    }
    let role = Caller::new("user").permissions(&permissions(PLACE, &config.permissions, faults));
    let role = match &config.themes {
        Some(themes) => role.themes(themes.clone()),
        None => role,
    };
    let peers = config.peers.iter().map(String::as_str);
    take(PLACE, Access::header(&config.name, peers, role), faults)
}

fn permissions(place: &str, names: &[String], faults: &mut Faults) -> Vec<Permission> {
    let known = || Permission::ALL.iter().map(|permission| permission.as_str());
    let mut permissions = Vec::new();
    for name in names {
        let found = Permission::ALL.iter().find(|permission| permission.as_str() == name);
        match found {
            Some(permission) => permissions.push(*permission),
            None if name == ALL => permissions.extend(Permission::ALL),
            None => faults.require(false, || {
                let all: Vec<&str> = known().chain([ALL]).collect();
                let hint = match nearest(name, &all) {
                    Some(near) => format!("the nearest known one is {near:?}"),
                    None => format!("known are {}", all.join(", ")),
                };
                format!("{place}.Permissions names an unknown permission, {hint}")
            }),
        }
    }
    permissions
}

/// The value. Each of its faults is noted with its place.
fn take<T>(place: &str, made: Result<T, InvalidInput>, faults: &mut Faults) -> Option<T> {
    match made {
        Ok(made) => Some(made),
        Err(input) => {
            for fault in input.faults() {
                faults.require(false, || format!("{place}: {fault}"));
            }
            None
        }
    }
}
