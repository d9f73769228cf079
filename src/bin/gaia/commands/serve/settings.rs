//! What the configuration, the environment and the command line say, checked.

use std::net::{SocketAddr, TcpListener};

use gaia_actors::{
    Config, Gaia,
    web::{Access, Permission},
};

use crate::{
    args::{Globals, ServeArgs},
    exit::{Failure, Result},
    listen,
};

pub struct Settings {
    pub config: Config,
    pub access: Access,
    pub is_read_only: bool,
    addresses: Vec<SocketAddr>,
}

impl Settings {
    /// Reads and checks everything; nothing has happened when it is refused.
    pub fn read(globals: &Globals, args: &ServeArgs) -> Result<Self> {
        let config = config(globals, args)?;
        let mut faults = Vec::new();
        // A client of the database starts none of this, but the configuration is checked all the same.
        if let Err(error) = Gaia::builder().config(config.clone()).configured().check() {
            faults.push(error.to_string());
        }
        let access = Access::configured(&config.http.access)
            .map_err(|input| faults.push(input.to_string()))
            .ok();
        let addresses = addresses(&config).map_err(|fault| faults.push(fault)).ok();
        let (Some(access), Some(addresses), []) = (access, addresses, faults.as_slice()) else {
            return Err(Failure::usage(faults.join("\n")));
        };
        let access = match args.read_only {
            true => access.at_most(&[Permission::View, Permission::ViewArgs]),
            false => access,
        };
        Ok(Self {
            config,
            access,
            is_read_only: args.read_only,
            addresses,
        })
    }

    pub fn listener(&self) -> Result<TcpListener> {
        listen::bind(&self.config.http.listen, &self.addresses)
    }
}

/// The command line goes before the environment, and the environment before the file.
fn config(globals: &Globals, args: &ServeArgs) -> Result<Config> {
    if globals.server.is_some() {
        return Err(Failure::usage(
            "gaia serve is a server itself; leave out --server, and name the database by --database or --config",
        ));
    }
    let config = match &globals.config {
        Some(file) => Config::load(file).and_then(|config| config.with_env()),
        None => Config::from_env(),
    };
    let config = config.and_then(|config| if args.strict { config.strict() } else { Ok(config) });
    let mut config = config.map_err(|error| Failure::usage(error.to_string()))?;
    if let Some(url) = &globals.database {
        for name in [config.async_task.mysql.clone(), config.framework.mysql.clone()] {
            config.databases.insert(name, url.clone());
        }
    }
    if let Some(listen) = &args.listen {
        config.http.listen.clone_from(listen);
    }
    Ok(config)
}

/// The addresses of `Http.Listen`. Others than this machine must not reach a server that lets only this machine in.
fn addresses(config: &Config) -> std::result::Result<Vec<SocketAddr>, String> {
    let listen = &config.http.listen;
    let found = listen::addresses(listen)?;
    match config.http.access.has_users() || listen::are_of_this_machine(&found) {
        true => Ok(found),
        false => Err(format!(
            "{listen} can be reached by other machines, and Http.Access lets in only this one; name users in Http.Access (Tokens, Basic or \
             Header), or listen on 127.0.0.1"
        )),
    }
}
