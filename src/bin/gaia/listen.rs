//! The address at which this program serves.

use std::{
    io::ErrorKind,
    net::{SocketAddr, TcpListener, ToSocketAddrs},
};

use crate::exit::{Failure, Result};

/// The addresses that a text names.
pub fn addresses(listen: &str) -> std::result::Result<Vec<SocketAddr>, String> {
    let found = listen.to_socket_addrs().map_err(|error| {
        format!("cannot listen on {listen:?}: {error}; expected an address and a port, such as 127.0.0.1:8080")
    })?;
    Ok(found.collect())
}

pub fn are_of_this_machine(addresses: &[SocketAddr]) -> bool {
    addresses.iter().all(|address| address.ip().is_loopback())
}

/// Takes the first of the addresses that is free.
pub fn bind(listen: &str, addresses: &[SocketAddr]) -> Result<TcpListener> {
    TcpListener::bind(addresses).map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => Failure::failed(format!(
            "another program listens on {listen}; end that program, or choose another address by --listen"
        )),
        _ => Failure::failed(format!(
            "cannot listen on {listen}: {error}; choose another address by --listen"
        )),
    })
}
